package inspect

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
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

// beside is the width from which the file under the cursor is shown beside the list.
const beside = 96

// settle is how long the cursor must stand still before a file is read for it.
const settle = 70 * time.Millisecond

// files is the tab in which an image's files are walked through and looked at.
type files struct {
	s *Screen

	dir     string // that is shown, or about to be
	at      string // that list is of
	all     []engine.ImageFile
	shown   []int // of all, those that fit
	list    widget.List
	find    screen.Finder
	err     error
	known   bool
	from    string // the folder that was left upwards
	asked   time.Time
	copying time.Time
	follow  bool   // dir may turn out to be a link to a file
	sought  string // words that names anywhere hold; the list is of what was found
	more    bool   // there are others
	back    string // the folder to go back to from what was found

	prev    preview
	prevErr error
	wanted  string  // the file whose preview is on its way
	ask     task.ID // the last question
	open    bool    // the preview has the whole page
	off     int

	w, h int
}

type (
	listedMsg struct {
		id   task.ID
		dir  string
		of   string // words of a search
		more bool
		list []engine.ImageFile
		err  error
	}
	settledMsg struct{ id, ask task.ID }
	previewMsg struct {
		id   task.ID
		ask  task.ID
		file string
		p    preview
		err  error
	}
	copiedMsg struct {
		id       task.ID
		file, to string
		did      engine.Copied
		err      error
	}
)

func (p *files) show() tea.Cmd {
	if p.known || !p.asked.IsZero() {
		return nil
	}
	return p.enter("/")
}

// enter lists a folder. What is shown stays until the list is there.
func (p *files) enter(dir string) tea.Cmd {
	p.dir, p.asked = dir, p.s.d.Now()
	id, look, ctx, name := p.s.id, p.s.d.Engine, p.s.life, p.s.name
	return task.Call(func() ([]engine.ImageFile, error) { return look.Files(ctx, name, dir) },
		func(l []engine.ImageFile, err error) tea.Msg { return listedMsg{id: id, dir: dir, list: l, err: err} })
}

// foundLimit is how many files a search lists.
const foundLimit = 2000

// seek asks for words, and lists what has a name with them anywhere in the image.
func (p *files) seek() tea.Cmd {
	return screen.Ask(screen.AskText{
		Title: "Find in the whole image", Help: "A part of a file's or folder's name, or several.", Hint: "trials csv", Value: p.sought,
		Answer: func(words string) tea.Cmd {
			if strings.TrimSpace(words) == "" {
				return nil
			}
			if p.sought == "" {
				p.back = p.at
			}
			p.dir, p.asked = "/", p.s.d.Now()
			id, look, ctx, name := p.s.id, p.s.d.Engine, p.s.life, p.s.name
			more := false
			return task.Call(func() (l []engine.ImageFile, err error) {
				l, more, err = look.Find(ctx, name, "/", words, foundLimit)
				return l, err
			}, func(l []engine.ImageFile, err error) tea.Msg {
				return listedMsg{id: id, dir: "/", of: words, more: more, list: l, err: err}
			})
		},
	})
}

func (p *files) waits() (time.Time, string) {
	switch {
	case !p.asked.IsZero() && p.dir == "/":
		return p.asked, "Reading"
	case !p.asked.IsZero():
		return p.asked, "Reading " + widget.Clean(p.dir)
	case !p.copying.IsZero():
		return p.copying, "Copying"
	}
	return time.Time{}, ""
}

func (p *files) update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case listedMsg:
		if msg.dir != p.dir {
			return nil
		}
		return p.listed(msg)
	case settledMsg:
		if msg.ask == p.ask {
			return p.read()
		}
	case previewMsg:
		if msg.ask == p.ask {
			p.prev, p.prevErr, p.wanted, p.off = msg.p, msg.err, "", 0
			p.prev.file = msg.file
			p.prev.lay(p.previewWidth())
		}
	case copiedMsg:
		return p.copied(msg)
	case tea.PasteMsg:
		if p.find.Typing && p.find.Text.Update(msg) {
			return p.narrow()
		}
	}
	return nil
}

func (p *files) listed(m listedMsg) tea.Cmd {
	p.asked = time.Time{}
	follow := p.follow
	p.follow = false
	if m.err != nil {
		if p.known { // stay where we are
			p.dir = p.at
			return screen.Ask(screen.Failed{What: "Opening " + m.dir, Err: m.err})
		}
		p.known, p.err = true, m.err
		return nil
	}
	if follow && len(m.list) == 1 && m.list[0].Type != "dir" && m.list[0].Name == path.Base(m.dir) { // the link led to a file
		p.dir, p.open = p.at, true
		return p.want(m.dir, m.list[0])
	}
	p.known, p.err, p.at, p.all, p.sought, p.more = true, nil, m.dir, m.list, m.of, m.more
	p.find = screen.Finder{}
	p.fill()
	p.list.Top()
	if p.from != "" {
		p.list.Select(p.from)
		p.from = ""
	}
	return p.moved()
}

