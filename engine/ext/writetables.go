package ext

import (
	"encoding/binary"
	"math/bits"
	"time"

	"carrel/engine/tree"
)

const (
	compatJournal    = 0x4
	compatAttributes = 0x8
	roCompatLarge    = 0x2
)

// journal makes the empty journal: a file of its own, whose first block says that there is nothing to replay.
func (b *writer) journal(uuid [16]byte) error {
	n := &node{number: journalInode, names: 1, size: journalBlocks * writeBlock, entry: tree.Entry{Mode: tree.TypeRegular | 0o600, ModTime: b.now}}
	list := make([]uint32, journalBlocks)
	for i := range list {
		var err error
		if list[i], err = b.allocate(n); err != nil {
			return err
		}
	}
	b.journalAt = n
	head := make([]byte, writeBlock)
	be := binary.BigEndian
	be.PutUint32(head[0:], journalMagic)
	be.PutUint32(head[4:], 4) // superblock, version 2
	be.PutUint32(head[12:], writeBlock)
	be.PutUint32(head[16:], journalBlocks)
	be.PutUint32(head[20:], 1) // first block of the log
	be.PutUint32(head[24:], 1) // first number of a transaction
	copy(head[48:], uuid[:])
	be.PutUint32(head[64:], 1) // file systems that use it
	if err := b.writeBlocks(list[0], head); err != nil {
		return err
	}
	return b.pointTo(n, list)
}

// finish writes folders, links and attributes, then all tables.
func (b *writer) finish(uuid [16]byte) error {
	all := append([]*node{b.root}, b.nodes...)
	for _, n := range all {
		if err := b.rest(n); err != nil {
			return err
		}
	}
	if err := b.inodeTables(append(all, b.journalAt)); err != nil {
		return err
	}
	return b.superblocks(uuid)
}

// rest writes what of a node is no file's content.
func (b *writer) rest(n *node) error {
	if n.attrs != nil {
		at, err := b.allocate(n)
		if err != nil {
			return err
		}
		if err := b.writeBlocks(at, n.attrs); err != nil {
			return err
		}
		n.attrs = le.AppendUint32(nil, at) // all that is needed of them from here on
	}
	var blocks [][]byte
	switch {
	case n.isDir():
		blocks = directoryBlocks(n)
		n.size = int64(len(blocks)) * writeBlock
	case n.entry.IsRegular() && !n.written:
		return errorAt(n, ErrChanged)
	case n.entry.Type() == tree.TypeSymlink:
		if n.size = int64(len(n.entry.Link)); n.size < 60 {
			return nil
		}
		if n.size >= writeBlock {
			return errorAt(n, ErrTooMany)
		}
		blocks = [][]byte{append([]byte(n.entry.Link), make([]byte, writeBlock-n.size)...)}
	}
	var list []uint32
	for _, p := range blocks {
		at, err := b.allocate(n)
		if err != nil {
			return err
		}
		if err := b.writeBlocks(at, p); err != nil {
			return err
		}
		list = append(list, at)
	}
	return b.pointTo(n, list)
}

// inodeTables writes the inodes, a group's at a time.
func (b *writer) inodeTables(all []*node) error {
	byGroup := map[uint32][]*node{}
	for _, n := range all {
		g := (n.number - 1) / b.perGroup
		byGroup[g] = append(byGroup[g], n)
	}
	for g, list := range byGroup {
		table := make([]byte, b.perGroup*writeInode)
		for _, n := range list {
			b.inode(table[(n.number-1)%b.perGroup*writeInode:][:writeInode], n)
		}
		if err := b.writeBlocks(b.groupStart(g)+2, table); err != nil {
			return err
		}
	}
	return nil
}

// groupStart is the block of a group's first bitmap, behind copies of the superblock and the descriptors.
func (b *writer) groupStart(g uint32) uint32 {
	at := g * blocksInMap
	if b.hasSuper(g) {
		at += 1 + b.gdt
	}
	return at
}

// inode encodes an inode (ext4 "inodes.rst").
func (b *writer) inode(p []byte, n *node) {
	e := &n.entry
	at := e.ModTime
	if at.IsZero() {
		at = b.now
	}
	seconds, extra := stamp(at)
	le.PutUint16(p[0:], uint16(e.Mode))
	le.PutUint16(p[2:], uint16(e.UID))
	le.PutUint32(p[4:], uint32(n.size))
	for _, off := range []int{8, 12, 16} { // access, change, modification
		le.PutUint32(p[off:], seconds)
	}
	le.PutUint16(p[24:], uint16(e.GID))
	le.PutUint16(p[26:], uint16(n.names))
	sectors := uint64(n.used) * (writeBlock / 512)
	le.PutUint32(p[28:], uint32(sectors))
	switch e.Type() {
	case tree.TypeChar, tree.TypeBlock:
		if e.Major < 256 && e.Minor < 256 {
			le.PutUint32(p[40:], e.Major<<8|e.Minor)
		} else {
			le.PutUint32(p[44:], e.Minor&0xff|e.Major<<8|e.Minor&^0xff<<12)
		}
	case tree.TypeSymlink:
		if n.size < 60 {
			copy(p[40:100], e.Link)
			break
		}
		fallthrough
	default:
		for i, block := range n.pointers {
			le.PutUint32(p[40+4*i:], block)
		}
	}
	if len(n.attrs) == 4 {
		copy(p[104:], n.attrs)
	}
	le.PutUint32(p[108:], uint32(n.size>>32))
	le.PutUint16(p[116:], uint16(sectors>>32))
	le.PutUint16(p[120:], uint16(e.UID>>16))
	le.PutUint16(p[122:], uint16(e.GID>>16))
	le.PutUint16(p[128:], extraInode)
	for _, off := range []int{132, 136, 140, 148} {
		le.PutUint32(p[off:], extra)
	}
	le.PutUint32(p[144:], seconds) // creation
	if n.inline != nil {
		le.PutUint32(p[128+extraInode:], xattrMagic)
		copy(p[128+extraInode+4:], n.inline)
	}
}

