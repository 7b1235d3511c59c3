package wizard

import (
	"strings"

	tea "charm.land/bubbletea/v2"

	"carrel/tui/screen"
	"carrel/tui/theme"
	"carrel/tui/widget"
)

// text is how wide lines of text are at most.
const text = 76

// wide is the width from which the definition stands beside the fields.
const wide = 100

func (s *Screen) beside(w int) bool { return w >= wide }

// Resize tells the list its height.
func (s *Screen) Resize(w, h int) {
	s.w, s.h = w, h
	s.list.Resize(max(1, h-len(s.head(w, h))))
	s.scroll(0)
}

// View draws the page.
func (s *Screen) View(w, h int) string {
	head := s.head(w, h)
	room := max(0, h-len(head))
	out := widget.Indent(head, 2)
	switch s.page {
	case pageFolder:
		fw := min(w, text+4)
		out = append(out, rows(s.where.View(s.d.Theme, fw, min(room, s.where.Height(s.d.Theme, fw))))...)
	case pageKind:
		out = append(out, rows(s.list.View(s.d.Theme, w, room, s.line))...)
	default:
		return widget.Box(widget.Stack(widget.Rows(out, w, min(h, len(out))), s.values(w, room)), w, h)
	}
	return widget.Rows(out, w, h)
}

func rows(block string) []string {
	if block == "" {
		return nil
	}
	return strings.Split(block, "\n")
}

// head is what stands above a page.
func (s *Screen) head(w, h int) []string {
	t := s.d.Theme
	step, title, about := "1 of 3", "Make an app of a folder of yours", ""
	switch s.page {
	case pageKind:
		step, title = "2 of 3", "What do you want to run?"
	case pageValues:
		step, title = "3 of 3", "How it is built and started"
		about = "All of this can stay as it is. Enter writes it down, builds the image on this computer, and starts it."
		if s.edited {
			title, about = "Edited by hand", "The text counts now. Enter builds it as it is."
		} else if s.spec.Text != "" {
			title, about = "Made of your Dockerfile", "Enter writes it down, builds the image on this computer, and starts it."
		}
	}
	inner := max(0, w-4)
	var out []string
	if h >= 12 {
		out = append(out, "")
	}
	out = append(out, widget.Spread(t.Strong.Render(title), t.Muted.Render(step), inner))
	if about != "" && h >= 16 {
		for _, l := range widget.Wrap(about, inner) {
			out = append(out, t.Muted.Render(l))
		}
	}
	if h >= 10 {
		out = append(out, "")
	}
	return out
}

func (s *Screen) line(i int, selected bool, w int) string {
	t, c := s.d.Theme, s.kinds[i]
	if c.text == "" {
		return "  " + t.Title.Render(c.heading)
	}
	name := t.Text.Render(widget.Clean(c.text))
	if selected {
		name = t.Strong.Render(widget.Clean(c.text))
	}
	line := widget.Marker(t, selected) + "  " + name
	if c.why != "" {
		why := t.Muted.Render(widget.Clean(c.why))
		if at := 46; w >= 84 && widget.Width(line) < at-1 {
			line = widget.Line(line, at) + why
		} else {
			line += "   " + why
		}
	}
	return widget.Line(line, w)
}

// values draws the fields with the definition beside them, or below where that is too narrow.
func (s *Screen) values(w, h int) string {
	t := s.d.Theme
	if h <= 0 {
		return ""
	}
	if s.reading || s.edited || len(s.form.Fields) == 0 {
		return s.definition(w, h)
	}
	if s.beside(w) {
		lw, rw := screen.Split(w, 54, 1, 40)
		wall := widget.Box(strings.TrimSuffix(strings.Repeat(t.Faint.Render(theme.Wall)+"\n", h), "\n"), 1, h)
		return widget.Beside(s.fields(lw, h), wall, s.definition(rw, h))
	}
	fh := s.form.Height(t, w)
	if below := h - fh; below >= 6 {
		return widget.Stack(s.fields(w, fh), s.definition(w, below))
	}
	return s.fields(w, h)
}

