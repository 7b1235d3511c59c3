package squashfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"time"
)

// Limits of the format.
const (
	// MinBlockSize and MaxBlockSize bound the size of a data block, a power of two.
	MinBlockSize = 4 << 10
	MaxBlockSize = 1 << 20
	// DefaultBlockSize is what mksquashfs uses as well.
	DefaultBlockSize = 128 << 10

	superblockSize   = 96
	magic            = 0x73717368 // "hsqs"
	metaBlockSize    = 8 << 10
	metaUncompressed = 1 << 15 // bit of a metadata block's header
	dataUncompressed = 1 << 24 // bit of a data or fragment block's size
	noFragment       = 0xffffffff
	noXattr          = 0xffffffff
	noTable          = 0xffffffffffffffff
	maxNameLen       = 255 // NAME_MAX; the format could hold 256
	maxTargetLen     = 65535
	dirHeaderSize    = 12
	dirEntrySize     = 8
	dirHeaderMax     = 256 // entries below one directory header
	dirSizeExtra     = 3   // a directory's size counts "." and ".." with 3 bytes
	maxIDs           = 65535
	padTo            = 4096 // so that a loop device of 4 KiB sectors holds the whole image
)

// Superblock flags.
const (
	flagUncompressedInodes    = 0x0001
	flagUncompressedData      = 0x0002
	flagUncompressedFragments = 0x0008
	flagNoFragments           = 0x0010
	flagDuplicates            = 0x0040
	flagExportable            = 0x0080
	flagUncompressedXattrs    = 0x0100
	flagNoXattrs              = 0x0200
	flagCompressorOptions     = 0x0400
	flagUncompressedIDs       = 0x0800
)

// Inode types: the basic ones, the extended ones are 7 more.
const (
	typeDir     = 1
	typeFile    = 2
	typeSymlink = 3
	typeBlock   = 4
	typeChar    = 5
	typeFifo    = 6
	typeSocket  = 7
	extended    = 7
)

// ErrNotSquashFS says that the bytes are not a SquashFS 4.0 image at all.
var ErrNotSquashFS = errors.New("not a SquashFS 4.0 image")

// Compression is the method an image's blocks are stored with; the values below 0xffff are those of the superblock.
type Compression uint16

// The compression methods. The zero value stands for the default, zstd.
const (
	Gzip Compression = 1
	LZMA Compression = 2 // never read by a kernel
	LZO  Compression = 3
	XZ   Compression = 4
	LZ4  Compression = 5
	Zstd Compression = 6
	// None stores every block as it is. Such an image names gzip in its superblock, as those of mksquashfs do.
	None Compression = 0xffff
)

// String is the name as mksquashfs -comp takes it, or "none".
func (c Compression) String() string {
	switch c {
	case Gzip:
		return "gzip"
	case LZMA:
		return "lzma"
	case LZO:
		return "lzo"
	case XZ:
		return "xz"
	case LZ4:
		return "lz4"
	case Zstd, 0:
		return "zstd"
	case None:
		return "none"
	}
	return fmt.Sprintf("compression %d", uint16(c))
}

// ParseCompression is the opposite of String for those methods that the Writer knows: zstd, gzip, none.
func ParseCompression(name string) (Compression, error) {
	for _, c := range []Compression{Zstd, Gzip, None} {
		if c.String() == name {
			return c, nil
		}
	}
	return 0, fmt.Errorf("squashfs compression %q: choose zstd, gzip or none", name)
}

// Superblock is the head of an image.
type Superblock struct {
	Inodes      uint32
	ModTime     uint32 // seconds since 1970
	BlockSize   uint32
	Fragments   uint32
	Compression Compression
	Flags       uint16
	IDs         uint16
	Root        Ref
	BytesUsed   uint64 // without padding
	idTable     uint64
	xattrTable  uint64
	inodeTable  uint64
	dirTable    uint64
	fragTable   uint64
	exportTable uint64
}

// Ref is where an inode lies in the inode table: the metadata block's offset in the upper 48 bits, the inode's offset in the
// uncompressed block in the lower 16.
type Ref uint64

func (r Ref) split() (block int64, offset int) { return int64(r >> 16), int(r & 0xffff) }

// Time is the image's time of making.
func (s *Superblock) Time() time.Time { return time.Unix(int64(s.ModTime), 0) }

// HasXattrs tells whether any object of the image may have extended attributes.
func (s *Superblock) HasXattrs() bool { return s.xattrTable != noTable }

// IsSquashFS tells whether head, the first bytes of a file, is the head of a SquashFS image of version 4 (96 bytes are enough).
func IsSquashFS(head []byte) bool {
	return len(head) >= superblockSize && bytes.HasPrefix(head, []byte("hsqs")) && binary.LittleEndian.Uint16(head[28:]) == 4
}