// stamp encodes a time: 32 bits of seconds, two more of them and nanoseconds (ext4 "inodes.rst", "Inode Timestamps").
func stamp(t time.Time) (seconds, extra uint32) {
	s := min(max(t.Unix(), -1<<31), 1<<33+1<<31-1)
	high := uint32((s - int64(int32(uint32(s)))) >> 32)
	return uint32(s), high&3 | uint32(t.Nanosecond())<<2
}

// superblocks writes the bitmaps, the group descriptors and the superblock with their copies.
func (b *writer) superblocks(uuid [16]byte) error {
	descriptors := make([]byte, b.gdt*writeBlock)
	inodes := firstInode - 1 + uint32(len(b.nodes)) // used, in the order of their numbers
	var freeBlocks, freeInodes uint32
	for g := range b.groups {
		first := g * blocksInMap
		count := min(blocksInMap, b.blocks-first)
		blockMap := make([]byte, writeBlock)
		copy(blockMap, b.bits[first/8:min(uint32(len(b.bits)), (first+blocksInMap)/8)])
		setFrom(blockMap, count)
		free := count
		for i := range count {
			if b.isUsed(first + i) {
				free--
			}
		}
		inodeMap := make([]byte, writeBlock)
		used := min(b.perGroup, max(inodes, g*b.perGroup)-g*b.perGroup)
		for i := range used {
			inodeMap[i/8] |= 1 << (i % 8)
		}
		setFrom(inodeMap, b.perGroup)
		start := b.groupStart(g)
		if err := b.writeBlocks(start, append(blockMap, inodeMap...)); err != nil {
			return err
		}
		d := descriptors[g*32:]
		le.PutUint32(d, start)
		le.PutUint32(d[4:], start+1)
		le.PutUint32(d[8:], start+2)
		le.PutUint16(d[12:], uint16(free))
		le.PutUint16(d[14:], uint16(b.perGroup-used))
		le.PutUint16(d[16:], uint16(b.folders(g)))
		freeBlocks += free
		freeInodes += b.perGroup - used
	}
	super := b.super(uuid, freeBlocks, freeInodes)
	for g := range b.groups {
		if !b.hasSuper(g) {
			continue
		}
		le.PutUint16(super[90:], uint16(g))
		at := int64(g) * blocksInMap * writeBlock
		if g == 0 {
			at = superOffset
		}
		if _, err := b.w.WriteAt(super, at); err != nil {
			return err
		}
		if err := b.writeBlocks(g*blocksInMap+1, descriptors); err != nil {
			return err
		}
	}
	return nil
}

// setFrom sets all bits of a bitmap from one on: what is not there counts as used.
func setFrom(bitmap []byte, from uint32) {
	for i := from; i < uint32(len(bitmap))*8; i++ {
		bitmap[i/8] |= 1 << (i % 8)
	}
}

// folders counts those whose inodes are in a group.
func (b *writer) folders(g uint32) int {
	n := 0
	if g == 0 {
		n++ // the root
	}
	low, high := g*b.perGroup+1, (g+1)*b.perGroup
	for i := max(low, firstInode); i <= high && int(i-firstInode) < len(b.nodes); i++ {
		if b.nodes[i-firstInode].isDir() {
			n++
		}
	}
	return n
}

// super encodes the superblock (ext4 "super.rst").
func (b *writer) super(uuid [16]byte, freeBlocks, freeInodes uint32) []byte {
	p := make([]byte, superSize)
	now := uint32(b.now.Unix())
	word := func(off int, v uint32) { le.PutUint32(p[off:], v) }
	half := func(off int, v uint16) { le.PutUint16(p[off:], v) }
	word(0, b.groups*b.perGroup)
	word(4, b.blocks)
	word(12, freeBlocks)
	word(16, freeInodes)
	log := uint32(bits.TrailingZeros32(writeBlock / minBlock))
	word(24, log)
	word(28, log)
	word(32, blocksInMap)
	word(36, blocksInMap)
	word(40, b.perGroup)
	word(48, now)    // last write
	half(54, 0xffff) // mounts before a check: any number
	half(56, magic)
	half(58, 1)   // clean
	half(60, 1)   // after an error: go on
	word(64, now) // last check
	word(76, 1)   // with features and inodes of any size
	word(84, firstInode)
	half(88, writeInode)
	word(92, compatJournal|compatAttributes)
	word(96, incompatFiletype)
	word(100, roCompatSparseSuper|roCompatLarge)
	copy(p[104:], uuid[:])
	word(224, journalInode)
	copy(p[236:252], uuid[:]) // seed of the hashes of names
	p[252] = 1                // half MD4
	p[253] = 1                // what follows at 268 is the journal's inode
	word(264, now)            // made
	for i, block := range b.journalAt.pointers {
		word(268+4*i, block)
	}
	word(268+64, uint32(b.journalAt.size))
	half(348, extraInode) // room that inodes shall have behind the first 128 bytes
	half(350, extraInode)
	return p
}
