package tui

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"carrel/tui/screen"
	"carrel/tui/screen/welcome"
	"carrel/tui/theme"
	"carrel/tui/widget"
)

func (m *model) view() tea.View {
	v := tea.NewView(m.draw(m.w, m.h))
	v.AltScreen = true
	if !m.freeMouse {
		v.MouseMode = tea.MouseModeCellMotion
	}
	v.WindowTitle = "Carrel"
	if t := m.current().Title(); t != "" {
		v.WindowTitle = "Carrel: " + widget.Clean(t)
	}
	return v
}

// draw draws the program in exactly w by h cells.
func (m *model) draw(w, h int) string {
	t := m.d.Theme
	f := layout(w, h)
	if f.tier == screen.TooSmall {
		return t.Finish(tooSmall(t, w, h))
	}
	parts := []string{m.header(w)}
	if f.rules {
		parts = append(parts, widget.RuleLine(t, w, ""))
	}
	if f.bodyH > 0 {
		parts = append(parts, widget.Box(m.current().View(w, f.bodyH), w, f.bodyH))
	}
	if f.rules {
		parts = append(parts, m.lowerRule(w))
	}
	parts = append(parts, m.footer(w, f))
	return t.Finish(widget.Box(m.over.view(t, strings.Join(parts, "\n"), w, h), w, h))
}

// tooSmall says which size the terminal has and which it needs.
func tooSmall(t *theme.Theme, w, h int) string {
	need := fmt.Sprintf("This window has %d columns and %d lines; Carrel needs %d and %d.", w, h, screen.MinWidth, screen.MinHeight)
	if w < 24 {
		need = fmt.Sprintf("%d×%d, needs %d×%d", w, h, screen.MinWidth, screen.MinHeight)
	}
	lines := widget.Wrap(need, max(1, w))
	if len(lines) < h {
		lines = append(make([]string, (h-len(lines))/2), lines...)
	}
	return widget.Rows(lines, w, h)
}

// tab is one of the top screens in the header.
type tab struct {
	key, name string
	x, w      int // where its text is
}

// tabs lays the top screens out behind the program's name.
func (m *model) tabs(w int) []tab {
	run := "Running"
	if n := m.live(); n > 0 {
		run = fmt.Sprintf("Running (%d)", n)
	}
	out := []tab{{key: "1", name: "Desk"}, {key: "2", name: "Catalog"}, {key: "3", name: run}}
	gap := 3
	x := widget.Width(brand) + 4
	if w < 70 {
		gap, x = 2, widget.Width(brand)+2
	}
	for i := range out {
		out[i].x = x
		out[i].w = widget.Width(out[i].name) + 2
		x += out[i].w + gap
	}
	return out
}

const brand = " " + theme.Brand + " carrel"

func (m *model) header(w int) string {
	t := m.d.Theme
	left := " " + t.Accent.Render(theme.Brand) + " " + t.Strong.Render("carrel")
	if len(m.stacks[m.top]) == 0 {
		for i, tb := range m.tabs(w) {
			name := t.Muted.Render(tb.key + " " + tb.name)
			if i == m.top {
				name = t.Title.Render(tb.key+" ") + t.Title.Underline(true).Render(tb.name)
			}
			left = widget.Line(left, tb.x) + name
		}
	} else {
		crumbs := []string{m.tops[m.top].Title()}
		if m.top == topRunning {
			crumbs[0] = "Running"
		}
		if _, first := m.stacks[m.top][0].(*welcome.Screen); first {
			crumbs = nil
		}
		for _, s := range m.stacks[m.top] {
			crumbs = append(crumbs, s.Title())
		}
		room := w - widget.Width(brand) - 10
		for i := range crumbs { // where there is no room, the way back is cut, not the place
			if n := widget.Width(strings.Join(crumbs[i:], "")) + 5*len(crumbs[i:]); n <= room || i == len(crumbs)-1 {
				if i > 0 {
					crumbs = append([]string{theme.Ellipsis}, crumbs[i:]...)
				}
				break
			}
		}
		for i, c := range crumbs {
			style := t.Muted
			if i == len(crumbs)-1 {
				style = t.Title
			}
			left += t.Faint.Render("  "+theme.Crumb+"  ") + style.Render(widget.Clean(c))
		}
	}
	key := "?"
	if m.current().Typing() { // it would be typed
		key = "F1"
	}
	help := t.Accent.Render(key) + t.Muted.Render(" help ")
	if w < 60 {
		help = t.Accent.Render(key + " ")
	}
	return widget.Spread(left, m.status(w)+help, w)
}

