package launch

import (
	"strconv"
	"strings"

	tea "charm.land/bubbletea/v2"

	"carrel/tui/screen"
	"carrel/tui/widget"
)

// fewChoices is the number up to which choices are left to the form, beside each other.
const fewChoices = 3

// pick shows the choices of the first argument that has many as a list, before the form.
func (s *Screen) pick() {
	for _, a := range s.card.Args {
		f := s.form.Field(idArg + itoa(a.N))
		if f == nil || len(a.Choices) <= fewChoices {
			continue
		}
		if _, given := s.give[f.ID]; given {
			continue
		}
		s.picking = f
		items := make([]widget.Item, len(f.Options))
		for i := range f.Options {
			items[i] = widget.Item{ID: strconv.Itoa(i)}
		}
		s.picks.SetItems(items)
		s.picks.Select(strconv.Itoa(f.Choice))
		s.Resize(s.w, s.h)
		return
	}
}

// picked goes on to the form with the choice that is selected.
func (s *Screen) picked() tea.Cmd {
	f := s.picking
	s.picking = nil
	if i := s.picks.Cursor(); i >= 0 && i < len(f.Options) {
		f.Choice = i
	}
	s.compose()
	return nil
}

func (s *Screen) pickHead(w, h int) []string {
	t := s.d.Theme
	inner := max(0, w-4)
	var out []string
	if h >= 10 {
		out = append(out, "")
	}
	out = append(out, t.Strong.Render(widget.Cut(s.title(), inner)))
	if h >= 14 {
		for i, l := range widget.Wrap(widget.Clean(s.card.Description), inner) {
			if i < 2 {
				out = append(out, t.Muted.Render(l))
			}
		}
	}
	out = append(out, "", t.Title.Render(widget.Cut(s.picking.Label, inner)))
	if h >= 18 {
		out = append(out, "")
	}
	return out
}

func (s *Screen) pickView(w, h int) string {
	t := s.d.Theme
	head := widget.Indent(s.pickHead(w, h), 2)
	n := min(len(head), h)
	list := s.picks.View(t, w, max(0, h-n), func(i int, selected bool, w int) string {
		o := s.picking.Options[i]
		name := t.Text.Render(capital(o.Label))
		if selected {
			name = t.Strong.Render(capital(o.Label))
		}
		line := widget.Marker(t, selected) + "  " + name
		if o.Help != "" {
			if at := 30; widget.Width(line) < at-1 {
				line = widget.Line(line, at)
			} else {
				line += "   "
			}
			line += t.Muted.Render(o.Help)
		}
		return widget.Line(widget.Cut(line, max(0, w-2)), w)
	})
	if h-n <= 0 {
		return widget.Rows(head, w, h)
	}
	return widget.Box(widget.Stack(widget.Rows(head, w, n), list), w, h)
}

// capital is a choice with a capital at its beginning.
func capital(choice string) string {
	if choice == "" {
		return ""
	}
	r := []rune(choice)
	return strings.ToUpper(string(r[:1])) + string(r[1:])
}

func (s *Screen) pickMouse(m screen.Mouse) tea.Cmd {
	if m.Wheel != 0 {
		s.picks.Move(m.Wheel)
		return nil
	}
	n := len(s.pickHead(m.W, m.H))
	was, _ := s.picks.Selected()
	if m.Y >= n && s.picks.SelectAt(m.Y-n, m.H-n) {
		if now, _ := s.picks.Selected(); now.ID == was.ID {
			return s.picked()
		}
	}
	return nil
}

func (s *Screen) pickActions() []screen.Action {
	return []screen.Action{
		screen.Do(screen.On("enter", "right"), "this one", "", s.picked),
		screen.Tell("↑↓", "choose"),
		screen.Do(screen.On("i"), "look inside", "Look inside "+s.title(), func() tea.Cmd {
			return screen.Ask(screen.OpenInspect{Name: s.name, Title: s.title()})
		}).Quietly(),
	}
}
