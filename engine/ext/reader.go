package ext

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Errors that callers branch on; those returned wrap them.
var (
	// ErrNotExt says that the bytes are not an ext file system at all.
	ErrNotExt = errors.New("not an ext2, ext3 or ext4 file system")
	// ErrCorrupt says that the file system contradicts itself or is cut short.
	ErrCorrupt = errors.New("the file system is damaged")
	// ErrFeature says that the file system uses something that this package cannot read.
	ErrFeature = errors.New("the file system has a feature that cannot be read")
)

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

var le = binary.LittleEndian

const (
	superOffset = 1024
	superSize   = 1024
	magic       = 0xEF53
	// minBlock and maxBlock bound the size of a block, bytes.
	minBlock, maxBlock = 1 << 10, 1 << 16
	rootInode          = 2
)

// Features that change how the file system has to be read (s_feature_incompat).
const (
	incompatCompression = 0x1
	incompatFiletype    = 0x2
	incompatRecover     = 0x4
	incompatJournalDev  = 0x8
	incompatMetaBG      = 0x10
	incompatExtents     = 0x40
	incompat64bit       = 0x80
	incompatMMP         = 0x100
	incompatFlexBG      = 0x200
	incompatEAInode     = 0x400
	incompatCsumSeed    = 0x2000
	incompatLargeDir    = 0x4000
	incompatInlineData  = 0x8000
	incompatCasefold    = 0x20000

	incompatKnown = incompatFiletype | incompatRecover | incompatMetaBG | incompatExtents | incompat64bit | incompatMMP |
		incompatFlexBG | incompatEAInode | incompatCsumSeed | incompatLargeDir | incompatInlineData | incompatCasefold

	roCompatSparseSuper = 0x1
)

// superblock is the part of the superblock that reading needs.
type superblock struct {
	inodes         uint32
	blocks         uint64
	firstDataBlock uint32
	blockSize      int64
	blocksPerGroup uint32
	inodesPerGroup uint32
	inodeSize      int64
	incompat       uint32
	roCompat       uint32
	descSize       int64
	firstMetaBG    uint32
	journal        uint32 // inode of the journal
}

// Reader reads a file system; its methods may be called from several goroutines.
type Reader struct {
	r      io.ReaderAt
	size   int64
	sb     superblock
	replay map[uint64][]byte // blocks that the journal has newer than their place; never changed after Open

	mu    sync.Mutex
	cache map[uint64][]byte // blocks of metadata
}

// maxCached bounds the cached blocks of metadata, bytes.
const maxCached = 8 << 20

// Open reads the superblock of the file system that r holds from its first byte on, and what its journal has not yet
// brought to its place. size is the number of bytes that r has. The caller closes r when the Reader is no longer used.
// Errors wrap ErrNotExt, ErrCorrupt or ErrFeature.
func Open(r io.ReaderAt, size int64) (*Reader, error) {
	b := make([]byte, superSize)
	if _, err := r.ReadAt(b, superOffset); err != nil {
		if err == io.EOF {
			return nil, ErrNotExt
		}
		return nil, err
	}
	sb, err := parseSuper(b)
	if err != nil {
		return nil, err
	}
	f := &Reader{r: r, size: size, sb: sb, cache: map[uint64][]byte{}}
	if sb.incompat&incompatRecover != 0 {
		if err := f.readJournal(); err != nil {
			return nil, fmt.Errorf("read journal: %w", err)
		}
		if b, ok := f.replay[uint64(superOffset/sb.blockSize)]; ok { // the superblock itself
			if f.sb, err = parseSuper(b[superOffset%sb.blockSize:][:superSize]); err != nil {
				return nil, err
			}
			if f.sb.blockSize != sb.blockSize {
				return nil, corrupt("the journal changes the size of blocks")
			}
		}
	}
	root, err := f.Inode(rootInode)
	if err != nil {
		return nil, err
	}
	if !root.IsDir() {
		return nil, corrupt("its root is not a directory")
	}
	return f, nil
}

// IsClean tells whether a file system can be mounted without its journal being applied, which needs to write to it.
func IsClean(r io.ReaderAt) (bool, error) {
	b := make([]byte, superSize)
	if _, err := r.ReadAt(b, superOffset); err != nil {
		return false, err
	}
	sb, err := parseSuper(b)
	return sb.incompat&incompatRecover == 0, err
}

