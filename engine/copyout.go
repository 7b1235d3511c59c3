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

	"carrel/engine/look"
	"carrel/engine/tree"
	"carrel/internal/scratch"
)

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
	return e.copyOut(ctx, name, at, dest, false)
}

// CopyOutNew is CopyOut for those who want nothing replaced: where a file or link is that the copy would take the place of,
// nothing is copied, and the error wraps ErrExists. Folders are merged.
func (e *Engine) CopyOutNew(ctx context.Context, name, at, dest string) (Copied, error) {
	return e.copyOut(ctx, name, at, dest, true)
}

func (e *Engine) copyOut(ctx context.Context, name, at, dest string, keep bool) (Copied, error) {
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
	if keep {
		if err := nothingThere(ctx, target, info, source); err != nil {
			return Copied{}, inside(name, err)
		}
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

// nothingThere is an error that names the first file that a copy would replace.
func nothingThere(ctx context.Context, target string, info fs.FileInfo, source tree.Source) error {
	there, err := os.Lstat(target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("copy to %s: %w", target, ErrExists)
	case !there.IsDir() && !isFolder(target):
		return fmt.Errorf("copy to %s: a file of that name %w", target, ErrExists)
	}
	root, err := os.OpenRoot(target)
	if err != nil {
		return err
	}
	defer root.Close()
	return source.WriteTo(ctx, &vacancy{root, target})
}

// vacancy is a sink that copies nothing, and ends at the first entry whose place in a folder is taken.
type vacancy struct {
	root   *os.Root
	target string
}

// Add implements tree.Sink.
func (v *vacancy) Add(entry tree.Entry, _ io.Reader) error {
	there, err := v.root.Lstat(entry.Path)
	if err != nil { // not there, or behind a link, where no copy goes
		return nil
	}
	if there.IsDir() && entry.IsDir() || entry.Path == "." {
		return nil
	}
	return fmt.Errorf("copy to %s: %w", filepath.Join(v.target, entry.Path), ErrExists)
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