func (s *Superblock) encode() []byte {
	le := binary.LittleEndian
	b := make([]byte, 0, superblockSize)
	b = le.AppendUint32(b, magic)
	b = le.AppendUint32(b, s.Inodes)
	b = le.AppendUint32(b, s.ModTime)
	b = le.AppendUint32(b, s.BlockSize)
	b = le.AppendUint32(b, s.Fragments)
	b = le.AppendUint16(b, uint16(s.Compression))
	b = le.AppendUint16(b, uint16(bits.TrailingZeros32(s.BlockSize)))
	b = le.AppendUint16(b, s.Flags)
	b = le.AppendUint16(b, s.IDs)
	b = le.AppendUint16(b, 4)
	b = le.AppendUint16(b, 0)
	b = le.AppendUint64(b, uint64(s.Root))
	for _, v := range []uint64{s.BytesUsed, s.idTable, s.xattrTable, s.inodeTable, s.dirTable, s.fragTable, s.exportTable} {
		b = le.AppendUint64(b, v)
	}
	return b
}

// parseSuperblock decodes and checks what can be checked without the rest of the image, whose size is given.
func parseSuperblock(b []byte, size int64) (*Superblock, error) {
	if len(b) < superblockSize {
		return nil, fmt.Errorf("superblock: %d bytes: %w", len(b), ErrNotSquashFS)
	}
	le := binary.LittleEndian
	if le.Uint32(b) != magic {
		return nil, fmt.Errorf("superblock: no magic number: %w", ErrNotSquashFS)
	}
	if major, minor := le.Uint16(b[28:]), le.Uint16(b[30:]); major != 4 || minor != 0 {
		return nil, fmt.Errorf("superblock: version %d.%d: %w", major, minor, ErrNotSquashFS)
	}
	s := &Superblock{
		Inodes:      le.Uint32(b[4:]),
		ModTime:     le.Uint32(b[8:]),
		BlockSize:   le.Uint32(b[12:]),
		Fragments:   le.Uint32(b[16:]),
		Compression: Compression(le.Uint16(b[20:])),
		Flags:       le.Uint16(b[24:]),
		IDs:         le.Uint16(b[26:]),
		Root:        Ref(le.Uint64(b[32:])),
		BytesUsed:   le.Uint64(b[40:]),
		idTable:     le.Uint64(b[48:]),
		xattrTable:  le.Uint64(b[56:]),
		inodeTable:  le.Uint64(b[64:]),
		dirTable:    le.Uint64(b[72:]),
		fragTable:   le.Uint64(b[80:]),
		exportTable: le.Uint64(b[88:]),
	}
	if s.BlockSize < MinBlockSize || s.BlockSize > MaxBlockSize || bits.OnesCount32(s.BlockSize) != 1 ||
		int(le.Uint16(b[22:])) != bits.TrailingZeros32(s.BlockSize) {
		return nil, fmt.Errorf("superblock: bad block size %d", s.BlockSize)
	}
	if size < 0 || s.BytesUsed > uint64(size) {
		return nil, fmt.Errorf("superblock: image needs %d bytes and has %d: truncated", s.BytesUsed, size)
	}
	if s.inodeTable < superblockSize || s.inodeTable >= s.dirTable || s.dirTable > s.BytesUsed {
		return nil, fmt.Errorf("superblock: bad tables: inodes at %d, directories at %d", s.inodeTable, s.dirTable)
	}
	if s.IDs == 0 || s.idTable < s.dirTable || s.idTable > s.BytesUsed {
		return nil, fmt.Errorf("superblock: bad id table at %d", s.idTable)
	}
	if s.Fragments > 0 && (s.fragTable < s.dirTable || s.fragTable > s.BytesUsed) {
		return nil, fmt.Errorf("superblock: bad fragment table at %d", s.fragTable)
	}
	if s.exportTable != noTable && (s.exportTable < s.dirTable || s.exportTable > s.BytesUsed) {
		return nil, fmt.Errorf("superblock: bad export table at %d", s.exportTable)
	}
	if s.xattrTable != noTable && (s.xattrTable < s.dirTable || s.xattrTable > s.BytesUsed-min(s.BytesUsed, 16)) {
		return nil, fmt.Errorf("superblock: bad xattr table at %d", s.xattrTable)
	}
	if block, offset := s.Root.split(); uint64(block) >= s.dirTable-s.inodeTable || offset >= metaBlockSize {
		return nil, fmt.Errorf("superblock: root inode at %#x", uint64(s.Root))
	}
	return s, nil
}

// device packs major and minor as the kernel's new_encode_dev does.
func device(major, minor uint32) uint32 {
	return minor&0xff | major<<8&0xfff00 | (minor&^0xff)<<12
}

func splitDevice(dev uint32) (major, minor uint32) {
	return dev >> 8 & 0xfff, dev&0xff | dev>>12&0xfff00
}
