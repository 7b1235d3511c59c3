// Package wizard is the way from a folder of the person's to an app of their own, in three pages: which folder, what of it is
// to be run, and the few values of its definition file, which stands beside them. What is proposed comes from package
// propose; the file that is written can be edited by hand before anything is built.
package wizard

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	tea "charm.land/bubbletea/v2"

	"carrel/catalog/propose"
	"carrel/engine/definition"
	"carrel/internal/atomicfile"
	"carrel/tui/screen"
	"carrel/tui/task"
	"carrel/tui/widget"
)

// The pages.
const (
	pageFolder = iota
	pageKind
	pageValues
)

// Screen is the wizard.
type Screen struct {
	screen.Base
	d     screen.Deps
	id    task.ID
	page  int
	typed bool // something was

	// page 1
	where   widget.Form
	state   *screen.FolderAnswer // what is known of the folder in the field
	goOn    bool                 // enter was pressed before that was known
	pending bool                 // tab was
	looked  string               // the folder that found belongs to
	found   []propose.Spec
	lookErr error
	there   bool // it holds a definition file already

	// page 2
	kinds []choice
	list  widget.List

	// page 3
	spec    propose.Spec
	base    propose.Spec // as it was proposed
	named   int          // the port that the command names
	form    widget.Form
	text    string // the definition
	edited  bool   // by hand: the fields no longer count
	wrong   error  // why the definition cannot be built
	written string // what was written last
	own     bool   // the file in the folder is ours, or may be replaced
	top     int    // first line of the definition that is shown
	changed int    // the line that the last change concerns, -1 none
	reading bool   // the definition takes the whole screen
	w, h    int
}

// choice is a row of page 2.
type choice struct {
	heading string
	spec    *propose.Spec // nil: made when chosen
	kind    propose.Kind
	text    string
	why     string
	file    bool // the definition that is there
}

type (
	lookedMsg struct {
		id    task.ID
		dir   string
		found []propose.Spec
		there bool
		err   error
	}
	chosenMsg struct {
		id   task.ID
		spec propose.Spec
		err  error
	}
	wroteMsg struct {
		id   task.ID
		text string
		then func() tea.Cmd
		err  error
	}
	backMsg struct { // from the editor
		id   task.ID
		text string
		err  error
	}
)

const idWhere = "folder"

// New makes the wizard. from is the folder it proposes; empty for none.
func New(d screen.Deps, from string) *Screen {
	s := &Screen{d: d, id: task.NewID(), changed: -1}
	f := &widget.Field{ID: idWhere, Kind: widget.FolderKind, Label: "Which folder holds your files?", Hint: "~/my-analysis"}
	if from != "" && from != d.Home && from != "/" {
		f.Text = widget.NewText(widget.Tilde(from, d.Home))
	}
	f.Remarks = startRemarks
	s.where = widget.Form{Fields: []*widget.Field{f}}
	return s
}

var startRemarks = []widget.Remark{{Text: "Notebooks, scripts, a page, a Shiny or Streamlit app, a Dockerfile: Carrel looks what is in it and proposes how to run it. Nothing of it is started for that."}}

// Title is the screen's place in the line at the top.
func (s *Screen) Title() string {
	if s.page == pageFolder || s.looked == "" {
		return "An app of my own"
	}
	return "An app of " + widget.Clean(filepath.Base(s.looked))
}

// ID is what the wizard is known by.
func (s *Screen) ID() task.ID { return s.id }

// Keeps tells whether leaving the wizard would lose what was typed or chosen.
func (s *Screen) Keeps() bool { return s.typed || s.page != pageFolder }

// Init looks at the folder that is proposed.
func (s *Screen) Init() tea.Cmd {
	if f := s.where.Fields[0]; f.Value() != "" {
		return s.d.FolderNow(screen.FolderDue{Form: s.id, Field: f.ID, Text: f.Text.Value()})
	}
	return nil
}

// Typing tells whether letters belong to a field.
func (s *Screen) Typing() bool {
	f := s.focused()
	return f != nil && f.Typed()
}

