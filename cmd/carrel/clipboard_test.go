package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"carrel/tui"
	"carrel/tui/theme"
)

func TestMultiplexerAndLinks(t *testing.T) {
	tests := []struct {
		env    map[string]string
		inside tui.Multiplexer
		links  theme.Links
	}{
		{map[string]string{"TERM": "xterm-256color"}, tui.NoMultiplexer, theme.AllLinks},
		{map[string]string{"TERM": "xterm-256color", "SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"}, tui.NoMultiplexer, theme.NoFileLinks},
		{map[string]string{"TERM": "tmux-256color", "TMUX": "/tmp/x,1,0"}, tui.Tmux, theme.AllLinks},
		{map[string]string{"TERM": "screen-256color", "SSH_CONNECTION": "x"}, tui.Tmux, theme.NoFileLinks},
		{map[string]string{"TERM": "screen", "STY": "1.x"}, tui.GNUScreen, theme.AllLinks},
		{map[string]string{"TERM": "linux"}, tui.NoMultiplexer, theme.NoLinks},
		{map[string]string{"TERM": "xterm-256color", "VTE_VERSION": "4803"}, tui.NoMultiplexer, theme.NoLinks},
		{map[string]string{"TERM": "xterm-256color", "VTE_VERSION": "7006"}, tui.NoMultiplexer, theme.AllLinks},
	}
	for _, tt := range tests {
		getenv := func(k string) string { return tt.env[k] }
		if got := inside(getenv); got != tt.inside {
			t.Errorf("%v: inside %v, want %v", tt.env, got, tt.inside)
		}
		if got := links(getenv); got != tt.links {
			t.Errorf("%v: links %v, want %v", tt.env, got, tt.links)
		}
	}
	if clipboard(func(string) string { return "" }) != nil {
		t.Error("outside of tmux there is no tmux to copy to")
	}
}

// A text goes to the buffer of a real tmux with its default settings.
func TestClipboardOfTmux(t *testing.T) {
	program, err := exec.LookPath("tmux")
	if err != nil {
		t.Skip("missing: tmux")
	}
	dir, err := os.MkdirTemp("", "tmux") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	tmux := func(args ...string) string {
		out, err := exec.Command(program, append([]string{"-S", socket, "-f", "/dev/null"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("tmux %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	tmux("new-session", "-d", "-s", "one", "sleep", "600")
	t.Cleanup(func() {
		_ = exec.Command(program, "-S", socket, "kill-server").Run()
		_ = os.RemoveAll(dir)
	})
	t.Setenv("TMUX", socket+","+tmux("display-message", "-p", "#{pid}")+",0")
	const text = "http://127.0.0.1:8888/tree?token=5f\nand a \"second\" line"
	if err := clipboard(os.Getenv)(text); err != nil {
		t.Fatal(err)
	}
	if got := tmux("show-buffer"); got != text {
		t.Errorf("the buffer holds %q", got)
	}
	t.Setenv("TMUX", filepath.Join(dir, "none")+",1,0")
	if err := clipboard(os.Getenv)(text); err == nil {
		t.Error("a tmux that is not there has taken it")
	}
}
