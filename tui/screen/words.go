package screen

import (
	"fmt"
	"strings"

	"carrel/engine"
	"carrel/tui/task"
	"carrel/tui/widget"
)

// Serves says in a few words what an app opens in the browser.
func Serves(c task.Card) string {
	var out []string
	for _, p := range c.Ports {
		text := p.Text
		if text == "" {
			text = "a page"
		}
		out = append(out, fmt.Sprintf("%s (port %d)", widget.Clean(text), p.Container))
	}
	return strings.Join(out, ", ")
}

// Works says which folders an app wants to see.
func Works(c task.Card) string {
	var out []string
	for _, b := range c.Binds {
		text := "a folder of yours, as " + widget.Clean(b.Dest)
		if b.Mode == task.BindReadOnly {
			text += " (only read)"
		}
		out = append(out, text)
	}
	return strings.Join(out, "; ")
}

// StopWords say what is lost and what stays when an app is stopped.
func StopWords(in *engine.Instance) []string {
	words := []string{"The app ends and its address stops answering. Files in the folders you shared stay as they are."}
	if in.Spec.Writable {
		return append(words, "What it changed inside the container is saved into the image.")
	}
	return append(words, "What it changed elsewhere inside the container is thrown away.")
}

// Stopped tells whether an app ended because it was told to, by Carrel, or by SIGINT or SIGTERM, whose numbers a shell adds to
// 128.
func Stopped(in *engine.Instance) bool {
	return in.State == engine.StateExited && (in.Reason == engine.ReasonStopped || in.ExitCode == 130 || in.ExitCode == 143)
}
