package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"carrel/internal/testroot"
)

// repeats are calls that can be done again. What the Go runtime says about package initializers tells whether one was: main is
// then never initialized.
type repeats struct {
	*program
	root string
}

func newRepeats(t *testing.T) *repeats {
	t.Helper()
	if os.Getuid() == 0 {
		t.Skip("missing: an unprivileged user")
	}
	p := newProgram(t)
	if err := os.Chmod(p.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	p.env = append(p.env, "XDG_RUNTIME_DIR="+p.dir, "GODEBUG=inittrace=1")
	return &repeats{p, testroot.Make(t)}
}

// call makes a call, and tells whether it was one that was done again.
func (r *repeats) call(args ...string) (out, words string, status int, again bool) {
	r.t.Helper()
	c := r.command(r.t.Context(), args...)
	var stdout, stderr strings.Builder
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil && c.ProcessState == nil {
		r.t.Fatal(err)
	}
	again = true
	for line := range strings.Lines(stderr.String()) {
		switch {
		case strings.HasPrefix(line, "init main "):
			again = false
		case !strings.HasPrefix(line, "init "):
			words += line
		}
	}
	return stdout.String(), words, c.ProcessState.ExitCode(), again
}

// until makes a call over and over until it is one that was done again: at first its files are too new.
func (r *repeats) until(args ...string) {
	r.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		_, words, status, again := r.call(args...)
		if status != 0 {
			r.t.Fatalf("%q: status %d: %s", args, status, words)
		}
		if again {
			return
		}
	}
	r.t.Fatalf("%q was never done again", args)
}

// TestAgain: a call that is done again does what the first one did.
func TestAgain(t *testing.T) {
	r := newRepeats(t)
	if err := os.MkdirAll(filepath.Join(r.root, ".singularity.d/env"), 0o755); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(r.root, ".singularity.d/env/90-environment.sh")
	if err := os.WriteFile(script, []byte("export COLOUR=green\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"carrel", "singularity"} {
		t.Run(name, func(t *testing.T) {
			p := *r.program
			p.t = t
			r := &repeats{&p, r.root}
			const show = `echo "$COLOUR $HOME $PWD $(id -un) $1 $#"; grep -E "^(Cap|NoNew|Seccomp)" /proc/self/status; ls /proc/self/fd; exit ${2:-0}`
			call := func(args ...string) []string {
				return append([]string{name, "exec", r.root, "sh", "-c", show, "sh"}, args...)
			}
			want, _, _, _ := r.call(call("first")...)
			r.until(call("first")...)
			got, _, _, again := r.call(call("first")...)
			if !again || got != want || !strings.Contains(want, "green") {
				t.Errorf("again: %v, %q, want %q", again, got, want)
			}
			got, _, status, again := r.call(call("second", "7")...)
			if !again || status != 7 || got != strings.Replace(want, "first 1", "second 2", 1) {
				t.Errorf("with other arguments, again: %v, status %d, %q", again, status, got)
			}
			if _, words, status, _ := r.call(name, "exec", r.root, "sh", "-c", "kill -KILL $$"); status != 137 || strings.Contains(words, "memory") {
				t.Errorf("killed: status %d, %q", status, words)
			}
			// What lasts is handed over, and so are signals.
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			c := r.command(ctx, name, "exec", r.root, "sh", "-c", `trap "echo caught; exit 9" USR1; echo ready; while :; do sleep 0.05; done`)
			status = signalled(t, c, syscall.SIGUSR1)
			if status != 9 {
				t.Errorf("a signal: status %d", status)
			}
		})
	}
	r.until("carrel", "exec", r.root, "sh", "-c", "true")
	if err := os.WriteFile(script, []byte("export COLOUR=yellow\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, _, _, again := r.call("carrel", "exec", r.root, "sh", "-c", "echo $COLOUR"); again || out != "yellow\n" {
		t.Errorf("the image was changed: again %v, %q", again, out)
	}
	r.until("carrel", "exec", r.root, "sh", "-c", "true")
	if err := os.MkdirAll(filepath.Join(r.dir, "carrel"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.dir, "carrel/config"), []byte("nonsense\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, words, status, again := r.call("carrel", "exec", r.root, "sh", "-c", "true"); again || status != exitFailure || !strings.Contains(words, "nonsense") {
		t.Errorf("the configuration was changed: again %v, status %d, %q", again, status, words)
	}
}

// signalled sends a signal to a program when it has printed a line, and returns its status.
func signalled(t *testing.T, c *exec.Cmd, sig os.Signal) int {
	t.Helper()
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 64)
	if n, err := out.Read(line); err != nil || string(line[:n]) != "ready\n" {
		t.Errorf("%q, %v", line[:n], err)
	}
	if err := c.Process.Signal(sig); err != nil {
		t.Error(err)
	}
	_ = c.Wait() // the status tells
	return c.ProcessState.ExitCode()
}

// TestEarly: a launch is done again before the packages that take long to be initialized are.
func TestEarly(t *testing.T) {
	p := newProgram(t)
	p.env = append(p.env, "GODEBUG=inittrace=1")
	trace := p.must("carrel", "version")
	early, _, ok := strings.Cut(trace, "init carrel/cmd/carrel/quick ")
	if !ok {
		t.Fatalf("it is not initialized:\n%s", trace)
	}
	for line := range strings.Lines(early) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "init" && strings.Contains(f[1], ".") && !strings.HasPrefix(f[1], "vendor/") {
			switch f[1] {
			case "github.com/klauspost/compress/internal/cpuinfo", "github.com/charmbracelet/x/ansi/parser": // they need no other package
			case "github.com/google/go-cmp/cmp/internal/diff": // of this test binary
			default:
				t.Errorf("%s comes before", f[1])
			}
		}
	}
}
