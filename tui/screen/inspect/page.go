package inspect

import (
	"time"

	tea "charm.land/bubbletea/v2"

	"carrel/tui/screen"
	"carrel/tui/theme"
	"carrel/tui/widget"
)

// page is one tab: what it shows, and what can be done there. It is given the screen's body, without the line of tabs.
type page interface {
	// show is called when the tab comes into sight; it begins to read what it needs.
	show() tea.Cmd
	update(tea.Msg) tea.Cmd
	key(tea.KeyPressMsg) (cmd tea.Cmd, used bool)
	mouse(screen.Mouse) tea.Cmd
	actions() []screen.Action
	typing() bool
	resize(w, h int)
	view(w, h int) string
	// waits says since when the page waits for an answer, and for what; zero: it does not.
	waits() (since time.Time, what string)
}

// reading is a page without keys of its own: a text that scrolls.
type reading struct {
	t    *theme.Theme
	text func(w int) []string
	off  int
	w, h int
}

func (p *reading) show() tea.Cmd              { return nil }
func (p *reading) update(tea.Msg) tea.Cmd     { return nil }
func (p *reading) actions() []screen.Action   { return nil }
func (p *reading) typing() bool               { return false }
func (p *reading) waits() (time.Time, string) { return time.Time{}, "" }

func (p *reading) resize(w, h int) {
	p.w, p.h = w, h
	p.scroll(0)
}

func (p *reading) scroll(n int) {
	p.off = min(max(0, p.off+n), max(0, len(p.text(max(0, p.w-6)))-max(1, p.h)))
}

func (p *reading) key(k tea.KeyPressMsg) (tea.Cmd, bool) {
	n, ok := scrolling(k.String(), p.h)
	p.scroll(n)
	return nil, ok
}

// scrolling says by how many lines a key moves in a text of h visible lines.
func scrolling(k string, h int) (n int, ok bool) {
	switch k {
	case "up", "k":
		return -1, true
	case "down", "j":
		return 1, true
	case "pgup", "ctrl+b":
		return -max(1, h-2), true
	case "pgdown", "ctrl+f", "space":
		return max(1, h-2), true
	case "home", "g":
		return -1 << 30, true
	case "end", "G":
		return 1 << 30, true
	}
	return 0, false
}

func (p *reading) mouse(m screen.Mouse) tea.Cmd {
	p.scroll(m.Wheel * 3)
	return nil
}

func (p *reading) view(w, h int) string {
	return widget.Page(p.t, widget.Indent(p.text(max(0, w-6)), 2), p.off, w, h)
}

// sentence is a remark that fills a page.
func sentence(t *theme.Theme, w int, text string) []string {
	var out []string
	for _, l := range widget.Wrap(text, max(1, min(w-4, 80))) {
		out = append(out, "  "+t.Muted.Render(l))
	}
	return out
}
