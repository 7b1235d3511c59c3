package widget

import (
	"path/filepath"
	"strings"

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
}

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
	if dir != b.dir {
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
	switch k {
	case "esc", "ctrl+c", "ctrl+o":
		return false, true, ""
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
	inner := min(max(0, w-8), 64)
	rows := min(browserRows, max(1, h-7))
	body := b.list.View(t, inner, rows, func(i int, selected bool, _ int) string {
		id := b.list.items[i].ID
		style := t.Text
		if selected {
			style = t.Title
		}
		switch id {
		case rowHere:
			return Marker(t, selected) + t.OK.Render(theme.Check) + " " + style.Render("use this folder") + t.Muted.Render("   "+Count(b.files, "file", "files"))
		case rowUp:
			return Marker(t, selected) + t.Muted.Render("← one folder up")
		}
		return Marker(t, selected) + "  " + style.Render(Clean(id)) + t.Muted.Render("/")
	})
	if b.why != "" {
		body = Box("  "+t.Warn.Render(theme.Note)+" "+Clean(b.why), inner, rows)
	}
	content := strings.Join([]string{"", t.Strong.Render(CutMiddle(Clean(b.shown), inner)), RuleLine(t, inner, ""), body, RuleLine(t, inner, ""),
		Footer(t, inner, []Hint{{Key: "enter", Text: "open"}, {Key: "space", Text: "use it"}, {Key: "←", Text: "up"}, {Key: ".", Text: "hidden"}}, Hint{Key: "esc", Text: "close"})}, "\n")
	return Panel(t, min(w, inner+4), min(h, rows+7), t.Title.Render(b.Title), "", content, true)
}
