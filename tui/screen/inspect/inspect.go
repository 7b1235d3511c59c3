// Package inspect looks inside an image that need not run: what it says of itself, what it runs, the definition it was built
// from, its files, its software, what takes the space, and whether it is as it was written.
package inspect

import (
	"context"
	"path/filepath"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"carrel/engine"
	"carrel/tui/screen"
	"carrel/tui/task"
	"carrel/tui/theme"
	"carrel/tui/widget"
)

// Screen looks inside one image.
type Screen struct {
	screen.Base
	d     screen.Deps
	id    task.ID
	name  string
	title string
	life  context.Context // of everything that is read for this screen
	end   context.CancelFunc

	known  bool
	target engine.Target
	in     engine.Inspection // of an image that is built
	card   task.Card
	def    string
	defErr error
	err    error

	tabs []tab
	tab  string // name of the one that is shown
	want string // name of the one to begin with

	now   time.Time
	frame int
	w, h  int
}

// tab is one page and its name.
type tab struct {
	name string
	page page
}

type readMsg struct {
	id     task.ID
	target engine.Target
	in     engine.Inspection
	card   task.Card
	def    string
	defErr error
	err    error
}

// The names of the tabs.
const (
	overviewTab   = "Overview"
	runsTab       = "Runs"
	definitionTab = "Definition"
	filesTab      = "Files"
	softwareTab   = "Software"
	sizeTab       = "Size"
	changesTab    = "Changes"
	trustTab      = "Trust"
)

// New makes the screen.
func New(d screen.Deps, o screen.OpenInspect) *Screen {
	s := &Screen{d: d, id: task.NewID(), name: o.Name, title: o.Title, now: d.Now(), tab: overviewTab, want: o.Tab}
	s.life, s.end = context.WithCancel(d.Life)
	return s
}

// Close ends what is still being read.
func (s *Screen) Close() { s.end() }

// Title is the screen's name in the line at the top.
func (s *Screen) Title() string {
	switch {
	case s.card.Title != "":
		return widget.Clean(s.card.Title)
	case s.title != "":
		return widget.Clean(s.title)
	}
	return widget.Clean(filepath.Base(s.name))
}

// fileName is what files about this image are called.
func (s *Screen) fileName() string {
	return strings.TrimSuffix(filepath.Base(s.target.Path), filepath.Ext(s.target.Path))
}

// Init reads the image's head; nothing is unpacked or started.
func (s *Screen) Init() tea.Cmd {
	id, name, eng, life := s.id, s.name, s.d.Engine, s.life
	return task.Call(func() (readMsg, error) {
		var m readMsg
		var err error
		if m.target, err = eng.Resolve(life, name); err != nil {
			return m, err
		}
		if m.target.Kind == engine.TargetImage {
			if text, c, err := task.Definition(m.target.Path); err == nil {
				m.target.Built = false
				m.def, m.card = text, c
				return m, nil
			}
		}
		if m.card, err = eng.Card(life, name); err != nil {
			return m, err
		}
		if m.target.Built {
			if m.in, err = eng.Inspect(life, name); err != nil {
				return m, err
			}
		}
		m.def, m.defErr = eng.Definition(life, name)
		return m, nil
	}, func(m readMsg, err error) tea.Msg {
		m.id, m.err = id, err
		return m
	})
}

// Update takes the answers.
func (s *Screen) Update(msg tea.Msg) tea.Cmd {
	switch m := msg.(type) {
	case screen.Tick:
		s.now, s.frame = m.Now, m.Frame
		return nil
	case screen.Shown:
		s.now = s.d.Now()
		return nil
	case tea.PasteMsg:
		if p := s.page(); p != nil {
			return p.update(msg)
		}
		return nil
	case readMsg:
		if m.id != s.id {
			return nil
		}
		s.known, s.target, s.in, s.card, s.def, s.defErr, s.err = true, m.target, m.in, m.card, m.def, m.defErr, m.err
		if m.err != nil {
			return tea.Sequence(screen.Ask(screen.Back{}), screen.Ask(screen.Failed{What: "Looking inside " + s.Title(), Err: m.err}))
		}
		return s.furnish()
	}
	if id, ok := owner(msg); ok && id == s.id {
		var cmds []tea.Cmd
		for _, t := range s.tabs {
			cmds = append(cmds, t.page.update(msg))
		}
		return tea.Batch(cmds...)
	}
	return nil
}

