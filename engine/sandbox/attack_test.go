package sandbox

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"unsafe"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"carrel/engine/sandbox/plan"
	"carrel/internal/testroot"
)

// TestMain lets the test binary be what attacks from the inside. What it says is what it managed.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 && os.Getenv("TARGET") == "" {
		os.Exit(m.Run())
	}
	switch os.Args[1] {
	case "/bin/again": // as the interpreter of that script: this is the program that carries the container
		overwrite("/proc/self/exe")
	case "overwrite":
		for _, pid := range os.Args[2:] {
			overwrite("/proc/" + pid + "/exe")
		}
	case "push": // into the input of its terminal, which its owner's shell would read as typed
		push()
	case "start": // a container, as a program in a terminal
		os.Exit(startInTerminal(os.Args[2], os.Args[3] == "true"))
	case "old-kernel": // one before Linux 5.2
		os.Exit(startWithout(os.Args[2], os.Args[3]))
	case "trace":
		runtime.LockOSThread()
		for _, pid := range os.Args[2:] {
			trace(pid)
		}
	default:
		os.Exit(m.Run())
	}
	os.Exit(0)
}

// overwrite tries to write to a program, if it is the one that TARGET names by its device and inode, as somebody does who waits
// until nobody runs it any more. Until then the kernel says ETXTBSY (open(2)), also where the mount would not let it happen.
func overwrite(link string) {
	f, err := os.Open(link)
	if err != nil {
		return
	}
	defer f.Close()
	var st unix.Stat_t
	var fs unix.Statfs_t
	if unix.Fstat(int(f.Fd()), &st) != nil || unix.Fstatfs(int(f.Fd()), &fs) != nil || os.Getenv("TARGET") == "" {
		fmt.Println("it cannot be tried")
	}
	if identity(&st) != os.Getenv("TARGET") || fs.Flags&unix.ST_RDONLY != 0 {
		return
	}
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), unix.O_WRONLY|unix.O_APPEND|unix.O_CLOEXEC, 0)
	if err == nil {
		unix.Close(fd)
	}
	if err == nil || err == unix.ETXTBSY {
		fmt.Println(link, "can be written to:", err)
	}
}

func identity(st *unix.Stat_t) string { return fmt.Sprintf("%d:%d", st.Dev, st.Ino) }

// trace tries to get at a process that is not this one's child, in both ways there are.
func trace(text string) {
	pid := 0
	if _, err := fmt.Sscan(text, &pid); err != nil {
		fmt.Println("not a process:", text)
		return
	}
	if err := unix.PtraceAttach(pid); err == nil {
		fmt.Println("traced", pid)
		_ = unix.PtraceDetach(pid)
	}
	if f, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0); err == nil {
		fmt.Println("memory of", pid)
		f.Close()
	}
	// And that it could, if it were let: a child of its own.
	child := exec.Command("/bin/sleep", "100")
	if err := child.Start(); err != nil {
		fmt.Println("no child:", err)
		return
	}
	defer func() { child.Process.Kill(); child.Wait() }()
	if err := unix.PtraceAttach(child.Process.Pid); err != nil {
		fmt.Println("it cannot trace at all:", err)
	}
}

// attacker makes a root with this test's binary as /bin/attacker.
func attacker(t *testing.T, more ...string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	root := testroot.Make(t, append(more, self)...)
	if err := os.Rename(filepath.Join(root, "bin", filepath.Base(self)), filepath.Join(root, "bin/attacker")); err != nil {
		t.Fatal(err)
	}
	return root
}

// writeFile makes an executable file with what leads to it.
func writeFile(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}

// TestOwnProgram: nothing in a container can write to the program that started it, by none of the ways to it: process 1, what
// sources the image's environment scripts, and a program of the image that is interpreted by /proc/self/exe.
func TestOwnProgram(t *testing.T) {
	root := attacker(t)
	writeFile(t, filepath.Join(root, "bin/again"), "#!/proc/self/exe\n")
	writeFile(t, filepath.Join(root, ".singularity.d/env/10-attack.sh"), "/bin/attacker overwrite 1 $$ self $PPID >&2\n/bin/attacker overwrite $PPID >&2; /bin/sh -c '/bin/attacker overwrite $PPID' >&2\n")
	var own unix.Stat_t
	if err := unix.Stat("/proc/self/exe", &own); err != nil {
		t.Fatal(err)
	}
	plain := newPlan(t)
	plain.Layers = []plan.Layer{{Folder: root}}
	plain.Process.Env = append(plain.Process.Env, "TARGET="+identity(&own))
	defer func() { firstWay = byTree }()
	for _, w := range []way{byTree, byBind, byCopy} {
		firstWay = w
		for _, pids := range []bool{true, false} {
			for _, caps := range []bool{false, true} {
				if caps && !pids && os.Getuid() == 0 {
					continue // the computer's root, who sees all processes: nothing of it is out of reach
				}
				for _, args := range [][]string{
					{"sh", "-c", "attacker overwrite 1 $PPID self; sh -c '/bin/attacker overwrite $PPID 1; again'"}, {"/bin/again"}, {"/proc/self/exe", "overwrite", "self"},
				} {
					p := plain
					p.PIDNS, p.Process.KeepCaps = pids, caps
					p.Process.Action = &plan.Action{Name: "exec", Args: args}
					if _, out, err := run(t, Config{Plan: p, IDs: ids()}); err != nil || out != "" {
						t.Errorf("way %d, own processes %v, capabilities %v, %q: it managed %q (%v)", w, pids, caps, args, out, err)
					}
				}
			}
		}
	}
	// Without an environment script that needs a container there need be no init.
	if err := os.RemoveAll(filepath.Join(root, ".singularity.d")); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"/bin/again"}, {"/proc/self/exe", "overwrite", "self"}, {"attacker", "overwrite", "1", "self"}} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		p := plain
		p.Process.Args = args
		k := startForked(t, Config{Plan: p, Stdout: w})
		w.Close()
		out, _ := io.ReadAll(r)
		if status, err := k.Wait(); err != nil || len(out) > 0 || args[0] == "attacker" && status != 0 {
			t.Errorf("%q: %d, %v, it managed %q", args, status, err, out)
		}
		r.Close()
	}
}

