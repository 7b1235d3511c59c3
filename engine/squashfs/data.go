package squashfs

import (
	"encoding/binary"
	"fmt"
	"io"
)

// ReadAt reads from a regular file's contents, as io.ReaderAt does.
func (r *Reader) ReadAt(in *Inode, p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) {
		b, err := r.Block(in, off+int64(n))
		if err != nil {
			return n, err
		}
		if b == nil {
			clear(p[n : n+r.hole(in, off+int64(n), len(p)-n)])
			n += r.hole(in, off+int64(n), len(p)-n)
			continue
		}
		n += copy(p[n:], b)
	}
	return n, nil
}

// hole is how much of max bytes from off on lies in the same block.
func (r *Reader) hole(in *Inode, off int64, max int) int {
	blockSize := int64(r.sb.BlockSize)
	return int(min(int64(max), blockSize-off%blockSize, in.Size-off))
}

// Block returns the contents of a regular file from off up to the end of the block that holds it, straight from the cache: nobody may
// change them. It returns nil and no error where that block is a hole, and io.EOF from the end of the file on.
func (r *Reader) Block(in *Inode, off int64) ([]byte, error) {
	if !in.IsRegular() {
		return nil, fmt.Errorf("inode %#x: not a regular file", uint64(in.Ref))
	}
	if off < 0 {
		return nil, fmt.Errorf("inode %#x: negative offset", uint64(in.Ref))
	}
	if off >= in.Size {
		return nil, io.EOF
	}
	k := off / int64(r.sb.BlockSize)
	data, err := r.fileBlock(in, k)
	if err != nil {
		return nil, fmt.Errorf("inode %#x: %w", uint64(in.Ref), err)
	}
	if data == nil {
		return nil, nil
	}
	return data[off%int64(r.sb.BlockSize):], nil
}

// blockLen is the length of block k of a file, or of its tail in a fragment.
func (r *Reader) blockLen(in *Inode, k int64) int {
	return int(min(int64(r.sb.BlockSize), in.Size-k*int64(r.sb.BlockSize)))
}

func (r *Reader) fileBlock(in *Inode, k int64) ([]byte, error) {
	want := r.blockLen(in, k)
	if k >= in.nblocks {
		data, err := r.fragment(in.fragment)
		if err != nil {
			return nil, err
		}
		return cutFragment(in, data, want)
	}
	pos, size, err := r.locate(in, k)
	if err != nil {
		return nil, err
	}
	if size == 0 {
		return nil, nil
	}
	data, _, err := r.data.get(pos, func() ([]byte, int64, error) {
		b, err := r.loadBlock(pos, size, want)
		return b, 0, err
	})
	if err != nil {
		return nil, err
	}
	if len(data) != want {
		return nil, fmt.Errorf("block %d has %d bytes instead of %d", k, len(data), want)
	}
	return data, nil
}

func cutFragment(in *Inode, data []byte, want int) ([]byte, error) {
	if int64(in.fragOffset)+int64(want) > int64(len(data)) {
		return nil, fmt.Errorf("fragment of %d bytes has no %d at %d", len(data), want, in.fragOffset)
	}
	return data[in.fragOffset : int(in.fragOffset)+want], nil
}

// Prefetch loads the block that holds off into the cache, unless it is there or being loaded; a hole or an offset behind the end is
// no error. It returns when the block is there.
func (r *Reader) Prefetch(in *Inode, off int64) error {
	if !in.IsRegular() || off < 0 || off >= in.Size {
		return nil
	}
	_, err := r.Block(in, off)
	return err
}

// fragmentPlace finds fragment block i.
func (r *Reader) fragmentPlace(i uint32) (pos int64, size uint32, err error) {
	if i >= r.sb.Fragments {
		return 0, 0, fmt.Errorf("fragment %d of %d", i, r.sb.Fragments)
	}
	blocks, err := r.fragBlocks()
	if err != nil {
		return 0, 0, fmt.Errorf("fragment table: %w", err)
	}
	var b [16]byte
	if err := r.tableEntry(blocks, b[:], int64(i)); err != nil {
		return 0, 0, fmt.Errorf("fragment table: %w", err)
	}
	start := binary.LittleEndian.Uint64(b[:])
	if start > r.sb.BytesUsed {
		return 0, 0, fmt.Errorf("fragment %d is outside of the image", i)
	}
	return int64(start), binary.LittleEndian.Uint32(b[8:]), nil
}

func (r *Reader) fragment(i uint32) ([]byte, error) {
	pos, size, err := r.fragmentPlace(i)
	if err != nil {
		return nil, err
	}
	data, _, err := r.data.get(pos, func() ([]byte, int64, error) {
		b, err := r.loadBlock(pos, size, 0)
		return b, 0, err
	})
	return data, err
}

// loadBlock reads and decompresses a data block; want is its length, 0 for a fragment block, whose length nothing tells.
func (r *Reader) loadBlock(pos int64, size uint32, want int) ([]byte, error) {
	stored := int(size &^ dataUncompressed)
	if stored == 0 || stored > int(r.sb.BlockSize) {
		return nil, fmt.Errorf("block at %d has %d bytes", pos, stored)
	}
	if size&dataUncompressed != 0 {
		b := make([]byte, stored)
		return b, r.readFull(b, pos)
	}
	buf, _ := r.bufs.Get().(*[]byte)
	if buf == nil {
		b := make([]byte, r.sb.BlockSize)
		buf = &b
	}
	defer r.bufs.Put(buf)
	src := (*buf)[:stored]
	if err := r.readFull(src, pos); err != nil {
		return nil, err
	}
	length := want
	if length == 0 {
		length = int(r.sb.BlockSize)
	}
	out := blockBuffer(length)
	n, err := r.dec.decompress(out, src)
	if err != nil {
		return nil, fmt.Errorf("block at %d: %w", pos, err)
	}
	if n < length*3/4 {
		out = append(make([]byte, 0, n), out[:n]...)
	}
	return out[:n], nil
}
