package squashfs

import (
	"encoding/binary"
	"fmt"
	"math"
	"runtime"

	"carrel/engine/tree"
)

// Close writes what is left of the data, the tables and the superblock, ends all goroutines and returns what was made. Where w
// has a method Truncate(size int64) error, as files have, and duplicates made the image shorter than what was written, the
// file is cut behind the padding; otherwise the rest is overwritten with zeros. After a failed Add it returns that error.
func (w *Writer) Close() (Stats, error) {
	if w.closed {
		return Stats{}, errClosed
	}
	if w.err != nil {
		w.Abort()
		return Stats{}, w.err
	}
	w.flushFragment()
	w.closed = true
	if err := w.pipe.close(); err != nil {
		return Stats{}, fmt.Errorf("squashfs: %w", err)
	}
	if err := w.finish(); err != nil {
		return Stats{}, fmt.Errorf("squashfs: %w", err)
	}
	return w.stats, nil
}

// tables is the state of writing the inode and directory tables.
type tables struct {
	w      *Writer
	inodes *metaWriter
	dirs   *metaWriter
	refs   []byte // the export table: refs by inode number
	ids    []uint16
	xattrs []uint32
	number uint32
	buf    []byte
}

// manyFiles is how many small files are worth a collection of garbage before the tables are written.
const manyFiles = 1 << 17

func (w *Writer) finish() error {
	le := binary.LittleEndian
	if w.root.inode.implicit {
		if err := w.ownImplicit(w.root.inode); err != nil {
			return err
		}
		w.root.inode.mtime = w.newest
	}
	many := w.small.n > manyFiles
	w.small, w.pipe.seen, w.pipe.free = contentTable{}, nil, nil // the tables need room
	if many {
		runtime.GC() // or the tables come on top of what nobody needs any more
	}
	comp, err := newCompressor(w.opt.Compression, w.opt.Level, metaBlockSize)
	if err != nil {
		return err
	}
	plain := w.opt.Compression == None
	newMeta := func(index bool) *metaWriter {
		m := newMetaWriter(comp, index)
		m.plain = plain
		return m
	}

	t := &tables{w: w, inodes: newMeta(false), dirs: newMeta(false)}
	if err := t.count(w.root); err != nil {
		return err
	}
	w.root.inode.nlink++ // its own name
	t.number++
	w.root.inode.number = t.number
	t.use(w.root.inode)
	t.ids, t.xattrs = w.ids.settle(), w.xattrs.settle()
	t.refs = make([]byte, 8*int(t.number))
	if err := t.writeChildren(w.root); err != nil {
		return err
	}
	if err := t.writeInode(w.root.inode, t.number+1); err != nil {
		return err
	}

	end := w.pipe.pos
	place := func(b []byte) (at int64, err error) {
		at = end
		end += int64(len(b))
		return at, w.writeAt(b, at)
	}
	sb := Superblock{
		Inodes: t.number, BlockSize: uint32(w.opt.BlockSize), Fragments: uint32(len(w.pipe.fragments)), Compression: w.opt.Compression,
		Flags: flagDuplicates | flagExportable, IDs: uint16(len(w.ids.ids)), Root: w.root.inode.ref, xattrTable: noTable,
	}
	if plain {
		sb.Compression = Gzip
		sb.Flags |= flagUncompressedInodes | flagUncompressedData | flagUncompressedFragments | flagUncompressedXattrs | flagUncompressedIDs
	}
	for _, m := range []*metaWriter{t.inodes, t.dirs} {
		if err := m.flush(); err != nil {
			return err
		}
	}
	for _, table := range []struct {
		from *metaWriter
		at   *uint64
	}{{t.inodes, &sb.inodeTable}, {t.dirs, &sb.dirTable}} {
		at, err := place(table.from.out)
		if err != nil {
			return err
		}
		*table.at, table.from.out = uint64(at), nil
	}

	lookup := func(content []byte) (uint64, error) {
		m := newMeta(true)
		if err := m.write(content); err != nil {
			return 0, err
		}
		all, list, err := m.finishTable(end, nil)
		if err != nil {
			return 0, err
		}
		_, err = place(all)
		return uint64(list), err
	}
	var frags, ids []byte
	for _, f := range w.pipe.fragments {
		frags = le.AppendUint64(frags, uint64(f.start))
		frags = le.AppendUint32(frags, f.size)
		frags = le.AppendUint32(frags, 0)
	}
	for _, id := range w.ids.ids {
		ids = le.AppendUint32(ids, id)
	}
	if sb.fragTable, err = lookup(frags); err != nil {
		return err
	}
	if sb.exportTable, err = lookup(t.refs); err != nil {
		return err
	}
	if sb.idTable, err = lookup(ids); err != nil {
		return err
	}
	if len(w.xattrs.sets) > 0 {
		all, head, err := w.xattrs.encode(newMeta, end)
		if err != nil {
			return err
		}
		if _, err := place(all); err != nil {
			return err
		}
		sb.xattrTable = uint64(head)
	} else {
		sb.Flags |= flagNoXattrs
	}
	sb.ModTime = w.newest
	if !w.opt.ModTime.IsZero() {
		sb.ModTime = uint32(min(max(w.opt.ModTime.Unix(), 0), math.MaxUint32))
	}
	sb.BytesUsed = uint64(end)
	opts := compressorOptions(w.opt.Compression, w.opt.Level)
	if opts != nil {
		sb.Flags |= flagCompressorOptions
	}
	padded := (end + padTo - 1) / padTo * padTo
	if err := w.writeAt(make([]byte, padded-end), end); err != nil {
		return err
	}
	if err := w.cut(padded); err != nil {
		return err
	}
	head := sb.encode()
	if opts != nil {
		head = le.AppendUint16(head, uint16(len(opts))|metaUncompressed)
		head = append(head, opts...)
	}
	if err := w.writeAt(head, 0); err != nil {
		return err
	}
	w.stats.Size, w.stats.PaddedSize = end, padded
	w.stats.Inodes, w.stats.Fragments = int64(t.number), int64(len(w.pipe.fragments))
	w.stats.Duplicates += w.pipe.duplicates
	w.stats.Saved = w.pipe.saved
	return nil
}

