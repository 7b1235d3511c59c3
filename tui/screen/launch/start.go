package launch

import (
	"context"
	"os"

	tea "charm.land/bubbletea/v2"

	"carrel/engine"
	"carrel/tui/screen"
	"carrel/tui/task"
	"carrel/tui/widget"
)

// launch checks the form and starts the app, making folders that are missing when the person agrees.
func (s *Screen) launch() tea.Cmd {
	var missing []string
	ask := false
	for _, f := range s.form.Fields {
		if f.Kind != widget.FolderKind {
			continue
		}
		v := f.Value()
		switch st, checked := s.folders[f.ID]; {
		case v == "" && f.Tag != "":
			f.Remarks = []widget.Remark{{Tone: widget.Error, Text: "Choose a folder: the app works in it."}}
			s.form.Focus(f.ID)
			return nil
		case v == "":
		case !checked:
			return tea.Sequence(s.d.FolderNow(screen.FolderDue{Form: s.id, Field: f.ID, Text: f.Text.Value()}), screen.Ask(again{s.id}))
		case screen.MissingFolder(st):
			missing = append(missing, st.Path)
			ask = ask || v != f.Hint
		case st.Exists && (!st.IsDir || !st.Readable):
			s.form.Focus(f.ID)
			return screen.Ask(screen.Flash{Tone: widget.Error, Text: "This folder cannot be used."})
		}
	}
	for _, f := range s.form.Fields {
		if why := s.wrong(f); why != "" {
			f.Remarks = []widget.Remark{{Tone: widget.Error, Text: why}}
			s.form.Folded = s.form.Folded && !f.More
			s.form.Focus(f.ID)
			return nil
		}
	}
	switch {
	case len(missing) == 0:
		return s.run()
	case !ask:
		return s.make(missing)
	}
	text := "There is no folder " + widget.Clean(widget.Tilde(missing[0], s.d.Home)) + " yet."
	d := &widget.Dialog{Title: "Create the folder?", Body: []string{text}, Buttons: []widget.Button{
		{ID: "yes", Label: "Create it and start", Key: "y"}, {ID: "no", Label: "Back to the form", Key: "n"},
	}}
	return screen.Ask(screen.Confirm{Dialog: d, Answer: func(id string) tea.Cmd {
		if id != "yes" {
			return nil
		}
		return s.make(missing)
	}})
}

// cancel ends starting the app; its last message says how that went.
func (s *Screen) cancel() tea.Cmd {
	if s.stop != nil {
		s.ending = true
		s.stop()
	}
	return nil
}

// again asks for another try after a check that was still missing.
type again struct{ id task.ID }

// make creates folders, then goes on.
func (s *Screen) make(paths []string) tea.Cmd {
	id := s.id
	s.starting, s.from, s.now = true, s.d.Now(), s.d.Now()
	return task.Do(func() error {
		for _, p := range paths {
			if err := os.MkdirAll(p, 0o755); err != nil {
				return err
			}
		}
		return nil
	}, func(err error) tea.Msg { return madeMsg{id, err} })
}

// failed offers what can be done about a start that did not work.
func (s *Screen) failed(err error, spec engine.RunSpec) tea.Cmd {
	ask := screen.Unkept(err, s.d.Now(), s.runWith, func() tea.Cmd {
		if f := s.form.Field(idKeep); f != nil {
			f.SetValue("no")
			s.compose()
		}
		return s.run()
	})
	if ask != nil {
		return ask
	}
	return screen.Ask(screen.Failed{What: "Starting " + s.title(), Err: err, Spec: &spec, Start: s.begin})
}

// run starts the app, or builds it first. The answers are remembered.
func (s *Screen) run() tea.Cmd { return s.runWith(engine.LeftoversAsk) }

// runWith is run, with what to do about changes that were not saved last time.
func (s *Screen) runWith(left engine.Leftovers) tea.Cmd {
	spec := s.spec()
	spec.Leftovers = left
	mem, app, answers := s.d.Memory, s.target.Name, s.answers()
	save := task.Do(func() error { return mem.Save(app, answers) }, func(err error) tea.Msg {
		if err != nil {
			return screen.Flash{Tone: widget.Warning, Text: "Your answers could not be remembered: " + err.Error()}
		}
		return nil
	})
	if !s.target.Built {
		s.starting = false
		return tea.Batch(save, screen.Ask(screen.StartBuild{From: s.id, Title: s.title(), Spec: s.build(), Then: &spec}))
	}
	return tea.Batch(save, s.begin(spec))
}

// build is how the image is built that is not there yet.
func (s *Screen) build() engine.BuildSpec {
	switch {
	case s.def != "":
		return engine.BuildSpec{Definition: s.def, Force: true} // into the store
	case s.target.Kind == engine.TargetRemote:
		return engine.BuildSpec{Definition: s.target.Ref, Target: s.target.Path, Force: true}
	}
	return engine.BuildSpec{Definition: s.target.Name, Target: s.target.Path, Force: true}
}

// begin starts the app as it is given.
func (s *Screen) begin(spec engine.RunSpec) tea.Cmd {
	id, eng := s.id, s.d.Engine
	ctx, stop := context.WithCancel(s.d.Life)
	s.Close()
	s.starting, s.ending, s.stop, s.from, s.now = true, false, stop, s.d.Now(), s.d.Now()
	return task.Call(func() (engine.Instance, error) { return eng.Start(ctx, spec) },
		func(in engine.Instance, err error) tea.Msg { return startedMsg{id, spec, in, err} })
}
