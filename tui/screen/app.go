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

// AppAddress is the address to show first: one that answers rather than one that does not, then one that a browser opens,
// then the first; nil when there is none.
func AppAddress(a *engine.Instance) *engine.Address {
	var best *engine.Address
	rank := func(ad *engine.Address) (n int) {
		if ad.Ready {
			n = 2
		}
		if Page(ad) {
			n++
		}
		return n
	}
	for i := range a.Addresses {
		if ad := &a.Addresses[i]; best == nil || rank(ad) > rank(best) {
			best = ad
		}
	}
	return best
}

// Page tells whether a browser opens an address.
func Page(ad *engine.Address) bool {
	return strings.HasPrefix(ad.URL, "http://") || strings.HasPrefix(ad.URL, "https://")
}

// NoPage says why the address of an app cannot be opened in the browser, and NoAddress why it cannot be copied; empty when
// it can.
func NoPage(a *engine.Instance) string {
	if why := NoAddress(a); why != "" {
		return why
	}
	if !Page(AppAddress(a)) {
		return "it is no page that a browser shows; c copies the address"
	}
	return ""
}

// NoAddress says why there is no address of an app to be used.
func NoAddress(a *engine.Instance) string {
	ad := AppAddress(a)
	switch {
	case !a.State.Live():
		return "the app has ended"
	case ad == nil || !ad.Ready:
		return "it does not answer yet"
	}
	return ""
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
	none := ""
	if !p.Searching() {
		none = "nothing is searched for; / does"
	}
	key := func(k, name string) Action {
		return Do(On(k), "", name, func() tea.Cmd { p.Press(k); return nil }).Quietly()
	}
	return []Action{
		Do(On("&"), "", "Show only lines of the log with certain words", func() tea.Cmd { p.Filter(); return nil }).Quietly(),
		Do(On("v"), "", "Select lines of the log and copy them", func() tea.Cmd { p.Log.Choose(); return nil }).Quietly(),
		key("f", "Follow the log, or hold it still"),
		Tell("↑ ↓ pgup pgdn", "move in the log").Quietly(),
		key("n", "Go to the next place found").Unless(none),
		key("N", "Go to the place found before").Unless(none),
		key("z", "Break long lines of the log, or cut them"),
		Tell("< >", "to the side, where long lines are cut").Quietly(),
		key("T", "Show when each line of the log was written, or hide it"),
	}, false
}
