package engine

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	imagepkg "carrel/engine/image"
	"carrel/engine/sandbox"
	"carrel/engine/sif"
	"carrel/internal/rmtree"
	"carrel/internal/testroot"
)

// TestMain lets the test binary be what the program's binary is: worker, supervisor, and by its imports an init.
func TestMain(m *testing.M) {
	if args, is, err := sandbox.EnterWorker(); is {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(255)
		}
		os.Exit(WorkerMain(args, os.Stdin, os.Stdout, os.Stderr))
	}
	if len(os.Args) > 1 && os.Args[1] == SupervisorVerb {
		if err := Supervise(context.Background(), os.Stdin); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(255)
		}
		os.Exit(0)
	}
	if addr := os.Getenv("CARREL_TEST_SERVE"); addr != "" {
		fmt.Println(http.ListenAndServe(addr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "served ", r.URL.Path) })))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// entries is a catalog made in a test.
type entries map[string]string

func (c entries) Lookup(name string) (CatalogEntry, error) {
	text, ok := c[name]
	if !ok {
		return CatalogEntry{}, ErrNotFound
	}
	return CatalogEntry{Name: name, Text: text}, nil
}

// newEngine is an engine in folders of its own.
func newEngine(t *testing.T, catalog entries) *Engine {
	t.Helper()
	home := t.TempDir()
	t.Cleanup(func() { rmtree.Remove(home) })
	// every user's containers have to reach it
	for dir := home; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		_ = os.Chmod(dir, 0o755)
	}
	e, err := New(Config{
		DataDir: filepath.Join(home, "data"), CacheDir: filepath.Join(home, "cache"), StateDir: filepath.Join(home, "state"),
		Self: "/proc/self/exe", Version: "test", Catalog: catalog,
		User: User{UID: os.Getuid(), GID: os.Getgid(), Name: "tester", Home: filepath.Join(home, "home"), Env: []string{"TERM=dumb"}, Cwd: home},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(e.c.User.Home, 0o755); err != nil {
		t.Fatal(err)
	}
	return e
}

// small builds an image of this machine's own programs and returns its path.
func small(t *testing.T, e *Engine, sections string, programs ...string) string {
	t.Helper()
	def := filepath.Join(e.c.User.Cwd, "small.def")
	text := "Bootstrap: localimage\nFrom: " + testroot.Make(t, programs...) + "\n\n" + sections
	if err := os.WriteFile(def, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	info, err := e.Build(context.Background(), BuildSpec{Definition: def, Target: filepath.Join(e.c.User.Cwd, "small.sif"), Force: true}, nil)
	if err != nil {
		t.Fatal(err, Hint(err))
	}
	return info.Path
}

// output runs a RunSpec in the foreground and returns its status and what it wrote.
func output(t *testing.T, e *Engine, s RunSpec) (int, string, error) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	out := make(chan string)
	go func() {
		b, _ := io.ReadAll(r)
		out <- string(b)
	}()
	status, err := e.Run(context.Background(), s, Stdio{Out: w, Err: w}, RunCallbacks{Note: func(n string) { t.Log("note:", n) }})
	w.Close()
	return status, <-out, err
}

func shell(image, script string) RunSpec {
	return RunSpec{Image: image, Action: ActionExec, Args: []string{"sh", "-c", script}}
}

func TestBuildAndRun(t *testing.T) {
	e := newEngine(t, nil)
	image := small(t, e, "%labels\n  org.opencontainers.image.title Small\n%environment\n  export GREETING=hello\n%runscript\n  echo $GREETING \"$@\"\n  exit 4\n")
	status, out, err := output(t, e, RunSpec{Image: image, Args: []string{"a b", "c"}})
	if status != 4 || out != "hello a b c\n" || err != nil {
		t.Errorf("got %d %q %v", status, out, err)
	}
	images, err := e.Images(context.Background())
	if err != nil || len(images) != 1 || images[0].Title != "Small" || images[0].LastRun.IsZero() {
		t.Errorf("images %+v, %v", images, err)
	}
	in, err := e.Inspect(context.Background(), image)
	if err != nil || !strings.Contains(in.Runscript, "echo $GREETING") || !strings.Contains(in.Definition, "%environment") {
		t.Errorf("inspect %+v, %v", in, err)
	}
}

func TestResolve(t *testing.T) {
	e := newEngine(t, entries{"pages": "Bootstrap: scratch\n", "big": "Bootstrap: debootstrap\nOSVersion: bookworm\n"})
	own := filepath.Join(e.imageDir(), "own.sif")
	local := filepath.Join(e.c.User.Cwd, "local.sif")
	for _, p := range []string{own, local} {
		if err := os.WriteFile(p, []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name string
		want Target
		err  error
	}{
		{"local.sif", Target{Kind: TargetImage, Name: "local", Path: local, Built: true}, nil},
		{"./local.sif", Target{Kind: TargetImage, Name: "local", Path: local, Built: true}, nil},
		{"own", Target{Kind: TargetImage, Name: "own", Path: own, Built: true}, nil},
		{"own.sif", Target{Kind: TargetImage, Name: "own", Path: own, Built: true}, nil},
		{"pages", Target{Kind: TargetCatalog, Name: "pages", Path: filepath.Join(e.imageDir(), "pages.sif")}, nil},
		{"docker://ghcr.io/x/tool:1.2", Target{Kind: TargetRemote, Name: "tool_1.2", Path: filepath.Join(e.imageDir(), "tool_1.2.sif"), Ref: "docker://ghcr.io/x/tool:1.2"}, nil},
		{"missing", Target{}, ErrNotFound},
		{"./missing", Target{}, ErrNotFound},
		{"", Target{}, ErrNotFound},
	} {
		got, err := e.Resolve(context.Background(), tc.name)
		if got != tc.want || !errors.Is(err, tc.err) {
			t.Errorf("%q: got %+v, %v; want %+v, %v", tc.name, got, err, tc.want, tc.err)
		}
	}
	if _, err := e.Resolve(context.Background(), "owm"); !strings.Contains(Hint(err), "own") {
		t.Errorf("no suggestion: %q", Hint(err))
	}
}

func TestCatalogEntryIsBuiltOnceAndAgainWhenItChanged(t *testing.T) {
	catalog := entries{"empty": "Bootstrap: scratch\n%labels\n  v 1\n"}
	e := newEngine(t, catalog)
	ctx := context.Background()
	builds := 0
	sink := func(ev Event) {
		if ev.Kind == "plan" {
			builds++
		}
	}
	for range 2 {
		if _, err := e.EnsureBuilt(ctx, "empty", sink); err != nil {
			t.Fatal(err)
		}
	}
	if builds != 1 {
		t.Errorf("built %d times", builds)
	}
	catalog["empty"] = "Bootstrap: scratch\n%labels\n  v 2\n"
	if _, err := e.EnsureBuilt(ctx, "empty", sink); err != nil {
		t.Fatal(err)
	}
	in, err := e.Inspect(ctx, "empty")
	if err != nil || in.Labels["v"] != "2" || builds != 2 {
		t.Errorf("labels %v, %v, built %d times", in.Labels, err, builds)
	}
}

func TestWritableKeepsChanges(t *testing.T) {
	e := newEngine(t, nil)
	image := small(t, e, "%post\n  mkdir /opt\n  echo old > /opt/old\n")
	ctx := context.Background()
	write := shell(image, "mkdir /opt/notebooks; echo one > /opt/notebooks/n1; rm /opt/old")
	write.Writable = true
	if status, out, err := output(t, e, write); status != 0 || err != nil {
		t.Fatal(status, out, err)
	}
	look := shell(image, "cat /opt/notebooks/*; ls /opt")
	if _, out, _ := output(t, e, look); out != "one\nnotebooks\n" {
		t.Errorf("after one run: %q", out)
	}
	// A second generation, and a run that changes nothing and adds none.
	write.Args = []string{"sh", "-c", "echo two > /opt/notebooks/n2"}
	for range 2 {
		if status, out, err := output(t, e, write); status != 0 || err != nil {
			t.Fatal(status, out, err)
		}
		write.Args = []string{"true"}
	}
	s, err := sif.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(s.Overlays()); n != 2 {
		t.Errorf("%d layers, want 2", n)
	}
	s.Close()
	if _, out, _ := output(t, e, look); out != "one\ntwo\nnotebooks\n" {
		t.Errorf("after two runs: %q", out)
	}
	changes, err := e.Changes(ctx, image)
	kinds := map[string]string{}
	for _, f := range changes.Files {
		kinds[f.Path] = f.Kind
	}
	if err != nil || changes.Layers != 2 || kinds["/opt/old"] != "removed" || kinds["/opt/notebooks"] != "added" || kinds["/usr"] != "" {
		t.Errorf("changes: %+v, %v", changes, err)
	}
	done, err := e.Compact(ctx, image)
	if err != nil || done.Size >= done.Before || done.Layers != 2 {
		t.Errorf("compact: %+v, %v", done, err)
	}
	if _, out, _ := output(t, e, look); out != "one\ntwo\nnotebooks\n" {
		t.Errorf("after compact: %q", out)
	}
	if left, err := e.Unsaved(ctx, image); left != nil || err != nil {
		t.Errorf("unsaved %+v, %v", left, err)
	}
}

func TestKilledWritableRunIsOfferedAgain(t *testing.T) {
	e := newEngine(t, nil)
	image := small(t, e, "%runscript\n  echo precious > /kept\n  exec sleep 1000\n")
	ctx := context.Background()
	in, err := e.Start(ctx, RunSpec{Image: image, Writable: true, Leftovers: LeftoversDiscard})
	if err != nil {
		t.Fatal(err, Hint(err))
	}
	if in.Spec.Leftovers != LeftoversAsk {
		t.Error("a restart would throw away changes without asking")
	}
	upper := filepath.Join(e.changesDir(image), "upper", "kept")
	eventually(t, "the app wrote", func() bool { return exists(upper) })

	// A second writer is told.
	_, _, err = output(t, e, RunSpec{Image: image, Action: ActionExec, Args: []string{"true"}, Writable: true})
	var busy *BusyError
	if !errors.As(err, &busy) {
		t.Errorf("second writer: %v", err)
	}
	p, err := os.FindProcess(in.PID)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the app is seen to be lost", func() bool {
		in, err = e.Instance(ctx, in.Name)
		return err == nil && in.State == StateLost
	})
	write := shell(image, "cat /kept")
	write.Writable = true
	var unsaved *UnsavedError
	eventually(t, "the killed run let go of the image", func() bool {
		_, _, err = output(t, e, write)
		return errors.As(err, &unsaved)
	})
	if unsaved.Files != 1 {
		t.Errorf("unsaved %+v", unsaved)
	}
	write.Leftovers = LeftoversKeep
	if status, out, err := output(t, e, write); status != 0 || out != "precious\n" || err != nil {
		t.Errorf("kept: %d %q %v", status, out, err)
	}
	if _, out, _ := output(t, e, shell(image, "cat /kept")); out != "precious\n" {
		t.Errorf("not saved: %q", out)
	}
}

