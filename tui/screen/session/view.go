package session

import (
	"fmt"
	"strings"

	"carrel/engine"
	"carrel/tui/screen"
	"carrel/tui/theme"
	"carrel/tui/widget"
)

// wide is the width from which the apps are a list at the left, when there are several.
const wide = 108

// side is the list of all apps.
func (s *Screen) side(w, h int) string {
	t := s.d.Theme
	rows := s.list.View(t, w, max(0, h-2), func(i int, selected bool, w int) string {
		a := &s.apps[i]
		name := t.Text.Render(widget.Clean(a.Name))
		if selected {
			name = t.Strong.Render(widget.Clean(a.Name))
		}
		return widget.Marker(t, selected) + s.sign(a) + " " + widget.Spread(name, t.Muted.Render(s.age(a))+" ", max(0, w-4))
	})
	return widget.Stack(widget.Box("\n", w, min(2, h)), widget.Box(rows, w, max(0, h-2)))
}

// strip is the list of all apps in one line, from first on: the one shown is always among them.
func (s *Screen) strip(w int) string {
	t := s.d.Theme
	line, _ := s.stripped(w)
	others := "← → other apps "
	if len(s.panes) > 1 {
		others = "tab next app "
	}
	return widget.Spread(line, t.Muted.Render(others), w)
}

// stripped lays the strip out; the places are where each app's words begin, -1 for those that are not shown.
func (s *Screen) stripped(w int) (line string, places []int) {
	t := s.d.Theme
	places = make([]int, len(s.apps))
	at, end := 0, 0
	width := func(i int) int { return widget.Width(widget.Clean(s.apps[i].Name)) + 4 }
	for i := range s.apps {
		if s.apps[i].Name == s.name {
			at = i
		}
	}
	room, first := w-18, at
	for end = at; first > 0 && width(first-1)+end-at+width(at) <= room; first-- {
		end += width(first - 1)
	}
	x := 0
	for i := range s.apps {
		places[i] = -1
		if i < first || i > at && x+width(i) > room {
			continue
		}
		a := &s.apps[i]
		places[i] = x
		x += width(i)
		name := t.Muted.Render(widget.Clean(a.Name))
		if i == at {
			name = t.Title.Underline(true).Render(widget.Clean(a.Name))
		}
		line += "  " + s.sign(a) + " " + name
	}
	return line, places
}

// sign is one cell that says how an app is.
func (s *Screen) sign(a *engine.Instance) string { return screen.AppSign(s.d.Theme, a, s.frame) }

func (s *Screen) age(a *engine.Instance) string {
	if a.State.Live() {
		return widget.Roughly(s.now.Sub(a.Started))
	}
	switch {
	case screen.Stopped(a):
		return "stopped"
	case a.ExitCode != 0:
		return fmt.Sprintf("code %d", a.ExitCode)
	}
	return "ended"
}

// head is what stands above the log.
func (s *Screen) head(w, h int) []string {
	t, a := s.d.Theme, s.app()
	if a == nil || w <= 0 {
		return nil
	}
	small := h < 16
	var out []string
	if !small {
		out = append(out, "")
	}
	title := t.Strong.Render(screen.AppTitle(a))
	if s.mark != noMark {
		title = widget.Marker(t, s.mark == marked) + t.Muted.Render(screen.AppTitle(a))
		if s.mark == marked {
			title = widget.Marker(t, true) + t.Title.Underline(true).Render(screen.AppTitle(a))
		}
		if name := widget.Clean(a.Name); !strings.EqualFold(name, screen.AppTitle(a)) { // several may have the same title
			title += t.Muted.Render(" " + theme.Sep + " " + name)
		}
	}
	out = append(out, widget.Spread(title, s.stateWords(a), w))
	if doing := s.busy[a.Name]; doing != "" {
		out = append(out, t.Accent.Render(t.Spinner(s.frame)+" "+doing+" "+theme.Ellipsis))
	} else {
		out = append(out, s.hero(a, w, h*2/3-len(out), small)...)
	}
	if label, line, _ := s.reach(a); line != "" && h >= 10 {
		out = append(out, widget.Cut(t.Muted.Render(label)+t.Strong.Render(widget.Clean(line)), w))
	}
	if !small {
		out = append(out, s.facts(a, w)...)
		out = append(out, "")
	} else if a.State.Live() && h >= 9 {
		out = append(out, s.vitals(a, w))
	}
	if len(out) > h*2/3 {
		out = out[:h*2/3]
	}
	return out
}

func (s *Screen) stateWords(a *engine.Instance) string {
	t := s.d.Theme
	style := t.Muted
	switch a.State {
	case engine.StateReady, engine.StateRunning:
		style = t.OK
	case engine.StateStarting, engine.StateStopping:
		style = t.Accent
	case engine.StateUnhealthy:
		style = t.Warn
	}
	if screen.Fell(a) {
		style = t.Bad
	}
	return s.sign(a) + " " + style.Render(screen.AppWords(a))
}

