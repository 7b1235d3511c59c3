package wizard

import (
	"strconv"
	"strings"

	tea "charm.land/bubbletea/v2"

	"carrel/catalog/propose"
	"carrel/engine"
	"carrel/tui/screen"
	"carrel/tui/task"
	"carrel/tui/widget"
)

// IDs of the fields of page 3.
const (
	idTitle   = "title"
	idCommand = "command"
	idPort    = "port"
	idShare   = "share"
	idChange  = "change"
	idApt     = "apt"
	idPip     = "pip"
	idR       = "r"
)

// begin shows page 3 for a proposal.
func (s *Screen) begin(p propose.Spec) {
	s.base, s.named = p, p.Port
	s.page, s.spec, s.edited, s.text, s.top, s.reading = pageValues, p, false, "", 0, false
	s.form = widget.Form{}
	add := func(f *widget.Field, v string) *widget.Field {
		f.SetValue(v)
		s.form.Fields = append(s.form.Fields, f)
		return f
	}
	if p.Text == "" {
		add(&widget.Field{ID: idTitle, Kind: widget.TextKind, Label: "Title", Help: "What people see in lists."}, p.Title)
		add(&widget.Field{ID: idCommand, Kind: widget.TextKind, Label: "Command", Help: "What starts it, in its folder. What is typed behind the image's name goes to its end."}, p.Command)
		if p.Port > 0 {
			add(&widget.Field{ID: idPort, Kind: widget.NumberKind, Label: "Port", Help: "At which the command answers, inside the container."}, strconv.Itoa(p.Port))
		}
		if p.Folder != "" {
			f := add(&widget.Field{ID: idShare, Kind: widget.RadioKind, Label: "Your files", Options: []widget.Option{
				{Value: "share", Label: "share the folder"}, {Value: "copy", Label: "copy into the image"},
			}}, map[bool]string{true: "copy", false: "share"}[p.Include])
			f.Help = "Copied, the image works by itself, for a colleague and years from now; shared, it works on the files as they are."
			add(&widget.Field{ID: idChange, Kind: widget.RadioKind, Label: "When shared", Options: []widget.Option{
				{Value: "rw", Label: "read and change"}, {Value: "ro", Label: "only read"},
			}}, map[bool]string{true: "ro", false: "rw"}[p.ReadOnly])
		}
		add(&widget.Field{ID: idApt, Kind: widget.TextKind, Label: "Debian packages", Hint: "none", Help: "Names, with spaces between; packages.debian.org lists them."}, strings.Join(p.Apt, " "))
		switch p.Kind {
		case propose.Notebook, propose.Python, propose.PythonApp, propose.Server:
			f := add(&widget.Field{ID: idPip, Kind: widget.TextKind, Label: "Python packages", Hint: "none", Help: "From the Python Package Index; a version can be named: dash==2.17"}, strings.Join(p.Pip, " "))
			if p.Requirements != "" {
				f.Help = "Besides those of " + widget.Clean(p.Requirements) + "."
			}
		case propose.RNotebook, propose.R, propose.Shiny, propose.RMarkdown:
			add(&widget.Field{ID: idR, Kind: widget.TextKind, Label: "R packages", Hint: "none", Help: "From CRAN, where Debian has none."}, strings.Join(p.R, " "))
		}
	}
	s.show(p.Definition())
	s.top = 0
}

// take makes the definition of the values in the fields.
func (s *Screen) take() {
	p := &s.spec
	for _, f := range s.form.Fields {
		f.Remarks = nil
		v := f.Value()
		switch f.ID {
		case idTitle:
			p.Title = v
		case idCommand:
			p.Command = v
		case idPort:
			n, err := strconv.Atoi(v)
			switch {
			case v == "":
				f.Remarks = []widget.Remark{{Text: "Without a port it serves nothing."}}
			case err != nil || n < 1 || n > 65535:
				f.Remarks = []widget.Remark{{Tone: widget.Error, Text: "A port is a number from 1 to 65535."}}
				continue
			}
			s.follows(n)
			p.Port = n
		case idShare:
			p.Include = v == "copy"
		case idChange:
			p.ReadOnly = v == "ro"
		case idApt:
			p.Apt = names(f)
		case idPip:
			p.Pip = names(f)
		case idR:
			p.R = names(f)
		}
	}
	s.show(p.Definition())
}

