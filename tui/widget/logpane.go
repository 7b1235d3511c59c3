package widget

import (
	"fmt"
	"strconv"
	"strings"

	tea "charm.land/bubbletea/v2"

	"carrel/tui/theme"
)

// LogPane is a log view in a frame, with the keys that move in it and a line to search with.
type LogPane struct {
	Log    LogView
	typing bool
	search Text
}

// Typing tells whether letters belong to the search line.
func (p *LogPane) Typing() bool { return p.typing }

// Searching tells whether hits are marked.
func (p *LogPane) Searching() bool { q, _ := p.Log.Query(); return q != "" }

// Search opens the line in which the words to search for are typed.
func (p *LogPane) Search() {
	q, _ := p.Log.Query()
	p.typing, p.search = true, NewText(q)
}

// Update takes a key or pasted text and tells whether it was for the log.
func (p *LogPane) Update(msg tea.Msg) bool {
	k, isKey := msg.(tea.KeyPressMsg)
	if p.typing {
		switch {
		case isKey && k.String() == "esc":
			p.typing = false
			p.Log.Search("")
		case isKey && k.String() == "enter":
			p.typing = false
		case isKey && k.String() == "up":
			p.Log.Prev()
		case isKey && k.String() == "down":
			p.Log.Next()
		default:
			was := p.search.Value()
			p.search.Update(msg)
			if p.search.Value() != was {
				p.Log.Search(p.search.Value())
			}
		}
		return true
	}
	if !isKey {
		return false
	}
	switch k.String() {
	case "up", "k":
		p.Log.ScrollBy(-1)
	case "down", "j":
		p.Log.ScrollBy(1)
	case "pgup", "ctrl+b":
		p.Log.ScrollBy(-max(1, p.Log.h-2))
	case "pgdown", "ctrl+f", "space":
		p.Log.ScrollBy(max(1, p.Log.h-2))
	case "home", "g":
		p.Log.Top()
	case "end", "G":
		p.Log.Follow()
	case "f":
		if p.Log.Following() {
			p.Log.Pause()
		} else {
			p.Log.Follow()
		}
	case "/":
		p.Search()
	case "n":
		p.Log.Next()
	case "N":
		p.Log.Prev()
	case "z":
		p.Log.ToggleWrap()
	case "T":
		p.Log.ToggleTimes()
	case "esc":
		if !p.Searching() {
			return false
		}
		p.Log.Search("")
	default:
		return false
	}
	return true
}

// Resize tells the size the next keys refer to: that of the pane.
func (p *LogPane) Resize(w, h int) {
	iw, ih := inner(w, h, p.typing)
	p.Log.Resize(iw, ih)
}

// framed is the height from which the pane has a frame.
const framed = 6

func inner(w, h int, typing bool) (int, int) {
	if h >= framed {
		w, h = w-4, h-2
	}
	if typing {
		h--
	}
	return max(0, w), max(0, h)
}

// View draws the pane in exactly w by h cells. empty is what it says while there is no line.
func (p *LogPane) View(t *theme.Theme, w, h int, title, empty string) string {
	iw, ih := inner(w, h, p.typing)
	body := p.Log.View(t, iw, ih)
	if p.Log.Len() == 0 {
		body = Box(t.Muted.Render(empty), iw, ih)
	}
	if p.typing {
		_, n := p.Log.Query()
		found, ghost := "", "search the log"
		if p.search.Value() != "" {
			ghost = ""
			found = t.Muted.Render(Count(n, "line", "lines"))
		}
		body = Stack(body, Spread(t.Accent.Render("/ ")+p.search.View(t, max(0, iw-20), true, ghost), found, iw))
	}
	if h < framed {
		return Box(body, w, h)
	}
	return Panel(t, w, h, t.Strong.Render(title), p.state(t), body, p.typing)
}

func (p *LogPane) state(t *theme.Theme) string {
	var parts []string
	if q, n := p.Log.Query(); q != "" && !p.typing {
		parts = append(parts, t.Warn.Render(fmt.Sprintf("“%s” in %s", Cut(Clean(q), 16), Count(n, "line", "lines"))))
	}
	if n := p.Log.Len(); n > 0 {
		parts = append(parts, t.Muted.Render(Lines(n)))
	}
	if p.Log.Following() {
		parts = append(parts, t.Muted.Render("following"))
	} else {
		parts = append(parts, t.Warn.Render("paused")+t.Muted.Render(", f follows"))
	}
	return strings.Join(parts, t.Faint.Render(" "+theme.Sep+" "))
}

// Lines writes a number of lines.
func Lines(n int) string {
	if n == 1 {
		return "1 line"
	}
	return Thousands(n) + " lines"
}

// Thousands writes a number with separators: 12,034.
func Thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