// fill shows the files that fit the words, folders first.
func (p *files) fill() {
	p.shown = p.shown[:0]
	var items []widget.Item
	for _, dirs := range []bool{true, false} {
		for i, f := range p.all {
			if (f.Type == "dir") == dirs && p.find.Fits(f.Name) {
				p.shown = append(p.shown, i)
				items = append(items, widget.Item{ID: f.Name})
			}
		}
	}
	p.list.SetItems(items)
}

func (p *files) narrow() tea.Cmd {
	p.fill()
	return p.moved()
}

func (p *files) selected() *engine.ImageFile {
	if i := p.list.Cursor(); i >= 0 && i < len(p.shown) {
		return &p.all[p.shown[i]]
	}
	return nil
}

// moved asks for a preview of what the cursor is on, where it would be seen.
func (p *files) moved() tea.Cmd {
	f := p.selected()
	if p.open || f == nil || p.w < beside {
		return nil
	}
	return p.want(path.Join(p.at, f.Name), *f)
}

// want asks for a preview, once the cursor stands still.
func (p *files) want(file string, f engine.ImageFile) tea.Cmd {
	if file == p.prev.file && p.wanted == "" || file == p.wanted {
		return nil
	}
	p.ask, p.wanted = task.NewID(), file
	id, ask := p.s.id, p.ask
	p.prevErr = nil
	switch f.Type {
	case "file", "dir", "link":
	default:
		p.prev, p.wanted = preview{file: file, kind: f.Type, rows: []row{note("A " + f.Type + "; there is nothing to read in it.")}}, ""
		return nil
	}
	if f.Type == "file" && f.Size > limit(f.Name) {
		p.prev, p.wanted = preview{file: file, kind: widget.Bytes(f.Size), rows: []row{note("Too large to be shown here; c copies it out.")}}, ""
		return nil
	}
	return tea.Tick(settle, func(time.Time) tea.Msg { return settledMsg{id, ask} })
}

// read makes the preview that is wanted.
func (p *files) read() tea.Cmd {
	id, ask, look, ctx, name, file := p.s.id, p.ask, p.s.d.Engine, p.s.life, p.s.name, p.wanted
	return task.Call(func() (preview, error) {
		if list, err := look.Files(ctx, name, file); err == nil && !(len(list) == 1 && list[0].Type != "dir" && list[0].Name == path.Base(file)) {
			return folder(file, list), nil
		}
		data, err := look.ReadFile(ctx, name, file, limit(file))
		if err != nil {
			return preview{}, err
		}
		return read(file, data), nil
	}, func(v preview, err error) tea.Msg { return previewMsg{id, ask, file, v, err} })
}

func (p *files) typing() bool { return p.find.Typing }

func (p *files) key(k tea.KeyPressMsg) (tea.Cmd, bool) {
	name := k.String()
	if p.open {
		if n, ok := scrolling(name, p.h-1); ok {
			p.scroll(n)
			return nil, true
		}
		switch name {
		case "esc", "left", "h", "backspace", "enter":
			p.open = false
			p.prev.lay(p.previewWidth())
			return p.moved(), true
		}
		return nil, false
	}
	if used, changed := p.find.Key(k, &p.list); used {
		if changed {
			return p.narrow(), true
		}
		return p.moved(), true
	}
	switch name {
	case "enter", "right", "l":
		return p.into(), true
	case "left", "h", "backspace":
		return p.up(), true
	case "esc":
		if p.sought != "" {
			return p.up(), true
		}
	}
	if p.list.Key(name) {
		return p.moved(), true
	}
	return nil, false
}

func (p *files) scroll(n int) {
	p.off = min(max(0, p.off+n), max(0, p.prev.height(p.previewWidth(), p.h-1)-max(1, p.h-1)))
}

// previewWidth is how wide the text of a preview is: on the whole page, or beside the list.
func (p *files) previewWidth() int {
	if p.open || p.w < beside {
		return max(0, p.w-4)
	}
	return max(0, p.w-p.split(p.w)-5)
}

// into enters a folder, or shows a file on the whole page.
func (p *files) into() tea.Cmd {
	f := p.selected()
	if f == nil || !p.asked.IsZero() {
		return nil
	}
	to := path.Join(p.at, f.Name)
	if f.Type == "dir" || f.Type == "link" {
		p.follow = f.Type == "link"
		return p.enter(to)
	}
	p.open, p.off = true, 0
	p.prev.lay(p.previewWidth())
	return p.want(to, *f)
}

