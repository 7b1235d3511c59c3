package oci

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"strings"
	"sync/atomic"

	"carrel/engine/tree"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// budget is what is left of the limits while an image is read.
type budget struct {
	bytes, entries atomic.Int64
}

// What an image may unpack to that says nothing else: a terabyte, and of more than ten gigabytes no more than a thousand
// times what was downloaded, which is more than compression makes of what people keep.
const (
	mostBytes  = 1 << 40
	plainBytes = 10 << 30
	mostRatio  = 1000
)

// newBudget is what may be read of an image; compressed is the size of its layers as they are stored, in bytes.
func newBudget(l Limits, compressed int64) *budget {
	b := &budget{}
	b.bytes.Store(min(mostBytes, max(plainBytes, mostRatio*min(compressed, mostBytes))))
	b.entries.Store(20_000_000)
	if l.Bytes > 0 {
		b.bytes.Store(l.Bytes)
	}
	if l.Entries > 0 {
		b.entries.Store(l.Entries)
	}
	return b
}

func (b *budget) take(bytes int64) error {
	if b.bytes.Add(-bytes) < 0 {
		return fmt.Errorf("%w: too many bytes", ErrLimit)
	}
	return nil
}

// stream is a layer being read: decompressed and hashed in a goroutine of its own, ahead of the tar reader.
type stream struct {
	layer *Layer
	ahead *readAhead
	tar   *tar.Reader
	diff  hash.Hash
	blob  *hashReader // compressed side; nil when it was verified before
}

// openLayer opens layer i, which has been fetched, or is on its way in g.
func (m *Image) openLayer(ctx context.Context, i int, b *budget, g *growing) (*stream, error) {
	l := &m.Layers[i]
	s := &stream{layer: l, diff: sha256.New()}
	var raw io.ReadCloser
	var err error
	interrupt := func() {}
	if g != nil {
		raw = g.reader(ctx)
		interrupt = func() { raw.Close() }
	} else if m.store != nil {
		if raw, err = l.open(ctx); err == nil && l.Digest != "" {
			s.blob = &hashReader{r: raw, h: sha256.New()}
		}
	} else {
		raw, err = os.Open(m.cachePath(l.Digest))
	}
	if err != nil {
		return nil, &LayerError{Layer: l.name(), Err: err}
	}
	var in io.Reader = raw
	if s.blob != nil {
		in = s.blob
	}
	plain, closePlain, err := decompress(bufio.NewReaderSize(&contextReader{ctx, in}, 1<<18))
	if err != nil {
		raw.Close()
		return nil, &LayerError{Layer: l.name(), Err: err}
	}
	s.ahead = newReadAhead(plain, func(p []byte) error {
		s.diff.Write(p)
		return b.take(int64(len(p)))
	}, interrupt, func() { closePlain(); raw.Close() })
	s.tar = tar.NewReader(s.ahead)
	return s, nil
}

// decompress looks at the first bytes, since media types are not always right.
func decompress(r *bufio.Reader) (io.Reader, func(), error) {
	head, err := r.Peek(4)
	if err != nil && err != io.EOF {
		return nil, nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}): // RFC 1952
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		return z, func() { z.Close() }, nil
	case bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}), // RFC 8878, frame
		len(head) == 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:], []byte{0x2a, 0x4d, 0x18}): // skippable frame
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(1<<27), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		return z, z.Close, nil
	case bytes.HasPrefix(head, []byte("BZh")), bytes.HasPrefix(head, []byte{0xfd, '7', 'z', 'X'}):
		return nil, nil, errors.New("compressed in a way that images do not use")
	}
	return r, func() {}, nil
}

