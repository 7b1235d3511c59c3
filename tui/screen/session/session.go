// Package session is the screen of running apps: the address of one, as soon as it answers, and its log; of several side by
// side, when a person wants that. Apps that ended stay until they are taken from the list, with what they said last and what
// usually causes it.
package session

import (
	"context"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"carrel/engine"
	"carrel/tui/screen"
	"carrel/tui/task"
	"carrel/tui/widget"
)

// Screen shows one app, or several in panes.
type Screen struct {
	screen.Base
	d  screen.Deps
	id task.ID

	loaded bool
	apps   []engine.Instance
	lost   error // why some are not among them
	list   widget.List
	chosen bool // what is shown was chosen by the person, or by what they started

	*pane         // the one that keys and actions are for
	panes []*pane // never none
	mark  mark    // how its title is drawn

	busy    map[string]string // app → what is being done to it
	visible bool
	now     time.Time
	frame   int
	w, h    int
}

// New makes the screen; it shows the app that was started last until Show says otherwise.
func New(d screen.Deps) *Screen {
	p := &pane{}
	return &Screen{d: d, id: task.NewID(), pane: p, panes: []*pane{p}, busy: map[string]string{}, now: d.Now()}
}

// messages of this screen to itself
type (
	logMsg struct {
		stream task.ID
		batch  task.Batch[engine.LogLine]
	}
	doneMsg struct {
		id        task.ID
		name, was string
		said      string
		err       error
	}
)

// Show goes to an app: to the pane that shows it already, else in place of the one that has the keys.
func (s *Screen) Show(name string) tea.Cmd {
	if name != "" {
		if p := s.paneOf(name); p != nil {
			s.pane = p
		}
		s.name, s.chosen = name, true
		s.list.Select(name)
	}
	return s.refresh()
}

// Title is the screen's name in the line at the top.
func (s *Screen) Title() string {
	if a := s.app(); a != nil {
		return screen.AppTitle(a)
	}
	return "Running"
}

// app is the app of the pane that has the keys, nil for none.
func (s *Screen) app() *engine.Instance { return s.find(s.name) }

func (s *Screen) find(name string) *engine.Instance {
	for i := range s.apps {
		if s.apps[i].Name == name {
			return &s.apps[i]
		}
	}
	return nil
}

// Pace is fast while an app starts, slow while one runs.
func (s *Screen) Pace() time.Duration {
	pace := screen.Slow
	for _, p := range s.panes {
		a := s.find(p.name)
		switch {
		case len(s.busy) > 0 || a != nil && (a.State == engine.StateStarting || a.State == engine.StateStopping):
			return screen.Spin
		case a != nil && a.State.Live():
			pace = screen.Measuring
		}
	}
	return pace
}

// Update takes what happened.
func (s *Screen) Update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case screen.Instances:
		return s.setApps(msg)
	case screen.Tick:
		s.now, s.frame = msg.Now, msg.Frame
		return s.measure()
	case screen.Shown:
		s.visible = true
		s.now = s.d.Now()
		return s.refresh()
	case screen.Hidden:
		s.visible = false
	case logMsg:
		for _, p := range s.panes {
			if msg.stream == p.streamID {
				return s.addLog(p, msg.batch)
			}
		}
	case screen.Measured:
		for _, p := range s.panes {
			p.gauge.Take(msg)
		}
	case doneMsg:
		if msg.id != s.id {
			return nil
		}
		delete(s.busy, msg.name)
		if ask := s.unkept(msg.name, msg.err); ask != nil {
			return ask
		}
		if msg.err != nil {
			return screen.Ask(screen.Failed{What: msg.was + " " + msg.name, Err: msg.err})
		}
		return screen.Ask(screen.Flash{Tone: widget.Good, Text: msg.said})
	case tea.PasteMsg:
		s.log.Update(msg)
	}
	return nil
}

