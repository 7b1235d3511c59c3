package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Terminal is a terminal of a fixed size with a shell in it (tmux, on a socket of its own), in a home.
type Terminal struct {
	home   *Home
	socket string
	taken  map[string]bool // ports that somebody else had when it was opened
	t      testing.TB
}

// OpenTerminal opens one; it is closed with the test. Without tmux the test is skipped.
func (h *Home) OpenTerminal(width, height int) *Terminal {
	h.t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		h.t.Skip("missing: tmux")
	}
	// A socket's path has to be short (unix(7)).
	dir, err := os.MkdirTemp("", "tmux-")
	if err != nil {
		h.t.Fatal(err)
	}
	x := &Terminal{home: h, socket: filepath.Join(dir, "s"), taken: listening(), t: h.t}
	cmd := exec.Command("tmux", "-S", x.socket, "-f", "/dev/null", "-u", "new-session", "-d", "-x", strconv.Itoa(width), "-y", strconv.Itoa(height), "/bin/sh")
	cmd.Dir, cmd.Env = h.Dir, append(h.env, "PS1=ready> ", "ENV=")
	if out, err := cmd.CombinedOutput(); err != nil {
		h.t.Fatalf("tmux: %v\n%s", err, out)
	}
	h.t.Cleanup(func() {
		if h.t.Failed() {
			h.t.Logf("the screen at the end:\n%s", x.Screen())
		}
		_ = exec.Command("tmux", "-S", x.socket, "kill-server").Run() // it has ended already when its shell has
		_ = os.RemoveAll(dir)
	})
	x.Wait("ready>")
	return x
}

func (x *Terminal) tmux(args ...string) string {
	x.t.Helper()
	out, err := exec.Command("tmux", append([]string{"-S", x.socket}, args...)...).CombinedOutput()
	if err != nil {
		x.t.Fatalf("tmux %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// Screen is what the terminal shows, as text; lines that the terminal wrapped are whole.
func (x *Terminal) Screen() string {
	out, err := exec.Command("tmux", "-S", x.socket, "capture-pane", "-p", "-J").Output()
	if err != nil {
		return fmt.Sprintf("(no screen: %v)", err)
	}
	lines := strings.Split(string(out), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " ")
	}
	return strings.Join(lines, "\n")
}

// Press presses keys by tmux's names: "Enter", "Escape", "C-c", "Down", "q".
func (x *Terminal) Press(keys ...string) {
	x.t.Helper()
	x.tmux(append([]string{"send-keys"}, keys...)...)
}

// Type types a text.
func (x *Terminal) Type(text string) {
	x.t.Helper()
	x.tmux("send-keys", "-l", text)
}

// Command types a command line and Enter.
func (x *Terminal) Command(line string) {
	x.t.Helper()
	x.Type(line)
	x.Press("Enter")
}

// Resize changes the terminal's size.
func (x *Terminal) Resize(width, height int) {
	x.t.Helper()
	x.tmux("resize-window", "-x", strconv.Itoa(width), "-y", strconv.Itoa(height))
}

// Wait waits until the screen shows all of some texts, and returns the screen.
func (x *Terminal) Wait(texts ...string) string {
	x.t.Helper()
	return x.WaitFor(deadline, fmt.Sprintf("%q", texts), func(screen string) bool {
		for _, text := range texts {
			if !strings.Contains(screen, text) {
				return false
			}
		}
		return true
	})
}

// WaitFor waits until the screen is as it should be, and returns it.
func (x *Terminal) WaitFor(limit time.Duration, what string, so func(screen string) bool) string {
	x.t.Helper()
	screen := ""
	if !Until(limit, func() bool { screen = x.Screen(); return so(screen) }) {
		x.t.Fatalf("the screen does not show %s:\n%s", what, screen)
	}
	return screen
}

// Prompt waits until the shell is back, checks that the terminal is as it was before the program, and returns the screen.
func (x *Terminal) Prompt() string {
	x.t.Helper()
	screen := x.WaitFor(deadline, "the shell's prompt", func(screen string) bool {
		lines := strings.Split(strings.TrimRight(screen, "\n "), "\n")
		return strings.HasSuffix(strings.TrimRight(lines[len(lines)-1], " "), "ready>")
	})
	// The settings go to a file: the screen may be narrower than they are.
	file := x.home.Path("stty")
	x.Command("stty -a > stty.part; mv stty.part stty")
	var settings []byte
	if !Until(deadline, func() bool {
		var err error
		settings, err = os.ReadFile(file)
		return err == nil
	}) {
		x.t.Fatalf("the shell does not answer:\n%s", x.Screen())
	}
	if err := os.Remove(file); err != nil {
		x.t.Fatal(err)
	}
	words := strings.Fields(strings.ReplaceAll(string(settings), ";", " "))
	for _, want := range []string{"icanon", "echo", "isig", "opost"} {
		found := false
		for _, w := range words {
			found = found || w == want
		}
		if !found {
			x.t.Errorf("the terminal was left without %s:\n%s", want, settings)
		}
	}
	x.Command("clear")
	x.WaitFor(deadline, "an empty screen", func(screen string) bool { return strings.TrimSpace(screen) == "ready>" })
	return screen
}
