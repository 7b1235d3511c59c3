// Package catalog is the screen on which an app is found: a list by categories, filtered while typing, and what there is to
// know about the selected one.
package catalog

import (
	"sort"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"carrel/engine"
	"carrel/tui/screen"
	"carrel/tui/task"
	"carrel/tui/widget"
)

// Screen is the catalog.
type Screen struct {
	screen.Base
	d  screen.Deps
	id task.ID

	entries []task.Entry
	hay     []hay // what the filter looks through, one for each entry
	built   map[string]engine.ImageInfo
	ready   map[string]time.Duration // by image path: how long it took to its first page
	known   bool
	err     error
	rows    []row
	list    widget.List
	filter  widget.Text
	typing  bool
	only    string   // the category that is shown; empty: all
	cats    []string // those there are entries of, in their order; "" first
	counts  map[string]int
	order   []match // of the filter, best first
	now     time.Time
	visible bool
	stale   bool // the images have changed since built was made
	w, h    int
}

// row is a heading, or an entry.
type row struct {
	heading string
	entry   int
}

type (
	entriesMsg struct {
		id      task.ID
		entries []task.Entry
		err     error
	}
	imagesMsg struct {
		id     task.ID
		images []engine.ImageInfo
	}
)

// New makes the screen.
func New(d screen.Deps) *Screen {
	return &Screen{d: d, id: task.NewID(), filter: widget.NewText(""), now: d.Now(), stale: true, ready: map[string]time.Duration{}}
}

// Title is the screen's name in the line at the top.
func (s *Screen) Title() string { return "Catalog" }

// Init reads the catalog.
func (s *Screen) Init() tea.Cmd { return s.read() }

func (s *Screen) read() tea.Cmd {
	id, cat, life := s.id, s.d.Catalog, s.d.Life
	return task.Call(func() ([]task.Entry, error) { return cat.Entries(life) },
		func(e []task.Entry, err error) tea.Msg { return entriesMsg{id, e, err} })
}

// readImages finds out which apps are built here, when the catalog is looked at.
func (s *Screen) readImages() tea.Cmd {
	s.stale = !s.visible
	if s.stale {
		return nil
	}
	id, eng, life := s.id, s.d.Engine, s.d.Life
	return task.Call(func() ([]engine.ImageInfo, error) { return eng.Images(life) },
		func(l []engine.ImageInfo, _ error) tea.Msg { return imagesMsg{id, l} })
}

// Update takes the answers.
func (s *Screen) Update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case screen.Shown:
		s.now, s.visible = s.d.Now(), true
		if s.stale {
			return s.readImages()
		}
	case screen.Hidden:
		s.visible = false
	case screen.Instances:
		for _, a := range msg.List {
			if a.ReadyIn > 0 {
				s.ready[a.Image] = a.ReadyIn
			}
		}
	case screen.ImagesChanged:
		return s.readImages()
	case screen.CatalogChanged:
		return s.read()
	case tea.PasteMsg:
		if s.typing {
			s.filter.Update(msg)
			s.look()
		}
	case entriesMsg:
		if msg.id != s.id {
			return nil
		}
		s.known, s.err, s.entries = true, msg.err, msg.entries
		sort.SliceStable(s.entries, func(i, j int) bool {
			a, b := &s.entries[i], &s.entries[j]
			if x, y := rank(a.Card.Category), rank(b.Card.Category); x != y {
				return x < y
			}
			return strings.ToLower(title(a)) < strings.ToLower(title(b))
		})
		s.index()
		s.build()
	case imagesMsg:
		if msg.id != s.id {
			return nil
		}
		s.built = map[string]engine.ImageInfo{}
		for _, m := range msg.images {
			if m.Catalog != "" && m.Problem == "" {
				s.built[m.Catalog] = m
			}
		}
	}
	return nil
}

// categories are the words of FACTS' labels, and how the list calls them, in its order.
var categories = []struct{ id, words string }{
	{"page", "RESULT PAGES"}, {"notebook", "NOTEBOOKS"}, {"experiment", "EXPERIMENTS"}, {"analysis", "ANALYSES"}, {"tool", "TOOLS"},
}

