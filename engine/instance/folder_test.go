package instance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carrel/engine/instance/logfile"
)

// put writes a state as a supervisor would have.
func put(t testing.TB, root, name string, change func(*record)) string {
	t.Helper()
	dir := filepath.Join(root, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	self, err := readProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	r := record{
		Instance: Instance{Name: name, State: StateReady, PID: self.pid, Started: time.Now()},
		Machine:  thisMachine(), Start: self.start,
	}
	if change != nil {
		change(&r)
	}
	if err := r.write(dir, false); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestStaleEntriesAreRecognised(t *testing.T) {
	for _, tc := range []struct {
		name      string
		change    func(*record)
		state     State
		elsewhere string
	}{
		{"alive", nil, StateReady, ""},
		{"ended", func(r *record) { r.State, r.PID = StateExited, 1 }, StateExited, ""},
		{"number given to another process", func(r *record) { r.Start++ }, StateLost, ""},
		{"no such process", func(r *record) { r.PID = 1 << 30 }, StateLost, ""},
		{"started again since", func(r *record) { r.Machine.Boot = "another" }, StateLost, ""},
		{"another machine", func(r *record) { r.Machine.Boot, r.Machine.Host = "another", "node7" }, StateReady, "node7"},
		{"another machine of the same name", func(r *record) { r.Machine.Boot, r.Machine.ID = "another", "another" }, StateReady, thisMachine().Host},
		{"another machine, silent", func(r *record) { r.Machine.Boot, r.Machine.Host, r.Beats = "another", "node7", true }, StateLost, "node7"},
		{"another machine, of a version without beats", func(r *record) { r.Machine.Boot, r.Machine.Host = "another", "node7" }, StateReady, "node7"},
		{"this machine, whose beats nobody needs", func(r *record) { r.Beats = true }, StateReady, ""},
		{"ended on another machine", func(r *record) { r.Machine.Boot, r.Machine.Host, r.State = "another", "node7", StateExited }, StateExited, "node7"},
		{"another container that is gone", func(r *record) { r.Machine.Space = "pid:[1]" }, StateLost, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root := t.TempDir()
			dir := put(t, root, "app", tc.change)
			long := time.Now().Add(-2 * beatGrace)
			if err := os.Chtimes(filepath.Join(dir, stateFile), long, long); err != nil {
				t.Fatal(err)
			}
			in, err := Get(root, "app")
			if err != nil || in.State != tc.state || in.Elsewhere != tc.elsewhere {
				t.Errorf("got %s on %q, %v; want %s on %q", in.State, in.Elsewhere, err, tc.state, tc.elsewhere)
			}
			if tc.elsewhere == "" || !in.State.Live() {
				return
			}
			var e *ElsewhereError
			if err := Stop(context.Background(), dir, 0); !errors.As(err, &e) || !strings.Contains(e.Hint(), tc.elsewhere) || !strings.Contains(e.Hint(), "rm --force app") {
				t.Errorf("stop: %v", err)
			}
			if _, _, err := Reserve(root, "app", true); !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), tc.elsewhere) || !strings.Contains(hint(err), "rm --force app") {
				t.Errorf("its name: %v, %s", err, hint(err))
			}
			if err := Forget(root, "app"); !errors.Is(err, ErrRunning) {
				t.Errorf("forget: %v", err)
			}
			if err := Discard(root, "app"); err != nil {
				t.Error(err)
			}
			if _, err := Get(root, "app"); !errors.Is(err, ErrNotFound) {
				t.Errorf("discarded, and still there: %v", err)
			}
		})
	}
}

