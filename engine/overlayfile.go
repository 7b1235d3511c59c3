package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"carrel/engine/changes"
	"carrel/engine/ext"
	"carrel/engine/image"
	"carrel/engine/launch"
	"carrel/engine/sif"
	"carrel/engine/tree"
	"carrel/internal/atomicfile"
	"carrel/internal/filelock"
)

// An overlay in an ext3 file (`apptainer overlay create`) keeps changes in its folder upper. It is never written to in place:
// while a container runs its changes are collected in a folder, as those of an image are, and at the end the file is made
// anew, with the old and the new changes, and takes the place of the old one in one step. That needs neither root nor a
// program beside this one, and a crash leaves the old file or the new one.

// overlayFile lays the ext3 file of an open image over what a container sees; layers below are those of the image and of the
// overlays before it.
func (e *Engine) overlayFile(s RunSpec, p *prepared, over *image.Image, below []*image.Image, readOnly bool, o *launch.Options, look bool) error {
	part, err := over.System()
	if err != nil {
		return fmt.Errorf("overlay: %w", err)
	}
	layer, err := over.OverlayLayer()
	if err != nil {
		return fmt.Errorf("overlay %s: %w", over.Path, err)
	}
	if !layer.Empty() {
		l, err := e.copied(p, o, over.Path, part, layer)
		if err != nil {
			return fmt.Errorf("overlay %s: %w", over.Path, err)
		}
		o.Layers = append(o.Layers, l)
	}
	if readOnly {
		return nil
	}
	if o.Upper != nil {
		return fmt.Errorf("overlay %s: only one overlay can be written to; add :ro to the others", over.Path)
	}
	path, err := filepath.EvalSymlinks(over.Path) // it is replaced, and not a link to it
	if err != nil {
		return fmt.Errorf("overlay: %w", err)
	}
	f, err := lockOverlay(path)
	if err != nil {
		if errors.Is(err, sif.ErrLocked) {
			err = &BusyError{Image: over.Path, By: e.holderOf(over.Path), Err: err}
		}
		return err
	}
	k := &keeper{e: e, path: over.Path}
	k.owners.OneOwner = len(o.IDs.UID) == 1 // who is the owner in the file, as Apptainer has it
	paths := []string{p.image.Path}
	for _, b := range append(below, over) {
		paths = append(paths, b.Path)
	}
	k.lower = func() (fs.FS, io.Closer, error) { return openLayered(paths) }
	k.put = func(ctx context.Context, c *changes.Changes) error {
		fsys, closer, err := openLayered(paths[:len(paths)-1])
		if err != nil {
			return err
		}
		return errors.Join(rewriteOverlay(ctx, path, fsys, c, e.c.Now()), closer.Close())
	}
	o.ReadOnly = false
	return k.hold(p, s, o, look, f)
}

// lockOverlay holds a file against other writers. The error wraps sif.ErrLocked when another program holds it, and is a
// *ReadOnlyImageError when its user may not write to it.
func lockOverlay(path string) (*os.File, error) {
	f, err := filelock.Open(path, os.O_RDWR|unix.O_NONBLOCK, unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return nil, fmt.Errorf("overlay %s: %w", path, sif.ErrLocked)
	case errors.Is(err, os.ErrPermission):
		return nil, &ReadOnlyOverlayError{Path: path, Err: err}
	case err != nil:
		return nil, fmt.Errorf("overlay: %w", err)
	}
	if unix.Access(filepath.Dir(path), unix.W_OK) != nil {
		return nil, errors.Join(&ReadOnlyOverlayError{Path: path, Err: unix.EACCES}, f.Close())
	}
	return f, nil
}

// ReadOnlyOverlayError is an overlay's file that cannot be replaced by its user.
type ReadOnlyOverlayError struct {
	Path string
	Err  error
}

func (e *ReadOnlyOverlayError) Error() string {
	return fmt.Sprintf("overlay %s: you may not change this file or its folder, so nothing can be kept in it", e.Path)
}

