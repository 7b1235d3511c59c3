package widget

import (
	"slices"
	"strings"
	"time"
	"unicode"
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

	plain bool // Text is ASCII without colours
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
	hits  []int  // numbers of the lines that hold it
	hit   int    // number of the line of the current hit, -1: none

	filter string   // lower case
	only   *LogView // the lines that hold it; nil: all are shown

	mark   int // number of the line where a selection began
	point  int // and where it ends
	choose bool

	w, h int
}

// seen is the view that is shown: that of the lines a filter lets through, or v itself.
func (v *LogView) seen() *LogView {
	if v.only != nil {
		return v.only
	}
	return v
}

// Filter shows only the lines that hold a text, whatever its case; "" shows all again.
func (v *LogView) Filter(q string) {
	q = strings.ToLower(q)
	if q == v.filter {
		return
	}
	v.filter = q
	if q == "" {
		v.only = nil
		return
	}
	o := &LogView{nowrap: v.nowrap, times: v.times, w: v.w, h: v.h, hit: -1}
	for _, l := range v.lines {
		if holds(l, q) {
			o.lines = append(o.lines, l)
		}
	}
	v.only = o
	if v.query != "" {
		o.find(v.query)
	}
}

// Filtered is the text of the filter, and how many lines hold it.
func (v *LogView) Filtered() (string, int) {
	if v.only == nil {
		return "", 0
	}
	return v.filter, len(v.only.lines)
}

// Append adds lines at the end.
func (v *LogView) Append(lines ...LogLine) {
	for _, l := range lines {
		l.Text = CleanKeepColor(l.Text)
		l.plain = isPlain(l.Text)
		v.take(l)
		if v.only != nil && holds(l, v.filter) {
			v.only.take(l)
		}
	}
	v.trim()
	if v.only != nil {
		v.only.trim()
	}
}

func (v *LogView) take(l LogLine) {
	v.lines = append(v.lines, l)
	if v.query != "" && v.matches(l) {
		v.hits = append(v.hits, v.first+len(v.lines)-1)
	}
}

// trim drops the oldest lines beyond the limit.
func (v *LogView) trim() {
	if over := len(v.lines) - LogLimit; over > LogLimit/10 {
		v.lines = append(make([]LogLine, 0, LogLimit+LogLimit/5), v.lines[over:]...)
		v.first += over
		gone, _ := slices.BinarySearch(v.hits, v.first)
		v.hits = v.hits[gone:]
		if v.topLine < v.first {
			v.topLine, v.topRow = v.first, 0
		}
		v.mark, v.point = max(v.mark, v.first), max(v.point, v.first)
	}
}

// Clear forgets all lines; how they are shown stays.
func (v *LogView) Clear() {
	v.lines, v.first, v.paused, v.topLine, v.topRow, v.hits, v.hit, v.choose = nil, 0, false, 0, 0, nil, -1, false
	if v.only != nil {
		v.only.Clear()
	}
}

// Count is how many lines there were since the log was cleared, those that are no longer held among them.
func (v *LogView) Count() int { return v.first + len(v.lines) }

// Len is the number of lines held.
func (v *LogView) Len() int { return len(v.lines) }

// Following tells whether new lines move the view.
func (v *LogView) Following() bool { return !v.seen().paused }

// Wrapping and Times tell how lines are shown.
func (v *LogView) Wrapping() bool { return !v.nowrap }

// Times tells whether each line shows when it was written.
func (v *LogView) Times() bool { return v.times }

// ToggleWrap breaks long lines, or cuts them.
func (v *LogView) ToggleWrap() {
	v.nowrap, v.topRow, v.left = !v.nowrap, 0, 0
	if v.only != nil {
		v.only.ToggleWrap()
	}
}

// ToggleTimes shows or hides the time of each line.
func (v *LogView) ToggleTimes() {
	v.times, v.topRow = !v.times, 0
	if v.only != nil {
		v.only.ToggleTimes()
	}
}

// Follow goes to the end and stays there.
func (v *LogView) Follow() { v.seen().paused = false }

// Pause holds the view where it is.
func (v *LogView) Pause() {
	if v.only != nil {
		v.only.Pause()
	} else if !v.paused {
		v.topLine, v.topRow = v.tail(v.w, v.h)
		v.paused = true
	}
}

// Top goes to the first line.
func (v *LogView) Top() {
	v = v.seen()
	v.paused, v.topLine, v.topRow = true, v.first, 0
}

// Resize tells the size the next keys refer to.
func (v *LogView) Resize(w, h int) {
	v.w, v.h = max(0, w), max(0, h)
	if v.only != nil {
		v.only.Resize(w, h)
	}
}

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
	v = v.seen()
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
		line, row, v.paused = endLine, endRow, v.choose
	}
	v.topLine, v.topRow = line, row
}

// ScrollSide moves by n cells to the right, when long lines are cut.
func (v *LogView) ScrollSide(n int) {
	if v = v.seen(); v.nowrap {
		v.left = max(0, v.left+n)
	}
}

// Search marks all lines that hold the text, whatever its case, and goes to the last one; "" ends the search.
func (v *LogView) Search(q string) {
	if v.only != nil {
		v.only.Search(q)
	}
	v.find(strings.ToLower(q))
	if v.hit >= 0 {
		v.show(v.hit)
	}
}

