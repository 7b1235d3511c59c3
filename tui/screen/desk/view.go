package desk

import (
	"fmt"
	"strings"

	"carrel/engine"
	"carrel/tui/screen"
	"carrel/tui/theme"
	"carrel/tui/widget"
)

// top is the number of lines above the list.
const top = 1

// wide is the width from which the details stand beside the list; below it they stand under it.
const wide = 100

// layout divides the screen: the list's width, the details' width (0: under the list), the list's height, the height of the
// details under it.
func (s *Screen) layout(w, h int) (listW, detailW, listH, underH int) {
	listH = max(0, h-top)
	if w >= wide {
		listW, detailW = screen.Split(w, 54, 1, 40)
		return listW, detailW, listH, 0
	}
	if h >= 17 { // as many lines as the list leaves, rather than a list that scrolls by one
		underH = min(5, max(3, listH-len(s.rows)))
		listH -= underH
	}
	return w, 0, listH, underH
}

func (s *Screen) listHeight() int {
	_, _, lh, _ := s.layout(s.w, s.h)
	return lh
}

// Resize tells the list its height.
func (s *Screen) Resize(w, h int) {
	s.w, s.h = w, h
	s.list.Resize(s.listHeight())
}

// View draws the desk.
func (s *Screen) View(w, h int) string {
	t := s.d.Theme
	lw, dw, lh, uh := s.layout(w, h)
	list := widget.Box("", lw, min(top, h))
	if s.find.Typing || s.find.Text.Value() != "" {
		list = widget.Box(s.find.Line(t, lw, "part of a name", ""), lw, min(top, h))
	}
	if lh > 0 {
		list = widget.Stack(list, s.list.View(t, lw, lh, s.line))
	}
	switch {
	case dw > 0:
		return widget.Box(widget.Beside(list, screen.Wall(t, h), widget.Rows(widget.Indent(s.detail(dw-4, h), 2), dw, h)), w, h)
	case uh > 0:
		lines := append([]string{"  " + widget.RuleLine(t, max(0, w-4), "")}, widget.Indent(s.brief(max(0, w-4)), 2)...)
		list = widget.Stack(list, widget.Rows(lines, w, uh))
	}
	return widget.Box(list, w, h)
}

var (
	appTable = widget.Table{Gap: 2, Columns: []widget.Column{
		{Min: 14, Max: 26, Flex: 2}, {Min: 16, Flex: 3, Drop: 1}, {Min: 10, Right: true},
	}}
	imageTable = widget.Table{Gap: 2, Columns: []widget.Column{
		{Min: 14, Flex: 1}, {Min: 8, Right: true}, {Min: 11, Drop: 1},
	}}
)

// line draws one row of the list.
func (s *Screen) line(i int, selected bool, w int) string {
	t, r := s.d.Theme, s.rows[i]
	name := func(n string) string {
		if selected {
			return t.Strong.Render(widget.Clean(n))
		}
		return t.Text.Render(widget.Clean(n))
	}
	mark := widget.Marker(t, selected)
	inner := max(0, w-5)
	switch {
	case r.heading != "":
		return "  " + t.Title.Render(r.heading)
	case r.note != "":
		return "    " + t.Muted.Render(r.note)
	case r.app != nil:
		where := t.Muted.Render(s.where(r.app))
		if ad := ready(r.app); ad != nil {
			where = widget.Link(t.Text, ad.URL, shortURL(widget.Clean(ad.URL), appTable.Widths(inner)[1]))
		}
		return mark + s.sign(r.app) + " " + appTable.Row(inner, name(r.app.Name), where, t.Muted.Render(s.age(r.app)))
	case r.image != nil:
		when := widget.Ago(r.image.LastRun, s.now)
		if r.image.LastRun.IsZero() {
			when = "not yet run"
		}
		sign := " "
		if r.image.Problem != "" {
			sign = t.Warn.Render(theme.Note)
			when = "cannot run"
		}
		return mark + sign + " " + imageTable.Row(inner, name(s.nameOf(r.image)), t.Muted.Render(widget.Bytes(r.image.Size)), t.Muted.Render(when))
	}
	if n, ok := starts[r.start]; ok {
		line := mark + t.Accent.Render("+") + " " + widget.Line(name(n.name), 16)
		if about := "   " + n.about; widget.Width(line)+widget.Width(about) < w {
			line += t.Muted.Render(about)
		}
		return line
	}
	return ""
}

