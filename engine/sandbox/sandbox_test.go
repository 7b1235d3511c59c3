package sandbox

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"carrel/engine/sandbox/plan"
	"carrel/internal/testroot"
)

// newPlan is a plan whose root is a folder of this machine's own programs under a throw-away layer.
func newPlan(t testing.TB, args ...string) plan.Plan {
	return plan.Plan{
		UserNS: os.Getuid() != 0, PIDNS: !hostPIDs, UID: -1, GID: -1,
		Layers: []plan.Layer{{Folder: testroot.Make(t)}},
		Upper:  plan.Upper{Kind: plan.UpperMemory},
		Ops: []plan.Op{
			{Kind: plan.OpProc, Dest: "/proc"},
			{Kind: plan.OpBind, Source: "/dev", Dest: "/dev", Dev: true},
			{Kind: plan.OpTmpfs, Dest: "/tmp", Mode: 0o1777},
		},
		Process: plan.Process{Args: args, Env: []string{"PATH=/usr/bin:/bin", "HOME=/"}, Dir: "/", Umask: -1, CloseFDs: true},
	}
}

func ids() IDMap {
	if os.Getuid() == 0 {
		return NoIDMap()
	}
	return SingleID(os.Getuid(), os.Getgid())
}

// alone lets the tests' containers be started as those that nobody asks anything, hostPIDs without process numbers of their
// own; see TestForked.
var alone, hostPIDs bool

// run runs a plan and returns its status and what it wrote to both outputs.
func run(t *testing.T, c Config) (int, string, error) {
	t.Helper()
	c.Alone = alone
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if c.Stdout == nil {
		c.Stdout = w
	}
	c.Stderr = w
	out := make(chan string)
	go func() {
		b, _ := io.ReadAll(r)
		out <- string(b)
	}()
	k, err := Start(context.Background(), c)
	w.Close()
	if err != nil {
		return -1, <-out, err
	}
	status, err := k.Wait()
	return status, <-out, err
}

func TestStatusAndOutput(t *testing.T) {
	for _, tc := range []struct {
		name, script string
		status       int
		out          string
	}{
		{"success", "echo hello", 0, "hello\n"},
		{"failure", "exit 7", 7, ""},
		{"signal", "kill -9 $$", 128 + 9, ""},
		{"its own processes", "test $$ -lt 100 && echo few", 0, "few\n"},
		{"writes are thrown away", "echo x > /carrel-test-file && cat /carrel-test-file", 0, "x\n"},
		{"no privileges", "grep -E 'CapEff|NoNewPrivs' /proc/self/status", 0, "CapEff:\t0000000000000000\nNoNewPrivs:\t1\n"},
		{"orphans are reaped", "(sleep 0.01 &) ; exit 3", 3, ""},
		{"descriptors do not leak", "cd /proc/self/fd; echo *", 0, "0 1 2 3\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if hostPIDs && tc.name == "its own processes" {
				tc.script, tc.status, tc.out = "test -d /proc/$PPID && echo more", 0, "more\n"
			}
			status, out, err := run(t, Config{Plan: newPlan(t, "/bin/sh", "-c", tc.script), IDs: ids()})
			if err != nil || status != tc.status || out != tc.out {
				t.Errorf("got status %d, output %q, error %v; want %d, %q", status, out, err, tc.status, tc.out)
			}
		})
	}
	if _, err := os.Stat("/carrel-test-file"); err == nil {
		t.Error("the container wrote to the host's root")
	}
}

