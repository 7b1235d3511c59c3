package inspect

import (
	"fmt"
	"path"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"carrel/engine"
	"carrel/tui/screen"
	"carrel/tui/task"
	"carrel/tui/theme"
	"carrel/tui/widget"
)

// sizes is the tab that says what takes the space.
type sizes struct {
	s     *Screen
	seen  map[string]engine.Sizes // by folder: each is added up once
	at    string                  // that is shown
	dir   string                  // that is wanted
	list  widget.List
	from  string
	err   error
	asked time.Time
}

type sizesMsg struct {
	id   task.ID
	dir  string
	size engine.Sizes
	err  error
}

func (p *sizes) show() tea.Cmd {
	if p.at != "" || p.err != nil || !p.asked.IsZero() {
		return nil
	}
	return p.enter("/")
}

func (p *sizes) enter(dir string) tea.Cmd {
	p.dir = dir
	if _, ok := p.seen[dir]; ok {
		p.arrive()
		return nil
	}
	p.asked = p.s.d.Now()
	id, look, ctx, name := p.s.id, p.s.d.Engine, p.s.life, p.s.name
	return task.Call(func() (engine.Sizes, error) { return look.Sizes(ctx, name, dir) },
		func(z engine.Sizes, err error) tea.Msg { return sizesMsg{id, dir, z, err} })
}

func (p *sizes) waits() (time.Time, string) { return p.asked, "Adding up " + widget.Clean(p.dir) }

func (p *sizes) update(msg tea.Msg) tea.Cmd {
	m, ok := msg.(sizesMsg)
	if !ok || m.dir != p.dir {
		return nil
	}
	p.asked = time.Time{}
	switch {
	case m.err == nil:
		p.seen[m.dir] = m.size
		p.arrive()
	case p.at != "":
		p.dir = p.at
		return screen.Ask(screen.Failed{What: "Adding up " + m.dir, Err: m.err})
	default:
		p.err = m.err
	}
	return nil
}

// arrive shows the folder that is wanted.
func (p *sizes) arrive() {
	p.at = p.dir
	var items []widget.Item
	for _, u := range p.seen[p.at].Entries {
		items = append(items, widget.Item{ID: u.Name})
	}
	p.list.SetItems(items)
	p.list.Top()
	if p.from != "" {
		p.list.Select(p.from)
		p.from = ""
	}
}

func (p *sizes) selected() *engine.SpaceUsage {
	z := p.seen[p.at]
	if i := p.list.Cursor(); i >= 0 && i < len(z.Entries) {
		return &z.Entries[i]
	}
	return nil
}

func (p *sizes) typing() bool { return false }

func (p *sizes) key(k tea.KeyPressMsg) (tea.Cmd, bool) {
	switch k.String() {
	case "enter", "right", "l":
		return p.into(), true
	case "left", "h", "backspace":
		return p.up(), true
	}
	return nil, p.list.Key(k.String())
}

func (p *sizes) into() tea.Cmd {
	u := p.selected()
	if u == nil || !u.Dir || !p.asked.IsZero() {
		return nil
	}
	return p.enter(path.Join(p.at, u.Name))
}

func (p *sizes) up() tea.Cmd {
	if p.at == "" || p.at == "/" || !p.asked.IsZero() {
		return nil
	}
	p.from = path.Base(p.at)
	return p.enter(path.Dir(p.at))
}

func (p *sizes) mouse(m screen.Mouse) tea.Cmd {
	if m.Wheel != 0 {
		p.list.Move(m.Wheel)
		return nil
	}
	was, _ := p.list.Selected()
	if p.list.SelectAt(m.Y-2, m.H-2) {
		if now, _ := p.list.Selected(); now.ID == was.ID {
			return p.into()
		}
	}
	return nil
}

func (p *sizes) actions() []screen.Action {
	none, top := "", ""
	if u := p.selected(); u == nil || !u.Dir {
		none = "this is no folder"
	}
	if p.at == "/" || p.at == "" {
		top = "this is the top"
	}
	return []screen.Action{
		screen.Do(screen.On("enter"), "go in", "", p.into).Unless(none),
		screen.Do(screen.On("left"), "up", "", p.up).Shown("←").Unless(top),
		screen.Do(screen.On("f"), "see the files", "See the files of this folder", func() tea.Cmd { return p.s.openFiles(p.at) }).Unless(p.noFolder()),
	}
}

func (p *sizes) noFolder() string {
	if p.at == "" {
		return "the sizes are being added up"
	}
	return ""
}

func (p *sizes) resize(_, h int) { p.list.Resize(max(0, h-2)) }

// bars is how wide the bars are.
const bars = 20

func (p *sizes) view(w, h int) string {
	t := p.s.d.Theme
	switch {
	case p.err != nil:
		return widget.Rows(sentence(t, w, "The sizes cannot be added up: "+widget.Clean(p.err.Error())), w, h)
	case p.at == "":
		return widget.Box("", w, h)
	}
	z := p.seen[p.at]
	sum := widget.Bytes(z.Total.Size)
	if z.Total.Stored > 0 {
		sum += fmt.Sprintf(", packed into %s", widget.Bytes(z.Total.Stored))
	}
	sum += "   " + countFiles(z.Total.Files)
	if n := len(z.Unread); n > 0 {
		sum += "   without " + widget.Count(n, "thing", "things") + " you may not read"
	}
	head := widget.Rows([]string{widget.Spread("  "+t.Strong.Render(widget.CutMiddle(widget.Clean(p.at), max(0, w-6-widget.Width(sum)))), t.Muted.Render(sum)+"  ", w), ""}, w, min(2, h))
	if h <= 2 {
		return widget.Box(head, w, h)
	}
	if len(z.Entries) == 0 {
		return widget.Box(widget.Stack(head, widget.Rows(sentence(t, w, "An empty folder."), w, h-2)), w, h)
	}
	most := z.Entries[0].Size
	bw := min(bars, max(0, (w-36)/3))
	list := p.list.View(t, w, h-2, func(i int, selected bool, w int) string {
		u := &z.Entries[i]
		style := t.Text
		if selected {
			style = t.Title
		}
		name := style.Render(widget.Clean(u.Name))
		if u.Dir {
			name += t.Muted.Render("/")
		}
		share := ""
		if z.Total.Size > 0 {
			share = fmt.Sprintf("%.0f %%", float64(u.Size)*100/float64(z.Total.Size))
		}
		line := widget.Marker(t, selected) + widget.Right(widget.Bytes(u.Size), 7) + "  " + t.Muted.Render(widget.Right(share, 5)) + "  "
		if bw > 0 {
			n := 0
			if most > 0 {
				n = int(float64(bw)*float64(u.Size)/float64(most) + 0.5)
			}
			line += t.Accent.Render(strings.Repeat(theme.Full, n)) + strings.Repeat(" ", bw-n) + "  "
		}
		files := ""
		if u.Dir && w >= 70 {
			files = t.Muted.Render(countFiles(u.Files)) + " "
		}
		return line + widget.Spread(name, files, max(0, w-widget.Width(line)))
	})
	return widget.Box(widget.Stack(head, list), w, h)
}

func countFiles(n int64) string {
	if n == 1 {
		return "1 file"
	}
	return widget.Thousands(int(n)) + " files"
}
