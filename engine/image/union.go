package image

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"carrel/engine/squashfs"
	"carrel/engine/tree"
)

// union shows a system and its overlay partitions as the kernel's overlay file system would (Documentation/filesystems/
// overlayfs.rst): an upper entry hides a lower one, directories are merged, a character device 0:0 is a whiteout, and a
// directory with the attribute overlay.opaque hides what is below it.
type union struct {
	layers []*squashfs.Reader // topmost first
}

var (
	_ fs.ReadDirFS  = (*union)(nil)
	_ fs.ReadFileFS = (*union)(nil)
	_ fs.StatFS     = (*union)(nil)
	_ fs.ReadLinkFS = (*union)(nil)
	_ tree.Source   = (*union)(nil)
)

// newUnion takes the layers lowest first.
func newUnion(stack []*squashfs.Reader) *union {
	u := &union{slices.Clone(stack)}
	slices.Reverse(u.layers)
	return u
}

// node is what is at a path: the entry that is seen, and for a directory all that are merged in it.
type node struct {
	layer *squashfs.Reader
	inode *squashfs.Inode
	dirs  []dirLayer // topmost first
}

type dirLayer struct {
	layer *squashfs.Reader
	inode *squashfs.Inode
}

func (u *union) root() (*node, error) {
	n := &node{}
	for _, l := range u.layers {
		in, err := l.Inode(l.Root())
		if err != nil {
			return nil, err
		}
		n.dirs = append(n.dirs, dirLayer{l, in})
	}
	n.layer, n.inode = n.dirs[0].layer, n.dirs[0].inode
	return n, nil
}

func isWhiteout(in *squashfs.Inode) bool {
	return in.Mode&tree.TypeMask == tree.TypeChar && in.Major == 0 && in.Minor == 0
}

func isOpaque(l *squashfs.Reader, in *squashfs.Inode) (bool, error) {
	if !in.HasXattrs() {
		return false, nil
	}
	attrs, err := l.Xattrs(in)
	if err != nil {
		return false, err
	}
	return string(attrs["trusted.overlay.opaque"]) == "y" || string(attrs["user.overlay.opaque"]) == "y", nil
}

// child finds a name in a directory.
func (u *union) child(dir *node, name string) (*node, error) {
	var n *node
	for _, d := range dir.dirs {
		found, ok, err := d.layer.Exists(d.inode, name)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		in, err := d.layer.Inode(found.Ref)
		if err != nil {
			return nil, err
		}
		if isWhiteout(in) || n != nil && !in.IsDir() {
			break
		}
		if n == nil {
			n = &node{layer: d.layer, inode: in}
		}
		if !in.IsDir() {
			break
		}
		n.dirs = append(n.dirs, dirLayer{d.layer, in})
		opaque, err := isOpaque(d.layer, in)
		if err != nil {
			return nil, err
		}
		if opaque {
			break
		}
	}
	if n == nil {
		return nil, fs.ErrNotExist
	}
	return n, nil
}