// focused is the field that has the keys, nil for none.
func (s *Screen) focused() *widget.Field {
	switch {
	case s.page == pageFolder:
		return s.where.Focused()
	case s.page == pageValues && !s.reading && !s.edited:
		return s.form.Focused()
	}
	return nil
}

// Update takes answers.
func (s *Screen) Update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case tea.PasteMsg:
		if f := s.focused(); f != nil {
			if _, changed := f.Update(msg); changed {
				return s.answer(f)
			}
		}
	case screen.FolderDue:
		if f := s.where.Field(msg.Field); msg.Form == s.id && f != nil && f.Text.Value() == msg.Text {
			return s.d.FolderNow(msg)
		}
	case screen.FolderAnswer:
		if msg.Form == s.id {
			return s.folder(msg)
		}
	case lookedMsg:
		if msg.id == s.id {
			return s.lookedAt(msg)
		}
	case chosenMsg:
		if msg.id != s.id || s.page != pageKind {
			return nil
		}
		if msg.err != nil {
			return screen.Ask(screen.Failed{What: "Looking at the folder", Err: msg.err})
		}
		s.begin(msg.spec)
	case wroteMsg:
		if msg.id != s.id {
			return nil
		}
		if msg.err != nil {
			return screen.Ask(screen.Failed{What: "Writing " + s.shown(), Err: msg.err})
		}
		s.written, s.own, s.there = msg.text, true, true
		return msg.then()
	case backMsg:
		if msg.id != s.id {
			return nil
		}
		if msg.err != nil {
			return screen.Ask(screen.Failed{What: "Editing " + s.shown(), Err: msg.err})
		}
		s.edited = msg.text != s.spec.Definition()
		s.written = msg.text
		s.show(msg.text)
	}
	return nil
}

// folder takes what was found out about the folder in the field, and has a look at what is in it.
func (s *Screen) folder(a screen.FolderAnswer) tea.Cmd {
	f := s.where.Fields[0]
	if f.Text.Value() != a.Text {
		return nil
	}
	s.state = &a
	f.Ghost = widget.Clean(a.Next.Rest)
	if s.pending {
		s.pending = false
		return s.complete(f)
	}
	st := a.State
	usable := st.Exists && st.IsDir && st.Readable
	switch {
	case f.Value() == "":
		f.Remarks = startRemarks
	case !st.Exists && f.Ghost != "":
		f.Remarks = []widget.Remark{{Text: "Tab completes the name."}}
	case !st.Exists:
		f.Remarks = []widget.Remark{{Tone: widget.Warning, Text: "There is no such folder."}}
	case usable && !st.Writable:
		f.Remarks = []widget.Remark{{Tone: widget.Error, Text: "You may not write in this folder, and the definition file has to be put there. Copy the folder to one of your own."}}
		usable = false
	default:
		f.Remarks = screen.FolderRemarks(st, "", true)
	}
	if !usable {
		s.goOn = false
		return nil
	}
	if s.looked == st.Path {
		s.tell()
		return s.proceed()
	}
	id, life, dir := s.id, s.d.Life, st.Path
	return task.Call(func() (lookedMsg, error) {
		m := lookedMsg{id: id, dir: dir}
		_, err := os.Lstat(filepath.Join(dir, "Singularity"))
		m.there = err == nil
		m.found, err = propose.Look(life, os.DirFS(dir), propose.Options{Name: filepath.Base(dir)})
		return m, err
	}, func(m lookedMsg, err error) tea.Msg {
		m.id, m.dir, m.err = id, dir, err
		return m
	})
}

// lookedAt takes what is in the folder.
func (s *Screen) lookedAt(m lookedMsg) tea.Cmd {
	if s.state == nil || s.state.State.Path != m.dir {
		return nil
	}
	s.looked, s.found, s.there, s.lookErr, s.own, s.written = m.dir, m.found, m.there, m.err, false, ""
	s.tell()
	return s.proceed()
}

// broken tells whether a file that says what to run, and it alone, could not be read.
func (s *Screen) broken() bool {
	_, is := errors.AsType[*propose.FileError](s.lookErr)
	return is
}

