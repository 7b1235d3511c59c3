package ext

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"syscall"
	"time"

	"carrel/engine/tree"
)

// FS is the contents as a file system of package io/fs. It implements ReadDirFS, StatFS and ReadLinkFS; open files
// implement io.Seeker and io.ReaderAt; FileInfo.Sys is an *Inode. Symbolic links are followed within the file system.
func (f *Reader) FS() fs.FS { return extFS{f} }

type extFS struct{ f *Reader }

var (
	_ fs.ReadDirFS  = extFS{}
	_ fs.StatFS     = extFS{}
	_ fs.ReadLinkFS = extFS{}
	_ tree.Source   = (*Reader)(nil)
)

func (x extFS) resolve(op, name string, follow bool) (*Inode, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	in, err := x.f.Resolve(name, follow)
	if err != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return in, nil
}

func (x extFS) Stat(name string) (fs.FileInfo, error) {
	in, err := x.resolve("stat", name, true)
	if err != nil {
		return nil, err
	}
	return &fileInfo{path.Base(name), in}, nil
}

// Xattrs are the extended attributes of a file by full name, nil for none; a symbolic link as the last part is not followed.
func (x extFS) Xattrs(name string) (map[string][]byte, error) {
	in, err := x.resolve("xattrs", name, false)
	if err != nil {
		return nil, err
	}
	return x.f.Xattrs(in)
}

func (x extFS) Lstat(name string) (fs.FileInfo, error) {
	in, err := x.resolve("lstat", name, false)
	if err != nil {
		return nil, err
	}
	return &fileInfo{path.Base(name), in}, nil
}

func (x extFS) ReadLink(name string) (string, error) {
	in, err := x.resolve("readlink", name, false)
	if err != nil {
		return "", err
	}
	if !in.IsSymlink() {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	return x.f.Target(in)
}

func (x extFS) ReadDir(name string) ([]fs.DirEntry, error) {
	in, err := x.resolve("readdir", name, true)
	if err != nil {
		return nil, err
	}
	return x.list(name, in)
}

func (x extFS) list(name string, dir *Inode) ([]fs.DirEntry, error) {
	names, err := x.f.ReadDir(dir)
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	list := make([]fs.DirEntry, 0, len(names))
	for _, d := range names {
		in, err := x.f.Inode(d.Number)
		if err != nil {
			return nil, &fs.PathError{Op: "readdir", Path: path.Join(name, d.Name), Err: err}
		}
		list = append(list, fs.FileInfoToDirEntry(&fileInfo{d.Name, in}))
	}
	return list, nil
}

func (x extFS) Open(name string) (fs.File, error) {
	in, err := x.resolve("open", name, true)
	if err != nil {
		return nil, err
	}
	o := &file{x: x, name: name, in: in}
	if in.IsRegular() {
		o.SectionReader = io.NewSectionReader(content{x.f, in}, 0, in.Size)
	}
	return o, nil
}

// file is an open file or directory.
type file struct {
	*io.SectionReader // nil when not a regular file
	x                 extFS
	name              string
	in                *Inode
	rest              []fs.DirEntry
	listed            bool
}

func (o *file) Stat() (fs.FileInfo, error) { return &fileInfo{path.Base(o.name), o.in}, nil }
func (o *file) Close() error               { return nil }

func (o *file) Read(p []byte) (int, error) {
	switch {
	case o.SectionReader != nil:
		return o.SectionReader.Read(p)
	case o.in.IsDir():
		return 0, &fs.PathError{Op: "read", Path: o.name, Err: syscall.EISDIR}
	}
	return 0, &fs.PathError{Op: "read", Path: o.name, Err: errors.New("not a regular file")}
}

// ReadDir implements fs.ReadDirFile.
func (o *file) ReadDir(n int) ([]fs.DirEntry, error) {
	if !o.listed {
		list, err := o.x.list(o.name, o.in)
		if err != nil {
			return nil, err
		}
		o.rest, o.listed = list, true
	}
	if n <= 0 {
		list := o.rest
		o.rest = nil
		return list, nil
	}
	if len(o.rest) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(o.rest))
	list := o.rest[:n]
	o.rest = o.rest[n:]
	return list, nil
}

type fileInfo struct {
	name string
	in   *Inode
}

func (i *fileInfo) Name() string       { return i.name }
func (i *fileInfo) Size() int64        { return i.in.Size }
func (i *fileInfo) Mode() fs.FileMode  { return (&tree.Entry{Mode: i.in.Mode}).FileMode() }
func (i *fileInfo) ModTime() time.Time { return i.in.ModTime }
func (i *fileInfo) IsDir() bool        { return i.in.IsDir() }
func (i *fileInfo) Sys() any           { return i.in }

// WriteTo gives the whole tree to a sink in the order of a walk, each directory sorted by name. The folder lost+found
// of the file system's own repairs is left out when it is empty.
func (f *Reader) WriteTo(ctx context.Context, sink tree.Sink) error {
	root, err := f.Inode(rootInode)
	if err != nil {
		return err
	}
	w := &walk{f: f, ctx: ctx, sink: sink, first: map[uint32]string{}, names: map[uint32]uint32{}, dirs: map[uint32]bool{}}
	return w.add(".", root)
}

type walk struct {
	f     *Reader
	ctx   context.Context
	sink  tree.Sink
	first map[uint32]string // first names of inodes with several
	names map[uint32]uint32 // how many further ones were met
	dirs  map[uint32]bool   // those met
}

func (w *walk) add(p string, in *Inode) error {
	if w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	if in.IsDir() {
		return w.dir(p, in)
	}
	if in.Nlink > 1 {
		if first, ok := w.first[in.Number]; ok {
			if w.names[in.Number]++; w.names[in.Number] >= in.Nlink {
				return &fs.PathError{Op: "read", Path: p, Err: corrupt("inode %d has more names than it says", in.Number)}
			}
			return w.sink.Add(tree.Entry{Path: p, HardLink: first}, nil)
		}
		w.first[in.Number] = p
	}
	e, err := w.f.Entry(p, in)
	if err != nil {
		return &fs.PathError{Op: "read", Path: p, Err: err}
	}
	if e.IsRegular() {
		return w.sink.Add(e, io.NewSectionReader(content{w.f, in}, 0, in.Size))
	}
	return w.sink.Add(e, nil)
}

func (w *walk) dir(p string, in *Inode) error {
	if w.dirs[in.Number] { // a directory has one name only; this also ends loops
		return &fs.PathError{Op: "read", Path: p, Err: corrupt("directory %d has two names", in.Number)}
	}
	w.dirs[in.Number] = true
	list, err := w.f.ReadDir(in)
	if err != nil {
		return &fs.PathError{Op: "read", Path: p, Err: err}
	}
	if p == "lost+found" && len(list) == 0 {
		return nil
	}
	e, err := w.f.Entry(p, in)
	if err != nil {
		return &fs.PathError{Op: "read", Path: p, Err: err}
	}
	if err := w.sink.Add(e, nil); err != nil {
		return err
	}
	for _, d := range list {
		child, err := w.f.Inode(d.Number)
		if err == nil {
			err = w.add(path.Join(p, d.Name), child)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