func (p *files) up() tea.Cmd {
	if p.sought != "" && p.asked.IsZero() {
		return p.enter(p.back)
	}
	if p.at == "/" || !p.known || !p.asked.IsZero() {
		return nil
	}
	p.from = path.Base(p.at)
	return p.enter(path.Dir(p.at))
}

func (p *files) mouse(m screen.Mouse) tea.Cmd {
	if p.open {
		p.scroll(m.Wheel * 3)
		return nil
	}
	lw := p.split(m.W)
	if m.X >= lw && m.Wheel != 0 {
		p.scroll(m.Wheel * 3)
		return nil
	}
	if m.Wheel != 0 {
		p.list.Move(m.Wheel)
		return p.moved()
	}
	was, _ := p.list.Selected()
	if m.X < lw && p.list.SelectAt(m.Y-1, m.H-1) {
		if now, _ := p.list.Selected(); now.ID == was.ID {
			return p.into()
		}
		return p.moved()
	}
	return nil
}

func (p *files) actions() []screen.Action {
	if p.find.Typing {
		return screen.Finding()
	}
	f := p.selected()
	none, file := "", p.prev.file
	switch {
	case f == nil:
		none = "there is nothing here"
	case !p.open:
		file = path.Join(p.at, f.Name)
	}
	copyOut := func() tea.Cmd { return p.copyOut(file) }
	top := ""
	if p.sought == "" && (p.at == "/" || p.at == "") {
		top = "this is the top"
	}
	if p.open {
		return []screen.Action{
			screen.Tell("↑↓", "scroll"),
			screen.Do(screen.On("c"), "copy out", "Copy this file to your computer", copyOut).Unless(none),
			screen.Tell("esc", "back to the files"),
		}
	}
	return []screen.Action{
		screen.Do(screen.On("enter"), "open", "", p.into).Unless(none),
		screen.Do(screen.On("left"), "up", "", p.up).Shown("←").Unless(top),
		screen.Do(screen.On("c"), "copy out", "Copy what is selected to your computer", copyOut).Unless(none),
		screen.Do(screen.On("/"), "find", "Find a file in this folder", func() tea.Cmd { p.find.Typing = true; return nil }),
		screen.Do(screen.On("F"), "find anywhere", "Find a file anywhere in the image", p.seek).Quietly(),
		screen.Do(screen.On("y"), "copy path", "Copy the path inside the image", func() tea.Cmd {
			return screen.Ask(screen.Copy{Text: file, What: "the path"})
		}).Unless(none).Quietly(),
	}
}

// copyOut asks where to, and copies.
func (p *files) copyOut(file string) tea.Cmd {
	return screen.Ask(screen.AskText{
		Title: "Copy " + widget.Clean(path.Base(file)) + " to your computer", Help: "Where to? A folder, or a new name.", Hint: "~/",
		Value: "~/" + widget.Clean(path.Base(file)), Files: true,
		Answer: func(to string) tea.Cmd { return p.copyTo(file, to, false) },
	})
}

// copyTo copies a file out; one of that name is replaced only when the person says so.
func (p *files) copyTo(file, to string, replace bool) tea.Cmd {
	id, eng, ctx, name := p.s.id, p.s.d.Engine, p.s.life, p.s.name
	p.copying = p.s.d.Now()
	return task.Call(func() (engine.Copied, error) {
		if there := target(to, path.Base(file)); there != "" && !replace {
			return engine.Copied{Path: there}, fs.ErrExist
		}
		return eng.CopyOut(ctx, name, file, to)
	}, func(c engine.Copied, err error) tea.Msg { return copiedMsg{id, file, to, c, err} })
}

// target is what a copy would replace, empty when nothing.
func target(to, base string) string {
	st, err := os.Stat(to)
	if err == nil && st.IsDir() {
		to = filepath.Join(to, base)
		_, err = os.Lstat(to)
	}
	if err != nil {
		return ""
	}
	return to
}

func (p *files) copied(m copiedMsg) tea.Cmd {
	p.copying = time.Time{}
	home := p.s.d.Home
	switch {
	case errors.Is(m.err, fs.ErrExist):
		return screen.Ask(screen.Confirm{
			Dialog: widget.Confirm("Replace it?", []string{widget.Clean(widget.Tilde(m.did.Path, home)) + " exists already. Its content is lost when it is replaced."}, "Replace it", "Leave it"),
			Answer: func(id string) tea.Cmd {
				if id != "yes" {
					return nil
				}
				return p.copyTo(m.file, m.to, true)
			},
		})
	case m.err != nil:
		return screen.Ask(screen.Failed{What: "Copying " + path.Base(m.file), Err: m.err})
	}
	say := "Copied to " + widget.Tilde(m.did.Path, home)
	if n := len(m.did.Skipped); n > 0 {
		say += ", without " + widget.Count(n, "device or socket", "devices and sockets")
	}
	return screen.Ask(screen.Flash{Tone: widget.Good, Text: say})
}

