package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"carrel/engine/image"
	"carrel/engine/look"
	"carrel/engine/tree"
	"carrel/internal/scratch"
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
	img, fsys, err := e.contents(ctx, "read", name, image.IndexOptions{Keep: func(f *tree.Entry) bool { return f.Path == want }})
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
	img, fsys, err := e.contents(ctx, "read", name, image.IndexOptions{Keep: func(f *tree.Entry) bool { return f.Path == want }})
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

// Copied is what CopyOut did.
type Copied struct {
	Path    string   `json:"path"`  // what was made
	Files   int64    `json:"files"` // everything but folders
	Bytes   int64    `json:"bytes"`
	Skipped []string `json:"skipped,omitempty"` // devices and sockets, by their paths below Path
}

// CopyOut copies a file or folder out of an image to dest on the host: into it under its own name when dest is a folder,
// else as dest, whose folder must exist. What is there of the same name is replaced, folders are merged. Symbolic links
// stay links, except for one that is copied itself. Nothing is written outside of dest, whatever names and links the image
// has; set-user-id marks and owners are not copied.
func (e *Engine) CopyOut(ctx context.Context, name, at, dest string) (Copied, error) {
	img, _, err := e.open(ctx, "copy from", name)
	if err != nil {
		return Copied{}, err
	}
	defer img.Close()
	source, info, err := img.Subtree(ctx, look.Clean(at), true)
	if err != nil {
		return Copied{}, inside(name, err)
	}
	target := e.expand(dest)
	if st, err := os.Stat(target); err == nil && st.IsDir() {
		if base := path.Base(path.Clean("/" + at)); base != "/" {
			target = filepath.Join(target, base)
		}
	}
	if st, err := os.Lstat(target); err == nil && st.IsDir() && !info.IsDir() {
		return Copied{}, fmt.Errorf("copy to %s: it is a folder", target)
	}
	if _, err := os.Stat(filepath.Dir(target)); err != nil {
		return Copied{}, fmt.Errorf("copy to %s: %w", target, err)
	}
	c := &copySink{out: Copied{Path: target}}
	if info.IsDir() {
		c.merged = isFolder(target)
		err = c.into(ctx, target, source)
	} else {
		err = c.file(ctx, target, source)
	}
	return c.out, inside(name, err)
}

// copySink is between a part of an image and the host.
type copySink struct {
	out  Copied
	sink tree.Sink
	// merged: the folder was there, and keeps its mode and time.
	merged bool
}

func (c *copySink) into(ctx context.Context, dir string, source tree.Source) error {
	u, err := tree.Unpack(dir, tree.UnpackOptions{OwnerAccess: true, SkipXattrs: true})
	if err != nil {
		return err
	}
	c.sink = u
	err = source.WriteTo(ctx, c)
	_, cerr := u.Close()
	return errors.Join(err, cerr)
}

// file writes a single file beside its place and gives it its name when it is complete.
func (c *copySink) file(ctx context.Context, target string, source tree.Source) error {
	dir, release, err := scratch.Folder(filepath.Dir(target), scratch.Beside)
	if err != nil {
		return err
	}
	defer release()
	if err := c.into(ctx, dir, renamed{source, "copy"}); err != nil {
		return err
	}
	if len(c.out.Skipped) > 0 {
		return fmt.Errorf("copy to %s: only files, links and folders can be copied", target)
	}
	return os.Rename(filepath.Join(dir, "copy"), target)
}

// Add implements tree.Sink.
func (c *copySink) Add(entry tree.Entry, body io.Reader) error {
	entry.Mode &^= 0o6000
	if c.merged && entry.Path == "." {
		return nil
	}
	switch {
	case entry.HardLink != "":
		c.out.Files++
	case entry.Type() == tree.TypeDir:
	case entry.Type() == tree.TypeRegular, entry.Type() == tree.TypeSymlink, entry.Type() == tree.TypeFifo:
		c.out.Files++
		c.out.Bytes += entry.Size
	default:
		c.out.Skipped = append(c.out.Skipped, entry.Path)
		return nil
	}
	return c.sink.Add(entry, body)
}

// renamed is a source of one entry, under another name.
type renamed struct {
	tree.Source
	name string
}

func (r renamed) WriteTo(ctx context.Context, sink tree.Sink) error {
	return r.Source.WriteTo(ctx, renamingSink{sink, r.name})
}

type renamingSink struct {
	tree.Sink
	name string
}

func (r renamingSink) Add(entry tree.Entry, body io.Reader) error {
	entry.Path = r.name
	return r.Sink.Add(entry, body)
}
