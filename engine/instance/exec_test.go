package instance

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"

	"carrel/engine/instance/terminal"
	"carrel/engine/sandbox/plan"
)

// stdio is /dev/null, and out for both outputs where it is not nil.
func stdio(t *testing.T, out *os.File) [3]*os.File {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { null.Close() })
	if out == nil {
		out = null
	}
	return [3]*os.File{null, out, out}
}

func command(args ...string) plan.Process {
	return plan.Process{Args: args, Env: []string{"PATH=/usr/bin:/bin"}, Dir: "/", Umask: -1}
}

func TestExec(t *testing.T) {
	w := newWorld(t)
	dir := w.startApp("web", "http", ":8000")
	for _, tc := range []struct {
		name, script string
		status       int
		out          string
	}{
		{"output", "echo hello; echo there >&2", 0, "hello\nthere\n"},
		{"status", "exit 9", 9, ""},
		{"signal", "kill -9 $$", 137, ""},
		{"the same processes", "test -d /proc/2 && echo seen", 0, "seen\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, p, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			out := make(chan string)
			go func() {
				b, _ := io.ReadAll(r)
				out <- string(b)
			}()
			status, err := Exec(context.Background(), dir, command("/bin/sh", "-c", tc.script), stdio(t, p), false)
			p.Close()
			if got := <-out; err != nil || status != tc.status || got != tc.out {
				t.Errorf("got %d %q %v, want %d %q", status, got, err, tc.status, tc.out)
			}
		})
	}
	t.Run("missing program", func(t *testing.T) {
		_, err := Exec(context.Background(), dir, command("/no/such/program"), stdio(t, nil), false)
		if err == nil || !strings.Contains(hint(err), "no program of that name") {
			t.Errorf("got %v, hint %q", err, hint(err))
		}
	})
	t.Run("signal from outside", func(t *testing.T) {
		job, err := Start(context.Background(), dir, command("sleep", "1000"), stdio(t, nil), false)
		if err != nil {
			t.Fatal(err)
		}
		job.Signal(syscall.SIGINT)
		if status, err := job.Wait(context.Background()); status != 128+2 || err != nil {
			t.Errorf("got %d, %v", status, err)
		}
	})
	t.Run("client goes away", func(t *testing.T) {
		r, p, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		ctx, cancel := context.WithCancel(context.Background())
		job, err := Start(ctx, dir, command("sleep", "1000"), stdio(t, p), false)
		p.Close()
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if _, err := job.Wait(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if _, err := io.ReadAll(r); err != nil { // ends when the process does
			t.Error(err)
		}
	})
	t.Run("container ends meanwhile", func(t *testing.T) {
		job, err := Start(context.Background(), dir, command("sleep", "1000"), stdio(t, nil), false)
		if err != nil {
			t.Fatal(err)
		}
		if err := Stop(context.Background(), dir, -1); err != nil {
			t.Error(err)
		}
		if status, _ := job.Wait(context.Background()); status != 128+15 && status != 128+1 { // asked as all others
			t.Errorf("got %d", status)
		}
	})
	if _, err := Exec(context.Background(), dir, command("true"), stdio(t, nil), false); !errors.Is(err, ErrNotRunning) {
		t.Errorf("got %v, want ErrNotRunning", err)
	}
}

// TestTerminal enters a running container with a terminal, as a shell does.
func TestTerminal(t *testing.T) {
	w := newWorld(t)
	dir := w.startApp("web", "http", ":8000")
	in, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	r, p, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	out := make(chan string)
	go func() {
		b, _ := io.ReadAll(r)
		out <- string(b)
	}()
	ctx := context.Background()
	script := `test -t 0 && test -t 1 && echo terminal; : > /dev/tty && echo controlled; exit 6`
	status, err := terminal.Run(ctx, in, p, func(slave *os.File) (func() int, error) {
		job, err := Start(ctx, dir, command("bash", "-i", "-c", script), [3]*os.File{slave, slave, slave}, true)
		if err != nil {
			return nil, err
		}
		return func() int {
			status, err := job.Wait(ctx)
			if err != nil {
				t.Error(err)
			}
			return status
		}, nil
	})
	p.Close()
	got := <-out
	if err != nil || status != 6 || !strings.Contains(got, "terminal\r\ncontrolled\r\n") || strings.Contains(got, "no job control") {
		t.Errorf("got %d %q %v", status, got, err)
	}
}
