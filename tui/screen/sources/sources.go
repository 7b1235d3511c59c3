// Package sources is the screen of where the apps of the catalog come from: built in, folders, repositories and other
// addresses, which are added, brought up to date and removed here.
package sources

import (
	"context"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"

	"carrel/tui/screen"
	"carrel/tui/task"
	"carrel/tui/theme"
	"carrel/tui/widget"
)

// Screen is the list.
type Screen struct {
	screen.Base
	d     screen.Deps
	id    task.ID
	every []task.Source
	all   []task.Source // those of every that fit the words
	find  screen.Finder
	known bool
	err   error
	list  widget.List
	doing string // what is being fetched; empty: nothing
	stop  context.CancelFunc
	frame int
}

type (
	readMsg struct {
		id  task.ID
		all []task.Source
		err error
	}
	doneMsg struct {
		id   task.ID
		what string
		said string
		err  error
	}
)

// New makes the screen.
func New(d screen.Deps) *Screen { return &Screen{d: d, id: task.NewID()} }

// Title is the screen's place in the line at the top.
func (s *Screen) Title() string { return "Sources" }

// Init reads the list.
func (s *Screen) Init() tea.Cmd {
	id, cat, life := s.id, s.d.Catalog, s.d.Life
	return task.Call(func() ([]task.Source, error) { return cat.Sources(life) },
		func(all []task.Source, err error) tea.Msg { return readMsg{id, all, err} })
}

// Close ends what is being fetched.
func (s *Screen) Close() {
	if s.stop != nil {
		s.stop()
	}
}

// Pace is that of a spinner while something is fetched.
func (s *Screen) Pace() time.Duration {
	if s.doing != "" {
		return screen.Spin
	}
	return 0
}

// Update takes answers.
func (s *Screen) Update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case screen.Tick:
		s.frame = msg.Frame
	case readMsg:
		if msg.id != s.id {
			return nil
		}
		s.known, s.err = true, msg.err
		if msg.err == nil {
			s.every = msg.all
		}
		s.fill()
	case doneMsg:
		if msg.id != s.id {
			return nil
		}
		s.doing = ""
		if s.stop != nil {
			s.stop()
			s.stop = nil
		}
		if msg.err != nil {
			return tea.Batch(s.Init(), screen.Ask(screen.Failed{What: msg.what, Err: msg.err}))
		}
		return tea.Batch(s.Init(), screen.Ask(screen.CatalogChanged{}), screen.Ask(screen.Flash{Tone: widget.Good, Text: msg.said}))
	}
	return nil
}

// fill lists what fits the words.
func (s *Screen) fill() {
	s.all = nil
	var items []widget.Item
	for _, a := range s.every {
		if s.find.Fits(a.Name + " " + a.Address + " " + a.Kind) {
			s.all = append(s.all, a)
			items = append(items, widget.Item{ID: a.Kind + " " + a.Name})
		}
	}
	s.list.SetItems(items)
}

// work does something that may take a while; Esc leaves it, ctrl+x ends it.
func (s *Screen) work(doing, what string, f func(context.Context) (string, error)) tea.Cmd {
	ctx, cancel := context.WithCancel(s.d.Life)
	s.doing, s.stop = doing, cancel
	id := s.id
	return task.Call(func() (string, error) { return f(ctx) },
		func(said string, err error) tea.Msg { return doneMsg{id: id, what: what, said: said, err: err} })
}

func (s *Screen) selected() *task.Source {
	if i := s.list.Cursor(); i >= 0 && i < len(s.all) {
		return &s.all[i]
	}
	return nil
}

// Typing tells whether the words to find a source by are typed.
func (s *Screen) Typing() bool { return s.find.Typing }

// Key moves, and types what is looked for.
func (s *Screen) Key(k tea.KeyPressMsg) (tea.Cmd, bool) {
	if used, changed := s.find.Key(k, &s.list); used {
		if changed {
			s.fill()
			s.list.Top()
		}
		return nil, true
	}
	return nil, s.list.Key(k.String())
}

// Mouse chooses a row.
func (s *Screen) Mouse(m screen.Mouse) tea.Cmd {
	if m.Wheel != 0 {
		s.list.Move(m.Wheel)
	} else if m.Y >= top {
		s.list.SelectAt(m.Y-top, listH(m.H))
	}
	return nil
}

// top is the number of lines above the list, under that of what stands below it.
const (
	top   = 3
	under = 5
)

func listH(h int) int {
	if h < top+under+3 {
		return max(0, h-top)
	}
	return h - top - under
}

// Resize tells the list its height.
func (s *Screen) Resize(_, h int) { s.list.Resize(max(1, listH(h))) }

var table = widget.Table{Gap: 2, Columns: []widget.Column{
	{Min: 16, Max: 28, Flex: 2}, {Min: 8, Drop: 2}, {Min: 8, Right: true}, {Min: 20, Flex: 4, Drop: 3}, {Min: 12, Drop: 1},
}}

// View draws the list.
func (s *Screen) View(w, h int) string {
	t := s.d.Theme
	say := t.Muted.Render("Where the apps of the catalog come from.")
	switch {
	case s.err != nil:
		say = t.Bad.Render("The sources cannot be read: " + widget.Clean(s.err.Error()))
	case s.doing != "":
		say = t.Accent.Render(t.Spinner(s.frame)) + t.Strong.Render(" "+s.doing+" "+theme.Ellipsis) + t.Muted.Render("   ctrl+x ends it")
	}
	line := ""
	if s.find.Typing || s.find.Text.Value() != "" {
		line = s.find.Line(t, w, "part of a name", "")
	}
	out := widget.Rows([]string{"", "  " + widget.Cut(say, max(0, w-4)), line}, w, min(top, h))
	lh := listH(h)
	if lh > 0 {
		out = widget.Stack(out, s.list.View(t, w, lh, s.line))
	}
	if rest := h - top - lh; rest > 0 {
		out = widget.Stack(out, widget.Rows(append([]string{"  " + widget.RuleLine(t, max(0, w-4), "")}, widget.Indent(s.brief(max(0, w-4)), 2)...), w, rest))
	}
	return widget.Box(out, w, h)
}

