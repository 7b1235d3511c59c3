package widget

import (
	"strings"

	tea "charm.land/bubbletea/v2"

	"carrel/tui/theme"
)

// Command is one thing the palette can do.
type Command struct {
	ID    string
	Name  string // "Stop jupyter"
	Key   string // the key that does the same
	Group string
	Off   string // why it cannot be done now
}

// Palette finds a command by its name.
type Palette struct {
	Title string // empty: "All actions"
	all   []Command
	found []int
	text  Text
	list  List
}

// NewPalette makes a palette over the commands, in their order.
func NewPalette(commands []Command) *Palette {
	p := &Palette{all: commands, text: NewText("")}
	p.list.Resize(paletteRows)
	p.filter()
	return p
}

const paletteRows = 12

// filter keeps the commands whose name holds every word that was typed.
func (p *Palette) filter() {
	words := strings.Fields(strings.ToLower(p.text.Value()))
	p.found = p.found[:0]
	var items []Item
	for i, c := range p.all {
		low := strings.ToLower(c.Group + " " + c.Name)
		ok := true
		for _, w := range words {
			ok = ok && strings.Contains(low, w)
		}
		if ok {
			p.found = append(p.found, i)
			items = append(items, Item{ID: c.ID})
		}
	}
	p.list.SetItems(items)
	p.list.Top()
}

// Update takes a key or pasted text. When done, id is the chosen command, or empty after Esc.
func (p *Palette) Update(msg tea.Msg) (id string, done bool) {
	if k, ok := msg.(tea.KeyPressMsg); ok {
		switch k.String() {
		case "esc", "ctrl+c", "ctrl+p":
			return "", true
		case "enter":
			i := p.list.Cursor()
			if i < 0 || p.all[p.found[i]].Off != "" {
				return "", false
			}
			return p.all[p.found[i]].ID, true
		case "up", "ctrl+k":
			p.list.Move(-1)
			return "", false
		case "down", "ctrl+j", "ctrl+n":
			p.list.Move(1)
			return "", false
		case "pgup":
			p.list.Page(-1)
			return "", false
		case "pgdown":
			p.list.Page(1)
			return "", false
		}
	}
	was := p.text.Value()
	p.text.Update(msg)
	if p.text.Value() != was {
		p.filter()
	}
	return "", false
}

// View draws the palette, no larger than w by h cells.
func (p *Palette) View(t *theme.Theme, w, h int) string {
	inner := min(max(0, w-8), 72)
	rows := min(paletteRows, max(1, h-5), max(1, len(p.all)))
	body := p.list.View(t, inner, rows, func(i int, selected bool, w int) string {
		c := p.all[p.found[i]]
		name := t.Text.Render(c.Name)
		if selected {
			name = t.Title.Render(c.Name)
		}
		right := t.Muted.Render(c.Key)
		if c.Off != "" {
			name = t.Faint.Render(c.Name)
			right = t.Muted.Render(Cut(c.Off, w/2))
		}
		return Marker(t, selected) + Spread(name, right+" ", max(0, w-2))
	})
	if len(p.found) == 0 {
		body = Box("  "+t.Muted.Render("Nothing has these words in its name."), inner, rows)
	}
	ghost := ""
	if p.text.Value() == "" {
		ghost = "what do you want to do?"
	}
	title, does := "All actions", "enter does it "+theme.Sep+" esc closes"
	if p.Title != "" {
		title, does = p.Title, "enter chooses "+theme.Sep+" esc closes"
		if ghost != "" {
			ghost = "type to filter"
		}
	}
	if Width(title)+Width(does) > inner-8 {
		does = "esc closes"
	}
	head := "  " + p.text.View(t, max(0, inner-2), true, ghost)
	content := Stack(head, RuleLine(t, inner, ""), body)
	return Panel(t, min(w, inner+4), min(h, rows+4), t.Title.Render(title), t.Muted.Render(does), content, true)
}

// Click takes a click at (x, y) of a view of w by h cells.
func (p *Palette) Click(x, y, w, h int) (id string, done bool) {
	rows := min(paletteRows, max(1, h-5), max(1, len(p.all)))
	if p.list.SelectAt(y-3, rows) {
		i := p.list.Cursor()
		if p.all[p.found[i]].Off == "" {
			return p.all[p.found[i]].ID, true
		}
	}
	return "", false
}

// Scroll moves the list by n rows.
func (p *Palette) Scroll(n int) { p.list.Move(n) }
