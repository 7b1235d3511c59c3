// Package session is the screen of running apps: the address of one, as soon as it answers, and its log. Apps that ended
// stay until they are taken from the list, with what they said last and what usually causes it.
package session

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"carrel/engine"
	"carrel/tui/screen"
	"carrel/tui/task"
	"carrel/tui/widget"
)

// Screen shows one app at a time.
type Screen struct {
	screen.Base
	d  screen.Deps
	id task.ID

	loaded bool
	apps   []engine.Instance
	lost   error  // why some are not among them
	name   string // of the app shown
	chosen bool   // by the person, or by what they started
	list   widget.List

	log       widget.LogPane
	logOf     string // the app and start the log belongs to
	stream    *task.Stream[engine.LogLine]
	streamID  task.ID
	logErr    error
	end       screen.End // of the app shown, when it has ended
	endOf     string     // the end and the length of the log that it belongs to
	cpu       []float64  // processors, in parts of one
	memory    []float64  // bytes
	flow      []float64  // bytes read and written in a second
	last      engine.Usage
	lastAt    time.Time
	usageOf   string
	measuring bool

	busy    map[string]string // app → what is being done to it
	visible bool
	now     time.Time
	frame   int
	w, h    int
}

// New makes the screen; it shows the app that was started last until Show says otherwise.
func New(d screen.Deps) *Screen {
	return &Screen{d: d, id: task.NewID(), busy: map[string]string{}, now: d.Now()}
}

// messages of this screen to itself
type (
	logMsg struct {
		stream task.ID
		batch  task.Batch[engine.LogLine]
	}
	usageMsg struct {
		id   task.ID
		name string
		at   time.Time
		use  engine.Usage
		err  error
	}
	doneMsg struct {
		id        task.ID
		name, was string
		said      string
		err       error
	}
)

// Show goes to an app.
func (s *Screen) Show(name string) tea.Cmd {
	if name != "" {
		s.name, s.chosen = name, true
		s.list.Select(name)
	}
	cmd := s.attach()
	s.explain()
	return cmd
}

// Title is the screen's name in the line at the top.
func (s *Screen) Title() string {
	if a := s.app(); a != nil {
		return screen.AppTitle(a)
	}
	return "Running"
}

func (s *Screen) app() *engine.Instance {
	for i := range s.apps {
		if s.apps[i].Name == s.name {
			return &s.apps[i]
		}
	}
	return nil
}

