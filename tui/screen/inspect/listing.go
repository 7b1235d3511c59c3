package inspect

import (
	tea "charm.land/bubbletea/v2"

	"carrel/tui/screen"
	"carrel/tui/theme"
	"carrel/tui/widget"
)

// listing is a list under a line in which words are typed that narrow it: what the pages of software and of changes are.
type listing struct {
	list widget.List
	find screen.Finder
	fill func() // makes the list anew, of what fits the words
}

func (l *listing) typing() bool { return l.find.Typing }

func (l *listing) key(k tea.KeyPressMsg) (tea.Cmd, bool) {
	if used, changed := l.find.Key(k, &l.list); used {
		if changed {
			l.fill()
		}
		return nil, true
	}
	return nil, l.list.Key(k.String())
}

func (l *listing) paste(msg tea.PasteMsg) {
	if l.find.Typing && l.find.Text.Update(msg) {
		l.fill()
	}
}

func (l *listing) mouse(m screen.Mouse) tea.Cmd {
	if m.Wheel != 0 {
		l.list.Scroll(m.Wheel * 3)
	} else {
		l.list.SelectAt(m.Y-1, m.H-1)
	}
	return nil
}

func (l *listing) resize(_, h int) { l.list.Resize(max(0, h-1)) }

// finding is the action that opens the line for words; none says why there is nothing to find.
func (l *listing) finding(name, none string) screen.Action {
	return screen.Do(screen.On("/"), "find", name, func() tea.Cmd { l.find.Typing = true; return nil }).Unless(none)
}

// draw draws the line for words, with a remark at its right end, and the list; empty is said when nothing is in it.
func (l *listing) draw(t *theme.Theme, w, h int, hint, right, empty string, line func(i int, selected bool, w int) string) string {
	head := widget.Rows([]string{l.find.Line(t, w, hint, right)}, w, min(1, h))
	switch {
	case h <= 1:
		return widget.Box(head, w, h)
	case l.list.Len() == 0:
		return widget.Box(widget.Stack(head, widget.Rows(sentence(t, w, empty), w, h-1)), w, h)
	}
	return widget.Box(widget.Stack(head, l.list.View(t, w, h-1, line)), w, h)
}