func TestHotCopy(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("missing: an unprivileged user (root's images are mounted by the kernel)")
	}
	e := newEngine(t, nil)
	image := small(t, e, "%post\n  echo content > /file\n  chmod 600 /file\n")
	key, err := hotKey(image)
	if err != nil {
		t.Fatal(err)
	}
	heat := func(limit int64) error {
		return runHeater(context.Background(), heatOrder{Image: image, Dir: e.hotDir(), Key: key, Limit: limit})
	}
	if err := heat(1000); err != nil {
		t.Fatal(err)
	}
	if len(hotCopies(e.hotDir())) != 0 {
		t.Error("a copy larger than the limit was made")
	}
	if err := heat(1 << 30); err != nil {
		t.Fatal(err)
	}
	copies := hotCopies(e.hotDir())
	if len(copies) != 1 || copies[0].image != image || copies[0].bytes == 0 {
		t.Fatalf("copies %+v", copies)
	}
	// It is used: what is put into it is seen, and what the container changes is not in it.
	if err := os.WriteFile(filepath.Join(copies[0].dir, "root", "mark"), []byte("hot\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, out, err := output(t, e, shell(image, "cat /mark /file; echo x > /new; rm /mark")); out != "hot\ncontent\n" || err != nil {
		t.Errorf("got %q %v", out, err)
	}
	if exists(filepath.Join(copies[0].dir, "root", "new")) || !exists(filepath.Join(copies[0].dir, "root", "mark")) {
		t.Error("the container changed the copy")
	}
	if err := coolDown(e.hotDir(), 0); err != nil || len(hotCopies(e.hotDir())) != 0 {
		t.Errorf("still there: %v, %v", hotCopies(e.hotDir()), err)
	}
	if _, out, _ := output(t, e, shell(image, "cat /file")); out != "content\n" {
		t.Errorf("without a copy: %q", out)
	}
}