// follows lets the command name the port that was typed, where it named the one before and was not typed itself.
func (s *Screen) follows(port int) {
	c := s.form.Field(idCommand)
	if c == nil || s.base.Port == 0 || port == 0 {
		return
	}
	named := func(n int) string {
		return strings.ReplaceAll(s.base.Command, strconv.Itoa(s.base.Port), strconv.Itoa(n))
	}
	if c.Value() == named(s.named) {
		c.SetValue(named(port))
		s.spec.Command, s.named = c.Value(), port
	}
}

// names are the words of a field, those apart that would be more than names for the shell of a definition.
func names(f *widget.Field) []string {
	var out []string
	for _, w := range strings.FieldsFunc(f.Value(), func(r rune) bool { return r == ' ' || r == ',' }) {
		if strings.ContainsAny(w, "\"'`$;&|\\(){}*?#!") {
			f.Remarks = []widget.Remark{{Tone: widget.Error, Text: "“" + widget.Clean(w) + "” is no name of a package."}}
			continue
		}
		out = append(out, w)
	}
	return out
}

// order is the build of the definition, and the start of what it makes.
func (s *Screen) order() screen.StartBuild {
	title := s.spec.Title
	run := engine.RunSpec{Profile: engine.ProfileSafe}
	switch {
	case s.edited || s.spec.Text != "":
		// What the text says of itself counts.
		if c, err := task.DefinitionText(s.text); err == nil {
			if c.Title != "" {
				title = c.Title
			}
			for _, p := range c.Ports {
				run.Ports = append(run.Ports, engine.Port{Host: p.Container, Container: p.Container})
			}
			for _, b := range c.Binds {
				if b.Required || len(c.Binds) == 1 && !s.spec.Include && s.spec.Text == "" {
					run.Binds = append(run.Binds, engine.Bind{Source: s.looked, Dest: b.Dest, ReadOnly: b.Mode == task.BindReadOnly})
				}
			}
		}
	default:
		if s.spec.Port > 0 {
			run.Ports = []engine.Port{{Host: s.spec.Port, Container: s.spec.Port}}
		}
		if !s.spec.Include && s.spec.Folder != "" {
			run.Binds = []engine.Bind{{Source: s.looked, Dest: s.spec.Folder, ReadOnly: s.spec.ReadOnly}}
		}
	}
	return screen.StartBuild{From: s.id, Title: title, Spec: s.buildSpec(), Then: &run}
}

func (s *Screen) buildSpec() engine.BuildSpec {
	return engine.BuildSpec{Definition: s.path(), ReplaceOwn: true}
}

// commands are those that do the same from a shell.
func (s *Screen) commands() []string {
	// carrel new makes what was proposed; values that its options do not name are in the file only.
	return []string{s.d.Engine.BuildCommandLine(s.buildSpec())}
}

