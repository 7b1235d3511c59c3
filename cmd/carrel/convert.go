package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"carrel/catalog/dockerfile"
	"carrel/engine/definition"
	"carrel/internal/atomicfile"
)

func (a *app) convertCommand() *cobra.Command {
	force := false
	c := &cobra.Command{
		Use: "convert FILE [OUT]", Short: "Turn a Dockerfile into a definition file, or the other way round", GroupID: groupImages,
		Long: `FILE is a Dockerfile or a definition file; what it is, is seen from its text. The
result is printed, or written to OUT. What the other form cannot say stands in the
result as a remark, in its place, and is listed when it is done.`,
		Example: "  carrel convert Dockerfile Singularity\n  carrel convert Singularity > Dockerfile",
		Args:    between(1, 2, "FILE"),
	}
	c.Flags().BoolVarP(&force, "force", "F", false, "replace OUT when it exists")
	c.Flags().BoolVarP(&a.quiet, "quiet", "q", false, "do not list remarks")
	c.RunE = func(_ *cobra.Command, args []string) error {
		text, err := readSmall(args[0])
		if err != nil {
			return err
		}
		r, err := convertText(args[0], text)
		if err != nil {
			return err
		}
		if len(args) == 2 {
			if _, err := os.Lstat(args[1]); err == nil && !force {
				return hinted(fmt.Errorf("write %s: it exists already", args[1]), "add --force to replace it")
			}
			if err := atomicfile.WriteFile(args[1], []byte(r.Text), 0o644); err != nil {
				return fmt.Errorf("write %s: %w", args[1], err)
			}
		} else if err := a.print(r.Text); err != nil {
			return err
		}
		for _, m := range r.Remarks {
			a.say("line %d: %s", m.Line, clean(m.Text))
		}
		return nil
	}
	return c
}

// convertText turns one form into the other.
func convertText(file, text string) (dockerfile.Result, error) {
	if looksLikeDefinition(text) {
		f, err := definition.ParseString(text, definition.Options{Name: file, AllowUndefined: true})
		if err != nil {
			return dockerfile.Result{}, hinted(err, "carrel lint "+quote(file)+" says more")
		}
		return dockerfile.FromDefinition(f), nil
	}
	r, err := dockerfile.ToDefinition(text, os.DirFS(filepath.Dir(file)))
	if err != nil {
		return r, hinted(fmt.Errorf("read %s: %w", file, err), "it is read as a Dockerfile: a definition file begins with Bootstrap:")
	}
	return r, nil
}

// looksLikeDefinition tells of a text with a header line of a definition file.
func looksLikeDefinition(text string) bool {
	for line := range strings.Lines(text) {
		key, _, ok := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, "\ufeff")), ":")
		if ok && strings.EqualFold(strings.TrimSpace(key), "bootstrap") {
			return true
		}
	}
	return false
}

// readSmall reads a text file of at most dockerfile.MaxSize bytes.
func readSmall(path string) (string, error) {
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read %s: there is no such file", path)
	}
	if err != nil {
		return "", err
	}
	if !st.Mode().IsRegular() {
		return "", fmt.Errorf("read %s: not a file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, dockerfile.MaxSize+1))
	if err != nil {
		return "", err
	}
	if len(data) > dockerfile.MaxSize {
		return "", fmt.Errorf("read %s: too large for such a file", path)
	}
	return string(data), nil
}
