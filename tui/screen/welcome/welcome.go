// Package welcome is the three screens for newcomers: what Carrel is and whether this computer can run it, what brings the
// person here, and the start of the first app. They can be skipped at any moment, and seen again from the palette.
package welcome

import (
	"os"
	"strconv"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"carrel/engine"
	"carrel/tui/screen"
	"carrel/tui/task"
	"carrel/tui/widget"
)

// App is the catalog entry that "just looking" starts.
const App = "welcome"

// folder is where the welcome app's files go when the person chooses no other.
const folder = "~/carrel-welcome"

// Screen is the three pages.
type Screen struct {
	screen.Base
	d    screen.Deps
	id   task.ID
	page int // 0, 1, 2

	checks  []engine.Check
	checked bool

	reason widget.List // what brings them here

	entries []task.Entry
	list    widget.List // page 3: apps of one kind
	shown   []task.Entry
	form    widget.Form // page 3: the folder
	state   engine.FolderState
	stateOf string // the text state belongs to
	card    task.Card
	target  engine.Target
	goNow   bool // enter was pressed before the folder was checked
	busy    bool
	frame   int
	w, h    int
}

// reasons are the answers of page 2.
var reasons = []struct{ id, text, about string }{
	{"look", "Just looking", "starts a small app that shows what Carrel does"},
	{"notebook", "A notebook", "Jupyter and others, working in a folder of yours"},
	{"experiment", "An experiment", "something people click through, with results in your folder"},
	{"page", "Show my results on a page", "a folder of yours as a page in the browser"},
	{"own", "Files of mine", "an app is made of a folder: notebooks, scripts, a dashboard"},
	{"given", "I was given a container", "a file from a colleague, or a definition"},
}

type (
	checkMsg struct {
		id     task.ID
		checks []engine.Check
	}
	entriesMsg struct {
		id      task.ID
		entries []task.Entry
		target  engine.Target
		card    task.Card
	}
	madeMsg struct {
		id  task.ID
		err error
	}
	startedMsg struct {
		id   task.ID
		inst engine.Instance
		err  error
	}
)

// New makes the pages.
func New(d screen.Deps) *Screen {
	s := &Screen{d: d, id: task.NewID()}
	items := make([]widget.Item, len(reasons))
	for i, r := range reasons {
		items[i] = widget.Item{ID: r.id}
	}
	s.reason.SetItems(items)
	return s
}

// Title is the screen's name in the line at the top.
func (s *Screen) Title() string { return "Welcome, " + strconv.Itoa(s.page+1) + " of 3" }

// ID is what the pages are known by.
func (s *Screen) ID() task.ID { return s.id }

// Init begins the checks and reads the catalog.
func (s *Screen) Init() tea.Cmd {
	id, eng, cat, life := s.id, s.d.Engine, s.d.Catalog, s.d.Life
	return tea.Batch(
		task.Call(func() (checkMsg, error) {
			return checkMsg{id: id, checks: eng.Doctor(life)}, nil
		}, func(m checkMsg, err error) tea.Msg {
			m.id = id
			if err != nil {
				m.checks = append(m.checks, engine.Check{Name: "doctor", Status: engine.StatusNote, Title: "The checks did not finish", Detail: err.Error()})
			}
			return m
		}),
		task.Call(func() (entriesMsg, error) {
			m := entriesMsg{id: id}
			var err error
			if m.entries, err = cat.Entries(life); err != nil {
				return m, err
			}
			if m.target, err = eng.Resolve(life, App); err == nil {
				m.card, err = eng.Card(life, App)
			}
			return m, err
		}, func(m entriesMsg, _ error) tea.Msg { m.id = id; return m }),
	)
}

// Pace is that of a spinner while something works.
func (s *Screen) Pace() time.Duration {
	if s.page == 0 && !s.checked || s.busy {
		return screen.Spin
	}
	return 0
}

// Typing tells whether letters belong to a field.
func (s *Screen) Typing() bool { return s.page == 2 && len(s.form.Fields) > 0 }

// Update takes the answers.
func (s *Screen) Update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case screen.Tick:
		s.frame = msg.Frame
	case checkMsg:
		if msg.id == s.id {
			s.checked, s.checks = true, msg.checks
		}
	case entriesMsg:
		if msg.id == s.id {
			s.entries, s.target, s.card = msg.entries, msg.target, msg.card
		}
	case tea.PasteMsg:
		if f := s.form.Focused(); s.page == 2 && f != nil {
			f.Update(msg)
			return s.changed(f)
		}
	case screen.FolderDue:
		if f := s.form.Field(msg.Field); msg.Form == s.id && f != nil && f.Text.Value() == msg.Text {
			return s.check(f)
		}
	case screen.FolderAnswer:
		if msg.Form == s.id {
			return s.answered(msg)
		}
	case madeMsg:
		if msg.id != s.id {
			return nil
		}
		if msg.err != nil {
			s.busy = false
			return screen.Ask(screen.Failed{What: "Making the folder", Err: msg.err})
		}
		return s.run()
	case startedMsg:
		if msg.id != s.id {
			return nil
		}
		s.busy = false
		if msg.err != nil {
			return screen.Ask(screen.Failed{What: "Starting the welcome app", Err: msg.err})
		}
		return screen.Ask(screen.Started{From: s.id, Instance: msg.inst})
	}
	return nil
}

