package widget

import (
	"path/filepath"
	"strings"

	tea "charm.land/bubbletea/v2"

	"carrel/tui/theme"
)

// Browser is a way through folders to one of them. It touches no disk: its owner reads the folder it wants and fills it in.
type Browser struct {
	Title  string
	dir    string
	shown  string // how dir is written
	names  []string
	files  int
	why    string // it cannot be read
	known  bool
	hidden bool
	list   List
	from   string // the folder we came up from

	places  []Place // folders to go to at once
	showing bool    // places are shown instead of the folder
	naming  bool    // the name of a new folder is typed
	name    Text
}

// Place is a folder a person may want to go to: home, where they were lately, what they marked.
type Place struct {
	Path   string
	Shown  string
	Note   string // "lately", "marked"
	Marked bool
}

// SetPlaces says where p leads.
func (b *Browser) SetPlaces(p []Place) {
	b.places = p
	if b.showing {
		b.list.SetItems(placeItems(p))
	}
}

func placeItems(places []Place) []Item {
	items := make([]Item, len(places))
	for i, p := range places {
		items[i] = Item{ID: p.Path}
	}
	return items
}

// Naming tells whether the name of a new folder is typed: all letters belong to it.
func (b *Browser) Naming() bool { return b.naming }

// Type takes a key or pasted text while a folder is named. make is the whole path of the folder to be made, once, after Enter.
func (b *Browser) Type(msg tea.Msg) (make string) {
	if k, ok := msg.(tea.KeyPressMsg); ok {
		switch k.String() {
		case "esc", "ctrl+c":
			b.naming = false
			return ""
		case "enter":
			name := strings.TrimSpace(b.name.Value())
			if name == "" || strings.Contains(name, "/") || name == "." || name == ".." {
				return ""
			}
			b.naming = false
			return filepath.Join(b.dir, name)
		}
	}
	b.name.Update(msg)
	return ""
}

// Enter goes into a folder that has just been made.
func (b *Browser) Enter(path string) { b.dir, b.known, b.showing, b.why = path, false, false, "" }

// Marked is the folder the person wants to have marked or no longer marked: the one that is shown.
func (b *Browser) Marked() string { return b.dir }

// NewBrowser makes a browser that begins in a folder; Fill must follow.
func NewBrowser(title, dir string) *Browser {
	b := &Browser{Title: title, dir: filepath.Clean(dir)}
	b.list.Resize(browserRows)
	return b
}

const browserRows = 12

// Rows of the list that are no folders.
const (
	rowHere = "\x00here"
	rowUp   = "\x00up"
)

// Dir is the folder that is shown, or about to be.
func (b *Browser) Dir() string { return b.dir }

// Hidden tells whether names that begin with a dot are wanted.
func (b *Browser) Hidden() bool { return b.hidden }

// Fill shows what is in a folder: the names of its folders, the number of its files, or why it cannot be read. shown is how
// the folder is written for a person. An answer for another folder than the one wanted is dropped.
func (b *Browser) Fill(dir, shown string, names []string, files int, why string) {
	if dir != b.dir || b.showing {
		return
	}
	b.names, b.files, b.why, b.shown, b.known = names, files, why, shown, true
	items := []Item{{ID: rowHere}, {ID: rowUp}}
	if b.dir == "/" {
		items = items[:1]
	}
	for _, n := range names {
		items = append(items, Item{ID: n})
	}
	b.list.SetItems(items)
	b.list.Top()
	if b.from != "" {
		b.list.Select(b.from)
		b.from = ""
	}
}

