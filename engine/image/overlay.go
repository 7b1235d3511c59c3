package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"carrel/engine/sif"
	"carrel/engine/tree"
)

// strata are the file systems that make up the contents, lowest first.
func (m *Image) strata() ([]stratum, error) {
	switch {
	case m.problem != nil:
		return nil, m.problem
	case m.root != nil:
		return []stratum{folderStratum{m.root}}, nil
	}
	system, err := m.stratum(m.system, ".")
	if err != nil {
		return nil, err
	}
	stack := []stratum{system}
	for _, p := range m.overlays {
		l, err := m.overlay(p)
		if err != nil {
			return nil, fmt.Errorf("overlay: %w", err)
		}
		if l != nil {
			stack = append(stack, l)
		}
	}
	return stack, nil
}

// stratum opens a partition; dir is the folder of an ext file system that counts.
func (m *Image) stratum(p Partition, dir string) (stratum, error) {
	if p.FS == sif.FSExt3.String() {
		r, err := m.openExt(p)
		if err != nil {
			return nil, err
		}
		return newExtStratum(r, dir)
	}
	r, err := m.openSquash(p)
	if err != nil {
		return nil, err
	}
	return squashStratum{r}, nil
}

// overlay opens what a partition lays over others; nil for an ext file system without changes.
func (m *Image) overlay(p Partition) (stratum, error) {
	l, err := m.stratum(p, upper)
	if errors.Is(err, fs.ErrNotExist) && p.FS == sif.FSExt3.String() {
		return nil, nil
	}
	return l, err
}

// Layered is what is seen of an image under overlays, lowest first: SquashFS and ext3 files, or folders, whose folder upper
// counts, as Singularity has it. The images have to stay open as long as it is used.
func Layered(base *Image, overlays ...*Image) (fs.FS, error) {
	u, err := layered(base, overlays...)
	if err != nil {
		return nil, err
	}
	return u, nil
}

func layered(base *Image, overlays ...*Image) (*union, error) {
	stack, err := base.strata()
	if err != nil {
		return nil, err
	}
	for _, o := range overlays {
		l, err := o.OverlayLayer()
		if err != nil {
			return nil, err
		}
		if l.stratum != nil {
			stack = append(stack, l.stratum)
		}
	}
	return newUnion(stack), nil
}

// Overlay is what an image has for being laid over others, whiteouts and marks of opaque folders included.
type Overlay struct{ stratum stratum }

// OverlayLayer is what the image is as an overlay: all of a SquashFS, the folder upper of an ext3 file system or of a folder,
// which may be missing.
func (m *Image) OverlayLayer() (Overlay, error) {
	if m.root == nil {
		if m.problem != nil {
			return Overlay{}, m.problem
		}
		l, err := m.overlay(m.system)
		return Overlay{l}, err
	}
	dir, err := m.root.OpenRoot(upper)
	if errors.Is(err, fs.ErrNotExist) {
		return Overlay{}, nil
	}
	if err != nil {
		return Overlay{}, err
	}
	m.closers = append(m.closers, dir.Close)
	return Overlay{folderStratum{dir}}, nil
}

// OverlayLayerOf is OverlayLayer of one of the image's overlay partitions.
func (m *Image) OverlayLayerOf(p Partition) (Overlay, error) {
	l, err := m.overlay(p)
	return Overlay{l}, err
}

// Partition is what a partition of the image's file holds.
func (m *Image) Partition(p Partition) (tree.Source, error) {
	if p.FS == sif.FSExt3.String() {
		return m.openExt(p)
	}
	return m.openSquash(p)
}

// Empty tells that there is nothing to lay over anything.
func (o Overlay) Empty() bool { return o.stratum == nil }

// WriteTo produces the layer with its marks, each under both of the names that overlays give them, so that it means the same
// whoever mounts it.
func (o Overlay) WriteTo(ctx context.Context, sink tree.Sink) error {
	if o.Empty() {
		return nil
	}
	u := newUnion([]stratum{o.stratum})
	u.marks = true
	return u.WriteTo(ctx, sink)
}