func (e *ReadOnlyOverlayError) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *ReadOnlyOverlayError) Hint() string {
	return "only read it (--overlay " + quote(e.Path+":ro") + "), or make a copy of your own"
}

// openLayered opens an image and overlays over it, as one file system.
func openLayered(paths []string) (fs.FS, io.Closer, error) {
	var all images
	for _, p := range paths {
		img, err := openOverlay(p)
		if err != nil {
			return nil, nil, errors.Join(err, all.Close())
		}
		all = append(all, img)
	}
	fsys, err := image.Layered(all[0], all[1:]...)
	if err != nil {
		return nil, nil, errors.Join(err, all.Close())
	}
	return fsys, all, nil
}

// openOverlay opens an image, a file that is laid over one, or a folder that is.
func openOverlay(path string) (*image.Image, error) {
	if isFolder(path) {
		return image.OpenFolder(path)
	}
	return image.Open(path)
}

type images []*image.Image

func (l images) Close() error {
	var errs []error
	for _, img := range l {
		errs = append(errs, img.Close())
	}
	return errors.Join(errs...)
}

// rewriteOverlay makes the file of an overlay anew, with changes over those that it has; below is what it lies over. It keeps its size, unless they need
// more, its mode and its owner.
func rewriteOverlay(ctx context.Context, path string, below fs.FS, c *changes.Changes, now time.Time) error {
	old, err := image.Open(path)
	if err != nil {
		return err
	}
	defer old.Close()
	layer, err := old.OverlayLayer()
	if err != nil {
		return err
	}
	st, err := old.File().Stat()
	if err != nil {
		return err
	}
	source := changes.Merge(below, layer, c)
	f, err := atomicfile.Create(path, st.Mode().Perm())
	if err != nil {
		return err
	}
	defer f.Close()
	if err := writeOverlay(ctx, f.File, overlayTree{upper: source, now: now}, st.Size(), now); err != nil {
		return err
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		if err := f.Chown(int(sys.Uid), int(sys.Gid)); err != nil && !errors.Is(err, os.ErrPermission) {
			return err
		}
	}
	return f.Commit()
}

// writeOverlay writes an ext3 file system into an empty file, which gets its size.
func writeOverlay(ctx context.Context, f *os.File, source tree.Source, size int64, now time.Time) error {
	n, err := ext.Write(ctx, f, source, ext.WriteOptions{Size: size, Time: now, UUID: randomUUID()})
	if err != nil {
		return err
	}
	return f.Truncate(max(n, size))
}

// randomUUID is one of version 4 (RFC 9562, section 5.4).
func randomUUID() (id [16]byte) {
	rand.Read(id[:])
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}

// overlayTree is what an overlay's file holds: the folders upper and work.
type overlayTree struct {
	upper    tree.Source // nil for nothing
	folders  []string    // further folders in upper
	uid, gid uint32      // of these folders
	now      time.Time
}

// WriteTo implements tree.Source.
func (t overlayTree) WriteTo(ctx context.Context, sink tree.Sink) error {
	for _, p := range append([]string{".", "upper", "work"}, t.folders...) {
		if err := sink.Add(tree.Entry{Path: p, Mode: tree.TypeDir | 0o755, UID: t.uid, GID: t.gid, ModTime: t.now}, nil); err != nil {
			return err
		}
	}
	if t.upper == nil {
		return nil
	}
	return t.upper.WriteTo(ctx, belowSink{sink, "upper"})
}

// belowSink puts a tree into a folder of another.
type belowSink struct {
	sink tree.Sink
	dir  string
}

func (s belowSink) Add(e tree.Entry, body io.Reader) error {
	e.Path = filepath.Join(s.dir, e.Path)
	if e.HardLink != "" {
		e.HardLink = filepath.Join(s.dir, e.HardLink)
	}
	return s.sink.Add(e, body)
}
