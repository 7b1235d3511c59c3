// Package inspect looks inside an image that need not run: what it says of itself, and the definition it was built from.
package inspect

import (
	"path/filepath"
	"strconv"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"carrel/engine"
	"carrel/tui/screen"
	"carrel/tui/task"
	"carrel/tui/widget"
)

// Screen looks inside one image.
type Screen struct {
	screen.Base
	d     screen.Deps
	id    task.ID
	name  string
	title string

	known  bool
	target engine.Target
	info   engine.ImageInfo
	card   task.Card
	def    string
	defErr error
	err    error

	tab  int
	off  int
	now  time.Time
	w, h int
}

type readMsg struct {
	id     task.ID
	target engine.Target
	info   engine.ImageInfo
	card   task.Card
	def    string
	defErr error
	err    error
}

// The tabs.
const (
	tabOverview = iota
	tabDefinition
	tabCount
)

var tabNames = [tabCount]string{"Overview", "Definition"}

// New makes the screen.
func New(d screen.Deps, o screen.OpenInspect) *Screen {
	s := &Screen{d: d, id: task.NewID(), name: o.Name, title: o.Title, now: d.Now()}
	if o.Tab == "definition" {
		s.tab = tabDefinition
	}
	return s
}

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

// Init reads the image's head; nothing is unpacked or started.
func (s *Screen) Init() tea.Cmd {
	id, name, eng, life := s.id, s.name, s.d.Engine, s.d.Life
	return task.Call(func() (readMsg, error) {
		var m readMsg
		var err error
		if m.target, err = eng.Resolve(life, name); err != nil {
			return m, err
		}
		if m.target.Kind == engine.TargetImage {
			if text, c, err := task.Definition(m.target.Path); err == nil {
				m.def, m.card = text, c
				return m, nil
			}
		}
		if m.card, err = eng.Card(life, name); err != nil {
			return m, err
		}
		m.def, m.defErr = eng.Definition(life, name)
		images, err := eng.Images(life)
		for _, i := range images {
			if i.Path == m.target.Path {
				m.info = i
			}
		}
		return m, err
	}, func(m readMsg, err error) tea.Msg {
		m.id, m.err = id, err
		return m
	})
}

// Update takes the answer.
func (s *Screen) Update(msg tea.Msg) tea.Cmd {
	m, ok := msg.(readMsg)
	if !ok || m.id != s.id {
		return nil
	}
	s.known, s.target, s.info, s.card, s.def, s.defErr, s.err = true, m.target, m.info, m.card, m.def, m.defErr, m.err
	if m.err != nil {
		return tea.Sequence(screen.Ask(screen.Back{}), screen.Ask(screen.Failed{What: "Looking inside " + s.Title(), Err: m.err}))
	}
	return nil
}

// Key moves in the text and between tabs.
func (s *Screen) Key(k tea.KeyPressMsg) (tea.Cmd, bool) {
	page := max(1, s.h-6)
	switch k.String() {
	case "tab", "right", "l":
		s.turn(1)
	case "shift+tab", "left", "h":
		s.turn(-1)
	case "up", "k":
		s.scroll(-1)
	case "down", "j":
		s.scroll(1)
	case "pgup", "ctrl+b":
		s.scroll(-page)
	case "pgdown", "ctrl+f", "space":
		s.scroll(page)
	case "home", "g":
		s.off = 0
	case "end", "G":
		s.scroll(1 << 30)
	default:
		return nil, false
	}
	return nil, true
}

func (s *Screen) turn(n int) { s.tab, s.off = (s.tab+n+tabCount)%tabCount, 0 }

func (s *Screen) scroll(n int) {
	s.off = min(max(0, s.off+n), max(0, len(s.lines(max(0, s.w-6)))-max(1, s.h-top)))
}

// Mouse turns to a tab and scrolls.
func (s *Screen) Mouse(m screen.Mouse) tea.Cmd {
	if m.Wheel != 0 {
		s.scroll(m.Wheel * 3)
		return nil
	}
	if m.Y == 1 {
		x := 2
		for i, n := range tabNames {
			if m.X >= x && m.X < x+len(n) {
				s.tab, s.off = i, 0
			}
			x += len(n) + 4
		}
	}
	return nil
}

// Actions are what can be done with the image.
func (s *Screen) Actions() []screen.Action {
	noDef := ""
	if s.def == "" {
		noDef = "it holds no definition"
	}
	return []screen.Action{
		screen.Tell("tab", "next page"),
		screen.Do(screen.On("enter"), "start", "Start "+s.Title(), func() tea.Cmd { return screen.Ask(screen.OpenLaunch{Name: s.name}) }),
		screen.Do(screen.On("y"), "copy definition", "Copy the definition", func() tea.Cmd {
			return screen.Ask(screen.Copy{Text: s.def, What: "the definition"})
		}).Unless(noDef),
		screen.Do(screen.On("w"), "save definition", "Save the definition to a file", func() tea.Cmd {
			return screen.Ask(screen.SaveText{Name: s.target.Name + ".def", Text: s.def})
		}).Unless(noDef),
		screen.Tell("↑ ↓ pgup pgdn", "scroll").Quietly(),
	}
}

