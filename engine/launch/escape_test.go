package launch

import (
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
