package screen

import (
	"fmt"

	"carrel/engine"
	"carrel/tui/theme"
	"carrel/tui/widget"
)

// End is why an app ended, in words, and what is known of the cause. Finding it takes milliseconds: it is kept, never made
// while something is drawn.
type End struct {
	Why, Hint string
	Evidence  string // the line of the log that says so; empty when there is none
	Cause     engine.Cause
	Known     bool // Cause is there
}

// EndOf names one end of an app, to keep an End by.
func EndOf(a *engine.Instance) string {
	return fmt.Sprint(a.Name, "\x00", a.Started.UnixNano(), "\x00", a.State, "\x00", a.ExitCode)
}

// Ended says in one sentence why an app ended, and in another what to do. What the engine says of the end itself comes
// first, then what the last lines of the log tell (nil for those of the record), then what the exit code means.
func Ended(a *engine.Instance, last []string) End {
	c, known := a.Cause(last)
	e := End{Cause: c, Known: known}
	switch {
	case a.Problem != "" && a.Hint != "":
		e.Why, e.Hint = widget.Sentence(a.Problem), widget.Sentence(a.Hint)
	case a.State == engine.StateLost:
		e.Why, e.Hint = "What watched over the app was ended from outside (or the computer was restarted).", "Press r to start it again."
	case Stopped(a):
		e.Why, e.Hint = "It was stopped.", "Press r to start it again."
	case known:
		e.Why, e.Hint, e.Evidence = widget.Clean(c.Why), widget.Clean(c.Hint), widget.Clean(c.Evidence)
	case a.Problem != "":
		e.Why, e.Hint = widget.Sentence(a.Problem), widget.Sentence(a.Hint)
	case a.ExitCode == 0:
		e.Why, e.Hint = "It has finished, without an error.", "Press r to start it again."
	case a.ExitCode == 1:
		e.Why, e.Hint = "It ended because of an error.", "The last lines of the log usually say which."
	case a.ExitCode == 255:
		e.Why, e.Hint = "The container could not be started.", "The last lines of the log say what was missing."
	default:
		e.Why, e.Hint = fmt.Sprintf("It ended with exit code %d.", a.ExitCode), "The last lines of the log usually say why."
	}
	return e
}

// Lines draw why an app ended in at most h lines of w cells. Where there is little room the evidence goes first, then
// whole sentences of what to do. fix is the label of the key F, empty for none; its line always stays.
func (e *End) Lines(t *theme.Theme, a *engine.Instance, w, h int, fix string) []string {
	style := t.Text
	if Fell(a) {
		style = t.Bad
	}
	var out []string
	for _, l := range widget.Wrap(e.Why, w) {
		out = append(out, style.Render(l))
	}
	if fix != "" {
		h--
	}
	out = out[:min(len(out), max(0, h))]
	hint := widget.Wrap(e.Hint, w)
	if e.Evidence != "" && len(out)+1+len(hint) <= h {
		out = append(out, widget.Cut(t.Faint.Render(theme.Wall)+" "+t.Muted.Render(e.Evidence), w))
	}
	for _, l := range widget.Sentences(e.Hint, w, h-len(out)) {
		out = append(out, t.Muted.Render(l))
	}
	if fix != "" {
		out = append(out, widget.Cut(t.Accent.Render("F")+"  "+t.Text.Render(fix), w))
	}
	return out
}
