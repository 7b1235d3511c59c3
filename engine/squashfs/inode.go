package squashfs

import (
	"encoding/binary"
	"fmt"
	"math"
	"sync"
	"time"

	"carrel/engine/tree"
)

// Inode is a decoded inode. It belongs to the Reader that returned it and must not be changed.
type Inode struct {
	Ref     Ref
	Number  uint32
	Mode    uint32 // st_mode
	UID     uint32
	GID     uint32
	ModTime uint32 // seconds since 1970
	Nlink   uint32
	Size    int64  // of a regular file in bytes, of a symbolic link's target; of a directory as its inode says
	Major   uint32 // of a device
	Minor   uint32
	Parent  uint32 // number of a directory's parent

	xattr uint32

	// Regular files: the first block's place, holes, the fragment, and where the block list is in the inode table.
	start      int64
	sparse     int64
	fragment   uint32
	fragOffset uint32
	nblocks    int64
	listBlock  int64 // absolute
	listOffset int

	// Directories: the listing and the index; symbolic links: the target.
	dirBlock   int64 // from the start of the directory table
	dirOffset  int
	indexCount int

	mu    sync.Mutex
	marks []blockMark // every blocksPerMark blocks
}

// blockMark is where a block of a file is, and its size in the block list.
type blockMark struct {
	pos       int64 // in the image
	metaBlock int64
	metaOff   int
}

// IsDir tells whether the inode is a directory.
func (in *Inode) IsDir() bool { return in.Mode&tree.TypeMask == tree.TypeDir }

// IsRegular tells whether the inode is a regular file.
func (in *Inode) IsRegular() bool { return in.Mode&tree.TypeMask == tree.TypeRegular }

// IsSymlink tells whether the inode is a symbolic link.
func (in *Inode) IsSymlink() bool { return in.Mode&tree.TypeMask == tree.TypeSymlink }

// Time is the time of the last modification.
func (in *Inode) Time() time.Time { return time.Unix(int64(in.ModTime), 0) }

// HasXattrs tells whether the inode refers to extended attributes.
func (in *Inode) HasXattrs() bool { return in.xattr != noXattr }

// Blocks is the number of 512 byte units a regular file takes, holes left out, as st_blocks has it.
func (in *Inode) Blocks() int64 {
	if !in.IsRegular() {
		return 0
	}
	return (in.Size - in.sparse + 511) / 512
}

// Inode decodes the inode at a place of the inode table.
func (r *Reader) Inode(ref Ref) (*Inode, error) {
	slot := &r.inodes[(uint64(ref)^uint64(ref)>>16)*0x9e3779b97f4a7c15>>52%inodeCacheSize]
	if in := slot.Load(); in != nil && in.Ref == ref {
		return in, nil
	}
	in, err := r.decodeInode(ref)
	if err != nil {
		return nil, fmt.Errorf("inode %#x: %w", uint64(ref), err)
	}
	slot.Store(in)
	return in, nil
}

var inodeModes = [...]uint32{0, tree.TypeDir, tree.TypeRegular, tree.TypeSymlink, tree.TypeBlock, tree.TypeChar, tree.TypeFifo, tree.TypeSocket}

func (r *Reader) decodeInode(ref Ref) (*Inode, error) {
	le := binary.LittleEndian
	block, offset := ref.split()
	var c metaCursor
	if err := r.cursor(&c, r.sb.inodeTable, block, offset, r.sb.dirTable); err != nil {
		return nil, err
	}
	b, err := c.read(16)
	if err != nil {
		return nil, err
	}
	kind := le.Uint16(b)
	if kind == 0 || kind > 2*extended {
		return nil, fmt.Errorf("unknown type %d", kind)
	}
	ext := kind > extended
	if ext {
		kind -= extended
	}
	uid, gid := le.Uint16(b[4:]), le.Uint16(b[6:])
	if int(uid) >= len(r.ids) || int(gid) >= len(r.ids) {
		return nil, fmt.Errorf("owner %d:%d is outside of the id table", uid, gid)
	}
	in := &Inode{
		Ref: ref, Mode: inodeModes[kind] | uint32(le.Uint16(b[2:]))&tree.PermMask, UID: r.ids[uid], GID: r.ids[gid],
		ModTime: le.Uint32(b[8:]), Number: le.Uint32(b[12:]), xattr: noXattr, Nlink: 1, fragment: noFragment,
	}
	switch kind {
	case typeDir:
		err = in.decodeDir(&c, ext)
	case typeFile:
		err = in.decodeFile(&c, ext, int64(r.sb.BlockSize))
	case typeSymlink:
		if b, err = c.read(8); err == nil {
			in.Nlink, in.Size = le.Uint32(b), int64(le.Uint32(b[4:]))
			in.listBlock, in.listOffset = c.block, c.off
			if in.Size == 0 || in.Size > maxTargetLen {
				return nil, fmt.Errorf("symbolic link with a target of %d bytes", in.Size)
			}
			if ext {
				if err = c.skip(in.Size); err == nil {
					err = in.decodeXattr(&c)
				}
			}
		}
	case typeBlock, typeChar:
		if b, err = c.read(8); err == nil {
			in.Nlink = le.Uint32(b)
			in.Major, in.Minor = splitDevice(le.Uint32(b[4:]))
			if ext {
				err = in.decodeXattr(&c)
			}
		}
	default:
		if b, err = c.read(4); err == nil {
			in.Nlink = le.Uint32(b)
			if ext {
				err = in.decodeXattr(&c)
			}
		}
	}
	if err != nil {
		return nil, err
	}
	return in, nil
}

