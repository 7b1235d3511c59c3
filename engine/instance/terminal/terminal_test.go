package terminal

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// shell starts a shell on the terminal, as its controlling one.
func shell(t *testing.T, script string) func(*os.File) (func() int, error) {
	t.Helper()
	return func(slave *os.File) (func() int, error) {
		cmd := exec.Command("/bin/sh", "-c", script)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		return func() int {
			_ = cmd.Wait()
			return cmd.ProcessState.ExitCode()
		}, nil
	}
}

// user is a person at a terminal: what they see is collected.
type user struct {
	keyboard, slave *os.File
	screen          *bufio.Reader
}

func newUser(t *testing.T) *user {
	t.Helper()
	master, slave, err := openPair()
	if err != nil {
		t.Skipf("missing: pseudo-terminals (%v)", err)
	}
	t.Cleanup(func() { master.Close(); slave.Close() })
	return &user{master, slave, bufio.NewReader(master)}
}

func (u *user) see(t *testing.T, want string) {
	t.Helper()
	var seen strings.Builder
	for !strings.Contains(seen.String(), want) {
		b, err := u.screen.ReadByte()
		if err != nil {
			t.Fatalf("saw %q, then %v; want %q", seen.String(), err, want)
		}
		seen.WriteByte(b)
	}
}

func termios(t *testing.T, f *os.File) unix.Termios {
	t.Helper()
	s, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *s
}

func TestStatusAndOutput(t *testing.T) {
	for _, tc := range []struct {
		name, script, input string
		status              int
		out                 string
	}{
		{"status", "exit 5", "", 5, ""},
		{"output", "echo hello; tty >/dev/null && echo at a terminal", "", 0, "hello\r\nat a terminal\r\n"},
		{"end of input", "stty -echo; echo on; cat >/dev/null; echo off", "", 0, "on\r\noff\r\n"},
		{"much output", "i=0; while [ $i -lt 3000 ]; do echo 0123456789; i=$((i+1)); done", "", 0, strings.Repeat("0123456789\r\n", 3000)},
		{"others keep the terminal", "sleep 30 & echo done", "", 0, "done\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in, err := os.CreateTemp(t.TempDir(), "")
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			out := make(chan []byte)
			go func() {
				b, _ := io.ReadAll(r)
				out <- b
			}()
			status, err := Run(context.Background(), in, w, shell(t, tc.script))
			w.Close()
			got := bytes.ReplaceAll(<-out, []byte("^D\b\b"), nil) // the echo of the end of input
			if err != nil || status != tc.status || string(got) != tc.out {
				t.Errorf("got %d %.80q %v, want %d %.80q", status, got, err, tc.status, tc.out)
			}
		})
	}
}

func TestRawAndRestored(t *testing.T) {
	u := newUser(t)
	before := termios(t, u.slave)
	if err := unix.IoctlSetWinsize(int(u.slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 33, Col: 77}); err != nil {
		t.Fatal(err)
	}
	type result struct {
		status int
		err    error
	}
	done := make(chan result)
	go func() {
		status, err := Run(context.Background(), u.slave, u.slave, shell(t, `stty size; trap 'stty size' WINCH; echo begin
			while :; do read -r x || continue; echo "got $x"; [ "$x" = end ] && exit 4; done`))
		done <- result{status, err}
	}()
	u.see(t, "33 77\r\n")
	u.see(t, "begin")
	if raw := termios(t, u.slave); raw.Lflag&unix.ICANON != 0 {
		t.Error("the user's terminal is not raw")
	}
	io.WriteString(u.keyboard, "hello\r")
	u.see(t, "got hello")
	if err := unix.IoctlSetWinsize(int(u.slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 50, Col: 100}); err != nil {
		t.Fatal(err)
	}
	// The signal goes to the terminal's foreground group, which a test is not.
	if err := syscall.Kill(os.Getpid(), syscall.SIGWINCH); err != nil {
		t.Fatal(err)
	}
	u.see(t, "50 100")
	io.WriteString(u.keyboard, "end\r")
	if r := <-done; r.status != 4 || r.err != nil {
		t.Errorf("got %d, %v", r.status, r.err)
	}
	if termios(t, u.slave) != before {
		t.Error("the terminal is not as it was")
	}
	// What is typed afterwards is the next reader's.
	io.WriteString(u.keyboard, "for the shell\r")
	line, err := bufio.NewReader(u.slave).ReadString('\n')
	if err != nil || line != "for the shell\n" {
		t.Errorf("the next reader got %q, %v", line, err)
	}
}

func TestInterrupted(t *testing.T) {
	for _, tc := range []struct {
		name      string
		interrupt func(cancel func())
		status    int
		err       error
	}{
		{"context", func(cancel func()) { cancel() }, -1, context.Canceled},
		{"signal", func(func()) { syscall.Kill(os.Getpid(), syscall.SIGTERM) }, 128 + 15, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			u := newUser(t)
			before := termios(t, u.slave)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			go func() {
				u.see(t, "begin")
				tc.interrupt(cancel)
			}()
			status, err := Run(ctx, u.slave, u.slave, shell(t, "echo begin; sleep 1000"))
			if status != tc.status || !errors.Is(err, tc.err) {
				t.Errorf("got %d, %v", status, err)
			}
			if termios(t, u.slave) != before {
				t.Error("the terminal is not as it was")
			}
		})
	}
	t.Run("start fails", func(t *testing.T) {
		u := newUser(t)
		before := termios(t, u.slave)
		want := errors.New("no")
		_, err := Run(context.Background(), u.slave, u.slave, func(*os.File) (func() int, error) { return nil, want })
		if !errors.Is(err, want) || termios(t, u.slave) != before {
			t.Errorf("got %v", err)
		}
	})
}
