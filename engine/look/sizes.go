package look

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"

	"carrel/engine/image"
)

// Usage is what a file, or a folder with all below it, takes.
type Usage struct {
	Name   string `json:"name"`
	Dir    bool   `json:"dir,omitempty"`
	Size   int64  `json:"size"`             // bytes of contents; a file with several names counts once
	Stored int64  `json:"stored,omitempty"` // about the bytes it takes in the image's file, compressed; 0 where not known
	Files  int64  `json:"files"`            // everything but folders
}

// Sizes is what takes the space below a path.
type Sizes struct {
	Path    string  `json:"path"`
	Total   Usage   `json:"total"`
	Entries []Usage `json:"entries"` // largest first
	// Unread is what the sums are without.
	Unread Unread `json:"unread,omitempty"`
}

// maxDepth bounds folders that contain themselves; paths are at most 4096 bytes (PATH_MAX).
const maxDepth = 2048

var errDepth = errors.New("folders are nested too deeply")

// Measure adds up what is below a path of an image. stored may be nil; see image.Image.Stored. Folders below it that may not be
// read are told, and no error.
func Measure(ctx context.Context, fsys fs.FS, name string, stored func(fs.FileInfo) (int64, bool)) (Sizes, error) {
	name = Clean(name)
	m := &measure{ctx: ctx, fsys: fsys, stored: stored, seen: map[any]bool{}, folders: visited{}}
	out := Sizes{Path: "/" + name, Entries: []Usage{}}
	if name == "." {
		out.Path = "/"
	}
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return out, err
	}
	if !info.IsDir() {
		out.Total, err = m.add(name, info, 0)
		return out, err
	}
	entries, err := fs.ReadDir(fsys, name)
	if err != nil {
		return out, err
	}
	out.Total = Usage{Name: path.Base(out.Path), Dir: true}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			if err = m.unread.pass(path.Join(name, e.Name()), err); err != nil {
				return out, err
			}
			continue
		}
		u, err := m.add(path.Join(name, e.Name()), info, 0)
		if err != nil {
			return out, err
		}
		out.Entries = append(out.Entries, u)
		out.Total.include(u)
	}
	m.unread.sort()
	out.Unread = m.unread
	slices.SortStableFunc(out.Entries, func(a, b Usage) int { return cmp.Compare(b.Size, a.Size) })
	return out, nil
}

func (u *Usage) include(v Usage) {
	u.Size += v.Size
	u.Stored += v.Stored
	u.Files += v.Files
}

type measure struct {
	ctx    context.Context
	fsys   fs.FS
	stored func(fs.FileInfo) (int64, bool)
	seen   map[any]bool
	unread Unread

	folders visited
}

func (m *measure) add(name string, info fs.FileInfo, depth int) (Usage, error) {
	u := Usage{Name: path.Base(name), Dir: info.IsDir()}
	if !u.Dir {
		u.Files = 1
		a := image.AttributesOf(info)
		if !info.Mode().IsRegular() || a.Links > 1 && m.seen[a.File] {
			return u, nil
		}
		if a.Links > 1 {
			m.seen[a.File] = true
		}
		u.Size = info.Size()
		if m.stored != nil {
			u.Stored, _ = m.stored(info)
		}
		return u, nil
	}
	if depth > maxDepth {
		return u, &fs.PathError{Op: "measure", Path: name, Err: errDepth}
	}
	if m.ctx.Err() != nil {
		return u, context.Cause(m.ctx)
	}
	if err := m.folders.enter(name, info); err != nil {
		return u, err
	}
	entries, err := fs.ReadDir(m.fsys, name)
	if err != nil {
		return u, m.unread.pass(name, err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			if err = m.unread.pass(path.Join(name, e.Name()), err); err != nil {
				return u, err
			}
			continue
		}
		c, err := m.add(path.Join(name, e.Name()), info, depth+1)
		if err != nil {
			return u, err
		}
		u.include(c)
	}
	return u, nil
}
