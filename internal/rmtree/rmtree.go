// Package rmtree removes folders that others filled: with entries that their owner may not enter or change as they are.
package rmtree

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Remove removes a folder and all in it, as os.RemoveAll does, and makes folders below it accessible first where that is
// in the way: the work folder of an overlay has no permissions at all, and build systems leave read-only trees.
func Remove(dir string) error {
	err := os.RemoveAll(dir)
	if err == nil || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, _ error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(p, 0o700) // before its content is read; what cannot be changed shows below
		}
		return nil
	})
	return os.RemoveAll(dir)
}