func parseSuper(b []byte) (superblock, error) {
	if le.Uint16(b[56:]) != magic {
		return superblock{}, ErrNotExt
	}
	sb := superblock{
		inodes: le.Uint32(b), blocks: uint64(le.Uint32(b[4:])), firstDataBlock: le.Uint32(b[20:]),
		blocksPerGroup: le.Uint32(b[32:]), inodesPerGroup: le.Uint32(b[40:]), inodeSize: 128, descSize: 32,
	}
	log := le.Uint32(b[24:])
	if log > 6 {
		return sb, corrupt("blocks of 2^%d KiB", log)
	}
	sb.blockSize = minBlock << log
	if le.Uint32(b[76:]) > 0 { // revision: with features and inodes of any size
		sb.inodeSize = int64(le.Uint16(b[88:]))
		sb.incompat, sb.roCompat = le.Uint32(b[96:]), le.Uint32(b[100:])
		sb.journal, sb.firstMetaBG = le.Uint32(b[224:]), le.Uint32(b[260:])
	}
	if sb.incompat&incompat64bit != 0 {
		sb.descSize = int64(le.Uint16(b[254:]))
		sb.blocks |= uint64(le.Uint32(b[336:])) << 32
	}
	if unknown := sb.incompat &^ incompatKnown; unknown != 0 {
		return sb, fmt.Errorf("%w: 0x%x", ErrFeature, unknown)
	}
	switch {
	case sb.inodeSize < 128 || sb.inodeSize > sb.blockSize || sb.inodeSize&(sb.inodeSize-1) != 0:
		return sb, corrupt("inodes of %d bytes", sb.inodeSize)
	case sb.descSize < 32 || sb.descSize > sb.blockSize || sb.descSize&(sb.descSize-1) != 0:
		return sb, corrupt("group descriptors of %d bytes", sb.descSize)
	case sb.blocksPerGroup == 0 || sb.inodesPerGroup == 0 || sb.inodes == 0 || sb.blocks <= uint64(sb.firstDataBlock):
		return sb, corrupt("a count is zero")
	case sb.blocks > 1<<48:
		return sb, corrupt("%d blocks", sb.blocks)
	}
	return sb, nil
}

// at is where a block begins.
func (f *Reader) at(block uint64) (int64, error) {
	if block == 0 || block >= f.sb.blocks {
		return 0, corrupt("block %d of %d", block, f.sb.blocks)
	}
	return int64(block) * f.sb.blockSize, nil
}

// readBlocks reads bytes of consecutive blocks, beginning within the first of them.
func (f *Reader) readBlocks(p []byte, block uint64, within int64) error {
	off, err := f.at(block)
	if err != nil {
		return err
	}
	if _, err := f.at(block + uint64((within+int64(len(p))-1)/f.sb.blockSize)); err != nil {
		return err
	}
	if len(f.replay) == 0 {
		return f.readAt(p, off+within)
	}
	for len(p) > 0 {
		n := min(int64(len(p)), f.sb.blockSize-within)
		if newer, ok := f.replay[block]; ok {
			copy(p[:n], newer[within:])
		} else if err := f.readAt(p[:n], int64(block)*f.sb.blockSize+within); err != nil {
			return err
		}
		p, block, within = p[n:], block+1, 0
	}
	return nil
}

func (f *Reader) readAt(p []byte, off int64) error {
	_, err := f.r.ReadAt(p, off)
	if err == io.EOF {
		return corrupt("it ends before byte %d", off+int64(len(p)))
	}
	return err
}

// meta is a block of metadata, from the cache; nobody may change it.
func (f *Reader) meta(block uint64) ([]byte, error) {
	f.mu.Lock()
	b, ok := f.cache[block]
	f.mu.Unlock()
	if ok {
		return b, nil
	}
	b = make([]byte, f.sb.blockSize)
	if err := f.readBlocks(b, block, 0); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for old := range f.cache { // any: what is needed again comes back soon
		if int64(len(f.cache)+1)*f.sb.blockSize <= maxCached {
			break
		}
		delete(f.cache, old)
	}
	f.cache[block] = b
	return b, nil
}

// inodeTable is the block at which a group's inodes begin.
func (f *Reader) inodeTable(group uint32) (uint64, error) {
	perBlock := uint32(f.sb.blockSize / f.sb.descSize)
	n := group / perBlock
	block := uint64(f.sb.firstDataBlock) + 1 + uint64(n)
	if f.sb.incompat&incompatMetaBG != 0 && n >= f.sb.firstMetaBG {
		first := n * perBlock // group that this block of descriptors is in
		block = uint64(f.sb.firstDataBlock) + uint64(first)*uint64(f.sb.blocksPerGroup)
		if f.hasSuper(first) {
			block++
		}
	}
	b, err := f.meta(block)
	if err != nil {
		return 0, err
	}
	d := b[int64(group%perBlock)*f.sb.descSize:]
	table := uint64(le.Uint32(d[8:]))
	if f.sb.descSize >= 64 {
		table |= uint64(le.Uint32(d[40:])) << 32
	}
	return table, nil
}

// hasSuper tells whether a group begins with a copy of the superblock.
func (f *Reader) hasSuper(group uint32) bool {
	if group <= 1 || f.sb.roCompat&roCompatSparseSuper == 0 {
		return true
	}
	for _, base := range []uint32{3, 5, 7} {
		n := base
		for n < group && n < 1<<30/base {
			n *= base
		}
		if n == group {
			return true
		}
	}
	return false
}
