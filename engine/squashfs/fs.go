package squashfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"carrel/engine/tree"
)

// maxLinks is how many symbolic links one look-up follows, as in the kernel (MAXSYMLINKS).
const maxLinks = 40

var errLoop = errors.New("too many levels of symbolic links")

// FS is the image as a file system of package io/fs. It implements ReadDirFS, ReadFileFS, StatFS and ReadLinkFS; open files
// implement io.Seeker and io.ReaderAt; FileInfo.Sys is an *Inode. Symbolic links are followed inside the image: absolute
// ones, and ".." above the root, begin at the image's root.
func (r *Reader) FS() fs.FS { return &imageFS{r} }

type imageFS struct{ r *Reader }

var (
	_ fs.ReadDirFS  = (*imageFS)(nil)
	_ fs.ReadFileFS = (*imageFS)(nil)
	_ fs.StatFS     = (*imageFS)(nil)
	_ fs.ReadLinkFS = (*imageFS)(nil)
)

// Resolve finds the inode at a path below the root, in the form of package io/fs; follow says whether a symbolic link as the last
// part is followed. The error wraps fs.ErrNotExist when there is none.
func (r *Reader) Resolve(name string, follow bool) (*Inode, error) {
	root, err := r.Inode(r.sb.Root)
	if err != nil {
		return nil, err
	}
	stack := []*Inode{root}
	todo := name
	links := 0
	for todo != "" {
		var part string
		part, todo, _ = strings.Cut(todo, "/")
		switch part {
		case "", ".":
			continue
		case "..":
			if len(stack) > 1 {
				stack = stack[:len(stack)-1]
			}
			continue
		}
		dir := stack[len(stack)-1]
		if !dir.IsDir() {
			return nil, fs.ErrNotExist
		}
		d, err := r.Find(dir, part)
		if err != nil {
			return nil, err
		}
		in, err := r.Inode(d.Ref)
		if err != nil {
			return nil, err
		}
		if in.IsSymlink() && (todo != "" || follow) {
			if links++; links > maxLinks {
				return nil, errLoop
			}
			target, err := r.Target(in)
			if err != nil {
				return nil, err
			}
			if strings.HasPrefix(target, "/") {
				stack = stack[:1]
			}
			todo = target + "/" + todo
			if len(todo) > maxLinks*4096 {
				return nil, errLoop
			}
			continue
		}
		stack = append(stack, in)
	}
	return stack[len(stack)-1], nil
}

func (f *imageFS) resolve(op, name string, follow bool) (*Inode, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	in, err := f.r.Resolve(name, follow)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fs.ErrNotExist
		}
		return nil, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return in, nil
}

func (f *imageFS) Open(name string) (fs.File, error) {
	in, err := f.resolve("open", name, true)
	if err != nil {
		return nil, err
	}
	return &file{r: f.r, in: in, name: name}, nil
}

func (f *imageFS) Stat(name string) (fs.FileInfo, error) {
	in, err := f.resolve("stat", name, true)
	if err != nil {
		return nil, err
	}
	return &fileInfo{path.Base(name), in}, nil
}

// Xattrs are the extended attributes of a file by full name, nil for none; a symbolic link as the last part is not followed.
func (f *imageFS) Xattrs(name string) (map[string][]byte, error) {
	in, err := f.resolve("xattrs", name, false)
	if err != nil {
		return nil, err
	}
	return f.r.Xattrs(in)
}

func (f *imageFS) Lstat(name string) (fs.FileInfo, error) {
	in, err := f.resolve("lstat", name, false)
	if err != nil {
		return nil, err
	}
	return &fileInfo{path.Base(name), in}, nil
}

func (f *imageFS) ReadLink(name string) (string, error) {
	in, err := f.resolve("readlink", name, false)
	if err != nil {
		return "", err
	}
	if !in.IsSymlink() {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	target, err := f.r.Target(in)
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: err}
	}
	return target, nil
}

func (f *imageFS) ReadDir(name string) ([]fs.DirEntry, error) {
	in, err := f.resolve("readdir", name, true)
	if err != nil {
		return nil, err
	}
	list, err := f.r.ReadDir(in)
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	return f.r.dirEntries(list), nil
}

