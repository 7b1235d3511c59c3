package singularity

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"carrel/engine"
	"carrel/engine/sandbox"
	"carrel/internal/testroot"
)

// TestMain makes the test binary what the program's is: a supervisor and a worker, when it is called so. (An init it is
// before main.)
func TestMain(m *testing.M) {
	if args, isWorker, err := sandbox.EnterWorker(); isWorker {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(exitFatal)
		}
		os.Exit(engine.WorkerMain(args, os.Stdin, os.Stdout, os.Stderr))
	}
	if len(os.Args) > 1 && os.Args[1] == engine.SupervisorVerb {
		if err := engine.Supervise(context.Background(), os.Stdin); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(exitFatal)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// desk is where a command line is called: folders of its own, an image.
type desk struct {
	home, cwd, image string
	env              []string
	stdin            string
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	base := t.TempDir()
	for dir := base; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		_ = os.Chmod(dir, 0o755) // a parent that is not ours stays as it is
	}
	d := &desk{home: filepath.Join(base, "home"), cwd: filepath.Join(base, "work"), image: testroot.Make(t)}
	for _, dir := range []string{d.home, d.cwd} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	put(t, filepath.Join(d.image, ".singularity.d/runscript"), "#!/bin/sh\necho run \"$@\"\n")
	put(t, filepath.Join(d.image, ".singularity.d/test"), "#!/bin/sh\nexit 6\n")
	put(t, filepath.Join(d.image, ".singularity.d/startscript"), "#!/bin/sh\necho started \"$@\" > /tmp/started\n")
	put(t, filepath.Join(d.image, ".singularity.d/labels.json"), `{"Author":"ada"}`)
	put(t, filepath.Join(d.image, ".singularity.d/runscript.help"), "some help\n")
	put(t, filepath.Join(d.image, "opt/own"), "own\n")
	return d
}

func put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// call calls the program as a person does. A nil desk has no image.
func call(t *testing.T, d *desk, args ...string) (status int, out, errs string) {
	t.Helper()
	return callAs(t, d, "/usr/bin/singularity", args...)
}

func callAs(t *testing.T, d *desk, arg0 string, args ...string) (status int, out, errs string) {
	t.Helper()
	if d == nil {
		d = &desk{home: t.TempDir(), cwd: t.TempDir()}
	}
	pipe := func() (*os.File, func() string) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		text := make(chan string)
		go func() {
			b, _ := io.ReadAll(r)
			r.Close()
			text <- string(b)
		}()
		return w, func() string { w.Close(); return <-text }
	}
	stdout, outText := pipe()
	stderr, errText := pipe()
	stdin, feed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	go func() {
		io.WriteString(feed, d.stdin)
		feed.Close()
	}()
	u := engine.User{UID: os.Getuid(), GID: os.Getgid(), Name: "ada", Home: d.home, Shell: "/bin/sh", Cwd: d.cwd, Env: append([]string{"PATH=/host/bin", "COLOUR=green"}, d.env...)}
	if me, err := user.LookupId(strconv.Itoa(u.UID)); err == nil {
		u.Name = me.Username
	}
	status = Main(context.Background(), Config{
		Arg0: arg0, Args: args, In: stdin, Out: stdout, Err: stderr, User: u, Version: "1.2.3",
		Engine: func(insecure ...string) (*engine.Engine, error) {
			own := filepath.Join(d.home, ".carrel")
			return engine.New(engine.Config{DataDir: own, CacheDir: filepath.Join(own, "cache"), StateDir: filepath.Join(own, "state"), User: u, Version: "1.2.3", Insecure: insecure})
		},
		Signals: func(bool, func(os.Signal)) func() { return func() {} },
	})
	return status, outText(), errText()
}