func TestBinds(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("content"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		op     plan.Op
		script string
		out    string
		status int
	}{
		{"folder to a new nested place", plan.Op{Dest: "/opt/a/b/c"}, "cat /opt/a/b/c/file", "content", 0},
		{"file to a new place", plan.Op{Source: "file", Dest: "/opt/x/y.txt"}, "cat /opt/x/y.txt", "content", 0},
		{"read-only", plan.Op{Dest: "/mnt", ReadOnly: true}, "touch /mnt/new 2>/dev/null || echo refused", "refused\n", 0},
		{"writable", plan.Op{Dest: "/mnt"}, "echo new > /mnt/new; cat /mnt/new", "new\n", 0},
		{"optional and missing", plan.Op{Source: "nothing", Dest: "/mnt", Optional: true}, "echo on", "on\n", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPlan(t, "/bin/sh", "-c", tc.script)
			tc.op.Kind = plan.OpBind
			tc.op.Source = filepath.Join(dir, tc.op.Source)
			p.Ops = append(p.Ops, tc.op)
			status, out, err := run(t, Config{Plan: p, IDs: ids()})
			if err != nil || status != tc.status || out != tc.out {
				t.Errorf("got %d %q %v, want %d %q", status, out, err, tc.status, tc.out)
			}
		})
	}
}

func TestBindDestinationCannotEscape(t *testing.T) {
	// The image, a folder, is full of links that point out of it.
	image, outside := t.TempDir(), t.TempDir()
	for link, target := range map[string]string{
		"abs": outside, "up": strings.Repeat("../", 20) + outside[1:], "loop": "loop2", "loop2": "loop", "proc-self": "/proc/self/root",
	} {
		if err := os.Symlink(target, filepath.Join(image, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, dest := range []string{"/abs/made", "/up/made", "/../../made", "/loop/made", "/proc-self/made"} {
		p := newPlan(t, "/bin/true")
		p.Layers = append(p.Layers, plan.Layer{Folder: image})
		p.Ops = append([]plan.Op{{Kind: plan.OpBind, Source: "/etc", Dest: dest}}, p.Ops...)
		_, _, err := run(t, Config{Plan: p, IDs: ids()})
		if strings.Contains(dest, "loop") != (err != nil) {
			t.Errorf("bind to %s: %v", dest, err)
		}
		if names, _ := os.ReadDir(outside); len(names) > 0 {
			t.Fatalf("bind to %s made %s outside of the root", dest, names[0].Name())
		}
	}
}

func TestErrorsSayWhat(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*plan.Plan)
		op     string
		errno  error
		hint   string
	}{
		{"bind source missing", func(p *plan.Plan) {
			p.Ops = append(p.Ops, plan.Op{Kind: plan.OpBind, Source: "/nowhere/at/all", Dest: "/mnt"})
		}, "bind", unix.ENOENT, "create it"},
		{"program missing", func(p *plan.Plan) { p.Process.Args = []string{"no-such-program"} }, "start", unix.ENOENT, "no program"},
		{"working folder missing", func(p *plan.Plan) { p.Process.Dir = "/nowhere" }, "enter folder", unix.ENOENT, ""},
		{"root folder missing", func(p *plan.Plan) { p.Layers[0].Folder = "/nowhere" }, "open root folder", unix.ENOENT, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newPlan(t, "/bin/true")
			tc.change(&p)
			_, _, err := run(t, Config{Plan: p, IDs: ids()})
			var e *Error
			if !errors.As(err, &e) || e.Op != tc.op || !errors.Is(err, tc.errno) {
				t.Fatalf("got %v, want an *Error of %q with %v", err, tc.op, tc.errno)
			}
			if !strings.Contains(e.Hint(), tc.hint) {
				t.Errorf("hint %q does not say %q", e.Hint(), tc.hint)
			}
		})
	}
}

func TestContextEndsEverything(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	k, err := Start(ctx, Config{Plan: newPlan(t, "/bin/sleep", "1000"), IDs: ids(), Alone: alone})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	status, _ := k.Wait()
	if status != 128+9 {
		t.Errorf("status %d", status)
	}
	if err := syscall.Kill(k.PID(), 0); err == nil {
		t.Error("init still runs")
	}
}

