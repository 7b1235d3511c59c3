package build_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"carrel/engine"
	"carrel/engine/image"
	"carrel/engine/progress"
	"carrel/engine/sandbox"
	"carrel/internal/testroot"
)

// TestMain lets this binary be what a build starts: a worker.
func TestMain(m *testing.M) {
	args, isWorker, err := sandbox.EnterWorker()
	if isWorker {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(255)
		}
		if len(args) == 2 && args[0] == "remove" {
			_ = filepath.WalkDir(args[1], func(p string, d fs.DirEntry, _ error) error {
				if d != nil && d.IsDir() {
					_ = os.Chmod(p, 0o700)
				}
				return nil
			})
			if err := os.RemoveAll(args[1]); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		}
		os.Exit(engine.WorkerMain(args, os.Stdin, os.Stdout, os.Stderr))
	}
	if len(os.Args) == 2 {
		switch os.Args[1] {
		case "build-for-signals":
			os.Exit(buildForSignals())
		case "debug-on-terminal":
			os.Exit(debugOnTerminal())
		}
	}
	status := m.Run()
	if shared.dir != "" {
		os.RemoveAll(shared.dir)
	}
	os.Exit(status)
}

// shared is a root folder of this machine's programs that all tests build upon and none changes.
var shared struct {
	once sync.Once
	dir  string
}

func baseFolder(t testing.TB) string {
	t.Helper()
	shared.once.Do(func() {
		made := testroot.Make(t, "cp", "mv", "tr", "basename")
		dir, err := os.MkdirTemp("", "carrel-base-")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(made, filepath.Join(dir, "base")); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		shared.dir = dir
	})
	return filepath.Join(shared.dir, "base")
}

// kit is an engine with folders of its own.
type kit struct {
	t      testing.TB
	dir    string // for everything
	cwd    string // the caller's working directory
	config engine.Config
	*engine.Engine
}

func newKit(t testing.TB) *kit {
	t.Helper()
	dir, err := os.MkdirTemp("", "carrel-build-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { removeAll(t, dir) })
	return newKitIn(t, dir)
}

func newKitIn(t testing.TB, dir string) *kit {
	t.Helper()
	k := &kit{t: t, dir: dir, cwd: filepath.Join(dir, "cwd")}
	if err := os.MkdirAll(k.cwd, 0o755); err != nil {
		t.Fatal(err)
	}
	k.config = engine.Config{
		DataDir: filepath.Join(dir, "data"), CacheDir: filepath.Join(dir, "cache"), StateDir: filepath.Join(dir, "state"),
		User: engine.User{UID: os.Getuid(), GID: os.Getgid(), Home: dir, Cwd: k.cwd, Env: []string{"PATH=/usr/bin:/bin"}},
		Self: "/bin/true", Version: "test",
	}
	if u, err := user.Current(); err == nil {
		k.config.User.Name = u.Username
	}
	k.start()
	return k
}

// start makes the engine anew, after a change of the configuration.
func (k *kit) start() {
	k.t.Helper()
	e, err := engine.New(k.config)
	if err != nil {
		k.t.Fatal(err)
	}
	k.Engine = e
}

// removeAll removes a folder in which files may belong to subordinate ids.
func removeAll(t testing.TB, dir string) {
	t.Helper()
	ids := sandbox.NoIDMap()
	if os.Getuid() != 0 {
		var err error
		if ids, err = sandbox.RootWithRanges(); err != nil {
			ids = sandbox.SingleID(0, 0)
		}
	}
	w, err := sandbox.StartWorker(context.Background(), ids, []string{"remove", dir}, nil, nil, os.Stderr)
	if err != nil {
		t.Error(err)
		return
	}
	if status, err := w.Wait(); status != 0 || err != nil {
		t.Errorf("remove %s: status %d, %v", dir, status, err)
	}
}

// write writes a file below the working directory and returns its path.
func (k *kit) write(name, text string) string {
	k.t.Helper()
	p := filepath.Join(k.cwd, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		k.t.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
		k.t.Fatal(err)
	}
	return p
}

// events collects what a build tells.
type events struct {
	mu  sync.Mutex
	all []engine.Event
}

func (e *events) sink(ev engine.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ev)
}