// tell says under the folder what was seen in it.
func (s *Screen) tell() {
	f := s.where.Fields[0]
	seen := "Nothing in it says by itself what to run; the next page asks."
	switch {
	case s.broken(): // something else can be chosen
		seen = widget.Sentence(s.lookErr.Error()) + " The next page asks what to run."
	case s.lookErr != nil:
		f.Remarks = []widget.Remark{{Tone: widget.Error, Text: widget.Sentence(s.lookErr.Error())}}
		return
	case len(s.found) > 0:
		var names []string
		for _, p := range s.found[:min(3, len(s.found))] {
			names = append(names, lower(p.Description))
		}
		seen = "It looks like " + strings.Join(names, ", or ") + "."
	}
	f.Remarks = append(f.Remarks[:min(1, len(f.Remarks)):1], widget.Remark{Text: seen})
	if s.there {
		f.Remarks = append(f.Remarks, widget.Remark{Text: "There is a definition file in it already; it is not replaced without being asked."})
	}
}

func lower(text string) string {
	text = widget.Clean(text)
	if len(text) < 2 || text[1] >= 'A' && text[1] <= 'Z' { // an abbreviation, or a name
		return text
	}
	return strings.ToLower(text[:1]) + text[1:]
}

// proceed goes on to page 2 when enter was pressed before the folder was known.
func (s *Screen) proceed() tea.Cmd {
	if s.goOn {
		s.goOn = false
		return s.next()
	}
	return nil
}

// complete completes the folder's name.
func (s *Screen) complete(f *widget.Field) tea.Cmd {
	if f.Ghost == "" {
		return nil
	}
	f.Text.Set(f.Text.Value() + f.Ghost)
	return s.answer(f)
}

// answer follows up on another value of a field.
func (s *Screen) answer(f *widget.Field) tea.Cmd {
	s.typed = true
	if f.ID == idWhere {
		f.Ghost, s.pending, s.goOn, s.state = "", false, false, nil
		return screen.FolderSoon(s.id, f.ID, f.Text.Value())
	}
	s.take()
	return nil
}

// next is Enter: it goes on to the next page, and on the last one writes, builds and starts.
func (s *Screen) next() tea.Cmd {
	switch s.page {
	case pageFolder:
		f := s.where.Fields[0]
		switch {
		case f.Value() == "":
			f.Remarks = []widget.Remark{{Tone: widget.Error, Text: "Choose a folder: type its path, or browse with ctrl+o."}}
			return nil
		case s.state == nil || s.state.State.Path != s.looked:
			if s.state != nil && (!s.state.State.Exists || !s.state.State.IsDir || !s.state.State.Readable || !s.state.State.Writable) {
				return screen.Ask(screen.Flash{Tone: widget.Error, Text: "This folder cannot be used; choose another."})
			}
			s.goOn = true
			return s.d.FolderNow(screen.FolderDue{Form: s.id, Field: f.ID, Text: f.Text.Value()})
		case s.lookErr != nil && !s.broken():
			return nil
		}
		s.offer()
		s.page = pageKind
	case pageKind:
		return s.choose()
	default:
		return s.build()
	}
	return nil
}

// offer makes the rows of page 2.
func (s *Screen) offer() {
	s.kinds = nil
	add := func(c choice) { s.kinds = append(s.kinds, c) }
	if len(s.found) > 0 || s.there {
		add(choice{heading: "WHAT YOUR FOLDER LOOKS LIKE"})
	}
	known := map[propose.Kind]bool{}
	for i := range s.found {
		p := &s.found[i]
		known[p.Kind] = true
		add(choice{spec: p, kind: p.Kind, text: p.Description, why: p.Why})
	}
	if s.there {
		add(choice{file: true, text: "The definition file that is there", why: "there is Singularity"})
	}
	if len(s.kinds) > 0 {
		add(choice{})
		add(choice{heading: "OR SOMETHING ELSE"})
	} else {
		add(choice{heading: "WHAT DO YOU WANT TO RUN?"})
	}
	for _, k := range propose.Kinds {
		if !known[k.Kind] {
			add(choice{kind: k.Kind, text: strings.ToUpper(k.Text[:1]) + k.Text[1:]})
		}
	}
	items := make([]widget.Item, len(s.kinds))
	for i, c := range s.kinds {
		id := string(c.kind)
		if c.file {
			id = "\x00file"
		}
		items[i] = widget.Item{ID: id, Fixed: id == ""}
	}
	s.list.SetItems(items)
	s.list.Top()
}