func TestExecInRunning(t *testing.T) {
	k, err := Start(context.Background(), Config{Plan: newPlan(t, "/bin/sleep", "1000"), IDs: ids()})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Wait()
	defer k.Kill()
	r, w, _ := os.Pipe()
	null, _ := os.Open(os.DevNull)
	defer null.Close()
	job, err := k.Exec(context.Background(), plan.Process{Args: []string{"sh", "-c", "echo $$ $FOO; exit 5"}, Env: []string{"FOO=bar", "PATH=/bin"}, Umask: -1}, [3]*os.File{null, w, w}, false)
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	out, _ := io.ReadAll(r)
	if status := job.Wait(); status != 5 || !strings.HasSuffix(string(out), " bar\n") {
		t.Errorf("status %d, output %q", status, out)
	}
	if _, err := k.Exec(context.Background(), plan.Process{Args: []string{"no-such"}, Env: []string{}}, [3]*os.File{null, null, null}, false); !errors.Is(err, unix.ENOENT) {
		t.Errorf("missing program: %v", err)
	}
}

func TestOwnNetwork(t *testing.T) {
	p := newPlan(t, "/bin/sleep", "1000")
	p.Net = &plan.Net{Outgoing: true, Address: "10.0.2.100/24", Gateway: "10.0.2.2"}
	var notes []string
	k, err := Start(context.Background(), Config{Plan: p, IDs: ids(), Note: func(s string) { notes = append(notes, s) }})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Wait()
	defer k.Kill()
	if k.Link() == nil {
		t.Errorf("no outgoing link: %q", notes)
	}
	if _, err := k.Dial(context.Background(), 8888); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("nothing listens: %v", err)
	}
	// A listener on the host is not the container's.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if c, err := k.Dial(context.Background(), l.Addr().(*net.TCPAddr).Port); err == nil {
		c.Close()
		t.Error("the container reached the host's loopback")
	}
}

func TestFakeRoot(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("missing: an unprivileged user (root needs no answers)")
	}
	p := newPlan(t, "/bin/sh", "-c", "id -u; mkdir /mnt; touch /mnt/f && chown 33:33 /mnt/f && mknod /mnt/n c 1 3 && mkfifo /mnt/p && test -p /mnt/p && echo fine")
	p.Process.FakeRoot, p.Process.KeepCaps = true, true
	status, out, err := run(t, Config{Plan: p, IDs: SingleID(0, 0)})
	if err != nil || status != 0 || out != "0\nfine\n" {
		t.Errorf("got %d %q %v", status, out, err)
	}
}

