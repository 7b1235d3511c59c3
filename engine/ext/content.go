package ext

import (
	"fmt"
	"io"
)

// run is a stretch of a file's content.
type run struct {
	block  uint64 // where it lies; 0 for a hole
	blocks uint64 // how long it is, at least 1
}

// find tells where the block with a number within a file lies, and how many follow it in the same way.
func (f *Reader) find(in *Inode, n uint64) (run, error) {
	if in.flags&flagExtents != 0 {
		return f.findExtent(in, n)
	}
	return f.findIndirect(in, n)
}

// findIndirect follows the block numbers of ext2 and ext3.
func (f *Reader) findIndirect(in *Inode, n uint64) (run, error) {
	per := uint64(f.sb.blockSize / 4)
	if n < 12 {
		return pointers(in.block[:48], n), nil
	}
	n -= 12
	span := uint64(1) // blocks that one number of the current level stands for
	for level := range 3 {
		if n >= span*per {
			n -= span * per
			span *= per
			continue
		}
		next := uint64(le.Uint32(in.block[48+4*level:]))
		for ; ; span /= per {
			if next == 0 {
				return run{0, span*per - n}, nil
			}
			b, err := f.meta(next)
			if err != nil {
				return run{}, err
			}
			if span == 1 {
				return pointers(b, n), nil
			}
			next = uint64(le.Uint32(b[n/span*4:]))
			n %= span
			if next == 0 {
				return run{0, span - n}, nil
			}
		}
	}
	return run{}, corrupt("inode %d is too long", in.Number)
}

// pointers is the run that begins at number n of a list of blocks.
func pointers(list []byte, n uint64) run {
	first := uint64(le.Uint32(list[4*n:]))
	r := run{first, 1}
	for m := n + 1; m < uint64(len(list)/4); m++ {
		want := uint64(0)
		if first != 0 {
			want = first + r.blocks
		}
		if uint64(le.Uint32(list[4*m:])) != want {
			break
		}
		r.blocks++
	}
	return r
}

const (
	extentMagic    = 0xF30A
	maxExtentDepth = 5
	// maxInitialized is the longest extent; longer ones are that much shorter and not written yet.
	maxInitialized = 32768
	noEnd          = 1 << 32 // blocks of a file are numbered by 32 bits
)

// findExtent follows ext4's tree of extents.
func (f *Reader) findExtent(in *Inode, n uint64) (run, error) {
	node, end := in.block[:], uint64(noEnd)
	if n >= end {
		return run{}, corrupt("inode %d is too long", in.Number)
	}
	for depth := -1; ; {
		entries := int(le.Uint16(node[2:]))
		level := int(le.Uint16(node[6:]))
		if le.Uint16(node) != extentMagic || 12+12*entries > len(node) || level > maxExtentDepth || depth >= 0 && level != depth-1 {
			return run{}, corrupt("inode %d: extents", in.Number)
		}
		depth = level
		// The last entry that begins at or before n; they are sorted.
		var found []byte
		for i := range entries {
			e := node[12+12*i:][:12]
			if first := uint64(le.Uint32(e)); first > n {
				end = min(end, first)
				break
			}
			found = e
		}
		if found == nil {
			return run{0, end - n}, nil
		}
		first := uint64(le.Uint32(found))
		if level == 0 {
			length, start := uint64(le.Uint16(found[4:])), uint64(le.Uint16(found[6:]))<<32|uint64(le.Uint32(found[8:]))
			unwritten := length > maxInitialized
			if unwritten {
				length -= maxInitialized
			}
			switch {
			case n >= first+length:
				return run{0, end - n}, nil
			case unwritten:
				return run{0, first + length - n}, nil
			case start == 0:
				return run{}, corrupt("inode %d: an extent at block 0", in.Number)
			}
			return run{start + n - first, first + length - n}, nil
		}
		var err error
		if node, err = f.meta(uint64(le.Uint16(found[8:]))<<32 | uint64(le.Uint32(found[4:]))); err != nil {
			return run{}, err
		}
	}
}

// inline is the content of an inode that has it in itself.
func (f *Reader) inline(in *Inode) ([]byte, error) {
	b := append([]byte(nil), in.block[:]...)
	raw, err := f.attributes(in)
	if err != nil {
		return nil, err
	}
	return append(b, raw[inlineData]...), nil
}

// ReadAt reads from a regular file's content, as io.ReaderAt does.
func (f *Reader) ReadAt(in *Inode, p []byte, off int64) (int, error) {
	if off < 0 || off >= in.Size {
		return 0, io.EOF
	}
	if in.flags&(flagCompressed|flagEncrypted) != 0 {
		return 0, corruptFeature(in)
	}
	short := int64(len(p)) > in.Size-off
	if short {
		p = p[:in.Size-off]
	}
	n, err := f.readSome(in, p, off)
	if err == nil && short {
		err = io.EOF
	}
	return n, err
}

func (f *Reader) readSome(in *Inode, p []byte, off int64) (int, error) {
	if in.flags&flagInlineData != 0 {
		b, err := f.inline(in)
		if err != nil {
			return 0, err
		}
		if off+int64(len(p)) > int64(len(b)) {
			return 0, corrupt("inode %d: inline data", in.Number)
		}
		return copy(p, b[off:]), nil
	}
	done := 0
	for done < len(p) {
		at := off + int64(done)
		r, err := f.find(in, uint64(at/f.sb.blockSize))
		if err != nil {
			return done, err
		}
		within := at % f.sb.blockSize
		n := int64(len(p) - done)
		if r.blocks < uint64((within+n-1)/f.sb.blockSize+1) {
			n = int64(r.blocks)*f.sb.blockSize - within
		}
		part := p[done : done+int(n)]
		if r.block == 0 {
			clear(part)
		} else if err := f.readBlocks(part, r.block, within); err != nil {
			return done, err
		}
		done += int(n)
	}
	return done, nil
}

// readFull reads the beginning of an inode's content.
func (f *Reader) readFull(in *Inode, p []byte) error {
	n, err := f.ReadAt(in, p, 0)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = corrupt("inode %d ends early", in.Number)
	}
	return err
}

// content makes an inode an io.ReaderAt.
type content struct {
	f  *Reader
	in *Inode
}

func (c content) ReadAt(p []byte, off int64) (int, error) { return c.f.ReadAt(c.in, p, off) }

func corruptFeature(in *Inode) error {
	what := "compressed"
	if in.flags&flagEncrypted != 0 {
		what = "encrypted"
	}
	return fmt.Errorf("%w: inode %d is %s", ErrFeature, in.Number, what)
}