// status is what goes on out of sight.
func (m *model) status(w int) string {
	t := m.d.Theme
	for _, j := range m.jobs {
		if m.current() == screen.Screen(j) {
			continue
		}
		switch {
		case j.Running() && w >= 76:
			return t.Accent.Render(t.Spinner(m.frame)) + t.Muted.Render(" "+widget.Cut(j.Doing(), 28)) + "   "
		case j.Running():
			return t.Accent.Render(t.Spinner(m.frame)) + "  "
		case w >= 76:
			return t.Bad.Render(theme.Cross) + t.Muted.Render(" "+widget.Cut(j.Name(), 18)+" not built") + "   "
		default:
			return t.Bad.Render(theme.Cross) + "  "
		}
	}
	return m.readyWords(w)
}

// lowerRule is the line above the footer; a remark is shown in it for a while.
func (m *model) lowerRule(w int) string {
	t := m.d.Theme
	if m.flash.Text == "" {
		return widget.RuleLine(t, w, "")
	}
	return widget.RuleLine(t, w, m.remark(w-8))
}

func (m *model) remark(w int) string {
	r := widget.Remark{Tone: m.flash.Tone, Text: m.flash.Text}
	if r.Tone == widget.Good {
		t := m.d.Theme
		return widget.Cut(t.OK.Render(theme.Check)+" "+r.Text, w)
	}
	return r.Render(m.d.Theme, w)
}

func (m *model) footer(w int, f frame) string {
	if !f.rules && m.flash.Text != "" {
		return widget.Line(" "+m.remark(w-2), w)
	}
	all, tail := m.footerHints(w)
	return widget.Footer(m.d.Theme, w, all, tail...)
}

func (m *model) footerHints(w int) (all, tail []widget.Hint) {
	all = hints(m.current().Actions(), false)
	slices.SortStableFunc(all, func(a, b widget.Hint) int { return cmp.Compare(min(1, len(a.Off)), min(1, len(b.Off))) }) // what can be done first
	if i := slices.IndexFunc(all, func(h widget.Hint) bool { return h.Key == "esc" }); i >= 0 {
		tail = append(tail, all[i])
		all = slices.Delete(all, i, i+1)
	} else if len(m.stacks[m.top]) > 0 {
		tail = append(tail, widget.Hint{Key: "esc", Text: "back"})
	} else if len(m.stacks[m.top]) == 0 {
		tail = append(tail, widget.Hint{Key: "q", Text: "leave"})
	}
	if w >= 76 {
		tail = append(tail, widget.Hint{Key: "ctrl+p", Text: "all"})
	}
	return all, tail
}

// size tells all screens how large they are.
func (m *model) size() {
	f := layout(m.w, m.h)
	for _, s := range m.all() {
		s.Resize(m.w, f.bodyH)
	}
}

// mouse takes a click (wheel 0) or a turn of the wheel at a cell of the terminal.
func (m *model) mouse(x, y, wheel int) tea.Cmd {
	f := layout(m.w, m.h)
	switch {
	case f.tier == screen.TooSmall:
		return nil
	case m.over.open():
		return m.over.click(m, x, y, wheel)
	case y >= f.bodyY && y < f.bodyY+f.bodyH:
		if wheel == 0 {
			if cmd := m.follow(x, y-f.bodyY, f.bodyH); cmd != nil {
				return cmd
			}
		}
		return m.current().Mouse(screen.Mouse{X: x, Y: y - f.bodyY, W: m.w, H: f.bodyH, Wheel: wheel})
	case wheel != 0:
		return nil
	case y == 0 && x >= m.w-8:
		return m.openHelp()
	case y == 0 && m.ready.bad > 0 && x >= m.w-24 && len(m.jobs) == 0 && len(m.stacks[m.top]) == 0:
		return m.wish(screen.OpenDoctor{})
	case y == 0 && len(m.stacks[m.top]) == 0:
		for i, tb := range m.tabs(m.w) {
			if x >= tb.x && x < tb.x+tb.w {
				return m.goTop(i)
			}
		}
	case y == f.footY:
		all, tail := m.footerHints(m.w)
		k := widget.FooterHit(m.d.Theme, m.w, x, all, tail...)
		for _, a := range append(m.current().Actions(), m.actions()...) {
			if k != "" && a.Help().Key == k {
				return m.act(a)
			}
		}
	}
	return nil
}

func splitLines(s string) []string { return strings.Split(s, "\n") }
func joinLines(l []string) string  { return strings.Join(l, "\n") }
