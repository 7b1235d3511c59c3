package session

import (
	"fmt"

	"github.com/charmbracelet/x/ansi"

	"carrel/engine"
	"carrel/tui/screen"
	"carrel/tui/widget"
)

func plain(s string) string { return ansi.Strip(s) }

func clip(s string, n int) string { return ansi.Truncate(s, n, "") }

// Cause says in one sentence why an app ended, and in another what to do. What the engine says of the end itself comes
// first, then what the last lines of the log tell, then what the exit code means.
func Cause(a *engine.Instance, last []string) (why, hint string) {
	switch {
	case a.Problem != "" && a.Hint != "":
		return widget.Sentence(a.Problem), widget.Sentence(a.Hint)
	case a.State == engine.StateLost:
		return "What watched over the app was ended from outside (or the computer was restarted).", "Press r to start it again."
	case screen.Stopped(a):
		return "It was stopped.", "Press r to start it again."
	}
	if c, ok := a.Cause(last); ok {
		return widget.Clean(c.Why), widget.Clean(c.Hint)
	}
	switch {
	case a.Problem != "":
		return widget.Sentence(a.Problem), widget.Sentence(a.Hint)
	case a.ExitCode == 0:
		return "It has finished, without an error.", "Press r to start it again."
	case a.ExitCode == 1:
		return "It ended because of an error.", "The last lines of the log usually say which."
	case a.ExitCode == 255:
		return "The container could not be started.", "The last lines of the log say what was missing."
	}
	return fmt.Sprintf("It ended with exit code %d.", a.ExitCode), "The last lines of the log usually say why."
}
