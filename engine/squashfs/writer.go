package squashfs

import (
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"runtime"
	"strings"
	"time"

	"carrel/engine/tree"
)

// Options say how an image is written. The zero value gives zstd at level 3 in blocks of 128 KiB on all processors.
type Options struct {
	Compression Compression
	// Level is the level on the scale of the reference implementation: zstd 1 to 22 (0: 3), gzip 1 to 9 (0: 9). Of zstd's there
	// are four, which begin at 1, 3, 6 and 10; the image tells the one that was used.
	Level int
	// BlockSize is the size of a data block in bytes, a power of two from MinBlockSize to MaxBlockSize (0: DefaultBlockSize).
	BlockSize int
	// Offset is where in the file the image begins, in bytes.
	Offset int64
	// Workers is the number of goroutines that compress (0: GOMAXPROCS). The result does not depend on it.
	Workers int
	// ClampTime, when not zero, is the latest time an entry may have; later ones get this one (SOURCE_DATE_EPOCH's rule).
	ClampTime time.Time
	// ModTime is the image's own time (zero: that of the newest entry, after clamping).
	ModTime time.Time
}

// Stats describe a finished image.
type Stats struct {
	Size       int64 // bytes used, as in the superblock
	PaddedSize int64 // with the padding to 4 KiB that follows; the next free byte is at Options.Offset+PaddedSize
	Inodes     int64
	Files      int64 // regular files, each hard linked one once
	DataSize   int64 // sum of the regular files' sizes
	Duplicates int64 // files whose contents were already there
	Saved      int64 // compressed bytes not stored again because of that, fragments not counted
	Fragments  int64 // blocks that hold small files
	// SkippedXattrs counts extended attributes of namespaces which the format cannot hold (all but user, trusted, security).
	SkippedXattrs int64
	// SkippedXattr is one of them as an example, such as "system.posix_acl_access of opt/data"; empty when there is none.
	SkippedXattr string
}

// Writer makes an image from entries. It is a tree.Sink; data blocks are stored in the order of Add, all tables at Close.
// Its methods may be called by one goroutine at a time.
//
// Contents of a file that a later entry replaces stay in the image as unused bytes. Between the parts of a sequence
// (tree.Entry.Part) blocks of small files end, and contents are not looked for: Reuse takes the first ones over.
type Writer struct {
	w      io.WriterAt
	opt    Options
	pipe   *pipeline
	root   *node
	ids    idTable
	xattrs xattrTable
	err    error // sticky
	closed bool

	frag      *job // the fragment block being filled
	fragments uint32
	small     contentTable
	scratch   []byte
	newest    uint32
	stats     Stats

	nodes  slab[node]
	inodes slab[inode]
	smalls slab[smallFile]

	lastPath string // cache of the directory that was added to last
	lastDir  *node
}

type fragmentPlace struct{ fragment, offset uint32 }

var errClosed = errors.New("squashfs: writer is closed")

// NewWriter begins an image in w at opt.Offset. What w held there before is overwritten; nothing before the offset is touched.
// Either Close or Abort must be called; the caller closes w. On failure of either the bytes from the offset on are not an image.
func NewWriter(w io.WriterAt, opt Options) (*Writer, error) {
	if opt.Compression == 0 {
		opt.Compression = Zstd
	}
	if opt.BlockSize == 0 {
		opt.BlockSize = DefaultBlockSize
	}
	if b := opt.BlockSize; b < MinBlockSize || b > MaxBlockSize || b&(b-1) != 0 {
		return nil, fmt.Errorf("squashfs block size %d: not a power of two from %d to %d", b, MinBlockSize, MaxBlockSize)
	}
	maxLevel := math.MaxInt
	switch opt.Compression {
	case Zstd:
		maxLevel = maxZstdLevel
		if opt.Level == 0 {
			opt.Level = defaultZstdLevel
		}
	case Gzip:
		maxLevel = maxGzipLevel
		if opt.Level == 0 {
			opt.Level = defaultGzipLevel
		}
	}
	if opt.Level < 0 || opt.Level > maxLevel {
		return nil, fmt.Errorf("squashfs: %v level %d: not from 1 to %d", opt.Compression, opt.Level, maxLevel)
	}
	opt.Level = effectiveLevel(opt.Compression, opt.Level)
	if opt.Offset < 0 {
		return nil, fmt.Errorf("squashfs: negative offset %d", opt.Offset)
	}
	if opt.Workers <= 0 {
		opt.Workers = runtime.GOMAXPROCS(0)
	}
	start := int64(superblockSize)
	if o := compressorOptions(opt.Compression, opt.Level); o != nil {
		start += 2 + int64(len(o))
	}
	pipe, err := newPipeline(w, opt.Offset, start, opt.BlockSize, opt.Workers, opt.Compression, opt.Level)
	if err != nil {
		return nil, err
	}
	wr := &Writer{w: w, opt: opt, pipe: pipe}
	wr.root = newImplicitDir("", 0)
	wr.root.inode.implicit = true
	wr.lastDir, wr.lastPath = wr.root, "."
	return wr, nil
}