// TestBeat lets a supervisor show that it is there, and notice that another machine gave its folder away while it slept.
func TestBeat(t *testing.T) {
	root := t.TempDir()
	dir := put(t, root, "app", func(r *record) { r.Beats = true })
	r, err := readRecord(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := &supervisor{rec: r, spec: Spec{Dir: dir}}
	long := time.Now().Add(-2 * beatGrace)
	if err := os.Chtimes(filepath.Join(dir, stateFile), long, long); err != nil {
		t.Fatal(err)
	}
	if r.silent(dir, time.Now()) == 0 {
		t.Error("a long silence is none")
	}
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		s.beat(time.Millisecond, ended)
		close(done)
	}()
	for end := time.Now().Add(20 * time.Second); r.silent(dir, time.Now()) != 0; <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not beat")
		}
	}
	close(ended)
	<-done
	s.beatOnce(time.Now(), true)
	if s.evicted {
		t.Fatal("evicted from its own folder")
	}
	put(t, root, "app", func(r *record) { r.Machine.Host, r.Machine.Boot, r.Title = "node7", "another", "the other's" })
	s.beatOnce(time.Now(), true)
	s.update(func(r *record) { r.State = StateUnhealthy })
	if now, err := readRecord(dir); err != nil || !s.evicted || now.Title != "the other's" || now.State != StateReady {
		t.Errorf("it has written to the other's folder: %+v, %v", now, err)
	}
}

// TestWatchFar: of what another machine changes the kernel tells nothing, so that it is looked for.
func TestWatchFar(t *testing.T) {
	root := t.TempDir()
	put(t, root, "app", func(r *record) { r.Machine.Boot, r.Machine.Host = "another", "node7" })
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	changes, err := Watch(ctx, root)
	if err != nil {
		t.Fatal(err)
	}
	if _, open := <-changes; !open {
		t.Error("nobody looked")
	}
}

func TestAnotherContainerOfThisMachine(t *testing.T) {
	root := t.TempDir()
	dir := put(t, root, "app", func(r *record) { r.Machine.Space = "pid:[1]" })
	l, _, err := listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if in, err := Get(root, "app"); err != nil || in.State != StateReady {
		t.Errorf("got %s, %v", in.State, err)
	}
}

func TestNames(t *testing.T) {
	for image, want := range map[string]string{
		"/data/Jupyter Lab.sif":         "jupyter-lab",
		"nginx-basic.img":               "nginx-basic",
		"docker://ghcr.io/a/tool:1.2":   "tool-1.2",
		"docker://alpine@sha256:abcdef": "alpine",
		"/data/sandbox/":                "sandbox",
		"/data/.hidden":                 "hidden",
		"Übung.sif":                     "bung",
		"***":                           "app",
		"":                              "app",
		strings.Repeat("x", 300):        strings.Repeat("x", maxName-8),
	} {
		if got := NameOf(image); got != want {
			t.Errorf("%q: got %q, want %q", image, got, want)
		}
		if err := CheckName(NameOf(image)); err != nil {
			t.Errorf("%q: %v", image, err)
		}
	}
	for _, bad := range []string{"", "-a", ".a", "a/b", "a b", "ü", "a\x00", "..", strings.Repeat("x", 64)} {
		if CheckName(bad) == nil {
			t.Errorf("%q is allowed", bad)
		}
		if _, err := Get(t.TempDir(), bad); !errors.Is(err, ErrNotFound) {
			t.Errorf("get %q: %v", bad, err)
		}
	}
	if _, err := Get(t.TempDir(), "a@../../../etc"); !errors.Is(err, ErrNotFound) {
		t.Errorf("escape: %v", err)
	}
}

func TestReserve(t *testing.T) {
	root := t.TempDir()
	var mu sync.Mutex
	var names []string
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			name, dir, err := Reserve(root, "app", false)
			if err != nil {
				t.Error(err)
				return
			}
			if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
				t.Errorf("%s: %v, %v", dir, st, err)
			}
			mu.Lock()
			names = append(names, name)
			mu.Unlock()
		})
	}
	wg.Wait()
	slices.Sort(names)
	want := []string{"app", "app-10", "app-2", "app-3", "app-4", "app-5", "app-6", "app-7", "app-8", "app-9"}
	if !slices.Equal(names, want) {
		t.Errorf("got %q", names)
	}
	if _, _, err := Reserve(root, "app", true); !errors.Is(err, ErrExists) {
		t.Errorf("exact: %v, want ErrExists", err)
	}
	if err := Forget(root, "app-3"); err != nil {
		t.Error(err)
	}
	if name, _, err := Reserve(root, "app", false); err != nil || name != "app-3" {
		t.Errorf("got %q, %v", name, err)
	}
	if _, _, err := Reserve(root, "no/name", true); hint(err) == "" {
		t.Errorf("got %v", err)
	}
}

