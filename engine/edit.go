package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"

	"carrel/engine/ext"
	"carrel/engine/sif"
	"carrel/internal/atomicfile"
)

// minOverlay is the smallest overlay that is made, bytes: the file system's own tables and journal take some of it.
const minOverlay = 16 << 20

// OverlaySpec asks for an ext3 overlay to be made.
type OverlaySpec struct {
	Path    string   // of the file; a SIF that is there gets a partition instead
	Size    int64    // bytes
	Folders []string // to be in it, as they are in the container
}

// OverlayExistsError is a SIF that has an ext3 overlay already.
type OverlayExistsError struct{ Path string }

func (e *OverlayExistsError) Error() string {
	return fmt.Sprintf("overlay %s: the image has an overlay partition already", e.Path)
}

// Hint says what to do about it.
func (e *OverlayExistsError) Hint() string {
	return "`sif list` shows it, `sif del` removes it; `run --writable` needs none to keep changes in an image"
}

// CreateOverlay makes an ext3 file system that keeps changes, as `apptainer overlay create` does, in a file of its own or in a
// partition of a SIF. It belongs to the caller. ErrExists: the file is there and no SIF.
func (e *Engine) CreateOverlay(ctx context.Context, s OverlaySpec) error {
	if s.Size < minOverlay {
		return fmt.Errorf("overlay %s: the least size is %d MiB", s.Path, minOverlay>>20)
	}
	now := e.c.Now()
	source := overlayTree{now: now, uid: uint32(e.c.User.UID), gid: uint32(e.c.User.GID)}
	for _, d := range s.Folders {
		if d = path.Clean("/" + d); d == "/" {
			continue
		}
		// Each part of a path, so that all belong to the caller.
		for i := 1; i < len(d); i++ {
			if d[i] == '/' {
				source.folders = append(source.folders, "upper"+d[:i])
			}
		}
		source.folders = append(source.folders, "upper"+d)
	}
	target := e.expand(s.Path)
	if _, err := os.Lstat(target); err == nil {
		u, err := sif.OpenForUpdate(target)
		if errors.Is(err, sif.ErrNotSIF) {
			return fmt.Errorf("overlay %s: %w", s.Path, ErrExists)
		}
		if err != nil {
			return err
		}
		defer u.Close()
		return e.overlayPartition(ctx, u, source, s.Size)
	}
	f, err := atomicfile.Create(target, 0o600)
	if err != nil {
		return fmt.Errorf("overlay: %w", err)
	}
	defer f.Close()
	if err := writeOverlay(ctx, f.File, source, s.Size, now); err != nil {
		return fmt.Errorf("overlay %s: %w", s.Path, err)
	}
	return f.Commit()
}

func (e *Engine) overlayPartition(ctx context.Context, u *sif.Update, source overlayTree, size int64) error {
	for _, o := range u.Image().Overlays() {
		if o.FS == sif.FSExt3 {
			return &OverlayExistsError{u.Image().Path}
		}
	}
	_, err := u.Append(ctx, sif.Overlay{FS: sif.FSExt3, Time: source.now, BreakSignature: false, Write: func(w sif.Target, offset int64) (int64, error) {
		n, err := ext.Write(ctx, io.NewOffsetWriter(w, offset), source, ext.WriteOptions{Size: size, Time: source.now, UUID: randomUUID()})
		if err != nil {
			return 0, err
		}
		size = max(n, size) &^ (1<<12 - 1)
		// The last byte is written for the length; in between are holes.
		_, err = w.WriteAt([]byte{0}, offset+size-1)
		return size, err
	}})
	return err
}

// NewPart is an object to be added to a SIF, in the numbers and words of `apptainer sif add`.
type NewPart struct {
	Type      int    // 1 definition, 2 environment, 3 labels, 4 partition, 5 signature, 6 JSON, 7 other, 8 cryptographic message
	Name      string // shown by listings
	Group     uint32 // 0: none
	Link      uint32 // id of another part; 0: none
	FS        int    // of a partition: 1 SquashFS, 2 ext3, 3 archive, 4 raw
	Role      int    // of a partition: 1 system, 2 primary system, 3 data, 4 overlay
	Arch      int    // of a partition: 1 386, 2 amd64, 3 arm, 4 arm64 …
	Alignment int64  // bytes; 0: as usual
}

// ErrPart says that a NewPart is not one that a SIF can have.
var ErrPart = errors.New("no such kind of part")

// update opens a SIF for changes.
func (e *Engine) update(name string, change func(*sif.Update) error) error {
	target := e.expand(name)
	u, err := sif.OpenForUpdate(target)
	if errors.Is(err, sif.ErrLocked) {
		return &BusyError{Image: target, By: e.holderOf(target), Err: err}
	}
	if errors.Is(err, os.ErrPermission) {
		return &ReadOnlyImageError{Image: target, Err: err}
	}
	if err != nil {
		return err
	}
	err = change(u)
	if errors.Is(err, sif.ErrNoObject) {
		err = fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return errors.Join(err, u.Close())
}

// NewSIF makes a SIF without any part. ErrExists: there is a file of that name.
func (e *Engine) NewSIF(name string) error {
	target := e.expand(name)
	if _, err := os.Lstat(target); err == nil {
		return fmt.Errorf("%s: %w", name, ErrExists)
	}
	return sif.CreateEmpty(target, e.c.Now())
}

// AddPart puts a part into a SIF.
func (e *Engine) AddPart(ctx context.Context, name string, p NewPart, data io.Reader) error {
	if p.Type < 1 || p.Type > 8 {
		return fmt.Errorf("%w: type %d", ErrPart, p.Type)
	}
	o := sif.NewObject{
		Type: sif.TypeDefinition + sif.DataType(p.Type-1), Name: p.Name, Group: p.Group, Link: p.Link, Align: p.Alignment, Time: e.c.Now(),
	}
	if o.Type == sif.TypePartition {
		switch {
		case p.FS < 1 || p.FS > 4:
			return fmt.Errorf("%w: file system %d", ErrPart, p.FS)
		case p.Role < 1 || p.Role > 4:
			return fmt.Errorf("%w: role %d", ErrPart, p.Role)
		}
		arch, ok := sif.ArchName(p.Arch)
		if !ok {
			return fmt.Errorf("%w: architecture %d", ErrPart, p.Arch)
		}
		o.FS, o.Role, o.Arch = sif.FSType(p.FS), sif.PartType(p.Role), arch
	}
	o.Write = func(w sif.Target, offset int64) (int64, error) {
		n, err := io.Copy(io.NewOffsetWriter(w, offset), data)
		if err == nil {
			err = ctx.Err()
		}
		return n, err
	}
	return e.update(name, func(u *sif.Update) error {
		_, err := u.Add(ctx, o)
		return err
	})
}

// RemovePart takes a part out of a SIF. ErrNotFound: there is none of that id.
func (e *Engine) RemovePart(ctx context.Context, name string, id uint32) error {
	return e.update(name, func(u *sif.Update) error {
		_, err := u.Remove(ctx, id, e.c.Now())
		return err
	})
}

// SetPrimary makes a system partition of a SIF the one that it runs from. ErrNotFound: there is none of that id.
func (e *Engine) SetPrimary(name string, id uint32) error {
	return e.update(name, func(u *sif.Update) error { return u.SetPrimary(id) })
}

// PartID reads the number of a part.
func PartID(text string) (uint32, error) {
	id, err := strconv.ParseUint(text, 10, 32)
	if err != nil || id == 0 {
		return 0, fmt.Errorf("%q is not the number of a part", text)
	}
	return uint32(id), nil
}
