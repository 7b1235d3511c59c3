package widget

import (
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
)

// Choose begins a selection of lines at the last one that is shown, and holds the view still.
func (v *LogView) Choose() {
	v = v.seen()
	if len(v.lines) == 0 {
		return
	}
	v.Pause()
	v.mark = v.bottom()
	v.point, v.choose = v.mark, true
}

// Choosing tells whether lines are selected, and how many.
func (v *LogView) Choosing() (n int, on bool) {
	v = v.seen()
	if !v.choose {
		return 0, false
	}
	return max(v.mark, v.point) - min(v.mark, v.point) + 1, true
}

// Unchoose ends the selection.
func (v *LogView) Unchoose() { v.seen().choose = false }

// Extend moves the end of the selection by n lines; the view follows it.
func (v *LogView) Extend(n int) {
	v = v.seen()
	if !v.choose {
		return
	}
	v.point = min(max(v.point+n, v.first), v.first+len(v.lines)-1)
	for v.paused && v.point > v.bottom() {
		was, row := v.topLine, v.topRow
		v.ScrollBy(1)
		if v.topLine == was && v.topRow == row {
			break
		}
	}
	if v.point < v.topLine {
		v.paused, v.topLine, v.topRow = true, v.point, 0
	}
}

// Mark begins the selection anew where it ends now.
func (v *LogView) Mark() { v = v.seen(); v.mark = v.point }

// Chosen are the selected lines as plain text.
func (v *LogView) Chosen() string {
	v = v.seen()
	if !v.choose {
		return ""
	}
	var b strings.Builder
	for n := min(v.mark, v.point); n <= max(v.mark, v.point); n++ {
		l := v.lines[n-v.first]
		if v.times && !l.Time.IsZero() {
			b.WriteString(l.Time.Format(time.RFC3339) + " ")
		}
		b.WriteString(ansi.Strip(l.Text) + "\n")
	}
	return b.String()
}

// chosen tells whether a line is selected.
func (v *LogView) chosen(line int) bool {
	return v.choose && line >= min(v.mark, v.point) && line <= max(v.mark, v.point)
}

// bottom is the number of the last line that is shown whole or in part.
func (v *LogView) bottom() int {
	line, row, left := v.topLine, v.topRow, v.h
	if !v.paused {
		return v.first + len(v.lines) - 1
	}
	for ; line < v.first+len(v.lines)-1; line++ {
		left -= len(v.rows(line, v.w)) - row
		row = 0
		if left <= 0 {
			break
		}
	}
	return line
}
