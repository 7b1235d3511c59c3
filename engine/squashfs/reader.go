package squashfs

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"carrel/engine/tree"
)

// ReaderOptions bound a Reader. The zero value gives the defaults.
type ReaderOptions struct {
	// CacheBytes bounds the decompressed data blocks kept (0: 32 MiB); at least one block is.
	CacheBytes int64
	// MetaCacheBytes bounds the decompressed metadata blocks kept (0: 8 MiB).
	MetaCacheBytes int64
}

// Reader reads an image; all its methods may be called from several goroutines at a time. It starts none that outlive a call.
type Reader struct {
	r      io.ReaderAt
	sb     Superblock
	dec    decompressor
	ids    []uint32
	meta   *blockCache
	data   *blockCache
	inodes [inodeCacheSize]atomic.Pointer[Inode]
	bufs   sync.Pool // *[]byte for compressed blocks

	fragBlocks   func() ([]int64, error) // where the blocks of the fragment table are
	exportBlocks func() ([]int64, error)
	xattrBlocks  func() (*xattrHead, error)
}

// inodeCacheSize is the number of decoded inodes kept, each 200 bytes or so.
const inodeCacheSize = 4096

// Open reads the superblock and the id table of the image that r holds from its first byte on; for an image inside a file pass an
// io.SectionReader. size is the number of bytes that r has. The caller closes r when the Reader is no longer used.
// Errors wrap ErrNotSquashFS when it is not such an image at all.
func Open(r io.ReaderAt, size int64, opt ReaderOptions) (*Reader, error) {
	head := make([]byte, superblockSize)
	if n, err := r.ReadAt(head, 0); n < len(head) {
		if err == io.EOF {
			return nil, fmt.Errorf("open image: %d bytes: %w", n, ErrNotSquashFS)
		}
		return nil, fmt.Errorf("open image: %w", err)
	}
	sb, err := parseSuperblock(head, size)
	if err != nil {
		return nil, fmt.Errorf("open image: %w", err)
	}
	dec, err := newDecompressor(sb.Compression)
	if err != nil {
		return nil, fmt.Errorf("open image: %w", err)
	}
	if opt.CacheBytes <= 0 {
		opt.CacheBytes = 32 << 20
	}
	if opt.MetaCacheBytes <= 0 {
		opt.MetaCacheBytes = 8 << 20
	}
	im := &Reader{r: r, sb: *sb, dec: dec, meta: newBlockCache(opt.MetaCacheBytes), data: newBlockCache(opt.CacheBytes)}
	im.data.recycle = cap(blockBuffer(int(sb.BlockSize)))
	im.fragBlocks = sync.OnceValues(func() ([]int64, error) { return im.tableBlocks(sb.fragTable, int64(sb.Fragments)*16) })
	im.exportBlocks = sync.OnceValues(func() ([]int64, error) { return im.tableBlocks(sb.exportTable, int64(sb.Inodes)*8) })
	im.xattrBlocks = sync.OnceValues(im.readXattrHead)
	if err := im.readIDs(); err != nil {
		return nil, fmt.Errorf("open image: id table: %w", err)
	}
	root, err := im.Inode(sb.Root)
	if err != nil {
		return nil, fmt.Errorf("open image: root: %w", err)
	}
	if !root.IsDir() {
		return nil, fmt.Errorf("open image: root is not a directory")
	}
	return im, nil
}

// Superblock is the head of the image.
func (r *Reader) Superblock() Superblock { return r.sb }

// Root is where the root directory's inode is.
func (r *Reader) Root() Ref { return r.sb.Root }

func (r *Reader) readFull(b []byte, pos int64) error {
	if pos < 0 || pos+int64(len(b)) > int64(r.sb.BytesUsed) {
		return fmt.Errorf("bytes %d to %d are outside of the image", pos, pos+int64(len(b)))
	}
	if n, err := r.r.ReadAt(b, pos); n < len(b) {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("read image at %d: %w", pos, err)
	}
	return nil
}

// tableBlocks reads the list of the metadata blocks of a table of so many bytes.
func (r *Reader) tableBlocks(list uint64, size int64) ([]int64, error) {
	if list == noTable {
		return nil, fmt.Errorf("image has no such table")
	}
	n := (size + metaBlockSize - 1) / metaBlockSize
	if n*8 > int64(r.sb.BytesUsed) || int64(list) > int64(r.sb.BytesUsed)-n*8 {
		return nil, fmt.Errorf("table of %d bytes does not fit in the image", size)
	}
	b := make([]byte, n*8)
	if err := r.readFull(b, int64(list)); err != nil {
		return nil, err
	}
	blocks := make([]int64, n)
	for i := range blocks {
		at := binary.LittleEndian.Uint64(b[8*i:])
		if at < superblockSize || at >= r.sb.BytesUsed {
			return nil, fmt.Errorf("table block at %d is outside of the image", at)
		}
		blocks[i] = int64(at)
	}
	return blocks, nil
}

// tableEntry reads b from a table at a multiple of its size, which divides 8 KiB.
func (r *Reader) tableEntry(blocks []int64, b []byte, index int64) error {
	pos := index * int64(len(b))
	block, offset := pos/metaBlockSize, pos%metaBlockSize
	if block >= int64(len(blocks)) {
		return fmt.Errorf("table has no entry %d", index)
	}
	data, _, err := r.metaBlock(blocks[block])
	if err != nil {
		return err
	}
	if offset+int64(len(b)) > int64(len(data)) {
		return fmt.Errorf("table has no entry %d", index)
	}
	copy(b, data[offset:])
	return nil
}