func rank(category string) int {
	for i, c := range categories {
		if c.id == category {
			return i
		}
	}
	return len(categories)
}

func heading(category string) string {
	if i := rank(category); i < len(categories) {
		return categories[i].words
	}
	return "OTHER APPS"
}

func title(e *task.Entry) string {
	if e.Card.Title != "" {
		return widget.Clean(e.Card.Title)
	}
	return widget.Clean(e.Name)
}

// build makes the rows that pass the filter: by categories, or, while something is looked for, the best match first.
func (s *Screen) build() {
	s.order = s.find(s.filter.Value())
	s.rows = s.rows[:0]
	var items []widget.Item
	last, headed := "", false
	looking := strings.TrimSpace(s.filter.Value()) != ""
	for _, m := range s.order {
		e := &s.entries[m.entry]
		if s.only != "" && categoryOf(e) != s.only {
			continue
		}
		if h := heading(e.Card.Category); !looking && s.only == "" && (!headed || h != last) {
			if headed {
				s.rows = append(s.rows, row{entry: -1})
				items = append(items, widget.Item{Fixed: true})
			}
			s.rows = append(s.rows, row{heading: h, entry: -1})
			items = append(items, widget.Item{Fixed: true})
			last, headed = h, true
		}
		s.rows = append(s.rows, row{entry: m.entry})
		items = append(items, widget.Item{ID: e.Name + "\x00" + e.Source})
	}
	s.list.SetItems(items)
}

// look is build after what is looked for has changed: the best match is selected.
func (s *Screen) look() {
	s.build()
	s.list.Top()
}

func (s *Screen) selected() *task.Entry {
	if i := s.list.Cursor(); i >= 0 && i < len(s.rows) && s.rows[i].entry >= 0 {
		return &s.entries[s.rows[i].entry]
	}
	return nil
}

// Typing tells whether the filter takes letters.
func (s *Screen) Typing() bool { return s.typing }

// Key moves, and types into the filter.
func (s *Screen) Key(k tea.KeyPressMsg) (tea.Cmd, bool) {
	name := k.String()
	if s.typing {
		switch name {
		case "esc":
			s.typing = false
			s.filter.Set("")
			s.build()
			return nil, true
		case "enter":
			s.typing = false
			if s.selected() == nil {
				return nil, true
			}
			return s.open(s.selected()), true
		case "tab":
			s.typing = false
			return nil, true
		case "up":
			s.list.Move(-1)
			return nil, true
		case "down":
			s.list.Move(1)
			return nil, true
		case "pgup":
			s.list.Page(-1)
			return nil, true
		case "pgdown":
			s.list.Page(1)
			return nil, true
		}
		was := s.filter.Value()
		used := s.filter.Update(k)
		if s.filter.Value() != was {
			s.look()
		}
		return nil, used || k.Text != ""
	}
	switch name {
	case "esc":
		if s.filter.Value() != "" {
			s.filter.Set("")
			s.build()
			return nil, true
		}
		if s.only != "" {
			s.turn(0)
			return nil, true
		}
	case "left", "h":
		s.turn(-1)
		return nil, true
	case "right", "l":
		s.turn(1)
		return nil, true
	}
	return nil, s.list.Key(name)
}

// Mouse chooses an entry; a click on the chosen one opens it.
func (s *Screen) Mouse(m screen.Mouse) tea.Cmd {
	p := layout(m.W, m.H)
	lh := p.listH
	if m.Wheel != 0 {
		s.list.Move(m.Wheel)
		return nil
	}
	if i := m.Y - top; m.X < p.catW && i >= 0 && i < len(s.cats) {
		s.only = s.cats[i]
		s.look()
		return nil
	}
	if m.X < p.catW || m.X >= p.catW+p.listW {
		return nil
	}
	if m.Y < top {
		s.typing = true
		return nil
	}
	was, _ := s.list.Selected()
	if s.list.SelectAt(m.Y-top, lh) {
		if now, _ := s.list.Selected(); now.ID == was.ID {
			return s.open(s.selected())
		}
	}
	return nil
}