// starts are the rows that start something new.
var starts = map[string]struct{ name, about string }{
	"catalog": {"from the catalog", "notebooks, pages, tools"},
	"file":    {"from a file", "an image or a definition"},
	"own":     {"my own", "made of a folder of yours"},
}

// shortURL is as much of an address as w cells hold: all of it, else without its path, else without what goes before.
func shortURL(url string, w int) string {
	if widget.Width(url) <= w {
		return url
	}
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok {
		return url
	}
	host, _, _ := strings.Cut(rest, "/")
	if long := scheme + "://" + host; widget.Width(long) <= w {
		return long
	}
	return host
}

// ready is the address of an app when it answers, else nil.
func ready(a *engine.Instance) *engine.Address {
	if screen.NoAddress(a) != "" {
		return nil
	}
	return screen.AppAddress(a)
}

// where says how an app is that has no address to show.
func (s *Screen) where(a *engine.Instance) string {
	switch a.State {
	case engine.StateStarting, engine.StateStopping:
		return screen.AppWords(a) + " " + theme.Ellipsis
	}
	return screen.AppWords(a)
}

func (s *Screen) age(a *engine.Instance) string {
	if !a.State.Live() {
		return widget.Ago(a.Ended, s.now)
	}
	return widget.Roughly(s.now.Sub(a.Started))
}

func (s *Screen) sign(a *engine.Instance) string { return screen.AppSign(s.d.Theme, a, s.frame) }

// brief is the detail of the selected row in a few lines.
func (s *Screen) brief(w int) []string {
	t := s.d.Theme
	title, about := s.words()
	if a := s.row().app; a != nil && screen.Fell(a) && s.endOf == screen.EndOf(a) {
		about = s.end.Why
	}
	out := []string{t.Strong.Render(widget.Cut(title, w))}
	for i, l := range widget.Wrap(about, w) {
		if i < 2 {
			out = append(out, t.Muted.Render(l))
		}
	}
	switch r := s.row(); {
	case r.app != nil:
		if ad := ready(r.app); ad != nil {
			out = append(out, widget.Link(t.Link, ad.URL, widget.CutMiddle(widget.Clean(ad.URL), w)))
		}
	case r.image != nil:
		out = append(out, widget.PathLink(t.Muted, r.image.Path, s.d.Home, w))
	}
	return out
}

// words are the title and the sentence about the selected row.
func (s *Screen) words() (title, about string) {
	switch r := s.row(); {
	case r.app != nil:
		title = screen.AppTitle(r.app)
		if a := s.cards[r.app.Image]; a.known {
			about = a.card.Description
		}
	case r.image != nil:
		title = r.image.Title
		if title == "" {
			title = r.image.Name
		}
		if a := s.cards[r.image.Path]; a.known {
			about = a.card.Description
		}
		if r.image.Problem != "" {
			about = r.image.Problem
		}
	case r.start == "catalog":
		return "The catalog", "Apps that are built here, on this computer, from a short text that says what is in them. Choose one, answer a few questions, and it opens in your browser."
	case r.start == "own":
		return "An app of my own", "Carrel looks into a folder of yours, proposes how to run what is in it, and writes the text an image is built from. You can change all of it, or press Enter all the way."
	case r.start == "file":
		return "From a file", "An image somebody gave you (.sif, .img), or a definition file that says how to build one."
	}
	return widget.Clean(title), widget.Clean(about)
}

// detail is all about the selected row, for the pane at the right.
func (s *Screen) detail(w, h int) []string {
	t := s.d.Theme
	title, about := s.words()
	if title == "" {
		return nil
	}
	out := []string{"", t.Strong.Render(widget.Cut(title, w))}
	for _, l := range widget.Wrap(about, w) {
		out = append(out, t.Muted.Render(l))
	}
	out = append(out, "")
	switch r := s.row(); {
	case r.app != nil:
		out = append(out, s.appDetail(r.app, w)...)
	case r.image != nil:
		out = append(out, s.imageDetail(r.image, w)...)
	}
	if len(out) > h {
		out = out[:h]
	}
	return out
}