// next returns the next entry's header, or io.EOF after the last.
func (s *stream) next(b *budget) (*tar.Header, error) {
	h, err := s.tar.Next()
	if err == io.EOF {
		return nil, io.EOF
	}
	if err != nil {
		return nil, s.damage("", err)
	}
	if b.entries.Add(-1) < 0 {
		return nil, s.fail(h.Name, fmt.Errorf("%w: too many entries", ErrLimit))
	}
	if h.Typeflag == tar.TypeGNUSparse || h.PAXRecords["GNU.sparse.major"] != "" || h.PAXRecords["GNU.sparse.map"] != "" {
		if err := b.take(h.Size); err != nil { // holes are not in the stream, but in the file
			return nil, s.fail(h.Name, err)
		}
	}
	return h, nil
}

// finish reads what is left and compares the digests.
func (s *stream) finish() error {
	if _, err := io.Copy(io.Discard, onlyReader{s.ahead}); err != nil {
		return s.damage("", err)
	}
	if err := compareDigest(s.diff.Sum(nil), s.layer.DiffID); err != nil {
		return s.fail("", fmt.Errorf("uncompressed: %w", err))
	}
	if s.blob == nil {
		return nil
	}
	// A decompressor may leave bytes after its last frame unread. The goroutine has ended, so nobody else reads.
	if _, err := io.Copy(io.Discard, onlyReader{s.blob}); err != nil {
		return s.damage("", err)
	}
	if s.blob.n != s.layer.Size {
		return s.fail("", fmt.Errorf("%w: it has %d bytes, not %d", ErrCorrupt, s.blob.n, s.layer.Size))
	}
	if err := compareDigest(s.blob.h.Sum(nil), s.layer.Digest); err != nil {
		return s.fail("", err)
	}
	return nil
}

// fail names the layer and the entry.
func (s *stream) fail(entry string, err error) error {
	return &LayerError{Layer: s.layer.name(), Entry: entry, Err: err}
}

// damage is fail for what a tar reader or a decompressor complains about.
func (s *stream) damage(entry string, err error) error {
	if download, ok := errors.AsType[*LayerError](err); ok {
		return download
	}
	_, system := errors.AsType[*fs.PathError](err)
	known := errors.Is(err, ErrLimit) || errors.Is(err, ErrCorrupt) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	if !system && !known {
		err = fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return s.fail(entry, err)
}

func (s *stream) Close() { s.ahead.Close() }

// hashReader hashes what is read.
type hashReader struct {
	r io.Reader
	h hash.Hash
	n int64
}

func (r *hashReader) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	r.h.Write(b[:n])
	r.n += int64(n)
	return n, err
}

const whiteoutPrefix = ".wh."

// kind of a tar entry, as far as flattening is concerned.
type kind uint8

const (
	kindImplied  kind = iota // only recorded: a directory that an entry below it or an opaque mark implies
	kindDir                  // a directory
	kindFile                 // everything that is not a directory or a symbolic link
	kindSymlink              //
	kindHardLink             // only of headers, never recorded
	kindWhiteout             // the path is removed from the layers below
	kindOpaque               // only of headers: everything in the directory is removed from the layers below
	kindSkip                 // only of headers: not part of the tree
)

// name is a cleaned name of an entry.
type entryName struct {
	path string // of the entry, or of what a whiteout removes, or of the directory an opaque mark is in
	kind kind
}

