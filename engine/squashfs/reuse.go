package squashfs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"carrel/engine/tree"
)

// ErrNotReusable says that an image has not the form from which Writer.Reuse can take stored bytes over.
var ErrNotReusable = errors.New("image cannot be taken over")

// Reuse takes the first part of another image's entries over, those that keep accepts, with their contents as they are stored:
// nothing is compressed again. It has to come before the first Add, and ends the part (tree.Entry.Part). With a directory
// that keep does not accept goes all below it; it is not asked about the root.
//
// The other image must be one that this package wrote with the same compression, level and block size. The result is then the same as if
// the entries had been added, byte for byte. An image for which that cannot be is ErrNotReusable, found out before
// anything is written; the Writer can then be used as if it had not been asked.
func (w *Writer) Reuse(ctx context.Context, from *Reader, keep func(path string) bool) error {
	if w.closed {
		return errClosed
	}
	if w.err != nil {
		return w.err
	}
	t := &takeover{w: w, r: from, ctx: ctx, keep: keep, start: w.pipe.pos, end: w.pipe.pos, inodes: map[Ref]*inode{}}
	if err := t.plan(); err != nil {
		return fmt.Errorf("squashfs: %w: %w", ErrNotReusable, err)
	}
	if err := t.take(); err != nil {
		w.err = fmt.Errorf("squashfs: take over from image: %w", err)
	}
	return w.err
}

// takeover is a Reuse under way.
type takeover struct {
	w    *Writer
	r    *Reader
	ctx  context.Context
	keep func(string) bool

	start, end int64 // of the stored bytes, in both images
	fragments  uint32
	places     []fragmentEntry
	entries    []keptEntry
	inodes     map[Ref]*inode
}

// keptEntry is an entry to add, and the place of what it stands for.
type keptEntry struct {
	tree.Entry
	body any // of a regular file
	ref  Ref
}

// plan reads the other image's tables and finds out whether and what bytes can be taken over.
func (t *takeover) plan() error {
	sb, opt := &t.r.sb, &t.w.opt
	if len(t.w.root.dir().children) > 0 || t.w.frag != nil || t.w.fragments > 0 {
		return errors.New("the new image is begun")
	}
	if opt.Compression == None || sb.Compression != opt.Compression || sb.BlockSize != uint32(opt.BlockSize) {
		return fmt.Errorf("it has %v in blocks of %d bytes", sb.Compression, sb.BlockSize)
	}
	root, err := t.r.Inode(sb.Root)
	if err != nil {
		return err
	}
	if err := t.walk(".", root, map[Ref]bool{}); err != nil {
		return err
	}
	clear(t.inodes)
	for i := range t.fragments {
		pos, size, err := t.r.fragmentPlace(i)
		if err != nil {
			return err
		}
		stored := int64(size &^ dataUncompressed)
		if stored > int64(sb.BlockSize) {
			return fmt.Errorf("fragment %d has %d bytes", i, stored)
		}
		t.places = append(t.places, fragmentEntry{pos, size})
		if err := t.reach(pos, stored); err != nil {
			return fmt.Errorf("fragment %d: %w", i, err)
		}
	}
	return nil
}

// reach notes that stored bytes are needed.
func (t *takeover) reach(pos, size int64) error {
	if pos < t.start || size > int64(t.r.sb.inodeTable)-pos {
		return fmt.Errorf("%d bytes at %d are not among the contents", size, pos)
	}
	t.end = max(t.end, pos+size)
	return nil
}