func TestActions(t *testing.T) {
	d := newDesk(t)
	put(t, filepath.Join(d.cwd, "vars"), "A=1\nexport B=\"two words $A\"\n# comment\nC='single $A'\n")
	put(t, filepath.Join(d.cwd, "data/file"), "data\n")
	put(t, filepath.Join(d.image, "scif/apps/foo/scif/runscript"), "#!/bin/sh\necho app foo \"$@\"\n")
	hostNS := func(kind string) string {
		name, err := os.Readlink("/proc/self/ns/" + kind)
		if err != nil {
			t.Fatal(err)
		}
		return name
	}
	shared := []string{"HOST_IPC=" + hostNS("ipc"), "HOST_UTS=" + hostNS("uts")}
	for _, tc := range []struct {
		name   string
		env    []string
		stdin  string
		args   []string
		status int
		out    string
		errs   string // part of it
		quiet  bool   // nothing else either
	}{
		{name: "run", args: []string{"run", "IMAGE", "a b", "-B", "--help"}, out: "run a b -B --help\n"},
		{name: "exec", args: []string{"exec", "IMAGE", "cat", "/opt/own"}, out: "own\n"},
		{name: "shell", stdin: "echo from shell; exit 4\n", args: []string{"shell", "IMAGE"}, out: "from shell\n", status: 4},
		{name: "shell chosen", stdin: "echo $0\n", args: []string{"shell", "-s", "/bin/sh", "IMAGE"}, out: "/bin/sh\n"},
		{name: "shell by variable", env: []string{"SINGULARITY_SHELL=/bin/sh"}, stdin: "echo $0\n", args: []string{"shell", "IMAGE"}, out: "/bin/sh\n"},
		{name: "test", args: []string{"test", "IMAGE"}, status: 6},
		{name: "status", args: []string{"exec", "IMAGE", "sh", "-c", "exit 42"}, status: 42},
		{name: "killed", args: []string{"exec", "IMAGE", "sh", "-c", "kill -9 $$"}, status: 137},
		{name: "stdin", stdin: "one\ntwo\n", args: []string{"exec", "IMAGE", "wc", "-l"}, out: "2\n"},
		{name: "read-only", args: []string{"exec", "IMAGE", "touch", "/new"}, status: 1, errs: "Read-only file system"},
		{name: "writable-tmpfs", args: []string{"exec", "--writable-tmpfs", "IMAGE", "sh", "-c", "echo x > /new; cat /new"}, out: "x\n"},
		{name: "bind", args: []string{"exec", "-B", "data:/data:ro", "IMAGE", "sh", "-c", "cat /data/file; touch /data/x"}, out: "data\n", status: 1, errs: "Read-only"},
		{name: "bind by variable adds", env: []string{"SINGULARITY_BIND=data:/one", "APPTAINER_BINDPATH=data:/two"}, args: []string{"exec", "--bind", "data:/three", "IMAGE", "cat", "/one/file", "/three/file"}, out: "data\ndata\n"},
		{name: "mount", args: []string{"exec", "--mount", "type=bind,source=data,destination=/m,ro", "IMAGE", "cat", "/m/file"}, out: "data\n"},
		{name: "several binds", args: []string{"exec", "-B", "data:/a,data:/b:ro", "IMAGE", "cat", "/a/file", "/b/file"}, out: "data\ndata\n"},
		{name: "missing source", args: []string{"exec", "-B", "/nowhere", "IMAGE", "true"}, status: exitFatal, errs: "FATAL:   bind /nowhere"},
		{name: "env", args: []string{"exec", "--env", "A=1,B=2", "IMAGE", "sh", "-c", "echo $A $B $COLOUR"}, out: "1 2 green\n"},
		{name: "env-file", args: []string{"exec", "--env-file", "vars", "IMAGE", "sh", "-c", "echo $A, $B, $C"}, out: "1, two words 1, single $A\n"},
		{name: "cleanenv", args: []string{"exec", "-e", "IMAGE", "sh", "-c", "echo x$COLOUR"}, out: "x\n"},
		{name: "cleanenv by variable", env: []string{"APPTAINER_CLEANENV=1"}, args: []string{"exec", "IMAGE", "sh", "-c", "echo x$COLOUR"}, out: "x\n"},
		{name: "variable that says no", env: []string{"APPTAINER_CLEANENV=false"}, args: []string{"exec", "IMAGE", "sh", "-c", "echo x$COLOUR"}, out: "xgreen\n"},
		{name: "CARREL before APPTAINER", env: []string{"CARREL_CWD=/opt", "APPTAINER_CWD=/etc"}, args: []string{"exec", "IMAGE", "pwd"}, out: "/opt\n"},
		{name: "pwd", args: []string{"exec", "--pwd", "/opt", "IMAGE", "pwd"}, out: "/opt\n"},
		{name: "home", args: []string{"exec", "-H", "data:/home/you", "IMAGE", "sh", "-c", "cat ~/file; echo $HOME"}, out: "data\n/home/you\n"},
		{name: "home by variable", env: []string{"SINGULARITY_HOME=data:/home/you"}, args: []string{"exec", "IMAGE", "sh", "-c", "cat ~/file"}, out: "data\n"},
		{name: "Carrel's own folder is no home", env: []string{"CARREL_HOME=data:/home/you"}, args: []string{"exec", "IMAGE", "ls", "/home"}},
		{name: "pid", args: []string{"exec", "-p", "IMAGE", "sh", "-c", "test $$ -lt 20 && echo own"}, out: "own\n"},
		{name: "containall", args: []string{"exec", "-C", "IMAGE", "sh", "-c", "ls -A ~ /tmp | grep -c carrel; test $$ -lt 20 && echo own$COLOUR"}, out: "0\nown\n"},
		{name: "hostname", args: []string{"exec", "--hostname", "desk", "IMAGE", "hostname"}, out: "desk\n"},
		{name: "scratch", args: []string{"exec", "-S", "/s", "IMAGE", "touch", "/s/x"}},
		{name: "network none", args: []string{"exec", "--net", "--network", "none", "IMAGE", "sh", "-c", "grep -c : /proc/net/dev"}, out: "1\n"},
		{name: "umask", args: []string{"exec", "--no-umask", "IMAGE", "sh", "-c", "umask"}, out: "0022\n"},
		{name: "fakeroot", args: []string{"exec", "-f", "IMAGE", "id", "-u"}, out: "0\n"},
		{name: "nv without a card", args: []string{"exec", "--nv", "IMAGE", "echo", "on"}, out: "on\n"},
		{name: "limits", args: []string{"exec", "--pids-limit", "4000", "--memory", "1G", "IMAGE", "echo", "on"}, out: "on\n"},
		{name: "name server", args: []string{"exec", "--dns", "192.0.2.1, 2001:db8::1", "IMAGE", "cat", "/etc/resolv.conf"}, out: "nameserver 192.0.2.1\nnameserver 2001:db8::1\n"},
		{name: "no name server", args: []string{"exec", "--dns", "192.0.2.1,foo", "IMAGE", "true"}, status: exitUsage, errs: "\"foo\" is not an address"},
		{name: "no such mount", args: []string{"exec", "--no-mount", "bogus,/etc/localtime", "IMAGE", "echo", "on"}, out: "on\n", errs: "--no-mount bogus: ignored"},
		{name: "no-env", args: []string{"exec", "--no-env", "COLOUR,OTHER", "IMAGE", "sh", "-c", "echo x$COLOUR"}, out: "x\n"},
		{name: "no-env by variable", env: []string{"APPTAINER_NOENV=COLOUR"}, args: []string{"exec", "IMAGE", "sh", "-c", "echo x$COLOUR"}, out: "x\n"},
		{name: "containlibs", args: []string{"exec", "--containlibs", "data/file,vars", "IMAGE", "sh", "-c", "cat /.singularity.d/libs/file; ls /.singularity.d/libs"}, out: "data\nfile\nvars\n"},
		{name: "no-nv before a variable", env: []string{"APPTAINER_NV=1"}, args: []string{"exec", "--no-nv", "IMAGE", "echo", "on"}, out: "on\n"},
		{name: "ignored", args: []string{"exec", "--ignore-subuid", "--ignore-userns", "--ignore-fakeroot-command", "--tmpdir", "/x", "IMAGE", "echo", "on"}, out: "on\n"},
		{name: "folder by variable", env: []string{"APPTAINER_TARGET_CWD=/etc"}, args: []string{"exec", "IMAGE", "pwd"}, out: "/etc\n"},
		{name: "folder by flag before variable", env: []string{"APPTAINER_CWD=/etc"}, args: []string{"exec", "--pwd", "/opt", "IMAGE", "pwd"}, out: "/opt\n"},
		{name: "variable of an absent flag", env: []string{"APPTAINER_NVCCLI=1"}, args: []string{"exec", "IMAGE", "echo", "on"}, out: "on\n", errs: "APPTAINER_NVCCLI has no effect: there is no --nvccli"},
		{name: "variable of an absent flag with a value", env: []string{"SINGULARITY_NETWORK_ARGS=portmap=1"}, args: []string{"exec", "IMAGE", "echo", "on"}, out: "on\n", errs: "no CNI plugins"},
		{name: "variable that asks for no absent flag", env: []string{"APPTAINER_ALLOW_SETUID=0"}, args: []string{"exec", "IMAGE", "echo", "on"}, out: "on\n", quiet: true},
		{name: "silent by variable", env: []string{"APPTAINER_SILENT=1", "APPTAINER_NVCCLI=1"}, args: []string{"exec", "IMAGE", "echo", "on"}, out: "on\n", quiet: true},
		{name: "bad limit", args: []string{"exec", "--memory", "lots", "IMAGE", "true"}, status: exitUsage, errs: "not an amount of memory"},
		{name: "ipc", args: []string{"exec", "--ipc", "IMAGE", "sh", "-c", "test $(readlink /proc/self/ns/ipc) != $HOST_IPC && echo own"}, out: "own\n"},
		{name: "uts", args: []string{"exec", "--uts", "IMAGE", "sh", "-c", "test $(readlink /proc/self/ns/uts) != $HOST_UTS && echo own"}, out: "own\n"},
		{name: "neither", args: []string{"exec", "IMAGE", "sh", "-c", "test $(readlink /proc/self/ns/uts)$(readlink /proc/self/ns/ipc) = $HOST_UTS$HOST_IPC && echo shared"}, out: "shared\n"},
		{name: "app", args: []string{"run", "--app", "foo", "IMAGE", "x"}, out: "app foo x\n"},
		{name: "app by variable", env: []string{"APPTAINER_APPNAME=foo"}, args: []string{"run", "IMAGE", "x"}, out: "app foo x\n"},
		{name: "workdir", args: []string{"exec", "--contain", "-W", "wd", "-S", "/s", "IMAGE", "sh", "-c", "echo kept > /tmp/f; echo kept > /s/f; cat /tmp/f /s/f"}, out: "kept\nkept\n"},
		{name: "no-mount", args: []string{"exec", "--no-mount", "sys,bind-paths", "IMAGE", "sh", "-c", "ls /sys | wc -w"}, out: "0\n"},
		{name: "rocm without a card", args: []string{"exec", "--rocm", "IMAGE", "echo", "on"}, out: "on\n"},
		{name: "add-caps", args: []string{"exec", "--no-privs", "--add-caps", "CAP_NET_RAW", "IMAGE", "grep", "CapEff", "/proc/self/status"}, out: "CapEff:\t0000000000002000\n"},
		{name: "add-caps unknown", args: []string{"exec", "--add-caps", "CAP_FLY", "IMAGE", "true"}, status: exitFatal, errs: "capability \"FLY\""},
		{name: "drop-caps", args: []string{"exec", "--fakeroot", "--drop-caps", "all", "IMAGE", "grep", "CapEff", "/proc/self/status"}, out: "CapEff:\t0000000000000000\n"},
		{name: "keep-privs", args: []string{"exec", "--fakeroot", "--no-privs", "--keep-privs", "IMAGE", "sh", "-c", "grep -c 'CapEff:.0000000000000000' /proc/self/status"}, out: "0\n", status: 1},
		{name: "no-privs", args: []string{"exec", "--fakeroot", "--no-privs", "IMAGE", "sh", "-c", "grep -c 'CapEff:.0000000000000000' /proc/self/status"}, out: "1\n"},
		{name: "underlay", args: []string{"exec", "--underlay", "-B", "data:/new/place", "IMAGE", "cat", "/new/place/file"}, out: "data\n"},
		{name: "cpus", args: []string{"exec", "--cpus", "1", "--cpuset-cpus", "0", "IMAGE", "sh", "-c", "grep Cpus_allowed_list /proc/self/status"}, out: "Cpus_allowed_list:\t0\n"},
		{name: "negative memory", args: []string{"exec", "--memory", "-5", "IMAGE", "true"}, status: exitUsage, errs: "--memory -5: less than nothing"},
		{name: "negative reservation", args: []string{"exec", "--memory-reservation", "-1", "IMAGE", "true"}, status: exitUsage, errs: "less than nothing"},
		{name: "any swap", args: []string{"exec", "--memory-swap", "-1", "IMAGE", "echo", "on"}, out: "on\n"},
		{name: "negative processes", args: []string{"exec", "--pids-limit", "-7", "IMAGE", "true"}, status: exitUsage, errs: "--pids-limit -7: not a limit"},
		{name: "any processes", args: []string{"exec", "--pids-limit", "-1", "IMAGE", "echo", "on"}, out: "on\n", quiet: true},
		{name: "negative weight", args: []string{"exec", "--blkio-weight", "-1", "IMAGE", "true"}, status: exitUsage, errs: "from 10 to 1000"},
		{name: "too much weight", args: []string{"exec", "--blkio-weight", "1001", "IMAGE", "true"}, status: exitUsage, errs: "from 10 to 1000"},
		{name: "negative share", args: []string{"exec", "--cpu-shares", "-2", "IMAGE", "true"}, status: exitUsage, errs: "--cpu-shares -2: not a limit"},
		{name: "negative processors", args: []string{"exec", "--cpus", "-1", "IMAGE", "true"}, status: exitUsage, errs: "not a number of processors"},
		{name: "no image", args: []string{"exec", "none.sif", "true"}, status: exitFatal, errs: "none.sif"},
		{name: "no program", args: []string{"exec", "IMAGE", "no-such"}, status: exitFatal, errs: "start no-such"},
		{name: "userns", args: []string{"exec", "-u", "IMAGE", "sh", "-c", "wc -l < /proc/self/uid_map"}, out: "1\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.name == "nv without a card" {
				if _, err := os.Stat("/dev/nvidiactl"); err == nil {
					t.Skip("missing: a computer without a card")
				}
			}
			d := *d
			d.env, d.stdin = append(slices.Clone(tc.env), shared...), tc.stdin
			args := append([]string{}, tc.args...)
			for i := range args {
				if args[i] == "IMAGE" {
					args[i] = d.image
				}
			}
			status, out, errs := call(t, &d, args...)
			if status != tc.status || out != tc.out || !strings.Contains(errs, tc.errs) || tc.quiet && errs != "" {
				t.Errorf("got %d, %q, %q; want %d, %q, %q", status, out, errs, tc.status, tc.out, tc.errs)
			}
		})
	}
}

