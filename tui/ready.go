package tui

import (
	"time"

	tea "charm.land/bubbletea/v2"

	"carrel/engine"
	"carrel/tui/task"
	"carrel/tui/theme"
	"carrel/tui/widget"
)

// readyAfter is when the computer is looked at: after the first frames, which shall not wait for it.
const readyAfter = 600 * time.Millisecond

// readiness is whether apps can be run on this computer, as far as that is known.
type readiness struct {
	known bool
	bad   int // how many things are in the way
}

type readyMsg struct {
	checks []engine.Check
	err    error
}

// checkReady finds out whether apps can be run here.
func (m *model) checkReady(after time.Duration) tea.Cmd {
	eng, life := m.d.Engine, m.d.Life
	return task.Call(func() ([]engine.Check, error) {
		select {
		case <-life.Done():
			return nil, life.Err()
		case <-time.After(after):
		}
		return eng.Doctor(life), nil
	}, func(c []engine.Check, err error) tea.Msg { return readyMsg{c, err} })
}

func (m *model) checked(msg readyMsg) {
	if msg.err != nil {
		return
	}
	m.ready = readiness{known: true}
	for _, c := range msg.checks {
		if c.Status == engine.StatusBad {
			m.ready.bad++
		}
	}
}

// readyWords say at the right end of the header of a top screen how things are; empty while that is not known.
func (m *model) readyWords(w int) string {
	t := m.d.Theme
	switch {
	case len(m.stacks[m.top]) > 0 || w < 60:
		return ""
	case m.ready.bad > 0 && w >= 76:
		return t.Bad.Render(theme.Cross) + t.Muted.Render(" "+widget.Count(m.ready.bad, "problem", "problems")) + "   "
	case m.ready.bad > 0:
		return t.Bad.Render(theme.Cross) + "  "
	case m.lost != nil && w >= 76:
		return t.Warn.Render(theme.Note) + t.Muted.Render(" not all listed") + "   "
	case m.lost != nil:
		return t.Warn.Render(theme.Note) + "  "
	case m.ready.known && w >= 76:
		return t.OK.Render(theme.Dot) + t.Muted.Render(" ready") + "   "
	}
	return ""
}
