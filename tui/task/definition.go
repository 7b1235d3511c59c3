package task

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"carrel/engine/card"
	"carrel/engine/definition"
)

// maxDefinition is how much of a file is looked at to tell whether it is a definition file.
const maxDefinition = 1 << 20

// ErrNoDefinition is a file that is no definition file: an image, or anything else.
var ErrNoDefinition = errors.New("no definition file")

// Definition reads a definition file, or the one named Singularity in a folder, and what it says of itself. It touches the
// disk, so it must not run on the loop. A file that looks like a definition but has mistakes gives the parser's error.
func Definition(path string) (text string, c Card, err error) {
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		path = filepath.Join(path, "Singularity")
	}
	f, err := os.Open(path)
	if err != nil {
		return "", Card{}, ErrNoDefinition
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() || st.Size() > maxDefinition {
		return "", Card{}, ErrNoDefinition
	}
	data, err := io.ReadAll(io.LimitReader(f, maxDefinition))
	if err != nil {
		return "", Card{}, err
	}
	text = string(data)
	if strings.ContainsRune(text, 0) || !strings.Contains(strings.ToLower(text), "bootstrap:") {
		return "", Card{}, ErrNoDefinition
	}
	c, err = read(text, path)
	return text, c, err
}

// DefinitionText is what the text of a definition file says of itself.
func DefinitionText(text string) (Card, error) { return read(text, "Singularity") }

func read(text, name string) (Card, error) {
	d, err := definition.ParseString(text, definition.Options{Name: name, AllowUndefined: true})
	if err != nil {
		return Card{}, err
	}
	c, _ := card.Parse(d.Final().LabelMap())
	return c, nil
}