// TestVersion: what workflow programs read out of the version.
func TestVersion(t *testing.T) {
	for _, tc := range []struct {
		arg0, kind, number string
	}{
		{"apptainer", "apptainer", "1.4.5"},
		{"/usr/bin/singularity", "singularity-ce", "3.11.4"},
	} {
		status, out, errs := callAs(t, nil, tc.arg0, "--version")
		if want := tc.kind + " version " + tc.number + "\n"; status != 0 || out != want || errs != "" {
			t.Errorf("%s: %d, %q, %q; want %q", tc.arg0, status, out, errs, want)
		}
		// Snakemake takes the last word, and compares it with the least for the first (apptainer, else 2.4.1).
		words := strings.Fields(out)
		if last := words[len(words)-1]; !regexp.MustCompile(`^[0-9]+(\.[0-9]+)+$`).MatchString(last) {
			t.Errorf("%s: the last word is %q", tc.arg0, last)
		}
		// cwltool: the kind of program, and its number.
		if m := regexp.MustCompile(`^(.+) version ([0-9\.]+)`).FindStringSubmatch(out); m == nil || m[1] != tc.kind || m[2] != tc.number {
			t.Errorf("%s: read as %q", tc.arg0, m)
		}
		if status, out, errs := callAs(t, nil, tc.arg0, "version"); status != 0 || out != tc.number+"\n" || errs != "" {
			t.Errorf("%s: %d, %q, %q", tc.arg0, status, out, errs)
		}
		if _, out, _ := callAs(t, nil, tc.arg0, "--help"); !strings.Contains(out, "Carrel 1.2.3") {
			t.Errorf("%s does not say who it is: %q", tc.arg0, out)
		}
	}
}

