package launch

import (
	"encoding/json"
	"slices"

	tea "charm.land/bubbletea/v2"

	"carrel/tui/screen"
	"carrel/tui/task"
	"carrel/tui/widget"
)

// presetsOf is the name under which the named answers of an app are remembered, each as JSON.
func presetsOf(app string) string { return app + " (presets)" }

// presetField chooses among named answers; nil when there are none.
func (s *Screen) presetField() *widget.Field {
	if len(s.presets) == 0 {
		return nil
	}
	f := &widget.Field{ID: idPreset, Kind: widget.ChoiceKind, Label: "Answers", Help: "← → fills in answers you saved under a name; ctrl+s saves, ctrl+x deletes them."}
	f.Options = []widget.Option{{Value: "", Label: "as the last time"}}
	names := make([]string, 0, len(s.presets))
	for n := range s.presets {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		f.Options = append(f.Options, widget.Option{Value: n, Label: widget.Clean(n)})
	}
	return f
}

// preset fills in the answers of a name; those of the last time for none.
func (s *Screen) preset(name string) tea.Cmd {
	answers := s.last
	if name != "" {
		if json.Unmarshal([]byte(s.presets[name]), &answers) != nil {
			return screen.Ask(screen.Flash{Tone: widget.Error, Text: "What was saved as " + name + " cannot be read."})
		}
	}
	folded := s.form.Folded
	cmd := s.fill(answers)
	s.form.Folded = folded
	if f := s.form.Field(idPreset); f != nil {
		f.SetValue(name)
		s.form.Focus(idPreset)
	}
	s.compose()
	return cmd
}

// savePreset asks for a name and keeps the answers under it.
func (s *Screen) savePreset() tea.Cmd {
	now := s.form.Value(idPreset)
	return screen.Ask(screen.AskText{
		Title: "Save these answers", Help: "Under which name? One that exists is replaced.", Hint: "course", Value: now,
		Answer: func(name string) tea.Cmd {
			data, err := json.Marshal(s.answers())
			if err != nil {
				return screen.Ask(screen.Failed{What: "Saving the answers", Err: err})
			}
			return s.keepPresets(name, string(data), "Saved as “"+name+"”.")
		},
	})
}

// deletePreset deletes the answers that are chosen.
func (s *Screen) deletePreset(name string) tea.Cmd {
	d := widget.Confirm("Delete the answers “"+widget.Clean(name)+"”?", []string{"The app, its image and your folders stay as they are."}, "Delete them", "Keep them")
	return screen.Ask(screen.Confirm{Dialog: d, Answer: func(answer string) tea.Cmd {
		if answer != "yes" {
			return nil
		}
		return s.keepPresets(name, "", "“"+name+"” was deleted.")
	}})
}

type keptMsg struct {
	id        task.ID
	name, say string
	presets   map[string]string
	err       error
}

// keepPresets changes what is remembered: a text of "" deletes.
func (s *Screen) keepPresets(name, text, say string) tea.Cmd {
	id, mem, app := s.id, s.d.Memory, presetsOf(s.target.Name)
	return task.Call(func() (map[string]string, error) {
		all := map[string]string{}
		for k, v := range mem.Load(app) { // another window may have saved some
			all[k] = v
		}
		all[name] = text
		if text == "" {
			delete(all, name)
		}
		return all, mem.Save(app, all)
	}, func(all map[string]string, err error) tea.Msg {
		if text == "" {
			name = ""
		}
		return keptMsg{id, name, say, all, err}
	})
}

func (s *Screen) kept(m keptMsg) tea.Cmd {
	if m.err != nil {
		return screen.Ask(screen.Failed{What: "Saving the answers", Err: m.err})
	}
	s.presets = m.presets
	now := s.answers()
	folded := s.form.Folded
	cmd := s.fill(now)
	s.form.Folded = folded
	if f := s.form.Field(idPreset); f != nil {
		f.SetValue(m.name)
	}
	return tea.Batch(cmd, screen.Ask(screen.Flash{Tone: widget.Good, Text: m.say}))
}