func (s *Screen) open(e *task.Entry) tea.Cmd {
	if e == nil {
		return nil
	}
	if e.Err != nil {
		return screen.Ask(screen.Failed{What: "Reading the definition of " + e.Name, Err: e.Err})
	}
	return s.agreed(*e, func() tea.Cmd { return screen.Ask(screen.OpenLaunch{Name: e.Name}) })
}

// agreed goes on with an entry; one that somebody else wrote only when the person has seen what building it does.
func (s *Screen) agreed(e task.Entry, next func() tea.Cmd) tea.Cmd {
	if len(e.Ask) == 0 {
		return next()
	}
	if _, built := s.built[e.Name]; built {
		return next()
	}
	var body []string
	for _, l := range e.Ask {
		body = append(body, widget.Clean(l))
	}
	d := &widget.Dialog{Title: "Build " + title(&e) + "?", Body: body, Focus: 1,
		Buttons: []widget.Button{{ID: "yes", Label: "Go on", Key: "g"}, {ID: "look", Label: "Show the definition", Key: "v"}, {ID: "no", Label: "Back", Key: "n"}}}
	cat, life := s.d.Catalog, s.d.Life
	return screen.Ask(screen.Confirm{Dialog: d, Answer: func(id string) tea.Cmd {
		switch id {
		case "yes":
			for i := range s.entries {
				if s.entries[i].Name == e.Name && s.entries[i].Source == e.Source {
					s.entries[i].Ask = nil
				}
			}
			remember := task.Call(func() (struct{}, error) { return struct{}{}, cat.Allow(life, e) },
				func(struct{}, error) tea.Msg { return nil })
			return tea.Sequence(remember, next()) // what is not remembered is not built
		case "look":
			return screen.Ask(screen.OpenInspect{Name: e.Name, Title: title(&e), Tab: "definition"})
		}
		return nil
	}})
}

// Actions are what can be done with an entry.
func (s *Screen) Actions() []screen.Action {
	e := s.selected()
	none, name := "nothing is selected", ""
	noVersions := "it comes in one version"
	if e != nil {
		none, name = "", title(e)
		if len(e.Versions) > 1 {
			noVersions = ""
		}
	}
	find := screen.Do(screen.On("/"), "filter", "Filter the catalog", func() tea.Cmd { s.typing = true; return nil })
	if s.typing {
		return []screen.Action{screen.Tell("enter", "start").Unless(none), screen.Tell("↑↓", "choose"), screen.Tell("esc", "show all")}
	}
	return []screen.Action{
		screen.Do(screen.On("enter"), "start", "Start "+name, func() tea.Cmd { return s.open(e) }).Unless(none),
		find,
		screen.Do(screen.On("v", "i"), "view definition", "View the definition of "+name, func() tea.Cmd {
			return screen.Ask(screen.OpenInspect{Name: e.Name, Title: name, Tab: "definition"})
		}).Unless(none),
		screen.Tell("←→", "kinds"),
		screen.Do(screen.On("S"), "sources", "Show where the apps come from, add and update sources", func() tea.Cmd { return screen.Ask(screen.OpenSources{}) }),
		screen.Do(screen.On("e"), "make it mine", "Copy "+name+" to a folder of mine and edit its definition", func() tea.Cmd {
			return screen.Ask(screen.MakeOwn{Name: e.Name, Title: name})
		}).Unless(none).Quietly(),
		screen.Do(screen.On("V"), "version", "Choose a version of "+name, func() tea.Cmd { return s.version(e) }).Unless(noVersions).Quietly(),
		screen.Do(screen.On("b"), "build only", "Build "+name+" without starting it", func() tea.Cmd {
			return s.agreed(*e, func() tea.Cmd {
				return screen.Ask(screen.StartBuild{Title: name, Spec: engine.BuildSpec{Definition: e.Name, Force: true}})
			})
		}).Unless(none).Quietly(),
		screen.Do(screen.On("y"), "copy command", "Copy the command that starts "+name, func() tea.Cmd {
			return screen.Ask(screen.Copy{Text: s.d.Engine.CommandLine(engine.RunSpec{Image: e.Name}), What: "the command"})
		}).Unless(none).Quietly(),
		screen.Do(screen.On("R"), "read again", "Read the catalog again", s.read).Quietly(),
		screen.Tell("↑ ↓", "choose").Quietly(),
	}
}
