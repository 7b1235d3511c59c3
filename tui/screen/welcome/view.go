package welcome

import (
	"fmt"
	"sort"
	"strings"

	"carrel/engine"
	"carrel/tui/theme"
	"carrel/tui/widget"
)

// text is how wide lines of text are at most.
const text = 76

// Resize tells the lists their height.
func (s *Screen) Resize(w, h int) {
	s.w, s.h = w, h
	s.reason.Resize(len(reasons))
	s.list.Resize(max(1, h-8))
}

// View draws the page.
func (s *Screen) View(w, h int) string {
	left := 3
	if w < 70 {
		left = 2
	}
	if w >= 110 { // a calm column, not at the very edge
		left = (w - 96) / 2
	}
	inner := max(0, w-2*left)
	lines := s.head(inner)
	switch s.page {
	case 0:
		lines = append(lines, s.checksPage(inner, h)...)
	case 1:
		lines = append(lines, s.reasonsPage(inner, h)...)
	default:
		lines = append(lines, s.startPage(inner, max(0, h-len(lines)))...)
	}
	return widget.Rows(append(make([]string, above(h)), widget.Indent(lines, left)...), w, h)
}

// above is how many lines stay free above a page: none where there is little room.
func above(h int) int {
	if h > 26 {
		return 2
	}
	return 0
}

func (s *Screen) wrap(style func(...string) string, t string, w int) []string {
	var out []string
	for _, l := range widget.Wrap(t, min(w, text)) {
		out = append(out, style(l))
	}
	return out
}

// head is the page's title.
func (s *Screen) head(w int) []string {
	t := s.d.Theme
	r, _ := s.reason.Selected()
	switch {
	case s.page == 0:
		return []string{"", t.Strong.Render("A private desk for every research app."), ""}
	case s.page == 1:
		return []string{"", t.Strong.Render("What brings you here?"), ""}
	case r.ID == "look":
		out := []string{"", t.Strong.Render("Your first app"), ""}
		out = append(out, s.wrap(t.Muted.Render, "A small page, served from inside a container. It shows the one folder you share with it, and nothing else of your computer. Put a file into that folder, and watch it appear.", w)...)
		return append(out, "")
	case r.ID == "given":
		out := []string{"", t.Strong.Render("A container somebody gave you"), ""}
		out = append(out, s.wrap(t.Muted.Render, "An image (.sif, .img), a definition file, or an address such as docker://alpine. Nothing in it is run before you say so.", w)...)
		return append(out, "")
	}
	out := append([]string{"", t.Strong.Render("Choose one")}, s.wrap(t.Muted.Render, "Each is built on this computer from a short text; a form asks the rest.", w)...)
	return append(out, "")
}

func (s *Screen) checksPage(w, h int) []string {
	t := s.d.Theme
	var out []string
	if h >= 16 {
		out = append(out, s.wrap(t.Text.Render, "Carrel runs apps (notebooks, experiments, result pages) in containers: sealed boxes that hold everything an app needs. Your files stay on your computer; you choose which folder an app may see.", w)...)
		out = append(out, "")
	}
	if !s.checked {
		return append(out, t.Accent.Render(t.Spinner(s.frame))+t.Muted.Render(" Checking this computer "+theme.Ellipsis))
	}
	bad := 0
	for _, c := range s.checks {
		if c.Status == engine.StatusBad {
			bad++
		}
	}
	if bad > 0 {
		out = append(out, t.Bad.Render(widget.Count(bad, "thing does", "things do")+" not work on this computer yet"))
	} else {
		out = append(out, t.Muted.Render("This computer can run them:"))
	}
	shown, rest := s.brief()
	for _, c := range shown {
		out = append(out, s.checkLine(c, w))
		if c.Status == engine.StatusBad && widget.Width(c.Title)+4 > w { // nothing of it is cut
			out = out[:len(out)-1]
			sign := t.Bad.Render(theme.Cross)
			for _, l := range widget.Wrap(widget.Clean(c.Title), max(1, w-4)) {
				out = append(out, "  "+sign+" "+l)
				sign = " "
			}
		}
		if c.Status != engine.StatusBad {
			continue
		}
		for _, x := range []string{c.Detail, c.Advice} {
			for _, l := range widget.Wrap(widget.Clean(x), max(1, min(w, text)-6)) {
				out = append(out, "      "+t.Muted.Render(l))
			}
		}
		if c.Admin != "" {
			out = append(out, "      "+t.Muted.Render("administrator:  ")+widget.Clean(c.Admin))
		}
	}
	if len(rest) > 0 {
		remarks := 0
		for _, c := range rest {
			if c.Status == engine.StatusNote {
				remarks++
			}
		}
		say := fmt.Sprintf("and %d more", len(rest))
		if remarks > 0 {
			say += " (" + widget.Count(remarks, "remark", "remarks") + ", nothing to do)"
		}
		line := "  " + t.Muted.Render(theme.Ellipsis+" "+say)
		if keys := "   " + t.Accent.Render("w") + t.Muted.Render(" shows all"); widget.Width(line)+widget.Width(keys) <= w {
			line += keys
		}
		out = append(out, line)
	}
	if room := max(0, h-len(s.head(w))); len(out) > room && room > 0 {
		out = append(out[:room-1:room-1], "  "+t.Muted.Render(theme.Ellipsis+"   ")+t.Accent.Render("w")+t.Muted.Render(" shows all"))
	}
	return out
}

