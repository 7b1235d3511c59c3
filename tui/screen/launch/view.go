package launch

import (
	"carrel/engine"
	"carrel/tui/theme"
	"carrel/tui/widget"
)

// parts says how the screen is divided.
type parts struct {
	head         []string
	formY, formH int
	foot         []string
}

func (s *Screen) layout(w, h int) parts {
	p := parts{head: s.head(max(0, w-4), h), foot: s.foot(max(0, w-4), h)}
	p.formY = min(len(p.head), h)
	p.formH = max(0, h-len(p.head)-len(p.foot))
	return p
}

// Resize remembers the size.
func (s *Screen) Resize(w, h int) {
	s.w, s.h = w, h
	if s.picking != nil {
		s.picks.Resize(max(1, h-len(s.pickHead(w, h))))
	}
}

// View draws the form.
func (s *Screen) View(w, h int) string {
	if !s.known || s.err != nil {
		return widget.Box("", w, h)
	}
	if s.picking != nil {
		return s.pickView(w, h)
	}
	p := s.layout(w, h)
	out := widget.Rows(widget.Indent(p.head, 2), w, p.formY)
	form := ""
	if p.formH > 0 {
		form = s.form.View(s.d.Theme, w, p.formH)
	}
	if p.formY == 0 {
		out = ""
	}
	foot := ""
	if n := h - p.formY - p.formH; n > 0 {
		foot = widget.Rows(widget.Indent(p.foot, 2), w, n)
	}
	return widget.Box(widget.Stack(out, form, foot), w, h)
}

func (s *Screen) head(w, h int) []string {
	t := s.d.Theme
	if h < 12 {
		return nil
	}
	state := ""
	switch {
	case s.def == "" && s.target.Kind == engine.TargetImage:
		state = widget.PathLink(t.Muted, s.target.Path, s.d.Home, max(0, w/2))
	case !s.target.Built:
		state = "is built first, on this computer"
	}
	out := []string{"", widget.Spread(t.Strong.Render(s.title()), t.Muted.Render(state), w)}
	for i, l := range widget.Wrap(widget.Clean(s.card.Description), w) {
		if i < 2 && h >= 18 {
			out = append(out, t.Muted.Render(l))
		}
	}
	return append(out, "")
}

func (s *Screen) foot(w, h int) []string {
	t := s.d.Theme
	if s.starting {
		doing := " Starting "
		if s.ending {
			doing = " Cancelling the start of "
		}
		return []string{"", t.Accent.Render(t.Spinner(s.frame)) + t.Strong.Render(doing+s.title()+" "+theme.Ellipsis) +
			t.Muted.Render("  "+widget.Lasted(max(0, s.now.Sub(s.from)))), ""}
	}
	if h < 16 {
		return nil
	}
	lines := widget.Wrap(widget.Clean(s.command), max(1, w-2))
	limit := 2
	if h >= 26 {
		limit = 4
	}
	if len(lines) > limit {
		lines = append(lines[:limit-1], widget.Cut(lines[limit-1]+" "+theme.Ellipsis, w-2))
	}
	out := []string{""}
	const title = "The same as a command"
	switch {
	case h >= 26:
		out = append(out, widget.Cut(s.sees, w), "", t.Muted.Render(title))
	case widget.Width(title)+widget.Width(s.sees)+3 <= w:
		out = append(out, widget.Spread(t.Muted.Render(title), s.sees, w))
	default:
		out = append(out, widget.Cut(s.sees, w), t.Muted.Render(title))
	}
	for _, l := range lines {
		out = append(out, t.Accent.Render(theme.Wall)+" "+t.Command.Render(l))
	}
	return out
}
