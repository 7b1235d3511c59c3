package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"carrel/catalog"
	"carrel/engine"
	"carrel/internal/rmtree"
)

// copyEntryCommand copies an app of a catalog with all its files, to be changed.
func (a *app) copyEntryCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "copy NAME FOLDER", Short: "Copy an app with all its files, to make one of your own of it",
		Long: `Copies the definition file of an app, under the name Singularity, and the files that it
puts into the image to FOLDER, which is made. Change what you like there, and build it.`,
		Example: "  carrel catalog copy nginx-jupyter course\n  carrel build course.sif course/Singularity",
		Args:    exactly(2, "NAME and FOLDER"),
	}
	c.RunE = func(_ *cobra.Command, args []string) error { return a.copyEntry(args[0], args[1]) }
	return c
}

func (a *app) copyEntry(name, folder string) error {
	e, err := a.find(name)
	if err != nil {
		return err
	}
	full, err := copyTo(e, folder)
	if err != nil {
		return err
	}
	return a.tellCopy(e, folder, full)
}

// copyTo copies an entry to a folder that is not there yet, or empty, and returns its absolute path.
func copyTo(e *catalog.Entry, folder string) (full string, err error) {
	if e.Raw == "" && e.Err != nil {
		return "", e.Err
	}
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) || len(entries) > 0 {
		if err == nil {
			err = errors.New("there are files in it")
		}
		return "", hinted(fmt.Errorf("copy %s to %s: %w", clean(e.ID()), folder, err), "name a folder that does not exist yet")
	}
	full, err = filepath.Abs(folder)
	if err != nil {
		return "", err
	}
	// The folder appears when it is complete.
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return "", fmt.Errorf("copy %s: %w", clean(e.ID()), err)
	}
	temporary, err := os.MkdirTemp(filepath.Dir(full), ".carrel-copy-")
	if err != nil {
		return "", fmt.Errorf("copy %s: %w", clean(e.ID()), err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, rmtree.Remove(temporary))
		}
	}()
	if err := fillCopy(temporary, e); err != nil {
		return "", fmt.Errorf("copy %s: %w", clean(e.ID()), err)
	}
	if err := os.Chmod(temporary, 0o755); err != nil {
		return "", fmt.Errorf("copy %s: %w", clean(e.ID()), err)
	}
	if err := unix.Rename(temporary, full); err != nil { // os.Rename refuses an empty folder that is there
		return "", fmt.Errorf("copy %s: %w", clean(e.ID()), err)
	}
	return full, nil
}

// tellCopy says what was copied, and what to do with it.
func (a *app) tellCopy(e *catalog.Entry, folder, full string) error {
	file := filepath.Join(folder, "Singularity")
	if a.json {
		return a.printJSON(struct {
			Name       string `json:"name"`
			Folder     string `json:"folder"`
			Definition string `json:"definition"`
		}{e.ID(), full, filepath.Join(full, "Singularity")})
	}
	for _, line := range e.Explain() {
		a.say("%s", clean(line))
	}
	own := ""
	if strings.Contains(e.Raw, "{{ CARREL }}") { // which a build by name fills in
		s, err := a.settings()
		if err != nil {
			return err
		}
		own = " --build-arg CARREL=" + quote(s.self)
	}
	a.say("copied %s to %s; change it, and build it: carrel build%s %s %s", clean(e.ID()), folder, own, quote(filepath.Base(full)+".sif"), quote(file))
	return nil
}

// fillCopy copies an entry's files, and its definition as the only one.
func fillCopy(folder string, e *catalog.Entry) error {
	if e.Dir != nil {
		if err := engine.CopyEntry(folder, e.Dir); err != nil {
			return err
		}
	}
	files, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, f := range files {
		if n := f.Name(); n == e.File || n == "Singularity" || strings.HasPrefix(n, "Singularity.") {
			if err := rmtree.Remove(filepath.Join(folder, n)); err != nil {
				return err
			}
		}
	}
	return os.WriteFile(filepath.Join(folder, "Singularity"), []byte(ending(e.Raw)), 0o644)
}

// definitions is what the screens change definition files with.
type definitions struct{ a *app }

// Copy copies an app of the catalog to a folder.
func (d definitions) Copy(_ context.Context, name, folder string) (string, error) {
	e, err := d.a.find(name)
	if err != nil {
		return "", err
	}
	full, err := copyTo(e, folder)
	return filepath.Join(full, "Singularity"), err
}

// Check says what is noticed in a definition, and whether it can be built from.
func (d definitions) Check(ctx context.Context, file string) (remarks []string, builds bool, err error) {
	r, err := d.a.lint(ctx, file)
	if err != nil {
		return nil, false, err
	}
	for _, f := range r.Findings {
		text := f.Message
		if f.Fix != "" {
			text += ": " + f.Fix
		}
		if f.Line > 0 {
			text = fmt.Sprintf("Line %d: %s", f.Line, text)
		}
		remarks = append(remarks, text)
	}
	return remarks, r.Valid && r.Builds, nil
}