// Add takes one entry; see tree.Sink. After an error the Writer only accepts Close and Abort. A body that is shorter or
// longer than e.Size is an error that names the file.
func (w *Writer) Add(e tree.Entry, body io.Reader) error {
	if w.closed {
		return errClosed
	}
	if w.err != nil {
		return w.err
	}
	if err := w.add(&e, body); err != nil {
		w.err = fmt.Errorf("squashfs: add %s: %w", e.Path, err)
		return w.err
	}
	return nil
}

func (w *Writer) add(e *tree.Entry, body io.Reader) error {
	if err := w.pipe.err(); err != nil {
		return err
	}
	if err := checkPath(e.Path); err != nil {
		return err
	}
	if e.Part {
		w.endPart()
	}
	if e.HardLink != "" {
		return w.addLink(e)
	}
	in, err := w.newInode(e)
	if err != nil {
		return err
	}
	if e.Path == "." {
		if e.Type() != tree.TypeDir {
			return errors.New("the root is not a directory")
		}
		in.body = w.root.inode.body
		w.root.inode = in
		return nil
	}
	dir, name, err := w.parent(e.Path, in.mtime)
	if err != nil {
		return err
	}
	if e.Type() == tree.TypeRegular {
		if in.body, err = w.addData(e, body); err != nil {
			return err
		}
	}
	old := dir.dir().get(name)
	if old == nil {
		dir.dir().put(w.newNode(name, in))
		return nil
	}
	if d, ok := old.inode.body.(*dirData); ok {
		if e.Type() == tree.TypeDir {
			in.body = d
		} else {
			w.lastPath, w.lastDir = ".", w.root // the cached directory may just have gone
		}
	}
	old.inode = in
	return nil
}

func (w *Writer) newNode(name string, in *inode) *node {
	n := w.nodes.new()
	n.name, n.inode = strings.Clone(name), in
	return n
}

func (w *Writer) newSmall(f smallFile) *smallFile {
	p := w.smalls.new()
	*p = f
	return p
}

func checkPath(p string) error {
	if p == "" || p[0] == '/' || path.Clean(p) != p || p == ".." || strings.HasPrefix(p, "../") {
		return errors.New("not a clean path below the root")
	}
	if strings.IndexByte(p, 0) >= 0 {
		return errors.New("zero byte in the name")
	}
	return nil
}

