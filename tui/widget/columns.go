package widget

import (
	"strings"

	"carrel/tui/theme"
)

// Column says how wide a column of a table may be. Columns do not jump: widths follow from the width of the table alone.
type Column struct {
	Min   int  // below this it is left out rather than squeezed
	Max   int  // 0: as wide as there is room
	Flex  int  // share of the spare room; 0: stays at Min
	Right bool // numbers
	Drop  int  // which goes first when there is no room: the highest; 0 is never left out
}

// Table is a set of columns with a gap between them.
type Table struct {
	Columns []Column
	Gap     int
}

// Widths lays the columns out in w cells; a width of 0 means the column is left out.
func (t Table) Widths(w int) []int {
	out := make([]int, len(t.Columns))
	kept := make([]bool, len(t.Columns))
	for i := range kept {
		kept[i] = true
	}
	need := func() int {
		n, k := 0, 0
		for i, c := range t.Columns {
			if kept[i] {
				n += c.Min
				k++
			}
		}
		return n + t.Gap*max(0, k-1)
	}
	for need() > w {
		drop := -1
		for i, c := range t.Columns {
			if kept[i] && c.Drop > 0 && (drop < 0 || c.Drop > t.Columns[drop].Drop) {
				drop = i
			}
		}
		if drop < 0 {
			break
		}
		kept[drop] = false
	}
	spare := max(0, w-need())
	for i, c := range t.Columns {
		if kept[i] {
			out[i] = c.Min
		}
	}
	for spare > 0 {
		flex := 0
		for i, c := range t.Columns {
			if kept[i] && c.Flex > 0 && (c.Max == 0 || out[i] < c.Max) {
				flex += c.Flex
			}
		}
		if flex == 0 {
			break
		}
		given := 0
		for i, c := range t.Columns {
			if !kept[i] || c.Flex == 0 || (c.Max > 0 && out[i] >= c.Max) {
				continue
			}
			add := max(1, spare*c.Flex/flex)
			add = min(add, spare-given)
			if c.Max > 0 {
				add = min(add, c.Max-out[i])
			}
			out[i] += add
			given += add
		}
		if given == 0 {
			break
		}
		spare -= given
	}
	return out
}

// Row draws one row in exactly w cells.
func (t Table) Row(w int, cells ...string) string {
	widths := t.Widths(w)
	var b strings.Builder
	first := true
	for i, cw := range widths {
		if cw == 0 {
			continue
		}
		if !first {
			b.WriteString(strings.Repeat(" ", t.Gap))
		}
		first = false
		cell := ""
		if i < len(cells) {
			cell = cells[i]
		}
		if t.Columns[i].Right {
			b.WriteString(Right(cell, cw))
		} else {
			b.WriteString(Line(cell, cw))
		}
	}
	return Line(b.String(), w)
}

// Facts draws pairs of a word and its value under each other, the words in one column; a value that is too long goes on in
// the next line.
func Facts(th *theme.Theme, w int, pairs ...[2]string) []string {
	word := 0
	for _, p := range pairs {
		if p[1] != "" {
			word = max(word, Width(p[0]))
		}
	}
	word = min(word, max(4, w/3))
	var out []string
	for _, p := range pairs {
		if p[1] == "" {
			continue
		}
		for i, l := range Wrap(p[1], max(1, w-word-2)) {
			label := ""
			if i == 0 {
				label = th.Muted.Render(Cut(p[0], word))
			}
			out = append(out, Line(Line(label, word)+"  "+l, w))
		}
	}
	return out
}
