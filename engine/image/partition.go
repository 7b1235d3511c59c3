package image

import (
	"errors"
	"fmt"
	"io"

	"carrel/engine/ext"
	"carrel/engine/sif"
	"carrel/engine/squashfs"
)

// PartitionError is a partition whose contents cannot be read.
type PartitionError struct {
	Path string // of the image
	FS   string // what the image says that the partition is: "squashfs", "raw", …
	Err  error  // what its reader says; nil where there is no reader for such a file system
}

func (e *PartitionError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("open %s: its partition is of kind %s, which cannot be read", e.Path, e.FS)
	}
	return fmt.Sprintf("open %s: %v", e.Path, e.Err)
}

// Unwrap returns the reader's error.
func (e *PartitionError) Unwrap() error { return e.Err }

// Hint says what to do with such an image.
func (e *PartitionError) Hint() string {
	switch {
	case e.Err == nil:
		return "images run from a SquashFS or ext3 file system: build it again from its definition file, or ask its sender for one of these"
	case errors.Is(e.Err, squashfs.ErrCompression):
		return "unsquashfs may know the method: unpack it with that, then carrel build new.sif FOLDER"
	case errors.Is(e.Err, ext.ErrFeature):
		return "root can mount it and copy it to a folder, then carrel build new.sif FOLDER"
	}
	return "the file is not what was written, it was damaged or copied only in part: fetch or build it again"
}

func (m *Image) openExt(p Partition) (*ext.Reader, error) {
	r, err := ext.Open(io.NewSectionReader(m.file, p.Offset, p.Size), p.Size)
	if err != nil {
		return nil, &PartitionError{m.Path, p.FS, err}
	}
	return r, nil
}

func (m *Image) openSquash(p Partition) (*squashfs.Reader, error) {
	if p.FS != sif.FSSquash.String() {
		return nil, &PartitionError{m.Path, p.FS, nil}
	}
	r, err := squashfs.Open(io.NewSectionReader(m.file, p.Offset, p.Size), p.Size, squashfs.ReaderOptions{CacheBytes: 8 << 20})
	if err != nil {
		return nil, &PartitionError{m.Path, p.FS, err}
	}
	return r, nil
}
