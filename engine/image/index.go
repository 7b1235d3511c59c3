package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"syscall"

	"carrel/engine/tree"
)

// IndexOptions say what of an image's contents an Index holds beside names and attributes.
type IndexOptions struct {
	// Keep tells which regular files' bytes are kept in memory; nil for none. Files beyond 256 MiB, and those beyond 512 MiB
	// in all, are not kept whatever it says.
	Keep func(e *tree.Entry) bool
	// Only is a path: the source is not read further than it takes to know what is there, and is no index of the rest. Empty: all
	// is read.
	Only string
	// Digest makes the SHA-256 of every regular file.
	Digest bool
}

const (
	maxIndexed  = 8_000_000 // entries
	maxKeptFile = 256 << 20
	maxKept     = 512 << 20
)

// Index is a tree in memory, made in one pass over a source that has no other order than its own, such as the layers of
// an OCI image. It is an fs.FS as the images' own are; a regular file that was not kept is fetched, when it is opened, by
// a further pass that ends where the file was met.
type Index struct {
	ctx    context.Context
	source tree.Source
	nodes  map[string]*indexNode
	opt    IndexOptions
	kept   int64
	hash   hash.Hash
}

type indexNode struct {
	entry    tree.Entry
	names    []string // of a directory, sorted when listed
	sorted   bool
	body     []byte
	kept     bool
	digest   [sha256.Size]byte
	links    uint32
	children map[string]*indexNode
}

var (
	_ fs.ReadDirFS  = (*Index)(nil)
	_ fs.ReadFileFS = (*Index)(nil)
	_ fs.StatFS     = (*Index)(nil)
	_ fs.ReadLinkFS = (*Index)(nil)
)

// NewIndex reads a source once. ctx is also that of files which are fetched later.
func NewIndex(ctx context.Context, source tree.Source, opt IndexOptions) (*Index, error) {
	x := &Index{ctx: ctx, source: source, opt: opt, nodes: map[string]*indexNode{}, hash: sha256.New()}
	x.nodes["."] = newDir(".")
	if err := x.pass((*indexSink)(x), func() bool {
		p, err := x.resolve("find", opt.Only, true)
		return err == nil && !p.entry.IsDir()
	}); err != nil {
		return nil, err
	}
	return x, nil
}

// untiler is a source that can end early, as an OCI image is.
type untiler interface {
	WriteUntil(ctx context.Context, sink tree.Sink, done func() bool) error
}

// pass reads the source: for one path only as far as needed.
func (x *Index) pass(sink tree.Sink, done func() bool) error {
	if u, ok := x.source.(untiler); ok && x.opt.Only != "" {
		return u.WriteUntil(x.ctx, sink, done)
	}
	return x.source.WriteTo(x.ctx, sink)
}

func newDir(p string) *indexNode {
	return &indexNode{entry: tree.Entry{Path: p, Mode: tree.TypeDir | 0o755}, children: map[string]*indexNode{}, links: 1}
}

type indexSink Index

// Add implements tree.Sink.
func (s *indexSink) Add(e tree.Entry, body io.Reader) error {
	x := (*Index)(s)
	if len(x.nodes) >= maxIndexed {
		return fmt.Errorf("more than %d files", maxIndexed)
	}
	if e.HardLink != "" {
		target := x.nodes[e.HardLink]
		if target == nil || target.entry.IsDir() {
			return fmt.Errorf("%s: a link to %s, which is not there", e.Path, e.HardLink)
		}
		target.links++
		return x.put(e.Path, target)
	}
	n := &indexNode{entry: e, links: 1}
	if e.IsDir() {
		n.children = map[string]*indexNode{}
	}
	if e.IsRegular() {
		if err := x.read(n, body); err != nil {
			return err
		}
	}
	return x.put(e.Path, n)
}

func (x *Index) read(n *indexNode, body io.Reader) error {
	e := &n.entry
	keep := x.opt.Keep != nil && e.Size <= maxKeptFile && x.kept+e.Size <= maxKept && x.opt.Keep(e)
	if !keep && !x.opt.Digest {
		return nil
	}
	var kept bytes.Buffer
	var w io.Writer = &kept
	if x.opt.Digest {
		x.hash.Reset()
		if w = x.hash; keep {
			w = io.MultiWriter(x.hash, &kept)
		}
	}
	if size, err := io.Copy(w, body); err != nil || size != e.Size {
		return fmt.Errorf("read %s: %d of %d bytes: %w", e.Path, size, e.Size, orShort(err))
	}
	if x.opt.Digest {
		x.hash.Sum(n.digest[:0])
	}
	if keep {
		n.body, n.kept = kept.Bytes(), true
		x.kept += e.Size
	}
	return nil
}

func orShort(err error) error {
	if err == nil {
		return io.ErrUnexpectedEOF
	}
	return err
}

// put gives a node a place, making the folders above it.
func (x *Index) put(p string, n *indexNode) error {
	if old := x.nodes[p]; old != nil {
		if old.entry.IsDir() && n.entry.IsDir() {
			old.entry = n.entry
			return nil
		}
		x.drop(p, old)
	}
	if p == "." {
		return errors.New("the root is not a directory")
	}
	dir := path.Dir(p)
	parent := x.nodes[dir]
	if parent == nil {
		parent = newDir(dir)
		if err := x.put(dir, parent); err != nil {
			return err
		}
		parent = x.nodes[dir]
	}
	if !parent.entry.IsDir() {
		return fmt.Errorf("%s: %s is not a directory", p, dir)
	}
	x.nodes[p] = n
	parent.children[path.Base(p)] = n
	parent.sorted = false
	return nil
}