func (in *Inode) decodeXattr(c *metaCursor) error {
	b, err := c.read(4)
	if err == nil {
		in.xattr = binary.LittleEndian.Uint32(b)
	}
	return err
}

func (in *Inode) decodeDir(c *metaCursor, ext bool) error {
	le := binary.LittleEndian
	if !ext {
		b, err := c.read(16)
		if err != nil {
			return err
		}
		in.dirBlock, in.Nlink, in.Size = int64(le.Uint32(b)), le.Uint32(b[4:]), int64(le.Uint16(b[8:]))
		in.dirOffset, in.Parent = int(le.Uint16(b[10:])), le.Uint32(b[12:])
		return nil
	}
	b, err := c.read(24)
	if err != nil {
		return err
	}
	in.Nlink, in.Size, in.dirBlock, in.Parent = le.Uint32(b), int64(le.Uint32(b[4:])), int64(le.Uint32(b[8:])), le.Uint32(b[12:])
	in.indexCount, in.dirOffset, in.xattr = int(le.Uint16(b[16:])), int(le.Uint16(b[18:])), le.Uint32(b[20:])
	in.listBlock, in.listOffset = c.block, c.off
	return nil
}

func (in *Inode) decodeFile(c *metaCursor, ext bool, blockSize int64) error {
	le := binary.LittleEndian
	if !ext {
		b, err := c.read(16)
		if err != nil {
			return err
		}
		in.start, in.fragment, in.fragOffset, in.Size = int64(le.Uint32(b)), le.Uint32(b[4:]), le.Uint32(b[8:]), int64(le.Uint32(b[12:]))
	} else {
		b, err := c.read(40)
		if err != nil {
			return err
		}
		start, size, sparse := le.Uint64(b), le.Uint64(b[8:]), le.Uint64(b[16:])
		if start > math.MaxInt64 || size > math.MaxInt64-MaxBlockSize || sparse > size {
			return fmt.Errorf("file of %d bytes with %d in holes", size, sparse)
		}
		in.start, in.Size, in.sparse, in.Nlink = int64(start), int64(size), int64(sparse), le.Uint32(b[24:])
		in.fragment, in.fragOffset, in.xattr = le.Uint32(b[28:]), le.Uint32(b[32:]), le.Uint32(b[36:])
	}
	in.nblocks = in.Size / blockSize
	if in.fragment == noFragment && in.Size%blockSize != 0 {
		in.nblocks++
	}
	in.listBlock, in.listOffset = c.block, c.off
	return nil
}

// Target is what a symbolic link points to.
func (r *Reader) Target(in *Inode) (string, error) {
	if !in.IsSymlink() {
		return "", fmt.Errorf("inode %#x: not a symbolic link", uint64(in.Ref))
	}
	c := metaCursor{r: r, limit: int64(r.sb.dirTable)}
	if err := c.load(in.listBlock, in.listOffset); err != nil {
		return "", fmt.Errorf("inode %#x: %w", uint64(in.Ref), err)
	}
	b, err := c.read(int(in.Size))
	if err != nil {
		return "", fmt.Errorf("inode %#x: %w", uint64(in.Ref), err)
	}
	return string(b), nil
}

// blocksPerMark is how many blocks of a file lie between two remembered places; 256 sizes are read in less than a microsecond.
const blocksPerMark = 256

// locate finds block k of a file: its place in the image and its size as the block list has it.
func (r *Reader) locate(in *Inode, k int64) (pos int64, size uint32, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.marks == nil {
		in.marks = append(in.marks, blockMark{in.start, in.listBlock, in.listOffset})
	}
	var c metaCursor
	for first := min(k/blocksPerMark, int64(len(in.marks)-1)); ; first++ {
		m := in.marks[first]
		c.r, c.limit = r, int64(r.sb.dirTable)
		if err := c.load(m.metaBlock, m.metaOff); err != nil {
			return 0, 0, err
		}
		pos = m.pos
		for i := first * blocksPerMark; i < (first+1)*blocksPerMark; i++ {
			b, err := c.read(4)
			if err != nil {
				return 0, 0, err
			}
			size = binary.LittleEndian.Uint32(b)
			stored := size &^ dataUncompressed
			if stored > r.sb.BlockSize {
				return 0, 0, fmt.Errorf("block %d has %d bytes", i, stored)
			}
			if i == k {
				return pos, size, nil
			}
			pos += int64(stored)
			if pos > int64(r.sb.BytesUsed) {
				return 0, 0, fmt.Errorf("block %d at %d is outside of the image", i, pos)
			}
		}
		if int64(len(in.marks)) == first+1 {
			in.marks = append(in.marks, blockMark{pos, c.block, c.off})
		}
	}
}
