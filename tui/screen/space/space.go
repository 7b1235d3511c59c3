// Package space is the screen of what takes room on the disk and can be deleted: images, the largest first, and what was
// fetched or made along the way and can be had again.
package space

import (
	"context"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"carrel/engine"
	"carrel/tui/screen"
	"carrel/tui/task"
	"carrel/tui/theme"
	"carrel/tui/widget"
)

// Screen is that list.
type Screen struct {
	screen.Base
	d     screen.Deps
	id    task.ID
	rows  []row
	list  widget.List
	find  screen.Finder
	last  readMsg
	free  int64
	dir   string
	known bool
	err   error
	busy  bool
}

type row struct {
	heading string
	image   *engine.ImageInfo
	cache   *engine.CacheUse
}

type (
	readMsg struct {
		id     task.ID
		images []engine.ImageInfo
		cache  []engine.CacheUse
		free   int64
		dir    string
		err    error
	}
	freedMsg struct {
		id   task.ID
		said string
		err  error
	}
)

// New makes the screen.
func New(d screen.Deps) *Screen { return &Screen{d: d, id: task.NewID()} }

// Title is the screen's place in the line at the top.
func (s *Screen) Title() string { return "Free disk space" }

// Init reads what there is.
func (s *Screen) Init() tea.Cmd {
	id, eng, life := s.id, s.d.Engine, s.d.Life
	return task.Call(func() (readMsg, error) {
		m := readMsg{id: id}
		var err error
		m.free, m.dir = eng.FreeSpace()
		if m.images, err = eng.Images(life); err != nil {
			return m, err
		}
		m.cache, err = eng.Cache(life)
		return m, err
	}, func(m readMsg, err error) tea.Msg { m.id, m.err = id, err; return m })
}

// Update takes answers.
func (s *Screen) Update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case readMsg:
		if msg.id == s.id {
			s.known, s.err, s.free, s.dir = true, msg.err, msg.free, msg.dir
			s.last = msg
			s.fill(msg)
		}
	case freedMsg:
		if msg.id != s.id {
			return nil
		}
		s.busy = false
		if msg.err != nil {
			return screen.Ask(screen.Failed{What: "Freeing space", Err: msg.err})
		}
		return tea.Batch(s.Init(), screen.Ask(screen.ImagesChanged{}), screen.Ask(screen.Flash{Tone: widget.Good, Text: msg.said}))
	}
	return nil
}

// words are what the kinds of the cache are for a person.
var words = map[string]string{
	"downloads": "Downloads", "bases": "Base systems", "layers": "Steps of builds", "failed": "Failed builds that can be gone on with", "debian": "Lists and packages of Debian", "oci": "Layers of container images",
	"hot": "Unpacked copies of images",
}

func (s *Screen) fill(m readMsg) {
	s.rows = nil
	slices.SortStableFunc(m.images, func(a, b engine.ImageInfo) int { return int(min(1, max(-1, b.Size-a.Size))) })
	for i := range m.images {
		if !s.find.Fits(m.images[i].Name + " " + m.images[i].Title) {
			continue
		}
		if len(s.rows) == 0 {
			s.rows = append(s.rows, row{heading: "IMAGES, THE LARGEST FIRST"})
		}
		s.rows = append(s.rows, row{image: &m.images[i]})
	}
	head := false
	for i := range m.cache {
		if m.cache[i].Size == 0 || !s.find.Fits(m.cache[i].Kind+" "+words[m.cache[i].Kind]) {
			continue
		}
		if !head {
			head = true
			if len(s.rows) > 0 {
				s.rows = append(s.rows, row{})
			}
			s.rows = append(s.rows, row{heading: "CAN BE FETCHED OR MADE AGAIN"})
		}
		s.rows = append(s.rows, row{cache: &m.cache[i]})
	}
	items := make([]widget.Item, len(s.rows))
	for i, r := range s.rows {
		id := ""
		switch {
		case r.image != nil:
			id = "image:" + r.image.Path
		case r.cache != nil:
			id = "cache:" + r.cache.Kind
		}
		items[i] = widget.Item{ID: id, Fixed: id == ""}
	}
	s.list.SetItems(items)
}

// Typing tells whether the words to find something by are typed.
func (s *Screen) Typing() bool { return s.find.Typing }