// usual are the checks a newcomer is shown; the others only where they found something that does not work.
var usual = map[string]bool{"user-namespaces": true, "fuse": true, "port": true, "disk": true, "doctor": true}

// brief are the checks that are shown, what does not work first, and those that are not.
func (s *Screen) brief() (shown, rest []engine.Check) {
	for _, c := range s.checks {
		switch {
		case c.Status == engine.StatusBad || usual[c.Name]:
			shown = append(shown, c)
		default:
			rest = append(rest, c)
		}
	}
	sort.SliceStable(shown, func(i, j int) bool { return shown[i].Status == engine.StatusBad && shown[j].Status != engine.StatusBad })
	return shown, rest
}

func (s *Screen) checkLine(c engine.Check, w int) string {
	t := s.d.Theme
	sign := t.OK.Render(theme.Check)
	switch c.Status {
	case engine.StatusNote:
		sign = t.Warn.Render(theme.Note)
	case engine.StatusBad:
		sign = t.Bad.Render(theme.Cross)
	}
	title := c.Title
	if len(s.d.Home) > 1 {
		title = strings.ReplaceAll(title, s.d.Home+"/", "~/")
	}
	title = widget.Clean(title)
	term := widget.Clean(c.Term)
	lw := min(58, w*2/3)
	if a := widget.Clean(c.Advice); c.Status == engine.StatusNote && a != "" && widget.Width(a) <= w-lw-4 {
		term = a
	}
	if widget.Width(title)+2 > lw || w < 64 {
		return "  " + sign + " " + widget.Cut(t.Text.Render(title), max(0, w-4))
	}
	return "  " + sign + " " + widget.Line(t.Text.Render(title), lw) + widget.Cut(t.Muted.Render(term), max(0, w-lw-4))
}

// rowsEach is how many lines an answer of page 2 takes.
func rowsEach(h int) int {
	switch {
	case h >= 4+len(reasons)*3:
		return 3
	case h >= 4+len(reasons)*2:
		return 2
	}
	return 1
}

func (s *Screen) reasonsPage(w, h int) []string {
	t := s.d.Theme
	each := rowsEach(h)
	cur := s.reason.Cursor()
	var out []string
	for i, r := range reasons {
		num := t.Accent.Render(fmt.Sprint(i + 1))
		name := t.Text.Render(r.text)
		if i == cur {
			name = t.Title.Render(r.text)
		}
		line := widget.Marker(t, i == cur) + num + "  "
		if each == 1 {
			if w >= 70 {
				name = widget.Line(name, 28) + t.Muted.Render(r.about)
			}
			out = append(out, line+name)
			continue
		}
		out = append(out, line+name, widget.Marker(t, i == cur)+"   "+t.Muted.Render(r.about))
		if each == 3 {
			out = append(out, "")
		}
	}
	if each == 1 && w < 70 && cur >= 0 {
		out = append(out, "")
		out = append(out, widget.Indent(s.wrap(t.Muted.Render, reasons[cur].about, w-5), 5)...)
	}
	return out
}

func (s *Screen) startPage(w, h int) []string {
	t := s.d.Theme
	if len(s.form.Fields) > 0 {
		out := splitRows(s.form.View(t, min(w, text+4), min(h, s.form.Height(t, min(w, text+4)))))
		if r, _ := s.reason.Selected(); r.ID == "look" {
			out = append(out, s.wrap(t.Muted.Render, "Apps go on running when you leave Carrel; you stop them with one key.", w)...)
		}
		if s.busy {
			out = append(out, "", t.Accent.Render(t.Spinner(s.frame))+t.Strong.Render(" Starting "+theme.Ellipsis))
		}
		return out
	}
	if len(s.shown) == 0 {
		return s.wrap(t.Text.Render, "The catalog has no app of this kind yet. Enter shows all there are.", w)
	}
	about := ""
	if i := s.list.Cursor(); i >= 0 && i < len(s.shown) {
		if about = widget.Clean(s.shown[i].Card.Description); w >= 70 && widget.Width(about) < w-32 {
			about = "" // it is read beside the name
		}
	}
	below := s.wrap(t.Muted.Render, about, w-2)
	rows := max(1, min(h-len(below)-1, len(s.shown)))
	view := s.list.View(t, w, rows, func(i int, selected bool, w int) string {
		e := &s.shown[i]
		name := e.Card.Title
		if name == "" {
			name = e.Name
		}
		style := t.Text
		if selected {
			style = t.Title
		}
		if w < 70 {
			return widget.Marker(t, selected) + style.Render(widget.Clean(name))
		}
		return widget.Marker(t, selected) + widget.Line(style.Render(widget.Clean(name)), 28) + "  " + t.Muted.Render(widget.Clean(e.Card.Description))
	})
	return append(append(splitRows(view), ""), widget.Indent(below, 2)...)
}

func splitRows(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}
