package widget

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"

	"carrel/tui/theme"
)

// LogLimit is how many lines a log view holds; older ones are dropped from it (the file keeps them).
const LogLimit = 100_000

// LogLine is one line of a log. Text may hold anything; it is made safe when it is appended.
type LogLine struct {
	Time time.Time // zero: unknown
	Text string
	Own  bool // a remark of Carrel's own among the program's lines
}

// LogView shows a log: at its end it follows, scrolled up it holds still while lines come in. Only visible lines are
// wrapped and styled.
type LogView struct {
	lines []LogLine
	first int // number of the line lines[0], counted from the beginning of the log

	paused  bool
	topLine int // when paused: number of the line at the top
	topRow  int // and which of its wrapped rows

	nowrap bool
	times  bool
	left   int // cells scrolled to the right, without wrapping

	query string // lower case
	hits  int
	hit   int // number of the line of the current hit, -1: none

	w, h int
}

// Append adds lines at the end.
func (v *LogView) Append(lines ...LogLine) {
	for _, l := range lines {
		l.Text = CleanKeepColor(l.Text)
		v.lines = append(v.lines, l)
		if v.query != "" && v.matches(l) {
			v.hits++
		}
	}
	if over := len(v.lines) - LogLimit; over > LogLimit/10 {
		for _, l := range v.lines[:over] {
			if v.query != "" && v.matches(l) {
				v.hits--
			}
		}
		v.lines = append(make([]LogLine, 0, LogLimit+LogLimit/5), v.lines[over:]...)
		v.first += over
		if v.topLine < v.first {
			v.topLine, v.topRow = v.first, 0
		}
	}
}

// Clear forgets all lines; how they are shown stays.
func (v *LogView) Clear() {
	v.lines, v.first, v.paused, v.topLine, v.topRow, v.hits, v.hit = nil, 0, false, 0, 0, 0, -1
}

// Len is the number of lines held.
func (v *LogView) Len() int { return len(v.lines) }

// Following tells whether new lines move the view.
func (v *LogView) Following() bool { return !v.paused }

// Wrapping and Times tell how lines are shown.
func (v *LogView) Wrapping() bool { return !v.nowrap }

// Times tells whether each line shows when it was written.
func (v *LogView) Times() bool { return v.times }

// ToggleWrap breaks long lines, or cuts them.
func (v *LogView) ToggleWrap() { v.nowrap, v.topRow, v.left = !v.nowrap, 0, 0 }

// ToggleTimes shows or hides the time of each line.
func (v *LogView) ToggleTimes() { v.times, v.topRow = !v.times, 0 }

// Follow goes to the end and stays there.
func (v *LogView) Follow() { v.paused = false }

// Pause holds the view where it is.
func (v *LogView) Pause() {
	if !v.paused {
		v.topLine, v.topRow = v.tail(v.w, v.h)
		v.paused = true
	}
}

// Top goes to the first line.
func (v *LogView) Top() { v.paused, v.topLine, v.topRow = true, v.first, 0 }

// Resize tells the size the next keys refer to.
func (v *LogView) Resize(w, h int) { v.w, v.h = max(0, w), max(0, h) }

// Text is the whole log as plain text, one line each.
func (v *LogView) Text() string {
	var b strings.Builder
	for _, l := range v.lines {
		if v.times && !l.Time.IsZero() {
			b.WriteString(l.Time.Format(time.RFC3339) + " ")
		}
		b.WriteString(ansi.Strip(l.Text))
		b.WriteByte('\n')
	}
	return b.String()
}

// Last returns up to n last lines, plain.
func (v *LogView) Last(n int) []string {
	from := max(0, len(v.lines)-n)
	out := make([]string, 0, len(v.lines)-from)
	for _, l := range v.lines[from:] {
		out = append(out, ansi.Strip(l.Text))
	}
	return out
}

// ScrollBy moves by n rows, up for negative n; reaching the end follows again.
func (v *LogView) ScrollBy(n int) {
	if len(v.lines) == 0 {
		return
	}
	v.Pause()
	line, row := v.topLine, v.topRow
	for ; n < 0; n++ {
		if row > 0 {
			row--
		} else if line > v.first {
			line--
			row = len(v.rows(line, v.w)) - 1
		} else {
			break
		}
	}
	for ; n > 0; n-- {
		if row+1 < len(v.rows(line, v.w)) {
			row++
		} else if line+1 < v.first+len(v.lines) {
			line++
			row = 0
		} else {
			break
		}
	}
	endLine, endRow := v.tail(v.w, v.h)
	if line > endLine || line == endLine && row >= endRow {
		v.paused = false
		return
	}
	v.topLine, v.topRow = line, row
}

// ScrollSide moves by n cells to the right, when long lines are cut.
func (v *LogView) ScrollSide(n int) {
	if v.nowrap {
		v.left = max(0, v.left+n)
	}
}