func TestHistoryForgetRename(t *testing.T) {
	root := t.TempDir()
	const kept = 20
	for i := range kept + 5 {
		put(t, root, "job", func(r *record) {
			r.State, r.ExitCode, r.Started = StateExited, i, time.Unix(int64(1000+i), 0)
		})
		if _, _, err := Reserve(root, "job", true); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := Prune(root, Keep{Number: kept}, time.Now()); n != 5 || err != nil {
		t.Errorf("pruned %d, %v; want 5", n, err)
	}
	if n, err := Prune(root, Keep{Number: -1, Age: time.Since(time.Unix(0, 0))}, time.Now()); n != 0 || err != nil {
		t.Errorf("pruned %d, %v; want none of them to be too old", n, err)
	}
	old, err := History(root)
	if err != nil || len(old) != kept || old[0].ExitCode != 5 || old[0].Name != "job@19700101-001645" {
		t.Fatalf("%d, first %+v, %v", len(old), old[0], err)
	}
	if in, err := Get(root, old[0].Name); err != nil || in.ExitCode != 5 {
		t.Errorf("get: %+v, %v", in, err)
	}
	if err := Forget(root, old[0].Name); err != nil {
		t.Error(err)
	}
	if _, err := Get(root, old[0].Name); !errors.Is(err, ErrNotFound) {
		t.Errorf("forgotten: %v", err)
	}
	put(t, root, "live", nil)
	if err := Forget(root, "live"); !errors.Is(err, ErrRunning) {
		t.Errorf("forget a running one: %v", err)
	}
	if err := Forget(root, "nobody"); !errors.Is(err, ErrNotFound) {
		t.Errorf("forget nobody: %v", err)
	}
	put(t, root, "done", func(r *record) { r.State = StateExited })
	ctx := context.Background()
	if err := Rename(ctx, root, "done", "live", ""); !errors.Is(err, fs.ErrExist) || hint(err) == "" {
		t.Errorf("rename onto another: %v", err)
	}
	if err := Rename(ctx, root, "done", "no/name", ""); hint(err) == "" {
		t.Errorf("rename to no name: %v", err)
	}
	if err := Rename(ctx, root, "done", "finished", "carrel run x"); err != nil {
		t.Error(err)
	}
	if in, err := Get(root, "finished"); err != nil || in.Name != "finished" || in.Command != "carrel run x" {
		t.Errorf("renamed: %+v, %v", in, err)
	}
	if n, err := Prune(root, Keep{Number: -1, Age: time.Hour}, time.Now()); n == 0 || err != nil {
		t.Errorf("pruned %d, %v; want the old ones", n, err)
	}
	if old, err := History(root); len(old) != 0 || err != nil {
		t.Errorf("%d are left, %v", len(old), err)
	}
	if _, err := Get(root, "live"); err != nil {
		t.Errorf("the running one is gone: %v", err)
	}
}

// TestClockJump: how long an app has run does not depend on what the clock was set to meanwhile.
func TestClockJump(t *testing.T) {
	self, err := readProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	truly := sinceStart(self.start)
	if truly <= 0 || truly > time.Hour {
		t.Fatalf("this process has run for %s", truly)
	}
	for name, jump := range map[string]time.Duration{"as it was": 0, "forwards": 100 * time.Hour, "backwards": -100 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			put(t, root, "app", func(r *record) { r.Started = time.Now().Add(-truly - jump) })
			in, err := Get(root, "app")
			if got := time.Since(in.Started); err != nil || got < truly-jumpOver || got > truly+time.Minute {
				t.Errorf("it has run for %s, want %s, %v", got, truly, err)
			}
		})
	}
	// What ran before the computer was started again is known by the clock alone.
	r := record{Instance: Instance{State: StateExited, Started: time.Unix(1000, 0)}, Machine: thisMachine(), Start: self.start}
	if in, _ := r.present(t.TempDir(), thisMachine()); !in.Started.Equal(time.Unix(1000, 0)) {
		t.Errorf("the start of what has ended became %s", in.Started)
	}
}