// hero is the address, or what stands in its way; for an app that ended at most h lines.
func (s *Screen) hero(a *engine.Instance, w, h int, small bool) []string {
	t := s.d.Theme
	ad := screen.AppAddress(a)
	var line string
	switch {
	case !a.State.Live():
		return s.ended(a, w, h)
	case a.State == engine.StateUnhealthy:
		line = t.Warn.Render(theme.Note + " " + orElse(widget.Clean(a.Problem), "It listens, but does not answer as it should."))
	case ad != nil && ad.Ready:
		line = widget.Link(t.Link.Bold(true), ad.URL, widget.Clean(ad.URL))
	case a.State == engine.StateRunning:
		line = t.Muted.Render("It runs. It has not opened an address so far.")
	default:
		line = t.Accent.Render("starting "+theme.Ellipsis) + t.Muted.Render("  "+widget.Lasted(s.now.Sub(a.Started))+"   the address appears here as soon as it answers")
	}
	if small {
		if cut, _, ok := strings.Cut(line, "   the address"); ok && widget.Width(line) > w {
			line = cut
		}
		return []string{widget.Cut(line, w)}
	}
	edge := t.Faint
	if ad != nil && ad.Ready {
		edge = t.Accent
	}
	bw := min(w, max(widget.Width(line)+6, 76))
	if bw < 8 {
		return []string{widget.Cut(line, w)}
	}
	keys := t.Accent.Render("c") + t.Muted.Render(" copies")
	if screen.NoPage(a) == "" {
		keys = t.Accent.Render("o") + t.Muted.Render(" opens   ") + keys
	}
	if ad != nil && ad.Ready && s.mark != unmarked &&
		a.State != engine.StateUnhealthy && widget.Width(line)+widget.Width(keys)+3 <= bw-6 {
		line = widget.Spread(line, keys, bw-6)
	}
	box := []string{
		edge.Render(theme.CornerTL + strings.Repeat(theme.Rule, bw-2) + theme.CornerTR),
		edge.Render(theme.Wall) + "  " + widget.Line(line, bw-6) + "  " + edge.Render(theme.Wall),
		edge.Render(theme.CornerBL + strings.Repeat(theme.Rule, bw-2) + theme.CornerBR),
	}
	if ad != nil && ad.Ready && ad.Guarded {
		box = append(box, widget.Cut(t.Muted.Render(guardWords), w))
	}
	return box
}

// guardWords explain the link of an app whose ports are guarded.
const guardWords = "This link is yours alone and good once; then a new one stands here."

// ended says how it ended and what usually causes that, in at most h lines.
func (s *Screen) ended(a *engine.Instance, w, h int) []string {
	label, _ := s.mend(a)
	return s.end.Lines(s.d.Theme, a, w, h, label)
}

// vitals is one line: since when, what it uses.
func (s *Screen) vitals(a *engine.Instance, w int) string {
	t := s.d.Theme
	var parts []string
	if a.ReadyIn > 0 {
		parts = append(parts, "ready after "+widget.Lasted(a.ReadyIn))
	}
	if up := s.now.Sub(a.Started); a.State != engine.StateStarting && up >= 0 {
		parts = append(parts, "up "+widget.Roughly(up))
	}
	line := t.Muted.Render(strings.Join(parts, " "+theme.Sep+" "))
	if right := s.gauge.Line(t, a.Name, w-widget.Width(line)-3); right != "" {
		return widget.Spread(line, right, w)
	}
	return widget.Cut(line, w)
}

func (s *Screen) facts(a *engine.Instance, w int) []string {
	t := s.d.Theme
	var out []string
	if a.State.Live() {
		out = append(out, s.vitals(a, w))
	}
	for i, b := range a.Binds {
		if i == 3 {
			out = append(out, t.Muted.Render(fmt.Sprintf("and %d more folders", len(a.Binds)-3)))
			break
		}
		src := widget.PathLink(t.Text, b.Source, s.d.Home, max(10, w/2))
		out = append(out, widget.Cut(src+t.Muted.Render("  "+theme.Arrow+"  "+widget.Clean(b.Dest)+"   "+screen.Mode(b)), w))
	}
	first := screen.AppAddress(a)
	for i := range a.Addresses {
		if ad := &a.Addresses[i]; ad != first && a.State.Live() {
			out = append(out, widget.Cut(t.Muted.Render("also  ")+widget.Link(t.Text, ad.URL, widget.Clean(ad.URL))+"  "+t.Muted.Render(widget.Clean(ad.Text)), w))
		}
	}
	return out
}

func (s *Screen) noLog() string {
	a := s.app()
	switch {
	case s.logErr != nil:
		return "The log cannot be read: " + widget.Clean(s.logErr.Error())
	case a != nil && !a.State.Live():
		return "It wrote nothing."
	}
	return "It has written nothing yet."
}

// empty is the screen while nothing runs.
func (s *Screen) empty(w, h int) string {
	t := s.d.Theme
	if !s.loaded {
		return widget.Box("", w, h)
	}
	lines := []string{
		t.Strong.Render("Nothing is running."), "",
	}
	for _, l := range widget.Wrap("An app you start shows its address and its log here, and goes on running when you leave Carrel.", max(1, min(w-4, 54))) {
		lines = append(lines, t.Muted.Render(l))
	}
	lines = append(lines, "", t.Accent.Render("enter")+t.Muted.Render("  choose one from the catalog"))
	if s.lost != nil {
		lines[0] = t.Strong.Render("Nothing is running that can be listed.")
		for _, l := range widget.Wrap(widget.Sentence(s.lost.Error()), max(1, min(w-4, 76))) {
			lines = append(lines, t.Warn.Render(l))
		}
	}
	var out []string
	for range max(0, (h-len(lines))/2-1) {
		out = append(out, "")
	}
	for _, l := range lines {
		out = append(out, widget.Center(l, w))
	}
	return widget.Rows(out, w, h)
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