// Key takes a key. moved tells that another folder is to be filled in; done that it is over, and then chosen is the folder,
// or empty after Esc.
func (b *Browser) Key(k string) (moved, done bool, chosen string) {
	it, ok := b.list.Selected()
	if b.showing {
		switch k {
		case "esc", "p", "left", "h":
			b.showing, b.known = false, false
			return true, false, ""
		case "enter", "right", "l", "space":
			if !ok {
				return false, false, ""
			}
			if k == "space" {
				return false, true, it.ID
			}
			b.Enter(it.ID)
			return true, false, ""
		case "ctrl+c", "ctrl+o":
			return false, true, ""
		}
		b.list.Key(k)
		return false, false, ""
	}
	switch k {
	case "esc", "ctrl+c", "ctrl+o":
		return false, true, ""
	case "p":
		if len(b.places) > 0 {
			b.showing = true
			b.list.SetItems(placeItems(b.places))
			b.list.Top()
		}
	case "n":
		b.naming, b.name = true, NewText("")
	case ".":
		b.hidden = !b.hidden
		return true, false, ""
	case "enter", "right", "l":
		switch {
		case !ok || !b.known:
		case it.ID == rowHere:
			if k == "enter" {
				return false, true, b.dir
			}
		case it.ID == rowUp:
			return b.up(), false, ""
		default:
			b.dir, b.known = filepath.Join(b.dir, it.ID), false
			return true, false, ""
		}
	case "left", "h", "backspace":
		return b.up(), false, ""
	case "space":
		if ok && it.ID != rowHere && it.ID != rowUp {
			return false, true, filepath.Join(b.dir, it.ID)
		}
		return false, true, b.dir
	default:
		b.list.Key(k)
	}
	return false, false, ""
}

func (b *Browser) up() bool {
	if b.dir == "/" {
		return false
	}
	b.from = filepath.Base(b.dir)
	b.dir, b.known = filepath.Dir(b.dir), false
	return true
}

// Click is Enter on the row at line y of the drawn browser, when it was selected already.
func (b *Browser) Click(y, h int) (moved, done bool, chosen string) {
	was, _ := b.list.Selected()
	if b.list.SelectAt(y-4, min(browserRows, max(1, h-7))) {
		if now, _ := b.list.Selected(); now.ID == was.ID {
			return b.Key("enter")
		}
	}
	return false, false, ""
}

// Scroll moves the cursor by n rows.
func (b *Browser) Scroll(n int) { b.list.Move(n) }

// View draws the browser, no larger than w by h cells.
func (b *Browser) View(t *theme.Theme, w, h int) string {
	inner := min(max(0, w-8), 76)
	rows := min(browserRows, max(1, h-7))
	body := b.list.View(t, inner, rows, func(i int, selected bool, w int) string {
		id := b.list.items[i].ID
		style := t.Text
		if selected {
			style = t.Title
		}
		if b.showing {
			p := b.places[i]
			return Marker(t, selected) + "  " + Spread(style.Render(CutMiddle(Clean(p.Shown), max(0, w-4-Width(p.Note)-3))), t.Muted.Render(p.Note)+" ", max(0, w-4))
		}
		switch id {
		case rowHere:
			return Marker(t, selected) + t.OK.Render(theme.Check) + " " + style.Render("use this folder") + t.Muted.Render("   "+Count(b.files, "file", "files"))
		case rowUp:
			return Marker(t, selected) + t.Muted.Render("← one folder up")
		}
		return Marker(t, selected) + "  " + style.Render(Clean(id)) + t.Muted.Render("/")
	})
	if b.why != "" && !b.showing {
		body = Box("  "+t.Warn.Render(theme.Note)+" "+Clean(b.why), inner, rows)
	}
	head := t.Strong.Render(CutMiddle(Clean(b.shown), inner))
	hints := []Hint{{Key: "enter", Text: "open"}, {Key: "space", Text: "use it"}, {Key: "←", Text: "up"}, {Key: "p", Text: "places"}, {Key: "n", Text: "new"}, {Key: "m", Text: "mark"}, {Key: ".", Text: "hidden"}}
	switch {
	case b.naming:
		ghost := "its name"
		if b.name.Value() != "" {
			ghost = ""
		}
		head = t.Text.Render("New folder: ") + b.name.View(t, max(0, inner-12), true, ghost)
		hints = []Hint{{Key: "enter", Text: "make it"}}
	case b.showing:
		head = t.Strong.Render("Places")
		hints = []Hint{{Key: "enter", Text: "go there"}, {Key: "space", Text: "use it"}, {Key: "p", Text: "back"}}
	}
	content := strings.Join([]string{"", head, RuleLine(t, inner, ""), body, RuleLine(t, inner, ""),
		Footer(t, inner, hints, Hint{Key: "esc", Text: "close"})}, "\n")
	return Panel(t, min(w, inner+4), min(h, rows+7), t.Title.Render(b.Title), "", content, true)
}
