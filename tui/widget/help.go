package widget

import (
	"strings"

	"carrel/tui/theme"
)

// Hint is a key and what it does here. Off says why it does nothing now; it stays visible all the same.
type Hint struct {
	Key  string
	Text string
	Off  string
}

// HintGroup is a set of hints under a title.
type HintGroup struct {
	Title string
	Hints []Hint
}

func (h Hint) render(t *theme.Theme) string {
	if h.Off != "" {
		return t.Faint.Render(h.Key + " " + h.Text)
	}
	return t.Accent.Render(h.Key) + " " + t.Muted.Render(h.Text)
}

// Footer draws as many hints as fit in w cells, from the left; the tail is kept at the right end whatever happens.
func Footer(t *theme.Theme, w int, hints []Hint, tail ...Hint) string {
	if w <= 2 {
		return Line("", w)
	}
	const gap = "   "
	end := ""
	for i, h := range tail {
		if i > 0 {
			end += gap
		}
		end += h.render(t)
	}
	room := w - 2 - Width(end)
	s := ""
	for _, h := range hints {
		one := h.render(t)
		if s != "" {
			one = gap + one
		}
		if Width(s)+Width(one)+2 > room {
			break
		}
		s += one
	}
	return Line(" "+Spread(s, end, w-2)+" ", w)
}

// FooterHit returns the key of the hint drawn at column x of a footer of w cells, "" when there is none.
func FooterHit(t *theme.Theme, w, x int, hints []Hint, tail ...Hint) string {
	at := 1
	end := 0
	for i, h := range tail {
		if i > 0 {
			end += 3
		}
		end += Width(h.render(t))
	}
	for i, h := range hints {
		n := Width(h.render(t))
		if i > 0 {
			at += 3
		}
		if at-1+n+2 > w-2-end {
			break
		}
		if x >= at && x < at+n {
			return h.Key
		}
		at += n
	}
	at = w - 1 - end
	for i, h := range tail {
		if i > 0 {
			at += 3
		}
		n := Width(h.render(t))
		if x >= at && x < at+n {
			return h.Key
		}
		at += n
	}
	return ""
}

// Help shows every key of a screen, over it.
type Help struct {
	Title  string
	Groups []HintGroup
	off    int
}

// Key scrolls; done tells that the help is to be closed.
func (h *Help) Key(k string) (done bool) {
	switch k {
	case "up", "k":
		h.off = max(0, h.off-1)
	case "down", "j":
		h.off++
	case "pgup":
		h.off = max(0, h.off-8)
	case "pgdown", "space":
		h.off += 8
	default:
		return true
	}
	return false
}

// View draws the help, no larger than w by h cells.
func (h *Help) View(t *theme.Theme, w, height int) string {
	keyw := 0
	for _, g := range h.Groups {
		for _, x := range g.Hints {
			keyw = max(keyw, Width(x.Key))
		}
	}
	keyw = min(keyw, 20)
	if w < 70 {
		keyw = min(keyw, 12)
	}
	inner := min(max(0, w-10), 64)
	lines, groups := []string{""}, [][]string(nil)
	for _, g := range h.Groups {
		if len(g.Hints) > 0 {
			groups = append(groups, g.lines(t, keyw, inner))
			lines = append(lines, groups[len(groups)-1]...)
		}
	}
	if half := (w - 12) / 2; len(groups) == 2 && len(lines)+2 > height && half >= 44 { // side by side, where that shows more
		half = min(half, 56)
		left, right := h.Groups[0].lines(t, keyw, half), h.Groups[1].lines(t, keyw, half)
		n := max(len(left), len(right))
		both := Beside(Rows(left, half, n), strings.TrimSuffix(strings.Repeat("  \n", n), "\n"), Rows(right, half, n))
		lines, inner = append([]string{""}, strings.Split(both, "\n")...), 2*half+2
	}
	bh := min(height, len(lines)+2)
	view := max(0, bh-2)
	off := min(h.off, max(0, len(lines)-view))
	more, title := "esc closes", h.Title
	if len(lines) > view {
		more = "↑↓ more " + theme.Sep + " esc closes"
	}
	title = Cut(title, max(8, min(w, inner+6)-Width(more)-12))
	return Panel(t, min(w, inner+6), bh, t.Title.Render(title), t.Muted.Render(more), strings.Join(Indent(lines[off:], 1), "\n"), true)
}

// lines are a group's title and its keys, in w cells.
func (g HintGroup) lines(t *theme.Theme, keyw, w int) []string {
	out := []string{t.Strong.Render(g.Title)}
	for _, x := range g.Hints {
		key, text := t.Accent.Render(Line(x.Key, keyw)), t.Text.Render(x.Text)
		if x.Off != "" {
			key, text = t.Faint.Render(Line(x.Key, keyw)), t.Muted.Render(x.Text+"  ("+x.Off+")")
		}
		for i, l := range Wrap(text, max(1, w-keyw-4)) {
			if i > 0 {
				key = strings.Repeat(" ", keyw)
			}
			out = append(out, "  "+key+"  "+l)
		}
	}
	return append(out, "")
}