func (t *takeover) walk(p string, in *Inode, seen map[Ref]bool) error {
	if err := t.ctx.Err(); err != nil {
		return err
	}
	if seen[in.Ref] {
		return fmt.Errorf("%s: the same directory is in the image twice", p)
	}
	seen[in.Ref] = true
	if err := t.entry(p, in); err != nil {
		return err
	}
	for d, err := range t.r.Entries(in) {
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		child := d.Name
		if p != "." {
			child = p + "/" + child
		}
		if !t.keep(child) {
			continue
		}
		in, err := t.r.Inode(d.Ref)
		if err != nil {
			return fmt.Errorf("%s: %w", child, err)
		}
		if in.IsDir() {
			err = t.walk(child, in, seen)
		} else {
			err = t.entry(child, in)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *takeover) entry(p string, in *Inode) error {
	k := keptEntry{ref: in.Ref}
	if _, known := t.inodes[in.Ref]; known && !in.IsDir() {
		k.Path, k.HardLink = p, "."
		t.entries = append(t.entries, k)
		return nil
	}
	if in.Nlink > 1 && !in.IsDir() {
		t.inodes[in.Ref] = nil
	}
	var err error
	if k.Entry, err = t.r.Entry(p, in); err != nil {
		return err
	}
	if in.IsRegular() {
		if k.body, err = t.contents(in); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	t.entries = append(t.entries, k)
	return nil
}

// contents finds where a file's bytes are, in the form in which a Writer keeps it.
func (t *takeover) contents(in *Inode) (any, error) {
	if in.Size == 0 {
		return t.w.newSmall(smallFile{fragment: noFragment}), nil
	}
	if in.fragment != noFragment {
		if in.nblocks > 0 || in.Size >= int64(t.r.sb.BlockSize) {
			return nil, errors.New("the tail of a file with blocks is in a fragment")
		}
		if in.fragment >= t.r.sb.Fragments {
			return nil, fmt.Errorf("fragment %d of %d", in.fragment, t.r.sb.Fragments)
		}
		t.fragments = max(t.fragments, in.fragment+1)
		return t.w.newSmall(smallFile{uint32(in.Size), in.fragment, in.fragOffset}), nil
	}
	if in.nblocks > int64(t.r.sb.BytesUsed)/4 {
		return nil, fmt.Errorf("a file of %d blocks", in.nblocks)
	}
	f := &fileData{size: in.Size, start: in.start, sparse: in.sparse, blocks: make([]uint32, in.nblocks)}
	c := metaCursor{r: t.r, limit: int64(t.r.sb.dirTable)}
	if err := c.load(in.listBlock, in.listOffset); err != nil {
		return nil, err
	}
	var stored int64
	for i := range f.blocks {
		b, err := c.read(4)
		if err != nil {
			return nil, err
		}
		f.blocks[i] = binary.LittleEndian.Uint32(b)
		size := int64(f.blocks[i] &^ dataUncompressed)
		if size > int64(t.r.sb.BlockSize) {
			return nil, fmt.Errorf("block %d has %d bytes", i, size)
		}
		stored += size
	}
	if stored == 0 {
		return f, nil
	}
	return f, t.reach(in.start, stored)
}

// take copies the bytes and adds the entries.
func (t *takeover) take() error {
	buf := make([]byte, 1<<20)
	for pos := t.start; pos < t.end; {
		if err := t.ctx.Err(); err != nil {
			return err
		}
		b := buf[:min(int64(len(buf)), t.end-pos)]
		if n, err := t.r.r.ReadAt(b, pos); n < len(b) {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		if err := t.w.writeAt(b, pos); err != nil {
			return err
		}
		pos += int64(len(b))
	}
	p := t.w.pipe // its writing goroutine looks at these when a job comes
	p.pos, p.high, p.fragments = t.end, max(p.high, t.end), t.places
	t.w.fragments = t.fragments
	for i := range t.entries {
		k := &t.entries[i]
		if err := t.add(k); err != nil {
			return fmt.Errorf("%s: %w", k.Path, err)
		}
		k.Entry = tree.Entry{}
	}
	return nil
}

func (t *takeover) add(k *keptEntry) error {
	if err := checkPath(k.Path); err != nil {
		return err
	}
	in := t.inodes[k.ref]
	if in == nil {
		var err error
		if in, err = t.w.newInode(&k.Entry); err != nil {
			return err
		}
		if k.body != nil {
			in.body = k.body
			t.w.stats.DataSize += k.Size
		}
		if k.Entry.Type() != tree.TypeDir {
			t.inodes[k.ref] = in
		}
	}
	if k.Path == "." {
		in.body = t.w.root.inode.body
		t.w.root.inode = in
		return nil
	}
	dir, name, err := t.w.parent(k.Path, math.MaxUint32)
	if err != nil {
		return err
	}
	if dir.dir().get(name) != nil {
		return errors.New("it is in the image twice")
	}
	dir.dir().put(t.w.newNode(name, in))
	return nil
}