// eventually waits until something is so, which is soon.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	end := time.Now().Add(30 * time.Second)
	for !is() {
		if time.Now().After(end) {
			t.Fatalf("never happened: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestServe(t *testing.T) {
	e := newEngine(t, nil)
	// The test binary itself is the server inside: it needs no interpreter.
	if isDynamic(t) {
		t.Skip("missing: a statically linked test binary (CGO_ENABLED=0)")
	}
	image := small(t, e, "%files\n  "+testBinary(t)+" /bin/server\n%labels\n  carrel.port.8000 http /hello Greeting\n%runscript\n  exec env CARREL_TEST_SERVE=127.0.0.1:8000 /bin/server\n")
	ctx := context.Background()
	in, err := e.Start(ctx, RunSpec{Image: image, Profile: ProfileSafe, Ports: []Port{{Container: 8000}}})
	if err != nil {
		t.Fatal(err, Hint(err))
	}
	eventually(t, "the app is ready", func() bool {
		in, err = e.Instance(ctx, in.Name)
		return err == nil && in.State == StateReady
	})
	if len(in.Addresses) != 1 || !strings.HasSuffix(in.Addresses[0].URL, "/hello") || in.Addresses[0].Text != "Greeting" {
		t.Fatalf("addresses %+v", in.Addresses)
	}
	resp, err := http.Get(in.Addresses[0].URL)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if string(body) != "served /hello" {
		t.Errorf("page %q", body)
	}
	r, w, _ := os.Pipe()
	status, err := e.Exec(ctx, in.Name, RunSpec{Action: ActionExec, Args: []string{"sh", "-c", "echo inside $$"}}, Stdio{Out: w, Err: w}, false)
	w.Close()
	if out, _ := io.ReadAll(r); status != 0 || err != nil || !strings.HasPrefix(string(out), "inside ") {
		t.Errorf("exec: %d %v %q", status, err, out)
	}
	again, err := e.Restart(ctx, in.Name)
	if err != nil || again.Name != in.Name || again.PID == in.PID {
		t.Fatalf("restart: %+v, %v", again, err)
	}
	if err := e.Stop(ctx, in.Name, time.Second); err != nil {
		t.Fatal(err)
	}
	if in, err = e.Instance(ctx, in.Name); err != nil || in.State != StateExited {
		t.Errorf("after stop: %+v, %v", in, err)
	}
	if _, err := http.Get(again.Addresses[0].URL); err == nil {
		t.Error("it still serves")
	}
	if err := e.Stop(ctx, in.Name, 0); !errors.Is(err, ErrNotRunning) {
		t.Errorf("second stop: %v", err)
	}
	if err := e.Forget(ctx, in.Name); err != nil {
		t.Error(err)
	}
}

// testBinary is a copy of this program at a path that a definition can name.
func testBinary(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return self
}

func isDynamic(t *testing.T) bool {
	t.Helper()
	f, err := elf.Open(testBinary(t))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
}

func TestStartErrors(t *testing.T) {
	e := newEngine(t, nil)
	image := small(t, e, "%runscript\n  sleep 1000\n")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr).Port
	for _, tc := range []struct {
		name string
		spec RunSpec
		hint string
	}{
		{"missing folder", RunSpec{Binds: []Bind{{Source: "/nowhere/at/all", Dest: "/mnt"}}}, "mkdir"},
		{"root as destination", RunSpec{Binds: []Bind{{Source: "/tmp", Dest: "/"}}}, ""},
		{"taken port", RunSpec{Ports: []Port{{Host: taken, Container: 80, Fixed: true}}}, "free"},
		{"bad name", RunSpec{Name: "a/b"}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.spec.Image = image
			in, err := e.Start(context.Background(), tc.spec)
			if err == nil {
				t.Fatalf("started: %+v", in)
			}
			if !strings.Contains(Hint(err), tc.hint) {
				t.Errorf("%v: hint %q", err, Hint(err))
			}
			if list, _ := e.Instances(context.Background()); len(list) != 0 {
				t.Errorf("left behind: %+v", list)
			}
		})
	}
}