// TestPruneLogs: the logs of what ended first go when all take too much room, and how it ended stays.
func TestPruneLogs(t *testing.T) {
	root := t.TempDir()
	const each = 200 << 10
	for i := range 5 {
		dir := put(t, root, fmt.Sprint("job-", i), func(r *record) {
			r.State, r.ExitCode, r.Ended, r.LastLines = StateExited, i, time.Unix(int64(1000+i), 0), []string{fmt.Sprint("the end of ", i)}
			if i == 4 {
				r.State = StateReady
			}
		})
		if err := os.WriteFile(logfile.Path(dir), bytes.Repeat([]byte("x"), each/2), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(logfile.OlderPath(dir), bytes.Repeat([]byte("x"), each/2), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second time there is nothing to do
		if n, err := Prune(root, Keep{Number: -1, Size: 2*each + each/2}, time.Now()); n != 0 || err != nil {
			t.Errorf("pruned %d, %v; want only logs to go", n, err)
		}
		for i := range 5 {
			in, err := Get(root, fmt.Sprint("job-", i))
			if err != nil || in.ExitCode != i {
				t.Fatalf("%+v, %v", in, err)
			}
			if got, kept := sizeOf(in.Dir), i >= 2; (got >= each) != kept {
				t.Errorf("job %d has %d bytes left, its log kept: %v", i, got, kept)
			}
		}
	}
	var text []string
	err := ReadLog(context.Background(), filepath.Join(root, "job-0"), LogOptions{}, func(lines []LogLine) error {
		for _, l := range lines {
			text = append(text, l.Text)
		}
		return nil
	})
	if got := strings.Join(text, "|"); err != nil || !strings.Contains(got, "dropped") || !strings.HasSuffix(got, "|the end of 0") {
		t.Errorf("its log says %q, %v", got, err)
	}
}

func TestListGoesOnAfterDamage(t *testing.T) {
	root := t.TempDir()
	put(t, root, "good", nil)
	if err := os.WriteFile(filepath.Join(put(t, root, "bad", nil), stateFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "a-file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	all, err := List(root)
	if len(all) != 1 || all[0].Name != "good" || err == nil || !strings.Contains(err.Error(), "bad") {
		t.Errorf("got %+v, %v", all, err)
	}
	if all, err := List(filepath.Join(root, "nowhere")); len(all) != 0 || err != nil {
		t.Errorf("no root: %v, %v", all, err)
	}
	if err := Forget(root, "bad"); err != nil {
		t.Error(err)
	}
}

func TestWatch(t *testing.T) {
	root := filepath.Join(t.TempDir(), "not made yet")
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	changes, err := Watch(ctx, root)
	if err != nil {
		t.Fatal(err)
	}
	see := func(what string, seen func() bool) {
		t.Helper()
		for !seen() {
			if _, more := <-changes; !more {
				t.Fatalf("no notice of %s", what)
			}
		}
	}
	state := func() State {
		in, err := Get(root, "app")
		if err != nil {
			return ""
		}
		return in.State
	}
	put(t, root, "app", nil)
	see("a new one", func() bool { return state() == StateReady })
	put(t, root, "app", func(r *record) { r.State = StateStopping })
	see("another state", func() bool { return state() == StateStopping })
	put(t, root, "app", func(r *record) { r.State = StateExited })
	see("the end", func() bool { return state() == StateExited })
	if err := Forget(root, "app"); err != nil {
		t.Fatal(err)
	}
	see("the removal", func() bool { return state() == "" })
	cancel()
	for range changes {
	}
}

func FuzzParseStat(f *testing.F) {
	own, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(own)
	f.Add([]byte("1 (a) b) c) S 1 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 17 1 1 1"))
	f.Add([]byte("x (y) Z"))
	f.Fuzz(func(t *testing.T, data []byte) { _, _ = parseStat(data) })
}

func TestParseStat(t *testing.T) {
	p, err := parseStat([]byte("42 (a) S 9 (b) R 7 1 1 0 -1 4194560 1 1 1 1 100 50 25 25 20 0 1 0 987654 1000 3 1"))
	want := process{pid: 42, parent: 7, state: 'R', start: 987654, cpu: 2 * time.Second, resident: 3 * int64(os.Getpagesize())}
	if err != nil || p != want {
		t.Errorf("got %+v, %v; want %+v", p, err, want)
	}
}

// TestListAsksNobody: apps are listed from what they wrote down. Neither what looks after them nor what they serve is asked,
// which may be slow.
func TestListAsksNobody(t *testing.T) {
	root := t.TempDir()
	served, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer served.Close()
	var asked atomic.Int32
	var all sync.WaitGroup
	count := func(l net.Listener) {
		all.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				asked.Add(1)
				c.Close()
			}
		})
	}
	count(served)
	for i := range 50 {
		dir := put(t, root, fmt.Sprint("app-", i), func(r *record) {
			r.Addresses = []Address{{URL: "http://" + served.Addr().String() + "/", Ready: true}}
		})
		control, _, err := listen(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer control.Close()
		count(control)
	}
	for range 3 {
		if all, err := List(root); len(all) != 50 || err != nil || !all[0].State.Live() {
			t.Fatal(len(all), err)
		}
	}
	in, err := Get(root, "app-7") // one connection that is known to arrive, so that earlier ones would have
	if err != nil {
		t.Fatal(err)
	}
	for _, dial := range []func() (net.Conn, error){
		func() (net.Conn, error) { return net.Dial("tcp", served.Addr().String()) },
		func() (net.Conn, error) { return connect(in.Dir, "") },
	} {
		c, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Read(make([]byte, 1)) // until it is closed
		c.Close()
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("%d connections were made by listing", n-2)
	}
}

func BenchmarkList(b *testing.B) {
	root := b.TempDir()
	self, err := readProcess(os.Getpid())
	if err != nil {
		b.Fatal(err)
	}
	for i := range 50 {
		name := fmt.Sprintf("app-%d", i)
		dir := filepath.Join(root, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			b.Fatal(err)
		}
		r := record{
			Instance: Instance{Name: name, State: StateReady, PID: self.pid, Started: time.Now(), Addresses: make([]Address, 3), Binds: make([]Bind, 3)},
			Machine:  thisMachine(), Start: self.start,
		}
		if err := r.write(dir, false); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if all, err := List(root); err != nil || len(all) != 50 {
			b.Fatal(len(all), err)
		}
	}
}

// BenchmarkFifty lists fifty apps that run, as ps does.
func BenchmarkFifty(b *testing.B) {
	root := b.TempDir()
	for i := range 50 {
		put(b, root, fmt.Sprint("app-", i), nil)
	}
	for b.Loop() {
		if all, err := List(root); len(all) != 50 || err != nil {
			b.Fatal(len(all), err)
		}
	}
}

// TestTakeOverOfNobody: an app whose starter was killed before its supervisor took over is not started, since nobody who
// asked what runs would have seen it.
func TestTakeOverOfNobody(t *testing.T) {
	dir := t.TempDir()
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	r := record{
		Instance: Instance{Name: "app", State: StateStarting, PID: gone.Process.Pid, Started: time.Now()},
		Machine:  thisMachine(), Start: 1, Reserved: true,
	}
	if err := r.write(dir, false); err != nil {
		t.Fatal(err)
	}
	s := &supervisor{spec: Spec{Name: "app", Dir: dir}}
	if err := s.takeOver(); err == nil || !strings.Contains(err.Error(), "who asked for it was killed") {
		t.Errorf("taken over: %v", err)
	}
}
