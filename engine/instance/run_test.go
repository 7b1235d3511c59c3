package instance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carrel/engine/sandbox/plan"
)

func TestServesAndStops(t *testing.T) {
	w := newWorld(t)
	o := w.order("web", w.app, "app", "http", "127.0.0.1:8888", "    http://a-strange-host:8888/tree?token=abc123")
	o.Spec.Ports = []PortSpec{{Host: 0, Container: 8888, Proto: "http", Path: "/", Text: "Notebook"}}
	dir := w.start(o)
	in := w.until(dir, isReady)
	if len(in.Addresses) != 1 {
		t.Fatalf("addresses %+v", in.Addresses)
	}
	a := in.Addresses[0]
	want := Address{URL: fmt.Sprintf("http://127.0.0.1:%d/tree?token=abc123", a.Host), Host: a.Host, Container: 8888, Proto: "http", Text: "Notebook", Ready: true}
	if a != want || a.Host == 0 {
		t.Errorf("got %+v, want %+v", a, want)
	}
	if in.ReadyIn <= 0 || in.Init == 0 || string(in.Spec) != `{
    "a": 1
  }` && string(in.Spec) != `{"a":1}` {
		t.Errorf("ready in %s, init %d, spec %s", in.ReadyIn, in.Init, in.Spec)
	}
	if got, want := w.page(a.URL), fmt.Sprintf("path /tree host 127.0.0.1:%d", a.Host); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	usage, err := UsageOf(in)
	if err != nil || usage["web"].Processes != 1 || usage["web"].Memory == 0 || usage["web"].Read == 0 {
		t.Errorf("usage %+v, %v", usage, err)
	}
	if err := Stop(context.Background(), dir, -1); err != nil {
		t.Fatal(err)
	}
	in = w.get(dir)
	if in.State != StateExited || in.ExitCode != 128+int(syscall.SIGTERM) || in.Problem != "" || in.Ended.IsZero() {
		t.Errorf("after stop: %s, exit %d, %q", in.State, in.ExitCode, in.Problem)
	}
	if _, err := net.DialTimeout("tcp", "127.0.0.1:"+strconv.Itoa(a.Host), time.Second); err == nil {
		t.Error("the port is still open")
	}
	if err := Stop(context.Background(), dir, -1); !errors.Is(err, ErrNotRunning) {
		t.Errorf("second stop: %v, want ErrNotRunning", err)
	}
	if text, _ := os.ReadFile(filepath.Join(dir, crashFile)); len(text) > 0 {
		t.Errorf("the supervisor wrote %q", text)
	}
}

func TestPortIsLiveBeforeTheAppListens(t *testing.T) {
	w := newWorld(t)
	o := w.order("late", "/bin/sh", "-c", "while [ ! -e /tmp/go ]; do sleep 0.02; done; exec "+w.app+" app http 0.0.0.0:8080")
	o.Spec.Ports = []PortSpec{{Container: 8080}}
	dir := w.start(o)
	in := w.get(dir)
	if len(in.Addresses) != 1 || in.State != StateStarting || in.Addresses[0].Ready {
		t.Fatalf("%s %+v", in.State, in.Addresses)
	}
	page := make(chan string)
	go func() {
		text, err := fetch(in.Addresses[0].URL)
		page <- fmt.Sprint(text, err)
	}()
	status, err := Exec(context.Background(), dir, plan.Process{Args: []string{"touch", "/tmp/go"}, Dir: "/", Umask: -1}, stdio(t, nil), false)
	if err != nil || status != 0 {
		t.Fatal(status, err)
	}
	if got := <-page; !strings.HasPrefix(got, "path /") {
		t.Errorf("got %q", got)
	}
	w.until(dir, isReady)
}

func TestPortTaken(t *testing.T) {
	w := newWorld(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr).Port
	o := w.order("web", w.app, "app", "http", ":8888")
	o.Spec.Ports = []PortSpec{{Host: taken, Container: 8888}}
	dir := w.start(o)
	in := w.until(dir, isReady)
	if in.Addresses[0].Host == taken {
		t.Errorf("published on the taken port")
	}
	remarks := w.log(dir, "carrel")
	if len(remarks) == 0 || !strings.Contains(remarks[0], fmt.Sprintf("published on port %d instead", in.Addresses[0].Host)) {
		t.Errorf("remarks %q", remarks)
	}
	o = w.order("fixed", w.app, "app", "http", ":8888")
	o.Spec.Ports = []PortSpec{{Host: taken, Container: 8888, Fixed: true}}
	_, err = w.try(o)
	if err == nil || !strings.Contains(err.Error(), "taken") || hint(err) == "" {
		t.Errorf("got %v with hint %q, want one that says what to do", err, hint(err))
	}
}