func (p *files) split(w int) int {
	if w < beside {
		return w
	}
	return max(44, w*2/5)
}

func (p *files) resize(w, h int) {
	p.w, p.h = w, h
	p.list.Resize(max(0, h-1))
	p.prev.lay(p.previewWidth())
	if p.open {
		p.scroll(0)
	}
}

func (p *files) view(w, h int) string {
	t := p.s.d.Theme
	switch {
	case p.err != nil:
		return widget.Rows(sentence(t, w, "The files cannot be listed: "+widget.Clean(p.err.Error())), w, h)
	case !p.known:
		return widget.Box("", w, h)
	case p.open:
		return p.shownFile(t, w, h)
	}
	lw := p.split(w)
	count := widget.Count(len(p.shown), "entry", "entries")
	at := p.at
	if p.sought != "" {
		at, count = "Found: "+p.sought, widget.Count(len(p.shown), "place", "places")
		if p.more {
			count = "the first " + count
		}
	}
	head := p.find.Line(t, lw, "find a file in this folder; F finds in all", count)
	if !p.find.Typing && p.find.Text.Value() == "" {
		head = widget.Spread("  "+t.Strong.Render(widget.CutMiddle(widget.Clean(at), max(0, lw-6-widget.Width(count)))), t.Muted.Render(count)+"  ", lw)
	}
	var list string
	if len(p.shown) == 0 {
		word := "An empty folder."
		if p.find.Text.Value() != "" {
			word = "Nothing here is called so."
		} else if p.sought != "" {
			word = "Nothing in this image is called so."
		}
		list = widget.Rows(sentence(t, lw, word), lw, max(0, h-1))
	} else {
		list = p.list.View(t, lw, max(0, h-1), func(i int, selected bool, w int) string { return p.line(t, &p.all[p.shown[i]], selected, w) })
	}
	left := widget.Stack(widget.Rows([]string{head}, lw, min(1, h)), list)
	if h <= 1 {
		left = widget.Rows([]string{head}, lw, h)
	}
	if lw == w {
		return widget.Box(left, w, h)
	}
	return widget.Box(widget.Beside(left, screen.Wall(t, h), p.shownFile(t, w-lw-1, h)), w, h)
}

// columns are a name and a size.
var columns = widget.Table{Gap: 2, Columns: []widget.Column{{Min: 12, Flex: 1}, {Min: 7, Right: true}, {Min: 10, Drop: 2}}}

func (p *files) line(t *theme.Theme, f *engine.ImageFile, selected bool, w int) string {
	style := t.Text
	if selected {
		style = t.Title
	}
	shown, size := widget.Clean(f.Name), ""
	if p.sought != "" {
		shown = widget.CutMiddle("/"+shown, columns.Widths(max(0, w-3))[0])
	}
	name := style.Render(shown)
	switch f.Type {
	case "dir":
		name += t.Muted.Render("/")
	case "link":
		name += t.Muted.Render(" " + theme.Arrow + " " + widget.Clean(f.Link))
	case "file":
		size = widget.Bytes(f.Size)
	default:
		size = f.Type
	}
	return widget.Marker(t, selected) + columns.Row(max(0, w-3), name, t.Muted.Render(size), t.Muted.Render(widget.Clean(f.Mode)))
}

// shownFile is the preview, with a line above it that says of what.
func (p *files) shownFile(t *theme.Theme, w, h int) string {
	if h <= 0 || w <= 0 {
		return widget.Box("", w, h)
	}
	file := p.prev.file
	if p.wanted != "" && p.prev.file == "" {
		file = p.wanted
	}
	lines := p.prev.height(max(0, w-4), h-1)
	right := p.prev.kind
	if lines > h-1 && h > 1 && p.prev.pic == nil {
		off := min(p.off, max(0, lines-h+1))
		right += fmt.Sprintf("   %s–%s of %s", widget.Thousands(off+1), widget.Thousands(min(lines, off+h-1)), widget.Thousands(lines))
	}
	out := []string{widget.Spread("  "+t.Strong.Render(widget.CutMiddle(widget.Clean(path.Base(file)), max(0, w-6-widget.Width(right)))), t.Muted.Render(right)+"  ", w)}
	if p.prevErr != nil {
		var large *engine.FileTooLargeError
		why := "It cannot be shown: " + widget.Clean(p.prevErr.Error())
		if errors.As(p.prevErr, &large) {
			why = widget.Bytes(large.Size) + " are too much to be shown here; c copies it out."
		}
		return widget.Rows(append(out, sentence(t, w, why)...), w, h)
	}
	off := min(p.off, max(0, lines-max(1, h-1)))
	out = append(out, widget.Indent(p.prev.view(t, max(0, w-4), h-1, off), 2)...)
	return widget.Rows(out, w, h)
}