func TestCommandLine(t *testing.T) {
	e := newEngine(t, nil)
	home := e.c.User.Home
	for _, tc := range []struct {
		spec RunSpec
		want string
	}{
		{RunSpec{Image: "jupyter"}, "carrel run jupyter"},
		{RunSpec{Image: filepath.Join(e.imageDir(), "jupyter.sif")}, "carrel run jupyter"},
		{RunSpec{Image: "x.sif", Action: ActionExec, Args: []string{"ls", "a b"}}, "carrel exec x.sif ls 'a b'"},
		{RunSpec{Image: "j", Profile: ProfileSafe, Binds: []Bind{{Source: home + "/my papers", Dest: "/data", ReadOnly: true}}, Ports: []Port{{Host: 8888, Container: 8888}}},
			"carrel run --safe -B ~/'my papers:/data:ro' -p 8888 j"},
		{RunSpec{Image: "j", Ports: []Port{{Host: 80, Container: 8888, Fixed: true}, {HostIP: "0.0.0.0", Host: 1, Container: 2}}}, "carrel run -p 80:8888 -p 0.0.0.0:1:2 j"},
		{RunSpec{Image: "j", Env: map[string]string{"B": "2", "A": "it's"}}, `carrel run --env 'A=it'\''s' --env B=2 j`},
		{RunSpec{Image: "j", NoNetwork: true, Writable: true}, "carrel run --writable --net none j"},
		{RunSpec{Image: "j", TimeLimit: 2 * time.Hour, Details: Details{Nvidia: true, Limits: Limits{Memory: 4 << 30, CPUs: 1.5}}}, "carrel run --memory 4G --cpus 1.5 --time 2h --nv j"},
	} {
		if got := e.CommandLine(tc.spec); got != tc.want {
			t.Errorf("got  %s\nwant %s", got, tc.want)
		}
	}
}