// Actions are what can be done on a page.
func (s *Screen) Actions() []screen.Action {
	switch s.page {
	case pageFolder:
		f := s.where.Fields[0]
		tab := screen.Tell("tab", "complete")
		return []screen.Action{
			screen.Do(screen.On("enter"), "go on", "Go on with this folder", s.next),
			tab,
			screen.Do(screen.On("ctrl+o"), "browse", "Browse for a folder", func() tea.Cmd { return s.browse(f) }),
			screen.Do(screen.On("esc"), "back", "", func() tea.Cmd { return screen.Ask(screen.Back{}) }),
		}
	case pageKind:
		return []screen.Action{
			screen.Do(screen.On("enter"), "this one", "", s.next),
			screen.Tell("↑↓", "choose"),
			screen.Do(screen.On("esc", "left"), "back", "Choose another folder", func() tea.Cmd { s.page = pageFolder; return nil }),
		}
	}
	acts := []screen.Action{
		screen.Do(screen.On("enter"), "build and start", "Write the definition, build it, and start the app", s.next),
	}
	if f := s.focused(); f != nil {
		acts = append(acts, screen.Tell("tab", "next field"))
		if f.Kind == widget.RadioKind {
			acts = append(acts, screen.Tell("←→", "choose"))
		}
	}
	acts = append(acts,
		screen.Do(screen.On("ctrl+e", "e"), "edit by hand", "Edit the definition in your editor", s.edit).Shown("ctrl+e"),
		screen.Do(screen.On("ctrl+s"), "only write it", "Write "+s.shown()+" without building it", func() tea.Cmd {
			return s.write(func() tea.Cmd {
				return screen.Ask(screen.Flash{Tone: widget.Good, Text: "Wrote " + s.shown()})
			})
		}),
	)
	if !s.beside(s.w) && len(s.form.Fields) > 0 && !s.edited {
		word := "see the definition"
		if s.reading {
			word = "see the fields"
		}
		acts = append(acts, screen.Do(screen.On("ctrl+t"), word, "", func() tea.Cmd { s.reading = !s.reading; s.top = 0; return nil }))
	}
	if s.edited {
		acts = append(acts, screen.Do(screen.On("ctrl+r"), "back to the fields", "Drop what was edited by hand, and go back to the fields", s.undo))
	}
	return append(acts,
		screen.Do(screen.On("esc"), "back", "Choose something else to run", func() tea.Cmd {
			if s.reading {
				s.reading = false
				return nil
			}
			s.page = pageKind
			return nil
		}).Quietly(),
		screen.Do(screen.On("ctrl+y", "y"), "copy command", "Copy the command that builds it", func() tea.Cmd {
			return screen.Ask(screen.Copy{Text: strings.Join(s.commands(), " && "), What: "the command"})
		}).Shown("ctrl+y").Quietly(),
		screen.Tell("pgup pgdn", "move in the definition").Quietly(),
	)
}

// undo goes back from the text that was edited by hand to the fields.
func (s *Screen) undo() tea.Cmd {
	d := widget.Confirm("Drop what you edited by hand?", []string{"The definition is made of the fields again. The file " + s.shown() + " is replaced when you build or write it."}, "Drop it", "Keep it")
	return screen.Ask(screen.Confirm{Dialog: d, Answer: func(answer string) tea.Cmd {
		if answer == "yes" {
			s.edited = false
			s.show(s.spec.Definition())
		}
		return nil
	}})
}

// browse lets the person walk to a folder.
func (s *Screen) browse(f *widget.Field) tea.Cmd {
	from := s.d.Home
	if s.state != nil && s.state.State.IsDir {
		from = s.state.State.Path
	}
	return screen.Ask(screen.PickFolder{Title: "Choose the folder with your files", From: from, Answer: func(path string) tea.Cmd {
		f.Text.Set(widget.Tilde(path, s.d.Home))
		return s.answer(f)
	}})
}

// Key types, moves, and completes.
func (s *Screen) Key(k tea.KeyPressMsg) (tea.Cmd, bool) {
	name := k.String()
	f := s.focused()
	switch {
	case s.page == pageKind:
		return nil, s.list.Key(name)
	case s.page == pageValues && (name == "pgup" || name == "pgdown"):
		s.scroll(map[string]int{"pgup": -8, "pgdown": 8}[name])
		return nil, true
	case s.page == pageValues && f == nil:
		switch name {
		case "up", "k":
			s.scroll(-1)
		case "down", "j":
			s.scroll(1)
		case "home", "g":
			s.top = 0
		case "end", "G":
			s.scroll(1 << 20)
		default:
			return nil, false
		}
		return nil, true
	case f == nil:
		return nil, false
	case s.page == pageFolder && (name == "tab" || name == "right" && f.Ghost != "" && f.Text.AtEnd()):
		if s.state == nil && f.Text.Value() != "" {
			s.pending = true
			return nil, true
		}
		return s.complete(f), true
	case s.page == pageValues && (name == "tab" || name == "down"):
		s.form.Move(1)
		return nil, true
	case s.page == pageValues && (name == "shift+tab" || name == "up"):
		s.form.Move(-1)
		return nil, true
	case name == "ctrl+e": // end of the line elsewhere; here it edits the definition
		return nil, false
	}
	used, changed := f.Update(k)
	if changed {
		return s.answer(f), true
	}
	return nil, used
}