func (w *Writer) writeAt(b []byte, pos int64) error {
	if _, err := w.w.WriteAt(b, w.opt.Offset+pos); err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	return nil
}

// cut removes what duplicates left behind the end.
func (w *Writer) cut(end int64) error {
	if w.pipe.high <= end {
		return nil
	}
	if f, ok := w.w.(interface{ Truncate(size int64) error }); ok {
		if err := f.Truncate(w.opt.Offset + end); err != nil {
			return fmt.Errorf("cut image: %w", err)
		}
		return nil
	}
	zero := make([]byte, 64<<10)
	for end < w.pipe.high {
		n := min(int64(len(zero)), w.pipe.high-end)
		if err := w.writeAt(zero[:n], end); err != nil {
			return err
		}
		end += n
	}
	return nil
}

// count numbers the inodes in the order in which writeChildren writes them, and counts links. Subdirectories come first,
// then all inodes of a directory's entries together, so that reading a directory with attributes touches few metadata blocks.
func (t *tables) count(dir *node) error {
	d := dir.dir()
	d.sort()
	for _, c := range d.children {
		if _, ok := c.inode.body.(*dirData); ok {
			d.subdirs++
			c.inode.nlink++
			if err := t.count(c); err != nil {
				return err
			}
		}
	}
	dir.inode.nlink += d.subdirs + 1
	for _, c := range d.children {
		if _, ok := c.inode.body.(*dirData); !ok {
			c.inode.nlink++
		}
		if c.inode.number == 0 {
			if t.number == math.MaxUint32-2 {
				return fmt.Errorf("more than %d inodes", t.number)
			}
			t.number++
			c.inode.number = t.number
			t.use(c.inode)
		}
	}
	return nil
}