// drop forgets a node and all below it.
func (x *Index) drop(p string, n *indexNode) {
	for name, c := range n.children {
		x.drop(path.Join(p, name), c)
	}
	delete(x.nodes, p)
	if parent := x.nodes[path.Dir(p)]; parent != nil {
		delete(parent.children, path.Base(p))
		parent.sorted = false
	}
}

// Digest is the SHA-256 of a regular file's bytes, when it was asked for.
func (x *Index) Digest(name string) ([sha256.Size]byte, bool) {
	n := x.nodes[name]
	if n == nil || !n.entry.IsRegular() || !x.opt.Digest {
		return [sha256.Size]byte{}, false
	}
	return n.digest, true
}

// place is a node and the path at which it really is.
type place struct {
	*indexNode
	at string
}

func (x *Index) resolve(op, name string, last bool) (place, error) {
	child := func(dir place, name string) (place, error) {
		if !dir.entry.IsDir() {
			return place{}, syscall.ENOTDIR
		}
		n := dir.children[name]
		if n == nil {
			return place{}, fs.ErrNotExist
		}
		return place{n, path.Join(dir.at, name)}, nil
	}
	p, err := follow(name, last, place{x.nodes["."], "."}, child, func(p place) (string, bool, error) {
		return p.entry.Link, p.entry.Type() == tree.TypeSymlink, nil
	})
	if err != nil {
		return place{}, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return p, nil
}

func (p place) info(name string) fs.FileInfo { return p.indexNode.info(path.Base(name)) }

func (n *indexNode) info(base string) fs.FileInfo {
	return &entryInfo{name: base, entry: &n.entry, sys: n}
}

// Stat implements fs.StatFS.
func (x *Index) Stat(name string) (fs.FileInfo, error) {
	n, err := x.resolve("stat", name, true)
	if err != nil {
		return nil, err
	}
	return n.info(name), nil
}

// Lstat implements fs.ReadLinkFS.
func (x *Index) Lstat(name string) (fs.FileInfo, error) {
	n, err := x.resolve("lstat", name, false)
	if err != nil {
		return nil, err
	}
	return n.info(name), nil
}

// Xattrs implements XattrFS.
func (x *Index) Xattrs(name string) (map[string][]byte, error) {
	n, err := x.resolve("xattrs", name, false)
	if err != nil {
		return nil, err
	}
	return n.entry.Xattrs, nil
}

// ReadLink implements fs.ReadLinkFS.
func (x *Index) ReadLink(name string) (string, error) {
	n, err := x.resolve("readlink", name, false)
	if err != nil {
		return "", err
	}
	if n.entry.Type() != tree.TypeSymlink {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	return n.entry.Link, nil
}

// ReadDir implements fs.ReadDirFS.
func (x *Index) ReadDir(name string) ([]fs.DirEntry, error) {
	n, err := x.resolve("readdir", name, true)
	if err != nil {
		return nil, err
	}
	if !n.entry.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: syscall.ENOTDIR}
	}
	return n.list(), nil
}

func (n *indexNode) list() []fs.DirEntry {
	if !n.sorted {
		n.names = slices.AppendSeq(n.names[:0], maps.Keys(n.children))
		slices.Sort(n.names)
		n.sorted = true
	}
	list := make([]fs.DirEntry, len(n.names))
	for i, base := range n.names {
		list[i] = fs.FileInfoToDirEntry(n.children[base].info(base))
	}
	return list
}

// ReadFile implements fs.ReadFileFS.
func (x *Index) ReadFile(name string) ([]byte, error) { return readAll(x, name) }

// Open implements fs.FS.
func (x *Index) Open(name string) (fs.File, error) {
	n, err := x.resolve("open", name, true)
	if err != nil {
		return nil, err
	}
	f := &openFile{name: name, info: n.info(name)}
	switch {
	case n.entry.IsDir():
		f.list = func() ([]fs.DirEntry, error) { return n.list(), nil }
	case !n.entry.IsRegular():
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EOPNOTSUPP}
	case n.kept:
		f.Reader = bytes.NewReader(n.body)
	default:
		tmp, err := x.fetch(n.indexNode)
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: name, Err: err}
		}
		f.Reader, f.close = tmp, tmp.Close
	}
	return f, nil
}

var errFetched = errors.New("fetched")

// fetch reads the source again up to a file, whose bytes go to a file without a name.
func (x *Index) fetch(n *indexNode) (*os.File, error) {
	tmp, err := os.CreateTemp("", "carrel-file-")
	if err != nil {
		return nil, err
	}
	os.Remove(tmp.Name())
	s := &fetchSink{want: n.entry.Path, to: tmp}
	if err = x.pass(s, func() bool { return false }); errors.Is(err, errFetched) {
		_, err = tmp.Seek(0, io.SeekStart)
	} else if err == nil {
		err = fs.ErrNotExist
	}
	if err != nil {
		tmp.Close()
		return nil, err
	}
	return tmp, nil
}

type fetchSink struct {
	want string
	to   io.Writer
}

func (s *fetchSink) Add(e tree.Entry, body io.Reader) error {
	if e.Path != s.want || body == nil {
		return nil
	}
	if _, err := io.Copy(s.to, body); err != nil {
		return err
	}
	return errFetched
}
