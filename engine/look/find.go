package look

import (
	"context"
	"io/fs"
	"path"
	"strings"
)

// Find lists what has a name that holds all words, whatever their case, anywhere below a folder of an image; in the order of
// the folders, at most limit of them (0: all). The Name of each is its whole path without the leading slash. more tells that
// there are others. Folders that cannot be read are passed over.
func Find(ctx context.Context, fsys fs.FS, below, words string, limit int) (found []File, more bool, err error) {
	want := strings.Fields(strings.ToLower(words))
	fits := func(name string) bool {
		name = strings.ToLower(name)
		for _, w := range want {
			if !strings.Contains(name, w) {
				return false
			}
		}
		return true
	}
	folders := visited{}
	err = fs.WalkDir(fsys, Clean(below), func(name string, e fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && e != nil && e.IsDir() && name != Clean(below):
			return fs.SkipDir
		case err != nil:
			return err
		}
		if e.IsDir() && name != "." {
			if info, err := e.Info(); err == nil {
				if err := folders.enter(name, info); err != nil {
					return err
				}
			}
		}
		switch {
		case name == "." || !fits(path.Base(name)):
			return nil
		case limit > 0 && len(found) == limit:
			more = true
			return fs.SkipAll
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		f, err := describe(fsys, name, info)
		if err != nil {
			return err
		}
		f.Name = name
		found = append(found, f)
		return nil
	})
	return found, more, err
}