func TestAction(t *testing.T) {
	image := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		p := filepath.Join(image, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(".singularity.d/env/10-docker2singularity.sh", "export A=\"${A:-\"image\"}\"\nPATH=/opt/bin:$PATH\nexport PATH\nunexported=1\n")
	write(".singularity.d/env/90-environment.sh", "export B=$(echo computed)\nif [[ $A == image ]]; then export C=yes; fi\n")
	write(".singularity.d/env/91-broken.sh", "if then\n")
	write(".singularity.d/runscript", "#!/bin/sh\necho run \"$@\" $A $B $C $HOSTVAR $FORCED $PATH\n")
	write("singularity", "echo legacy \"$@\"\n")
	act := func(a plan.Action, env ...string) (string, []string) {
		t.Helper()
		p := newPlan(t)
		p.Layers = append(p.Layers, plan.Layer{Folder: image})
		p.Process.Env = append([]string{"PATH=/bin"}, env...)
		p.Process.Action = &a
		var notes []string
		status, out, err := run(t, Config{Plan: p, IDs: ids(), Note: func(s string) { notes = append(notes, s) }})
		if err != nil || status != 0 {
			t.Errorf("%+v: status %d, %v, %q", a, status, err, out)
		}
		return out, notes
	}
	out, notes := act(plan.Action{Name: "run", Args: []string{"x y", "z"}, Host: []string{"HOSTVAR=h", "B=from host"}, Force: []string{"FORCED=f"}})
	if want := "run x y z image computed yes h f /opt/bin:/bin\n"; out != want {
		t.Errorf("got %q, want %q", out, want)
	}
	if len(notes) != 1 || !strings.Contains(notes[0], "91-broken.sh") {
		t.Errorf("notes %q", notes)
	}
	if out, _ := act(plan.Action{Name: "exec", Args: []string{"sh", "-c", "echo $B"}}); out != "computed\n" {
		t.Errorf("exec: %q", out)
	}
	os.RemoveAll(filepath.Join(image, ".singularity.d"))
	write("environment", "export A=old\n")
	if out, _ := act(plan.Action{Name: "run", Args: []string{"arg"}}); out != "legacy arg\n" { // no first line: started by the shell
		t.Errorf("2016 runscript: %q", out)
	}
}

// TestPlacesInFoldersOfOthers: an image that is a folder of root's, as administrators keep them, has to take binds in places
// that it lacks, although a user namespace of one id may make nothing in it.
func TestPlacesInFoldersOfOthers(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("missing: an unprivileged user (root may make anything anywhere)")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("content\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/usr/bin/sh"); err != nil {
		t.Skip("missing: a /usr with a shell")
	}
	for _, size := range []int64{0, 16 << 20} {
		p := newPlan(t, "/bin/sh", "-c", "cat /share/carrel-test/a/b/file /lib/carrel-test-file /new/file; ls -d /bin/sh; stat -c %a /share")
		p.Layers = []plan.Layer{{Folder: "/usr"}} // with all that a shell needs, and nobody's but root's
		p.Upper.Size = size
		var notes []string
		p.Ops = append(p.Ops,
			plan.Op{Kind: plan.OpBind, Source: "/nowhere", Dest: "/x", Optional: true},
			plan.Op{Kind: plan.OpBind, Source: dir, Dest: "/share/carrel-test/a/b"},
			plan.Op{Kind: plan.OpBind, Source: filepath.Join(dir, "file"), Dest: "/lib/carrel-test-file"},
			plan.Op{Kind: plan.OpBind, Source: dir, Dest: "/new"},
		)
		status, out, err := run(t, Config{Plan: p, IDs: ids(), Note: func(s string) { notes = append(notes, s) }})
		var e *Error
		if errors.As(err, &e) && e.Op == "mount overlay" {
			t.Skip("missing: a root that an overlay can be put on: " + e.Error())
		}
		if err != nil || status != 0 || out != "content\ncontent\ncontent\n/bin/sh\n755\n" || len(notes) != 1 {
			t.Errorf("size %d: got %d, %q, %v, notes %q", size, status, out, err, notes)
		}
	}
	if _, err := os.Stat("/usr/share/carrel-test"); err == nil {
		t.Error("a place was made on the host")
	}
}

// TestBindOfTheStage: where the root is made must not be seen in a bind of that place.
func TestBindOfTheStage(t *testing.T) {
	f, err := os.CreateTemp("/tmp", "carrel-seen-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	p := newPlan(t, "/bin/ls", f.Name(), "/host"+f.Name())
	p.Ops = append(p.Ops, plan.Op{Kind: plan.OpBind, Source: "/tmp", Dest: "/tmp"}, plan.Op{Kind: plan.OpBind, Source: "/", Dest: "/host"})
	status, out, err := run(t, Config{Plan: p, IDs: ids()})
	if err != nil || status != 0 {
		t.Errorf("%d, %q, %v", status, out, err)
	}
}

// TestLowPorts: in a network of its own a program without rights may listen on every port.
func TestLowPorts(t *testing.T) {
	p := newPlan(t, "/bin/sh", "-c", "cat /proc/sys/net/ipv4/ip_unprivileged_port_start; grep CapEff /proc/self/status")
	p.Net = &plan.Net{}
	if status, out, err := run(t, Config{Plan: p, IDs: ids()}); status != 0 || err != nil || out != "0\nCapEff:\t0000000000000000\n" {
		t.Errorf("%d, %q, %v", status, out, err)
	}
	if b, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start"); err != nil || strings.TrimSpace(string(b)) == "0" {
		t.Errorf("the host's: %q, %v", b, err)
	}
}
