package widget

import (
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"carrel/tui/theme"
)

// Cut returns a line that takes w cells at most; what is cut off leaves an ellipsis.
func Cut(s string, w int) string {
	if w <= 0 {
		return ""
	}
	s = oneLine(s)
	if Width(s) <= w {
		return s
	}
	return ansi.Truncate(s, w, theme.Ellipsis)
}

// CutMiddle cuts in the middle, so that both ends of a path or an address stay readable. The text must have no styles.
func CutMiddle(s string, w int) string {
	s = oneLine(s)
	n := Width(s)
	if w <= 0 {
		return ""
	}
	if n <= w {
		return s
	}
	if w < 8 {
		return Cut(s, w)
	}
	head := (w - 1) / 2
	tail := w - 1 - head
	out := ansi.Truncate(s, head, "") + theme.Ellipsis + ansi.Cut(s, n-tail, n)
	return Cut(out, w)
}

// Line returns a line of exactly w cells: cut or padded on the right.
func Line(s string, w int) string {
	if w <= 0 {
		return ""
	}
	s = oneLine(s)
	n := Width(s)
	if n > w {
		s = ansi.Truncate(s, w, theme.Ellipsis)
		n = Width(s)
	}
	if n < w {
		s += blanks(w - n)
	}
	return s
}

// Right returns a line of exactly w cells with the text at its right end.
func Right(s string, w int) string {
	if w <= 0 {
		return ""
	}
	s = Cut(s, w)
	if n := Width(s); n < w {
		s = blanks(w-n) + s
	}
	return s
}

// Center returns a line of exactly w cells with the text in its middle.
func Center(s string, w int) string {
	if w <= 0 {
		return ""
	}
	s = Cut(s, w)
	return Line(strings.Repeat(" ", max(0, (w-Width(s))/2))+s, w)
}

// Spread puts one text at the left and one at the right end of a line of exactly w cells. The left one gives way.
func Spread(left, right string, w int) string {
	if w <= 0 {
		return ""
	}
	right = Cut(right, w)
	n := Width(right)
	if n == 0 {
		return Line(left, w)
	}
	return Line(left, max(0, w-n-1)) + strings.Repeat(" ", min(1, w-n)) + right
}

// spaces are many, to cut some off.
var spaces = strings.Repeat(" ", 256)

func blanks(n int) string {
	if n <= len(spaces) {
		return spaces[:max(0, n)]
	}
	return strings.Repeat(" ", n)
}

// Box returns exactly h lines of exactly w cells.
func Box(s string, w, h int) string {
	if h <= 0 {
		return ""
	}
	if s == "" {
		return Rows(nil, w, h)
	}
	return Rows(strings.Split(s, "\n"), w, h)
}

// Rows returns exactly h lines of exactly w cells, made of the given lines.
func Rows(lines []string, w, h int) string {
	if h <= 0 {
		return ""
	}
	var b strings.Builder
	blank := strings.Repeat(" ", max(0, w))
	for i := range h {
		if i > 0 {
			b.WriteByte('\n')
		}
		if i < len(lines) {
			b.WriteString(Line(lines[i], w))
		} else {
			b.WriteString(blank)
		}
	}
	return b.String()
}

// Beside puts blocks of the same height next to each other. The blocks must be exact, as Box makes them.
func Beside(blocks ...string) string {
	split := make([][]string, len(blocks))
	h := 0
	for i, s := range blocks {
		split[i] = strings.Split(s, "\n")
		h = max(h, len(split[i]))
	}
	var b strings.Builder
	for y := range h {
		if y > 0 {
			b.WriteByte('\n')
		}
		for _, lines := range split {
			if y < len(lines) {
				b.WriteString(lines[y])
			}
		}
	}
	return b.String()
}

// Stack puts blocks on top of each other; empty ones take no line.
func Stack(blocks ...string) string {
	kept := make([]string, 0, len(blocks))
	for _, s := range blocks {
		if s != "" {
			kept = append(kept, s)
		}
	}
	return strings.Join(kept, "\n")
}

