package screen

import (
	"strings"

	tea "charm.land/bubbletea/v2"

	"carrel/tui/theme"
	"carrel/tui/widget"
)

// Finder narrows a list by words that are typed.
type Finder struct {
	Text   widget.Text
	Typing bool
}

// Key takes a key while words are typed, or Esc while there are any. changed tells that the list is another.
func (f *Finder) Key(k tea.KeyPressMsg, l *widget.List) (used, changed bool) {
	name := k.String()
	if !f.Typing {
		if name == "esc" && f.Text.Value() != "" {
			f.Text.Set("")
			return true, true
		}
		return false, false
	}
	switch name {
	case "esc":
		f.Typing = false
		f.Text.Set("")
		return true, true
	case "enter", "tab":
		f.Typing = false
		return true, false
	case "up", "down", "pgup", "pgdown":
		return l.Key(name), false
	}
	was := f.Text.Value()
	f.Text.Update(k)
	return k.Text != "" || was != f.Text.Value(), was != f.Text.Value()
}

// Fits tells whether a text holds all words.
func (f *Finder) Fits(text string) bool {
	text = strings.ToLower(text)
	for w := range strings.FieldsSeq(strings.ToLower(f.Text.Value())) {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

// Line draws the words, with a remark at the right end.
func (f *Finder) Line(t *theme.Theme, w int, hint, right string) string {
	left := "  " + t.Muted.Render("/ "+hint)
	if f.Text.Value() != "" {
		hint = ""
	}
	switch {
	case f.Typing:
		left = "  " + t.Accent.Render("/ ") + f.Text.View(t, max(0, w-8-widget.Width(right)), true, hint)
	case f.Text.Value() != "":
		left = "  " + t.Accent.Render("/ ") + t.Strong.Render(f.Text.Value()) + t.Muted.Render("   esc shows all")
	}
	return widget.Spread(left, t.Muted.Render(right)+"  ", w)
}

// Finding are the actions while words are typed.
func Finding() []Action {
	return []Action{Tell("enter", "done"), Tell("↑↓", "choose"), Tell("esc", "show all")}
}
