package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"carrel/internal/atomicfile"
	"carrel/internal/remember"
	"carrel/tui/plain"
)

// accessibleFlag adds --accessible, which CARREL_ACCESSIBLE=1 stands for as well.
func (a *app) accessibleFlag(root *cobra.Command) {
	root.Flags().BoolVar(&a.accessible, "accessible", os.Getenv("CARREL_ACCESSIBLE") != "", "ask and answer in plain lines, for screen readers and pipes")
}

// openPlain is the screens as questions and answers.
func (a *app) openPlain(ctx context.Context) error {
	e, err := a.engine()
	if err != nil {
		return err
	}
	s, err := a.settings()
	if err != nil {
		return err
	}
	person := isTerminal(a.in)
	if person && !a.accessible {
		a.say("this terminal cannot draw screens, so here are questions instead; carrel --help lists the commands")
	}
	welcomed := filepath.Join(s.dirs.State, "welcomed")
	_, err = os.Stat(welcomed)
	return plain.Run(ctx, plain.Options{
		Engine: e, Catalog: a.library(s), Memory: remember.At(filepath.Join(s.dirs.State, "answers.json")),
		In: a.in, Out: a.out, Person: person,
		Self: s.self, Editor: editor(os.Getenv),
		SaveFile: func(name, text string) (string, error) { return saveFile(s.user.Cwd, name, text) },
		Home:     s.dirs.Home, Cwd: s.user.Cwd, Remote: here(os.Getenv, s.user.Name),
		New: person && errors.Is(err, fs.ErrNotExist),
		// A mark that cannot be written shows the introduction once more, which does no harm.
		Welcomed: func() { _ = atomicfile.WriteFile(welcomed, nil, 0o600) },
	})
}
