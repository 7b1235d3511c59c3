package inspect

import (
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

// changes is the tab that compares the image with another one, an earlier copy of it as a rule.
type changes struct {
	listing
	s     *Screen
	with  string // the image it is compared with
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
	diff engine.Difference
	err  error
}

func (p *changes) show() tea.Cmd { return nil }

func (p *changes) waits() (time.Time, string) {
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
				func(d engine.Difference, err error) tea.Msg { return diffMsg{id, with, d, err} })
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
		if m.err != nil {
			return screen.Ask(screen.Failed{What: "Comparing with " + filepath.Base(m.with), Err: m.err})
		}
		p.known, p.diff, p.find = true, m.diff, finder{}
		p.fill()
		p.list.Top()
	case tea.PasteMsg:
		p.paste(m)
	}
	return nil
}

// narrow lists what fits the words: software first, then files.
func (p *changes) narrow() {
	p.shown = p.shown[:0]
	add := func(c change) {
		if p.find.fits(c.name + " " + c.kind) {
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
	if p.find.typing {
		return finding()
	}
	none, busy := "", ""
	if len(p.shown) == 0 {
		none = "nothing is listed"
	}
	if !p.asked.IsZero() {
		busy = "a comparison is being made"
	}
	return []screen.Action{
		screen.Do(screen.On("c"), "compare with", "Compare with another image", p.compare).Unless(busy),
		p.finding("Find a change", none),
	}
}

func (p *changes) view(w, h int) string {
	t := p.s.d.Theme
	if !p.known {
		lines := sentence(t, w, "What differs between this image and another one, in files and in installed software: an earlier version of it, or the copy a colleague has.")
		lines = append(lines, "", "  "+t.Accent.Render("c")+t.Muted.Render("  choose the image to compare with"))
		return widget.Rows(lines, w, h)
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
	if p.find.text.Value() != "" {
		say = "No change fits these words."
	}
	return p.draw(t, w, h, "since "+widget.Clean(filepath.Base(p.with)), sums, say, func(i int, selected bool, w int) string {
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