// top is the number of lines above the text.
const top = 3

// Resize remembers the size.
func (s *Screen) Resize(w, h int) {
	s.w, s.h = w, h
	if s.known {
		s.scroll(0)
	}
}

// View draws the tab.
func (s *Screen) View(w, h int) string {
	t := s.d.Theme
	if !s.known || s.err != nil {
		return widget.Box("", w, h)
	}
	line := "  "
	for i, n := range tabNames {
		if i == s.tab {
			line += t.Title.Underline(true).Render(n)
		} else {
			line += t.Muted.Render(n)
		}
		line += "    "
	}
	lines := s.lines(max(0, w-6))
	body := max(0, h-top)
	off := min(s.off, max(0, len(lines)-body))
	more := ""
	if len(lines) > body && body > 0 {
		more = t.Muted.Render(widget.Thousands(off+1) + "–" + widget.Thousands(min(len(lines), off+body)) + " of " + widget.Thousands(len(lines)) + "  ")
	}
	out := []string{"", widget.Spread(line, more, w), ""}
	for _, l := range lines[off:] {
		out = append(out, "  "+l)
	}
	return widget.Rows(out, w, h)
}

// lines are the text of the tab.
func (s *Screen) lines(w int) []string {
	if !s.known || w <= 0 {
		return nil
	}
	if s.tab == tabDefinition {
		return s.definition(w)
	}
	return s.overview(w)
}

func (s *Screen) definition(w int) []string {
	t := s.d.Theme
	if s.def == "" {
		why := "This image holds no definition. It was made by another program, or from a registry."
		if s.defErr != nil {
			why += " (" + widget.Clean(s.defErr.Error()) + ")"
		}
		var out []string
		for _, l := range widget.Wrap(why, min(w, 80)) {
			out = append(out, t.Muted.Render(l))
		}
		return out
	}
	return screen.ColorDefinition(t, s.def)
}

func (s *Screen) overview(w int) []string {
	t, c := s.d.Theme, s.card
	w = min(w, 96)
	out := []string{t.Strong.Render(s.Title())}
	for _, l := range widget.Wrap(widget.Clean(c.Description), w) {
		out = append(out, t.Muted.Render(l))
	}
	group := func(title string, pairs ...[2]string) {
		if f := widget.Facts(t, max(1, w-2), pairs...); len(f) > 0 {
			out = append(out, "", t.Title.Render(title))
			out = append(out, widget.Indent(f, 2)...)
		}
	}
	var ports, binds, args [][2]string
	for _, p := range c.Ports {
		ports = append(ports, [2]string{"port " + strconv.Itoa(p.Container), orDash(widget.Clean(p.Text), p.Proto)})
	}
	for _, b := range c.Binds {
		mode := "read and change"
		if b.Mode == task.BindReadOnly {
			mode = "only read"
		}
		if b.Required {
			mode += ", required"
		}
		binds = append(binds, [2]string{widget.Clean(b.Dest), orDash(widget.Clean(b.Text), "a folder") + " (" + mode + ")"})
	}
	for _, a := range c.Args {
		args = append(args, [2]string{widget.Clean(a.Name), orDash(widget.Clean(a.Text), "") + choices(a)})
	}
	for _, v := range c.Env {
		args = append(args, [2]string{widget.Clean(v.Name), orDash(widget.Clean(v.Text), "a variable")})
	}
	group("What it serves", ports...)
	group("Folders it works in", binds...)
	group("What it can be told", args...)
	state := ""
	if s.target.Kind == engine.TargetCatalog {
		state = "not built here yet"
		if s.target.Built {
			state = "built here"
		}
	}
	size, made := "", ""
	if s.info.Path != "" {
		size, made = widget.Bytes(s.info.Size), widget.Ago(s.info.ModTime, s.now)
	}
	group("The image",
		[2]string{"file", widget.Clean(widget.Tilde(s.target.Path, s.d.Home))},
		[2]string{"state", state},
		[2]string{"size", size}, [2]string{"made", made},
		[2]string{"kind", s.info.Kind}, [2]string{"processor", s.info.Arch}, [2]string{"problem", widget.Clean(s.info.Problem)},
	)
	group("Who made it",
		[2]string{"authors", widget.Clean(c.Authors)}, [2]string{"cite", widget.Clean(c.Cite)}, [2]string{"version", widget.Clean(c.Version)},
		[2]string{"licence", widget.Clean(c.Licenses)}, [2]string{"page", widget.Clean(c.URL)}, [2]string{"source", widget.Clean(c.Source)},
		[2]string{"manual", widget.Clean(c.Documentation)}, [2]string{"keywords", widget.Clean(strings.Join(c.Keywords, ", "))},
	)
	if c.Example != "" {
		out = append(out, "", t.Title.Render("Example"), "  "+t.Command.Render(widget.Clean(c.Example)))
	}
	return out
}

func choices(a task.CardArg) string {
	if len(a.Choices) == 0 {
		return ""
	}
	return " (" + widget.Clean(strings.Join(a.Choices, ", ")) + ")"
}

func orDash(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
