package inspect

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"carrel/engine"
	"carrel/tui/theme"
	"carrel/tui/widget"
)

// Bounds of what is read of a file to show it.
const (
	maxText    = 1 << 20
	maxPicture = 12 << 20
	maxLines   = 20_000
)

// tone says how a line of a preview is drawn.
type tone int

const (
	plainTone tone = iota
	headTone       // a heading
	noteTone       // stands back: comments, remarks
	codeTone       // behind a bar
	jsonTone       // a name and its value
)

type row struct {
	tone tone
	num  int // line number; 0: none
	text string
}

// preview is a file made ready to be shown. It is made off the loop, and drawn in whatever colours and size there are.
type preview struct {
	file string
	kind string // "text", "table of 12 rows", for a person
	rows []row
	grid *widget.Grid
	pic  *widget.Picture
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
			p.kind, p.rows = "JSON", lines(b.String(), func(string) tone { return jsonTone })
			return p
		}
	}
	p.kind = "text"
	p.rows = lines(string(data), toner(ext, path.Base(file)))
	return p
}

// toner says how the lines of a text stand out: headings of Markdown and definition files, comments of most others.
func toner(ext, base string) func(string) tone {
	switch {
	case ext == ".md" || ext == ".rmd":
		return func(l string) tone {
			if strings.HasPrefix(l, "#") {
				return headTone
			}
			return plainTone
		}
	case ext == ".txt" || ext == ".html" || ext == ".css" || ext == ".log":
		return func(string) tone { return plainTone }
	}
	def := ext == ".def" || strings.HasPrefix(base, "Singularity")
	return func(l string) tone {
		l = strings.TrimSpace(l)
		switch {
		case def && strings.HasPrefix(l, "%"):
			return headTone
		case strings.HasPrefix(l, "#") || strings.HasPrefix(l, "//"):
			return noteTone
		}
		return plainTone
	}
}

func lines(text string, of func(string) tone) []row {
	all := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	more := len(all) - maxLines
	if more > 0 {
		all = all[:maxLines]
	}
	out := make([]row, len(all), len(all)+1)
	for i, l := range all {
		out[i] = row{of(l), i + 1, widget.Clean(l)}
	}
	if more > 0 {
		out = append(out, row{tone: noteTone, text: widget.Thousands(more) + " further lines are not shown."})
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
		out = append(out, row{tone: noteTone, text: widget.Clean(strings.TrimRight(l, "\n"))})
	}
	return kind, out
}

// notebookFile is what is shown of a Jupyter notebook (nbformat 4).
type notebookFile struct {
	Cells []struct {
		Type    string `json:"cell_type"`
		Source  text   `json:"source"`
		Count   *int   `json:"execution_count"`
		Outputs []struct {
			Type string          `json:"output_type"`
			Text text            `json:"text"`
			Data map[string]text `json:"data"`
			Name string          `json:"ename"`
			Says string          `json:"evalue"`
		} `json:"outputs"`
	} `json:"cells"`
}

// text is a string, or a list of lines; other values are taken as none.
type text string

func (t *text) UnmarshalJSON(data []byte) error {
	var one string
	var many []string
	if json.Unmarshal(data, &one) == nil {
		*t = text(one)
	} else if json.Unmarshal(data, &many) == nil {
		*t = text(strings.Join(many, ""))
	}
	return nil
}

// notebook draws cells: text as it is, code behind a bar, what it printed below.
func notebook(data []byte) ([]row, int, error) {
	var n notebookFile
	if err := json.Unmarshal(data, &n); err != nil {
		return nil, 0, err
	}
	var out []row
	add := func(tn tone, s text) {
		for l := range strings.SplitSeq(strings.TrimRight(string(s), "\n"), "\n") {
			one := tn
			if tn == plainTone && strings.HasPrefix(l, "#") {
				one = headTone
			}
			if len(out) < maxLines {
				out = append(out, row{tone: one, text: widget.Clean(l)})
			}
		}
	}
	for _, c := range n.Cells {
		if len(out) > 0 {
			out = append(out, row{})
		}
		if c.Type != "code" {
			add(plainTone, c.Source)
			continue
		}
		mark := "In [ ]"
		if c.Count != nil {
			mark = fmt.Sprintf("In [%d]", *c.Count)
		}
		out = append(out, row{tone: noteTone, text: mark})
		add(codeTone, c.Source)
		for _, o := range c.Outputs {
			switch {
			case o.Name != "":
				add(noteTone, text(o.Name+": "+o.Says))
			case o.Text != "":
				add(noteTone, o.Text)
			case o.Data["text/plain"] != "":
				add(noteTone, o.Data["text/plain"])
			}
			for kind := range o.Data {
				if strings.HasPrefix(kind, "image/") {
					out = append(out, row{tone: noteTone, text: "(a picture)"})
					break
				}
			}
		}
	}
	return out, len(n.Cells), nil
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
		p.rows = append(p.rows, row{text: name})
	}
	return p
}

// height is the number of lines in a view of w by h cells.
func (p *preview) height(h int) int {
	switch {
	case p.pic != nil:
		return h
	case p.grid != nil:
		return p.grid.Len()
	}
	return len(p.rows)
}

// view draws h lines from line off on.
func (p *preview) view(t *theme.Theme, w, h, off int) []string {
	if w <= 0 || h <= 0 {
		return nil
	}
	if p.pic != nil {
		return p.pic.View(t, w, h)
	}
	digits := 0
	if n := len(p.rows); n > 0 && p.rows[0].num > 0 {
		digits = len(fmt.Sprint(n))
	}
	var out []string
	for i := max(0, off); i < p.height(h) && len(out) < h; i++ {
		if p.grid != nil {
			out = append(out, widget.Cut(p.grid.Line(t, i), w))
			continue
		}
		out = append(out, widget.Cut(p.rows[i].draw(t, digits), w))
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
	switch r.tone {
	case headTone:
		return lead + t.Title.Render(r.text)
	case noteTone:
		return lead + t.Muted.Render(r.text)
	case codeTone:
		return lead + t.Accent.Render(theme.Wall) + " " + r.text
	case jsonTone:
		if name, value, ok := strings.Cut(r.text, `": `); ok && strings.HasPrefix(strings.TrimSpace(name), `"`) {
			return lead + t.Accent.Render(name+`"`) + ": " + value
		}
	}
	return lead + r.text
}
