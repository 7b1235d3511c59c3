package widget

import (
	"encoding/csv"
	"errors"
	"io"
	"strings"
	"unicode"

	"carrel/tui/theme"
)

// Bounds of a table that is shown: what is beyond is left out.
const (
	gridRows    = 2000
	gridColumns = 64
	gridCell    = 32 // widest column, in cells
)

// Grid is a table of text, as a CSV file holds it. The first row is its head.
type Grid struct {
	Rows  [][]string
	Cut   bool // there are more rows
	width []int
	right []bool // numbers
}

// ReadGrid reads separated values: commas, semicolons or tabs, whichever the first line has most of. Quotes may be wrong.
func ReadGrid(text string) (*Grid, error) {
	r := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "\ufeff")))
	r.Comma = separator(text)
	r.FieldsPerRecord, r.LazyQuotes, r.ReuseRecord = -1, true, true
	g := &Grid{}
	for {
		rec, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if len(g.Rows) == gridRows {
			g.Cut = true
			break
		}
		row := make([]string, min(len(rec), gridColumns))
		for i := range row {
			row[i] = Clean(strings.TrimSpace(rec[i]))
		}
		g.Rows = append(g.Rows, row)
	}
	g.measure()
	return g, nil
}

func separator(text string) rune {
	line, _, _ := strings.Cut(text, "\n")
	best, n := ',', 0
	for _, c := range ",;\t|" {
		if k := strings.Count(line, string(c)); k > n {
			best, n = c, k
		}
	}
	return best
}

func (g *Grid) measure() {
	for y, row := range g.Rows {
		for x, c := range row {
			if x == len(g.width) {
				g.width, g.right = append(g.width, 1), append(g.right, true)
			}
			g.width[x] = min(gridCell, max(g.width[x], Width(c)))
			if y > 0 && c != "" && c != "NA" && strings.IndexFunc(c, func(r rune) bool { return !unicode.IsDigit(r) && !strings.ContainsRune("+-.,eE%", r) }) >= 0 {
				g.right[x] = false
			}
		}
	}
	if len(g.Rows) < 2 {
		clear(g.right)
	}
}

// Len is the number of lines: the rows, and a rule under the head.
func (g *Grid) Len() int {
	if len(g.Rows) == 0 {
		return 0
	}
	return len(g.Rows) + 1
}

// Line draws one line: columns of fixed width, numbers at the right.
func (g *Grid) Line(t *theme.Theme, i int) string {
	if i == 1 {
		n := -2
		for _, w := range g.width {
			n += w + 2
		}
		return RuleLine(t, max(1, n), "")
	}
	head := i == 0
	if !head {
		i--
	}
	var b strings.Builder
	for x, w := range g.width {
		if x > 0 {
			b.WriteString("  ")
		}
		c := ""
		if x < len(g.Rows[i]) {
			c = Cut(g.Rows[i][x], w)
		}
		if head {
			c = t.Strong.Render(c)
		}
		if g.right[x] {
			b.WriteString(Right(c, w))
		} else {
			b.WriteString(Line(c, w))
		}
	}
	return b.String()
}
