package catalog

import (
	"cmp"
	"fmt"
	"strings"

	"carrel/tui/screen"
	"carrel/tui/task"
	"carrel/tui/theme"
	"carrel/tui/widget"
)

// top is the number of lines above the list: the filter.
const top = 3

// wide is the width from which the details stand beside the list; below it they stand under it.
const wide = 100

// wider is the width from which the categories stand at the left of the list.
const wider = 110

// categoriesW is how wide they are.
const categoriesW = 20

// parts says how the screen is divided.
type parts struct {
	catW, listW, detailW int
	listH, underH        int
}

func layout(w, h int) parts {
	p := parts{listW: w, listH: max(0, h-top)}
	if w >= wide {
		if w >= wider {
			p.catW = categoriesW
		}
		p.listW, p.detailW = screen.Split(w-p.catW, 50, 1, 40)
		return p
	}
	if h >= 17 {
		p.underH = 5
		p.listH -= p.underH
	}
	return p
}

// Resize tells the list its height.
func (s *Screen) Resize(w, h int) {
	s.w, s.h = w, h
	s.list.Resize(layout(w, h).listH)
}

// View draws the catalog.
func (s *Screen) View(w, h int) string {
	t := s.d.Theme
	p := layout(w, h)
	head := widget.Rows([]string{"", s.filterLine(p.listW), ""}, p.listW, min(top, h))
	body := head
	if p.listH > 0 {
		list := s.list.View(t, p.listW, p.listH, s.line)
		if len(s.rows) == 0 && s.known {
			list = widget.Rows(widget.Indent(s.nothing(), 4), p.listW, p.listH)
		}
		body = widget.Stack(head, list)
	}
	if p.catW > 0 {
		body = widget.Beside(widget.Rows(s.categories(), p.catW, h), body)
	}
	switch {
	case p.detailW > 0:
		wall := widget.Box(strings.TrimSuffix(strings.Repeat(t.Faint.Render(theme.Wall)+"\n", h), "\n"), 1, h)
		body = widget.Beside(body, wall, widget.Rows(widget.Indent(s.detail(p.detailW-4, h), 2), p.detailW, h))
	case p.underH > 0:
		lines := append([]string{"  " + widget.RuleLine(t, max(0, w-4), "")}, widget.Indent(s.brief(max(0, w-4)), 2)...)
		body = widget.Stack(body, widget.Rows(lines, w, p.underH))
	}
	return widget.Box(body, w, h)
}

// categories are the lines at the left: each with how many there are of it.
func (s *Screen) categories() []string {
	t := s.d.Theme
	out := make([]string, top)
	for _, c := range s.cats {
		n := s.counts[c]
		if c == "" {
			n = len(s.entries)
		}
		name, sign := t.Muted.Render(categoryWords(c)), " "
		if c == s.only {
			name, sign = t.Title.Render(categoryWords(c)), t.Accent.Render(theme.Folded)
		}
		out = append(out, " "+sign+" "+widget.Spread(name, t.Muted.Render(fmt.Sprint(n)), categoriesW-4))
	}
	return out
}

func (s *Screen) filterLine(w int) string {
	t := s.d.Theme
	n := 0
	for _, r := range s.rows {
		if r.entry >= 0 {
			n++
		}
	}
	what := widget.Count(n, "app", "apps")
	if s.only != "" {
		what = strings.ToLower(categoryWords(s.only)) + " " + theme.Sep + " " + what
	}
	count := t.Muted.Render(what + " ")
	if !s.known {
		count = ""
	}
	ghost := ""
	if s.filter.Value() == "" {
		ghost = "what are you looking for?"
	}
	switch {
	case s.typing:
		return widget.Spread("  "+t.Accent.Render("/ ")+s.filter.View(t, max(0, w-18), true, ghost), count, w)
	case s.filter.Value() != "":
		return widget.Spread("  "+t.Accent.Render("/ ")+t.Strong.Render(s.filter.Value())+t.Muted.Render("   esc shows all"), count, w)
	}
	return widget.Spread("  "+t.Muted.Render("/ to filter"), count, w)
}

func (s *Screen) nothing() []string {
	t := s.d.Theme
	switch {
	case s.err != nil:
		return []string{t.Bad.Render("The catalog cannot be read: " + widget.Clean(s.err.Error())), "", t.Muted.Render("R reads it again.")}
	case s.filter.Value() != "":
		return []string{t.Text.Render("No app matches “" + s.filter.Value() + "”."), "", t.Muted.Render("esc shows all again.")}
	}
	return []string{t.Text.Render("The catalog is empty.")}
}

