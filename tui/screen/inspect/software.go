package inspect

import (
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"carrel/engine"
	"carrel/tui/screen"
	"carrel/tui/task"
	"carrel/tui/theme"
	"carrel/tui/widget"
)

// software is the tab of installed packages.
type software struct {
	listing
	s     *Screen
	all   []engine.ImagePackage
	hay   []string
	notes []string
	sums  string // "180 dpkg · 32 pip"
	shown []int
	err   error
	known bool
	asked time.Time
}

func newSoftware(s *Screen) *software {
	p := &software{s: s}
	p.fill = p.narrow
	return p
}

type packagesMsg struct {
	id   task.ID
	list engine.Installed
	err  error
}

func (p *software) show() tea.Cmd {
	if p.known || !p.asked.IsZero() {
		return nil
	}
	p.asked = p.s.d.Now()
	id, look, ctx, name := p.s.id, p.s.d.Engine, p.s.life, p.s.name
	return task.Call(func() (engine.Installed, error) { return look.Packages(ctx, name) },
		func(l engine.Installed, err error) tea.Msg { return packagesMsg{id, l, err} })
}

func (p *software) waits() (time.Time, string) { return p.asked, "Looking for installed software" }

// managers are what people call package managers.
var managers = map[string]string{"dpkg": "Debian", "rpm": "RPM", "apk": "Alpine", "pip": "Python", "conda": "conda", "r": "R", "npm": "npm"}

func manager(name string) string {
	if w, ok := managers[name]; ok {
		return w
	}
	return widget.Clean(name)
}

func (p *software) update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case packagesMsg:
		p.known, p.asked, p.err = true, time.Time{}, msg.err
		p.all, p.notes = msg.list.Packages, msg.list.Notes
		count, order := map[string]int{}, []string(nil)
		p.hay = make([]string, len(p.all))
		for i, x := range p.all {
			if count[x.Manager]++; count[x.Manager] == 1 {
				order = append(order, x.Manager)
			}
			p.hay[i] = strings.ToLower(x.Name + " " + x.Version + " " + x.Manager + " " + manager(x.Manager))
		}
		var parts []string
		for _, m := range order {
			parts = append(parts, widget.Thousands(count[m])+" "+manager(m))
		}
		if n := len(msg.list.Unread); n > 0 {
			parts = append(parts, "without "+widget.Count(n, "place", "places")+" you may not read")
		}
		p.sums = strings.Join(parts, " "+theme.Sep+" ")
		p.fill()
	case tea.PasteMsg:
		p.paste(msg)
	}
	return nil
}

// narrow lists what fits the words.
func (p *software) narrow() {
	p.shown = p.shown[:0]
	var items []widget.Item
	for i := range p.all {
		if p.find.Fits(p.hay[i]) {
			p.shown = append(p.shown, i)
			items = append(items, widget.Item{ID: fmt.Sprint(i)})
		}
	}
	p.list.SetItems(items)
}

func (p *software) actions() []screen.Action {
	if p.find.Typing {
		return screen.Finding()
	}
	none := ""
	if len(p.shown) == 0 {
		none = "there is nothing here"
	}
	return []screen.Action{
		p.finding("Find a package", none),
		screen.Do(screen.On("y"), "copy list", "Copy the list of software", func() tea.Cmd {
			return screen.Ask(screen.Copy{Text: p.table(), What: widget.Count(len(p.shown), "package", "packages")})
		}).Unless(none),
		screen.Do(screen.On("w"), "save list", "Save the list of software to a file", func() tea.Cmd {
			return screen.Ask(screen.SaveText{Name: p.s.fileName() + "-software.tsv", Text: p.table()})
		}).Unless(none),
	}
}

// table is what is shown, as tab-separated text.
func (p *software) table() string {
	var b strings.Builder
	b.WriteString("manager\tname\tversion\n")
	for _, i := range p.shown {
		x := p.all[i]
		fmt.Fprintf(&b, "%s\t%s\t%s\n", widget.Clean(x.Manager), widget.Clean(x.Name), widget.Clean(x.Version))
	}
	return b.String()
}

var packageColumns = widget.Table{Gap: 2, Columns: []widget.Column{{Min: 14, Flex: 2, Max: 44}, {Min: 12, Flex: 2, Max: 32}, {Min: 8, Drop: 1}, {Min: 16, Flex: 3, Drop: 2}}}

func (p *software) view(w, h int) string {
	t := p.s.d.Theme
	switch {
	case p.err != nil:
		return widget.Rows(sentence(t, w, "The software cannot be listed: "+widget.Clean(p.err.Error())), w, h)
	case !p.known:
		return widget.Box("", w, h)
	case len(p.all) == 0:
		return widget.Rows(sentence(t, w, "No package manager has left a record in this image: what is in it was copied or compiled. "+widget.Clean(strings.Join(p.notes, ". "))), w, h)
	}
	right := p.sums
	if p.find.Text.Value() != "" {
		right = widget.Count(len(p.shown), "package", "packages")
	}
	return p.draw(t, w, h, "find a package", right, "No package fits these words.", func(i int, selected bool, w int) string {
		x := &p.all[p.shown[i]]
		style := t.Text
		if selected {
			style = t.Title
		}
		return widget.Marker(t, selected) + packageColumns.Row(max(0, w-2), style.Render(widget.Clean(x.Name)), widget.Clean(x.Version),
			t.Muted.Render(manager(x.Manager)), t.Muted.Render(widget.Clean(x.Path)))
	})
}
