package look

import (
	"errors"
	"io/fs"

	"carrel/engine/image"
)

var errTwice = errors.New("the image is damaged: a folder is at two places")

// visited knows the folders that were entered. A folder that is at several places, within others that are, would make a small image
// an endless tree.
type visited map[any]bool

// enter is an error for a folder that was entered before.
func (o visited) enter(name string, info fs.FileInfo) error {
	key := image.FolderKey(info)
	if key == nil {
		return nil
	}
	if o[key] {
		return &fs.PathError{Op: "read", Path: name, Err: errTwice}
	}
	o[key] = true
	return nil
}