func TestFindsPortsNobodyDeclared(t *testing.T) {
	w := newWorld(t)
	dir := w.startApp("web", "http", "127.0.0.1:8501")
	in := w.until(dir, isReady)
	if len(in.Addresses) != 1 || in.Addresses[0].Container != 8501 || in.Addresses[0].Proto != "http" {
		t.Fatalf("addresses %+v", in.Addresses)
	}
	w.page(in.Addresses[0].URL)
}

func TestHostNetwork(t *testing.T) {
	w := newWorld(t)
	l, err := net.Listen("tcp", "127.0.0.1:0") // not the app's: must not be shown
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	o := w.order("web", w.app, "app", "http", "127.0.0.1:0")
	o.Plan.Net = nil
	o.Spec.HostNetwork = true
	dir := w.start(o)
	in := w.until(dir, isReady)
	if len(in.Addresses) != 1 || in.Addresses[0].Host == l.Addr().(*net.TCPAddr).Port {
		t.Fatalf("addresses %+v", in.Addresses)
	}
	if got := w.page(in.Addresses[0].URL); !strings.HasPrefix(got, "path /") {
		t.Errorf("got %q", got)
	}
	open := func(line string) bool { return strings.Contains(line, "of all addresses") }
	if remarks := w.log(dir, "carrel"); slices.ContainsFunc(remarks, open) {
		t.Errorf("it is on 127.0.0.1 alone: %q", remarks)
	}
	o = w.order("wide", w.app, "app", "http", "0.0.0.0:0")
	o.Plan.Net, o.Spec.HostNetwork = nil, true
	dir = w.start(o)
	w.until(dir, isReady)
	if remarks := w.log(dir, "carrel"); !slices.ContainsFunc(remarks, open) {
		t.Errorf("it is not said that other computers can open it: %q", remarks)
	}
}