// Pace is fast while an app starts, slow while one runs.
func (s *Screen) Pace() time.Duration {
	a := s.app()
	switch {
	case len(s.busy) > 0 || a != nil && (a.State == engine.StateStarting || a.State == engine.StateStopping):
		return screen.Spin
	case a != nil && a.State.Live():
		return 2 * time.Second
	}
	return screen.Slow
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
		return tea.Batch(s.attach(), s.measure())
	case screen.Hidden:
		s.visible = false
	case logMsg:
		if msg.stream != s.streamID {
			return nil
		}
		return s.addLog(msg.batch)
	case usageMsg:
		if msg.id == s.id {
			s.addUsage(msg)
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
	if s.app() == nil || !s.chosen && !s.visible {
		s.name, s.chosen = "", false
		if len(s.apps) > 0 {
			s.name = s.apps[0].Name
		}
	}
	s.list.Select(s.name)
	s.now = s.d.Now()
	cmd := s.attach()
	s.explain()
	return cmd
}

// explain finds out why the app that is shown has ended, once for each state of its log.
func (s *Screen) explain() {
	a := s.app()
	if a == nil || a.State.Live() {
		return
	}
	var last []string
	of := screen.EndOf(a)
	if s.logOf == logOf(a) {
		of += fmt.Sprint("\x00", s.log.Log.Count())
		last = s.log.Log.Last(lastLines)
	}
	if of != s.endOf {
		s.end, s.endOf = screen.Ended(a, last), of
	}
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

// attach follows the log of the app that is shown, once the screen is seen.
func (s *Screen) attach() tea.Cmd {
	a := s.app()
	if a == nil || !s.visible {
		return nil
	}
	of := logOf(a)
	if of == s.logOf {
		return nil
	}
	s.stream.Stop()
	s.logOf, s.streamID, s.logErr = of, task.NewID(), nil
	s.log.Log.Clear()
	s.cpu, s.memory, s.flow, s.last, s.usageOf = nil, nil, nil, engine.Usage{}, ""
	name := a.Name
	s.stream = task.Run(s.d.Life, func(ctx context.Context, emit func(engine.LogLine)) error {
		return s.d.Engine.Logs(ctx, name, engine.LogOptions{Follow: true, Tail: widget.LogLimit}, func(lines []engine.LogLine) error {
			for _, l := range lines {
				emit(l)
			}
			return ctx.Err()
		})
	})
	return tea.Batch(s.nextLog(), s.measure())
}

// logOf names one start of an app: what it wrote is that start's.
func logOf(a *engine.Instance) string { return a.Name + a.Started.String() }

func (s *Screen) nextLog() tea.Cmd {
	id := s.streamID
	return s.stream.Next(func(b task.Batch[engine.LogLine]) tea.Msg { return logMsg{id, b} })
}

func (s *Screen) addLog(b task.Batch[engine.LogLine]) tea.Cmd {
	if b.Dropped > 0 {
		s.log.Log.Append(widget.LogLine{Text: widget.Thousands(b.Dropped) + " lines are not shown here; " + cmp.Or(s.logFile(), "the log file") + " has them.", Own: true})
	}
	for _, l := range b.Items {
		s.log.Log.Append(widget.LogLine{Time: l.Time, Text: l.Text, Own: l.Stream == "carrel"})
	}
	if b.Done {
		s.logErr = b.Err
		s.explain()
		return nil
	}
	return s.nextLog()
}

// logFile is where the whole log is kept; empty when it is not known.
func (s *Screen) logFile() string {
	if a := s.app(); a != nil && a.LogFile != "" {
		return widget.Clean(widget.Tilde(a.LogFile, s.d.Home))
	}
	return ""
}

// measure asks what the app uses, at most once at a time.
func (s *Screen) measure() tea.Cmd {
	a := s.app()
	if a == nil || !a.State.Live() || !s.visible || s.measuring || s.now.Sub(s.lastAt) < 1500*time.Millisecond && s.usageOf == a.Name {
		return nil
	}
	s.measuring = true
	id, name, eng, now, life := s.id, a.Name, s.d.Engine, s.d.Now, s.d.Life
	return task.Call(func() (engine.Usage, error) { return eng.Usage(life, name) },
		func(u engine.Usage, err error) tea.Msg { return usageMsg{id, name, now(), u, err} })
}

// graph is how many measurements are kept.
const graph = 24

func (s *Screen) addUsage(m usageMsg) {
	s.measuring = false
	if m.err != nil || m.name != s.name {
		s.lastAt = m.at
		return
	}
	if s.usageOf == m.name {
		if dt := m.at.Sub(s.lastAt); dt > 0 {
			s.cpu = keep(s.cpu, float64(m.use.CPU-s.last.CPU)/float64(dt))
			s.memory = keep(s.memory, float64(m.use.Memory))
			s.flow = keep(s.flow, float64(m.use.Read+m.use.Written-s.last.Read-s.last.Written)/dt.Seconds())
		}
	} else {
		s.cpu, s.memory, s.flow = nil, nil, nil
	}
	s.last, s.lastAt, s.usageOf = m.use, m.at, m.name
}

// keep adds a measurement; what is less than nothing, because a process went, is nothing.
func keep(values []float64, v float64) []float64 {
	values = append(values, max(0, v))
	return values[max(0, len(values)-graph):]
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
	case "left", "shift+tab", "[":
		return s.step(-1), true
	case "right", "tab", "]":
		return s.step(1), true
	}
	return nil, false
}

func (s *Screen) step(n int) tea.Cmd {
	if len(s.apps) < 2 {
		return nil
	}
	for i := range s.apps {
		if s.apps[i].Name == s.name {
			return s.Show(s.apps[(i+n+len(s.apps))%len(s.apps)].Name)
		}
	}
	return nil
}

// Close ends following the log.
func (s *Screen) Close() {
	s.stream.Stop()
	s.stream.Wait()
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
	if at := s.logFile(); at != "" {
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
	acts = append(acts, logActs...)
	if len(s.apps) > 1 {
		acts = append(acts, screen.Tell("← →", "the other apps").Quietly())
	}
	return acts
}
