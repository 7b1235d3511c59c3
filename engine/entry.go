package engine

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// maxEntryDepth bounds the folders of a catalog entry.
const maxEntryDepth = 64

// copyEntry copies a folder of a catalog entry to disk. Links to files become what they point to, as far as the entry's file
// system lets them: a link in the copy could lead to the person's own files, which a definition of somebody else's could then
// take along. Links to folders, which may lead round in a circle, and those that lead out of a foreign catalog are left out.
func copyEntry(dst string, files fs.FS, dir string, depth int) error {
	if depth > maxEntryDepth {
		return fmt.Errorf("folders more than %d deep", maxEntryDepth)
	}
	if err := os.MkdirAll(dst, 0o755); err != nil {
		return err
	}
	entries, err := fs.ReadDir(files, dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name, target := path.Join(dir, e.Name()), filepath.Join(dst, e.Name())
		info, err := fs.Stat(files, name)
		if err != nil {
			if e.Type()&fs.ModeSymlink != 0 {
				continue
			}
			return err
		}
		switch {
		case info.IsDir() && (e.Name() == ".git" || e.Type()&fs.ModeSymlink != 0):
			continue
		case info.IsDir():
			err = copyEntry(target, files, name, depth+1)
		case info.Mode().IsRegular():
			err = copyEntryFile(target, files, name, info.Mode().Perm())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func copyEntryFile(target string, files fs.FS, name string, perm fs.FileMode) error {
	in, err := files.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm|0o200)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