func TestImageAsProgram(t *testing.T) {
	d := newDesk(t)
	if status, out, errs := callAs(t, d, "run-singularity", d.image, "a", "--pwd"); status != 0 || out != "run a --pwd\n" {
		t.Errorf("%d, %q, %q", status, out, errs)
	}
}

// TestOverlay keeps changes in a folder and in an ext3 file, run after run.
func TestOverlay(t *testing.T) {
	for _, name := range []string{"folder/", "file.img"} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			if status, _, errs := call(t, d, "overlay", "create", "--size", "64", "--create-dir", "/made", name); status != 0 {
				t.Fatal(errs)
			}
			if name == "file.img" {
				if status, _, errs := call(t, d, "overlay", "create", "--size", "64", name); status != exitFatal || !strings.Contains(errs, "exist") {
					t.Errorf("made twice: %d, %q", status, errs)
				}
			}
			status, _, errs := call(t, d, "exec", "-o", name, d.image, "sh", "-c", "echo kept > /made/file; rm /opt/own; echo x > /made/gone")
			if status != 0 {
				if strings.Contains(errs, "mount overlay") {
					t.Skip("missing: a file system that can hold an overlay's changes")
				}
				t.Fatal(errs)
			}
			for _, tc := range []struct {
				overlay, script, out string
				status               int
			}{
				{name + ":ro", "cat /made/file; ls /opt; touch /made/x", "kept\n", 1},
				{name, "rm /made/gone; mkdir /opt/own; echo again > /opt/own/file; cat /made/file", "kept\n", 0},
				{name + ":ro", "ls /made /opt/own", "/made:\nfile\n\n/opt/own:\nfile\n", 0},
			} {
				if status, out, errs := call(t, d, "exec", "--overlay", tc.overlay, d.image, "sh", "-c", tc.script); status != tc.status || out != tc.out {
					t.Errorf("%s: %d, %q, %q", tc.script, status, out, errs)
				}
			}
		})
	}
}