// Key moves, and types what is looked for.
func (s *Screen) Key(k tea.KeyPressMsg) (tea.Cmd, bool) {
	if used, changed := s.find.Key(k, &s.list); used {
		if changed {
			s.fill(s.last)
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
		s.list.SelectAt(m.Y-top, max(0, m.H-top))
	}
	return nil
}

// top is the number of lines above the list.
const top = 3

// Resize tells the list its height.
func (s *Screen) Resize(_, h int) { s.list.Resize(max(1, h-top)) }

var table = widget.Table{Gap: 2, Columns: []widget.Column{{Min: 18, Flex: 3}, {Min: 9, Right: true}, {Min: 16, Flex: 1, Drop: 1}}}

// View draws the list.
func (s *Screen) View(w, h int) string {
	t := s.d.Theme
	say := ""
	switch {
	case s.err != nil:
		say = t.Bad.Render("It cannot be listed: " + widget.Clean(s.err.Error()))
	case s.known:
		say = t.Strong.Render(widget.Bytes(s.free)+" free") + t.Muted.Render("  in ") + widget.PathLink(t.Muted, s.dir, s.d.Home, max(8, w-24))
	}
	line := ""
	if s.find.Typing || s.find.Text.Value() != "" {
		line = s.find.Line(t, w, "part of a name", "")
	}
	head := widget.Rows([]string{"", "  " + say, line}, w, min(top, h))
	if h <= top {
		return widget.Box(head, w, h)
	}
	body := s.list.View(t, w, h-top, func(i int, selected bool, w int) string {
		r := s.rows[i]
		mark := widget.Marker(t, selected)
		name := func(text string) string {
			if selected {
				return t.Strong.Render(widget.Clean(text))
			}
			return t.Text.Render(widget.Clean(text))
		}
		switch {
		case r.image != nil:
			note := "not yet run"
			switch {
			case len(r.image.UsedByID) > 0:
				note = theme.Dot + " runs now"
			case !r.image.LastRun.IsZero():
				note = "run " + widget.Ago(r.image.LastRun, s.d.Now())
			}
			return mark + "  " + table.Row(max(0, w-5), name(r.image.Name), widget.Bytes(r.image.Size), t.Muted.Render(widget.Clean(note)))
		case r.cache != nil:
			text := words[r.cache.Kind]
			if text == "" {
				text = strings.ToUpper(r.cache.Kind[:1]) + r.cache.Kind[1:]
			}
			return mark + "  " + table.Row(max(0, w-5), name(text), widget.Bytes(r.cache.Size), t.Muted.Render(widget.Count(len(r.cache.Items), "item", "items")))
		}
		return "  " + t.Title.Render(r.heading)
	})
	if s.known && len(s.rows) == 0 && s.err == nil {
		none := "There is nothing here to delete."
		if s.find.Text.Value() != "" {
			none = "Nothing fits these words; esc shows all."
		}
		body = widget.Rows([]string{"    " + t.Text.Render(none)}, w, h-top)
	}
	return widget.Box(widget.Stack(head, body), w, h)
}

// Actions are what can be done with a row.
func (s *Screen) Actions() []screen.Action {
	if s.find.Typing {
		return screen.Finding()
	}
	why, what := "nothing is selected", ""
	var do func() tea.Cmd
	if i := s.list.Cursor(); i >= 0 && i < len(s.rows) {
		switch r := s.rows[i]; {
		case r.image != nil:
			what, why, do = "Delete "+widget.Clean(r.image.Name), "", func() tea.Cmd { return s.remove(r.image) }
			if len(r.image.UsedByID) > 0 {
				why = widget.Clean(strings.Join(r.image.UsedByID, ", ")) + " runs from it"
			}
		case r.cache != nil:
			what, why, do = "Empty this part of the cache", "", func() tea.Cmd { return s.prune(r.cache) }
		}
	}
	if s.busy {
		why = "something is being deleted"
	}
	return []screen.Action{
		screen.Do(screen.On("d", "enter"), "delete", what, func() tea.Cmd {
			if do == nil {
				return nil
			}
			return do()
		}).Unless(why),
		screen.Do(screen.On("/"), "find", "Find something by its name", func() tea.Cmd { s.find.Typing = true; return nil }),
		screen.Tell("↑↓", "choose"),
		screen.Do(screen.On("R"), "look again", "Look again", s.Init).Quietly(),
	}
}

func (s *Screen) remove(m *engine.ImageInfo) tea.Cmd {
	path, name, size := m.Path, widget.Clean(m.Name), widget.Bytes(m.Size)
	body := []string{"The file " + widget.Clean(widget.Tilde(path, s.d.Home)) + " (" + size + ") is deleted from this computer. This cannot be undone."}
	if m.Catalog != "" {
		body = append(body, "It can be built again from the catalog ("+widget.Clean(m.Catalog)+").")
	}
	return s.confirm("Delete "+name+"?", body, func(ctx context.Context) (string, error) {
		return name + " was deleted, " + size + " are free again.", s.d.Engine.RemoveImage(ctx, path)
	})
}

func (s *Screen) prune(c *engine.CacheUse) tea.Cmd {
	kind := c.Kind
	return s.confirm("Delete "+widget.Count(len(c.Items), "item", "items")+" of the cache?", []string{
		widget.Bytes(c.Size) + " are freed. Whatever needs it fetches or makes it again; your images stay as they are.",
	}, func(ctx context.Context) (string, error) {
		p, err := s.d.Engine.Prune(ctx, kind)
		return widget.Bytes(p.Size) + " are free again.", err
	})
}

func (s *Screen) confirm(title string, body []string, do func(context.Context) (string, error)) tea.Cmd {
	id, life := s.id, s.d.Life
	return screen.Ask(screen.Confirm{Dialog: widget.Confirm(title, body, "Delete", "Keep"), Answer: func(answer string) tea.Cmd {
		if answer != "yes" {
			return nil
		}
		s.busy = true
		return task.Call(func() (string, error) { return do(context.WithoutCancel(life)) },
			func(said string, err error) tea.Msg { return freedMsg{id, said, err} })
	}})
}