func (s *Screen) setApps(msg screen.Instances) tea.Cmd {
	s.loaded, s.lost = true, msg.Err
	s.apps = append([]engine.Instance(nil), msg.List...)
	sortApps(s.apps)
	items := make([]widget.Item, len(s.apps))
	for i, a := range s.apps {
		items[i] = widget.Item{ID: a.Name}
	}
	s.list.SetItems(items)
	s.keepPanes()
	if s.app() == nil || !s.chosen && !s.visible {
		s.name, s.chosen = "", false
		if len(s.apps) > 0 {
			s.name = s.apps[0].Name
		}
	}
	s.list.Select(s.name)
	s.now = s.d.Now()
	return s.refresh()
}

// sortApps puts what runs first, the newest first.
func sortApps(apps []engine.Instance) {
	less := func(a, b engine.Instance) bool {
		if a.State.Live() != b.State.Live() {
			return a.State.Live()
		}
		if !a.Started.Equal(b.Started) {
			return a.Started.After(b.Started)
		}
		return a.Name < b.Name
	}
	for i := 1; i < len(apps); i++ {
		for j := i; j > 0 && less(apps[j], apps[j-1]); j-- {
			apps[j], apps[j-1] = apps[j-1], apps[j]
		}
	}
}

// Typing tells whether the search line is open.
func (s *Screen) Typing() bool { return s.log.Typing() }

// Key moves in the log and between apps.
func (s *Screen) Key(k tea.KeyPressMsg) (tea.Cmd, bool) {
	if s.app() == nil {
		return nil, false
	}
	if cmd, used := screen.LogKey(&s.log, k); used {
		s.Resize(s.w, s.h)
		return cmd, true
	}
	switch k.String() {
	case "tab", "shift+tab":
		n := 1
		if k.String() == "shift+tab" {
			n = -1
		}
		if len(s.panes) > 1 {
			s.turn(n)
			return nil, true
		}
		return s.step(n), true
	case "left", "[":
		return s.step(-1), true
	case "right", "]":
		return s.step(1), true
	}
	return nil, false
}

// step shows another app in place of this one, of those that no other pane shows.
func (s *Screen) step(n int) tea.Cmd {
	at := slices.IndexFunc(s.apps, func(a engine.Instance) bool { return a.Name == s.name })
	if at < 0 {
		return nil
	}
	for i := 1; i < len(s.apps); i++ {
		if name := s.apps[(at+n*i+len(s.apps)*i)%len(s.apps)].Name; s.paneOf(name) == nil {
			return s.Show(name)
		}
	}
	return nil
}

// Close ends following the logs.
func (s *Screen) Close() {
	for _, p := range s.panes {
		p.stream.Stop()
	}
	for _, p := range s.panes {
		p.stream.Wait()
	}
}

// act does something to an app off the loop.
func (s *Screen) act(name, doing, said string, f func(context.Context) error) tea.Cmd {
	s.busy[name] = doing
	id, life := s.id, s.d.Life
	return task.Do(func() error { return f(life) }, func(err error) tea.Msg { return doneMsg{id, name, doing, said, err} })
}

// grace is how long an app has to end by itself after it was asked to.
const grace = 10 * time.Second

func (s *Screen) stop(a *engine.Instance) tea.Cmd {
	name, eng := a.Name, s.d.Engine
	return screen.Ask(screen.Confirm{
		Dialog: widget.Confirm("Stop "+widget.Clean(name)+"?", screen.StopWords(a), "Stop it", "Let it run"),
		Answer: func(id string) tea.Cmd {
			if id != "yes" {
				return nil
			}
			return s.act(name, "Stopping", name+" has stopped.", func(ctx context.Context) error { return eng.Stop(ctx, name, grace) })
		},
	})
}