// Search marks all lines that hold the text, whatever its case, and goes to the last one; "" ends the search.
func (v *LogView) Search(q string) {
	v.query, v.hits, v.hit = strings.ToLower(q), 0, -1
	if q == "" {
		return
	}
	for i, l := range v.lines {
		if v.matches(l) {
			v.hits++
			v.hit = v.first + i
		}
	}
	v.show(v.hit)
}

// Query is what is searched for, and in how many lines it was found.
func (v *LogView) Query() (string, int) { return v.query, v.hits }

// Next and Prev go to the next and the previous hit, around the end.
func (v *LogView) Next() { v.step(1) }

// Prev goes to the hit before.
func (v *LogView) Prev() { v.step(-1) }

func (v *LogView) step(d int) {
	n := len(v.lines)
	if v.query == "" || n == 0 {
		return
	}
	at := v.hit - v.first
	if v.hit < 0 {
		at = n - 1
	}
	for range n {
		at = (at + d + n) % n
		if v.matches(v.lines[at]) {
			v.hit = v.first + at
			v.show(v.hit)
			return
		}
	}
}

func (v *LogView) show(line int) {
	if line < v.first {
		return
	}
	v.paused = true
	v.topLine, v.topRow = max(v.first, line-v.h/3), 0
	if el, er := v.tail(v.w, v.h); v.topLine > el || v.topLine == el && er == 0 {
		v.topLine, v.topRow = el, er
	}
}

func (v *LogView) matches(l LogLine) bool {
	return strings.Contains(strings.ToLower(ansi.Strip(l.Text)), v.query)
}

// tail is the position of the top row when the last row of the log is at the bottom.
func (v *LogView) tail(w, h int) (line, row int) {
	for i := len(v.lines) - 1; i >= 0; i-- {
		n := len(v.rows(v.first+i, w))
		if n >= h {
			return v.first + i, n - h
		}
		h -= n
	}
	return v.first, 0
}

const timeWidth = len("15:04:05 ")

// rows are the rows one line takes in a width; the pieces have no time before them.
func (v *LogView) rows(line, w int) []string {
	l := v.lines[line-v.first]
	if v.times {
		w -= timeWidth
	}
	w = max(1, w)
	if v.nowrap || len(l.Text) <= w {
		return []string{l.Text}
	}
	return pieces(l.Text, w)
}

// pieces cuts a text with colours into parts of w cells; each part carries the colours it begins in.
func pieces(s string, w int) []string {
	n := ansi.StringWidth(s)
	if n <= w {
		return []string{s}
	}
	if !strings.Contains(s, "\x1b") {
		return strings.Split(ansi.Hardwrap(s, w, true), "\n")
	}
	if plain := ansi.Strip(s); utf8.RuneCountInString(plain) != n {
		return strings.Split(ansi.Hardwrap(plain, w, true), "\n") // wide characters at an edge cannot be cut in colour
	}
	var out []string
	for at := 0; at < n; at += w {
		out = append(out, ansi.Cut(s, at, min(at+w, n))+"\x1b[m")
	}
	return out
}

// View draws the log.
func (v *LogView) View(t *theme.Theme, w, h int) string {
	if w <= 0 || h <= 0 {
		return Rows(nil, w, h)
	}
	line, row := v.topLine, v.topRow
	if !v.paused {
		line, row = v.tail(w, h)
	}
	line = max(line, v.first)
	out := make([]string, 0, h)
	for ; line < v.first+len(v.lines) && len(out) < h; line, row = line+1, 0 {
		l := v.lines[line-v.first]
		parts := v.rows(line, w)
		if v.query != "" && v.matches(l) {
			parts = v.marked(t, line, w)
		}
		for i := row; i < len(parts) && len(out) < h; i++ {
			s := parts[i]
			if v.nowrap && v.left > 0 {
				s = ansi.TruncateLeft(s, v.left, "")
			}
			if l.Own {
				s = t.Accent.Render(ansi.Strip(s))
			}
			if v.times {
				stamp := strings.Repeat(" ", timeWidth)
				if i == 0 && !l.Time.IsZero() {
					stamp = t.Muted.Render(l.Time.Format("15:04:05")) + " "
				}
				s = stamp + s
			}
			out = append(out, s)
		}
	}
	return Rows(out, w, h)
}

// marked is rows for a line that holds what is searched for, with every place marked.
func (v *LogView) marked(t *theme.Theme, line, w int) []string {
	text := ansi.Strip(v.lines[line-v.first].Text)
	low := strings.ToLower(text)
	style := t.Match
	if line == v.hit {
		style = style.Underline(true).Bold(true)
	}
	if len(low) != len(text) { // lower case takes other bytes: places cannot be mapped back
		return []string{style.Render(text)}
	}
	var b strings.Builder
	for {
		i := strings.Index(low, v.query)
		if i < 0 {
			break
		}
		b.WriteString(text[:i])
		b.WriteString(style.Render(text[i : i+len(v.query)]))
		text, low = text[i+len(v.query):], low[i+len(v.query):]
	}
	b.WriteString(text)
	if v.times {
		w -= timeWidth
	}
	if v.nowrap {
		return []string{b.String()}
	}
	return pieces(b.String(), max(1, w))
}