// TestStartsInEveryWay: a container starts in every way to keep its program from it, and the file stays what it was.
func TestStartsInEveryWay(t *testing.T) {
	defer func() { firstWay = byTree }()
	for _, w := range []way{byTree, byBind, byCopy} {
		firstWay = w
		p := newPlan(t, "/bin/sh", "-c", "grep -c . /proc/self/mountinfo >/dev/null; grep /exe /proc/self/mountinfo; exit 5")
		if status, out, err := run(t, Config{Plan: p, IDs: ids()}); status != 5 || out != "" || err != nil {
			t.Errorf("way %d: %d, %q, %v", w, status, out, err)
		}
	}
}

func push() {
	char := byte('x')
	for _, request := range []uintptr{unix.TIOCSTI, unix.TIOCLINUX, unix.TIOCSTI | 1<<32} {
		tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
		if err != nil {
			fmt.Println("no terminal:", err)
			return
		}
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, tty.Fd(), request, uintptr(unsafe.Pointer(&char)))
		tty.Close()
		if errno != unix.EPERM {
			fmt.Printf("request %#x: %v\n", request, errno)
		}
	}
	fmt.Println("tried")
}

// startInTerminal runs the attacker of a root in a container and returns its status.
func startInTerminal(root string, fork bool) int {
	p := plan.Plan{
		UserNS: os.Getuid() != 0, PIDNS: true, UID: -1, GID: -1, Layers: []plan.Layer{{Folder: root}}, Upper: plan.Upper{Kind: plan.UpperMemory},
		Ops:     []plan.Op{{Kind: plan.OpProc, Dest: "/proc"}, {Kind: plan.OpBind, Source: "/dev", Dest: "/dev", Dev: true}},
		Process: plan.Process{Args: []string{"/bin/attacker", "push"}, Dir: "/", Umask: -1},
	}
	k, err := Start(context.Background(), Config{Plan: p, IDs: ids(), Alone: fork, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	if _, forked := k.process.(*forkedChild); forked != fork {
		fmt.Println("forked:", forked)
	}
	status, _ := k.Wait()
	return status
}

// TestPushedInput: a container in a terminal cannot type for its owner, whatever the kernel would let it (CVE-2017-5226 of
// another program; Linux 6.2 can forbid it).
func TestPushedInput(t *testing.T) {
	root := attacker(t)
	for _, fork := range []bool{true, false} {
		cmd := exec.Command("/proc/self/exe", "start", root, fmt.Sprint(fork))
		terminal, err := pty.Start(cmd)
		if err != nil {
			t.Skipf("missing: pseudo-terminals (%v)", err)
		}
		out, _ := io.ReadAll(terminal) // EIO is its end (pty(7))
		if err := cmd.Wait(); err != nil || string(out) != "tried\r\n" {
			t.Errorf("forked %v: %q, %v", fork, out, err)
		}
		terminal.Close()
	}
}

// startWithout runs a shell in a container with a read-only bind, as on a kernel without the calls that make detached mounts.
func startWithout(root, source string) int {
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}}
	for _, nr := range []uint32{unix.SYS_OPEN_TREE, unix.SYS_MOUNT_SETATTR, unix.SYS_FSOPEN, unix.SYS_MOVE_MOUNT} {
		filter = append(filter, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: nr, Jf: 1},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)})
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		fmt.Println(err)
	}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog))); errno != 0 {
		fmt.Println(errno)
	}
	p := plan.Plan{
		UserNS: os.Getuid() != 0, PIDNS: true, UID: -1, GID: -1, Layers: []plan.Layer{{Folder: root}}, Upper: plan.Upper{Kind: plan.UpperMemory},
		Ops: []plan.Op{
			{Kind: plan.OpProc, Dest: "/proc"}, {Kind: plan.OpBind, Source: "/dev", Dest: "/dev", Dev: true},
			{Kind: plan.OpBind, Source: source, Dest: "/ro", ReadOnly: true},
		},
		Process: plan.Process{
			Args: []string{"/bin/sh", "-c", "exec 2>/dev/null; cat '/ro/a b/file'; touch /ro/x && echo written; touch '/ro/a b/x' && echo written below"},
			Env:  []string{"PATH=/bin"}, Dir: "/", Umask: -1,
		},
	}
	k, err := Start(context.Background(), Config{Plan: p, IDs: ids(), Stdout: os.Stdout, Stderr: os.Stderr})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	_, err = k.Wait()
	if err != nil {
		fmt.Println(err)
	}
	return 0
}

// TestOldKernel: on a kernel before Linux 5.2 containers start, and a read-only bind is so with all that is mounted below it.
func TestOldKernel(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("missing: root")
	}
	dir := t.TempDir()
	below := filepath.Join(dir, "a b")
	if err := os.Mkdir(below, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("carrel-test", below, "tmpfs", 0, ""); err != nil {
		t.Skipf("missing: root (%v)", err)
	}
	t.Cleanup(func() { unix.Unmount(below, unix.MNT_DETACH) })
	writeFile(t, filepath.Join(below, "file"), "below\n")
	out, err := exec.Command("/proc/self/exe", "old-kernel", testroot.Make(t), dir).CombinedOutput()
	if err != nil || string(out) != "below\n" {
		t.Errorf("%q, %v", out, err)
	}
}
