package ext

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"time"

	"carrel/engine/tree"
)

// WriteOptions say how a file system is made.
type WriteOptions struct {
	// Size is the size of the file system, bytes. Where it does not hold the tree it is made larger.
	Size int64
	// Time is that of the file system and of folders that the source does not name.
	Time time.Time
	// UUID names the file system.
	UUID [16]byte
}

// Limits of what ext3 can hold (Documentation/filesystems/ext2, ext4 "directory.rst", "ifork.rst").
const (
	writeBlock   = 4096
	blocksInMap  = 8 * writeBlock // of a group: one block of bits tells which are used
	writeInode   = 256
	extraInode   = 32 // bytes of an inode behind the first 128 that are not attributes
	firstInode   = 11 // those before are the file system's own
	journalInode = 8
	maxSubdirs   = 31_998
	maxNames     = 32_000
	// journalBlocks is the least that the kernel takes (JBD2_MIN_JOURNAL_BLOCKS).
	journalBlocks = 1024
	// bytesPerInode is how many bytes of the file system there are for each file, as mke2fs has it.
	bytesPerInode = 16384
)

// Errors of what a tree has and ext3 has not.
var (
	// ErrTooMany says that a folder has more subfolders, or a file more names, than ext3 can count.
	ErrTooMany = errors.New("more than the file system can count")
	// ErrAttributes says that the extended attributes of a file are larger than a block.
	ErrAttributes = errors.New("its extended attributes are too large for the file system")
	// ErrChanged says that a source did not give the same tree twice.
	ErrChanged = errors.New("the tree changed while it was read")
)

// Write makes an ext3 file system of a tree, with an empty journal, that kernels, e2fsck and Apptainer (pkg/image/ext3.go:
// no extents, nothing newer than large files) take. w has to read as zeros where nothing was written, as a new file does.
// The source is asked twice: for what there is, and for the contents. It returns the size of the file system, bytes, which
// is the least that the file has to have; holes are not written.
//
// POSIX access control lists are left out, as the Reader does. The same tree, options and time give the same bytes.
func Write(ctx context.Context, w io.WriterAt, source tree.Source, o WriteOptions) (size int64, err error) {
	b := &writer{w: w, now: o.Time, byPath: map[string]*node{}, bodies: map[int]*node{}}
	b.root = b.folder(".")
	if err := source.WriteTo(ctx, (*planSink)(b)); err != nil {
		return 0, err
	}
	if err := b.number(); err != nil {
		return 0, err
	}
	if err := b.layout(o.Size); err != nil {
		return 0, err
	}
	if err := b.journal(o.UUID); err != nil {
		return 0, err
	}
	b.sequence = 0
	if err := source.WriteTo(ctx, (*contentSink)(b)); err != nil {
		return 0, err
	}
	if err := b.finish(o.UUID); err != nil {
		return 0, err
	}
	return int64(b.blocks) * writeBlock, nil
}

// node is a file, folder or whatever has an inode.
type node struct {
	entry    tree.Entry
	path     string
	number   uint32
	names    uint32           // that it has
	children map[string]*node // of a folder
	parent   *node
	written  bool // the content
	inline   []byte
	attrs    []byte // a block of attributes, where they do not fit the inode
	pointers [15]uint32
	used     uint32 // blocks, those of pointers and attributes included
	size     int64
}

func (n *node) isDir() bool { return n.children != nil }

// writer makes a file system.
type writer struct {
	w        io.WriterAt
	now      time.Time
	root     *node
	byPath   map[string]*node
	nodes    []*node       // in the order of their numbers
	sequence int           // of the entry that the source gives
	bodies   map[int]*node // whose content it is

	blocks    uint32
	groups    uint32
	perGroup  uint32 // inodes
	gdt       uint32 // blocks of group descriptors
	bits      []byte // of used blocks
	next      uint32 // where to look for a free block
	journalAt *node
	buf       []byte
}

func (b *writer) folder(p string) *node {
	n := &node{entry: tree.Entry{Path: p, Mode: tree.TypeDir | 0o755, ModTime: b.now}, path: p, children: map[string]*node{}}
	b.byPath[p] = n
	return n
}

// planSink takes note of what there is.
type planSink writer

