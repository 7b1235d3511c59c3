package inspect

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"carrel/engine"
	"carrel/tui/syntax"
	"carrel/tui/theme"
	"carrel/tui/widget"
)

// Bounds of what is read of a file to show it.
const (
	maxText    = 1 << 20
	maxPicture = 12 << 20
	maxLines   = 20_000
)

// row is one line of a preview.
type row struct {
	num   int           // line number; 0: none
	spans []syntax.Span // its text in pieces
	lead  string        // in front, in a quiet colour: a bar beside code
	hang  string        // in front of what goes on in the next line; a row with a hang is wrapped, others are cut
	wrap  bool
	pic   *widget.Picture // a picture, of picRows rows; part says which of them this is
	part  int
}

// picWidth and picRows are the most that a picture within a text takes.
const (
	picWidth = 72
	picRows  = 16
)

// note is a line that stands back.
func note(text string) row { return row{spans: []syntax.Span{{Kind: syntax.Comment, Text: text}}} }

// preview is a file made ready to be shown. It is made off the loop, and drawn in whatever colours and size there are.
type preview struct {
	file string
	kind string // "text", "table of 12 rows", for a person
	rows []row
	grid *widget.Grid
	pic  *widget.Picture

	laid  []row // rows in a width
	laidW int
}

// limit is how many bytes are read of a file of this name.
func limit(name string) int64 {
	if isPicture(name) {
		return maxPicture
	}
	return maxText
}

func isPicture(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".png", ".jpg", ".jpeg", ".gif":
		return true
	}
	return false
}

// read makes a preview of a file's content.
func read(file string, data []byte) preview {
	p := preview{file: file}
	ext := strings.ToLower(path.Ext(file))
	if isPicture(file) {
		if pic, err := widget.ReadPicture(data); err == nil {
			p.pic, p.kind = pic, fmt.Sprintf("%s, %d × %d", strings.ToUpper(pic.Format), pic.W, pic.H)
			return p
		}
	}
	switch {
	case len(data) == 0:
		p.kind = "empty"
		return p
	case bytes.IndexByte(data[:min(len(data), 8192)], 0) >= 0:
		p.kind, p.rows = binary(data)
		return p
	case ext == ".csv" || ext == ".tsv":
		if g, err := widget.ReadGrid(string(data)); err == nil && g.Len() > 0 {
			p.grid = g
			p.kind = "table of " + widget.Count(len(g.Rows)-1, "row", "rows")
			if g.Cut {
				p.kind = "table, the first " + widget.Thousands(len(g.Rows)-1) + " rows"
			}
			return p
		}
	case ext == ".ipynb":
		if rows, n, err := notebook(data); err == nil {
			p.rows, p.kind = rows, "notebook of "+widget.Count(n, "cell", "cells")
			return p
		}
	case ext == ".json":
		var b bytes.Buffer
		if json.Indent(&b, data, "", "  ") == nil {
			p.kind, p.rows = "JSON", lines(b.String(), "JSON")
			return p
		}
	}
	language := syntax.Language(path.Base(file), string(data[:min(len(data), 200)]))
	if p.kind = language; language == "" {
		p.kind = "text"
	}
	if language == "Markdown" {
		p.rows = markdown(string(data))
		return p
	}
	p.rows = lines(string(data), language)
	return p
}

// lines are the numbered lines of a text in a language.
func lines(text, language string) []row {
	all := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	more := len(all) - maxLines
	if more > 0 {
		all = all[:maxLines]
	}
	for i, l := range all {
		all[i] = widget.Clean(l)
	}
	out := make([]row, len(all), len(all)+1)
	for i, spans := range syntax.Highlight(language, all) {
		out[i] = row{num: i + 1, spans: spans}
	}
	if more > 0 {
		out = append(out, note(widget.Thousands(more)+" further lines are not shown."))
	}
	return out
}

// binary shows the beginning of what is no text.
func binary(data []byte) (string, []row) {
	kind := "binary"
	if bytes.HasPrefix(data, []byte("\x7fELF")) {
		kind = "program or library"
	}
	var out []row
	for l := range strings.Lines(hex.Dump(data[:min(len(data), 512)])) {
		out = append(out, note(widget.Clean(strings.TrimRight(l, "\n"))))
	}
	return kind, out
}

