package main

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"carrel/tui"
	"carrel/tui/theme"
)

// clipboard hands a text to the tmux this program runs in; nil outside of one. tmux's default is to take a clipboard from its
// own commands alone (set-clipboard external, allow-passthrough off; tmux(1)), and with -w it hands it on to the terminal.
func clipboard(getenv func(string) string) func(string) error {
	if getenv("TMUX") == "" {
		return nil
	}
	tmux, err := exec.LookPath("tmux")
	if err != nil {
		return nil
	}
	return func(text string) error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		var last error
		for _, args := range [][]string{{"load-buffer", "-w", "-"}, {"load-buffer", "-"}} { // -w came with tmux 3.2
			cmd := exec.CommandContext(ctx, tmux, args...)
			cmd.Stdin = strings.NewReader(text)
			if last = cmd.Run(); last == nil {
				return nil
			}
		}
		return fmt.Errorf("copy to tmux: %w", last)
	}
}

// inside names the program between this one and the terminal, which has to be asked to let a sequence through.
func inside(getenv func(string) string) tui.Multiplexer {
	name := getenv("TERM")
	switch {
	case getenv("TMUX") != "", strings.HasPrefix(name, "tmux"):
		return tui.Tmux
	case getenv("STY") != "":
		return tui.GNUScreen
	case strings.HasPrefix(name, "screen"): // tmux calls itself so too, and it is seen so over SSH
		return tui.Tmux
	}
	return tui.NoMultiplexer
}

// links says which links the terminal gets. Those of the kernel's console and of 1978 write what they do not know, and VTE before
// 0.50 falls over it.
func links(getenv func(string) string) theme.Links {
	name := getenv("TERM")
	vte, err := strconv.Atoi(getenv("VTE_VERSION"))
	switch {
	case name == "linux", strings.HasPrefix(name, "vt"), err == nil && vte < 5000:
		return theme.NoLinks
	case getenv("SSH_CONNECTION") != "":
		return theme.NoFileLinks
	}
	return theme.AllLinks
}
