package image

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"carrel/engine/sif"
)

// NotImageError is a folder that was to be replaced by an image, and is none itself: it may hold anybody's work.
type NotImageError struct{ Path string }

func (e *NotImageError) Error() string {
	return fmt.Sprintf("replace %s: it is a folder, but no image, so it stays as it is", e.Path)
}

// Hint says what to do about it.
func (e *NotImageError) Hint() string {
	return "give the image another name, or move the folder out of the way yourself"
}

// CheckReplace tells whether a new image may take the place of what is at path: of nothing, a file, an empty folder, or a
// folder that is an image beyond doubt. It is more careful than Detect, which takes a folder with a bin for a sandbox:
// many projects have one. Any other folder is a *NotImageError.
func CheckReplace(path string) error {
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !st.IsDir() {
		return nil
	}
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return nil
	}
	names := map[string]bool{}
	for _, e := range entries {
		names[e.Name()] = true
	}
	if Detect(path) == Kind(sif.KindOCILayout) {
		for _, own := range []string{"oci-layout", "index.json", "blobs", "ingest"} { // image-layout.md; containers/image keeps ingest
			delete(names, own)
		}
		if len(names) == 0 {
			return nil
		}
		return &NotImageError{path}
	}
	// A root file system, of Singularity or of anybody (Filesystem Hierarchy Standard 3.0, section 3.2).
	count := 0
	for _, n := range []string{"bin", "etc", "usr", "var"} {
		if names[n] {
			count++
		}
	}
	if names[dotd] || count >= 3 {
		return nil
	}
	return &NotImageError{path}
}