func (s *planSink) Add(e tree.Entry, _ io.Reader) error {
	b := (*writer)(s)
	b.sequence++
	if e.HardLink != "" {
		target := b.byPath[e.HardLink]
		if target == nil || target.isDir() {
			return fmt.Errorf("%s: a link to %s, which is not there", e.Path, e.HardLink)
		}
		return b.place(e.Path, target)
	}
	if old := b.byPath[e.Path]; old != nil && old.isDir() && e.IsDir() {
		old.entry = e
		return b.attributes(old)
	}
	if e.Path == "." {
		return errors.New("the root is not a directory")
	}
	n := &node{entry: e, path: e.Path}
	switch {
	case e.IsDir():
		n.children = map[string]*node{}
	case e.IsRegular():
		b.bodies[b.sequence] = n
	}
	if err := b.attributes(n); err != nil {
		return err
	}
	return b.place(e.Path, n)
}

// place gives a node a name, making the folders above it.
func (b *writer) place(p string, n *node) error {
	dir, base := path.Split(p)
	dir = path.Clean(dir)
	if len(base) == 0 || len(base) > 255 {
		return fmt.Errorf("%s: a name of %d bytes", p, len(base))
	}
	parent := b.byPath[dir]
	if parent == nil {
		parent = b.folder(dir)
		if err := b.place(dir, parent); err != nil {
			return err
		}
	}
	if !parent.isDir() {
		return fmt.Errorf("%s: %s is not a directory", p, dir)
	}
	if old := parent.children[base]; old != nil {
		b.forget(p, old)
	}
	parent.children[base] = n
	b.byPath[p] = n
	if n.isDir() {
		n.parent = parent
	}
	return nil
}

// forget drops what a later entry replaces.
func (b *writer) forget(p string, n *node) {
	for name, c := range n.children {
		b.forget(path.Join(p, name), c)
	}
	delete(b.byPath, p)
}

// number gives the nodes their numbers, in the order of a walk, and counts their names. The folder lost+found is e2fsck's.
func (b *writer) number() error {
	if b.root.children["lost+found"] == nil {
		lost := b.folder("lost+found")
		lost.entry.Mode = tree.TypeDir | 0o700
		if err := b.place("lost+found", lost); err != nil {
			return err
		}
	}
	b.root.number, b.root.parent = rootInode, b.root
	return b.walk(b.root)
}

func (b *writer) walk(dir *node) error {
	dir.names = 2
	for _, name := range sortedNames(dir) {
		c := dir.children[name]
		if c.number == 0 {
			c.number = firstInode + uint32(len(b.nodes))
			b.nodes = append(b.nodes, c)
		}
		if c.isDir() {
			if dir.names++; dir.names > maxSubdirs {
				return fmt.Errorf("/%s: %w: subfolders", dir.path, ErrTooMany)
			}
			if err := b.walk(c); err != nil {
				return err
			}
			continue
		}
		if c.names++; c.names > maxNames {
			return fmt.Errorf("/%s: %w: names", c.path, ErrTooMany)
		}
	}
	return nil
}

