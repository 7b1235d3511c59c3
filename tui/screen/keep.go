package screen

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	tea "charm.land/bubbletea/v2"

	"carrel/engine"
	"carrel/tui/widget"
)

// Unkept answers a start that failed because of changes inside the image: with a question, when there is something to choose.
// keep starts it again with what to do about changes an earlier run could not save; fresh starts it without keeping any.
// It returns nil for every other error.
func Unkept(err error, now time.Time, keep func(engine.Leftovers) tea.Cmd, fresh func() tea.Cmd) tea.Cmd {
	var left *engine.UnsavedError
	var busy *engine.BusyError
	var locked *engine.ReadOnlyImageError
	var d *widget.Dialog
	answers := map[string]func() tea.Cmd{}
	answer := func(id, label, key string, f func() tea.Cmd) {
		d.Buttons = append(d.Buttons, widget.Button{ID: id, Label: label, Key: key})
		answers[id] = f
	}
	switch {
	case errors.As(err, &left):
		d = &widget.Dialog{Title: "Changes were not saved last time", Body: []string{
			"The last run could not save what it had changed inside the container:",
			unsaved(left.Unsaved, now) + ".",
			"It is all still there. Files in the folders you shared are not concerned.",
		}}
		answer("keep", "Go on with them", "k", func() tea.Cmd { return keep(engine.LeftoversKeep) })
		answer("discard", "Delete them for good", "d", func() tea.Cmd { return keep(engine.LeftoversDiscard) })
	case errors.As(err, &busy):
		d = &widget.Dialog{Title: "Another app keeps its changes there", Body: []string{
			"Only one app at a time can keep what changes inside " + widget.Clean(filepath.Base(busy.Image)) + ", and one does already" + by(busy.By) + ".",
			"Stop that app first, or start this one fresh: what it changes inside the container is then thrown away when it ends.",
		}}
		answer("fresh", "Start it fresh", "f", fresh)
		answer("no", "Back", "", nil)
	case errors.As(err, &locked):
		d = &widget.Dialog{Title: "You may not change this image", Body: []string{
			widget.Clean(locked.Image) + " belongs to somebody else, so nothing can be kept in it.",
			"Make a copy of your own to keep changes, or start it fresh: what it changes inside the container is then thrown away when it ends.",
		}}
		answer("fresh", "Start it fresh", "f", fresh)
		answer("no", "Back", "", nil)
	default:
		return nil
	}
	d.OpenedItself(now)
	return Ask(Confirm{Dialog: d, Answer: func(id string) tea.Cmd {
		if f := answers[id]; f != nil {
			return f()
		}
		return nil
	}})
}

// unsaved says what was not saved: "12 files changed, 1 deleted, 3 MB, today".
func unsaved(u engine.Unsaved, now time.Time) string {
	s := widget.Count(u.Files, "file", "files") + " changed"
	if u.Deleted > 0 {
		s += ", " + widget.Count(u.Deleted, "file", "files") + " deleted"
	}
	if u.Bytes > 0 {
		s += ", " + widget.Bytes(u.Bytes)
	}
	if !u.Since.IsZero() {
		s += ", run begun " + widget.Ago(u.Since, now)
	}
	return s
}

func by(who string) string {
	if who == "" {
		return ""
	}
	return " (" + widget.Clean(who) + ")"
}

// Again is Unkept for an app that was to be started again: do carries out the start that is chosen.
func (d Deps) Again(name string, err error, do func(func(context.Context) error) tea.Cmd) tea.Cmd {
	eng := d.Engine
	start := func(change func(*engine.RunSpec)) tea.Cmd {
		return do(func(ctx context.Context) error {
			in, err := eng.Instance(ctx, name)
			if err != nil {
				return err
			}
			spec := in.Spec
			spec.Name = name
			change(&spec)
			_, err = eng.Start(ctx, spec)
			return err
		})
	}
	return Unkept(err, d.Now(),
		func(l engine.Leftovers) tea.Cmd { return start(func(s *engine.RunSpec) { s.Leftovers = l }) },
		func() tea.Cmd { return start(func(s *engine.RunSpec) { s.Writable = false }) })
}