// log is the lines of output of a step, and of all steps for "".
func (e *events) log(step progress.Step) string {
	var b strings.Builder
	for _, ev := range e.all {
		if ev.Kind == progress.Line && (step == "" || ev.Step == step) {
			b.WriteString(ev.Text + "\n")
		}
	}
	return b.String()
}

// notices are the sentences for a person.
func (e *events) notices() string {
	var b strings.Builder
	for _, ev := range e.all {
		if ev.Kind == progress.Notice {
			b.WriteString(ev.Text + "\n")
		}
	}
	return b.String()
}

// started tells whether a step was begun.
func (e *events) started(step progress.Step) bool {
	for _, ev := range e.all {
		if ev.Kind == progress.Start && ev.Step == step {
			return true
		}
	}
	return false
}

// try builds a definition text, with BASE for the base folder, and returns what happened.
func (k *kit) try(text string, spec engine.BuildSpec) (engine.ImageInfo, *events, error) {
	k.t.Helper()
	spec.Definition = k.write("Singularity", strings.ReplaceAll(text, "BASE", baseFolder(k.t)))
	if spec.Target == "" {
		spec.Target = "image.sif"
	}
	ev := &events{}
	info, err := k.Build(k.t.Context(), spec, ev.sink)
	return info, ev, err
}

// build is try that must succeed.
func (k *kit) build(text string, spec engine.BuildSpec) (*image.Image, *events) {
	k.t.Helper()
	info, ev, err := k.try(text, spec)
	if err != nil {
		k.t.Fatalf("build: %v\n%s", err, ev.log(""))
	}
	return k.open(info.Path), ev
}

func (k *kit) open(path string) *image.Image {
	k.t.Helper()
	img, err := image.Open(path)
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { img.Close() })
	return img
}

// read is a file of an image.
func read(t testing.TB, img *image.Image, name string) string {
	t.Helper()
	f, err := img.FS()
	if err != nil {
		t.Fatal(err)
	}
	data, err := fs.ReadFile(f, strings.TrimPrefix(name, "/"))
	if err != nil {
		t.Error(err)
	}
	return string(data)
}

func has(t testing.TB, img *image.Image, name string) bool {
	t.Helper()
	f, err := img.FS()
	if err != nil {
		t.Fatal(err)
	}
	_, err = fs.Stat(f, strings.TrimPrefix(name, "/"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	return err == nil
}

// out runs an image and returns what it wrote.
func (k *kit) out(s engine.RunSpec) (string, int) {
	k.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		k.t.Fatal(err)
	}
	defer r.Close()
	text := make(chan string)
	go func() {
		var b strings.Builder
		buf := make([]byte, 4096)
		for {
			n, err := r.Read(buf)
			b.Write(buf[:n])
			if err != nil {
				break
			}
		}
		text <- b.String()
	}()
	status, err := k.Run(k.t.Context(), s, engine.Stdio{Out: w, Err: w}, engine.RunCallbacks{})
	w.Close()
	got := <-text
	if err != nil {
		k.t.Fatalf("run: %v\n%s", err, got)
	}
	return got, status
}

// workEmpty checks that no build has left anything in its work folder, nor beside its target.
func (k *kit) workEmpty() {
	k.t.Helper()
	for _, dir := range []string{filepath.Join(k.config.CacheDir, "work"), k.cwd} {
		names, err := os.ReadDir(dir)
		if err != nil {
			k.t.Error(err)
		}
		for _, n := range names {
			if dir == k.cwd && !strings.HasPrefix(n.Name(), ".") {
				continue
			}
			k.t.Errorf("left behind: %s", filepath.Join(dir, n.Name()))
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		k.t.Fatal(err)
	}
	if strings.Contains(string(mounts), k.dir) {
		k.t.Error("a mount is left behind")
	}
}

// children are the processes that name a folder in their arguments or environment, other than this one.
func processesOf(t testing.TB, needle string) []string {
	t.Helper()
	var found []string
	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range procs {
		if p == fmt.Sprintf("/proc/%d", os.Getpid()) {
			continue
		}
		for _, f := range []string{"cmdline", "environ"} {
			data, err := os.ReadFile(p + "/" + f)
			if err == nil && strings.Contains(string(data), needle) {
				found = append(found, p+": "+strings.ReplaceAll(string(data[:min(len(data), 80)]), "\x00", " "))
			}
		}
	}
	return found
}
