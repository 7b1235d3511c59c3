package widget

import (
	"fmt"
	"strconv"

	tea "charm.land/bubbletea/v2"

	"carrel/tui/theme"
)

// LogPane is a log view in a frame, with the keys that move in it, a line to search and filter with, and a selection of lines.
type LogPane struct {
	Log    LogView
	Lit    bool // the keys are for this one among several; its frame says so
	Over   bool // nothing is written any more: there is nothing to follow
	typing bool
	follow bool // it was followed when the search began
	filter bool // what is typed filters
	search Text
	taken  string
}

// Typing tells whether letters belong to the search line.
func (p *LogPane) Typing() bool { return p.typing }

// Choosing tells whether lines are being selected.
func (p *LogPane) Choosing() bool { _, on := p.Log.Choosing(); return on }

// Taken are the lines that the last key asked to be copied; they are handed out once.
func (p *LogPane) Taken() (text string, ok bool) {
	text, p.taken = p.taken, ""
	return text, text != ""
}

// Searching tells whether hits are marked.
func (p *LogPane) Searching() bool { q, _ := p.Log.Query(); return q != "" }

// Search opens the line in which the words to search for are typed.
func (p *LogPane) Search() {
	q, _ := p.Log.Query()
	p.typing, p.filter, p.search, p.follow = true, false, NewText(q), p.Log.Following()
}

// Filter opens the line in which the words that lines must hold are typed.
func (p *LogPane) Filter() {
	q, _ := p.Log.Filtered()
	p.typing, p.filter, p.search = true, true, NewText(q)
}

// look does what the words that are typed are for.
func (p *LogPane) look(words string) {
	if p.filter {
		p.Log.Filter(words)
	} else {
		p.Log.Search(words)
	}
}

// Update takes a key or pasted text and tells whether it was for the log.
func (p *LogPane) Update(msg tea.Msg) bool {
	k, isKey := msg.(tea.KeyPressMsg)
	if p.typing {
		switch {
		case isKey && k.String() == "esc":
			p.typing = false
			p.look("")
			if !p.filter && p.follow {
				p.Log.Follow()
			}
		case isKey && k.String() == "enter":
			p.typing = false
		case isKey && k.String() == "up" && p.filter:
			p.Log.ScrollBy(-1)
		case isKey && k.String() == "down" && p.filter:
			p.Log.ScrollBy(1)
		case isKey && k.String() == "up":
			p.Log.Prev()
		case isKey && k.String() == "down":
			p.Log.Next()
		default:
			was := p.search.Value()
			p.search.Update(msg)
			if p.search.Value() != was {
				p.look(p.search.Value())
			}
		}
		return true
	}
	if !isKey {
		return false
	}
	if p.Choosing() {
		return p.chooses(k.String())
	}
	return p.Press(k.String())
}

// Press does what a key does while nothing is typed or selected, and tells whether it means something.
func (p *LogPane) Press(k string) bool {
	switch k {
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
	case "&":
		p.Filter()
	case "v":
		p.Log.Choose()
	case "shift+left", "<":
		p.Log.ScrollSide(-8)
	case "shift+right", ">":
		p.Log.ScrollSide(8)
	case "esc":
		q, _ := p.Log.Filtered()
		switch {
		case p.Searching():
			p.Log.Search("")
		case q != "":
			p.Log.Filter("")
		default:
			return false
		}
	default:
		return false
	}
	return true
}

// chooses takes a key while lines are selected. Every key is used: none of another meaning is pressed by mistake.
func (p *LogPane) chooses(k string) bool {
	page := max(1, p.Log.h-2)
	switch k {
	case "up", "k":
		p.Log.Extend(-1)
	case "down", "j":
		p.Log.Extend(1)
	case "pgup", "ctrl+b":
		p.Log.Extend(-page)
	case "pgdown", "ctrl+f", "space":
		p.Log.Extend(page)
	case "home", "g":
		p.Log.Extend(-1 << 30)
	case "end", "G":
		p.Log.Extend(1 << 30)
	case "v":
		p.Log.Mark()
	case "y", "enter", "c":
		p.taken = p.Log.Chosen()
		p.Log.Unchoose()
	case "esc", "q":
		p.Log.Unchoose()
	case "ctrl+c", "ctrl+z", "ctrl+p", "?":
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
	} else if q, n := p.Log.Filtered(); q != "" && n == 0 {
		body = Box(t.Muted.Render("No line has these words."), iw, ih)
	}
	if p.typing {
		_, n := p.Log.Query()
		found, ghost, sign := "", "search the log", "/ "
		if p.filter {
			_, n = p.Log.Filtered()
			ghost, sign = "show only lines with these words", "& "
		}
		if p.search.Value() != "" {
			ghost = ""
			found = t.Muted.Render(Count(n, "line", "lines"))
		}
		body = Stack(body, Spread(t.Accent.Render(sign)+p.search.View(t, max(0, iw-20), true, ghost), found, iw))
	}
	if h < framed {
		return Box(body, w, h)
	}
	return Panel(t, w, h, t.Strong.Render(title), p.state(t, w-12-Width(title)), body, p.typing || p.Lit)
}

// state says how the log is shown, in w cells: of its parts those that come first, which say that not all is shown.
func (p *LogPane) state(t *theme.Theme, w int) string {
	parts, out := p.states(t), ""
	for i, s := range parts {
		if i > 0 {
			s = t.Faint.Render(" "+theme.Sep+" ") + s
		}
		if Width(out)+Width(s) > w {
			break
		}
		out += s
	}
	return out
}

func (p *LogPane) states(t *theme.Theme) []string {
	var parts []string
	if q, n := p.Log.Query(); q != "" && !p.typing {
		parts = append(parts, t.Warn.Render(fmt.Sprintf("“%s” in %s", Cut(Clean(q), 16), Count(n, "line", "lines"))))
	}
	if n, on := p.Log.Choosing(); on {
		return []string{t.Warn.Render(Count(n, "line", "lines")+" selected") + t.Muted.Render(", y copies")}
	}
	if q, n := p.Log.Filtered(); q != "" && !p.typing {
		parts = append(parts, t.Warn.Render(fmt.Sprintf("only “%s”: %s of %s", Cut(Clean(q), 16), Thousands(n), Lines(p.Log.Len()))))
	} else if n := p.Log.Len(); n > 0 {
		parts = append(parts, t.Muted.Render(Lines(n)))
	}
	switch {
	case p.Over:
	case p.Log.Following():
		parts = append(parts, t.Muted.Render("following"))
	default:
		parts = append(parts, t.Warn.Render("paused")+t.Muted.Render(", f follows"))
	}
	return parts
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