// classifyEntry cleans an entry's name and tells what it is. Names must stay within the root without relying on
// cleaning: no leading slash, no ".." element.
func classifyEntry(h *tar.Header) (entryName, error) {
	bad := func(why string) (entryName, error) { return entryName{}, fmt.Errorf("%w: %s", ErrCorrupt, why) }
	if h.Typeflag == tar.TypeXGlobalHeader {
		return entryName{kind: kindSkip}, nil
	}
	name := h.Name
	switch {
	case strings.HasPrefix(name, "/") && strings.Trim(name, "/") != "":
		return bad("its name is absolute")
	case strings.IndexByte(name, 0) >= 0:
		return bad("its name has a NUL byte")
	case hasDotDot(name):
		return bad("its name leads out of the root")
	}
	p := path.Clean(strings.Trim(name, "/"))
	dir, base := path.Split(p)
	if i := strings.Index(p, whiteoutPrefix+whiteoutPrefix); i >= 0 && (i == 0 || p[i-1] == '/') {
		// ".wh..wh..opq" is the opaque mark; other names like it are aufs' own files
		if base == whiteoutPrefix+whiteoutPrefix+".opq" {
			return entryName{path.Clean(dir), kindOpaque}, nil
		}
		return entryName{kind: kindSkip}, nil
	}
	if removed, ok := strings.CutPrefix(base, whiteoutPrefix); ok {
		if removed == "" || removed == "." || removed == ".." {
			return bad("a whiteout without a name")
		}
		return entryName{path.Join(dir, removed), kindWhiteout}, nil
	}
	n := entryName{path: p, kind: kindFile}
	switch h.Typeflag {
	case tar.TypeDir:
		n.kind = kindDir
	case tar.TypeSymlink:
		n.kind = kindSymlink
	case tar.TypeLink:
		n.kind = kindHardLink
		if hasDotDot(h.Linkname) || strings.Trim(h.Linkname, "/") == "" {
			return bad(fmt.Sprintf("hard link to %q leads out of the root", h.Linkname))
		}
	case tar.TypeReg, tar.TypeGNUSparse, tar.TypeCont, tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
	default:
		return bad(fmt.Sprintf("unknown type %q", h.Typeflag))
	}
	if p == "." && n.kind != kindDir {
		return bad("the root is not a directory")
	}
	return n, nil
}

func hasDotDot(name string) bool {
	for e := range strings.SplitSeq(name, "/") {
		if e == ".." {
			return true
		}
	}
	return false
}

// newEntry makes the entry of a header at a path, without HardLink.
func newEntry(h *tar.Header, at string) (tree.Entry, error) {
	if h.Uid < 0 || h.Gid < 0 || int64(h.Uid) > math.MaxUint32 || int64(h.Gid) > math.MaxUint32 {
		return tree.Entry{}, fmt.Errorf("%w: owner %d:%d", ErrCorrupt, h.Uid, h.Gid)
	}
	e := tree.Entry{
		Path: at, Mode: uint32(h.Mode) & tree.PermMask, UID: uint32(h.Uid), GID: uint32(h.Gid),
		ModTime: h.ModTime, Xattrs: xattrs(h),
	}
	switch h.Typeflag {
	case tar.TypeDir:
		e.Mode |= tree.TypeDir
	case tar.TypeSymlink:
		if h.Linkname == "" || strings.IndexByte(h.Linkname, 0) >= 0 {
			return e, fmt.Errorf("%w: symbolic link without a target", ErrCorrupt)
		}
		e.Mode |= tree.TypeSymlink
		e.Link = h.Linkname
	case tar.TypeChar, tar.TypeBlock:
		e.Mode |= tree.TypeChar
		if h.Typeflag == tar.TypeBlock {
			e.Mode = e.Mode&^tree.TypeMask | tree.TypeBlock
		}
		if h.Devmajor < 0 || h.Devmajor > math.MaxUint32 || h.Devminor < 0 || h.Devminor > math.MaxUint32 {
			return e, fmt.Errorf("%w: device %d:%d", ErrCorrupt, h.Devmajor, h.Devminor)
		}
		e.Major, e.Minor = uint32(h.Devmajor), uint32(h.Devminor)
	case tar.TypeFifo:
		e.Mode |= tree.TypeFifo
	default:
		e.Mode |= tree.TypeRegular
		e.Size = h.Size
	}
	return e, nil
}

// xattrs are the extended attributes in PAX records (as star and GNU tar write them). Marks of the overlay file system
// are left out: coming from a layer, they could only confuse the overlay that the image is later part of.
func xattrs(h *tar.Header) map[string][]byte {
	var m map[string][]byte
	for key, value := range h.PAXRecords {
		name, ok := strings.CutPrefix(key, "SCHILY.xattr.")
		if !ok || name == "" || strings.HasPrefix(name, "trusted.overlay.") || strings.HasPrefix(name, "user.overlay.") {
			continue
		}
		if m == nil {
			m = map[string][]byte{}
		}
		m[name] = []byte(value)
	}
	return m
}