func (w *Writer) newInode(e *tree.Entry) (*inode, error) {
	if e.Mode&^(tree.TypeMask|tree.PermMask) != 0 {
		return nil, fmt.Errorf("bad mode %#o", e.Mode)
	}
	in := w.inodes.new()
	in.mode, in.mtime, in.xattr = uint16(e.Mode), w.clamp(e.ModTime), noXattr
	switch e.Type() {
	case tree.TypeDir:
		in.body = &dirData{}
	case tree.TypeRegular:
		if e.Size < 0 {
			return nil, fmt.Errorf("negative size %d", e.Size)
		}
	case tree.TypeSymlink:
		if e.Link == "" || len(e.Link) > maxTargetLen {
			return nil, fmt.Errorf("symbolic link with a target of %d bytes", len(e.Link))
		}
		in.body = e.Link
	case tree.TypeBlock, tree.TypeChar:
		if e.Major > 0xfff || e.Minor > 0xfffff {
			return nil, fmt.Errorf("device number %d:%d is too large", e.Major, e.Minor)
		}
		in.body = device(e.Major, e.Minor)
	case tree.TypeFifo, tree.TypeSocket:
	default:
		return nil, fmt.Errorf("unknown file type %#o", e.Type())
	}
	var err error
	if in.uid, err = w.ids.index(e.UID); err != nil {
		return nil, err
	}
	if in.gid, err = w.ids.index(e.GID); err != nil {
		return nil, err
	}
	if len(e.Xattrs) > 0 {
		var skipped []string
		if in.xattr, skipped, err = w.xattrs.index(e.Xattrs); err != nil {
			return nil, err
		}
		if w.stats.SkippedXattrs += int64(len(skipped)); len(skipped) > 0 && w.stats.SkippedXattr == "" {
			w.stats.SkippedXattr = skipped[0] + " of " + e.Path
		}
	}
	w.newest = max(w.newest, in.mtime)
	return in, nil
}

func (w *Writer) clamp(t time.Time) uint32 {
	if !w.opt.ClampTime.IsZero() && t.After(w.opt.ClampTime) {
		t = w.opt.ClampTime
	}
	return uint32(min(max(t.Unix(), 0), math.MaxUint32))
}

// parent finds the directory an entry goes to and makes those that are missing.
func (w *Writer) parent(p string, mtime uint32) (dir *node, name string, err error) {
	dirname, name := path.Split(p)
	if len(name) > maxNameLen {
		return nil, "", fmt.Errorf("name of %d bytes: at most %d are possible", len(name), maxNameLen)
	}
	dirname = strings.TrimSuffix(dirname, "/")
	if dirname == "" {
		return w.root, name, nil
	}
	if dirname == w.lastPath {
		return w.lastDir, name, nil
	}
	dir = w.root
	for part := range strings.SplitSeq(dirname, "/") {
		next := dir.dir().get(part)
		if next == nil {
			if len(part) > maxNameLen {
				return nil, "", fmt.Errorf("name of %d bytes: at most %d are possible", len(part), maxNameLen)
			}
			next = newImplicitDir(strings.Clone(part), mtime)
			if err := w.ownImplicit(next.inode); err != nil {
				return nil, "", err
			}
			dir.dir().put(next)
		} else if _, ok := next.inode.body.(*dirData); !ok {
			return nil, "", fmt.Errorf("%s is not a directory", part)
		}
		dir = next
	}
	w.lastPath, w.lastDir = strings.Clone(dirname), dir
	return dir, name, nil
}

// ownImplicit gives a directory that no entry named the owner 0:0.
func (w *Writer) ownImplicit(in *inode) (err error) {
	if in.uid, err = w.ids.index(0); err == nil {
		in.gid, err = w.ids.index(0)
	}
	return err
}

func (w *Writer) addLink(e *tree.Entry) error {
	if err := checkPath(e.HardLink); err != nil {
		return fmt.Errorf("hard link to %q: %w", e.HardLink, err)
	}
	target := w.root
	for part := range strings.SplitSeq(e.HardLink, "/") {
		d, ok := target.inode.body.(*dirData)
		if !ok {
			target = nil
		} else {
			target = d.get(part)
		}
		if target == nil {
			return fmt.Errorf("hard link to %s: no such entry before it", e.HardLink)
		}
	}
	if _, ok := target.inode.body.(*dirData); ok || e.Path == "." {
		return fmt.Errorf("hard link to %s: directories have no hard links", e.HardLink)
	}
	dir, name, err := w.parent(e.Path, target.inode.mtime)
	if err != nil {
		return err
	}
	if old := dir.dir().get(name); old != nil {
		if _, ok := old.inode.body.(*dirData); ok {
			w.lastPath, w.lastDir = ".", w.root
		}
		old.inode = target.inode
		return nil
	}
	dir.dir().put(w.newNode(name, target.inode))
	return nil
}

