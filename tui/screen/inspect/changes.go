package inspect

import (
	"errors"
	"fmt"
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

// changes is the tab of what was changed in the image since it was built; it compares it with another one, too.
type changes struct {
	listing
	s     *Screen
	with  string // the image it is compared with; empty: itself, as it was built
	kept  int    // how many times changes were kept in it since
	err   error  // why it cannot be compared with itself
	diff  engine.Difference
	known bool
	asked time.Time
	shown []change
}

func newChanges(s *Screen) *changes {
	p := &changes{s: s}
	p.fill = p.narrow
	return p
}

// change is one line: of software or of a file.
type change struct {
	kind string // added, removed, changed
	name string
	note string
	pkg  bool
}

type diffMsg struct {
	id   task.ID
	with string
	diff engine.Changes
	err  error
}

// show compares the image with itself as it was built, when it is seen for the first time.
func (p *changes) show() tea.Cmd {
	if p.known || p.err != nil || !p.asked.IsZero() {
		return nil
	}
	return p.own()
}

// own asks what was changed since the image was built.
func (p *changes) own() tea.Cmd {
	p.with, p.asked = "", p.s.d.Now()
	id, eng, ctx, name := p.s.id, p.s.d.Engine, p.s.life, p.s.name
	return task.Call(func() (engine.Changes, error) { return eng.Changes(ctx, name) },
		func(d engine.Changes, err error) tea.Msg { return diffMsg{id, "", d, err} })
}

func (p *changes) waits() (time.Time, string) {
	if p.with == "" {
		return p.asked, "Looking for what was changed"
	}
	return p.asked, "Comparing with " + widget.Clean(filepath.Base(p.with))
}

// compare asks for the other image.
func (p *changes) compare() tea.Cmd {
	return screen.Ask(screen.AskText{
		Title: "Compare with an earlier image", Help: "An image file, or the name of an app. What is listed then is what changed from that one to this.",
		Hint: "~/Downloads/before.sif", Files: true,
		Answer: func(with string) tea.Cmd {
			p.with, p.asked = with, p.s.d.Now()
			id, eng, ctx, name := p.s.id, p.s.d.Engine, p.s.life, p.s.name
			return task.Call(func() (engine.Difference, error) { return eng.Diff(ctx, with, name) },
				func(d engine.Difference, err error) tea.Msg {
					return diffMsg{id, with, engine.Changes{Difference: d}, err}
				})
		},
	})
}

func (p *changes) update(msg tea.Msg) tea.Cmd {
	switch m := msg.(type) {
	case diffMsg:
		if m.with != p.with {
			return nil
		}
		p.asked = time.Time{}
		if m.err != nil && m.with == "" {
			p.err = m.err
			return nil
		}
		if m.err != nil {
			return screen.Ask(screen.Failed{What: "Comparing with " + filepath.Base(m.with), Err: m.err})
		}
		p.known, p.err, p.diff, p.kept, p.find = true, nil, m.diff.Difference, m.diff.Layers, screen.Finder{}
		p.fill()
		p.list.Top()
		if err := m.diff.Unread.Err(); err != nil {
			return screen.Ask(screen.Failed{What: "Comparing all of it", Err: err})
		}
	case tea.PasteMsg:
		p.paste(m)
	}
	return nil
}

// narrow lists what fits the words: software first, then files.
func (p *changes) narrow() {
	p.shown = p.shown[:0]
	add := func(c change) {
		if p.find.Fits(c.name + " " + c.kind) {
			p.shown = append(p.shown, c)
		}
	}
	for _, x := range p.diff.Packages {
		c := change{name: widget.Clean(x.Name), pkg: true}
		switch {
		case x.Old == "":
			c.kind, c.note = "added", widget.Clean(x.New)
		case x.New == "":
			c.kind, c.note = "removed", widget.Clean(x.Old)
		default:
			c.kind, c.note = "changed", widget.Clean(x.Old)+" "+theme.Arrow+" "+widget.Clean(x.New)
		}
		c.note += "  " + manager(x.Manager)
		add(c)
	}
	for _, x := range p.diff.Files {
		c := change{kind: x.Kind, name: widget.Clean(x.Path)}
		switch {
		case x.Kind == "changed":
			c.note = strings.Join(x.What, ", ")
			if x.OldSize != x.NewSize {
				c.note += "  " + widget.Bytes(x.OldSize) + " " + theme.Arrow + " " + widget.Bytes(x.NewSize)
			}
		case x.Files > 0:
			c.name += "/"
			c.note = widget.Count(int(x.Files), "file", "files") + ", " + widget.Bytes(max(x.OldSize, x.NewSize))
		default:
			c.note = widget.Bytes(max(x.OldSize, x.NewSize))
		}
		add(c)
	}
	items := make([]widget.Item, len(p.shown))
	for i, c := range p.shown {
		items[i] = widget.Item{ID: fmt.Sprint(c.pkg, c.name)}
	}
	p.list.SetItems(items)
}

func (p *changes) key(k tea.KeyPressMsg) (tea.Cmd, bool) {
	if !p.known {
		return nil, false
	}
	return p.listing.key(k)
}

func (p *changes) actions() []screen.Action {
	if p.find.Typing {
		return screen.Finding()
	}
	none, busy := "", ""
	if len(p.shown) == 0 {
		none = "nothing is listed"
	}
	if !p.asked.IsZero() {
		busy = "a comparison is being made"
	}
	acts := []screen.Action{
		screen.Do(screen.On("c"), "compare with", "Compare with another image", p.compare).Unless(busy),
		p.finding("Find a change", none),
	}
	if p.with != "" {
		acts = append(acts, screen.Do(screen.On("b"), "since it was built", "Show what was changed since it was built", p.own).Unless(busy))
	}
	return acts
}

func (p *changes) view(w, h int) string {
	t := p.s.d.Theme
	other := "  " + t.Accent.Render("c") + t.Muted.Render("  compares it with another image")
	switch _, folder := errors.AsType[*engine.NoRecordError](p.err); {
	case folder && !p.known:
		return widget.Rows(append(sentence(t, w, "This image is a folder: it keeps no record of what was changed in it since it was built."), "", other), w, h)
	case p.err != nil && !p.known:
		return widget.Rows(append(sentence(t, w, "What was changed cannot be found out: "+widget.Sentence(p.err.Error())), "", other), w, h)
	case !p.known:
		return widget.Rows(nil, w, h)
	case p.with == "" && p.kept == 0:
		return widget.Rows(append(sentence(t, w, "Nothing was changed in it since it was built. An app changes its image only where it is started to keep changes."), "", other), w, h)
	}
	added, removed, changed := 0, 0, 0
	for _, c := range p.shown {
		switch c.kind {
		case "added":
			added++
		case "removed":
			removed++
		default:
			changed++
		}
	}
	sums := fmt.Sprintf("+%s  -%s  ~%s", widget.Thousands(added), widget.Thousands(removed), widget.Thousands(changed))
	say := "Nothing differs."
	if p.find.Text.Value() != "" {
		say = "No change fits these words."
	}
	since := "since it was built"
	if p.with != "" {
		since = "since " + widget.Clean(filepath.Base(p.with))
	}
	return p.draw(t, w, h, since, sums, say, func(i int, selected bool, w int) string {
		c := p.shown[i]
		sign := t.Warn.Render("~")
		switch c.kind {
		case "added":
			sign = t.OK.Render("+")
		case "removed":
			sign = t.Bad.Render("-")
		}
		style := t.Text
		if selected {
			style = t.Title
		}
		name := c.name
		if !c.pkg {
			name = widget.CutMiddle(name, max(0, w-8-min(widget.Width(c.note), w/2)))
		}
		return widget.Marker(t, selected) + sign + " " + widget.Spread(style.Render(name), t.Muted.Render(widget.Cut(c.note, w/2))+" ", max(0, w-4))
	})
}