// TestBindFromImage shows parts of images in a container.
func TestBindFromImage(t *testing.T) {
	d := newDesk(t)
	for _, args := range [][]string{
		{"overlay", "create", "--create-dir", "/made/here", "data.img"},
		{"exec", "--overlay", "data.img", d.image, "sh", "-c", "echo text > /made/file"},
		{"build", "data.sif", d.image},
		{"sif", "add", "--datatype", "4", "--partfs", "2", "--parttype", "3", "--partarch", "2", "data.sif", "data.img"},
	} {
		if status, _, errs := call(t, d, args...); status != 0 {
			t.Fatalf("%q: %s", args, errs)
		}
	}
	_, list, _ := call(t, d, "sif", "list", "data.sif")
	fields := strings.Fields(list[strings.LastIndex(strings.TrimRight(list, "\n"), "\n"):])
	last := strings.Split(fields[0], "|")[0]
	for _, tc := range []struct {
		args      []string
		status    int
		out, errs string
	}{
		{[]string{"-B", "data.img:/new/data:image-src=/upper/made", d.image, "cat", "/new/data/file"}, 0, "text\n", ""},
		{[]string{"-B", "data.img:/new/one:image-src=/upper/made/file", d.image, "cat", "/new/one"}, 0, "text\n", ""},
		{[]string{"--mount", "type=bind,src=data.img,dst=/data,image-src=/upper", d.image, "ls", "/data/made"}, 0, "file\nhere\n", ""},
		{[]string{"-B", "data.sif:/data:image-src=/upper/made,ro", d.image, "cat", "/data/file"}, 0, "text\n", ""},
		{[]string{"-B", "data.sif:/data:id=" + last, d.image, "cat", "/data/upper/made/file"}, 0, "text\n", ""},
		{[]string{"-B", "data.img:/data:image-src=/upper", d.image, "sh", "-c", "echo x > /data/made/file"}, 2, "", "Read-only"},
		{[]string{"-B", "data.img:/data:image-src=/nothing", d.image, "true"}, exitFatal, "", "/nothing"},
		{[]string{"-B", "data.img:/data:id=3", d.image, "true"}, exitFatal, "", "only the partitions of a SIF have numbers"},
		{[]string{"-B", "data.sif:/data:id=1", d.image, "true"}, exitFatal, "", "not a partition"},
		{[]string{"-B", "data.sif:/data:id=x", d.image, "true"}, exitUsage, "", "not the number"},
		{[]string{"-B", "data.sif:/data:image-src=", d.image, "true"}, exitUsage, "", "without a path"},
	} {
		status, out, errs := call(t, d, append([]string{"exec"}, tc.args...)...)
		if status != tc.status || out != tc.out || !strings.Contains(errs, tc.errs) {
			t.Errorf("%q: %d, %q, %q", tc.args, status, out, errs)
		}
	}
}