// addData reads a regular file's body. Files below the block size share fragment blocks, larger ones have their own blocks.
func (w *Writer) addData(e *tree.Entry, body io.Reader) (any, error) {
	w.stats.DataSize += e.Size
	if e.Size == 0 {
		return w.newSmall(smallFile{fragment: noFragment}), expectEnd(body, 0)
	}
	if body == nil {
		return nil, errors.New("a regular file without a body")
	}
	if e.Size < int64(w.opt.BlockSize) {
		return w.addSmall(uint32(e.Size), body)
	}
	f := &fileData{size: e.Size}
	for left := e.Size; left > 0; {
		j := w.pipe.take()
		n := int(min(left, int64(w.opt.BlockSize)))
		if got, err := io.ReadFull(body, j.buf[:n]); err != nil {
			w.pipe.free <- j
			return nil, shortBody(err, e.Size-left+int64(got), e.Size)
		}
		left -= int64(n)
		j.n, j.file, j.last = n, f, left == 0
		if j.last {
			if err := expectEnd(body, e.Size); err != nil {
				w.pipe.free <- j
				return nil, err
			}
		}
		w.pipe.submit(j)
		if err := w.pipe.err(); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// addSmall puts a file into the current fragment block, unless the same bytes are in one already.
func (w *Writer) addSmall(fileSize uint32, body io.Reader) (*smallFile, error) {
	size := int(fileSize)
	if w.frag == nil {
		w.frag = w.pipe.take()
		w.frag.frag = true
	}
	var buf []byte
	fits := w.frag.n+size <= w.opt.BlockSize
	if fits {
		buf = w.frag.buf[w.frag.n : w.frag.n+size]
	} else {
		if w.scratch == nil {
			w.scratch = make([]byte, w.opt.BlockSize)
		}
		buf = w.scratch[:size]
	}
	if n, err := io.ReadFull(body, buf); err != nil {
		return nil, shortBody(err, int64(n), int64(size))
	}
	if err := expectEnd(body, int64(size)); err != nil {
		return nil, err
	}
	key := keys.of(buf)
	place, ok := w.small.get(key)
	if ok {
		w.stats.Duplicates++
	} else {
		if !fits {
			w.flushFragment()
			w.frag = w.pipe.take()
			w.frag.frag = true
			copy(w.frag.buf, buf)
		}
		place = fragmentPlace{w.fragments, uint32(w.frag.n)}
		w.frag.n += size
		w.small.put(key, place)
	}
	return w.newSmall(smallFile{fileSize, place.fragment, place.offset}), nil
}

// endPart makes the stored bytes of what was added so far independent of what comes.
func (w *Writer) endPart() {
	w.flushFragment()
	w.small = contentTable{}
	j := w.pipe.take()
	j.part = true
	w.pipe.submit(j)
}

func (w *Writer) flushFragment() {
	if w.frag == nil {
		return
	}
	if w.frag.n == 0 {
		w.pipe.free <- w.frag
	} else {
		w.pipe.submit(w.frag)
		w.fragments++
	}
	w.frag = nil
}

func shortBody(err error, got, want int64) error {
	if err == io.ErrUnexpectedEOF || err == io.EOF {
		return fmt.Errorf("file has %d bytes instead of %d: it changed while it was read: %w", got, want, io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("read: %w", err)
}

var errLonger = errors.New("it changed while it was read")

func expectEnd(body io.Reader, want int64) error {
	if body == nil {
		return nil
	}
	var one [1]byte
	for range 100 {
		n, err := body.Read(one[:])
		if n > 0 {
			return fmt.Errorf("file has more than %d bytes: %w", want, errLonger)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
	}
	return io.ErrNoProgress
}

// Abort gives up: it ends all goroutines and leaves w as it is. After Close it does nothing.
func (w *Writer) Abort() {
	if w.closed {
		return
	}
	w.closed = true
	w.pipe.fail(errClosed)
	if w.frag != nil {
		w.pipe.free <- w.frag
		w.frag = nil
	}
	_ = w.pipe.close()
}