func TestFolderAndPort(t *testing.T) {
	e := newEngine(t, nil)
	dir := filepath.Join(e.c.User.Home, "papers")
	if err := os.MkdirAll(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"a.ipynb", "b.IPYNB", ".hidden"} {
		if err := os.WriteFile(filepath.Join(dir, n), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := e.Folder("~/papers")
	if s.Path != dir || !s.Readable || !s.Writable || s.Files != 3 || s.ByExt[".ipynb"] != 2 || s.Problem != "" {
		t.Errorf("folder %+v", s)
	}
	for p, want := range map[string]string{"": "choose", "~/none": "no such", "~/papers/a.ipynb": "file"} {
		if s := e.Folder(p); !strings.Contains(s.Problem, want) {
			t.Errorf("%q: %q does not say %q", p, s.Problem, want)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	n := l.Addr().(*net.TCPAddr).Port
	if s := e.Port(n); s.Free || s.Holder == "" || s.NextOne == n {
		t.Errorf("port %+v", s)
	}
	l.Close()
	if s := e.Port(n); !s.Free || s.NextOne != n {
		t.Errorf("free port %+v", s)
	}
	if s := e.Port(70000); s.Free || s.Holder == "" {
		t.Errorf("no port %+v", s)
	}
}

// TestWritableFolders: what a run does to folders is in the image afterwards: modes, also of the root, and folders in the
// place of links to folders, which hide what the links led to.
func TestWritableFolders(t *testing.T) {
	e := newEngine(t, nil)
	image := small(t, e, "%post\n  mkdir -p /opt/real /opt/open\n  chmod 777 /opt/open\n  echo ghost > /opt/real/ghost\n  ln -s real /opt/link\n", "cut")
	write := shell(image, "chmod 1777 /opt/open; rm /opt/link; mkdir /opt/link; echo new > /opt/link/new; chmod 1755 /")
	write.Writable = true
	look := shell(image, "ls -A /opt/link; ls -ld /opt/open | cut -c1-10")
	want := "new\ndrwxrwxrwt\n"
	for range 2 { // the second changes nothing
		if status, out, err := output(t, e, write); status != 0 || err != nil {
			t.Fatal(status, out, err)
		}
		if _, out, _ := output(t, e, look); out != want {
			t.Errorf("got %q, want %q", out, want)
		}
		write.Args = []string{"true"}
	}
	img, err := imagepkg.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	fsys, err := img.FS()
	if err != nil {
		t.Fatal(err)
	}
	if root, err := fs.Stat(fsys, "."); err != nil || root.Mode() != fs.ModeDir|fs.ModeSticky|0o755 {
		t.Errorf("root: %v, %v", root, err)
	}
	if n := len(img.Overlays()); n != 1 {
		t.Errorf("%d layers, want 1", n)
	}
}
