package sandbox

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"carrel/engine/sandbox/plan"
	"carrel/internal/testroot"
)

// TestEscapes tries, from the inside, what must not work. Each script says what it managed, so that an empty output is good.
func TestEscapes(t *testing.T) {
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "kept"), []byte("kept\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	// An address in the abstract namespace belongs to the network, which is shared; a path is not visible.
	l, err := net.Listen("unix", filepath.Join(outside, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Chmod(outside, 0o777); err != nil {
		t.Fatal(err)
	}
	binary, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	host := strconv.Itoa(os.Getpid())
	image := attacker(t, "unshare", "umount", "kill", "cp", "tr")
	writeFile(t, filepath.Join(image, "covered/secret"), "secret\n")
	for _, tc := range []struct {
		name, tools, script string
		own                 bool // needs process numbers of its own: among the host's it is not promised
	}{
		{name: "mount something", tools: "mount", script: "mount -t tmpfs none /mnt && echo mounted"},
		{name: "mount in a namespace of its own", tools: "unshare mount touch", script: "unshare -Urm sh -c 'mount -o remount,bind,rw /ro && touch /ro/new && echo written'"},
		{name: "uncover what a mount hides", tools: "unshare umount cat", script: "unshare -Urm sh -c 'umount /covered && cat /covered/secret'"},
		{name: "write to a read-only bind", tools: "touch rm chmod", script: "touch /ro/new && echo written; rm /ro/kept && echo removed; chmod 777 /ro/kept && echo changed"},
		{name: "leave a bind", tools: "ls", script: "ls /ro/../../../../../../.." + outside + " && echo left"},
		{name: "overwrite the program", tools: "dd", script: "for p in 1 self; do dd if=/bin/true of=/proc/$p/exe && test $p = 1 && echo overwritten; done"},
		{name: "the old root", tools: "ls", script: "ls /old /proc/1/root/old /proc/1/cwd/old && echo seen"},
		{name: "look into init", tools: "cat readlink grep", own: true, script: "cat /proc/1/environ /proc/1/mem && echo read; for f in /proc/1/fd/*; do readlink $f; done; cat /proc/1/maps | grep . && echo mapped"},
		{name: "processes of the host", tools: "grep", own: true, script: "grep -h . /proc/" + host + "/comm | grep -F " + strings.TrimSpace(comm(t)) + " && echo seen; kill -0 " + host + " && echo signalled"},
		{name: "look into who started it", tools: "cat readlink", script: "cat /proc/" + host + "/environ && echo read; readlink /proc/" + host + "/root /proc/" + host + "/cwd /proc/" + host + "/fd/0"},
		{name: "see the host's folders", tools: "ls", script: "ls " + outside + " && echo seen"},
		{name: "make a device", tools: "mknod", script: "mknod /mnt/null c 1 3 && echo made"},
		{name: "descriptors", script: "for f in /proc/self/fd/*; do case ${f##*/} in 0|1|2|3|255) ;; *) test -e $f && echo $f;; esac; done"},
		{name: "set-user-ID", tools: "cp id chmod grep", script: "cp /bin/id /tmp/id && chmod u+s /tmp/id && /tmp/id | grep euid"},
		{name: "mounts that honour set-user-ID", script: "while read -r a b c d e opts rest; do case $opts in *nosuid*) ;; *) echo $e;; esac; done < /proc/self/mountinfo"},
		{name: "mounts that honour devices", script: "while read -r a b c d e opts rest; do case $e in /dev|/dev/*) continue;; esac; case $opts in *nodev*) ;; *) echo $e;; esac; done < /proc/self/mountinfo"},
		{name: "gain capabilities", tools: "grep", script: "grep -E 'Cap(Prm|Eff|Bnd|Amb)' /proc/self/status | grep -v 0000000000000000"},
		{name: "trace init and write to its memory", tools: "attacker", own: true, script: "attacker trace 1"},
		{name: "trace who started it", tools: "attacker", script: "attacker trace " + host},
	} {
		if hostPIDs && tc.own {
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			p := newPlan(t, "/bin/sh", "-c", "for tool in "+tc.tools+"; do command -v $tool >/dev/null || echo no $tool; done\nexec 2>/dev/null\n"+tc.script)
			p.Layers = []plan.Layer{{Folder: image}}
			p.Ops = append(p.Ops,
				plan.Op{Kind: plan.OpBind, Source: outside, Dest: "/ro", ReadOnly: true},
				plan.Op{Kind: plan.OpTmpfs, Dest: "/covered"},
				plan.Op{Kind: plan.OpTmpfs, Dest: "/mnt"},
			)
			_, out, err := run(t, Config{Plan: p, IDs: ids()})
			if err != nil || out != "" {
				t.Errorf("it managed %q (%v)", out, err)
			}
		})
	}
	// And by what an environment script of the image starts, beside whatever sources it.
	writeFile(t, filepath.Join(image, ".singularity.d/env/10-attack.sh"), "/bin/attacker trace $PPID >&2; /bin/sh -c '/bin/attacker trace $PPID' >&2\n")
	p := newPlan(t)
	p.Layers = []plan.Layer{{Folder: image}}
	p.Process.Action = &plan.Action{Name: "exec", Args: []string{"/bin/true"}}
	if _, out, err := run(t, Config{Plan: p, IDs: ids()}); err != nil || out != "" && !strings.Contains(out, "not a process: 0") {
		t.Errorf("beside init it managed %q (%v)", out, err)
	}
	names, err := os.ReadDir(outside)
	if err != nil || len(names) != 2 {
		t.Errorf("outside there is %v, %v", names, err)
	}
	if now, err := os.ReadFile("/proc/self/exe"); err != nil || !bytes.Equal(now, binary) {
		t.Error("the program was changed")
	}
}

func comm(t *testing.T) string {
	b, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestDescriptorsOfTheCaller: what the caller has open without close-on-exec is not the container's.
func TestDescriptorsOfTheCaller(t *testing.T) {
	f, err := os.Open("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	leak, err := unix.Dup(int(f.Fd())) // without close-on-exec
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(leak)
	p := newPlan(t, "/bin/sh", "-c", "for f in /proc/self/fd/*; do readlink $f; done | grep passwd")
	if _, out, err := run(t, Config{Plan: p, IDs: ids()}); err != nil || out != "" {
		t.Errorf("%q, %v", out, err)
	}
}

// TestSwappedDestination: a link that is swapped for a folder while a bind's destination is looked up leads nowhere else.
func TestSwappedDestination(t *testing.T) {
	image, outside := testroot.Make(t), t.TempDir()
	if err := os.MkdirAll(filepath.Join(image, "real/in"), 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		at := filepath.Join(image, "swap")
		for ctx.Err() == nil {
			_ = os.Symlink(outside, at) // one of the two is there at any time, or nothing
			_ = os.Remove(at)
			_ = os.Symlink("real", at)
			_ = os.Remove(at)
		}
	}()
	for range 8 {
		p := newPlan(t, "/bin/true")
		p.Layers = []plan.Layer{{Folder: image}}
		p.Ops = append(p.Ops, plan.Op{Kind: plan.OpTmpfs, Dest: "/swap/made"})
		_, _, err := run(t, Config{Plan: p, IDs: ids()})
		var e *Error
		if err != nil && !errors.As(err, &e) {
			t.Error(err)
		}
	}
	cancel()
	<-done
	if names, _ := os.ReadDir(outside); len(names) > 0 {
		t.Errorf("%s was made outside", names[0].Name())
	}
}

// TestDeviceOfTheImage: a device file that an image brings is not a device.
func TestDeviceOfTheImage(t *testing.T) {
	image := testroot.Make(t)
	if err := unix.Mknod(filepath.Join(image, "zero"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))); err != nil {
		t.Skip("missing: the right to make device files")
	}
	p := newPlan(t, "/bin/sh", "-c", "head -c 1 /zero 2>/dev/null | wc -c")
	p.Layers = []plan.Layer{{Folder: image}}
	if _, out, err := run(t, Config{Plan: p, IDs: ids()}); err != nil || out != "0\n" {
		t.Errorf("%q, %v", out, err)
	}
}

// TestEscapesAmongHostProcesses is TestEscapes for a container whose init becomes its process; TestForked has those without.
func TestEscapesAmongHostProcesses(t *testing.T) {
	hostPIDs = true
	defer func() { hostPIDs = false }()
	TestEscapes(t)
}

// TestEscapesWithRights tries what the root of a container's user namespace, or one with capabilities, must not undo: what is
// mounted read-only stays so, what a mount hides stays hidden, and init, which could do it, is out of reach.
func TestEscapesWithRights(t *testing.T) {
	outside := t.TempDir()
	if err := os.Chmod(outside, 0o777); err != nil {
		t.Fatal(err)
	}
	image := attacker(t, "unshare", "umount", "mount")
	writeFile(t, filepath.Join(image, "covered/secret"), "secret\n")
	ask := func(t *testing.T, sealed, pids bool, script string) string {
		t.Helper()
		p := newPlan(t, "/bin/sh", "-c", "exec 2>/dev/null\n"+script)
		p.UserNS, p.PIDNS, p.Process.KeepCaps, p.Process.SealMounts = true, pids, true, sealed
		p.Layers = []plan.Layer{{Folder: image}}
		p.Ops = append(p.Ops,
			plan.Op{Kind: plan.OpBind, Source: outside, Dest: "/ro", ReadOnly: true},
			plan.Op{Kind: plan.OpTmpfs, Dest: "/covered"}, plan.Op{Kind: plan.OpTmpfs, Dest: "/mnt"},
		)
		_, out, err := run(t, Config{Plan: p, IDs: SingleID(0, 0)})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if out := ask(t, false, true, "mount -o remount,bind,rw /ro && touch /ro/new && echo written; umount /covered && cat /covered/secret"); out != "written\nsecret\n" {
		t.Errorf("without the seal: %q", out)
	}
	if err := os.Remove(filepath.Join(outside, "new")); err != nil {
		t.Error(err)
	}
	for _, tc := range []struct {
		name, script string
		own          bool // needs process numbers of its own
	}{
		{"write to a read-only bind", "mount -o remount,bind,rw /ro; mount -o remount,rw /ro; touch /ro/new && echo written", false},
		{"write to a bind of it", "mount --bind /ro /mnt; mount -o remount,bind,rw /mnt; touch /mnt/new; test -e /ro/new && echo written", false},
		{"uncover", "umount /covered; umount -l /covered; mount --move /covered /mnt; cat /covered/secret", false},
		{"uncover from a namespace below", "unshare -Urm sh -c 'umount /covered; mount -o remount,bind,rw /ro; cat /covered/secret; touch /ro/new && echo written'", false},
		{"by init", "attacker trace 1 | grep -v 'cannot trace'", true},
		{"gain it anew", "grep -q 'CapBnd:.*ffffffffff$' /proc/self/status && echo all", false},
	} {
		for _, pids := range []bool{true, false} {
			if tc.own && !pids {
				continue
			}
			if out := ask(t, true, pids, tc.script); out != "" {
				t.Errorf("%s, own processes %v: it managed %q", tc.name, pids, out)
			}
		}
	}
	if out := ask(t, true, true, "mount -t tmpfs none /mnt && touch /mnt/x && echo mounted"); out != "mounted\n" {
		t.Errorf("a mount of its own: %q", out)
	}
}
