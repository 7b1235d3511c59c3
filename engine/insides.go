package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"carrel/engine/image"
	"carrel/engine/look"
	"carrel/engine/tree"
)

// What is in images; see package look.
type (
	ImageFile     = look.File
	ImagePackage  = look.Package
	Installed     = look.Installed
	SpaceUsage    = look.Usage
	Sizes         = look.Sizes
	Difference    = look.Difference
	FileChange    = look.Change
	PackageChange = look.PackageChange
	Unread        = look.Unread
	// FileTooLargeError is a file that is longer than a caller takes.
	FileTooLargeError = look.TooLargeError
)

// contents opens an image and its contents. The caller closes the image.
func (e *Engine) contents(ctx context.Context, verb, name string, opt image.IndexOptions) (*image.Image, fs.FS, error) {
	img, _, err := e.open(ctx, verb, name)
	if err != nil {
		return nil, nil, err
	}
	fsys, err := img.Contents(ctx, opt)
	if err != nil {
		return nil, nil, errors.Join(err, img.Close())
	}
	return img, fsys, nil
}

// inside names the image in errors about paths in it.
func inside(name string, err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("%s: /%s: %w", name, p.Path, p.Err)
	}
	return err
}

// Files lists a folder of an image ("/" is its root), or describes one file of it. No layer of a registry's image is kept
// but in the cache; images in files are not unpacked.
func (e *Engine) Files(ctx context.Context, name, at string) ([]ImageFile, error) {
	img, fsys, err := e.contents(ctx, "list", name, image.IndexOptions{})
	if err != nil {
		return nil, err
	}
	defer img.Close()
	list, err := look.List(fsys, at)
	return list, inside(name, err)
}

// ReadFile reads a file of an image; one of more than limit bytes (0: any) is a *FileTooLargeError.
func (e *Engine) ReadFile(ctx context.Context, name, at string, limit int64) ([]byte, error) {
	want := look.Clean(at)
	img, fsys, err := e.contents(ctx, "read", name, image.IndexOptions{Only: want, Keep: func(f *tree.Entry) bool { return f.Path == want }})
	if err != nil {
		return nil, err
	}
	defer img.Close()
	b, err := look.Read(fsys, at, limit)
	return b, inside(name, err)
}

// Find lists the files and folders of an image whose name holds all words, whatever their case, below a path ("/" is the
// root): at most limit of them (0: all), each under its whole path. more tells that there are others.
func (e *Engine) Find(ctx context.Context, name, at, words string, limit int) (found []ImageFile, more bool, err error) {
	img, fsys, err := e.contents(ctx, "search", name, image.IndexOptions{})
	if err != nil {
		return nil, false, err
	}
	defer img.Close()
	found, more, err = look.Find(ctx, fsys, at, words, limit)
	return found, more, inside(name, err)
}

// CatFile writes a file of an image, of any length.
func (e *Engine) CatFile(ctx context.Context, name, at string, w io.Writer) error {
	want := look.Clean(at)
	img, fsys, err := e.contents(ctx, "read", name, image.IndexOptions{Only: want, Keep: func(f *tree.Entry) bool { return f.Path == want }})
	if err != nil {
		return err
	}
	defer img.Close()
	f, err := fsys.Open(look.Clean(at))
	if err != nil {
		return inside(name, err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return errors.Join(err, fmt.Errorf("%s: %s: not a regular file", name, path.Clean("/"+at)))
	}
	_, err = io.Copy(w, f)
	return inside(name, err)
}

// Packages lists what package managers installed in an image.
func (e *Engine) Packages(ctx context.Context, name string) (Installed, error) {
	img, fsys, err := e.contents(ctx, "read", name, image.IndexOptions{Keep: look.IsRecord})
	if err != nil {
		return Installed{}, err
	}
	defer img.Close()
	list, err := look.Packages(ctx, fsys)
	return list, inside(name, err)
}

// Sizes tells what takes the space below a path of an image ("/" is its root).
func (e *Engine) Sizes(ctx context.Context, name, at string) (Sizes, error) {
	img, fsys, err := e.contents(ctx, "measure", name, image.IndexOptions{})
	if err != nil {
		return Sizes{}, err
	}
	defer img.Close()
	s, err := look.Measure(ctx, fsys, at, img.Stored)
	return s, inside(name, err)
}

// Diff compares the contents of two images: what has to happen to the first to get the second.
func (e *Engine) Diff(ctx context.Context, before, after string) (Difference, error) {
	opt := image.IndexOptions{Keep: look.IsRecord, Digest: true}
	a, old, err := e.contents(ctx, "compare", before, opt)
	if err != nil {
		return Difference{}, err
	}
	defer a.Close()
	b, now, err := e.contents(ctx, "compare", after, opt)
	if err != nil {
		return Difference{}, err
	}
	defer b.Close()
	return look.Diff(ctx, old, now)
}

// Changes is what was changed in an image since it was built: by apps that kept their changes, and by overlays that were added.
type Changes struct {
	Difference
	Layers int `json:"layers"` // how many times something was kept; 0: it is as it was built
}

// NoRecordError is an image of which nobody knows how it was when it was built: a folder.
type NoRecordError struct{ Name string }

func (e *NoRecordError) Error() string {
	return "compare " + e.Name + ": a folder keeps no record of what was changed in it"
}

// Hint names the other way.
func (e *NoRecordError) Hint() string {
	return "compare it with another image: carrel inspect --diff OTHER " + e.Name
}

// Changes compares an image with itself as it was built. Only what its overlays touch is read. A folder is a *NoRecordError.
func (e *Engine) Changes(ctx context.Context, name string) (Changes, error) {
	img, _, err := e.open(ctx, "compare", name)
	if err != nil {
		return Changes{}, err
	}
	defer img.Close()
	if img.Kind == image.Sandbox {
		return Changes{}, &NoRecordError{name}
	}
	out := Changes{Difference: Difference{Files: []FileChange{}, Packages: []PackageChange{}}, Layers: len(img.Overlays())}
	if out.Layers == 0 {
		return out, nil
	}
	before, err := img.Built()
	if err != nil {
		return out, err
	}
	after, err := img.FS()
	if err != nil {
		return out, err
	}
	out.Difference, err = look.Diff(ctx, before, after)
	return out, inside(name, err)
}
