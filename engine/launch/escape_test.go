package launch

import (
	"strings"
	"testing"
)

// TestSafeProfileOfRoot: root in a container of the safe profile is still the computer's root for the kernel. What steers
// the computer has to be out of its reach.
func TestSafeProfileOfRoot(t *testing.T) {
	w := newWorld(t)
	for _, tc := range []struct{ name, script string }{
		{"programs that the kernel starts", "v=$(cat /proc/sys/kernel/core_pattern); echo \"$v\" > /proc/sys/kernel/core_pattern && echo written"},
		{"keys of the kernel", "v=$(cat /proc/sys/kernel/modprobe); echo \"$v\" > /proc/sys/kernel/modprobe && echo written"},
		{"magic keys", "echo h > /proc/sysrq-trigger && echo written"},
		{"memory", "head -c 1 /proc/kcore | grep -c ."},
		{"devices of the host", "for d in /dev/sd* /dev/vd* /dev/nvme* /dev/mem /dev/kmsg /dev/loop*; do test -e $d && echo $d; done"},
		{"make a device", "mknod /tmp/vda b 254 0 && echo made"},
		{"hardware", "for f in /sys/power/state /sys/kernel/uevent_helper; do echo > $f && echo $f; done"},
		{"modules", "test -x /bin/modprobe && modprobe loop && echo loaded"},
		{"other processes", "for p in /proc/[0-9]*; do test ${p##*/} -gt 40 && echo $p; done"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := w.options("exec 2>/dev/null\n" + tc.script)
			o.Safe = true
			r := start(t, o)
			if r.err != nil || (r.out != "" && r.out != "0\n") {
				t.Errorf("it managed %q (%v)", r.out, r.err)
			}
		})
	}
}

// TestMasked: what tells of the whole computer, or steers it, is out of the sight or reach of a contained container, whoever
// started it and whether or not it has process numbers of its own.
func TestMasked(t *testing.T) {
	w := newWorld(t)
	const script = `for f in interrupts kcore keys latency_stats sched_debug timer_list timer_stats; do
			f=/proc/$f; test -e $f || continue
			test -c $f && test $(head -c 1 $f 2>&1 | wc -c) = 0 || echo seen $f
		done
		for d in /proc/acpi /proc/asound /proc/scsi /sys/devices/virtual/powercap /sys/firmware; do
			test -e $d || continue
			test -z "$(ls -A $d)" || echo seen $d; touch $d/x 2>/dev/null && echo made $d/x
		done
		for p in sys sysrq-trigger irq bus fs; do
			test -e /proc/$p || continue
			grep -q " /proc/$p ro," /proc/self/mountinfo || echo writable /proc/$p
		done
		test -c /proc/interrupts && echo masked`
	for _, tc := range []struct {
		name   string
		change func(*Options)
		out    string
	}{
		{"contained", contained, "masked\n"},
		{"contained among the host's processes", func(o *Options) { o.Contain, o.NoPIDs = true, true }, "masked\n"},
		{"safe", func(o *Options) { o.Safe = true }, "masked\n"},
		{"without /sys", func(o *Options) { o.Contain, o.NoMount = true, []string{"sys"} }, "masked\n"},
		{"as Singularity does", func(*Options) {}, ""},
	} {
		o := w.options(script)
		tc.change(&o)
		r := start(t, o)
		if r.err != nil || tc.out != "" && r.out != tc.out || tc.out == "" && !strings.Contains(r.out, "seen /proc/interrupts\n") {
			t.Errorf("%s: %+v", tc.name, r)
		}
	}
}