// names lists a directory, sorted.
func (u *union) names(dir *node) ([]string, error) {
	seen := map[string]bool{} // true for names that are shown
	for _, d := range dir.dirs {
		list, err := d.layer.ReadDir(d.inode)
		if err != nil {
			return nil, err
		}
		for _, e := range list {
			if _, known := seen[e.Name]; known {
				continue
			}
			shown := true
			if e.Type == tree.TypeChar {
				in, err := d.layer.Inode(e.Ref)
				if err != nil {
					return nil, err
				}
				shown = !isWhiteout(in)
			}
			seen[e.Name] = shown
		}
	}
	var names []string
	for name, shown := range seen {
		if shown {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

func (u *union) resolve(op, name string, last bool) (*node, error) {
	fail := func(err error) (*node, error) { return nil, &fs.PathError{Op: op, Path: name, Err: err} }
	if !fs.ValidPath(name) {
		return fail(fs.ErrInvalid)
	}
	root, err := u.root()
	if err != nil {
		return fail(err)
	}
	stack, todo := []*node{root}, name
	for links := 0; todo != ""; {
		element, rest, _ := strings.Cut(todo, "/")
		todo = rest
		switch element {
		case "", ".":
			continue
		case "..":
			stack = stack[:max(1, len(stack)-1)]
			continue
		}
		n, err := u.child(stack[len(stack)-1], element)
		if err != nil {
			return fail(err)
		}
		if !n.inode.IsSymlink() || rest == "" && !last {
			stack = append(stack, n)
			continue
		}
		if links++; links > maxLinks {
			return fail(syscall.ELOOP)
		}
		target, err := n.layer.Target(n.inode)
		if err != nil {
			return fail(err)
		}
		if strings.HasPrefix(target, "/") {
			stack = stack[:1]
		}
		todo = strings.TrimLeft(target, "/") + "/" + todo
	}
	return stack[len(stack)-1], nil
}

func (u *union) info(name string, n *node) (fs.FileInfo, error) {
	e, err := n.layer.Entry(name, n.inode)
	if err != nil {
		return nil, err
	}
	return &unionInfo{path.Base(name), e, n.inode}, nil
}

func (u *union) Stat(name string) (fs.FileInfo, error) {
	n, err := u.resolve("stat", name, true)
	if err != nil {
		return nil, err
	}
	return u.info(name, n)
}

func (u *union) Lstat(name string) (fs.FileInfo, error) {
	n, err := u.resolve("lstat", name, false)
	if err != nil {
		return nil, err
	}
	return u.info(name, n)
}

func (u *union) ReadLink(name string) (string, error) {
	n, err := u.resolve("readlink", name, false)
	if err != nil {
		return "", err
	}
	if !n.inode.IsSymlink() {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	return n.layer.Target(n.inode)
}

func (u *union) ReadDir(name string) ([]fs.DirEntry, error) {
	n, err := u.resolve("readdir", name, true)
	if err != nil {
		return nil, err
	}
	return u.list(name, n)
}

func (u *union) list(name string, n *node) ([]fs.DirEntry, error) {
	if !n.inode.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: syscall.ENOTDIR}
	}
	names, err := u.names(n)
	if err != nil {
		return nil, err
	}
	list := make([]fs.DirEntry, 0, len(names))
	for _, base := range names {
		c, err := u.child(n, base)
		if err != nil {
			return nil, err
		}
		info, err := u.info(base, c)
		if err != nil {
			return nil, err
		}
		list = append(list, fs.FileInfoToDirEntry(info))
	}
	return list, nil
}

func (u *union) ReadFile(name string) ([]byte, error) {
	f, err := u.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

func (u *union) Open(name string) (fs.File, error) {
	n, err := u.resolve("open", name, true)
	if err != nil {
		return nil, err
	}
	info, err := u.info(name, n)
	if err != nil {
		return nil, err
	}
	f := &unionFile{u: u, name: name, n: n, info: info}
	if n.inode.IsRegular() {
		f.SectionReader = io.NewSectionReader(contentAt{n}, 0, info.Size())
	}
	return f, nil
}

// contentAt reads a regular file's bytes.
type contentAt struct{ n *node }

func (c contentAt) ReadAt(b []byte, off int64) (int, error) {
	return c.n.layer.ReadAt(c.n.inode, b, off)
}

// unionFile is an open file or directory.
type unionFile struct {
	*io.SectionReader // nil when not a regular file
	u                 *union
	name              string
	n                 *node
	info              fs.FileInfo
	rest              []fs.DirEntry
	listed            bool
}

func (f *unionFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *unionFile) Close() error               { return nil }

func (f *unionFile) Read(b []byte) (int, error) {
	if f.SectionReader == nil {
		return 0, &fs.PathError{Op: "read", Path: f.name, Err: syscall.EISDIR}
	}
	return f.SectionReader.Read(b)
}

// ReadDir implements fs.ReadDirFile.
func (f *unionFile) ReadDir(n int) ([]fs.DirEntry, error) {
	if !f.listed {
		list, err := f.u.list(f.name, f.n)
		if err != nil {
			return nil, err
		}
		f.rest, f.listed = list, true
	}
	if n <= 0 {
		list := f.rest
		f.rest = nil
		return list, nil
	}
	if len(f.rest) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(f.rest))
	list := f.rest[:n]
	f.rest = f.rest[n:]
	return list, nil
}

// unionInfo describes a node as the reader of SquashFS images does, with Sys the inode.
type unionInfo struct {
	name  string
	entry tree.Entry
	inode *squashfs.Inode
}

func (i *unionInfo) Name() string       { return i.name }
func (i *unionInfo) Size() int64        { return i.entry.Size }
func (i *unionInfo) Mode() fs.FileMode  { return i.entry.FileMode() }
func (i *unionInfo) ModTime() time.Time { return i.entry.ModTime }
func (i *unionInfo) IsDir() bool        { return i.entry.IsDir() }
func (i *unionInfo) Sys() any           { return i.inode }

// WriteTo produces the merged tree, without the overlay's own marks.
func (u *union) WriteTo(ctx context.Context, sink tree.Sink) error {
	root, err := u.root()
	if err != nil {
		return err
	}
	w := &unionWalk{u: u, ctx: ctx, sink: sink, first: map[unionKey]string{}}
	return w.walk(".", root, 0)
}

type unionWalk struct {
	u     *union
	ctx   context.Context
	sink  tree.Sink
	first map[unionKey]string // first names of inodes with several
}

type unionKey struct {
	layer *squashfs.Reader
	ref   squashfs.Ref
}

// maxDepth bounds a hostile image whose directories contain themselves; paths are at most 4096 bytes (PATH_MAX).
const maxDepth = 2048

func (w *unionWalk) walk(p string, n *node, depth int) error {
	if w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	if depth > maxDepth {
		return &fs.PathError{Op: "read", Path: p, Err: errors.New("directories are nested too deeply")}
	}
	if err := w.add(p, n); err != nil || !n.inode.IsDir() {
		return err
	}
	names, err := w.u.names(n)
	if err != nil {
		return err
	}
	for _, name := range names {
		c, err := w.u.child(n, name)
		if err != nil {
			return err
		}
		if err := w.walk(path.Join(p, name), c, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (w *unionWalk) add(p string, n *node) error {
	if !n.inode.IsDir() && n.inode.Nlink > 1 {
		key := unionKey{n.layer, n.inode.Ref}
		if first, ok := w.first[key]; ok {
			return w.sink.Add(tree.Entry{Path: p, HardLink: first}, nil)
		}
		w.first[key] = p
	}
	e, err := n.layer.Entry(p, n.inode)
	if err != nil {
		return err
	}
	maps.DeleteFunc(e.Xattrs, func(name string, _ []byte) bool {
		return strings.HasPrefix(name, "trusted.overlay.") || strings.HasPrefix(name, "user.overlay.")
	})
	var body io.Reader
	if e.IsRegular() {
		body = io.NewSectionReader(contentAt{n}, 0, e.Size)
	}
	return w.sink.Add(e, body)
}
