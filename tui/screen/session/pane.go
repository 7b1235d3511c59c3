package session

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	tea "charm.land/bubbletea/v2"

	"carrel/engine"
	"carrel/tui/screen"
	"carrel/tui/task"
	"carrel/tui/widget"
)

// pane shows one app: its log, with its own place, search and filter, and what it uses.
type pane struct {
	name string // of the app shown

	log      widget.LogPane
	logOf    string // the app and start the log belongs to
	stream   *task.Stream[engine.LogLine]
	streamID task.ID
	logErr   error
	end      screen.End // of the app shown, when it has ended
	endOf    string     // the end and the length of the log that it belongs to
	gauge    screen.Gauge
}

// paneOf is the pane that shows an app, nil for none.
func (s *Screen) paneOf(name string) *pane {
	for _, p := range s.panes {
		if p.name == name {
			return p
		}
	}
	return nil
}

// keepPanes takes the panes away whose apps are gone. One always stays.
func (s *Screen) keepPanes() {
	for _, p := range slices.Clone(s.panes) {
		if len(s.panes) > 1 && s.find(p.name) == nil {
			s.remove(p)
		}
	}
}

// remove takes a pane away; the one beside it gets the keys.
func (s *Screen) remove(p *pane) {
	at := slices.Index(s.panes, p)
	if at < 0 || len(s.panes) < 2 {
		return
	}
	p.stream.Stop()
	s.panes = slices.Delete(slices.Clone(s.panes), at, at+1)
	if s.pane == p {
		s.pane = s.panes[min(at, len(s.panes)-1)]
		s.list.Select(s.name)
	}
	s.Resize(s.w, s.h)
}

// beside shows an app in a pane of its own, behind the one that has the keys.
func (s *Screen) beside(name string) tea.Cmd {
	if s.paneOf(name) != nil || s.find(name) == nil {
		return s.Show(name)
	}
	p := &pane{name: name}
	s.panes = slices.Insert(slices.Clone(s.panes), slices.Index(s.panes, s.pane)+1, p)
	s.pane, s.chosen = p, true
	s.list.Select(name)
	s.Resize(s.w, s.h)
	return s.refresh()
}

// turn gives the keys to another pane.
func (s *Screen) turn(n int) {
	at := slices.Index(s.panes, s.pane)
	s.pane = s.panes[(at+n+len(s.panes))%len(s.panes)]
	s.list.Select(s.name)
}

// others are the apps that no pane shows.
func (s *Screen) others() []string {
	var out []string
	for i := range s.apps {
		if s.paneOf(s.apps[i].Name) == nil {
			out = append(out, s.apps[i].Name)
		}
	}
	return out
}

// another lets the person choose which app to show beside this one; a single one needs no choice.
func (s *Screen) another() tea.Cmd {
	names := s.others()
	if len(names) == 0 {
		return nil
	}
	if len(names) == 1 {
		return s.beside(names[0])
	}
	options := make([]string, len(names))
	for i, n := range names {
		a := s.find(n)
		options[i] = widget.Clean(n) + " (" + screen.AppWords(a) + ")"
	}
	return screen.Ask(screen.Choose{Title: "Which app beside this one?", Options: options, Answer: func(i int) tea.Cmd { return s.beside(names[i]) }})
}

// paneActions are what can be done with panes.
func (s *Screen) paneActions() []screen.Action {
	var acts []screen.Action
	if len(s.apps) > 1 {
		none, one := "", ""
		if len(s.others()) == 0 {
			none = "every app is shown already"
		}
		if len(s.panes) < 2 {
			one = "only this app is shown"
		}
		p := s.pane
		acts = append(acts,
			screen.Do(screen.On("b"), "another beside", "Show another app beside this one", s.another).Unless(none),
			screen.Do(screen.On("B"), "show one less", "Show "+widget.Clean(s.name)+" no longer beside the others (it keeps running)", func() tea.Cmd { s.remove(p); return nil }).Unless(one).Quietly(),
			screen.Tell("← →", "the other apps").Quietly(),
		)
		if len(s.panes) > 1 {
			acts = append(acts, screen.Tell("tab", "next app"))
		} else {
			acts[0] = acts[0].Quietly()
		}
	}
	return acts
}

// refresh follows the logs of the apps that are shown, measures what they use, and finds out why those have ended that did.
func (s *Screen) refresh() tea.Cmd {
	var cmds []tea.Cmd
	for _, p := range s.panes {
		cmds = append(cmds, s.attach(p))
		s.explain(p)
	}
	return tea.Batch(append(cmds, s.measure())...)
}

// explain finds out why the app of a pane has ended, once for each state of its log.
func (s *Screen) explain(p *pane) {
	a := s.find(p.name)
	p.log.Over = a != nil && !a.State.Live()
	if a == nil || a.State.Live() {
		return
	}
	var last []string
	of := screen.EndOf(a)
	if p.logOf == logOf(a) {
		of += fmt.Sprint("\x00", p.log.Log.Count())
		last = p.log.Log.Last(lastLines)
	}
	if of != p.endOf {
		p.end, p.endOf = screen.Ended(a, last), of
	}
}

// attach follows the log of a pane's app, once the screen is seen.
func (s *Screen) attach(p *pane) tea.Cmd {
	a := s.find(p.name)
	if a == nil || !s.visible {
		return nil
	}
	of := logOf(a)
	if of == p.logOf {
		return nil
	}
	p.stream.Stop()
	p.logOf, p.streamID, p.logErr = of, task.NewID(), nil
	p.log.Log.Clear()
	p.gauge = screen.Gauge{}
	name := a.Name
	p.stream = task.Run(s.d.Life, func(ctx context.Context, emit func(engine.LogLine)) error {
		return s.d.Engine.Logs(ctx, name, engine.LogOptions{Follow: true, Tail: widget.LogLimit}, func(lines []engine.LogLine) error {
			for _, l := range lines {
				emit(l)
			}
			return ctx.Err()
		})
	})
	return p.next()
}

// logOf names one start of an app: what it wrote is that start's.
func logOf(a *engine.Instance) string { return a.Name + a.Started.String() }

func (p *pane) next() tea.Cmd {
	id := p.streamID
	return p.stream.Next(func(b task.Batch[engine.LogLine]) tea.Msg { return logMsg{id, b} })
}

func (s *Screen) addLog(p *pane, b task.Batch[engine.LogLine]) tea.Cmd {
	if b.Dropped > 0 {
		p.log.Log.Append(widget.LogLine{Text: widget.Thousands(b.Dropped) + " lines are not shown here; " + cmp.Or(s.logFile(p.name), "the log file") + " has them.", Own: true})
	}
	for _, l := range b.Items {
		p.log.Log.Append(widget.LogLine{Time: l.Time, Text: l.Text, Own: l.Stream == "carrel"})
	}
	if b.Done {
		p.logErr = b.Err
		s.explain(p)
		return nil
	}
	return p.next()
}

// logFile is where the whole log of an app is kept; empty when it is not known.
func (s *Screen) logFile(name string) string {
	if a := s.find(name); a != nil && a.LogFile != "" {
		return widget.Clean(widget.Tilde(a.LogFile, s.d.Home))
	}
	return ""
}

// measure asks what the apps that are shown use.
func (s *Screen) measure() tea.Cmd {
	if !s.visible {
		return nil
	}
	var cmds []tea.Cmd
	for _, p := range s.panes {
		cmds = append(cmds, p.gauge.Ask(s.d, s.find(p.name), s.now))
	}
	return tea.Batch(cmds...)
}
