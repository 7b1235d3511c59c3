package image

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"syscall"

	"carrel/engine/tree"
)

// union shows a system and its overlays as the kernel's overlay file system would (Documentation/filesystems/overlayfs.rst):
// an upper entry hides a lower one, directories are merged, a character device 0:0 is a whiteout, and a directory with the
// attribute overlay.opaque hides what is below it.
type union struct {
	layers []stratum // topmost first
	marks  bool      // WriteTo gives whiteouts and the marks of opaque folders, too
}

var (
	_ fs.ReadDirFS  = (*union)(nil)
	_ fs.ReadFileFS = (*union)(nil)
	_ fs.StatFS     = (*union)(nil)
	_ fs.ReadLinkFS = (*union)(nil)
	_ tree.Source   = (*union)(nil)
)

// newUnion takes the layers lowest first.
func newUnion(stack []stratum) *union {
	u := &union{layers: slices.Clone(stack)}
	slices.Reverse(u.layers)
	return u
}

// node is what is at a path: the entry that is seen, and for a directory all that are merged in it.
type node struct {
	layer stratum
	object
	dirs []dirLayer // topmost first
}

type dirLayer struct {
	layer  stratum
	object object
}

func (u *union) root() (*node, error) {
	n := &node{}
	for _, l := range u.layers {
		o, err := l.root()
		if err != nil {
			return nil, err
		}
		n.dirs = append(n.dirs, dirLayer{l, o})
	}
	n.layer, n.object = n.dirs[0].layer, n.dirs[0].object
	return n, nil
}

func isWhiteout(o object) bool {
	return o.mode&tree.TypeMask == tree.TypeChar && o.major == 0 && o.minor == 0
}

// opaqueNames are the attributes that mark an opaque directory: of root, and of a user namespace (mount option userxattr).
var opaqueNames = []string{"trusted.overlay.opaque", "user.overlay.opaque"}

func isOpaque(l stratum, o object) (bool, error) {
	attrs, err := l.attributes(o)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(opaqueNames, func(name string) bool { return string(attrs[name]) == "y" }), nil
}

// child finds a name in a directory.
func (u *union) child(dir *node, name string) (*node, error) {
	var n *node
	for i, d := range dir.dirs {
		o, ok, err := d.layer.find(d.object, name)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		if isWhiteout(o) && !u.marks || n != nil && !o.isDir() {
			break
		}
		if n == nil {
			n = &node{layer: d.layer, object: o}
		}
		if !o.isDir() {
			break
		}
		n.dirs = append(n.dirs, dirLayer{d.layer, o})
		if i == len(dir.dirs)-1 {
			break // nothing is below that it could hide
		}
		opaque, err := isOpaque(d.layer, o)
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
		list, err := d.layer.list(d.object)
		if err != nil {
			return nil, err
		}
		for _, e := range list {
			if _, known := seen[e.name]; known {
				continue
			}
			shown := true
			if e.device {
				o, ok, err := d.layer.find(d.object, e.name)
				if err != nil {
					return nil, err
				}
				shown = ok && (u.marks || !isWhiteout(o))
			}
			seen[e.name] = shown
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
	root, err := u.root()
	if err == nil {
		root, err = follow(name, last, root, u.child, func(n *node) (string, bool, error) {
			if n.mode&tree.TypeMask != tree.TypeSymlink {
				return "", false, nil
			}
			target, err := n.layer.target(n.object)
			return target, true, err
		})
	}
	if err != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return root, nil
}

func (u *union) info(name string, n *node) (fs.FileInfo, error) {
	e, err := n.layer.entry(name, n.object)
	if err != nil {
		return nil, err
	}
	return &entryInfo{path.Base(name), &e, n.sys, unionKey{n.layer, n.key}, len(n.dirs) <= 1}, nil
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

// Xattrs implements XattrFS.
func (u *union) Xattrs(name string) (map[string][]byte, error) {
	n, err := u.resolve("xattrs", name, false)
	if err != nil {
		return nil, err
	}
	return n.layer.attributes(n.object)
}

func (u *union) ReadLink(name string) (string, error) {
	n, err := u.resolve("readlink", name, false)
	if err != nil {
		return "", err
	}
	if n.mode&tree.TypeMask != tree.TypeSymlink {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	return n.layer.target(n.object)
}

func (u *union) ReadDir(name string) ([]fs.DirEntry, error) {
	n, err := u.resolve("readdir", name, true)
	if err != nil {
		return nil, err
	}
	return u.list(name, n)
}

func (u *union) list(name string, n *node) ([]fs.DirEntry, error) {
	if !n.isDir() {
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

func (u *union) ReadFile(name string) ([]byte, error) { return readAll(u, name) }

func (u *union) Open(name string) (fs.File, error) {
	n, err := u.resolve("open", name, true)
	if err != nil {
		return nil, err
	}
	info, err := u.info(name, n)
	if err != nil {
		return nil, err
	}
	f := &openFile{name: name, info: info}
	switch n.mode & tree.TypeMask {
	case tree.TypeDir:
		f.list = func() ([]fs.DirEntry, error) { return u.list(name, n) }
	case tree.TypeRegular:
		c, err := n.layer.open(n.object, info.Size())
		if err != nil {
			return nil, err
		}
		f.Reader, f.close = c, c.Close
	}
	return f, nil
}

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
	first map[unionKey]string // first names of files with several
}

type unionKey struct {
	layer stratum
	key   any
}

// maxDepth bounds a hostile image whose directories contain themselves; paths are at most 4096 bytes (PATH_MAX).
const maxDepth = 2048

// errTwice is found in images that were made to do harm: folders that have others twice make a small file an endless tree.
var errTwice = errors.New("the image is damaged: a folder is at two places")

func (w *unionWalk) walk(p string, n *node, depth int) error {
	if w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	if depth > maxDepth {
		return &fs.PathError{Op: "read", Path: p, Err: errors.New("directories are nested too deeply")}
	}
	if err := w.add(p, n); err != nil || !n.isDir() {
		return err
	}
	if key := (unionKey{n.layer, n.key}); n.key != nil {
		if _, ok := w.first[key]; ok {
			return &fs.PathError{Op: "read", Path: p, Err: errTwice}
		}
		w.first[key] = p
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
	if !n.isDir() && n.links > 1 {
		key := unionKey{n.layer, n.key}
		if first, ok := w.first[key]; ok {
			return w.sink.Add(tree.Entry{Path: p, HardLink: first}, nil)
		}
		w.first[key] = p
	}
	e, err := n.layer.entry(p, n.object)
	if err != nil {
		return err
	}
	opaque := slices.ContainsFunc(opaqueNames, func(name string) bool { return string(e.Xattrs[name]) == "y" })
	maps.DeleteFunc(e.Xattrs, func(name string, _ []byte) bool {
		return strings.HasPrefix(name, "trusted.overlay.") || strings.HasPrefix(name, "user.overlay.")
	})
	if w.u.marks && opaque && e.IsDir() {
		for _, name := range opaqueNames {
			e.Xattrs[name] = []byte("y")
		}
	}
	if !e.IsRegular() {
		return w.sink.Add(e, nil)
	}
	body, err := n.layer.open(n.object, e.Size)
	if err != nil {
		return err
	}
	defer body.Close()
	return w.sink.Add(e, body)
}
