package launch

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"carrel/engine/sandbox"
	"carrel/engine/sandbox/plan"
	"carrel/internal/testroot"
)

// world is a host with a home and a project folder, and an image.
type world struct {
	image, home, project string
}

func newWorld(t *testing.T) world {
	t.Helper()
	// Not below /tmp, which containers see by default: what shows a folder has to be what is tested.
	base, err := os.MkdirTemp(outsideTmp(t), "carrel-launch-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	w := world{image: testroot.Make(t), home: filepath.Join(base, "home/ada"), project: filepath.Join(base, "project")}
	write(t, filepath.Join(w.home, "in-home"), "home\n")
	write(t, filepath.Join(w.project, "in-project"), "project\n")
	write(t, filepath.Join(w.image, "opt/own"), "own\n")
	return w
}

// outsideTmp is a folder of this user that is not below /tmp.
func outsideTmp(t *testing.T) string {
	for _, dir := range []string{"/var/lib", "/run/lock", "/home"} {
		if unix.Access(dir, unix.W_OK) == nil {
			return dir
		}
	}
	t.Skip("missing: a writable folder that is not below /tmp")
	return ""
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// options are those of a plain `exec` of a shell script.
func (w world) options(script string) Options {
	o := Options{
		ImagePath: "/images/test.sif", ImageName: "test.sif", Layers: []Layer{{Folder: w.image}},
		Host: Host{
			UID: os.Getuid(), GID: os.Getgid(), User: "ada", Group: "lovelace", Home: w.home, Cwd: w.project, Shell: "/bin/zsh",
			Env: []string{"HOME=" + w.home, "PATH=/host/bin", "TERM=xterm", "COLOUR=green", "SINGULARITY_SECRET=1", "SHELL=/bin/zsh"},
		},
		IDs: sandbox.NoIDMap(), Action: "exec", Args: []string{"sh", "-c", script},
		Resolv: []byte("nameserver 192.0.2.1\n"), Hosts: []byte("192.0.2.2 somewhere\n"),
	}
	if os.Getuid() != 0 {
		o.IDs = sandbox.SingleID(os.Getuid(), os.Getgid())
	}
	return o
}

type outcome struct {
	status int
	out    string
	notes  []string
	err    error
}

// start runs a container to its end.
func start(t *testing.T, o Options) outcome {
	t.Helper()
	c, err := Config(o)
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c.Stdout, c.Stderr = w, w
	var res outcome
	c.Note = func(s string) { res.notes = append(res.notes, s) }
	text := make(chan string)
	go func() {
		b, _ := io.ReadAll(r)
		text <- string(b)
	}()
	k, err := sandbox.Start(context.Background(), c)
	w.Close()
	if err != nil {
		return outcome{status: -1, out: <-text, err: err, notes: res.notes}
	}
	res.status, res.err = k.Wait()
	res.out = <-text
	return res
}

func asUser(t *testing.T) {
	t.Helper()
	if os.Getuid() == 0 {
		t.Skip("missing: an unprivileged user")
	}
}

func TestWhatAContainerSees(t *testing.T) {
	w := newWorld(t)
	other := filepath.Join(filepath.Dir(w.project), "other")
	write(t, filepath.Join(other, "sub/in-other"), "other\n")
	write(t, filepath.Join(other, "with space, comma:colon"), "odd\n")
	work := t.TempDir()
	root := os.Getuid() == 0
	for _, tc := range []struct {
		name   string
		change func(*Options)
		script string
		out    string // beginning of the output
		not    string // what must not be in it
		status int
	}{
		{name: "cwd is bound", script: "pwd; cat in-project", out: w.project + "\nproject\n"},
		{name: "cwd that exists nowhere", change: func(o *Options) { o.Host.Cwd = "/nowhere" }, script: "pwd", out: homeOf(w)},
		{name: "cwd in the system stays the image's", change: func(o *Options) { o.Host.Cwd = "/usr" }, script: "pwd; ls -d include 2>/dev/null; echo end", out: "/usr\nend\n"},
		{name: "cwd asked for", change: func(o *Options) { o.Cwd = "/opt" }, script: "pwd; cat own", out: "/opt\nown\n"},
		{name: "home is bound", script: "cat ~/in-home", out: "home\n"},
		{name: "no home", change: func(o *Options) { o.NoHome = true }, script: "cat " + w.home + "/in-home ~/in-home 2>/dev/null; pwd", out: w.project},
		{name: "no home, by no-mount", change: func(o *Options) { o.NoMount = []string{"home"} }, script: "cat ~/in-home 2>/dev/null; pwd", out: w.project},
		{name: "another home", change: func(o *Options) { o.Home = &Bind{Source: other, Dest: "/home/you"} }, script: "echo $HOME; cat ~/sub/in-other", out: "/home/you\nother\n"},
		{name: "tmp is the host's", script: "ls -d " + work, out: work},
		{name: "tmp is not the host's when contained", change: contained, script: "ls -d " + work + " 2>/dev/null; touch /tmp/x /var/tmp/x && ls /tmp", out: "x\n", not: work, status: 0},
		{name: "contained: no home, no cwd, few devices", change: contained, script: "ls ~ | wc -l; ls " + w.project + " 2>/dev/null; ls /dev | tr '\\n' ' ' ; touch ~/x && echo writable", out: "0\n", not: "project"},
		{name: "contained with work folder", change: func(o *Options) { contained(o); o.Workdir = work }, script: "echo kept > /tmp/file; echo kept > ~/file; echo kept > /var/tmp/file", out: ""},
		{name: "scratch in memory", change: func(o *Options) { o.Scratch = []string{"/scratch/a"} }, script: "touch /scratch/a/x && ls /scratch/a", out: "x\n"},
		{name: "no tmp", change: func(o *Options) { o.NoMount = []string{"tmp"} }, script: "ls -d " + work + " 2>/dev/null; echo end", out: "end\n"},
		{name: "no proc, no sys", change: func(o *Options) { o.NoMount = []string{"proc", "sys"} }, script: "ls /proc /sys | wc -w", out: "2\n"},

		{name: "bind to a missing nested place", change: binds(Bind{Source: other, Dest: "/a/b/c"}), script: "cat /a/b/c/sub/in-other", out: "other\n"},
		{name: "bind a file to a missing place", change: binds(Bind{Source: other + "/sub/in-other", Dest: "/a/b/file"}), script: "cat /a/b/file", out: "other\n"},
		{name: "bind on what the image has", change: binds(Bind{Source: other, Dest: "/opt"}), script: "ls /opt", out: "sub\n", not: "own"},
		{name: "bind inside a bind", change: binds(Bind{Source: other, Dest: "/data"}, Bind{Source: w.project, Dest: "/data/sub"}), script: "ls /data/sub", out: "in-project\n"},
		{name: "bind below cwd is not covered", change: binds(Bind{Source: other, Dest: filepath.Join(w.project, "in")}), script: "ls -d in/sub; cat in-project", out: "in/sub\nproject\n"},
		{name: "odd names", change: binds(Bind{Source: other + "/with space, comma:colon", Dest: "/mnt/with space, comma:colon"}), script: "cat '/mnt/with space, comma:colon'", out: "odd\n"},
		{name: "read-only bind", change: binds(Bind{Source: other, Dest: "/ro", ReadOnly: true}), script: "touch /ro/x 2>/dev/null || echo refused", out: "refused\n"},
		{name: "read-only bind stays so", change: binds(Bind{Source: other, Dest: "/ro", ReadOnly: true}), script: "mount -o remount,rw,bind /ro 2>/dev/null && touch /ro/x 2>/dev/null && echo broken; echo end", out: map[bool]string{true: "", false: "end\n"}[root]},
		{name: "writable bind", change: binds(Bind{Source: other, Dest: "/rw"}), script: "echo new > /rw/new; cat /rw/new", out: "new\n"},
		{name: "several", change: binds(Bind{Source: other, Dest: "/x"}, Bind{Source: w.project, Dest: "/y"}), script: "ls /x/sub /y", out: "/x/sub:\nin-other\n"},

		{name: "resolv.conf and hosts", script: "cat /etc/resolv.conf /etc/hosts", out: "nameserver 192.0.2.1\n192.0.2.2 somewhere\n"},
		{name: "dns", change: func(o *Options) { o.DNS = []string{"192.0.2.9", "192.0.2.8"} }, script: "cat /etc/resolv.conf", out: "nameserver 192.0.2.9\nnameserver 192.0.2.8\n"},
		{name: "no hosts", change: func(o *Options) { o.NoMount = []string{"/etc/hosts"} }, script: "cat /etc/hosts 2>/dev/null; echo end", out: "end\n"},
		{name: "host name", change: func(o *Options) { o.Hostname = "desk" }, script: "hostname", out: "desk\n"},
		{name: "own process numbers", script: "test $$ -lt 100 && echo few", out: "few\n"},
		{name: "the host's process numbers", change: func(o *Options) { o.NoPIDs = true }, script: "ls -d /proc/" + pid() + "; ls / >/dev/null; exit 3", out: "/proc/" + pid(), status: 3},
		{name: "own IPC", change: func(o *Options) { o.IPC = true }, script: "readlink /proc/self/ns/ipc", out: "ipc:", not: link(t, "ipc")},
		{name: "the host's IPC", script: "readlink /proc/self/ns/ipc", out: link(t, "ipc")},
		{name: "own UTS", change: func(o *Options) { o.UTS = true }, script: "readlink /proc/self/ns/uts", out: "uts:", not: link(t, "uts")},
		{name: "the host's network", script: "readlink /proc/self/ns/net", out: link(t, "net")},
		{name: "no network", change: func(o *Options) { o.Network = NetworkNone }, script: "readlink /proc/self/ns/net; cat /proc/net/dev | grep -c :", out: "net:", not: link(t, "net")},

		{name: "throw-away root", script: "echo x > /new && cat /new", out: "x\n"},
		{name: "sealed root", change: func(o *Options) { o.ReadOnly = true }, script: "touch /new 2>&1; touch /opt/own 2>&1; echo x > /tmp/carrel-$$ && rm /tmp/carrel-$$ && echo tmp", out: "touch: cannot touch '/new': Read-only file system\ntouch: cannot touch '/opt/own': Read-only file system\ntmp\n"},
		{name: "umask", change: func(o *Options) { u := 0o027; o.Umask = &u }, script: "umask", out: "0027\n"},
		{name: "no new privileges", script: "grep NoNewPrivs /proc/self/status", out: "NoNewPrivs:\t1\n"},
		{name: "root without privileges", change: func(o *Options) { o.NoPrivs = true }, script: "grep CapEff /proc/self/status", out: "CapEff:\t0000000000000000\n"},
		{name: "limits", change: func(o *Options) { o.Limits = []plan.Limit{{Resource: unix.RLIMIT_NOFILE, Value: 99, Name: "files"}} }, script: "until test $(ulimit -n) = 99; do :; done; ulimit -n", out: "99\n"},
		{name: "status", script: "exit 42", status: 42},
		{name: "killed", script: "kill -TERM $$", status: 128 + 15},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := w.options(tc.script)
			if tc.change != nil {
				tc.change(&o)
			}
			for dir, mode := range Folders(o) {
				if err := os.MkdirAll(dir, os.FileMode(mode&0o777)); err != nil {
					t.Fatal(err)
				}
			}
			r := start(t, o)
			if r.err != nil || r.status != tc.status || !strings.HasPrefix(r.out, tc.out) || tc.not != "" && strings.Contains(r.out, tc.not) {
				t.Errorf("got status %d, %v, notes %q, output\n%swant status %d, output\n%s(and not %q)", r.status, r.err, r.notes, r.out, tc.status, tc.out, tc.not)
			}
		})
	}
	for _, f := range []string{"tmp/file", "home/file", "var_tmp/file"} {
		if b, err := os.ReadFile(filepath.Join(work, f)); err != nil || string(b) != "kept\n" {
			t.Errorf("work folder: %s: %q, %v", f, b, err)
		}
	}
	if _, err := os.Stat(filepath.Join(w.image, "a")); err == nil {
		t.Error("a place for a bind was made in the image itself")
	}
}

