package tui

import (
	"context"
	"path/filepath"
	"strings"

	tea "charm.land/bubbletea/v2"

	"carrel/tui/screen"
	"carrel/tui/task"
	"carrel/tui/widget"
)

// Definitions changes definition files: the catalog's as copies, one's own as they are.
type Definitions interface {
	// Copy copies an app of the catalog with all its files to a folder, which is made, and returns the path of its definition.
	Copy(ctx context.Context, name, folder string) (definition string, _ error)
	// Check says what is noticed in a definition, a sentence each, and whether an image can be built of it.
	Check(ctx context.Context, definition string) (remarks []string, builds bool, _ error)
}

// messages of changing an app of the catalog
type (
	ownMsg struct { // it was copied
		path string
		err  error
	}
	ownEditedMsg  struct{ path string }
	ownCheckedMsg struct {
		path    string
		remarks []string
		builds  bool
		err     error
	}
)

// makeOwn copies an app of the catalog to a folder of the person's, and opens the copy in their editor.
func (m *model) makeOwn(w screen.MakeOwn) tea.Cmd {
	defs, life, cwd := m.o.Definitions, m.d.Life, m.d.Cwd
	if defs == nil {
		return m.say(widget.Warning, "Apps cannot be copied from here.")
	}
	name, _, _ := strings.Cut(w.Name, ":")
	name = filepath.Base(name)
	return m.over.askText(m, screen.AskText{
		Title: "Make " + w.Title + " your own",
		Help:  "Its definition and files are copied to a new folder, which you can change as you like. Where?",
		Hint:  "~/my-" + name, Value: "~/my-" + name, Files: true,
		Answer: func(folder string) tea.Cmd {
			if folder == "" {
				return nil
			}
			if !filepath.IsAbs(folder) {
				folder = filepath.Join(cwd, folder)
			}
			return task.Call(func() (string, error) { return defs.Copy(life, w.Name, folder) },
				func(path string, err error) tea.Msg { return ownMsg{path, err} })
		},
	})
}

// editOwn opens a definition in the person's editor; it is checked when they come back. Without an editor it is told where it is.
func (m *model) editOwn(path string) tea.Cmd {
	if len(m.o.Editor) == 0 {
		return m.say(widget.Plain, "It is in "+widget.Tilde(path, m.d.Home)+". Set EDITOR to change it from here.")
	}
	return screen.Ask(screen.EditFile{Path: path, Done: func(err error) tea.Msg {
		if err != nil {
			return screen.Failed{What: "Editing the definition", Err: err}
		}
		return ownEditedMsg{path}
	}})
}

// owned follows up on the messages of changing an app, and tells whether it was one of them.
func (m *model) owned(msg tea.Msg) (tea.Cmd, bool) {
	switch msg := msg.(type) {
	case ownMsg:
		if msg.err != nil {
			return m.wish(screen.Failed{What: "Copying the app", Err: msg.err}), true
		}
		return tea.Batch(m.say(widget.Good, "Copied to "+widget.Tilde(filepath.Dir(msg.path), m.d.Home)), m.editOwn(msg.path)), true
	case ownEditedMsg:
		defs, life := m.o.Definitions, m.d.Life
		if defs == nil {
			return nil, true
		}
		return task.Call(func() (ownCheckedMsg, error) {
			c := ownCheckedMsg{path: msg.path}
			var err error
			c.remarks, c.builds, err = defs.Check(life, msg.path)
			return c, err
		}, func(c ownCheckedMsg, err error) tea.Msg { c.path, c.err = msg.path, err; return c }), true
	case ownCheckedMsg:
		return m.ownChecked(msg), true
	}
	return nil, false
}

// ownChecked asks what to do with a definition that was changed.
func (m *model) ownChecked(c ownCheckedMsg) tea.Cmd {
	if c.err != nil {
		return m.wish(screen.Failed{What: "Checking the definition", Err: c.err})
	}
	d := &widget.Dialog{Title: "It can be built", Body: []string{"It is in " + widget.Clean(widget.Tilde(c.path, m.d.Home)) + "."}}
	for _, r := range c.remarks[:min(5, len(c.remarks))] {
		d.Body = append(d.Body, widget.Clean(r))
	}
	if n := len(c.remarks) - 5; n > 0 {
		d.Body = append(d.Body, "And "+widget.Count(n, "remark", "remarks")+" more: carrel lint tells all.")
	}
	if c.builds {
		d.Buttons = append(d.Buttons, widget.Button{ID: "start", Label: "Build and start it", Key: "b"})
	} else {
		d.Title, d.Danger = "It cannot be built like this", true
	}
	d.Buttons = append(d.Buttons, widget.Button{ID: "edit", Label: "Edit it again", Key: "e"}, widget.Button{ID: "no", Label: "Later"})
	m.over.ask(screen.Confirm{Dialog: m.itself(d), Answer: func(id string) tea.Cmd {
		switch id {
		case "start":
			return screen.Ask(screen.OpenLaunch{Name: c.path})
		case "edit":
			return m.editOwn(c.path)
		}
		return nil
	}})
	return nil
}