func (s *Screen) line(i int, selected bool, w int) string {
	t, a := s.d.Theme, s.all[i]
	name := t.Text.Render(widget.Clean(a.Name))
	if selected {
		name = t.Strong.Render(widget.Clean(a.Name))
	}
	state := ""
	switch {
	case a.Problem != "":
		state = t.Warn.Render(theme.Note + " faulty")
	case !a.Updated.IsZero():
		state = t.Muted.Render(widget.Ago(a.Updated, s.d.Now()))
	}
	return widget.Marker(t, selected) + "  " + table.Row(max(0, w-5), name, t.Muted.Render(widget.Clean(a.Kind)), widget.Count(a.Apps, "app", "apps"),
		address(t.Muted, a.Address, s.d.Home, 60), state)
}

// address draws where a source is, in at most w cells, as a link.
func address(style lipgloss.Style, at, home string, w int) string {
	if strings.HasPrefix(at, "/") {
		return widget.PathLink(style, at, home, w)
	}
	shown := widget.CutMiddle(widget.Clean(at), w)
	if !strings.HasPrefix(at, "https://") && !strings.HasPrefix(at, "http://") {
		return style.Render(shown)
	}
	return widget.Link(style, at, shown)
}

// brief is what to know about the selected source.
func (s *Screen) brief(w int) []string {
	t, a := s.d.Theme, s.selected()
	if a == nil {
		return nil
	}
	out := []string{t.Strong.Render(widget.Cut(widget.Clean(a.Name), w))}
	if a.Address != "" {
		out = append(out, address(t.Muted, a.Address, s.d.Home, w))
	}
	if l := short(a.Commit); l != "" {
		out = append(out, t.Muted.Render(widget.CutMiddle(widget.Clean(l), w)))
	}
	switch {
	case a.Problem != "":
		out = append(out, t.Warn.Render(widget.Cut(widget.Clean(a.Problem), w)))
	case a.Kind == "built-in":
		out = append(out, t.Muted.Render("Part of Carrel; newer with a newer Carrel."))
	case !a.Added:
		out = append(out, t.Muted.Render("Named in your settings, and read as it is."))
	}
	return out
}

func short(commit string) string {
	if commit == "" {
		return ""
	}
	return "at " + commit[:min(12, len(commit))]
}

// Actions are what can be done.
func (s *Screen) Actions() []screen.Action {
	if s.find.Typing {
		return screen.Finding()
	}
	busy, id, name, own := "", "", "", "nothing is selected"
	if s.doing != "" {
		busy = "something is being fetched"
	}
	if a := s.selected(); a != nil {
		id, name, own = a.Name, widget.Clean(a.Name), ""
		switch {
		case a.Kind == "built-in":
			own = "it is part of Carrel"
		case !a.Added:
			own = "it is named in your settings; take it out there"
		}
	}
	if busy != "" {
		own = busy
	}
	acts := []screen.Action{
		screen.Do(screen.On("a"), "add", "Add a source of apps", s.add).Unless(busy),
		screen.Do(screen.On("u", "enter"), "update", "Bring "+name+" up to date", func() tea.Cmd { return s.update(id) }).Unless(own),
		screen.Do(screen.On("d"), "remove", "Remove the source "+name, func() tea.Cmd { return s.remove(id) }).Unless(own),
		screen.Do(screen.On("/"), "find", "Find a source by its name", func() tea.Cmd { s.find.Typing = true; return nil }).Quietly(),
		screen.Do(screen.On("R"), "read again", "Read the sources again", s.Init).Quietly(),
	}
	if s.doing != "" {
		acts = append([]screen.Action{screen.Do(screen.On("ctrl+x"), "end it", "End what is being fetched", func() tea.Cmd { s.Close(); return nil })}, acts...)
	}
	return acts
}

func (s *Screen) add() tea.Cmd {
	cat := s.d.Catalog
	return screen.Ask(screen.AskText{
		Title: "Add a source of apps", Files: true, Hint: "https://github.com/lab/recipes",
		Help: "A folder of definition files; a git repository, with #BRANCH or @COMMIT to follow or pin that; a packed folder (.tar.gz); or an index.",
		Answer: func(address string) tea.Cmd {
			return s.work("Fetching "+widget.Clean(address), "Adding "+address, func(ctx context.Context) (string, error) {
				a, err := cat.AddSource(ctx, address)
				return a.Name + " was added.", err
			})
		},
	})
}

func (s *Screen) update(name string) tea.Cmd {
	cat := s.d.Catalog
	return s.work("Fetching what is new of "+widget.Clean(name), "Updating "+name, func(ctx context.Context) (string, error) { return cat.UpdateSource(ctx, name) })
}

func (s *Screen) remove(name string) tea.Cmd {
	cat := s.d.Catalog
	d := widget.Confirm("Remove the source "+widget.Clean(name)+"?", []string{"Its apps go from the catalog, and the copy of its definition files is deleted. Images built from it stay, and so does a folder of yours."}, "Remove it", "Keep it")
	return screen.Ask(screen.Confirm{Dialog: d, Answer: func(answer string) tea.Cmd {
		if answer != "yes" {
			return nil
		}
		return s.work("Removing "+widget.Clean(name), "Removing "+name, func(ctx context.Context) (string, error) {
			return name + " was removed.", cat.RemoveSource(ctx, name)
		})
	}})
}