func (s *Screen) appDetail(a *engine.Instance, w int) []string {
	t := s.d.Theme
	var out []string
	if ad := ready(a); ad != nil {
		out = append(out, t.OK.Render(theme.Dot)+" serving", widget.Link(t.Link, ad.URL, widget.CutMiddle(widget.Clean(ad.URL), w)))
		line := "up " + widget.Lasted(s.now.Sub(a.Started).Truncate(60e9))
		if s.now.Sub(a.Started) < 60e9 {
			line = "started just now"
		}
		if a.ReadyIn > 0 {
			line = "ready after " + widget.Lasted(a.ReadyIn) + " " + theme.Sep + " " + line
		}
		out = append(out, t.Muted.Render(line))
		if ad.Guarded {
			for _, l := range widget.Wrap("This link is yours alone and good once; then a new one stands here.", w) {
				out = append(out, t.Muted.Render(l))
			}
		}
	} else {
		out = append(out, s.sign(a)+" "+s.where(a))
		switch {
		case !a.State.Live():
			label, _ := s.mend(a)
			out = append(out, "")
			out = append(out, s.end.Lines(t, a, w, 12, label)...)
		case a.Problem != "":
			for _, l := range widget.Wrap(widget.Clean(a.Problem), w) {
				out = append(out, t.Muted.Render(l))
			}
		}
	}
	if a.State.Live() { // its line is there from the beginning: nothing moves when the first measurement comes
		out = append(out, s.gauge.Line(t, a.Name, w))
	}
	if len(a.Binds) > 0 {
		out = append(out, "", t.Title.Render("Shared folders"))
		for _, b := range a.Binds {
			out = append(out, "  "+widget.PathLink(t.Text, b.Source, s.d.Home, w-2),
				t.Muted.Render(widget.Cut("  "+theme.Arrow+" "+widget.Clean(b.Dest)+"   "+screen.Mode(b), w)))
		}
	}
	if len(a.Addresses) > 0 {
		out = append(out, "", t.Title.Render("Ports"))
		for _, ad := range a.Addresses {
			out = append(out, widget.Cut(fmt.Sprintf("  127.0.0.1:%d", ad.Host)+t.Muted.Render(fmt.Sprintf("  %s  %d inside   %s", theme.Arrow, ad.Container, widget.Clean(ad.Text))), w))
		}
	}
	out = append(out, "", t.Title.Render("The same as a command"))
	for _, l := range widget.Wrap(widget.Clean(a.Command), max(1, w-2)) {
		out = append(out, "  "+t.Command.Render(l))
	}
	return out
}

func (s *Screen) imageDetail(m *engine.ImageInfo, w int) []string {
	t := s.d.Theme
	last := "not yet, on this computer"
	if !m.LastRun.IsZero() {
		last = widget.Ago(m.LastRun, s.now)
	}
	kind := map[string]string{
		"sif": "image file (SIF)", "squashfs": "image file (SquashFS)", "sandbox": "folder (sandbox)", "ext3": "image file of 2016 (ext3)",
	}[m.Kind]
	if kind == "" {
		kind = widget.Clean(m.Kind)
	}
	serves, works, cite := "", "", ""
	if a := s.cards[m.Path]; a.known && a.err == nil {
		serves, works, cite = screen.Serves(a.card), screen.Works(a.card), a.card.Cite
	}
	out := widget.Facts(t, w,
		[2]string{"opens", serves},
		[2]string{"works in", works},
		[2]string{"started", last},
		[2]string{"size", widget.Bytes(m.Size)},
		[2]string{"made", widget.Ago(m.ModTime, s.now)},
		[2]string{"kind", kind},
		[2]string{"for", widget.Clean(m.Arch)},
		[2]string{"cite", widget.Clean(cite)},
		[2]string{"runs as", widget.Clean(strings.Join(m.UsedByID, ", "))},
	)
	out = append(out, "", t.Title.Render("Where it is"))
	return append(out, "  "+widget.PathLink(t.Text, m.Path, s.d.Home, w-2))
}
