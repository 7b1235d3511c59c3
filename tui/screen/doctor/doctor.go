// Package doctor is the screen that says what this computer can do and cannot, in plain words, with what still works and the
// line an administrator would run.
package doctor

import (
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"carrel/engine"
	"carrel/tui/screen"
	"carrel/tui/task"
	"carrel/tui/theme"
	"carrel/tui/widget"
)

// Screen shows the checks; the selected one is explained.
type Screen struct {
	screen.Base
	d      screen.Deps
	id     task.ID
	checks []engine.Check
	done   bool
	busy   bool
	frame  int
	list   widget.List
}

type checkedMsg struct {
	id     task.ID
	checks []engine.Check
	err    error
}

// New makes the screen.
func New(d screen.Deps) *Screen { return &Screen{d: d, id: task.NewID()} }

// Title is the screen's name in the line at the top.
func (s *Screen) Title() string { return "Check this computer" }

// Init starts the checks.
func (s *Screen) Init() tea.Cmd { return s.check() }

func (s *Screen) check() tea.Cmd {
	s.busy = true
	id, eng, life := s.id, s.d.Engine, s.d.Life
	return task.Call(func() ([]engine.Check, error) { return eng.Doctor(life), nil },
		func(c []engine.Check, err error) tea.Msg { return checkedMsg{id, c, err} })
}

// Update takes the answers.
func (s *Screen) Update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case screen.Tick:
		s.frame = msg.Frame
	case checkedMsg:
		if msg.id != s.id {
			return nil
		}
		s.busy, s.done = false, true
		if msg.err != nil {
			return screen.Ask(screen.Failed{What: "Checking this computer", Err: msg.err})
		}
		s.checks = msg.checks
		items := make([]widget.Item, len(s.checks))
		for i, c := range s.checks {
			items[i] = widget.Item{ID: c.Name}
		}
		s.list.SetItems(items)
	}
	return nil
}

// Key moves.
func (s *Screen) Key(k tea.KeyPressMsg) (tea.Cmd, bool) { return nil, s.list.Key(k.String()) }

// Mouse chooses a check.
func (s *Screen) Mouse(m screen.Mouse) tea.Cmd {
	_, lh, _ := heights(m.H, len(s.checks))
	if m.Wheel != 0 {
		s.list.Move(m.Wheel)
	} else {
		s.list.SelectAt(m.Y-top, lh)
	}
	return nil
}

// Actions are what can be done with a check.
func (s *Screen) Actions() []screen.Action {
	admin, noLine := "", "there is nothing to ask for"
	if c := s.selected(); c != nil && c.Admin != "" {
		admin, noLine = c.Admin, ""
	}
	again := ""
	if s.busy {
		again = "the checks are running"
	}
	return []screen.Action{
		screen.Tell("↑↓", "choose"),
		screen.Do(screen.On("c"), "copy line for your administrator", "Copy the line for your administrator", func() tea.Cmd {
			return screen.Ask(screen.Copy{Text: admin, What: "the line for your administrator"})
		}).Unless(noLine),
		screen.Do(screen.On("r"), "check again", "Check this computer again", s.check).Unless(again),
	}
}

func (s *Screen) selected() *engine.Check {
	if i := s.list.Cursor(); i >= 0 && i < len(s.checks) {
		return &s.checks[i]
	}
	return nil
}

// top is the number of lines above the list.
const top = 3

func heights(h, n int) (head, list, detail int) {
	head = min(top, h)
	list = min(n, max(1, h-head-8))
	if h-head-list < 4 {
		list = h - head
	}
	list = max(0, list)
	return head, list, max(0, h-head-list)
}

// Resize tells the list its height.
func (s *Screen) Resize(_, h int) {
	_, lh, _ := heights(h, len(s.checks))
	s.list.Resize(lh)
}

// View draws the checks and explains the selected one.
func (s *Screen) View(w, h int) string {
	t := s.d.Theme
	head, lh, dh := heights(h, len(s.checks))
	bad, notes := 0, 0
	for _, c := range s.checks {
		switch c.Status {
		case engine.StatusBad:
			bad++
		case engine.StatusNote:
			notes++
		}
	}
	say := t.OK.Render(theme.Check) + " Everything Carrel needs is here."
	switch {
	case !s.done:
		say = t.Accent.Render(t.Spinner(s.frame)) + t.Muted.Render(" Checking this computer "+theme.Ellipsis)
	case bad > 0:
		say = t.Bad.Render(theme.Cross+" "+widget.Count(bad, "thing does", "things do")+" not work") + t.Muted.Render("  Select it to see what to do.")
	case notes > 0:
		say = t.OK.Render(theme.Check) + " Carrel works here." + t.Muted.Render("  "+widget.Count(notes, "remark.", "remarks."))
	}
	out := widget.Rows([]string{"", "  " + say, ""}, w, head)
	list := s.list.View(t, w, lh, func(i int, selected bool, w int) string {
		return widget.Marker(t, selected) + Line(t, s.checks[i], w-2, selected)
	})
	detail := widget.Rows(s.detail(w), w, dh)
	return widget.Box(widget.Stack(out, nonEmpty(list, lh), nonEmpty(detail, dh)), w, h)
}

func nonEmpty(s string, h int) string {
	if h == 0 {
		return ""
	}
	return s
}

// Line is one check in w cells: its sign, its sentence, the expert's word.
func Line(t *theme.Theme, c engine.Check, w int, selected bool) string {
	title := t.Text.Render(widget.Clean(c.Title))
	if selected {
		title = t.Strong.Render(widget.Clean(c.Title))
	}
	term := ""
	if c.Term != "" && w >= 64 {
		term = t.Muted.Render(widget.Clean(c.Term)) + " "
	}
	return Sign(t, c.Status) + " " + widget.Spread(title, term, max(0, w-2))
}

// Sign is one cell for a check's answer.
func Sign(t *theme.Theme, s engine.Status) string {
	switch s {
	case engine.StatusOK:
		return t.OK.Render(theme.Check)
	case engine.StatusBad:
		return t.Bad.Render(theme.Cross)
	}
	return t.Warn.Render(theme.Note)
}

func (s *Screen) detail(w int) []string {
	t, c := s.d.Theme, s.selected()
	if c == nil || w < 8 {
		return nil
	}
	inner := min(w-4, 92)
	out := []string{"", "  " + widget.RuleLine(t, max(0, w-4), "")}
	add := func(style func(...string) string, text string) {
		for _, l := range widget.Wrap(widget.Clean(text), inner) {
			out = append(out, "  "+style(l))
		}
	}
	if widget.Width(c.Title)+6 > w { // the line above cuts it
		add(t.Strong.Render, c.Title)
	}
	if c.Detail != "" {
		add(t.Text.Render, widget.Sentence(c.Detail))
	}
	if c.Advice != "" {
		add(t.Muted.Render, widget.Sentence(c.Advice))
	}
	if c.Admin != "" {
		out = append(out, "", "  "+t.Muted.Render("An administrator can change this with"))
		for _, l := range widget.Wrap(strings.TrimSpace(widget.Clean(c.Admin)), max(1, inner-2)) {
			out = append(out, "    "+t.Strong.Render(l))
		}
	}
	return out
}

// Pace is fast while the checks run.
func (s *Screen) Pace() (p time.Duration) {
	if s.busy {
		p = screen.Spin
	}
	return p
}