// owner is the screen a page's answer is for.
func owner(msg tea.Msg) (task.ID, bool) {
	switch m := msg.(type) {
	case listedMsg:
		return m.id, true
	case settledMsg:
		return m.id, true
	case previewMsg:
		return m.id, true
	case copiedMsg:
		return m.id, true
	case packagesMsg:
		return m.id, true
	case sizesMsg:
		return m.id, true
	case partsMsg:
		return m.id, true
	case diffMsg:
		return m.id, true
	}
	return 0, false
}

// furnish makes the tabs: all of an image that is there, two of one that is yet to be built.
func (s *Screen) furnish() tea.Cmd {
	s.tabs = []tab{{overviewTab, &reading{t: s.d.Theme, text: s.overview}}}
	if s.target.Built {
		s.tabs = append(s.tabs, tab{runsTab, &reading{t: s.d.Theme, text: s.runs}})
	}
	s.tabs = append(s.tabs, tab{definitionTab, &reading{t: s.d.Theme, text: s.definition}})
	if s.target.Built {
		s.tabs = append(s.tabs, tab{filesTab, &files{s: s}}, tab{softwareTab, newSoftware(s)}, tab{sizeTab, &sizes{s: s, seen: map[string]engine.Sizes{}}},
			tab{changesTab, newChanges(s)}, tab{trustTab, newTrust(s)})
	}
	s.Resize(s.w, s.h)
	for _, t := range s.tabs {
		if s.want != "" && strings.EqualFold(t.name, s.want) {
			return s.open(t.name)
		}
	}
	return s.open(overviewTab)
}

func (s *Screen) page() page {
	for _, t := range s.tabs {
		if t.name == s.tab {
			return t.page
		}
	}
	return nil
}

// open goes to a tab.
func (s *Screen) open(name string) tea.Cmd {
	s.tab = name
	if p := s.page(); p != nil {
		s.now = s.d.Now()
		return p.show()
	}
	return nil
}

// openFiles goes to the files, at a folder.
func (s *Screen) openFiles(dir string) tea.Cmd {
	s.tab = filesTab
	for _, t := range s.tabs {
		if p, ok := t.page.(*files); ok {
			p.open = false
			return p.enter(dir)
		}
	}
	return nil
}

// Typing tells whether letters belong to a page's words.
func (s *Screen) Typing() bool {
	p := s.page()
	return p != nil && p.typing()
}

// Pace is that of a spinner while something is read.
func (s *Screen) Pace() time.Duration {
	if p := s.page(); p != nil {
		if since, _ := p.waits(); !since.IsZero() {
			return screen.Spin
		}
	}
	return 0
}

// Key goes to the page first, then turns to another.
func (s *Screen) Key(k tea.KeyPressMsg) (tea.Cmd, bool) {
	p := s.page()
	if p == nil {
		return nil, false
	}
	if cmd, used := p.key(k); used {
		return cmd, true
	}
	switch k.String() {
	case "tab", "right", "l":
		return s.turn(1), true
	case "shift+tab", "left", "h":
		return s.turn(-1), true
	}
	return nil, false
}

func (s *Screen) turn(n int) tea.Cmd {
	for i, t := range s.tabs {
		if t.name == s.tab {
			return s.open(s.tabs[(i+n+len(s.tabs))%len(s.tabs)].name)
		}
	}
	return nil
}

// top is the number of lines above a page.
const top = 3

// Mouse turns to a tab, or goes to the page.
func (s *Screen) Mouse(m screen.Mouse) tea.Cmd {
	p := s.page()
	if p == nil {
		return nil
	}
	if m.Y >= top || m.Wheel != 0 {
		m.Y -= top
		m.H = max(0, m.H-top)
		return p.mouse(m)
	}
	if m.Y == 1 {
		for _, l := range s.labels(m.W) {
			if m.X >= l.x && m.X < l.x+len(l.name) {
				return s.open(l.name)
			}
		}
	}
	return nil
}

