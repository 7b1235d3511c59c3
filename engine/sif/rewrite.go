package sif

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"carrel/internal/atomicfile"
)

// Rewrite describes an image that takes the place of the one it was made from.
type Rewrite struct {
	// System writes the SquashFS that takes the place of the system partition and its overlays.
	System WritePartition
	// Metadata takes the place of inspect-metadata.json where the image has one.
	Metadata []byte
	Time     time.Time
}

// Rewrite writes the image anew, with another system partition and without the overlays over it, and gives it the place of
// the old one in one step. All other objects stay, in their order, as do the image's id, its mode and, as far as the caller
// may give it, its owner; ids of objects are given anew, and links follow them. Signatures fit nothing any more: they are
// left out, and returned. The image itself, which stays open, is then that of a file without a name.
func (m *Image) Rewrite(ctx context.Context, path string, r Rewrite) (dropped []Object, err error) {
	fail := func(err error) ([]Object, error) { return nil, &Error{Op: "write image", Path: path, Err: err} }
	primary, err := m.System()
	if err != nil {
		return nil, err
	}
	was, err := m.f.Stat()
	if err != nil {
		return fail(err)
	}
	overlays := map[uint32]bool{}
	for _, o := range m.Overlays() {
		overlays[o.ID] = true
	}
	var keep []Object
	ids := map[uint32]uint32{}
	for _, o := range m.Objects {
		switch {
		case overlays[o.ID]:
		case o.Type == TypeSignature:
			dropped = append(dropped, o)
		default:
			keep = append(keep, o)
			ids[o.ID] = uint32(len(keep))
		}
	}
	if len(keep) > tableCapacity {
		return fail(fmt.Errorf("%w: %d objects", ErrFull, len(keep)))
	}
	f, err := atomicfile.Create(path, was.Mode().Perm())
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := newHeader(Contents{Arch: m.Arch, Time: r.Time})
	h.Launch, h.Arch, h.ID, h.Created = m.h.Launch, m.h.Arch, m.h.ID, m.h.Created
	h.DescriptorsFree -= int64(len(keep))
	end := h.DataOffset
	table := make([]byte, 0, h.TableSize)
	for i, o := range keep {
		align := int64(1)
		if o.Type == TypePartition {
			align = partitionAlign
		}
		d := o.raw
		d.ID, d.Offset = uint32(i+1), alignUp(end, align)
		if !o.LinkIsGroup && o.Link != 0 {
			d.Link = ids[o.Link] // 0, none, when it was left out
		}
		write := copyOf(m.Reader(o))
		switch {
		case o.ID == primary.ID:
			d.setPartition(FSSquash, PartPrimSys, o.Arch)
			write = r.System
		case o.Type == TypeJSON && o.Name == MetadataName && r.Metadata != nil:
			write = copyOf(io.NewSectionReader(bytes.NewReader(r.Metadata), 0, int64(len(r.Metadata))))
		}
		if o.ID == primary.ID || o.Name == MetadataName {
			d.Modified = unixSeconds(r.Time)
		}
		if d.Size, err = write(f.File, d.Offset); err != nil {
			return fail(err)
		}
		sum, err := digestRange(ctx, f.File, d.Offset, d.Size)
		if err != nil {
			return fail(err)
		}
		d.setDigest(sum)
		d.SizeWithPadding = d.Offset + d.Size - end
		end = d.Offset + d.Size
		table = append(table, d.encode()...)
	}
	h.DataSize = end - h.DataOffset
	if err := f.Truncate(end); err != nil {
		return fail(err)
	}
	if _, err := f.WriteAt(table[:h.TableSize], h.TableOffset); err != nil { // the free descriptors are zero
		return fail(err)
	}
	if _, err := f.WriteAt(h.encode(), 0); err != nil {
		return fail(err)
	}
	if sys, ok := was.Sys().(*syscall.Stat_t); ok {
		if err := f.Chown(int(sys.Uid), int(sys.Gid)); err != nil && !errors.Is(err, os.ErrPermission) {
			return fail(err)
		}
	}
	if ctx.Err() != nil {
		return fail(context.Cause(ctx))
	}
	return dropped, f.Commit()
}

// copyOf writes what r has.
func copyOf(r *io.SectionReader) WritePartition {
	return func(w Target, offset int64) (int64, error) { return io.Copy(io.NewOffsetWriter(w, offset), r) }
}