func sortedNames(n *node) []string {
	out := make([]string, 0, len(n.children))
	for name := range n.children {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// needed is how many blocks the nodes take at most.
func (b *writer) needed() uint64 {
	total := uint64(journalBlocks) + pointerBlocks(journalBlocks)
	for _, n := range append([]*node{b.root}, b.nodes...) {
		var blocks uint64
		switch {
		case n.isDir():
			blocks = uint64(len(directoryBlocks(n)))
		case n.entry.IsRegular():
			blocks = uint64((n.entry.Size + writeBlock - 1) / writeBlock)
		case n.entry.Type() == tree.TypeSymlink && len(n.entry.Link) >= 60:
			blocks = 1
		}
		total += blocks + pointerBlocks(blocks)
		if n.attrs != nil {
			total++
		}
	}
	return total
}

// pointerBlocks is how many blocks of numbers a content of so many blocks needs.
func pointerBlocks(n uint64) uint64 {
	const per = writeBlock / 4
	up := func(a, by uint64) uint64 { return (a + by - 1) / by }
	if n <= 12 {
		return 0
	}
	if n -= 12; n <= per {
		return 1
	}
	if n -= per; n <= per*per {
		return 2 + up(n, per)
	}
	n -= per * per
	return 2 + per + 1 + up(n, per*per) + up(n, per)
}

// overhead is how many blocks of a group are taken by the file system itself.
func (b *writer) overhead(group uint32) uint32 {
	n := 2 + b.perGroup*writeInode/writeBlock
	if b.hasSuper(group) {
		n += 1 + b.gdt
	}
	return n
}

func (b *writer) hasSuper(group uint32) bool {
	return (&Reader{sb: superblock{roCompat: roCompatSparseSuper}}).hasSuper(group)
}

// layout decides how large the file system is, and marks what it takes for itself.
func (b *writer) layout(size int64) error {
	need := b.needed()
	blocks := max(uint64(max(size, 0))/writeBlock, 2*journalBlocks)
	for {
		if blocks >= 1<<31 {
			return fmt.Errorf("%w: %d blocks", ErrTooMany, blocks)
		}
		b.groups = uint32((blocks + blocksInMap - 1) / blocksInMap)
		b.gdt = (b.groups*32 + writeBlock - 1) / writeBlock
		inodes := max(uint64(len(b.nodes))*5/4+firstInode+64, blocks*writeBlock/bytesPerInode)
		const inBlock = writeBlock / writeInode
		per := (inodes + uint64(b.groups) - 1) / uint64(b.groups)
		b.perGroup = uint32((per + inBlock - 1) / inBlock * inBlock)
		if b.perGroup > blocksInMap {
			blocks += blocksInMap
			continue
		}
		// A last group that holds hardly more than its own tables is left out.
		if rest := uint32(blocks - uint64(b.groups-1)*blocksInMap); b.groups > 1 && rest < b.overhead(b.groups-1)+50 {
			blocks -= uint64(rest)
			continue
		}
		taken := uint64(0)
		for g := range b.groups {
			taken += uint64(b.overhead(g))
		}
		if taken+need <= blocks {
			break
		}
		blocks = max(taken+need+64, blocks+blocks/64)
		// Never end in a group that would be left out again.
		if rest := blocks % blocksInMap; rest > 0 && rest < 2048 {
			blocks += 2048 - rest
		}
	}
	b.blocks = uint32(blocks)
	b.bits = make([]byte, (blocks+7)/8)
	for g := range b.groups {
		first := g * blocksInMap
		for i := range b.overhead(g) {
			b.use(first + i)
		}
	}
	b.buf = make([]byte, 64*writeBlock)
	return nil
}

func (b *writer) use(block uint32)         { b.bits[block/8] |= 1 << (block % 8) }
func (b *writer) isUsed(block uint32) bool { return b.bits[block/8]&(1<<(block%8)) != 0 }

var errFull = errors.New("the file system is full")

// allocate takes the next free block for a node.
func (b *writer) allocate(n *node) (uint32, error) {
	for ; b.next < b.blocks; b.next++ {
		if !b.isUsed(b.next) {
			b.use(b.next)
			n.used++
			return b.next, nil
		}
	}
	return 0, errFull // the source gave more than it said
}

func (b *writer) writeBlocks(block uint32, p []byte) error {
	_, err := b.w.WriteAt(p, int64(block)*writeBlock)
	return err
}

// contentSink writes the bytes of files.
type contentSink writer

func (s *contentSink) Add(e tree.Entry, body io.Reader) error {
	b := (*writer)(s)
	b.sequence++
	if !e.IsRegular() {
		return nil
	}
	n := b.bodies[b.sequence]
	if n == nil || n.path != e.Path || n.entry.Size != e.Size {
		return fmt.Errorf("/%s: %w", e.Path, ErrChanged)
	}
	if n.number == 0 {
		return nil // replaced by a later entry
	}
	n.written, n.size = true, e.Size
	if err := b.content(n, body); err != nil {
		return fmt.Errorf("/%s: %w", e.Path, err)
	}
	return nil
}

// content writes a file's bytes; blocks of zeros stay holes.
func (b *writer) content(n *node, body io.Reader) error {
	list := make([]uint32, 0, (n.size+writeBlock-1)/writeBlock)
	for rest := n.size; rest > 0; {
		p := b.buf[:min(int64(len(b.buf)), rest)]
		if _, err := io.ReadFull(body, p); err != nil {
			return err
		}
		rest -= int64(len(p))
		for len(p) > 0 {
			// A run of blocks with content that lie one after the other.
			run := 0
			for run*writeBlock < len(p) && !isZero(p[run*writeBlock:min(len(p), (run+1)*writeBlock)]) {
				block, err := b.allocate(n)
				if err != nil {
					return err
				}
				list = append(list, block)
				if run++; run*writeBlock < len(p) && (b.next+1 >= b.blocks || b.isUsed(b.next+1)) {
					break
				}
			}
			if run == 0 {
				list = append(list, 0)
				p = p[min(len(p), writeBlock):]
				continue
			}
			part := p[:min(len(p), run*writeBlock)]
			if err := b.writeBlocks(list[len(list)-run], part); err != nil {
				return err
			}
			p = p[len(part):]
		}
	}
	return b.pointTo(n, list)
}

func isZero(p []byte) bool {
	for len(p) >= 8 {
		if le.Uint64(p) != 0 {
			return false
		}
		p = p[8:]
	}
	for _, c := range p {
		if c != 0 {
			return false
		}
	}
	return true
}

// pointTo writes down in which blocks a content lies; 0 is a hole.
func (b *writer) pointTo(n *node, list []uint32) error {
	copy(n.pointers[:12], list)
	list = list[min(len(list), 12):]
	for level := 1; level <= 3 && len(list) > 0; level++ {
		reach := 1
		for range level {
			reach *= writeBlock / 4
		}
		part := list[:min(len(list), reach)]
		list = list[len(part):]
		block, err := b.pointers(n, part, level)
		if err != nil {
			return err
		}
		n.pointers[11+level] = block
	}
	if len(list) > 0 {
		return fmt.Errorf("%w: blocks of a file", ErrTooMany)
	}
	return nil
}

// pointers writes a block of numbers, level levels above the content, and returns where it is; 0 for nothing but holes.
func (b *writer) pointers(n *node, list []uint32, level int) (uint32, error) {
	if !slices.ContainsFunc(list, func(block uint32) bool { return block != 0 }) {
		return 0, nil
	}
	at, err := b.allocate(n)
	if err != nil {
		return 0, err
	}
	if level > 1 {
		reach := 1
		for range level - 1 {
			reach *= writeBlock / 4
		}
		var below []uint32
		for part := range slices.Chunk(list, reach) {
			block, err := b.pointers(n, part, level-1)
			if err != nil {
				return 0, err
			}
			below = append(below, block)
		}
		list = below
	}
	p := make([]byte, writeBlock)
	for i, block := range list {
		le.PutUint32(p[4*i:], block)
	}
	return at, b.writeBlocks(at, p)
}

// recordKinds are the types of directory entries (ext4 "directory.rst").
var recordKinds = map[uint32]byte{
	tree.TypeRegular: 1, tree.TypeDir: 2, tree.TypeChar: 3, tree.TypeBlock: 4, tree.TypeFifo: 5, tree.TypeSocket: 6, tree.TypeSymlink: 7,
}

// directoryBlocks are the records of a folder.
func directoryBlocks(n *node) [][]byte {
	var out [][]byte
	var block []byte
	last := 0 // where the last record begins, whose length reaches to the block's end
	end := func() {
		le.PutUint16(block[last+4:], uint16(writeBlock-last))
		out = append(out, append(block, make([]byte, writeBlock-len(block))...))
	}
	add := func(name string, to *node) {
		size := (8 + len(name) + 3) &^ 3
		if len(block)+size > writeBlock {
			end()
			block = nil
		}
		last = len(block)
		r := make([]byte, size)
		le.PutUint32(r, to.number)
		le.PutUint16(r[4:], uint16(size))
		r[6], r[7] = byte(len(name)), recordKinds[to.entry.Type()]
		copy(r[8:], name)
		block = append(block, r...)
	}
	add(".", n)
	parent := n.parent
	if parent == nil {
		parent = n
	}
	add("..", parent)
	for _, name := range sortedNames(n) {
		add(name, n.children[name])
	}
	end()
	return out
}

func errorAt(n *node, err error) error { return fmt.Errorf("/%s: %w", n.path, err) }
