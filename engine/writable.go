package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"carrel/engine/changes"
	"carrel/engine/image"
	"carrel/engine/launch"
	"carrel/engine/sandbox/plan"
	"carrel/engine/sif"
	"carrel/engine/squashfs"
	"carrel/engine/tree"
	"carrel/internal/atomicfile"
	"carrel/internal/rmtree"
)

// Leftovers says what to do with changes of an image that an earlier run could not save because it was killed.
type Leftovers string

const (
	LeftoversAsk     Leftovers = ""        // fail with an *UnsavedError, so that the person can be asked
	LeftoversKeep    Leftovers = "keep"    // go on with them
	LeftoversDiscard Leftovers = "discard" // delete them
)

// BusyError is an image that somebody else is changing.
type BusyError struct {
	Image string
	By    string // what is known of the holder; may be empty
	Err   error
}

func (e *BusyError) Error() string {
	s := filepath.Base(e.Image) + ": another app is keeping its changes in this image"
	if e.By != "" {
		s += " (" + e.By + ")"
	}
	return s
}

func (e *BusyError) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *BusyError) Hint() string {
	return "stop that app first, start this one without --writable, or make a copy of the image"
}

// ReadOnlyImageError is an image that its user may not change.
type ReadOnlyImageError struct {
	Image string
	Err   error
}

func (e *ReadOnlyImageError) Error() string {
	return filepath.Base(e.Image) + ": you may not change this image, so nothing can be kept in it"
}

func (e *ReadOnlyImageError) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *ReadOnlyImageError) Hint() string {
	return "make a copy of your own (cp " + quote(e.Image) + " .), or start it without --writable"
}

// FullError is an image that can take no further layer.
type FullError struct {
	Image string
	Err   error
}

func (e *FullError) Error() string {
	return filepath.Base(e.Image) + ": it has as many layers of saved changes as an image can hold"
}

func (e *FullError) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *FullError) Hint() string {
	return "make one layer of them all: carrel compact " + quote(e.Image)
}

// SaveError is changes that could not be put into the image when the app ended. They are not lost.
type SaveError struct {
	Image string
	Err   error
}

func (e *SaveError) Error() string { return fmt.Sprintf("save changes in %s: %v", e.Image, e.Err) }

func (e *SaveError) Unwrap() error { return e.Err }

// Hint says that they are kept, and what to do about a cause that is known.
func (e *SaveError) Hint() string {
	const kept = "the changes are kept beside it: start it again with --writable --leftovers keep to save them"
	switch {
	case errors.Is(e.Err, sif.ErrFull):
		return (&FullError{Image: e.Image}).Hint() + "; " + kept
	case errors.Is(e.Err, unix.ENOSPC), errors.Is(e.Err, unix.EDQUOT):
		return "make room on the disk; " + kept
	}
	return kept
}

// keeper holds an image, or the file of an overlay, for changes while a container writes to it.
type keeper struct {
	e      *Engine
	path   string
	dir    string                                              // where the changes are collected
	id     identity                                            // of the file at path
	lower  func() (fs.FS, io.Closer, error)                    // what the changes are made to
	put    func(ctx context.Context, c *changes.Changes) error // saves them
	mounts []string
	owners changes.Options // what it says of owners
}

// imageLower is the lower of an image's own changes.
func imageLower(path string) func() (fs.FS, io.Closer, error) {
	return func() (fs.FS, io.Closer, error) {
		img, err := image.Open(path)
		if err != nil {
			return nil, nil, err
		}
		lower, err := img.FS()
		if err != nil {
			return nil, nil, errors.Join(err, img.Close())
		}
		return lower, img, nil
	}
}

// keep makes a container's root keep what changes. With look nothing is changed: it only tells whether it would work.
func (e *Engine) keep(p *prepared, s RunSpec, o *launch.Options, look bool) error {
	img := p.image
	if img.Kind == image.Sandbox {
		if err := unix.Access(img.Path, unix.W_OK); err != nil {
			return fmt.Errorf("write to %s: %w", img.Path, err)
		}
		o.Upper = &plan.Upper{Kind: plan.UpperDirect}
		return nil
	}
	if img.Kind != image.SIF {
		return fmt.Errorf("%s cannot keep changes: only a SIF can; `carrel build NEW.sif %s` makes one", img.Path, img.Path)
	}
	u, err := sif.OpenForUpdate(img.Path)
	if errors.Is(err, sif.ErrLocked) {
		return &BusyError{Image: img.Path, By: e.holderOf(img.Path), Err: err}
	}
	if errors.Is(err, os.ErrPermission) {
		return &ReadOnlyImageError{Image: img.Path, Err: err}
	}
	if err != nil {
		return err
	}
	if err := u.Room(); err != nil {
		return errors.Join(&FullError{Image: img.Path, Err: err}, u.Close())
	}
	if u.Image().Signed() {
		p.note(filepath.Base(img.Path) + " is signed: when changes are saved in it, its signature does not fit any more")
		p.signed = true
	}
	k := &keeper{e: e, path: img.Path, lower: imageLower(img.Path)}
	k.put = func(ctx context.Context, c *changes.Changes) error { return appendChanges(ctx, u, c, e.c.Now()) }
	k.owners = imageOwners(len(o.IDs.UID) == 1)
	return k.hold(p, s, o, look, u)
}