// Overlay draws a block over another one with its left upper corner at (x, y); what lies outside is cut.
func Overlay(base, top string, x, y int) string {
	lines := strings.Split(base, "\n")
	x = max(0, x)
	for i, t := range strings.Split(top, "\n") {
		if y+i < 0 || y+i >= len(lines) {
			continue
		}
		under := lines[y+i]
		w := Width(under)
		if x >= w {
			continue
		}
		t = ansi.Truncate(t, w-x, "")
		n := Width(t)
		left := Line(ansi.Truncate(under, x, ""), x)
		right := Right(ansi.Cut(under, x+n, w), w-x-n)
		lines[y+i] = left + "\x1b[m" + t + "\x1b[m" + right
	}
	return strings.Join(lines, "\n")
}

// Paint lays a style under a line that already has styles of its own: a background for the row the cursor is on.
func Paint(s string, style lipgloss.Style) string {
	open, _, ok := strings.Cut(style.Render("x"), "x")
	if !ok || open == "" {
		return s
	}
	return open + strings.ReplaceAll(s, "\x1b[m", "\x1b[m"+open) + "\x1b[m"
}

// noBreak stands for a hyphen of an address while a text is broken: a character of private use, of one cell.
const noBreak = "\ue000"

// Wrap breaks a text into lines of at most w cells, at spaces where it can. Addresses in it become links, which stay whole when
// they have to be broken.
func Wrap(s string, w int) []string {
	if w <= 0 || s == "" {
		return nil
	}
	whole := s
	if strings.Contains(s, "-") && strings.Contains(s, "/") {
		words := strings.Split(s, " ")
		for i, word := range words {
			if strings.Contains(word, "/") { // an address or a path
				words[i] = strings.ReplaceAll(word, "-", noBreak)
			}
		}
		whole = strings.Join(words, " ")
	}
	rows := strings.Split(ansi.Wrap(whole, w, ""), "\n")
	if len(whole) != len(s) {
		for i := range rows {
			rows[i] = strings.ReplaceAll(rows[i], noBreak, "-")
		}
	}
	return linked(s, rows)
}

// Indent puts n spaces before every line.
func Indent(lines []string, n int) []string {
	out := make([]string, len(lines))
	pad := strings.Repeat(" ", max(0, n))
	for i, l := range lines {
		if l != "" {
			out[i] = pad + l
		}
	}
	return out
}

// RuleLine is a horizontal rule of w cells, with an optional text after its first three.
func RuleLine(t *theme.Theme, w int, text string) string {
	if w <= 0 {
		return ""
	}
	if text == "" || w < 12 {
		return t.Faint.Render(strings.Repeat(theme.Rule, w))
	}
	text = Cut(text, w-8)
	n := Width(text)
	return t.Faint.Render(strings.Repeat(theme.Rule, 2)) + " " + text + " " + t.Faint.Render(strings.Repeat(theme.Rule, max(0, w-n-4)))
}

func oneLine(s string) string {
	if strings.IndexByte(s, '\n') < 0 && strings.IndexByte(s, '\r') < 0 && strings.IndexByte(s, '\t') < 0 {
		return s
	}
	return strings.NewReplacer("\r\n", " ", "\n", " ", "\r", " ", "\t", " ").Replace(s)
}

// Sentences breaks a text into lines of at most w cells and gives as many whole sentences as take at most h lines; of a
// first sentence that is longer the beginning, with an ellipsis.
func Sentences(s string, w, h int) []string {
	if h <= 0 {
		return nil
	}
	lines := Wrap(s, w)
	for len(lines) > h {
		i := strings.LastIndex(strings.TrimRight(s, " ."), ". ")
		if i < 0 {
			return append(lines[:h-1:h-1], Cut(lines[h-1]+" "+theme.Ellipsis, w))
		}
		s = s[:i+1]
		lines = Wrap(s, w)
	}
	return lines
}
