package task

import (
	"os"
	"path/filepath"
	"sort"
	"strings"
	"unicode/utf8"
)

// Completion is how a path that was typed may go on.
type Completion struct {
	Text    string   // what was typed
	Rest    string   // what all that fits has in common, to be added; empty when nothing can be added
	Options []string // names that fit, when there are several; up to maxOptions
	More    int      // how many further ones there are
}

const maxOptions = 8

// Complete reads the folder a path leads to and says how the path may go on. A leading ~ is the home folder. It touches the
// disk, so it must not run on the loop.
func Complete(text, home string, foldersOnly bool) Completion {
	c := Completion{Text: text}
	if text == "~" {
		c.Rest = "/"
		return c
	}
	path := Expand(text, home)
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return c
	}
	var names []string
	for _, e := range entries {
		n := e.Name()
		if !strings.HasPrefix(n, base) || base == "" && strings.HasPrefix(n, ".") {
			continue
		}
		isDir := e.IsDir()
		if e.Type()&os.ModeSymlink != 0 {
			if fi, err := os.Stat(filepath.Join(dir, n)); err == nil {
				isDir = fi.IsDir()
			}
		}
		switch {
		case isDir:
			names = append(names, n+"/")
		case !foldersOnly:
			names = append(names, n)
		}
	}
	if len(names) == 0 {
		return c
	}
	sort.Strings(names)
	common := names[0]
	for _, n := range names[1:] {
		i := 0
		for i < len(n) && i < len(common) && n[i] == common[i] {
			i++
		}
		common = common[:i]
	}
	for common != "" && !utf8.ValidString(common) { // the names part in the middle of a character
		common = common[:len(common)-1]
	}
	if text != "" {
		c.Rest = strings.TrimPrefix(common, base)
		if !strings.HasPrefix(common, base) {
			c.Rest = ""
		}
	}
	if len(names) > 1 {
		c.Options = names
		if len(names) > maxOptions {
			c.Options, c.More = names[:maxOptions], len(names)-maxOptions
		}
	}
	return c
}

// Folders lists the folders in a folder and counts its files. It touches the disk, so it must not run on the loop.
func Folders(dir string, hidden bool) (names []string, files int, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		n := e.Name()
		isDir := e.IsDir()
		if e.Type()&os.ModeSymlink != 0 {
			fi, err := os.Stat(filepath.Join(dir, n))
			isDir = err == nil && fi.IsDir()
		}
		switch {
		case !isDir:
			files++
		case hidden || !strings.HasPrefix(n, "."):
			names = append(names, n)
		}
	}
	return names, files, err
}

// Expand replaces a leading ~ by the home folder.
func Expand(path, home string) string {
	if path == "~" {
		return home
	}
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		if strings.HasSuffix(path, "/") {
			return filepath.Join(home, rest) + "/"
		}
		return filepath.Join(home, rest)
	}
	return path
}