func (s *Screen) check(f *widget.Field) tea.Cmd {
	return s.d.FolderNow(screen.FolderDue{Form: s.id, Field: f.ID, Text: f.Text.Value()})
}

func (s *Screen) changed(f *widget.Field) tea.Cmd {
	f.Ghost, s.stateOf = "", ""
	return screen.FolderSoon(s.id, f.ID, f.Text.Value())
}

func (s *Screen) answered(a screen.FolderAnswer) tea.Cmd {
	f := s.form.Field(a.Field)
	if f == nil || f.Text.Value() != a.Text {
		return nil
	}
	f.Ghost = widget.Clean(a.Next.Rest)
	s.state, s.stateOf = a.State, a.Text
	if f.ID == "folder" {
		f.Remarks = screen.FolderRemarks(a.State, s.dest(), false)
		if screen.MissingFolder(a.State) && f.Value() == folder {
			f.Remarks = []widget.Remark{{Text: "A new folder, created when you start. Any other folder of yours will do as well."}}
		}
	}
	if s.goNow {
		s.goNow = false
		return s.launch()
	}
	return nil
}

// dest is where the welcome app sees the folder.
func (s *Screen) dest() string {
	if len(s.card.Binds) > 0 {
		return s.card.Binds[0].Dest
	}
	return "/data"
}

// Key moves, types and goes on.
func (s *Screen) Key(k tea.KeyPressMsg) (tea.Cmd, bool) {
	name := k.String()
	switch s.page {
	case 1:
		if n, err := strconv.Atoi(name); err == nil && n >= 1 && n <= len(reasons) {
			s.reason.Select(reasons[n-1].id)
			return s.next(), true
		}
		return nil, s.reason.Key(name)
	case 2:
		if s.busy {
			return nil, name != "ctrl+c"
		}
		f := s.form.Focused()
		if f == nil {
			return nil, s.list.Key(name)
		}
		if (name == "tab" || name == "right" && f.Text.AtEnd()) && f.Ghost != "" {
			f.Text.Set(f.Text.Value() + f.Ghost)
			return s.changed(f), true
		}
		used, changed := f.Update(k)
		if changed {
			return s.changed(f), true
		}
		return nil, used || name == "tab"
	}
	return nil, false
}

// Mouse chooses an answer; a click on the chosen one goes on.
func (s *Screen) Mouse(m screen.Mouse) tea.Cmd {
	list, y, h := &s.reason, above(m.H)+len(s.head(max(0, m.W-8))), m.H
	switch {
	case s.page == 2 && len(s.form.Fields) == 0:
		list = &s.list
	case s.page != 1:
		return nil
	}
	if m.Wheel != 0 {
		list.Move(m.Wheel)
		return nil
	}
	was, _ := list.Selected()
	at := m.Y - y
	if s.page == 1 {
		at /= rowsEach(m.H)
	}
	if at >= 0 && list.SelectAt(at, h-y) {
		if now, _ := list.Selected(); now.ID == was.ID {
			return s.next()
		}
	}
	return nil
}

// Actions are what can be done on a page.
func (s *Screen) Actions() []screen.Action {
	skip := screen.Do(screen.On("esc"), "skip", "Skip the introduction", func() tea.Cmd { return screen.Ask(screen.Back{}) })
	back := screen.Do(screen.On("esc"), "back", "Go back one page", func() tea.Cmd { s.page--; s.form = widget.Form{}; return nil })
	switch s.page {
	case 0:
		return []screen.Action{
			screen.Do(screen.On("enter", "space", "right"), "next", "", s.next),
			skip,
			screen.Do(screen.On("w"), "why these checks", "Explain the checks", func() tea.Cmd { return screen.Ask(screen.OpenDoctor{}) }),
		}
	case 1:
		return []screen.Action{
			screen.Do(screen.On("enter", "space", "right"), "next", "", s.next),
			screen.Tell("↑↓", "choose"),
			screen.Do(screen.On("esc", "left"), "back", "Go back one page", func() tea.Cmd { s.page--; return nil }),
			screen.Do(screen.On("s"), "skip", "Skip the introduction", func() tea.Cmd { return screen.Ask(screen.Back{}) }),
		}
	}
	word := "start it"
	if r, _ := s.reason.Selected(); r.ID == "given" {
		word = "open it"
	} else if len(s.form.Fields) == 0 {
		word = "choose this one"
	}
	acts := []screen.Action{screen.Do(screen.On("enter"), word, "", s.next), back}
	if len(s.form.Fields) > 0 {
		acts = append(acts, screen.Tell("tab", "complete"))
		if f := s.form.Focused(); s.answer() == "look" && f != nil {
			acts = append(acts, screen.Do(screen.On("ctrl+o"), "browse", "Browse for a folder", func() tea.Cmd {
				return screen.Ask(screen.PickFolder{Title: "Choose a folder", From: s.d.Home, Answer: func(path string) tea.Cmd {
					f.Text.Set(widget.Tilde(path, s.d.Home))
					return s.changed(f)
				}})
			}))
		}
	}
	return acts
}