func (s *Screen) restart(a *engine.Instance) tea.Cmd {
	name, eng := a.Name, s.d.Engine
	again := func() tea.Cmd {
		return s.act(name, "Restarting", name+" was started again.", func(ctx context.Context) error {
			_, err := eng.Restart(ctx, name)
			return err
		})
	}
	if !a.State.Live() {
		return again()
	}
	return screen.Ask(screen.Confirm{
		Dialog: widget.Confirm("Restart "+widget.Clean(name)+"?", []string{
			"The app is stopped and started again with the same folders and ports. Whatever it holds only in memory is lost.",
		}, "Restart it", "Let it run"),
		Answer: func(id string) tea.Cmd {
			if id != "yes" {
				return nil
			}
			return again()
		},
	})
}

// lastLines is how much of the end of a log is searched for why an app ended.
const lastLines = 40

// mend is what a key does about why the app ended; do is nil for nothing.
func (s *Screen) mend(a *engine.Instance) (label string, do func() tea.Cmd) {
	if a.State.Live() || s.busy[a.Name] != "" {
		return "", nil
	}
	if !s.end.Known {
		return "", nil
	}
	name, eng := a.Name, s.d.Engine
	spec := a.Spec
	spec.Name = name
	return s.d.Mend(s.end.Cause, &spec, func(next engine.RunSpec) tea.Cmd {
		return s.act(name, "Starting", name+" was started again.", func(ctx context.Context) error {
			_, err := eng.Start(ctx, next)
			return err
		})
	})
}

// unkept asks what to do when an app could not be started again because of what it changed the last time.
func (s *Screen) unkept(name string, err error) tea.Cmd {
	return s.d.Again(name, err, func(f func(context.Context) error) tea.Cmd {
		return s.act(name, "Starting", name+" was started again.", f)
	})
}

func (s *Screen) forget(a *engine.Instance) tea.Cmd {
	name, eng := a.Name, s.d.Engine
	return screen.Ask(screen.Confirm{
		Dialog: widget.Confirm("Remove "+widget.Clean(name)+" from the list?", []string{
			"Its log goes with it. The image and your folders stay.",
		}, "Remove it", "Keep it"),
		Answer: func(id string) tea.Cmd {
			if id != "yes" {
				return nil
			}
			return s.act(name, "Removing", name+" is no longer listed.", func(ctx context.Context) error { return eng.Forget(ctx, name) })
		},
	})
}

// reach is how the person's own computer comes to the address, when this one is another: the words before it, and the ssh
// line or the address of the JupyterHub; empty where it is the same, or no way is known.
func (s *Screen) reach(a *engine.Instance) (label, line, what string) {
	ad := screen.AppAddress(a)
	if s.d.Remote == nil || ad == nil || ad.Host == 0 || !a.State.Live() {
		return "", "", ""
	}
	if at := s.d.Remote.Proxied(ad.Host); at != "" && screen.Page(ad) {
		return "In the JupyterHub:  ", at, "the address in the JupyterHub"
	}
	return "On your own computer:  ", s.d.Remote.Tunnel(ad.Host), "the ssh line"
}

