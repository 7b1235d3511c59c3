package screen

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"carrel/engine"
	"carrel/tui/theme"
	"carrel/tui/widget"
)

// Fell tells whether an app ended as it should not have.
func Fell(a *engine.Instance) bool {
	return a.State == engine.StateLost || a.State == engine.StateExited && a.ExitCode != 0 && !Stopped(a)
}

// AppSign is one cell that says how an app is.
func AppSign(t *theme.Theme, a *engine.Instance, frame int) string {
	switch a.State {
	case engine.StateReady, engine.StateRunning:
		return t.OK.Render(theme.Dot)
	case engine.StateStarting, engine.StateStopping:
		return t.Accent.Render(t.Spinner(frame))
	case engine.StateUnhealthy:
		return t.Warn.Render(theme.Note)
	}
	if Fell(a) {
		return t.Bad.Render(theme.Cross)
	}
	return t.Muted.Render(theme.Ring)
}

// AppWords say how an app is.
func AppWords(a *engine.Instance) string {
	switch a.State {
	case engine.StateReady:
		return "serving"
	case engine.StateRunning:
		return "running"
	case engine.StateStarting:
		return "starting"
	case engine.StateStopping:
		return "stopping"
	case engine.StateUnhealthy:
		return "not answering"
	case engine.StateLost:
		return "lost"
	}
	switch {
	case Stopped(a):
		return "stopped"
	case a.ExitCode == 0:
		return "ended"
	}
	return fmt.Sprintf("ended with code %d", a.ExitCode)
}

// AppTitle is what an app is called for a person.
func AppTitle(a *engine.Instance) string {
	if a.Title != "" {
		return widget.Clean(a.Title)
	}
	return widget.Clean(a.Name)
}

// AppAddress is the address to show first: one that answers, else the first; nil when there is none.
func AppAddress(a *engine.Instance) *engine.Address {
	for i := range a.Addresses {
		if a.Addresses[i].Ready {
			return &a.Addresses[i]
		}
	}
	if len(a.Addresses) > 0 {
		return &a.Addresses[0]
	}
	return nil
}

// Mode says what an app may do with a folder.
func Mode(b engine.Bind) string {
	if b.ReadOnly {
		return "only read"
	}
	return "read and change"
}

// Wall is a vertical line of h cells between two panes.
func Wall(t *theme.Theme, h int) string {
	if h <= 0 {
		return ""
	}
	return widget.Box(strings.TrimSuffix(strings.Repeat(t.Faint.Render(theme.Wall)+"\n", h), "\n"), 1, h)
}

// LogKey hands a key to a log, and tells whether it was used. Lines that were selected are copied.
func LogKey(p *widget.LogPane, k tea.KeyPressMsg) (tea.Cmd, bool) {
	used := p.Update(k)
	if text, ok := p.Taken(); ok {
		return Ask(Copy{Text: text, What: widget.Count(strings.Count(text, "\n"), "line", "lines") + " of the log"}), true
	}
	return nil, used
}

// LogActions tell of the keys of a log: those that matter while words are typed or lines selected, and no others then.
func LogActions(p *widget.LogPane) (acts []Action, only bool) {
	switch {
	case p.Typing():
		return Searching(), true
	case p.Choosing():
		return []Action{Tell("↑↓", "more lines"), Tell("y", "copy"), Tell("v", "begin here"), Tell("esc", "end")}, true
	}
	return []Action{
		Do(On("&"), "", "Show only lines of the log with certain words", func() tea.Cmd { p.Filter(); return nil }).Quietly(),
		Do(On("v"), "", "Select lines of the log and copy them", func() tea.Cmd { p.Log.Choose(); return nil }).Quietly(),
		Tell("f", "follow the log, or hold it still").Quietly(),
		Tell("↑ ↓ pgup pgdn", "move in the log").Quietly(),
		Tell("n N", "next and previous place found").Quietly(),
		Tell("z", "break long lines, or cut them").Quietly(),
		Tell("< >", "to the side, where long lines are cut").Quietly(),
		Tell("T", "show when each line was written").Quietly(),
	}, false
}