// Actions are what can be done here: with the page first, then with the image.
func (s *Screen) Actions() []screen.Action {
	p := s.page()
	if p == nil {
		return nil
	}
	own := p.actions()
	if p.typing() {
		return own
	}
	noDef := ""
	if s.def == "" {
		noDef = "it holds no definition"
	}
	start := screen.Do(screen.On("enter"), "start", "Start "+s.Title(), func() tea.Cmd { return screen.Ask(screen.OpenLaunch{Name: s.name}) })
	if len(own) > 0 {
		start.SetKeys("r")
		start.SetHelp("r", "start")
		start = start.Quietly()
	}
	acts := append(own, screen.Tell("tab", "next page"), start)
	def := []screen.Action{
		screen.Do(screen.On("y"), "copy definition", "Copy the definition", func() tea.Cmd {
			return screen.Ask(screen.Copy{Text: s.def, What: "the definition"})
		}).Unless(noDef),
		screen.Do(screen.On("w"), "save definition", "Save the definition to a file", func() tea.Cmd {
			return screen.Ask(screen.SaveText{Name: s.target.Name + ".def", Text: s.def})
		}).Unless(noDef),
	}
	if len(own) == 0 {
		acts = append(acts, def...)
	}
	share := ""
	if !s.target.Built {
		share = "it is not built yet"
	}
	acts = append(acts, screen.Do(screen.On("x"), "share", "Share "+s.Title(), func() tea.Cmd {
		return screen.Ask(screen.OpenShare{Name: s.name, Title: s.Title()})
	}).Unless(share))
	for _, t := range s.tabs {
		acts = append(acts, screen.Do(screen.On(""), "", "Look inside: "+t.name, func() tea.Cmd { return s.open(t.name) }).Quietly())
	}
	return append(acts, screen.Tell("↑ ↓ pgup pgdn", "move").Quietly())
}

// Resize tells the pages their size.
func (s *Screen) Resize(w, h int) {
	s.w, s.h = w, h
	for _, t := range s.tabs {
		t.page.resize(w, max(0, h-top))
	}
}

// label is a tab's name and where it stands.
type label struct {
	name string
	x    int
}

// labels lays the names out: as many as fit, the current one among them.
func (s *Screen) labels(w int) []label {
	gap := 4
	if w < 100 {
		gap = 3
	}
	if w < 80 {
		gap = 2
	}
	first := 0
	for {
		var out []label
		x, seen := 2, false
		if first > 0 {
			x = 4
		}
		for _, t := range s.tabs[first:] {
			if x+len(t.name)+2 > w {
				break
			}
			out = append(out, label{t.name, x})
			seen = seen || t.name == s.tab
			x += len(t.name) + gap
		}
		if seen || first >= len(s.tabs)-1 {
			return out
		}
		first++
	}
}

// View draws the tabs and the page.
func (s *Screen) View(w, h int) string {
	t := s.d.Theme
	p := s.page()
	if p == nil || s.err != nil {
		return widget.Box("", w, h)
	}
	line := ""
	labels := s.labels(w)
	if len(labels) > 0 && labels[0].name != s.tabs[0].name {
		line = "  " + t.Muted.Render(theme.Ellipsis)
	}
	for _, l := range labels {
		name := t.Muted.Render(l.name)
		if l.name == s.tab {
			name = t.Title.Underline(true).Render(l.name)
		}
		line = widget.Line(line, l.x) + name
	}
	if n := len(labels); n > 0 && labels[n-1].name != s.tabs[len(s.tabs)-1].name {
		line += t.Muted.Render(" " + theme.Ellipsis)
	}
	head := []string{"", line, ""}
	if since, what := p.waits(); !since.IsZero() && s.now.Sub(since) >= patience {
		head[2] = "  " + t.Accent.Render(t.Spinner(s.frame)) + t.Muted.Render(" "+what+" "+theme.Ellipsis+"  "+widget.Lasted(s.now.Sub(since)))
	}
	body := max(0, h-top)
	return widget.Box(widget.Stack(widget.Rows(head, w, min(top, h)), p.view(w, body)), w, h)
}

// patience is how long nothing is said of what is being read.
const patience = 200 * time.Millisecond
