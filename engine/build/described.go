package build

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"
)

// Of an image that is described, texts of the definition are added to those of its base. A build that goes on behind that must
// not add them once more, and the person may have changed them meanwhile: what was there before is remembered, and put back.

// priorFile is a file of /.singularity.d as it was before the image was described.
type priorFile struct {
	Path string      `json:"path"`           // below the root
	Text []byte      `json:"text,omitempty"` // contents
	Mode fs.FileMode `json:"mode,omitempty"` // 0: there was none
}

const aboutDir = ".singularity.d"

// aboutFiles are the regular files by which an image describes itself, by path.
func aboutFiles(root *os.Root) (map[string]priorFile, error) {
	files := map[string]priorFile{}
	err := fs.WalkDir(root.FS(), aboutDir, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && p == path.Join(aboutDir, "libs"):
			return fs.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		info, err := d.Info()
		if err != nil || info.Size() > maxAbout {
			return err
		}
		text, err := root.ReadFile(p)
		files[p] = priorFile{Path: p, Text: text, Mode: info.Mode().Perm()}
		return err
	})
	return files, err
}

// maxAbout bounds the files that are remembered, in bytes: longer ones are none that describe.
const maxAbout = 1 << 20

// changedSince are the files as they were, of those that are different now.
func changedSince(before map[string]priorFile, root *os.Root) ([]priorFile, error) {
	after, err := aboutFiles(root)
	if err != nil {
		return nil, err
	}
	var out []priorFile
	for p, f := range before {
		if now, there := after[p]; !there || !bytes.Equal(now.Text, f.Text) || now.Mode != f.Mode {
			out = append(out, f)
		}
	}
	for p := range after {
		if _, there := before[p]; !there {
			out = append(out, priorFile{Path: p})
		}
	}
	return out, nil
}

// undescribe puts back what was there before an image was described.
func undescribe(dir string, files []priorFile) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	var errs []error
	for _, f := range files {
		if !strings.HasPrefix(f.Path, aboutDir+"/") {
			continue
		}
		errs = append(errs, ignoreMissing(root.Remove(f.Path)))
		if f.Mode == 0 {
			continue
		}
		err := root.WriteFile(f.Path, f.Text, 0o600)
		errs = append(errs, err, root.Chmod(f.Path, f.Mode))
	}
	return errors.Join(errs...)
}