func (f *imageFS) ReadFile(name string) ([]byte, error) {
	in, err := f.resolve("open", name, true)
	if err != nil {
		return nil, err
	}
	if in.IsDir() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("is a directory")}
	}
	// Not make(in.Size): that is what the image says, not what it has.
	b, err := io.ReadAll(&file{r: f.r, in: in, name: name})
	if err != nil {
		return nil, err
	}
	return b, nil
}

func (r *Reader) dirEntries(list []Dirent) []fs.DirEntry {
	entries := make([]fs.DirEntry, len(list))
	for i := range list {
		entries[i] = &dirEntry{r, list[i]}
	}
	return entries
}

type dirEntry struct {
	r *Reader
	d Dirent
}

func (e *dirEntry) Name() string      { return e.d.Name }
func (e *dirEntry) IsDir() bool       { return e.d.Type == tree.TypeDir }
func (e *dirEntry) Type() fs.FileMode { return (&tree.Entry{Mode: e.d.Type}).FileMode() }
func (e *dirEntry) String() string    { return fs.FormatDirEntry(e) }
func (e *dirEntry) Info() (fs.FileInfo, error) {
	in, err := e.r.Inode(e.d.Ref)
	if err != nil {
		return nil, &fs.PathError{Op: "lstat", Path: e.d.Name, Err: err}
	}
	return &fileInfo{e.d.Name, in}, nil
}

type fileInfo struct {
	name string
	in   *Inode
}

func (i *fileInfo) Name() string       { return i.name }
func (i *fileInfo) Size() int64        { return i.in.Size }
func (i *fileInfo) Mode() fs.FileMode  { return (&tree.Entry{Mode: i.in.Mode}).FileMode() }
func (i *fileInfo) ModTime() time.Time { return i.in.Time() }
func (i *fileInfo) IsDir() bool        { return i.in.IsDir() }
func (i *fileInfo) Sys() any           { return i.in }
func (i *fileInfo) String() string     { return fs.FormatFileInfo(i) }

// file is an open file or directory.
type file struct {
	r       *Reader
	in      *Inode
	name    string
	pos     int64
	entries []fs.DirEntry // of a directory, still to be given
	listed  bool
}

func (f *file) Stat() (fs.FileInfo, error) { return &fileInfo{path.Base(f.name), f.in}, nil }
func (f *file) Close() error               { return nil }

func (f *file) readable() error {
	if f.in.IsRegular() {
		return nil
	}
	what := "not a regular file"
	if f.in.IsDir() {
		what = "is a directory"
	}
	return &fs.PathError{Op: "read", Path: f.name, Err: errors.New(what)}
}

func (f *file) Read(p []byte) (int, error) {
	n, err := f.ReadAt(p, f.pos)
	f.pos += int64(n)
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	if err := f.readable(); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, &fs.PathError{Op: "read", Path: f.name, Err: fs.ErrInvalid}
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := f.r.ReadAt(f.in, p, off)
	if err != nil && err != io.EOF {
		err = &fs.PathError{Op: "read", Path: f.name, Err: err}
	}
	return n, err
}

func (f *file) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += f.pos
	case io.SeekEnd:
		offset += f.in.Size
	case io.SeekStart:
	default:
		return 0, &fs.PathError{Op: "seek", Path: f.name, Err: fs.ErrInvalid}
	}
	if offset < 0 {
		return 0, &fs.PathError{Op: "seek", Path: f.name, Err: fs.ErrInvalid}
	}
	f.pos = offset
	return offset, nil
}

func (f *file) ReadDir(n int) ([]fs.DirEntry, error) {
	if !f.in.IsDir() {
		return nil, &fs.PathError{Op: "readdir", Path: f.name, Err: fmt.Errorf("not a directory")}
	}
	if !f.listed {
		list, err := f.r.ReadDir(f.in)
		if err != nil {
			return nil, &fs.PathError{Op: "readdir", Path: f.name, Err: err}
		}
		f.entries, f.listed = f.r.dirEntries(list), true
	}
	if n <= 0 {
		all := f.entries
		f.entries = nil
		if all == nil {
			all = []fs.DirEntry{}
		}
		return all, nil
	}
	if len(f.entries) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(f.entries))
	some := f.entries[:n]
	f.entries = f.entries[n:]
	return some, nil
}
