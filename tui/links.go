package tui

import (
	"strings"

	tea "charm.land/bubbletea/v2"

	"carrel/tui/screen"
	"carrel/tui/widget"
)

// follow does what a click on a link of the screen is for: a page is opened, a path is copied. It is nil where there is no link.
func (m *model) follow(x, y, h int) tea.Cmd {
	lines := splitLines(m.current().View(m.w, h))
	if y >= len(lines) {
		return nil
	}
	to := widget.LinkAt(lines[y], x)
	if to == "" {
		return nil
	}
	if path, ok := widget.PathOf(to); ok {
		return m.copy(screen.Copy{Text: path, What: "the path"})
	}
	return m.browse(to)
}

// copyLink lets the person choose an address or a path on the screen to copy it; a single one needs no choice.
func (m *model) copyLink() tea.Cmd {
	links := widget.Links(m.current().View(m.w, layout(m.w, m.h).bodyH))
	texts := make([]string, len(links))
	for i, to := range links {
		texts[i] = to
		if path, ok := widget.PathOf(to); ok {
			texts[i] = path
		}
	}
	take := func(i int) tea.Cmd {
		what := "the address"
		if strings.HasPrefix(texts[i], "/") {
			what = "the path"
		}
		return screen.Ask(screen.Copy{Text: texts[i], What: what})
	}
	switch len(texts) {
	case 0:
		return m.say(widget.Plain, "There is no address and no path on this screen.")
	case 1:
		return take(0)
	}
	shown := make([]string, len(texts))
	for i := range texts {
		shown[i] = widget.Clean(texts[i])
	}
	return m.chooseOne(screen.Choose{Title: "Copy which one?", Options: shown, Answer: take})
}