// Actions are what can be done with the app.
func (s *Screen) Actions() []screen.Action {
	a := s.app()
	if a == nil {
		return []screen.Action{
			screen.Do(screen.On("enter"), "open the catalog", "Open the catalog", func() tea.Cmd { return screen.Ask(screen.GoCatalog{}) }),
		}
	}
	logActs, only := screen.LogActions(&s.log)
	if only {
		return logActs
	}
	name := widget.Clean(a.Name)
	noURL, notLive, live := screen.NoAddress(a), "the app has ended", ""
	ad := screen.AppAddress(a)
	if a.State.Live() {
		notLive, live = "", "the app still runs; stop it first"
	}
	if b := s.busy[a.Name]; b != "" {
		notLive, live = b+" …", b+" …"
	}
	url, note := "", "Only this computer answers at this address."
	if ad != nil {
		url = ad.URL
		if ad.Guarded {
			note += " It is good once."
		}
	}
	saved := ""
	if at := s.logFile(a.Name); at != "" {
		saved = " (all of it is in " + at + ")"
	}
	var acts []screen.Action
	reach := []screen.Action{
		screen.Do(screen.On("o"), "open browser", "Open "+name+" in the browser", func() tea.Cmd { return screen.Ask(screen.Browse{URL: url}) }).Unless(screen.NoPage(a)),
		screen.Do(screen.On("c"), "copy address", "Copy the address of "+name, func() tea.Cmd { return screen.Ask(screen.Copy{Text: url, What: "the address"}) }).Unless(noURL),
	}
	reach = append(reach, screen.Do(screen.On("Q"), "QR code", "Show the address of "+name+" as a QR code", func() tea.Cmd {
		return screen.Ask(screen.ShowCode{Title: "The address of " + name, Text: url, Note: note})
	}).Unless(noURL).Quietly())
	if _, line, what := s.reach(a); line != "" {
		word := strings.TrimPrefix(what, "the ")
		if word != "ssh line" {
			word = "hub address"
		}
		reach = append([]screen.Action{screen.Do(screen.On("C"), "copy "+word, "Copy "+what, func() tea.Cmd {
			return screen.Ask(screen.Copy{Text: line, What: what})
		})}, reach...)
	}
	stop := screen.Do(screen.On("s"), "stop", "Stop "+name, func() tea.Cmd { return s.stop(a) }).Unless(notLive)
	restart := screen.Do(screen.On("r"), "restart", "Restart "+name, func() tea.Cmd { return s.restart(a) })
	if b := s.busy[a.Name]; b != "" {
		restart = restart.Unless(b + " …")
	}
	forget := screen.Do(screen.On("d"), "remove from list", "Remove "+name+" from the list", func() tea.Cmd { return s.forget(a) }).Unless(live)
	if a.State.Live() {
		acts = append(reach, stop, restart)
	} else {
		if label, do := s.mend(a); do != nil {
			acts = append(acts, screen.Do(screen.On("F"), strings.ToLower(label[:1])+label[1:], label, do))
		}
		acts = append(acts, restart, forget)
	}
	acts = append(acts, s.paneActions()...)
	acts = append(acts,
		screen.Do(screen.On("/"), "search", "Search the log", func() tea.Cmd { s.log.Search(); return nil }),
		screen.Do(screen.On("t"), "terminal", "Open a terminal inside "+name, func() tea.Cmd {
			return screen.Ask(screen.RunInside{Args: []string{"shell", a.Name}, What: "the terminal inside " + name})
		}).Unless(notLive),
		screen.Do(screen.On("i"), "look inside", "Look inside "+name, func() tea.Cmd {
			return screen.Ask(screen.OpenInspect{Name: a.Image, Title: screen.AppTitle(a)})
		}),
		screen.Do(screen.On("x"), "share", "Share "+name, func() tea.Cmd {
			return screen.Ask(screen.OpenShare{Name: a.Image, Title: screen.AppTitle(a)})
		}).Quietly(),
		screen.Do(screen.On("w"), "save log", "Save the log of "+name+" to a file"+saved, func() tea.Cmd {
			if s.logOf != logOf(a) {
				return screen.Ask(screen.Flash{Tone: widget.Warning, Text: name + " is no longer the app that is shown; its log was not saved."})
			}
			return screen.Ask(screen.SaveText{Name: name + ".log", Text: s.log.Log.Text()})
		}).Quietly(),
		screen.Do(screen.On("y"), "copy command", "Copy the command that starts "+name, func() tea.Cmd {
			return screen.Ask(screen.Copy{Text: a.Command, What: "the command"})
		}).Quietly(),
	)
	if a.State.Live() {
		acts = append(acts, forget.Quietly())
	} else {
		acts = append(acts, reach[0].Quietly(), reach[1].Quietly(), reach[2], stop.Quietly())
	}
	return append(acts, logActs...)
}
