package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"carrel/engine/tree"
)

// Subtree is what lies at and below a path of the image, as a source whose paths are relative to it: a file or link is the
// only entry, ".". Symbolic links on the way to the path are followed, as is a link that is the path itself when follow is
// set. Further names of a file stay links among each other. Extended attributes are left out. ctx is also that of reading
// the source.
func (m *Image) Subtree(ctx context.Context, name string, follow bool) (tree.Source, fs.FileInfo, error) {
	contents, err := m.Contents(ctx, IndexOptions{})
	if err != nil {
		return nil, nil, err
	}
	if follow {
		if name, err = realPath(contents, name); err != nil {
			return nil, nil, err
		}
	}
	info, err := fs.Lstat(contents, name)
	if err != nil {
		return nil, nil, err
	}
	if x, ok := contents.(*Index); ok {
		p, err := x.resolve("stat", name, false)
		return &indexSubtree{x, p.at}, info, err
	}
	return &subtree{contents, name}, info, nil
}

// realPath follows the links of a path, the last one too.
func realPath(fsys fs.FS, name string) (string, error) {
	for range maxLinks {
		info, err := fs.Lstat(fsys, name)
		if err != nil {
			return "", err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			return name, nil
		}
		target, err := fs.ReadLink(fsys, name)
		if err != nil {
			return "", err
		}
		if !strings.HasPrefix(target, "/") {
			target = "/" + path.Dir(name) + "/" + target
		}
		if name = strings.TrimPrefix(path.Clean(target), "/"); name == "" {
			name = "."
		}
	}
	return "", &fs.PathError{Op: "open", Path: name, Err: errors.New("too many levels of symbolic links")}
}

// subtree is a part of a file system.
type subtree struct {
	fsys fs.FS
	name string
}

func (s *subtree) WriteTo(ctx context.Context, sink tree.Sink) error {
	info, err := fs.Lstat(s.fsys, s.name)
	if err != nil {
		return err
	}
	w := &subtreeWalk{ctx, s.fsys, sink, map[any]string{}, map[any]bool{}}
	return w.add(s.name, ".", info, 0)
}

type subtreeWalk struct {
	ctx   context.Context
	fsys  fs.FS
	sink  tree.Sink
	first map[any]string
	// folders are those that were met: a sound image has none at two places.
	folders map[any]bool
}

func (w *subtreeWalk) add(name, at string, info fs.FileInfo, depth int) error {
	if w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	if depth > maxDepth {
		return &fs.PathError{Op: "read", Path: name, Err: errors.New("directories are nested too deeply")}
	}
	a := AttributesOf(info)
	if a.Links > 1 && a.File != nil && !info.IsDir() {
		if first, ok := w.first[a.File]; ok {
			return w.sink.Add(tree.Entry{Path: at, HardLink: first}, nil)
		}
		w.first[a.File] = at
	}
	e := tree.Entry{Path: at, Mode: rawMode(info.Mode()), UID: a.UID, GID: a.GID, Major: a.Major, Minor: a.Minor, ModTime: info.ModTime()}
	switch {
	case info.IsDir():
		if key := FolderKey(info); key != nil {
			if w.folders[key] {
				return &fs.PathError{Op: "read", Path: name, Err: errTwice}
			}
			w.folders[key] = true
		}
		if err := w.sink.Add(e, nil); err != nil {
			return err
		}
		return w.list(name, at, depth)
	case info.Mode().IsRegular():
		return w.file(name, e)
	case info.Mode()&fs.ModeSymlink != 0:
		var err error
		if e.Link, err = fs.ReadLink(w.fsys, name); err != nil {
			return err
		}
	}
	return w.sink.Add(e, nil)
}

func (w *subtreeWalk) list(name, at string, depth int) error {
	list, err := fs.ReadDir(w.fsys, name)
	if err != nil {
		return err
	}
	for _, d := range list {
		info, err := d.Info()
		if err != nil {
			return err
		}
		if err := w.add(path.Join(name, d.Name()), path.Join(at, d.Name()), info, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (w *subtreeWalk) file(name string, e tree.Entry) error {
	f, err := w.fsys.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	e.Size = info.Size()
	return w.sink.Add(e, f)
}

// rawMode is the opposite of tree.Entry.FileMode.
func rawMode(m fs.FileMode) uint32 {
	mode := uint32(m.Perm())
	for _, b := range []struct {
		bit fs.FileMode
		raw uint32
	}{
		{fs.ModeDir, tree.TypeDir}, {fs.ModeSymlink, tree.TypeSymlink}, {fs.ModeNamedPipe, tree.TypeFifo}, {fs.ModeSocket, tree.TypeSocket},
		{fs.ModeSetuid, 0o4000}, {fs.ModeSetgid, 0o2000}, {fs.ModeSticky, 0o1000},
	} {
		if m&b.bit != 0 {
			mode |= b.raw
		}
	}
	switch {
	case m&fs.ModeCharDevice != 0:
		mode |= tree.TypeChar
	case m&fs.ModeDevice != 0:
		mode |= tree.TypeBlock
	case m.IsRegular():
		mode |= tree.TypeRegular
	}
	return mode
}

// indexSubtree is a part of what an Index describes, read from its source.
type indexSubtree struct {
	x    *Index
	name string
}

func (s *indexSubtree) WriteTo(ctx context.Context, sink tree.Sink) error {
	// What a file is called in the source, and the names under which it is wanted.
	wanted := map[string][]string{}
	s.names(".", s.x.nodes[s.name], wanted)
	for _, list := range wanted {
		slices.Sort(list)
	}
	// Folders first, then the rest as the source gives it.
	for _, p := range slices.Sorted(maps.Keys(wanted)) {
		if n := s.x.nodes[p]; n != nil && n.entry.IsDir() {
			e := n.entry
			e.Path, e.Xattrs = wanted[p][0], nil
			if err := sink.Add(e, nil); err != nil {
				return err
			}
			delete(wanted, p)
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	err := s.x.source.WriteTo(ctx, &subtreeSink{sink, wanted})
	if errors.Is(err, errFetched) {
		return nil
	}
	if err == nil && len(wanted) > 0 {
		err = fmt.Errorf("%d files were not met again", len(wanted))
	}
	return err
}

func (s *indexSubtree) names(at string, n *indexNode, wanted map[string][]string) {
	wanted[n.entry.Path] = append(wanted[n.entry.Path], at)
	for name, c := range n.children {
		s.names(path.Join(at, name), c, wanted)
	}
}

type subtreeSink struct {
	sink   tree.Sink
	wanted map[string][]string
}

func (s *subtreeSink) Add(e tree.Entry, body io.Reader) error {
	names := s.wanted[e.Path]
	if names == nil || e.HardLink != "" {
		return nil
	}
	delete(s.wanted, e.Path)
	e.Path, e.Xattrs = names[0], nil
	if err := s.sink.Add(e, body); err != nil {
		return err
	}
	for _, more := range names[1:] {
		if err := s.sink.Add(tree.Entry{Path: more, HardLink: names[0]}, nil); err != nil {
			return err
		}
	}
	if len(s.wanted) == 0 {
		return errFetched
	}
	return nil
}
