package instance

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carrel/engine/instance/terminal"
	"carrel/engine/launch"
)

func (w *world) script(name, text string) order {
	w.t.Helper()
	return w.order(name, "/bin/sh", "-c", text)
}

func TestRestart(t *testing.T) {
	for _, tc := range []struct {
		name, script string
		restart      Restart
		status       int
		restarts     int
		reason       Reason
		remark       string
	}{
		{"never", "exit 3", Restart{}, 3, 0, ReasonExited, ""},
		{"on failure, without one", "exit 0", Restart{When: RestartOnFailure}, 0, 0, ReasonExited, ""},
		{"on failure, a few times", "exit 3", Restart{When: RestartOnFailure, Max: 2, Pause: time.Millisecond}, 3, 2, ReasonExited, "restart 2 of 2"},
		{"always", "exit 0", Restart{When: RestartAlways, Max: 3, Pause: time.Millisecond}, 0, 3, ReasonExited, "left as it is"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			o := w.script("job", "echo run; "+tc.script)
			o.Spec.Restart = tc.restart
			in := w.ended(w.start(o))
			if in.ExitCode != tc.status || in.Restarts != tc.restarts || in.Reason != tc.reason {
				t.Errorf("exit %d, %d restarts, reason %s", in.ExitCode, in.Restarts, in.Reason)
			}
			if got := w.log(in.Dir, "out"); len(got) != tc.restarts+1 {
				t.Errorf("it ran %d times", len(got))
			}
			if got := strings.Join(w.log(in.Dir, "carrel"), "\n"); !strings.Contains(got, tc.remark) {
				t.Errorf("remarks %q do not tell %q", got, tc.remark)
			}
			if !slices.Contains(in.LastLines, "run") {
				t.Errorf("last lines %q", in.LastLines)
			}
		})
	}
}