// fields draws the form, and under it what a person should look at.
func (s *Screen) fields(w, h int) string {
	t := s.d.Theme
	var notes []string
	for _, r := range s.spec.Remarks {
		for i, l := range widget.Wrap(widget.Sentence(r), max(1, w-6)) {
			sign := "  "
			if i == 0 {
				sign = t.Warn.Render(theme.Note) + " "
			}
			notes = append(notes, "  "+sign+t.Text.Render(l))
		}
	}
	for _, c := range s.commands() {
		notes = append(notes, "", "  "+t.Muted.Render("The same from a shell, once it is written"), "  "+t.Accent.Render(theme.Wall)+" "+t.Command.Render(widget.Cut(widget.Clean(c), max(0, w-5))))
	}
	fh := min(h, s.form.Height(t, w))
	if spare := h - fh; spare < len(notes)+1 {
		notes = notes[:max(0, min(len(notes), spare-1))]
		fh = h - len(notes)
	}
	return widget.Box(widget.Stack(s.form.View(t, w, fh), widget.Rows(notes, w, h-fh)), w, h)
}

// definition draws the text, with the line that the last change concerns marked.
func (s *Screen) definition(w, h int) string {
	t := s.d.Theme
	if h <= 0 {
		return ""
	}
	lines := screen.ColorDefinition(t, s.text)
	var head []string
	switch {
	case s.wrong != nil:
		for _, l := range widget.Wrap(widget.Clean(s.wrong.Error()), max(1, w-4)) {
			head = append(head, "  "+t.Bad.Render(l))
		}
	case s.spec.Text != "" && !s.edited:
		for _, r := range s.spec.Remarks {
			head = append(head, "  "+t.Warn.Render(theme.Note)+" "+widget.Cut(widget.Clean(r), max(0, w-5)))
		}
	}
	if len(head) > h/2 {
		head = head[:h/2]
	}
	out := append(head, widget.RuleLine(t, w, t.Muted.Render(widget.CutMiddle(s.shown(), max(0, w-10)))))
	room := max(0, h-len(out))
	top := min(s.top, max(0, len(lines)-room))
	for i := top; i < len(lines) && i < top+room; i++ {
		mark := "  "
		if i == s.changed {
			mark = t.Accent.Render(theme.Bar) + " "
		}
		out = append(out, mark+widget.Cut(lines[i], max(0, w-3)))
	}
	if top+room < len(lines) && room > 0 {
		out[len(out)-1] = "  " + t.Muted.Render(theme.Ellipsis+" "+widget.Count(len(lines)-top-room+1, "more line", "more lines")+"   pgdn")
	}
	return widget.Rows(out, w, h)
}

// room is about how many lines of the definition are in sight.
func (s *Screen) room() int {
	h := s.h - len(s.head(s.w, s.h)) - 1
	if !s.beside(s.w) && !s.reading && !s.edited && len(s.form.Fields) > 0 {
		h -= s.form.Height(s.d.Theme, s.w)
	}
	return max(1, h)
}

// scroll moves the definition by n lines.
func (s *Screen) scroll(n int) {
	total := strings.Count(s.text, "\n")
	s.top = max(0, min(s.top+n, total-s.room()))
}

// follow brings the line that has changed into sight.
func (s *Screen) follow() {
	if r := s.room(); s.changed >= 0 && (s.changed < s.top || s.changed >= s.top+r-1) {
		s.top = s.changed - r/2
	}
	s.scroll(0)
}

// Mouse chooses a row, goes to a field, or scrolls the definition.
func (s *Screen) Mouse(m screen.Mouse) tea.Cmd {
	y := m.Y - len(s.head(m.W, m.H))
	room := max(0, m.H-len(s.head(m.W, m.H)))
	switch {
	case s.page == pageKind && m.Wheel != 0:
		s.list.Move(m.Wheel)
	case s.page == pageKind:
		was, _ := s.list.Selected()
		if y >= 0 && s.list.SelectAt(y, room) {
			if now, _ := s.list.Selected(); now.ID == was.ID {
				return s.next()
			}
		}
	case s.page == pageValues && m.Wheel != 0:
		s.scroll(m.Wheel * 3)
	case s.page == pageValues && s.focused() != nil && y >= 0:
		w, h := m.W, min(room, s.form.Height(s.d.Theme, m.W))
		if s.beside(m.W) {
			w, _ = screen.Split(m.W, 54, 1, 40)
			h = min(room, s.form.Height(s.d.Theme, w))
		}
		if m.X >= w || y >= h {
			return nil
		}
		if _, changed := s.form.Click(s.d.Theme, m.X, y, w, h); changed {
			return s.answer(s.form.Focused())
		}
	}
	return nil
}
