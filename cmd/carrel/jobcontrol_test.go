package main

import (
	"bufio"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"carrel/internal/testroot"
)

// TestShellJobControl sits at a terminal before a shell in a container in the foreground: Ctrl+Z stops a program there and not the
// shell, fg goes on with it, Ctrl+C ends it alone, a new size arrives, the status comes back, and the terminal is as it was.
func TestShellJobControl(t *testing.T) {
	p := newProgram(t)
	p.env = append(p.env, "TERM=dumb")
	root := testroot.Make(t)
	for name, options := range map[string][]string{"plain": nil, "root": {"--fakeroot", "--contain"}, "the host's processes": {}} {
		t.Run(name, func(t *testing.T) {
			program := "carrel"
			if name == "the host's processes" {
				program = "apptainer"
			}
			cmd := p.command(t.Context(), append(append([]string{program, "shell"}, options...), root)...)
			terminal, err := pty.Start(cmd)
			if err != nil {
				t.Skipf("missing: pseudo-terminals (%v)", err)
			}
			defer terminal.Close()
			defer time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() }).Stop() // so that a failure says what was seen
			before, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
			if err != nil {
				t.Fatal(err)
			}
			out := bufio.NewReader(terminal)
			step := func(keys, want string) {
				t.Helper()
				if _, err := terminal.WriteString(keys); err != nil {
					t.Fatal(err)
				}
				var seen strings.Builder
				for !strings.Contains(seen.String(), want) {
					b, err := out.ReadByte()
					if err != nil {
						t.Fatalf("after %q saw %q, then %v; want %q", keys, seen.String(), err, want)
					}
					seen.WriteByte(b)
				}
			}
			step("", "> ")
			step("PS1='re''ady> '\r", "ready> ")
			step("sh -c 'echo be\"\"gun; read x; echo got: $x'\r", "begun")
			step("\x1a", "Stopped")
			step("", "ready> ")
			step("echo st$?; fg\r", "st148") // 128 + SIGTSTP
			step("word\r", "got: word")
			step("", "ready> ")
			step("sh -c 'echo be\"\"gun; exec sleep 1000'\r", "begun")
			step("\x03", "ready> ")
			step("echo st$?\r", "st130")
			step("", "ready> ")
			if err := pty.Setsize(terminal, &pty.Winsize{Rows: 33, Cols: 77}); err != nil {
				t.Fatal(err)
			}
			step("stty size\r", "33 77")
			step("", "ready> ")
			step("exit 9\r", "exit")
			_ = cmd.Wait() // its status is asked below
			if got := cmd.ProcessState.ExitCode(); got != 9 {
				t.Errorf("status %d, want 9", got)
			}
			after, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
			if err == nil && *after != *before {
				t.Errorf("the terminal is %+v, was %+v", after, before)
			}
		})
	}
}