// TestParts changes the parts of a SIF as `sif` does.
func TestParts(t *testing.T) {
	d := newDesk(t)
	if err := os.WriteFile(filepath.Join(d.cwd, "notes"), []byte("remember"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		args      []string
		status    int
		out, errs string
	}{
		{[]string{"sif", "new", "x.sif"}, 0, "", ""},
		{[]string{"sif", "new", "x.sif"}, exitFatal, "", "exist"},
		{[]string{"sif", "add", "--datatype", "7", "--filename", "the notes", "x.sif", "notes"}, 0, "", ""},
		{[]string{"sif", "add", "--datatype", "4", "--partfs", "1", "--parttype", "1", "--partarch", "2", "--groupid", "1", "x.sif", "notes"}, 0, "", ""},
		{[]string{"sif", "add", "--datatype", "9", "x.sif", "notes"}, exitUsage, "", "type 9"},
		{[]string{"sif", "add", "--datatype", "4", "--partfs", "9", "x.sif", "notes"}, exitUsage, "", "file system 9"},
		{[]string{"sif", "list", "x.sif"}, 0, "FS (Squashfs/System/amd64)", ""},
		{[]string{"sif", "dump", "1", "x.sif"}, 0, "remember", ""},
		{[]string{"sif", "info", "1", "x.sif"}, 0, "the notes", ""},
		{[]string{"sif", "setprim", "1", "x.sif"}, exitFatal, "", "not a system partition"},
		{[]string{"sif", "setprim", "2", "x.sif"}, 0, "", ""},
		{[]string{"sif", "list", "x.sif"}, 0, "FS (Squashfs/*System/amd64)", ""},
		{[]string{"overlay", "create", "x.sif"}, 0, "", "Created"},
		{[]string{"overlay", "create", "x.sif"}, exitFatal, "", "already"},
		{[]string{"sif", "list", "x.sif"}, 0, "FS (Ext3/Overlay/amd64)", ""},
		{[]string{"sif", "del", "1", "x.sif"}, 0, "", ""},
		{[]string{"siftool", "list", "x.sif"}, 0, "FS (Ext3/Overlay/amd64)", ""},
		{[]string{"sif", "del", "1", "x.sif"}, exitFatal, "", "no such object"},
		{[]string{"sif", "del", "one", "x.sif"}, exitUsage, "", "not the number"},
	} {
		status, out, errs := call(t, d, tc.args...)
		if status != tc.status || !strings.Contains(out, tc.out) || !strings.Contains(errs, tc.errs) {
			t.Errorf("%q: %d, %q, %q", tc.args, status, out, errs)
		}
	}
}

func TestWritableFolder(t *testing.T) {
	d := newDesk(t)
	if status, _, errs := call(t, d, "exec", "-w", d.image, "sh", "-c", "echo new > /opt/new"); status != 0 {
		t.Fatal(errs)
	}
	if b, err := os.ReadFile(filepath.Join(d.image, "opt/new")); err != nil || string(b) != "new\n" {
		t.Errorf("%q, %v", b, err)
	}
}

func TestInstance(t *testing.T) {
	d := newDesk(t)
	if status, _, errs := call(t, d, "instance", "start", "--contain", "--pid-file", "pid", d.image, "one", "arg"); status != 0 {
		t.Fatal(errs)
	}
	defer call(t, d, "instance", "stop", "--all", "--force")
	if _, out, errs := call(t, d, "instance", "list"); !strings.Contains(out, "one ") {
		t.Errorf("%q, %q", out, errs)
	}
	// The startscript may still run.
	status, out, errs := call(t, d, "exec", "instance://one", "sh", "-c", "until test -s /tmp/started; do :; done; cat /tmp/started")
	if status != 0 || out != "started arg\n" {
		t.Errorf("%d, %q, %q", status, out, errs)
	}
	if status, out, _ := call(t, d, "exec", "instance://one", "sh", "-c", "exit 5"); status != 5 || out != "" {
		t.Errorf("%d, %q", status, out)
	}
	d.stdin = "echo $0\n"
	if status, out, errs := call(t, d, "shell", "-s", "/bin/sh", "instance://one"); status != 0 || out != "/bin/sh\n" {
		t.Errorf("shell: %d, %q, %q", status, out, errs)
	}
	d.stdin = ""
	if status, out, errs := call(t, d, "instance", "stats", "--json", "one"); status != 0 || !strings.Contains(out, "memory_bytes") {
		t.Errorf("%d, %q, %q", status, out, errs)
	}
	if b, err := os.ReadFile(filepath.Join(d.cwd, "pid")); err != nil || len(b) == 0 {
		t.Errorf("pid file: %q, %v", b, err)
	}
	if status, _, errs := call(t, d, "instance", "stop", "o*"); status != 0 {
		t.Errorf("%d, %q", status, errs)
	}
	if status, _, errs := call(t, d, "instance", "stop", "one"); status != exitFatal {
		t.Errorf("stopped twice: %d, %q", status, errs)
	}
	if status, _, errs := call(t, d, "exec", "instance://one", "true"); status != exitFatal {
		t.Errorf("exec in an ended instance: %d, %q", status, errs)
	}
}

// TestJoin: what cannot be changed of an instance that runs is refused, and what is said of the process counts.
func TestJoin(t *testing.T) {
	d := newDesk(t)
	put(t, filepath.Join(d.cwd, "vars"), "FILE=read\n")
	if status, _, errs := call(t, d, "instance", "start", d.image, "one"); status != 0 {
		t.Fatal(errs)
	}
	defer call(t, d, "instance", "stop", "--all", "--force")
	for _, args := range [][]string{
		{"-B", "/tmp:/x"}, {"--mount", "type=bind,src=/tmp,dst=/x"}, {"--security", "seccomp:none"}, {"--security", "selinux:a"}, {"--drop-caps", "all"},
		{"--add-caps", "all"}, {"--no-privs"}, {"--keep-privs"}, {"--memory", "1G"}, {"--cpus", "1"}, {"--pids-limit", "9"}, {"--nv"}, {"--rocm"},
		{"--writable"}, {"--writable-tmpfs"}, {"--overlay", "x"}, {"--home", "/tmp"}, {"--no-home"}, {"--contain"}, {"--containall"}, {"--compat"},
		{"--hostname", "x"}, {"--dns", "1.1.1.1"}, {"--net"}, {"--network", "none"}, {"--pid"}, {"--ipc"}, {"--uts"}, {"--userns"}, {"--fakeroot"},
		{"--scratch", "/x"}, {"--workdir", "/tmp"}, {"--no-mount", "tmp"}, {"--blkio-weight", "10"}, {"--cpuset-cpus", "0"},
	} {
		status, out, errs := call(t, d, append(append([]string{"exec"}, args...), "instance://one", "echo", "ran")...)
		flag := args[0]
		if flag == "-B" {
			flag = "--bind"
		}
		if status != exitUsage || out != "" || !strings.Contains(errs, flag+" has no effect on instance://one") || !strings.Contains(errs, "instance start") {
			t.Errorf("%q: %d, %q, %q", args, status, out, errs)
		}
	}
	for _, verb := range []string{"run", "shell"} {
		if status, _, errs := call(t, d, verb, "--no-privs", "instance://one"); status != exitUsage || !strings.Contains(errs, "--no-privs has no effect") {
			t.Errorf("%s: %d, %q", verb, status, errs)
		}
	}
	mask := syscall.Umask(0o027)
	defer syscall.Umask(mask)
	for _, tc := range []struct {
		name       string
		env, args  []string
		command    string
		out, warns string
	}{
		{name: "umask", command: "umask", out: "0027\n"},
		{name: "no-umask", args: []string{"--no-umask"}, command: "umask", out: "0022\n"},
		{name: "the next one again", command: "umask", out: "0027\n"},
		{name: "environment", command: "echo $COLOUR", out: "green\n"},
		{name: "cleanenv", args: []string{"--cleanenv"}, command: "echo x$COLOUR", out: "x\n"},
		{name: "env", args: []string{"-e", "--env", "COLOUR=red", "--env-file", "vars"}, command: "echo $COLOUR $FILE", out: "red read\n"},
		{name: "pwd", args: []string{"--pwd", "/etc"}, command: "pwd", out: "/etc\n"},
		{name: "binds for all", env: []string{"APPTAINER_BIND=/tmp:/x", "SINGULARITY_NV=1"}, command: "ls -d /x || echo on", out: "on\n"},
		{name: "limit for all", env: []string{"APPTAINER_MEMORY=1G"}, command: "echo on", out: "on\n", warns: "variable for --memory has no effect"},
	} {
		d := *d
		d.env = tc.env
		status, out, errs := call(t, &d, append(append([]string{"exec"}, tc.args...), "instance://one", "sh", "-c", tc.command+" 2>/dev/null")...)
		if status != 0 || out != tc.out || strings.Contains(errs, "has no effect") != (tc.warns != "") || !strings.Contains(errs, tc.warns) {
			t.Errorf("%s: %d, %q, %q", tc.name, status, out, errs)
		}
	}
}

func TestCreateAndBootstrap(t *testing.T) {
	d := newDesk(t)
	if status, _, errs := call(t, d, "create", "-s", "100", "new.img"); status != 0 {
		t.Fatal(errs)
	}
	if status, _, errs := call(t, d, "create", "new.img"); status != exitFatal || !strings.Contains(errs, "-F") {
		t.Errorf("made twice: %d, %q", status, errs)
	}
	put(t, filepath.Join(d.cwd, "Singularity"), "Bootstrap: localimage\nFrom: "+d.image+"\n\n%runscript\n    echo built \"$@\"\n\n%labels\n    Author grace\n\n%help\n    Ask grace.\n")
	if status, _, errs := call(t, d, "bootstrap", "new.img", "Singularity"); status != 0 {
		t.Fatalf("bootstrap: %s", errs)
	}
	for _, tc := range []struct {
		args []string
		out  string // part of it
	}{
		{[]string{"run", "new.img", "x"}, "built x\n"},
		{[]string{"inspect", "new.img"}, "Author: grace\n"},
		{[]string{"inspect", "--json", "-r", "new.img"}, `"runscript": "#!/bin/sh`},
		{[]string{"inspect", "-d", "new.img"}, "Bootstrap: localimage"},
		{[]string{"run-help", "new.img"}, "Ask grace."},
		{[]string{"sif", "list", "new.img"}, "FS (Squashfs/*System/"},
		{[]string{"sif", "header", "new.img"}, "run-singularity"},
		{[]string{"sif", "info", "1", "new.img"}, "Def.FILE"},
		{[]string{"sif", "dump", "1", "new.img"}, "Bootstrap: localimage"},
		{[]string{"cache", "list"}, "Total space used"},
		{[]string{"cache", "clean", "-n"}, ""},
	} {
		if status, out, errs := call(t, d, tc.args...); status != 0 || !strings.Contains(out, tc.out) {
			t.Errorf("%q: %d, %q, %q", tc.args, status, out, errs)
		}
	}
	if status, _, errs := call(t, d, "verify", "new.img"); status != exitFatal || !strings.Contains(errs, "Failed to verify container: integrity: signature not found for object group 1") {
		t.Errorf("verify: %d, %q", status, errs)
	}
	if status, out, _ := call(t, d, "verify", "--json", "new.img"); status != exitFatal || !strings.Contains(out, `"checked": "digest"`) {
		t.Errorf("verify --json: %d, %q", status, out)
	}
	// Not a placeholder any more.
	if status, _, errs := call(t, d, "bootstrap", "new.img", "Singularity"); status != exitFatal || !strings.Contains(errs, "--force") {
		t.Errorf("%d, %q", status, errs)
	}
	if status, _, errs := call(t, d, "exec", "-w", "new.img", "sh", "-c", "echo kept > /opt/kept"); status != 0 {
		t.Errorf("--writable: %s", errs)
	}
	if _, out, errs := call(t, d, "exec", "new.img", "cat", "/opt/kept"); out != "kept\n" {
		t.Errorf("--writable did not keep: %q, %q", out, errs)
	}
}