// answer is what brings the person here.
func (s *Screen) answer() string {
	r, _ := s.reason.Selected()
	return r.ID
}

// next goes on to the next page, or starts what was chosen.
func (s *Screen) next() tea.Cmd {
	switch s.page {
	case 0:
		s.page = 1
	case 1:
		r, _ := s.reason.Selected()
		if r.ID == "own" {
			return screen.Ask(screen.OpenWizard{})
		}
		s.page = 2
		s.form, s.shown = widget.Form{}, nil
		switch r.ID {
		case "look":
			f := &widget.Field{ID: "folder", Kind: widget.FolderKind, Label: "The folder it may see", Text: widget.NewText(folder)}
			s.form = widget.Form{Fields: []*widget.Field{f}}
			return s.check(f)
		case "given":
			f := &widget.Field{ID: "file", Kind: widget.FolderKind, Label: "Where is it?", Hint: "~/Downloads/from-anna.sif"}
			s.form = widget.Form{Fields: []*widget.Field{f}}
			return nil
		}
		var items []widget.Item
		for _, e := range s.entries {
			if e.Card.Category == r.ID && e.Err == nil {
				s.shown = append(s.shown, e)
				items = append(items, widget.Item{ID: e.Name})
			}
		}
		s.list.SetItems(items)
		s.list.Top()
	case 2:
		if s.busy {
			return nil
		}
		return s.launch()
	}
	return nil
}

// launch starts the first app.
func (s *Screen) launch() tea.Cmd {
	r, _ := s.reason.Selected()
	f := s.form.Focused()
	switch {
	case r.ID == "given":
		if f == nil || f.Value() == "" {
			return screen.Ask(screen.Flash{Text: "Type where the file lies; tab completes."})
		}
		return screen.Ask(screen.OpenLaunch{Name: task.Expand(f.Value(), s.d.Home)})
	case r.ID != "look":
		i := s.list.Cursor()
		if i < 0 || i >= len(s.shown) {
			return screen.Ask(screen.GoCatalog{})
		}
		return screen.Ask(screen.OpenLaunch{Name: s.shown[i].Name})
	case f.Value() == "":
		return s.run()
	case s.stateOf != f.Text.Value():
		s.goNow = true
		return s.check(f)
	case s.state.Exists && (!s.state.IsDir || !s.state.Readable):
		return screen.Ask(screen.Flash{Tone: widget.Error, Text: "This folder cannot be used; choose another."})
	case !s.state.Exists:
		id, path := s.id, s.state.Path
		s.busy = true
		return task.Do(func() error { return os.MkdirAll(path, 0o755) }, func(err error) tea.Msg { return madeMsg{id, err} })
	}
	return s.run()
}

// run starts the welcome app, building it first where it is not there.
func (s *Screen) run() tea.Cmd {
	spec := engine.RunSpec{Image: App, Profile: engine.ProfileSafe}
	if v := strings.TrimSpace(s.form.Value("folder")); v != "" {
		spec.Binds = []engine.Bind{{Source: s.state.Path, Dest: s.dest()}}
	}
	for _, p := range s.card.Ports {
		spec.Ports = append(spec.Ports, engine.Port{Host: p.Container, Container: p.Container})
	}
	if !s.target.Built {
		s.busy = false
		title := s.card.Title
		if title == "" {
			title = "the welcome app"
		}
		return screen.Ask(screen.StartBuild{From: s.id, Title: title, Spec: engine.BuildSpec{Definition: App, Target: s.target.Path, Force: true}, Then: &spec})
	}
	s.busy = true
	id, eng, life := s.id, s.d.Engine, s.d.Life
	return task.Call(func() (engine.Instance, error) { return eng.Start(life, spec) },
		func(in engine.Instance, err error) tea.Msg { return startedMsg{id, in, err} })
}
