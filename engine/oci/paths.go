package oci

import (
	"archive/tar"
	"fmt"
	"hash/maphash"
	"path"
	"strings"
)

// pathKey stands for a path. Two independent 64-bit hashes with secret seeds make an accidental or provoked equality
// of two paths out of the question, in 16 bytes whatever the path's length.
type pathKey [2]uint64

type pathHasher struct{ a, b maphash.Seed }

func newPathHasher() pathHasher { return pathHasher{maphash.MakeSeed(), maphash.MakeSeed()} }

func (h pathHasher) of(p string) pathKey {
	return pathKey{maphash.String(h.a, p), maphash.String(h.b, p)}
}

// locate finds where an entry of the layer being read goes: its parent folder may be a symbolic link, of this layer or
// of a lower one. hidden tells that an upper layer hides everything in that folder.
func (f *flattener) locate(name entryName) (at string, hidden bool, err error) {
	if name.kind == kindOpaque { // about the folder itself
		at, err = f.resolveAll(name.path, false)
		if err != nil {
			return "", false, err
		}
		return at, f.hiddenAt(path.Dir(at)), nil
	}
	dir, base := path.Split(name.path)
	dir = path.Clean(dir)
	if name.path == "." {
		return ".", false, nil
	}
	if !f.parent.valid || f.parent.raw != dir {
		resolved, err := f.resolveAll(dir, name.kind != kindWhiteout)
		if err != nil {
			return "", false, err
		}
		f.parent.raw, f.parent.resolved, f.parent.valid = dir, resolved, true
		f.parent.hidden = f.hiddenAt(resolved)
	}
	return path.Join(f.parent.resolved, base), f.parent.hidden, nil
}

// hiddenAt tells whether upper layers hide what this layer has in the folder dir.
func (f *flattener) hiddenAt(dir string) bool {
	for ; ; dir = path.Dir(dir) {
		if r, ok := f.seen[f.hash.of(dir)]; ok && int(r.cut) < f.n {
			return true
		}
		if dir == "." {
			return false
		}
	}
}

// maxLinks is how many symbolic links are followed in one path (as MAXSYMLINKS in the kernel, path_resolution(7)).
const maxLinks = 40

// resolveAll follows the symbolic links in p, all of its elements, within the root: links that lead out of it end at
// it, as they do after chroot(2). What is not known to be a link is a directory; imply takes note that it is.
func (f *flattener) resolveAll(p string, imply bool) (string, error) {
	done, todo := ".", p
	for links := 0; todo != "." && todo != ""; {
		element, rest, _ := strings.Cut(todo, "/")
		todo = rest
		switch element {
		case "", ".":
			continue
		case "..":
			done = path.Dir(done)
			continue
		}
		next := path.Join(done, element)
		target, isLink, err := f.linkAt(next, imply)
		if err != nil {
			return "", err
		}
		if !isLink {
			done = next
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("%w: too many symbolic links in its path", ErrCorrupt)
		}
		if strings.HasPrefix(target, "/") {
			done = "."
		}
		todo = strings.TrimLeft(target, "/") + "/" + todo
	}
	return done, nil
}

// linkAt tells what the layer being read sees at a path: a symbolic link of its own or of a lower layer, or a
// directory. A file in this place is an error.
func (f *flattener) linkAt(p string, imply bool) (target string, isLink bool, err error) {
	if r, ok := f.seen[f.hash.of(p)]; ok && int(r.order) == f.n {
		switch r.kind {
		case kindDir:
			return "", false, nil
		case kindSymlink:
			target, isLink = f.links[p]
			return target, isLink, nil
		case kindFile:
			return "", false, fmt.Errorf("%w: %q in its path is not a directory", ErrCorrupt, p)
		}
	}
	// Entries of this layer that upper layers hide are not in seen; their links are.
	if target, ok := f.links[p]; ok {
		return target, true, nil
	}
	key := f.hash.of(p)
	if f.dirs[key] {
		return "", false, nil
	}
	if !f.lowest() {
		if f.below == nil {
			if err := f.scanBelow(); err != nil {
				return "", false, err
			}
		}
		target, isLink = f.below.linkAt(key, f.n)
	}
	if _, known := f.seen[key]; !known && !isLink && imply {
		f.seen[key] = record{kindImplied, uint16(f.n), noCut}
		f.implied = append(f.implied, p)
	}
	return target, isLink, nil
}

// below is what lower layers have in the way of folders and symbolic links. It is needed only when an entry comes
// without its parent folder, which engines do not write but other tools do.
type below struct {
	seen map[pathKey][]belowRecord // by ascending order
}

type belowRecord struct {
	order  int
	kind   kind
	target string
}

// linkAt is the symbolic link that layer n sees at a path when it has nothing there itself.
func (b *below) linkAt(key pathKey, n int) (string, bool) {
	for _, r := range b.seen[key] {
		if r.order > n {
			return r.target, r.kind == kindSymlink
		}
	}
	return "", false
}

// scanBelow reads the names in all layers below the one being read.
func (f *flattener) scanBelow() error {
	b := &below{seen: map[pathKey][]belowRecord{}}
	reading, budget := f.stream, f.budget
	defer func() { f.stream, f.budget = reading, budget }()
	f.budget = newBudget(f.image.opts.Limits, f.image.stored()) // the layers count once only
	for n := f.n + 1; n < len(f.image.Layers); n++ {
		err := f.each(n, func(h *tar.Header, name entryName) error {
			if name.kind != kindDir && name.kind != kindSymlink && name.kind != kindWhiteout {
				return nil
			}
			key := f.hash.of(name.path)
			list := b.seen[key]
			r := belowRecord{order: n, kind: name.kind}
			if name.kind == kindSymlink {
				r.target = h.Linkname
			}
			if k := len(list); k > 0 && list[k-1].order == n {
				if name.kind != kindWhiteout { // the last of a layer counts, a whiteout least
					list[k-1] = r
				}
			} else {
				b.seen[key] = append(list, r)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	f.below = b
	return nil
}