// choose goes on with the row of page 2 that is selected.
func (s *Screen) choose() tea.Cmd {
	i := s.list.Cursor()
	if i < 0 || i >= len(s.kinds) {
		return nil
	}
	c := s.kinds[i]
	switch {
	case c.file:
		return screen.Ask(screen.OpenLaunch{Name: s.path()})
	case c.spec != nil:
		s.begin(*c.spec)
		return nil
	}
	id, life, dir, kind := s.id, s.d.Life, s.looked, c.kind
	return task.Call(func() (propose.Spec, error) {
		return propose.Default(life, kind, os.DirFS(dir), propose.Options{Name: filepath.Base(dir)})
	}, func(p propose.Spec, err error) tea.Msg { return chosenMsg{id, p, err} })
}

// path is where the definition file is written.
func (s *Screen) path() string { return filepath.Join(s.looked, "Singularity") }

// shown is the path as a person reads it.
func (s *Screen) shown() string { return widget.Clean(widget.Tilde(s.path(), s.d.Home)) }

// show takes a definition, and finds out whether it can be built and what is different in it.
func (s *Screen) show(text string) {
	old, now := strings.Split(s.text, "\n"), strings.Split(text, "\n")
	s.changed = -1
	if s.text != "" && text != s.text {
		for i := range now {
			if i >= len(old) || now[i] != old[i] {
				s.changed = i
				break
			}
		}
	}
	s.text = text
	_, s.wrong = definition.ParseString(text, definition.Options{Name: "Singularity"})
	s.follow()
}

// write puts the definition into the folder, asking before it takes the place of another one, and goes on with then.
func (s *Screen) write(then func() tea.Cmd) tea.Cmd {
	id, path, text := s.id, s.path(), s.text
	put := func() tea.Cmd {
		return task.Do(func() error { return atomicfile.WriteFile(path, []byte(text), 0o644) },
			func(err error) tea.Msg { return wroteMsg{id, text, then, err} })
	}
	switch {
	case s.own && s.written == text:
		return then()
	case s.own || !s.there:
		return s.unlessThere(put)
	}
	d := widget.Confirm("Replace "+s.shown()+"?", []string{
		"There is a definition file of that name already. What is in it now is lost.",
	}, "Replace it", "Leave it")
	return screen.Ask(screen.Confirm{Dialog: d, Answer: func(answer string) tea.Cmd {
		if answer != "yes" {
			return nil
		}
		return put()
	}})
}

// unlessThere carries put out when the folder still holds no file of somebody else's.
func (s *Screen) unlessThere(put func() tea.Cmd) tea.Cmd {
	if s.own {
		return put()
	}
	path, do := s.path(), put()
	return func() tea.Msg {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return screen.Flash{Tone: widget.Warning, Text: "A file named Singularity has just appeared in the folder; look at it first."}
		}
		return do()
	}
}

// edit opens the definition in the person's editor.
func (s *Screen) edit() tea.Cmd {
	id, path := s.id, s.path()
	return s.write(func() tea.Cmd {
		return screen.Ask(screen.EditFile{Path: path, Done: func(err error) tea.Msg {
			if err != nil {
				return backMsg{id: id, err: err}
			}
			data, err := os.ReadFile(path)
			return backMsg{id, string(data), err}
		}})
	})
}

// build writes the definition, builds it and starts the app.
func (s *Screen) build() tea.Cmd {
	if s.wrong != nil {
		return screen.Ask(screen.Flash{Tone: widget.Error, Text: "It cannot be built like this; ctrl+e opens it in your editor."})
	}
	if f := s.form.Field(idCommand); f != nil && !s.edited && f.Value() == "" {
		f.Remarks = []widget.Remark{{Tone: widget.Error, Text: "Say what starts it, such as: python3 app.py"}}
		s.form.Focus(idCommand)
		return nil
	}
	return s.write(func() tea.Cmd { return screen.Ask(s.order()) })
}
