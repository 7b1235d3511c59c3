package engine

import (
	"fmt"

	"carrel/engine/image"
	"carrel/engine/launch"
	"carrel/engine/sif"
)

// BindImageError is an image that nothing can be bound from.
type BindImageError struct{ Path, Why string }

func (e *BindImageError) Error() string { return fmt.Sprintf("bind from image %s: %s", e.Path, e.Why) }

// Hint says what can be bound.
func (e *BindImageError) Hint() string {
	return "SIF, SquashFS and ext3 files can be bound; `sif list` shows the partitions of a SIF"
}

// bindImages makes the images mountable that binds are from. The binds of o that are have for Layer the number of the bind
// in s, counted from 1; afterwards it is the layer's.
func (e *Engine) bindImages(s RunSpec, p *prepared, o *launch.Options) error {
	for i := range o.Binds {
		b := &o.Binds[i]
		if b.Layer == 0 {
			continue
		}
		l, err := e.bindImage(s.Binds[b.Layer-1], p, o)
		if err != nil {
			return err
		}
		l.Aside = true
		o.Layers = append(o.Layers, l)
		b.Layer = len(o.Layers)
	}
	return nil
}

func (e *Engine) bindImage(b Bind, p *prepared, o *launch.Options) (launch.Layer, error) {
	img, err := image.Open(e.expand(b.Source))
	if err != nil {
		return launch.Layer{}, fmt.Errorf("bind: %w", err)
	}
	p.closers = append(p.closers, func() { img.Close() })
	part, err := partitionToBind(img, b.Part)
	if err != nil {
		return launch.Layer{}, err
	}
	switch part.FS {
	case sif.FSSquash.String():
		return e.squashLayer(p, o, img.Path, img.File(), part, true)
	case fsExt3:
		source, err := img.Partition(part)
		if err != nil {
			return launch.Layer{}, fmt.Errorf("bind: %w", err)
		}
		return e.copied(p, o, img.Path, part, source)
	}
	return launch.Layer{}, &BindImageError{img.Path, "a file system of kind " + part.FS}
}

// partitionToBind is the partition of an id; without one the first for data, else the system.
func partitionToBind(img *image.Image, id uint32) (image.Partition, error) {
	s := img.SIF()
	if s == nil {
		if id != 0 {
			return image.Partition{}, &BindImageError{img.Path, "only the partitions of a SIF have numbers"}
		}
		if img.File() == nil {
			return image.Partition{}, &BindImageError{img.Path, "it is not a file with a file system"}
		}
		return img.System()
	}
	for _, o := range s.Objects {
		if o.Type == sif.TypePartition && (o.ID == id || id == 0 && o.Role == sif.PartData) {
			return image.Partition{Offset: o.Offset, Size: o.Size, FS: o.FS.String()}, nil
		}
	}
	if id != 0 {
		return image.Partition{}, &BindImageError{img.Path, fmt.Sprintf("part %d is not a partition of it", id)}
	}
	return img.System()
}