// folder is the preview of a folder: what is in it.
func folder(dir string, list []engine.ImageFile) preview {
	p := preview{file: dir, kind: widget.Count(len(list), "entry", "entries")}
	for _, f := range list {
		if len(p.rows) == maxLines {
			break
		}
		name := widget.Clean(f.Name)
		if f.Type == "dir" {
			name += "/"
		}
		p.rows = append(p.rows, row{spans: []syntax.Span{{Text: name}}})
	}
	return p
}

// lay breaks long lines of what is to be read, for a width. The preview is drawn the same without it, only slower.
func (p *preview) lay(w int) {
	if w != p.laidW || p.laid == nil {
		p.laid, p.laidW = laid(p.rows, w), w
	}
}

func (p *preview) in(w int) []row {
	if w == p.laidW && p.laid != nil {
		return p.laid
	}
	return laid(p.rows, w)
}

func laid(rows []row, w int) []row {
	some := false
	for _, r := range rows {
		some = some || r.wrap || r.pic != nil
	}
	if !some {
		return rows
	}
	out := make([]row, 0, len(rows))
	for _, r := range rows {
		if r.pic != nil && r.part >= r.pic.Lines(min(w, picWidth), picRows) {
			continue
		}
		if !r.wrap {
			out = append(out, r)
			continue
		}
		for i, spans := range wrapped(r.spans, min(w, 96)-widget.Width(r.lead), r.hang) {
			one := row{spans: spans, lead: r.lead}
			if i == 0 {
				one.num = r.num
			}
			out = append(out, one)
		}
	}
	return out
}

// height is the number of lines in a view of w by h cells.
func (p *preview) height(w, h int) int {
	switch {
	case p.pic != nil:
		return h
	case p.grid != nil:
		return p.grid.Len()
	}
	return len(p.in(w))
}

// view draws h lines from line off on.
func (p *preview) view(t *theme.Theme, w, h, off int) []string {
	if w <= 0 || h <= 0 {
		return nil
	}
	if p.pic != nil {
		return p.pic.View(t, w, h)
	}
	var out []string
	if p.grid != nil {
		for i := max(0, off); i < p.grid.Len() && len(out) < h; i++ {
			out = append(out, widget.Cut(p.grid.Line(t, i), w))
		}
		return out
	}
	digits := 0
	if n := len(p.rows); n > 0 && p.rows[0].num > 0 {
		digits = len(fmt.Sprint(n))
	}
	rows := p.in(w)
	var pic *widget.Picture
	var lines []string
	for i := max(0, off); i < len(rows) && len(out) < h; i++ {
		if r := rows[i]; r.pic != nil {
			if r.pic != pic {
				pic, lines = r.pic, r.pic.View(t, min(w, picWidth), picRows)
			}
			out = append(out, widget.Cut(lines[r.part], w))
			continue
		}
		out = append(out, widget.Cut(rows[i].draw(t, digits), w))
	}
	return out
}

func (r row) draw(t *theme.Theme, digits int) string {
	lead := ""
	if digits > 0 {
		num := ""
		if r.num > 0 {
			num = fmt.Sprint(r.num)
		}
		lead = t.Faint.Render(fmt.Sprintf("%*s", digits, num)) + "  "
	}
	if r.lead != "" {
		lead += t.Accent.Render(r.lead)
	}
	return lead + syntax.Draw(t, r.spans)
}

// wrapped breaks pieces at spaces into lines of w cells; what goes on begins with hang.
func wrapped(spans []syntax.Span, w int, hang string) [][]syntax.Span {
	w = max(w, 8)
	var out [][]syntax.Span
	var line []syntax.Span
	used := 0
	put := func(k syntax.Kind, text string) {
		if n := len(line); n > 0 && line[n-1].Kind == k {
			line[n-1].Text += text
		} else {
			line = append(line, syntax.Span{Kind: k, Text: text})
		}
		used += widget.Width(text)
	}
	for _, s := range spans {
		for text := s.Text; text != ""; {
			n := strings.IndexByte(text[1:], ' ') + 1 // a word with the space before it
			if n == 0 {
				n = len(text)
			}
			word := text[:n]
			text = text[n:]
			if used > 0 && used+widget.Width(word) > w {
				out = append(out, line)
				line, used = nil, 0
				if hang != "" {
					put(syntax.Ordinary, hang)
				}
				word = strings.TrimPrefix(word, " ")
			}
			for widget.Width(word) > w-used && w > used { // longer than a line
				part := ansi.Truncate(word, w-used, "")
				if part == "" {
					break
				}
				put(s.Kind, part)
				out = append(out, line)
				line, used, word = nil, 0, word[len(part):]
			}
			put(s.Kind, word)
		}
	}
	return append(out, line)
}