func TestNotReadyIsToldApart(t *testing.T) {
	w := newWorld(t)
	for _, tc := range []struct {
		name    string
		args    []string
		ports   []PortSpec
		state   State
		problem string
	}{
		{"errors", []string{"errors", ":8000"}, []PortSpec{{Container: 8000}}, StateUnhealthy, "HTTP status 500"},
		{"silent", []string{"silent", ":8000"}, []PortSpec{{Container: 8000, Proto: "http"}}, StateUnhealthy, "does not answer"},
		{"nothing", []string{"stubborn"}, []PortSpec{{Container: 8000}}, StateRunning, "nothing listens on port 8000"},
		{"another port", []string{"http", ":9000"}, []PortSpec{{Container: 8000}}, StateReady, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w.t = t
			o := w.order("app", append([]string{w.app, "app"}, tc.args...)...)
			o.Spec.Ports, o.Spec.Wait = tc.ports, 700*time.Millisecond
			dir := w.start(o)
			in := w.until(dir, func(in Instance) bool { return in.State != StateStarting })
			if in.State != tc.state || !strings.Contains(in.Problem, tc.problem) || (tc.problem == "") != (in.Problem == "") {
				t.Errorf("got %s, %q; want %s, %q", in.State, in.Problem, tc.state, tc.problem)
			}
			if err := Kill(context.Background(), dir); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestIsAskedAgain: an app that has answered and then answers errors is not called ready any more, until it is.
func TestIsAskedAgain(t *testing.T) {
	w := newWorld(t)
	o := w.order("web", w.app, "app", "moody", ":8000")
	o.Spec.Ports, o.Spec.Recheck = []PortSpec{{Container: 8000}}, 5*time.Millisecond
	dir := w.start(o)
	first := w.until(dir, isReady)
	for _, step := range []struct {
		sig   syscall.Signal
		state State
	}{{syscall.SIGUSR1, StateUnhealthy}, {syscall.SIGUSR2, StateReady}} {
		if err := Signal(context.Background(), dir, step.sig); err != nil {
			t.Fatal(err)
		}
		in := w.until(dir, func(in Instance) bool { return in.State == step.state })
		if ready := step.state == StateReady; in.Addresses[0].Ready != ready || ready != (in.Problem == "") || !ready && !strings.Contains(in.Problem, "HTTP status 500") {
			t.Errorf("%s: %q, %+v", in.State, in.Problem, in.Addresses)
		}
		if in.ReadyIn != first.ReadyIn {
			t.Errorf("the time it took to become ready is %s now", in.ReadyIn)
		}
	}
}

// TestReticent: a server that waits for something else than HTTP is no app in trouble. Pages are shown before it.
func TestReticent(t *testing.T) {
	w := newWorld(t)
	o := w.order("db", w.app, "app", "reticent", ":5000")
	o.Spec.Ports = []PortSpec{{Container: 5000}, {Container: 8000, Proto: "http"}}
	in := w.until(w.start(o), isReady)
	if len(in.Addresses) != 2 || in.Addresses[0].Container != 8000 {
		t.Fatalf("addresses %+v", in.Addresses)
	}
	if a := in.Addresses[1]; a.Proto != "tcp" || a.URL != fmt.Sprintf("tcp://127.0.0.1:%d", a.Host) || in.ReadyIn > DefaultWait/2 {
		t.Errorf("got %+v after %s", a, in.ReadyIn)
	}
	o = w.order("said", w.app, "app", "reticent", ":5000")
	o.Spec.Ports = []PortSpec{{Container: 5000, Proto: "tcp"}}
	if in := w.until(w.start(o), isReady); in.Addresses[0].Proto != "tcp" {
		t.Errorf("got %+v", in.Addresses)
	}
}

func TestGoesAwayAndComesBack(t *testing.T) {
	w := newWorld(t)
	o := w.order("web", w.app, "app", "restart", ":8000")
	o.Spec.Ports = []PortSpec{{Container: 8000}}
	dir := w.start(o)
	w.until(dir, isReady)
	for _, step := range []struct {
		sig  syscall.Signal
		want State
	}{{syscall.SIGUSR1, StateUnhealthy}, {syscall.SIGUSR2, StateReady}} {
		if err := Signal(context.Background(), dir, step.sig); err != nil {
			t.Fatal(err)
		}
		w.until(dir, func(in Instance) bool { return in.State == step.want })
	}
}

func TestJobEnds(t *testing.T) {
	w := newWorld(t)
	dir := w.startApp("job", "lines", "10000")
	in := w.ended(dir)
	if in.State != StateExited || in.ExitCode != 7 || in.Problem != "" {
		t.Errorf("%s, exit %d, %q", in.State, in.ExitCode, in.Problem)
	}
	out := w.log(dir, "out")
	if len(out) != 10_000 || out[9_999] != "line 9999" {
		t.Errorf("%d lines", len(out))
	}
	if errs := w.log(dir, "err"); !slices.Equal(errs, []string{"that was all"}) {
		t.Errorf("stderr %q", errs)
	}
}

func TestFloodIsBounded(t *testing.T) {
	w := newWorld(t)
	o := w.order("flood", w.app, "app", "flood", "200")
	o.Spec.LogSize = 4 << 20
	dir := w.start(o)
	if in := w.ended(dir); in.ExitCode != 0 {
		t.Errorf("exit %d", in.ExitCode)
	}
	var size int64
	for _, n := range []string{"log", "log.1"} {
		st, err := os.Stat(filepath.Join(dir, n))
		if err != nil {
			t.Fatal(err)
		}
		size += st.Size()
	}
	if size > 5<<20 {
		t.Errorf("the log takes %d bytes", size)
	}
}

func TestFollowEndsWithTheInstance(t *testing.T) {
	w := newWorld(t)
	dir := w.start(w.order("job", "/bin/sh", "-c", "echo begin; while [ ! -e /tmp/go ]; do sleep 0.02; done; echo end"))
	var got []string
	err := ReadLog(context.Background(), dir, LogOptions{Follow: true}, func(batch []LogLine) error {
		for _, l := range batch {
			got = append(got, l.Text)
			if l.Text == "begin" {
				_, err := Exec(context.Background(), dir, plan.Process{Args: []string{"touch", "/tmp/go"}, Dir: "/", Umask: -1}, stdio(t, nil), false)
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil || !slices.Equal(got, []string{"begin", "end"}) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestStartErrors(t *testing.T) {
	w := newWorld(t)
	for _, tc := range []struct {
		name   string
		change func(*order)
		want   string
		hint   string
	}{
		{"missing bind", func(o *order) {
			o.Plan.Ops = append(o.Plan.Ops, plan.Op{Kind: plan.OpBind, Source: "/does/not/exist", Dest: "/mnt"})
		}, "/does/not/exist", "mkdir -p /does/not/exist"},
		{"missing program", func(o *order) { o.Plan.Process.Args = []string{"/no/such/program"} }, "/no/such/program", "no program of that name"},
		{"port out of range", func(o *order) { o.Spec.Ports = []PortSpec{{Container: 70_000}} }, "between 1 and 65535", ""},
		{"crash", func(o *order) { o.Panic = true }, "a supervisor that crashes", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := w.order("app", "/bin/true")
			tc.change(&o)
			_, err := w.try(o)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(hint(err), tc.hint) {
				t.Errorf("got %v, hint %q; want %q, %q", err, hint(err), tc.want, tc.hint)
			}
			if in := w.get(o.Spec.Dir); in.State.Live() && in.PID != os.Getpid() { // the reservation, where nothing took it over
				t.Errorf("state %s", in.State)
			}
			if err := Forget(w.root, o.Spec.Name); err != nil {
				t.Error(err)
			}
			if _, err := Get(w.root, o.Spec.Name); !errors.Is(err, ErrNotFound) {
				t.Errorf("after Forget: %v", err)
			}
		})
	}
}

func TestSpawnInterrupted(t *testing.T) {
	w := newWorld(t)
	o := w.order("slow", "/bin/true")
	o.Slow = true
	done := make(chan error)
	go func() {
		_, err := w.try(o)
		done <- err
	}()
	w.until(o.Spec.Dir, func(in Instance) bool { return in.PID != os.Getpid() })
	if err := Stop(context.Background(), o.Spec.Dir, 0); err != nil {
		t.Error(err)
	}
	if err := <-done; err == nil || !strings.Contains(err.Error(), errStopped.Error()) {
		t.Errorf("got %v", err)
	}
}

// waitForLine waits until a line with some text is in the log.
func waitForLine(dir, text string) error {
	found := errors.New("found")
	err := ReadLog(context.Background(), dir, LogOptions{Follow: true}, func(lines []LogLine) error {
		for _, l := range lines {
			if strings.Contains(l.Text, text) {
				return found
			}
		}
		return nil
	})
	if errors.Is(err, found) {
		return nil
	}
	return fmt.Errorf("no line with %q: %v", text, err)
}

func TestStopKillsTheStubborn(t *testing.T) {
	w := newWorld(t)
	dir := w.startApp("app", "stubborn")
	if err := waitForLine(dir, "ignoring"); err != nil {
		t.Fatal(err)
	}
	long := make(chan error)
	go func() { long <- Stop(context.Background(), dir, time.Hour) }()
	w.until(dir, func(in Instance) bool { return in.State == StateStopping })
	if err := Stop(context.Background(), dir, 10*time.Millisecond); err != nil {
		t.Error(err)
	}
	if err := <-long; err != nil {
		t.Error(err)
	}
	if in := w.get(dir); in.State != StateExited || in.ExitCode != 137 || in.Problem != "" {
		t.Errorf("%s, exit %d, %q", in.State, in.ExitCode, in.Problem)
	}
}

func TestTerminateSignal(t *testing.T) {
	w := newWorld(t)
	dir := w.startApp("web", "http", ":8000")
	in := w.until(dir, isReady)
	if err := syscall.Kill(in.PID, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(in.PID, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if in = w.ended(dir); in.State != StateExited || in.ExitCode != 128+15 {
		t.Errorf("%s, exit %d", in.State, in.ExitCode)
	}
}

func TestKeptAlive(t *testing.T) {
	w := newWorld(t)
	o := w.order("kept", "/bin/sh", "-c", w.app+" app http :8000 & exit 0")
	o.Plan.KeepAlive, o.Spec.KeepAlive = true, true
	dir := w.start(o)
	w.until(dir, isReady)
	if err := waitForLine(dir, "the start script has ended with status 0"); err != nil {
		t.Fatal(err)
	}
	if err := Stop(context.Background(), dir, time.Hour); err != nil { // ends when the container is empty, not after an hour
		t.Fatal(err)
	}
	if in := w.get(dir); in.State != StateExited || in.ExitCode != 0 {
		t.Errorf("%s, exit %d", in.State, in.ExitCode)
	}
}

// TestSupervisorKilled: nothing of the app, no mount and no port is left, the state is lost, and the name can be used again.
func TestSupervisorKilled(t *testing.T) {
	w := newWorld(t)
	o := w.order("web", w.app, "app", "http", ":8000")
	o.Spec.Ports = []PortSpec{{Container: 8000}}
	dir := w.start(o)
	in := w.until(dir, isReady)
	all, err := below(in.PID)
	if err != nil {
		t.Fatal(err)
	}
	var pidfds []int
	for _, p := range all {
		fd, err := unix.PidfdOpen(p.pid, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		pidfds = append(pidfds, fd)
	}
	if len(pidfds) != 2 {
		t.Errorf("%d processes below the supervisor, want init and the app", len(pidfds))
	}
	follow := make(chan error)
	go func() {
		follow <- ReadLog(context.Background(), dir, LogOptions{Follow: true}, func([]LogLine) error { return nil })
	}()
	if err := syscall.Kill(in.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if lost := w.until(dir, func(in Instance) bool { return in.State == StateLost }); lost.Problem == "" {
		t.Error("lost without a word")
	}
	if err := <-follow; err != nil {
		t.Error(err)
	}
	for _, fd := range pidfds {
		if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 30_000); n != 1 || err != nil {
			t.Errorf("a process is left (%v)", err)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), w.fs) {
		t.Error("something is left mounted")
	}
	if err := Stop(context.Background(), dir, 0); !errors.Is(err, ErrNotRunning) {
		t.Errorf("stop: %v", err)
	}
	o2 := w.order("web", w.app, "app", "http", ":8000")
	if o2.Spec.Name != "web" {
		t.Errorf("name is %q", o2.Spec.Name)
	}
	o2.Spec.Ports = []PortSpec{{Host: in.Addresses[0].Host, Container: 8000, Fixed: true}}
	w.until(w.start(o2), isReady)
	if old, err := History(w.root); err != nil || len(old) != 1 || old[0].State != StateLost {
		t.Errorf("history %+v, %v", old, err)
	}
}

func TestLongFolder(t *testing.T) {
	w := newWorld(t)
	w.root = filepath.Join(w.root, strings.Repeat("a-folder-with-a-long-name/", 8))
	dir := w.startApp("web", "http", ":8000")
	w.until(dir, isReady)
	st, err := os.Stat(filepath.Join(dir, controlFile))
	if err != nil || st.Mode().Perm() != 0o600 || st.Mode().Type() != fs.ModeSocket {
		t.Errorf("control socket %v, %v", st, err)
	}
	if err := Kill(context.Background(), dir); err != nil {
		t.Error(err)
	}
}

// TestNoSocketInFolder: where the control socket cannot be a file it has an abstract name.
func TestNoSocketInFolder(t *testing.T) {
	w := newWorld(t)
	o := w.order("web", w.app, "app", "http", ":8000")
	if err := os.MkdirAll(filepath.Join(o.Spec.Dir, controlFile, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	dir := w.start(o)
	w.until(dir, isReady)
	if err := Stop(context.Background(), dir, -1); err != nil {
		t.Error(err)
	}
	if in := w.get(dir); in.State != StateExited {
		t.Errorf("state %s", in.State)
	}
}

func TestDescendantsBothWays(t *testing.T) {
	w := newWorld(t)
	dir := w.start(w.order("tree", "/bin/sh", "-c", "sh -c 'sleep 1000 & sleep 1000' & echo begun; wait"))
	if err := waitForLine(dir, "begun"); err != nil {
		t.Fatal(err)
	}
	in := w.get(dir)
	quick, err := family(in.Init)
	if errors.Is(err, errNoLists) {
		t.Skip("missing: CONFIG_PROC_CHILDREN")
	}
	if err != nil || len(quick) == 0 {
		t.Fatalf("%d, %v", len(quick), err)
	}
	all, err := allProcesses()
	if err != nil {
		t.Fatal(err)
	}
	parents := map[int]int{}
	for _, p := range all {
		parents[p.pid] = p.parent
	}
	for _, p := range quick {
		pid := p.pid
		for pid != in.Init && pid > 1 {
			pid = parents[pid]
		}
		if pid != in.Init {
			t.Errorf("process %d does not descend from %d", p.pid, in.Init)
		}
	}
}

func TestWayOut(t *testing.T) {
	w := newWorld(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintln(c, "from the host")
			c.Close()
		}
	}()
	o := w.order("out", "bash", "-c", "read -r line < /dev/tcp/"+gateway.String()+"/3128 && echo got $line; exec sleep 1000")
	o.Plan.Net = &plan.Net{Outgoing: true, Address: "10.219.73.2/30", Gateway: gateway.String()}
	o.Proxy = l.Addr().(*net.TCPAddr).AddrPort()
	dir := w.start(o)
	if err := waitForLine(dir, "got from the host"); err != nil {
		t.Fatal(err)
	}
	in := w.get(dir)
	t.Logf("resident with a way out: supervisor %d KiB, init %d KiB", resident(t, in.PID), resident(t, in.Init))
	if err := Stop(context.Background(), dir, -1); err != nil {
		t.Error(err)
	}
}