// find finds the lines that hold a text in lower case; the hit is the last of them. When words that were searched for grow by
// a letter, only the lines that were found are looked at.
func (v *LogView) find(q string) {
	before, grown := v.hits, v.query != "" && strings.HasPrefix(q, v.query)
	v.query, v.hits, v.hit = q, nil, -1
	switch {
	case q == "":
		return
	case grown:
		for _, n := range before {
			if v.matches(v.lines[n-v.first]) {
				v.hits = append(v.hits, n)
			}
		}
	default:
		for i, l := range v.lines {
			if v.matches(l) {
				v.hits = append(v.hits, v.first+i)
			}
		}
	}
	if n := len(v.hits); n > 0 {
		v.hit = v.hits[n-1]
	}
}

// Query is what is searched for, and in how many lines it was found.
func (v *LogView) Query() (string, int) { return v.query, len(v.seen().hits) }

// Next and Prev go to the next and the previous hit, around the end.
func (v *LogView) Next() { v.seen().step(1) }

// Prev goes to the hit before.
func (v *LogView) Prev() { v.seen().step(-1) }

func (v *LogView) step(d int) {
	n := len(v.hits)
	if n == 0 {
		return
	}
	at, found := slices.BinarySearch(v.hits, v.hit)
	switch {
	case v.hit < 0:
		at = n - 1
	case d > 0 && found:
		at++
	case d < 0:
		at--
	}
	v.hit = v.hits[(at+n)%n]
	v.show(v.hit)
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

func (v *LogView) matches(l LogLine) bool { return holds(l, v.query) }

// holds tells whether a line holds a text that is in lower case. A hundred thousand lines are asked for each letter that is
// typed, so that nothing is made anew where a line has only ASCII.
func holds(l LogLine, query string) bool {
	if query == "" {
		return true
	}
	if !l.plain {
		return strings.Contains(strings.ToLower(ansi.Strip(l.Text)), query)
	}
	for text, first := l.Text, query[0]; ; {
		i := strings.IndexByte(text, first)
		if first >= 'a' && first <= 'z' {
			if j := strings.IndexByte(text[:max(i, 0)], first-'a'+'A'); j >= 0 {
				i = j
			} else if i < 0 {
				i = strings.IndexByte(text, first-'a'+'A')
			}
		}
		if i < 0 || i+len(query) > len(text) {
			return false
		}
		if same(text[i:i+len(query)], query) {
			return true
		}
		text = text[i+1:]
	}
}

func lowered(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// same tells whether ASCII text is the lower-case query, whatever its case.
func same(text, query string) bool {
	for i := range len(query) {
		if lowered(text[i]) != query[i] {
			return false
		}
	}
	return true
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
		if l.plain && strings.Contains(l.Text, "://") {
			return linked(l.Text, []string{l.Text})
		}
		return []string{l.Text}
	}
	if l.plain && strings.Contains(l.Text, "://") {
		return linked(l.Text, pieces(l.Text, w))
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
	v = v.seen()
	line, row := v.topLine, v.topRow
	if !v.paused {
		line, row = v.tail(w, h)
	}
	line = max(line, v.first)
	out := make([]string, 0, h)
	for ; line < v.first+len(v.lines) && len(out) < h; line, row = line+1, 0 {
		l := v.lines[line-v.first]
		parts := v.rows(line, w)
		grave := noLevel
		switch {
		case v.query != "" && v.matches(l):
			parts = v.marked(t, line, w)
		case !strings.Contains(l.Text, "\x1b"): // a program that colours its lines knows better
			grave = levelOf(l.Text)
		}
		for i := row; i < len(parts) && len(out) < h; i++ {
			s := parts[i]
			if v.nowrap && v.left > 0 {
				s = ansi.TruncateLeft(s, v.left, "")
			}
			switch {
			case v.chosen(line):
				s = t.Match.Render(ansi.Strip(s))
			case l.Own:
				s = t.Accent.Render(ansi.Strip(s))
			case grave != noLevel:
				s = levelStyle(t, grave).Render(s)
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

// lowerPlaces are, for each byte of the lower case of a text and for its end, where the character it is of begins in the text:
// a few characters have a lower case of other bytes (İ, ẞ).
func lowerPlaces(text string) []int {
	out := make([]int, 0, len(text)+1)
	for i, r := range text {
		for range len(string(unicode.ToLower(r))) {
			out = append(out, i)
		}
	}
	return append(out, len(text))
}

// marked is rows for a line that holds what is searched for, with every place marked.
func (v *LogView) marked(t *theme.Theme, line, w int) []string {
	text := ansi.Strip(v.lines[line-v.first].Text)
	low := strings.ToLower(text)
	style := t.Match
	if line == v.hit {
		style = style.Underline(true).Bold(true)
	}
	at := func(i int) int { return i } // the place in text of a place in low
	if len(low) != len(text) {
		places := lowerPlaces(text)
		at = func(i int) int { return places[i] }
	}
	var b strings.Builder
	from := 0
	for {
		i := strings.Index(low[from:], v.query)
		if i < 0 {
			break
		}
		i += from
		b.WriteString(text[at(from):at(i)])
		from = i + len(v.query)
		b.WriteString(style.Render(text[at(i):at(from)]))
	}
	b.WriteString(text[at(from):])
	if v.times {
		w -= timeWidth
	}
	if v.nowrap {
		return []string{b.String()}
	}
	return pieces(b.String(), max(1, w))
}
