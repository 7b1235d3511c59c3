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
		if b.Data == nil {
			clear(p[n : n+r.hole(in, off+int64(n), len(p)-n)])
			n += r.hole(in, off+int64(n), len(p)-n)
			continue
		}
		n += copy(p[n:], b.Data)
		b.Release()
	}
	return n, nil
}

// hole is how much of max bytes from off on lies in the same block.
func (r *Reader) hole(in *Inode, off int64, max int) int {
	blockSize := int64(r.sb.BlockSize)
	return int(min(int64(max), blockSize-off%blockSize, in.Size-off))
}

// Block is a piece of a regular file's contents in the cache.
type Block struct {
	Data  []byte // nobody may change it
	block *cachedBlock
	cache *blockCache
}

// Release ends the use of Data, whose memory other blocks get then. It is called once, or never, which costs only the
// memory. A Block without Data needs no release.
func (b Block) Release() {
	if b.block != nil {
		b.cache.release(b.block)
	}
}

// Block returns the contents of a regular file from off up to the end of the block that holds it, straight from the cache, to be
// released when it is no longer used. Its Data is nil where that block is a hole. From the end of the file on the error is io.EOF.
func (r *Reader) Block(in *Inode, off int64) (Block, error) {
	if !in.IsRegular() {
		return Block{}, fmt.Errorf("inode %#x: not a regular file", uint64(in.Ref))
	}
	if off < 0 {
		return Block{}, fmt.Errorf("inode %#x: negative offset", uint64(in.Ref))
	}
	if off >= in.Size {
		return Block{}, io.EOF
	}
	b, err := r.fileBlock(in, off/int64(r.sb.BlockSize))
	if err != nil {
		return Block{}, fmt.Errorf("inode %#x: %w", uint64(in.Ref), err)
	}
	if b.Data != nil {
		b.Data = b.Data[off%int64(r.sb.BlockSize):]
	}
	return b, nil
}

// blockLen is the length of block k of a file, or of its tail in a fragment.
func (r *Reader) blockLen(in *Inode, k int64) int {
	return int(min(int64(r.sb.BlockSize), in.Size-k*int64(r.sb.BlockSize)))
}

func (r *Reader) fileBlock(in *Inode, k int64) (Block, error) {
	want := r.blockLen(in, k)
	if k >= in.nblocks {
		pos, size, err := r.fragmentPlace(in.fragment)
		if err != nil {
			return Block{}, err
		}
		b, err := r.pinned(pos, size, 0)
		if err != nil {
			return Block{}, err
		}
		whole := b
		if b.Data, err = cutFragment(in, b.Data, want); err != nil {
			whole.Release()
			return Block{}, err
		}
		return b, nil
	}
	pos, size, err := r.locate(in, k)
	if err != nil || size == 0 {
		return Block{}, err
	}
	b, err := r.pinned(pos, size, want)
	if err != nil {
		return Block{}, err
	}
	if len(b.Data) != want {
		b.Release()
		return Block{}, fmt.Errorf("block %d has %d bytes instead of %d", k, len(b.Data), want)
	}
	return b, nil
}

func cutFragment(in *Inode, data []byte, want int) ([]byte, error) {
	if int64(in.fragOffset)+int64(want) > int64(len(data)) {
		return nil, fmt.Errorf("fragment of %d bytes has no %d at %d", len(data), want, in.fragOffset)
	}
	return data[in.fragOffset : int(in.fragOffset)+want], nil
}

// pinned is the whole block at a place of the image.
func (r *Reader) pinned(pos int64, size uint32, want int) (Block, error) {
	b := r.data.pin(pos, func() ([]byte, int64, error) {
		data, err := r.loadBlock(pos, size, want, r.data)
		return data, 0, err
	})
	return Block{b.data, b, r.data}, b.err
}

// Prefetch loads the block that holds off into the cache, unless it is there or being loaded; a hole or an offset behind the end is
// no error. It returns when the block is there.
func (r *Reader) Prefetch(in *Inode, off int64) error {
	if !in.IsRegular() || off < 0 || off >= in.Size {
		return nil
	}
	b, err := r.Block(in, off)
	if err == nil {
		b.Release()
	}
	return err
}

// Fragment is the number of the block that a regular file's end shares with other files, and false for one that has a
// block of its own there. Writers number these blocks in the order of the files.
func (in *Inode) Fragment() (uint32, bool) {
	return in.fragment, in.IsRegular() && in.fragment != noFragment
}

// PrefetchFragment is Prefetch for a block that ends of files share; numbers behind the last are no error.
func (r *Reader) PrefetchFragment(i uint32) error {
	if i >= r.sb.Fragments {
		return nil
	}
	pos, size, err := r.fragmentPlace(i)
	if err != nil {
		return err
	}
	if r.data.has(pos) {
		return nil
	}
	b, err := r.pinned(pos, size, 0)
	if err == nil {
		b.Release()
	}
	return err
}

// Trim forgets all that is cached, and keeps no more than so many bytes of data from now on: for a Reader that is asked
// for little once a program has started.
func (r *Reader) Trim(cacheBytes int64) {
	r.data.empty(cacheBytes)
	r.meta.empty(r.meta.max)
	for i := range r.inodes {
		r.inodes[i].Store(nil)
	}
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

// loadBlock reads and decompresses a data block; want is its length, 0 for a fragment block, whose length nothing tells. Its
// memory comes from the buffers of c, where it is for c, or from nowhere else with nil.
func (r *Reader) loadBlock(pos int64, size uint32, want int, c *blockCache) ([]byte, error) {
	stored := int(size &^ dataUncompressed)
	if stored == 0 || stored > int(r.sb.BlockSize) {
		return nil, fmt.Errorf("block at %d has %d bytes", pos, stored)
	}
	length := want
	if length == 0 {
		length = int(r.sb.BlockSize)
	}
	if size&dataUncompressed != 0 {
		length = stored
	}
	out, own := blockBuffer, true
	if c != nil && length > int(r.sb.BlockSize)*3/4 {
		out, own = c.buffer, false
	}
	b := out(length)
	n, err := r.fill(b, pos, size)
	if err == nil && n >= length*3/4 {
		return b[:n], nil
	}
	var small []byte
	if err == nil {
		small = append(make([]byte, 0, n), b[:n]...)
	}
	if !own {
		c.giveBack(b)
	}
	return small, err
}

// fill reads a data block and decompresses it into b.
func (r *Reader) fill(b []byte, pos int64, size uint32) (int, error) {
	stored := int(size &^ dataUncompressed)
	if size&dataUncompressed != 0 {
		return stored, r.readFull(b, pos)
	}
	buf, _ := r.bufs.Get().(*[]byte)
	if buf == nil {
		b := make([]byte, r.sb.BlockSize)
		buf = &b
	}
	defer r.bufs.Put(buf)
	src := (*buf)[:stored]
	if err := r.readFull(src, pos); err != nil {
		return 0, err
	}
	n, err := r.dec.decompress(b, src)
	if err != nil {
		return 0, fmt.Errorf("block at %d: %w", pos, err)
	}
	return n, nil
}