var table = widget.Table{Gap: 2, Columns: []widget.Column{
	{Min: 26, Max: 30, Flex: 2}, {Min: 24, Flex: 5, Drop: 1}, {Min: 9, Right: true},
}}

func (s *Screen) line(i int, selected bool, w int) string {
	t, r := s.d.Theme, s.rows[i]
	if r.entry < 0 {
		return "  " + t.Title.Render(r.heading)
	}
	e := &s.entries[r.entry]
	name := t.Text.Render(title(e))
	if selected {
		name = t.Strong.Render(title(e))
	}
	state := ""
	if m, ok := s.built[e.Name]; ok {
		state = t.OK.Render(theme.Check) + t.Muted.Render(" "+widget.Bytes(m.Size))
	}
	about := t.Muted.Render(widget.Clean(e.Card.Description))
	if e.Err != nil {
		state = t.Warn.Render(theme.Note + " faulty")
		about = t.Muted.Render(widget.Clean(e.Err.Error()))
	}
	return widget.Marker(t, selected) + "  " + table.Row(max(0, w-5), name, about, state)
}

// brief is what to know about the selected entry, in a few lines.
func (s *Screen) brief(w int) []string {
	t, e := s.d.Theme, s.selected()
	if e == nil {
		return nil
	}
	out := []string{t.Strong.Render(widget.Cut(title(e), w))}
	for i, l := range widget.Wrap(widget.Clean(about(e)), w) {
		if i < 2 {
			out = append(out, t.Muted.Render(l))
		}
	}
	line := s.here(e)
	if sv := screen.Serves(e.Card); sv != "" {
		line = "opens " + sv + "   " + line
	}
	return append(out, t.Muted.Render(widget.Cut(line, w)))
}

func about(e *task.Entry) string {
	if e.Err != nil {
		return e.Err.Error()
	}
	return e.Card.Description
}

func (s *Screen) here(e *task.Entry) string {
	if m, ok := s.built[e.Name]; ok {
		text := "built here " + widget.Ago(m.ModTime, s.now) + ", " + widget.Bytes(m.Size)
		if took := s.ready[m.Path]; took > 0 {
			text += "; its first page came after " + widget.Lasted(took)
		}
		return text
	}
	return "built on this computer when you start it"
}

// detail is all about the selected entry, for the pane at the right.
func (s *Screen) detail(w, h int) []string {
	t, e := s.d.Theme, s.selected()
	if e == nil || w < 10 {
		return nil
	}
	out := []string{"", t.Strong.Render(widget.Cut(title(e), w))}
	style := t.Muted
	if e.Err != nil {
		style = t.Warn
	}
	for _, l := range widget.Wrap(widget.Clean(about(e)), w) {
		out = append(out, style.Render(l))
	}
	out = append(out, "")
	var choices []string
	for _, a := range e.Card.Args {
		if len(a.Choices) > 0 {
			choices = append(choices, widget.Clean(a.Name+": "+strings.Join(a.Choices, ", ")))
		}
	}
	out = append(out, widget.Facts(t, w,
		[2]string{"opens", screen.Serves(e.Card)},
		[2]string{"works in", screen.Works(e.Card)},
		[2]string{"choices", strings.Join(choices, "; ")},
		[2]string{"image", s.here(e)},
		[2]string{"about", widget.Clean(strings.Join(e.Card.Keywords, ", "))},
		[2]string{"cite", widget.Clean(e.Card.Cite)},
		[2]string{"by", widget.Clean(e.Card.Authors)},
		[2]string{"version", widget.Clean(cmp.Or(versions(e), e.Card.Version))},
		[2]string{"from", widget.Clean(e.Source)},
		[2]string{"name", widget.Clean(e.Name)},
	)...)
	if e.Card.Example != "" {
		out = append(out, "", t.Title.Render("Example"), "  "+t.Command.Render(widget.Cut(widget.Clean(e.Card.Example), w-2)))
	}
	if room := h - len(out) - 3; room >= 6 && e.Raw != "" {
		out = append(out, "", t.Title.Render("Definition"))
		lines := screen.ColorDefinition(t, e.Raw)
		if len(lines) > room {
			lines = append(lines[:room-1], t.Muted.Render("v shows all of it"))
		}
		for _, l := range lines {
			out = append(out, "  "+widget.Cut(l, w-2))
		}
	}
	return out
}

// versions names the versions to choose from.
func versions(e *task.Entry) string {
	switch n := len(e.Versions); {
	case n < 2:
		return strings.Join(e.Versions, "")
	case n > 4:
		return strings.Join(e.Versions[:3], ", ") + " and " + fmt.Sprint(n-3) + " more (V chooses)"
	}
	return strings.Join(e.Versions, ", ") + " (V chooses)"
}