func (r *Reader) readIDs() error {
	blocks, err := r.tableBlocks(r.sb.idTable, int64(r.sb.IDs)*4)
	if err != nil {
		return err
	}
	r.ids = make([]uint32, r.sb.IDs)
	var b [4]byte
	for i := range r.ids {
		if err := r.tableEntry(blocks, b[:], int64(i)); err != nil {
			return err
		}
		r.ids[i] = binary.LittleEndian.Uint32(b[:])
	}
	return nil
}

// metaBlock returns the content of the metadata block at an offset of the image and where the next one begins.
func (r *Reader) metaBlock(pos int64) (data []byte, next int64, err error) {
	return r.meta.get(pos, func() ([]byte, int64, error) {
		// Read the header and what a compressed block usually takes at once.
		var buf [2 + metaBlockSize]byte
		first := min(int64(2+metaBlockSize/2), int64(r.sb.BytesUsed)-pos)
		if first < 2 {
			return nil, 0, fmt.Errorf("metadata block at %d is outside of the image", pos)
		}
		if err := r.readFull(buf[:first], pos); err != nil {
			return nil, 0, err
		}
		header := binary.LittleEndian.Uint16(buf[:])
		size := int64(header &^ metaUncompressed)
		if size == 0 || size > metaBlockSize {
			return nil, 0, fmt.Errorf("metadata block at %d has %d bytes", pos, size)
		}
		if 2+size > first {
			if err := r.readFull(buf[first:2+size], pos+first); err != nil {
				return nil, 0, err
			}
		}
		stored := buf[2 : 2+size]
		if header&metaUncompressed != 0 {
			return append(make([]byte, 0, size), stored...), pos + 2 + size, nil
		}
		out := blockBuffer(metaBlockSize)
		n, err := r.dec.decompress(out, stored)
		if err != nil {
			return nil, 0, fmt.Errorf("metadata block at %d: %w", pos, err)
		}
		if n < metaBlockSize/2 {
			out = append(make([]byte, 0, n), out[:n]...)
		}
		return out[:n], pos + 2 + size, nil
	})
}

// metaCursor reads on through the metadata blocks of a table.
type metaCursor struct {
	r     *Reader
	block int64 // offset in the image of the block that data is from
	next  int64
	data  []byte
	off   int
	limit int64 // blocks begin before this offset
	tmp   [64]byte
}

// cursor begins to read at offset within the metadata block at table+block.
func (r *Reader) cursor(c *metaCursor, table uint64, block int64, offset int, limit uint64) error {
	c.r, c.limit = r, int64(limit)
	if block < 0 || block > int64(limit) || offset < 0 || offset > metaBlockSize {
		return fmt.Errorf("metadata reference %d:%d is outside of its table", block, offset)
	}
	return c.load(int64(table)+block, offset)
}

func (c *metaCursor) load(pos int64, offset int) (err error) {
	if pos >= c.limit {
		return fmt.Errorf("metadata reference %d is behind its table", pos)
	}
	if c.data, c.next, err = c.r.metaBlock(pos); err != nil {
		return err
	}
	if offset > len(c.data) {
		return fmt.Errorf("metadata reference %d:%d is outside of its block", pos, offset)
	}
	c.block, c.off = pos, offset
	return nil
}

// read returns the next n bytes, valid until the next call.
func (c *metaCursor) read(n int) ([]byte, error) {
	if c.off+n <= len(c.data) {
		b := c.data[c.off : c.off+n]
		c.off += n
		return b, nil
	}
	b := c.tmp[:]
	if n > len(b) {
		b = make([]byte, n)
	}
	b = b[:n]
	for got := 0; got < n; {
		if c.off == len(c.data) {
			if err := c.load(c.next, 0); err != nil {
				return nil, err
			}
			if len(c.data) == 0 {
				return nil, fmt.Errorf("metadata block at %d is empty", c.block)
			}
		}
		m := copy(b[got:], c.data[c.off:])
		got += m
		c.off += m
	}
	return b, nil
}

// skip moves on by n bytes without keeping them.
func (c *metaCursor) skip(n int64) error {
	for n > int64(len(c.data)-c.off) {
		n -= int64(len(c.data) - c.off)
		if err := c.load(c.next, 0); err != nil {
			return err
		}
		if len(c.data) == 0 {
			return fmt.Errorf("metadata block at %d is empty", c.block)
		}
	}
	c.off += int(n)
	return nil
}

// dirLimit is the end of the directory table: where the first of the tables behind it begins, or the end of the image.
func (r *Reader) dirLimit() uint64 { return r.sb.BytesUsed }

// Lookup finds the inode with a number, which needs the export table that some writers leave out.
func (r *Reader) Lookup(number uint32) (Ref, error) {
	blocks, err := r.exportBlocks()
	if err != nil {
		return 0, fmt.Errorf("inode %d: export table: %w", number, err)
	}
	if number == 0 || number > r.sb.Inodes {
		return 0, fmt.Errorf("inode %d: image has %d inodes", number, r.sb.Inodes)
	}
	var b [8]byte
	if err := r.tableEntry(blocks, b[:], int64(number)-1); err != nil {
		return 0, fmt.Errorf("inode %d: export table: %w", number, err)
	}
	return Ref(binary.LittleEndian.Uint64(b[:])), nil
}

var _ tree.Source = (*Reader)(nil)