// imageOwners is how owners on disk become those of an image. One id inside stands for all: what it made is root's in the
// image, and what was there keeps its owner.
func imageOwners(oneID bool) changes.Options {
	if !oneID {
		return changes.Options{}
	}
	return changes.Options{Owner: tree.AllOwnedBy(0, 0), OneOwner: true, KeepOwners: true}
}

// read looks through the changes; lower is what they were made to.
func (k *keeper) read(lower fs.FS, mounts []string) (*changes.Changes, error) {
	o := k.owners
	o.Lower, o.MountPoints = lower, mounts
	return changes.Read(filepath.Join(k.dir, "upper"), o)
}

// hold gets the folder ready in which changes are collected. lock is closed with the container, at once when nothing is to
// be held.
func (k *keeper) hold(p *prepared, s RunSpec, o *launch.Options, look bool, lock io.Closer) error {
	k.id = identify(k.path)
	if look {
		k.dir, _ = k.e.findChanges(k.id)
	} else if aside, err := k.claim(k.id); err != nil {
		return errors.Join(err, lock.Close())
	} else if aside != "" {
		p.note("changes to another image that had the name " + filepath.Base(k.path) + " were never saved; they are kept in " + aside)
	}
	if left, err := k.unsaved(); err != nil {
		return errors.Join(err, lock.Close())
	} else if left != nil {
		switch s.Leftovers {
		case LeftoversKeep:
		case LeftoversDiscard:
			if !look {
				if err := rmtree.Remove(k.dir); err != nil {
					return errors.Join(fmt.Errorf("discard changes: %w", err), lock.Close())
				}
			}
		default:
			return errors.Join(&UnsavedError{*left}, lock.Close())
		}
	}
	if look {
		return lock.Close()
	}
	if err := k.folders(); err != nil {
		return errors.Join(&FolderError{Path: k.dir, Err: err}, lock.Close())
	}
	o.Upper = &plan.Upper{Kind: plan.UpperDir, Dir: k.dir}
	p.keeper = k
	p.closers = append(p.closers, func() { lock.Close() })
	return nil
}

// folders makes the folders of the overlay. The container's root has the attributes of the upper one, so that one gets those
// of the image's root.
func (k *keeper) folders() error {
	if err := os.MkdirAll(filepath.Join(k.dir, "work"), 0o755); err != nil {
		return err
	}
	upper := filepath.Join(k.dir, "upper")
	if err := os.Mkdir(upper, 0o755); errors.Is(err, fs.ErrExist) {
		return nil // with changes that were made before
	} else if err != nil {
		return err
	}
	lower, closer, err := k.lower()
	if err != nil {
		return err
	}
	defer closer.Close()
	root, err := fs.Stat(lower, ".")
	if err != nil {
		return err
	}
	if a := image.AttributesOf(root); !k.owners.OneOwner {
		if err := os.Chown(upper, int(a.UID), int(a.GID)); err != nil {
			return err
		}
	}
	return unix.Chmod(upper, changes.RootMode(root))
}

// begin notes who holds the image; after that changes may be made.
func (k *keeper) begin(ops []plan.Op) error {
	for _, op := range ops {
		k.mounts = append(k.mounts, op.Dest)
	}
	data, err := json.Marshal(holder{identity: k.id, PID: os.Getpid(), Started: k.e.c.Now(), Mounts: k.mounts})
	if err != nil {
		return err
	}
	return atomicfile.WriteFile(filepath.Join(k.dir, "holder.json"), data, 0o600)
}

// save puts what has changed into the image, and removes it from where it was collected. When it fails the changes stay
// there and are offered at the next start.
func (k *keeper) save(ctx context.Context) (*changes.Changes, error) {
	fail := func(c *changes.Changes, err error) (*changes.Changes, error) {
		return c, &SaveError{Image: k.path, Err: err}
	}
	lower, closer, err := k.lower()
	if err != nil {
		return fail(nil, err)
	}
	defer closer.Close()
	c, err := k.read(lower, k.mounts)
	if err != nil {
		return fail(nil, err)
	}
	if !c.Empty() {
		if err := k.put(ctx, c); err != nil {
			return fail(c, err)
		}
	}
	if err := rmtree.Remove(k.dir); err != nil {
		return c, fmt.Errorf("remove saved changes: %w", err)
	}
	return c, nil
}

// appendChanges makes changes a further layer of a SIF.
func appendChanges(ctx context.Context, u *sif.Update, c *changes.Changes, now time.Time) error {
	_, err := u.Append(ctx, sif.Overlay{
		Time: now, BreakSignature: true,
		Write: func(w sif.Target, offset int64) (int64, error) {
			defer packing()()
			sw, err := squashfs.NewWriter(w, squashfs.Options{Offset: offset})
			if err != nil {
				return 0, err
			}
			if err := c.WriteTo(ctx, sw); err != nil {
				sw.Abort()
				return 0, err
			}
			stats, err := sw.Close()
			return stats.PaddedSize, err
		},
	})
	return err
}
