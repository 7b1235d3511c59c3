package widget

import (
	"strings"

	"carrel/tui/theme"
)

// Item is one row of a list. Rows that are Fixed (headings, blank lines) are drawn but never selected.
type Item struct {
	ID    string
	Fixed bool
}

// List is a column of rows with a cursor. It knows only the rows' IDs; the owner draws them. The cursor stays on the same
// ID when rows come and go. Only the visible rows are drawn, so ten thousand cost what twenty cost.
type List struct {
	items  []Item
	cursor int // -1: nothing to select
	offset int
	height int
}

// SetItems replaces the rows. The cursor stays on its ID; when that is gone, on what took its place.
func (l *List) SetItems(items []Item) {
	id := ""
	if it, ok := l.Selected(); ok {
		id = it.ID
	}
	l.items = items
	if id != "" {
		for i, it := range items {
			if !it.Fixed && it.ID == id {
				l.cursor = i
				l.clamp()
				return
			}
		}
	}
	l.cursor = l.near(min(max(l.cursor, 0), len(items)-1))
	l.clamp()
}

// Len is the number of rows.
func (l *List) Len() int { return len(l.items) }

// Cursor is the index of the selected row, -1 when there is none.
func (l *List) Cursor() int {
	if l.cursor < 0 || l.cursor >= len(l.items) || l.items[l.cursor].Fixed {
		return -1
	}
	return l.cursor
}

// Selected is the row the cursor is on.
func (l *List) Selected() (Item, bool) {
	if i := l.Cursor(); i >= 0 {
		return l.items[i], true
	}
	return Item{}, false
}

// Select moves the cursor to an ID; it stays where it is when there is no such row.
func (l *List) Select(id string) {
	for i, it := range l.items {
		if !it.Fixed && it.ID == id {
			l.cursor = i
			l.clamp()
			return
		}
	}
}

// Resize tells the list how many lines it has, for pages and scrolling.
func (l *List) Resize(h int) {
	l.height = max(0, h)
	l.clamp()
}

// Move moves the cursor over n selectable rows, up for negative n.
func (l *List) Move(n int) {
	step := 1
	if n < 0 {
		step, n = -1, -n
	}
	at := l.Cursor()
	for ; n > 0; n-- {
		next := at + step
		for next >= 0 && next < len(l.items) && l.items[next].Fixed {
			next += step
		}
		if next < 0 || next >= len(l.items) {
			break
		}
		at = next
	}
	l.cursor = at
	l.clamp()
}

// Page moves the cursor by n screenfuls.
func (l *List) Page(n int) {
	step := max(1, l.height-2)
	l.cursor = l.near(min(max(l.Cursor()+n*step, 0), len(l.items)-1))
	l.clamp()
}

// Top and Bottom move the cursor to the first and the last row.
func (l *List) Top() { l.cursor = l.near(0); l.clamp() }

// Bottom moves the cursor to the last row.
func (l *List) Bottom() { l.cursor = l.near(len(l.items) - 1); l.clamp() }

// Scroll moves the window by n lines, and the cursor only as far as it must to stay in sight.
func (l *List) Scroll(n int) {
	l.offset = min(max(l.offset+n, 0), max(0, len(l.items)-l.height))
	if l.cursor < l.offset {
		l.cursor = l.near(l.offset)
	} else if l.height > 0 && l.cursor >= l.offset+l.height {
		l.cursor = l.near(l.offset + l.height - 1)
	}
}

// SelectAt moves the cursor to the row drawn at line y of a view of h lines, and tells whether there is a selectable one.
func (l *List) SelectAt(y, h int) bool {
	i := l.window(h) + y
	if y < 0 || y >= h || i < 0 || i >= len(l.items) || l.items[i].Fixed {
		return false
	}
	l.cursor = i
	l.clamp()
	return true
}

// near returns the selectable row at i or the closest one after it, else before it, else -1.
func (l *List) near(i int) int {
	for j := max(i, 0); j < len(l.items); j++ {
		if !l.items[j].Fixed {
			return j
		}
	}
	for j := min(i, len(l.items)-1); j >= 0; j-- {
		if !l.items[j].Fixed {
			return j
		}
	}
	return -1
}

func (l *List) clamp() { l.offset = l.window(l.height) }

// window is the first row drawn in a view of h lines: the stored one, moved as little as brings the cursor into sight. The
// headings right above the cursor come along when it is on the first row below them.
func (l *List) window(h int) int {
	off := min(l.offset, max(0, len(l.items)-h))
	if l.cursor >= 0 && h > 0 {
		top := l.cursor
		for top > 0 && l.items[top-1].Fixed && l.cursor-top < h-1 {
			top--
		}
		off = min(off, top)
		off = max(off, l.cursor-h+1)
	}
	return max(0, off)
}

// View draws the rows that fit; render draws one in exactly the width it is given.
func (l *List) View(t *theme.Theme, w, h int, render func(i int, selected bool, w int) string) string {
	if w <= 0 || h <= 0 {
		return Rows(nil, w, h)
	}
	off := l.window(h)
	bar := len(l.items) > h && w > 4
	rw := w
	if w > 4 { // kept also where nothing scrolls: columns do not jump when a row more does
		rw--
	}
	cur := l.Cursor()
	lines := make([]string, 0, h)
	for i := off; i < len(l.items) && len(lines) < h; i++ {
		s := Line(render(i, i == cur, rw), rw)
		if i == cur {
			s = Paint(s, t.Selected)
		}
		lines = append(lines, s)
	}
	if bar {
		thumb := Scrollbar(t, h, len(l.items), off)
		for i := range lines {
			lines[i] += thumb[i]
		}
	}
	return Rows(lines, w, h)
}

// Page draws a text of more lines than h, from line off on, with a bar at its right end that says which part is seen.
func Page(t *theme.Theme, lines []string, off, w, h int) string {
	off = min(max(0, off), max(0, len(lines)-h))
	if len(lines) <= h || w <= 4 || h <= 0 {
		return Rows(lines[off:], w, h)
	}
	out := strings.Split(Rows(lines[off:], w-2, h), "\n")
	for i, thumb := range Scrollbar(t, h, len(lines), off) {
		out[i] += " " + thumb
	}
	return strings.Join(out, "\n")
}

// Scrollbar returns h cells that show which part of total lines is visible from offset on.
func Scrollbar(t *theme.Theme, h, total, offset int) []string {
	out := make([]string, h)
	size := max(1, h*h/max(1, total))
	pos := 0
	if total > h {
		pos = (h - size) * offset / (total - h)
	}
	for i := range out {
		if i >= pos && i < pos+size {
			out[i] = t.Muted.Render(theme.Thumb)
		} else {
			out[i] = t.Faint.Render(theme.Track)
		}
	}
	return out
}

// Marker is the two cells before a row: the bar on the selected one.
func Marker(t *theme.Theme, selected bool) string {
	if selected {
		return t.Accent.Render(theme.Bar) + " "
	}
	return "  "
}

// Keys handles the keys that move in every list, and tells whether it was one of them.
func (l *List) Key(k string) bool {
	switch strings.ToLower(k) {
	case "up", "k":
		l.Move(-1)
	case "down", "j":
		l.Move(1)
	case "pgup", "ctrl+b":
		l.Page(-1)
	case "pgdown", "ctrl+f":
		l.Page(1)
	case "home":
		l.Top()
	case "end":
		l.Bottom()
	default:
		switch k {
		case "g":
			l.Top()
		case "G":
			l.Bottom()
		default:
			return false
		}
	}
	return true
}