func contained(o *Options) { o.Contain = true }

func binds(b ...Bind) func(*Options) { return func(o *Options) { o.Binds = b } }

func homeOf(w world) string {
	if os.Getuid() == 0 {
		return "/root"
	}
	return w.home
}

func pid() string {
	b, _ := os.Readlink("/proc/self")
	return b
}

func link(t *testing.T, ns string) string {
	s, err := os.Readlink("/proc/self/ns/" + ns)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestUserIsKnownInside(t *testing.T) {
	asUser(t)
	w := newWorld(t)
	write(t, filepath.Join(w.image, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nimage:x:"+itoa(os.Getuid())+":1::/:/bin/sh\n")
	r := start(t, w.options("id -un; id -gn; cat /etc/passwd; ls -ld ~ | cut -d' ' -f3"))
	want := "ada\nlovelace\nroot:x:0:0:root:/root:/bin/sh\nada:x:" + itoa(os.Getuid()) + ":" + itoa(os.Getgid()) + "::" + w.home + ":/bin/zsh\n"
	if !strings.HasPrefix(r.out, want) {
		t.Errorf("got\n%swant\n%s", r.out, want)
	}
}

func itoa(n int) string { return strconv.Itoa(n) }

func TestUserThatIsInNoFile(t *testing.T) {
	for _, tc := range []struct {
		name string
		host Host
		want user
	}{
		{"of a directory service", Host{UID: 5000, GID: 50, Env: []string{"USER=ldap"}, Home: "/h/ldap"}, user{5000, 50, "ldap", "/h/ldap", "/bin/sh", "ldap"}},
		{"unknown", Host{UID: 5000, GID: 50}, user{5000, 50, "user5000", "/home/user5000", "/bin/sh", "user5000"}},
		{"hostile name", Host{UID: 5000, GID: 50, Env: []string{"USER=x:0:0\nroot"}}, user{5000, 50, "user5000", "/home/user5000", "/bin/sh", "user5000"}},
		{"root", Host{User: "toor", Home: "/somewhere"}, user{0, 0, "root", "/root", "/bin/sh", "root"}},
	} {
		if got := person(Options{Host: tc.host}); got != tc.want {
			t.Errorf("%s: got %+v, want %+v", tc.name, got, tc.want)
		}
	}
}

func TestFakeRoot(t *testing.T) {
	asUser(t)
	w := newWorld(t)
	o := w.options("id -u; echo $HOME; cat ~/in-home; touch /new && chown 33:33 /new && echo chowned")
	o.Root, o.FakeRoot, o.IDs = true, true, sandbox.SingleID(0, 0)
	if r := start(t, o); r.err != nil || r.out != "0\n/root\nhome\nchowned\n" {
		t.Errorf("%+v", r)
	}
}

func TestWritableFolder(t *testing.T) {
	w := newWorld(t)
	o := w.options("echo changed > /opt/own; echo new > /new; cat /opt/own")
	o.Upper = &plan.Upper{Kind: plan.UpperDirect}
	o.ReadOnly = true // has no meaning then
	if r := start(t, o); r.err != nil || r.out != "changed\n" {
		t.Fatalf("%+v", r)
	}
	if b, err := os.ReadFile(filepath.Join(w.image, "new")); err != nil || string(b) != "new\n" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := os.Stat(filepath.Join(w.image, w.project)); err == nil {
		t.Error("the working directory left its place in the folder")
	}
}

func TestOverlayFolder(t *testing.T) {
	w := newWorld(t)
	over := filepath.Join(filepath.Dir(w.project), "over")
	for _, d := range []string{"upper", "work"} {
		if err := os.MkdirAll(filepath.Join(over, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	o := w.options("rm /opt/own; echo kept > /opt/kept")
	o.Upper = &plan.Upper{Kind: plan.UpperDir, Dir: over}
	if r := start(t, o); r.err != nil || r.status != 0 {
		var e *sandbox.Error
		if errors.As(r.err, &e) && e.Op == "mount overlay" {
			t.Skip("missing: a file system that can hold an overlay's changes")
		}
		t.Fatalf("%+v", r)
	}
	o = w.options("ls /opt")
	o.Layers = append(o.Layers, Layer{Folder: filepath.Join(over, "upper")})
	if r := start(t, o); r.out != "kept\n" {
		t.Errorf("laid over read-only: %+v", r)
	}
}

func TestSafeProfile(t *testing.T) {
	w := newWorld(t)
	for _, tc := range []struct{ name, script, out string }{
		{"own home", "ls -A ~ | wc -l; touch ~/x && echo writable", "0\nwritable\n"},
		{"nothing of the host", "ls " + w.project + " " + w.home + "/in-home 2>/dev/null; echo end", "end\n"},
		{"run is writable", "touch /run/x /run/lock/y /run/user/$(id -u)/z && echo $XDG_RUNTIME_DIR", "/run/user/" + itoa(os.Getuid()) + "\n"},
		{"clean environment", "echo $COLOUR$SINGULARITY_SECRET; echo $TERM $TMPDIR $LANG", "\nxterm /tmp C.UTF-8\n"},
		{"no capabilities, also for root", "grep -h CapEff /proc/self/status; grep Seccomp: /proc/self/status", "CapEff:\t0000000000000000\nSeccomp:\t2\n"},
		{"its own processes", "ps -e 2>/dev/null | wc -l | { read n; test $n -lt 8 && echo few; }", "few\n"},
		{"writes are thrown away", "echo x > /etc/new && cat /etc/new", "x\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := w.options(tc.script)
			o.Safe = true
			if r := start(t, o); r.err != nil || r.out != tc.out {
				t.Errorf("got %+v, want %q", r, tc.out)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(w.image, "etc/new")); err == nil {
		t.Error("the container wrote to its image")
	}
}

func TestSignalsReachTheProcess(t *testing.T) {
	w := newWorld(t)
	for _, shared := range []bool{false, true} {
		o := w.options("trap 'echo caught; exit 9' USR1; echo ready; while :; do sleep 0.01; done")
		o.NoPIDs = shared
		c, err := Config(o)
		if err != nil {
			t.Fatal(err)
		}
		r, out, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		c.Stdout = out
		k, err := sandbox.Start(context.Background(), c)
		out.Close()
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		if n, err := io.ReadAtLeast(r, buf, len("ready\n")); err != nil || string(buf[:n]) != "ready\n" {
			t.Fatalf("%q, %v", buf[:n], err)
		}
		if err := k.Signal(syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		rest, _ := io.ReadAll(r)
		status, err := k.Wait()
		if status != 9 || err != nil || string(rest) != "caught\n" {
			t.Errorf("shared processes %t: status %d, %v, %q", shared, status, err, rest)
		}
		r.Close()
	}
}

func TestStdin(t *testing.T) {
	w := newWorld(t)
	for _, tc := range []struct {
		name  string
		stdin func() *os.File
		out   string
	}{
		{"closed", func() *os.File { return nil }, "0\n"},
		{"piped", func() *os.File {
			r, wr, _ := os.Pipe()
			wr.WriteString("one\ntwo\n")
			wr.Close()
			return r
		}, "2\n"},
	} {
		c, err := Config(w.options("wc -l"))
		if err != nil {
			t.Fatal(err)
		}
		r, out, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		c.Stdin, c.Stdout = tc.stdin(), out
		k, err := sandbox.Start(context.Background(), c)
		out.Close()
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(r)
		if status, err := k.Wait(); status != 0 || err != nil || string(text) != tc.out {
			t.Errorf("%s: %d, %v, %q", tc.name, status, err, text)
		}
		r.Close()
		if c.Stdin != nil {
			c.Stdin.Close()
		}
	}
}

func TestMistakesAreToldInWords(t *testing.T) {
	w := newWorld(t)
	o := w.options("true")
	o.Binds = []Bind{{Source: "/nowhere", Dest: "/x"}}
	r := start(t, o)
	var e *sandbox.Error
	if !errors.As(r.err, &e) || !errors.Is(r.err, unix.ENOENT) || e.Hint() == "" {
		t.Errorf("missing source: %v", r.err)
	}
	o = w.options("true")
	o.Cwd = "/nowhere"
	if r := start(t, o); !errors.As(r.err, &e) || e.Op != "enter folder" {
		t.Errorf("missing cwd: %v", r.err)
	}
	o = w.options("pwd")
	o.Host.Cwd = "/nowhere"
	if r := start(t, o); len(r.notes) != 1 || !strings.Contains(r.notes[0], "/nowhere") {
		t.Errorf("no remark about the working directory: %+v", r)
	}
	for _, b := range []Bind{{Source: "relative", Dest: "/x"}, {Source: "/x", Dest: "relative"}, {Source: "/x", Dest: "/"}, {Source: "/x", Dest: "/a/.."}} {
		if CheckBind(b) == nil {
			t.Errorf("%+v is accepted", b)
		}
	}
}

func TestParseSecurity(t *testing.T) {
	for _, tt := range []struct {
		in   string
		root bool
		want Security
		err  string
	}{
		{in: "", want: Security{}},
		{in: "seccomp:/a/b.json", want: Security{Profile: "/a/b.json"}},
		{in: "uid:1000,gid:100:101:102", root: true, want: Security{As: &Identity{1000, 100, []int{101, 102}}}},
		{in: "uid:1000", root: true, want: Security{As: &Identity{1000, -1, nil}}},
		{in: "uid:1000", err: "only root"},
		{in: "gid:1000", err: "only root"},
		{in: "uid:1000:5", root: true, err: "not a number"},
		{in: "uid:-1", root: true, err: "not a number"},
		{in: "uid:4294967295", root: true, err: "not a number"},
		{in: "apparmor:x", err: "AppArmor"},
		{in: "selinux:a:b:c", err: "SELinux"},
		{in: "seccomp", err: "no value"},
		{in: "seccomp:", err: "no value"},
		{in: "magic:x", err: "no such kind"},
	} {
		got, err := ParseSecurity(strings.FieldsFunc(tt.in, func(r rune) bool { return r == ',' }), tt.root)
		if tt.err != "" {
			var hint interface{ Hint() string }
			if err == nil || !strings.Contains(err.Error(), tt.err) || !errors.As(err, &hint) || hint.Hint() == "" {
				t.Errorf("%q: %v, want %q and a hint", tt.in, err, tt.err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q: %+v %v, want %+v", tt.in, got, err, tt.want)
		}
	}
}