// use notes what an inode needs of the tables of ids and extended attributes.
func (t *tables) use(in *inode) {
	t.w.ids.used[in.uid], t.w.ids.used[in.gid] = true, true
	if in.xattr != noXattr {
		t.w.xattrs.used[in.xattr] = true
	}
}

// writeChildren writes everything below dir, then dir's listing.
func (t *tables) writeChildren(dir *node) error {
	d := dir.dir()
	for _, c := range d.children {
		if _, ok := c.inode.body.(*dirData); ok {
			if err := t.writeChildren(c); err != nil {
				return err
			}
		}
	}
	for _, c := range d.children {
		if !c.inode.done {
			if err := t.writeInode(c.inode, dir.inode.number); err != nil {
				return fmt.Errorf("write inode of %s: %w", c.name, err)
			}
		}
	}
	return t.writeListing(d)
}

// writeListing writes a directory's entries in runs below headers. A run ends where the inodes' metadata block changes, where the
// inode numbers are too far apart, after 256 entries, and about every 8 KiB so that the index has a header to name.
func (t *tables) writeListing(d *dirData) error {
	le := binary.LittleEndian
	d.listing = t.dirs.ref()
	var size, indexed int64
	for i := 0; i < len(d.children); {
		first := d.children[i].inode
		block, _ := first.ref.split()
		buf := t.buf[:0]
		buf = le.AppendUint32(buf, 0)
		buf = le.AppendUint32(buf, uint32(block))
		buf = le.AppendUint32(buf, first.number)
		n := 0
		for ; i+n < len(d.children) && n < dirHeaderMax; n++ {
			c := d.children[i+n]
			b, offset := c.inode.ref.split()
			delta := int64(c.inode.number) - int64(first.number)
			if b != block || delta < math.MinInt16 || delta > math.MaxInt16 {
				break
			}
			if n > 0 && size+int64(len(buf)+dirEntrySize+len(c.name))-indexed > metaBlockSize {
				break
			}
			buf = le.AppendUint16(buf, uint16(offset))
			buf = le.AppendUint16(buf, uint16(int16(delta)))
			buf = le.AppendUint16(buf, inodeType(c.inode.mode))
			buf = le.AppendUint16(buf, uint16(len(c.name)-1))
			buf = append(buf, c.name...)
		}
		le.PutUint32(buf, uint32(n-1))
		if size > 0 && size+int64(len(buf))-indexed > metaBlockSize && len(d.index) < math.MaxUint16 {
			at, _ := Ref(t.dirs.ref()).split()
			d.index = append(d.index, dirIndex{offset: uint32(size), block: uint32(at), name: d.children[i].name})
			indexed = size
		}
		if err := t.dirs.write(buf); err != nil {
			return err
		}
		size += int64(len(buf))
		i += n
		t.buf = buf
	}
	if size > math.MaxUint32-dirSizeExtra {
		return fmt.Errorf("directory of %d bytes is too large", size)
	}
	d.size = uint32(size) + dirSizeExtra
	d.children = nil // all about them is in the tables
	return nil
}

// inodeType is the basic inode type of a file mode.
func inodeType(mode uint16) uint16 {
	switch uint32(mode) & tree.TypeMask {
	case tree.TypeDir:
		return typeDir
	case tree.TypeRegular:
		return typeFile
	case tree.TypeSymlink:
		return typeSymlink
	case tree.TypeBlock:
		return typeBlock
	case tree.TypeChar:
		return typeChar
	case tree.TypeFifo:
		return typeFifo
	}
	return typeSocket
}

