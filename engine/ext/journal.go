package ext

import (
	"encoding/binary"
)

var be = binary.BigEndian

// The journal (kernel documentation, "Journal (jbd2)"). Everything in it is big endian; each of its own blocks begins
// with a magic number, a type and the number of the transaction.
const (
	journalMagic      = 0xC03B3998
	journalDescriptor = 1
	journalCommit     = 2
	journalSuperV1    = 3
	journalSuperV2    = 4
	journalRevoke     = 5

	journal64bit  = 0x2
	journalCsumV2 = 0x8
	journalCsumV3 = 0x10
	journalKnown  = 0x1 | journal64bit | 0x4 | journalCsumV2 | journalCsumV3 // revocations, wide numbers, asynchronous commits

	tagEscaped  = 0x1 // the block's first bytes were those of the magic number, and are zero in the journal
	tagSameUUID = 0x2
	tagLast     = 0x8

	// maxReplay bounds what is kept of a journal, bytes; journals of usual size have 4 to 128 MiB.
	maxReplay = 256 << 20
)

// journal is a journal being read.
type journal struct {
	f        *Reader
	in       *Inode
	features uint32
	first    uint64 // its first block after the superblock
	length   uint64 // in blocks
}

// transaction is a committed group of changes.
type transaction struct {
	sequence uint32
	blocks   map[uint64]uint64 // place in the file system → block of the journal
	escaped  map[uint64]bool
	revoked  []uint64
}

// readJournal finds the blocks that committed transactions hold and that were not brought to their place.
func (f *Reader) readJournal() error {
	in, err := f.Inode(f.sb.journal)
	if err != nil {
		return err
	}
	j := &journal{f: f, in: in}
	b, err := j.block(0)
	if err != nil {
		return err
	}
	kind := be.Uint32(b[4:])
	if be.Uint32(b) != journalMagic || kind != journalSuperV1 && kind != journalSuperV2 || int64(be.Uint32(b[12:])) != f.sb.blockSize {
		return corrupt("it has no superblock")
	}
	j.length, j.first = uint64(be.Uint32(b[16:])), uint64(be.Uint32(b[20:]))
	sequence, start := be.Uint32(b[24:]), uint64(be.Uint32(b[28:]))
	if kind == journalSuperV2 {
		j.features = be.Uint32(b[40:])
	}
	if unknown := j.features &^ journalKnown; unknown != 0 {
		return corruptJournal(unknown)
	}
	if start == 0 { // empty
		return nil
	}
	if j.first == 0 || j.first >= j.length || start < j.first || start >= j.length || int64(j.length) > in.Size/f.sb.blockSize {
		return corrupt("its bounds")
	}
	list, err := j.transactions(sequence, start)
	if err != nil {
		return err
	}
	return j.collect(list)
}

func corruptJournal(features uint32) error {
	return corrupt("its features 0x%x are unknown", features)
}

// block reads a block of the journal.
func (j *journal) block(n uint64) ([]byte, error) {
	b := make([]byte, j.f.sb.blockSize)
	r, err := j.f.find(j.in, n)
	if err != nil {
		return nil, err
	}
	if r.block == 0 {
		return b, nil
	}
	return b, j.f.readBlocks(b, r.block, 0)
}

func (j *journal) next(n uint64) uint64 {
	if n++; n >= j.length {
		return j.first
	}
	return n
}

// transactions reads the journal from a block on, up to the first transaction that is not complete.
func (j *journal) transactions(sequence uint32, at uint64) ([]transaction, error) {
	var done []transaction
	open := transaction{sequence: sequence, blocks: map[uint64]uint64{}, escaped: map[uint64]bool{}}
	for range j.length {
		b, err := j.block(at)
		if err != nil {
			return nil, err
		}
		if be.Uint32(b) != journalMagic || be.Uint32(b[8:]) != open.sequence {
			break
		}
		at = j.next(at)
		switch be.Uint32(b[4:]) {
		case journalDescriptor:
			for _, t := range j.tags(b) {
				open.blocks[t.place], open.escaped[t.place] = at, t.escaped
				at = j.next(at)
			}
		case journalRevoke:
			open.revoked = append(open.revoked, j.revoked(b)...)
		case journalCommit:
			done = append(done, open)
			open = transaction{sequence: open.sequence + 1, blocks: map[uint64]uint64{}, escaped: map[uint64]bool{}}
		default:
			return done, nil
		}
	}
	return done, nil
}

type tag struct {
	place   uint64
	escaped bool
}

// tags are the places of the blocks that follow a descriptor block.
func (j *journal) tags(b []byte) []tag {
	size, end := 8, len(b)
	if j.features&journal64bit != 0 {
		size = 12
	}
	if j.features&journalCsumV3 != 0 {
		size = 16
	}
	if j.features&(journalCsumV2|journalCsumV3) != 0 {
		end -= 4
	}
	var list []tag
	for at := 12; at+size <= end; {
		t := b[at:]
		place, flags := uint64(be.Uint32(t)), uint32(be.Uint16(t[6:]))
		if j.features&journalCsumV3 != 0 {
			flags = be.Uint32(t[4:])
		}
		if j.features&journal64bit != 0 {
			place |= uint64(be.Uint32(t[8:])) << 32
		}
		list = append(list, tag{place, flags&tagEscaped != 0})
		if at += size; flags&tagSameUUID == 0 {
			at += 16
		}
		if flags&tagLast != 0 {
			break
		}
	}
	return list
}

// revoked are the places whose earlier versions in the journal are void.
func (j *journal) revoked(b []byte) []uint64 {
	size := 4
	if j.features&journal64bit != 0 {
		size = 8
	}
	var list []uint64
	for at, end := 16, min(int(be.Uint32(b[12:])), len(b)); at+size <= end; at += size {
		if size == 8 {
			list = append(list, be.Uint64(b[at:]))
		} else {
			list = append(list, uint64(be.Uint32(b[at:])))
		}
	}
	return list
}

// collect reads the newest version of every block.
func (j *journal) collect(list []transaction) error {
	type version struct {
		block   uint64
		escaped bool
	}
	newest := map[uint64]version{}
	void := map[uint64]bool{}
	for i := len(list) - 1; i >= 0; i-- { // a revocation is about its own transaction's blocks and older ones
		t := list[i]
		for _, place := range t.revoked {
			void[place] = true
		}
		for place, block := range t.blocks {
			if _, known := newest[place]; !known && !void[place] {
				newest[place] = version{block, t.escaped[place]}
			}
		}
	}
	if int64(len(newest))*j.f.sb.blockSize > maxReplay {
		return corrupt("it holds %d blocks", len(newest))
	}
	replay := make(map[uint64][]byte, len(newest))
	for place, v := range newest {
		b, err := j.block(v.block)
		if err != nil {
			return err
		}
		if v.escaped {
			be.PutUint32(b, journalMagic)
		}
		replay[place] = b
	}
	clear(j.f.cache) // what was read before may be older
	j.f.replay = replay
	return nil
}