// TestRestartKeepsPort lets an app that serves be killed: it comes back under its address.
func TestRestartKeepsPort(t *testing.T) {
	w := newWorld(t)
	o := w.order("web", w.app, "app", "http", ":8000")
	o.Spec.Ports = []PortSpec{{Container: 8000, Fixed: true}, {Container: 8000, Fixed: true}} // one port twice
	o.Spec.Restart = Restart{When: RestartOnFailure, Pause: time.Millisecond}
	dir := w.start(o)
	in := w.until(dir, isReady)
	if err := Signal(context.Background(), dir, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	again := w.until(dir, func(in Instance) bool { return in.Restarts == 1 && isReady(in) })
	if len(again.Addresses) != 2 || again.Init == in.Init || again.PID != in.PID {
		t.Fatalf("was %+v, is %+v", in, again)
	}
	for i, a := range again.Addresses {
		if a.URL != in.Addresses[i].URL || a.Host != in.HostPorts[i] {
			t.Errorf("was at %s, is at %s", in.Addresses[i].URL, a.URL)
		}
	}
	w.page(again.Addresses[0].URL)
	if err := Stop(context.Background(), dir, -1); err != nil {
		t.Fatal(err)
	}
	if in := w.get(dir); in.Reason != ReasonStopped || in.Restarts != 1 {
		t.Errorf("stopped: %+v", in)
	}
}

// TestStopDuringPause stops an app that waits to be started again.
func TestStopDuringPause(t *testing.T) {
	w := newWorld(t)
	o := w.script("job", "exit 4")
	o.Spec.Restart = Restart{When: RestartAlways, Pause: time.Hour}
	dir := w.start(o)
	in := w.until(dir, func(in Instance) bool { return in.Restarts == 1 && in.Problem != "" })
	if in.State != StateStarting || in.ExitCode != 4 || !strings.Contains(in.Problem, "starting it again in 1h") {
		t.Errorf("%s, exit %d, %q", in.State, in.ExitCode, in.Problem)
	}
	if err := Stop(context.Background(), dir, -1); err != nil {
		t.Fatal(err)
	}
	if in = w.get(dir); in.State != StateExited || in.Reason != ReasonStopped {
		t.Errorf("%s, %s", in.State, in.Reason)
	}
}

// TestForgottenIsNotRestarted: an app whose folder has vanished does not come again, as nobody could stop it.
func TestForgottenIsNotRestarted(t *testing.T) {
	w := newWorld(t)
	o := w.script("job", "exit 4")
	o.Spec.Restart = Restart{When: RestartAlways, Pause: time.Millisecond}
	dir := w.start(o)
	in := w.until(dir, func(in Instance) bool { return in.Restarts > 0 })
	fd, err := unix.PidfdOpen(in.PID, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := os.Rename(dir, dir+".gone"); err != nil {
		t.Fatal(err)
	}
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 30_000); n != 1 || err != nil {
		t.Errorf("it goes on (%v)", err)
		_ = unix.Kill(in.PID, unix.SIGKILL)
	}
}

// TestStopOrder: first the app's own process, then the others, and all of them can finish what they do.
func TestStopOrder(t *testing.T) {
	child := `sh -c 'trap "echo child; exit 0" TERM; echo begun; while :; do sleep 0.02; done'`
	for _, tc := range []struct {
		name, script string
		grace        time.Duration
		status       int
		want         []string // in this order
	}{
		{"the main process first", child + ` & trap "echo main; exit 5" TERM; while :; do sleep 0.02; done`, time.Hour, 5, []string{"main", "child"}},
		{"one that waits for its child", child, time.Hour, 128 + 15, []string{"child"}},
		{"a main process that does not pass it on", `trap : TERM; ` + child + `; echo over; exit 6`, 3 * time.Second, 6, []string{"child", "over"}},
		{"a child that stays", `sh -c 'trap "" TERM; echo begun; while :; do sleep 0.02; done' & trap "echo main; exit 5" TERM; while :; do sleep 0.02; done`, 200 * time.Millisecond, 5, []string{"main"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			dir := w.start(w.script("app", tc.script))
			if err := waitForLine(dir, "begun"); err != nil {
				t.Fatal(err)
			}
			if err := Stop(context.Background(), dir, tc.grace); err != nil {
				t.Fatal(err)
			}
			in := w.get(dir)
			got := slices.DeleteFunc(w.log(dir, "out"), func(s string) bool { return s == "begun" })
			if in.ExitCode != tc.status || in.Reason != ReasonStopped || !slices.Equal(got, tc.want) {
				t.Errorf("exit %d, %s, %q; want %d, %q\n%s", in.ExitCode, in.Reason, got, tc.status, tc.want, strings.Join(w.log(dir, "carrel"), "\n"))
			}
			if remarks := strings.Join(w.log(dir, "carrel"), "\n"); !strings.Contains(remarks, "asked to end (SIGTERM)") || !strings.Contains(remarks, "stopped after") {
				t.Errorf("remarks %q", remarks)
			}
		})
	}
}

func TestTimeLimit(t *testing.T) {
	w := newWorld(t)
	o := w.script("job", "echo on; while :; do sleep 0.02; done")
	o.Spec.TimeLimit = 300 * time.Millisecond
	o.Spec.Restart = Restart{When: RestartAlways}
	in := w.ended(w.start(o))
	if in.Reason != ReasonTime || !strings.Contains(in.Problem, "its time of 300ms was over") || in.Hint == "" || in.Restarts != 0 {
		t.Errorf("%s: %q, %d restarts", in.Reason, in.Problem, in.Restarts)
	}
}

// TestRenameRunning renames an instance that runs: its log, its followers, and those who wait for it go with it.
func TestRenameRunning(t *testing.T) {
	w := newWorld(t)
	o := w.script("before", "echo one; while [ ! -e /tmp/go ]; do sleep 0.02; done; i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done")
	o.Spec.LogSize = 64 << 10 // so that it is rotated under its new name
	dir := w.start(o)
	if err := waitForLine(dir, "one"); err != nil {
		t.Fatal(err)
	}
	waited := make(chan Instance, 1)
	ctx := context.Background()
	go func() {
		in, err := Wait(ctx, dir)
		if err != nil {
			t.Error(err)
		}
		waited <- in
	}()
	followed := make(chan string, 1)
	reading := make(chan struct{}, 1)
	go func() {
		last := ""
		err := ReadLog(ctx, dir, LogOptions{Follow: true}, func(batch []LogLine) error {
			select {
			case reading <- struct{}{}:
			default:
			}
			for _, l := range batch {
				if l.Stream == "out" {
					last = l.Text
				}
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		followed <- last
	}()
	<-reading
	put(t, w.root, "ended", func(r *record) { r.State = StateExited })
	if err := Rename(ctx, w.root, "before", "ended", ""); !errors.Is(err, fs.ErrExist) || hint(err) == "" {
		t.Errorf("to a name that is taken: %v", err)
	}
	if err := Rename(ctx, w.root, "before", "after", "carrel run again"); err != nil {
		t.Fatal(err)
	}
	if _, err := Get(w.root, "before"); !errors.Is(err, ErrNotFound) {
		t.Errorf("the old name: %v", err)
	}
	in, err := Get(w.root, "after")
	if err != nil || in.Name != "after" || in.Command != "carrel run again" || !in.State.Live() {
		t.Fatalf("%+v, %v", in, err)
	}
	if status, err := Exec(ctx, in.Dir, command("touch", "/tmp/go"), stdio(t, nil), false); status != 0 || err != nil {
		t.Fatal(status, err)
	}
	if last := <-followed; last != "line 2999" {
		t.Errorf("the follower's last line is %q", last)
	}
	if in := <-waited; in.State != StateExited || in.Name != "after" {
		t.Errorf("who waited got %s %s", in.Name, in.State)
	}
	if lines := w.log(in.Dir, "out"); lines[len(lines)-1] != "line 2999" {
		t.Errorf("the log ends with %q", lines[len(lines)-1])
	}
	if _, err := os.Stat(filepath.Join(w.root, "before")); !os.IsNotExist(err) {
		t.Errorf("something is written under the old name: %v", err)
	}
}

func TestAttachInput(t *testing.T) {
	w := newWorld(t)
	o := w.script("sum", "read a; echo got $a; cat; echo end; exit 8")
	o.Spec.Stdin = true
	dir := w.start(o)
	ctx := context.Background()
	at, err := Attach(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	if at.TTY || at.Output != nil {
		t.Error("a pipe that shows something")
	}
	fmt.Fprintln(at.Input, "first")
	at.Close() // the app goes on
	if err := waitForLine(dir, "got first"); err != nil {
		t.Fatal(err)
	}
	in, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	fmt.Fprintln(in, "second")
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if at, err = Attach(ctx, dir); err != nil {
		t.Fatal(err)
	}
	detached, err := terminal.Attach(ctx, in, nil, terminal.Console{Input: at.Input, Ended: at.Ended(), EOF: at.EOF}, nil)
	if status, known := at.Status(); detached || err != nil || status != 8 || !known {
		t.Errorf("detached %v, %v; status %d", detached, err, status)
	}
	at.Close()
	w.ended(dir)
	if got := w.log(dir, "out"); !slices.Equal(got, []string{"got first", "second", "end"}) {
		t.Errorf("log %q", got)
	}
}

// TestAttachTerminal types into an app's terminal, leaves, and comes back to what was there.
func TestAttachTerminal(t *testing.T) {
	w := newWorld(t)
	o := w.script("shell", `tty >/dev/null && echo terminal; : >/dev/tty && echo controlled; stty size
		trap 'stty size' WINCH; echo begin; while :; do read -r x || continue; echo "got $x"; [ "$x" = end ] && exit 4; done`)
	o.Spec.Terminal, o.Plan.Process.Terminal = true, true
	dir := w.start(o)
	ctx := context.Background()
	for range 2 {
		at, err := Attach(ctx, dir)
		if err != nil {
			t.Fatal(err)
		}
		screen := bufio.NewReader(at.Output)
		see := func(want string) {
			t.Helper()
			var seen strings.Builder
			for !strings.Contains(seen.String(), want) {
				b, err := screen.ReadByte()
				if err != nil {
					t.Fatalf("saw %q, then %v; want %q", seen.String(), err, want)
				}
				seen.WriteByte(b)
			}
		}
		see("terminal\r\ncontrolled\r\n24 80\r\nbegin")
		fmt.Fprint(at.Input, "hello\r")
		see("got hello")
		if err := unix.IoctlSetWinsize(int(at.Input.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 100}); err != nil {
			t.Error(err)
		}
		see("40 100")
		at.Close()
	}
	at, err := Attach(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	fmt.Fprint(at.Input, "end\r")
	<-at.Ended()
	if status, known := at.Status(); status != 4 || !known {
		t.Errorf("status %d", status)
	}
	if in := w.ended(dir); in.ExitCode != 4 || !in.Terminal {
		t.Errorf("%+v", in)
	}
}

func TestAttachToNothing(t *testing.T) {
	w := newWorld(t)
	dir := w.startApp("web", "http", ":8000")
	_, err := Attach(context.Background(), dir)
	if err == nil || !strings.Contains(hint(err), "carrel logs -f") {
		t.Errorf("got %v, hint %q", err, hint(err))
	}
}

// TestOutOfMemory lets the kernel kill an app, and a part of one, that use more memory than they may.
func TestOutOfMemory(t *testing.T) {
	for _, tc := range []struct {
		name, script string
		status       int
		reason       Reason
		problem      string
	}{
		{"the app", "exec %s app hog 200", 137, ReasonMemory, "killed it because the memory"},
		{"a part of it", "%s app hog 200; exit 5", 5, ReasonMemory, "killed a part of it"},
		{"a part it can do without", "%s app hog 200; exit 0", 0, ReasonExited, "killed a part of it"},
		{"enough for it", "exec %s app hog 4", 0, ReasonExited, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, err := launch.Limit(launch.Limits{Memory: 96 << 20}, "test")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			if l.Join == nil {
				t.Skip("missing: a control group (version 1) for memory")
			}
			w := newWorld(t)
			o := w.order("hog", "/bin/sh", "-c", fmt.Sprintf(tc.script, w.app))
			o.Plan.Groups = l.Join
			in := w.ended(w.start(o))
			if in.ExitCode != tc.status || in.Reason != tc.reason || !strings.Contains(in.Problem, tc.problem) || (tc.problem == "") != (in.Hint == "") {
				t.Errorf("exit %d, %s, %q, hint %q", in.ExitCode, in.Reason, in.Problem, in.Hint)
			}
		})
	}
}

// TestOthersOfThisMachine: what another user does with an instance fails at its folder, and at its socket.
func TestOthersOfThisMachine(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("missing: root")
	}
	w := newWorld(t)
	dir := w.startApp("web", "http", ":8000")
	for _, d := range []string{w.root, dir} {
		if st, err := os.Stat(d); err != nil || st.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v; want 0700", d, st.Mode(), err)
		}
	}
	socket := filepath.Join(dir, controlFile)
	if st, err := os.Stat(socket); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v, %v; want 0600", st.Mode(), err)
	}
	// Even where both are opened to all, the supervisor asks who it is.
	for d := dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{socket, filepath.Join(dir, stateFile)} {
		if err := os.Chmod(f, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("/proc/self/exe", "stop-it", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "refused") {
		t.Errorf("another user: %v, %s", err, out)
	}
	if in := w.get(dir); !in.State.Live() {
		t.Errorf("it was stopped: %s", in.State)
	}
}

// TestJobControl sits at a terminal of its own before a shell in a running app: Ctrl+Z stops a program there and not the
// shell, fg goes on with it, Ctrl+C ends it, a new size arrives, and the status comes back.
func TestJobControl(t *testing.T) {
	w := newWorld(t)
	dir := w.startApp("web", "http", ":8000")
	keyboard, screen, err := terminal.Open()
	if err != nil {
		t.Skipf("missing: pseudo-terminals (%v)", err)
	}
	defer keyboard.Close()
	defer screen.Close()
	status := make(chan int, 1)
	go func() {
		defer screen.Close()
		ctx := context.Background()
		p := command("bash", "--norc", "-i")
		p.Env = append(p.Env, "PS1=ready> ", "TERM=dumb")
		got, err := terminal.Run(ctx, screen, screen, func(slave *os.File) (func() int, error) {
			job, err := Start(ctx, dir, p, [3]*os.File{slave, slave, slave}, true)
			if err != nil {
				return nil, err
			}
			return func() int { got, _ := job.Wait(ctx); return got }, nil
		})
		if err != nil {
			t.Error(err)
		}
		status <- got
	}()
	if err := keyboard.SetReadDeadline(time.Now().Add(time.Minute)); err != nil { // so that a failure says what was seen
		t.Fatal(err)
	}
	out := bufio.NewReader(keyboard)
	see := func(want string) {
		t.Helper()
		var seen strings.Builder
		for !strings.Contains(seen.String(), want) {
			b, err := out.ReadByte()
			if err != nil {
				t.Fatalf("saw %q, then %v; want %q", seen.String(), err, want)
			}
			seen.WriteByte(b)
		}
	}
	for _, step := range []struct{ keys, want string }{
		{"", "ready> "},
		{"sh -c 'echo be\"\"gun; read x; echo got: $x'\r", "begun"},
		{"\x1a", "Stopped"},
		{"", "ready> "},
		{"echo st$?; fg\r", "st148"}, // 128 + SIGTSTP
		{"word\r", "got: word"},
		{"", "ready> "},
		{"sh -c 'echo be\"\"gun; exec sleep 1000'\r", "begun"},
		{"\x03", "ready> "},
		{"echo st$?\r", "st130"},
		{"", "ready> "},
	} {
		if _, err := keyboard.WriteString(step.keys); err != nil {
			t.Fatal(err)
		}
		see(step.want)
	}
	if err := unix.IoctlSetWinsize(int(screen.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 33, Col: 77}); err != nil {
		t.Fatal(err)
	}
	// The signal goes to the terminal's foreground group, which a test is not.
	if err := syscall.Kill(os.Getpid(), syscall.SIGWINCH); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ keys, want string }{
		{"until [ \"$(stty size)\" = '33 77' ]; do sleep 0.02; done; echo siz\"\"ed\r", "sized"},
		{"exit 9\r", "exit"},
	} {
		if _, err := keyboard.WriteString(step.keys); err != nil {
			t.Fatal(err)
		}
		see(step.want)
	}
	if got := <-status; got != 9 {
		t.Errorf("status %d, want 9", got)
	}
}