// writeInode writes an inode, extended where the basic form cannot hold it; parent is only for directories.
func (t *tables) writeInode(in *inode, parent uint32) error {
	le := binary.LittleEndian
	kind := inodeType(in.mode)
	var ext bool
	hasXattr := in.xattr != noXattr
	if hasXattr {
		in.xattr = t.xattrs[in.xattr]
	}
	switch body := in.body.(type) {
	case *dirData:
		ext = hasXattr || body.size > math.MaxUint16 || len(body.index) > 0
	case *fileData:
		ext = hasXattr || in.nlink > 1 || body.sparse > 0 || body.start > math.MaxUint32 || body.size > math.MaxUint32
		t.w.stats.Files++
	case *smallFile:
		ext = hasXattr || in.nlink > 1
		t.w.stats.Files++
	default:
		ext = hasXattr
	}
	if ext {
		kind += extended
	}
	b := t.buf[:0]
	b = le.AppendUint16(b, kind)
	b = le.AppendUint16(b, in.mode&tree.PermMask)
	b = le.AppendUint16(b, t.ids[in.uid])
	b = le.AppendUint16(b, t.ids[in.gid])
	b = le.AppendUint32(b, in.mtime)
	b = le.AppendUint32(b, in.number)
	switch body := in.body.(type) {
	case *dirData:
		block, offset := Ref(body.listing).split()
		if block > math.MaxUint32 {
			return fmt.Errorf("directory table is larger than 4 GiB")
		}
		if !ext {
			b = le.AppendUint32(b, uint32(block))
			b = le.AppendUint32(b, in.nlink)
			b = le.AppendUint16(b, uint16(body.size))
			b = le.AppendUint16(b, uint16(offset))
			b = le.AppendUint32(b, parent)
			break
		}
		b = le.AppendUint32(b, in.nlink)
		b = le.AppendUint32(b, body.size)
		b = le.AppendUint32(b, uint32(block))
		b = le.AppendUint32(b, parent)
		b = le.AppendUint16(b, uint16(len(body.index)))
		b = le.AppendUint16(b, uint16(offset))
		b = le.AppendUint32(b, in.xattr)
		for _, x := range body.index {
			b = le.AppendUint32(b, x.offset)
			b = le.AppendUint32(b, x.block)
			b = le.AppendUint32(b, uint32(len(x.name)-1))
			b = append(b, x.name...)
		}
		body.index = nil
	case *fileData:
		b = appendFile(b, in, ext, body, smallFile{fragment: noFragment})
		for _, size := range body.blocks {
			b = le.AppendUint32(b, size)
		}
	case *smallFile:
		b = appendFile(b, in, ext, &fileData{size: int64(body.size)}, *body)
	case string:
		b = le.AppendUint32(b, in.nlink)
		b = le.AppendUint32(b, uint32(len(body)))
		b = append(b, body...)
		if ext {
			b = le.AppendUint32(b, in.xattr)
		}
	default:
		b = le.AppendUint32(b, in.nlink)
		if dev, ok := body.(uint32); ok {
			b = le.AppendUint32(b, dev)
		}
		if ext {
			b = le.AppendUint32(b, in.xattr)
		}
	}
	in.ref, in.done = Ref(t.inodes.ref()), true
	if block, _ := in.ref.split(); block > math.MaxUint32 {
		return fmt.Errorf("inode table is larger than 4 GiB")
	}
	le.PutUint64(t.refs[8*(in.number-1):], uint64(in.ref))
	if kind != typeDir && kind != typeDir+extended {
		in.body = nil
	}
	t.buf = b
	return t.inodes.write(b)
}

// appendFile appends a regular file's inode from behind the common head to before the block list.
func appendFile(b []byte, in *inode, ext bool, f *fileData, tail smallFile) []byte {
	le := binary.LittleEndian
	if !ext {
		b = le.AppendUint32(b, uint32(f.start))
		b = le.AppendUint32(b, tail.fragment)
		b = le.AppendUint32(b, tail.offset)
		return le.AppendUint32(b, uint32(f.size))
	}
	b = le.AppendUint64(b, uint64(f.start))
	b = le.AppendUint64(b, uint64(f.size))
	b = le.AppendUint64(b, uint64(f.sparse))
	b = le.AppendUint32(b, in.nlink)
	b = le.AppendUint32(b, tail.fragment)
	b = le.AppendUint32(b, tail.offset)
	return le.AppendUint32(b, in.xattr)
}

var _ tree.Sink = (*Writer)(nil)
