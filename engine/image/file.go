package image

import (
	"io"
	"io/fs"
	"strings"
	"syscall"
	"time"

	"carrel/engine/tree"
)

// What the file systems of this package have in common: how a path is followed, what an open file and a description are.

// follow goes along a path, in the form of package io/fs, from root down. Symbolic links are followed within the tree:
// absolute ones, and ".." above the root, begin at its root. last says whether a link that is the last part is followed too.
func follow[N any](name string, last bool, root N, child func(dir N, name string) (N, error), link func(N) (target string, isLink bool, err error)) (N, error) {
	var none N
	if !fs.ValidPath(name) {
		return none, fs.ErrInvalid
	}
	stack, todo := []N{root}, name
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
		n, err := child(stack[len(stack)-1], element)
		if err != nil {
			return none, err
		}
		if rest == "" && !last {
			stack = append(stack, n)
			continue
		}
		target, isLink, err := link(n)
		if err != nil {
			return none, err
		}
		if !isLink {
			stack = append(stack, n)
			continue
		}
		if links++; links > maxLinks {
			return none, syscall.ELOOP
		}
		if strings.HasPrefix(target, "/") {
			stack = stack[:1]
		}
		todo = strings.TrimLeft(target, "/") + "/" + todo
	}
	return stack[len(stack)-1], nil
}

// entryInfo describes an entry, with what its file system knows beyond that as Sys.
type entryInfo struct {
	name  string
	entry *tree.Entry
	sys   any

	id    unionKey // of an entry of layers: which one it is; the zero value elsewhere
	whole bool     // all below it is of that layer, too
}

// SameFile tells that two entries are one and the same in one and the same layer of an image, with all that is below them. False
// means that they have to be compared.
func SameFile(a, b fs.FileInfo) bool {
	x, ok := a.(*entryInfo)
	y, too := b.(*entryInfo)
	return ok && too && x.id.layer != nil && x.id.key != nil && x.id == y.id && x.whole && y.whole
}

func (i *entryInfo) Name() string       { return i.name }
func (i *entryInfo) Size() int64        { return i.entry.Size }
func (i *entryInfo) Mode() fs.FileMode  { return i.entry.FileMode() }
func (i *entryInfo) ModTime() time.Time { return i.entry.ModTime }
func (i *entryInfo) IsDir() bool        { return i.entry.IsDir() }
func (i *entryInfo) Sys() any           { return i.sys }

// openFile is an open file or directory.
type openFile struct {
	io.Reader // of a regular file, else nil
	name      string
	info      fs.FileInfo
	list      func() ([]fs.DirEntry, error) // of a directory
	close     func() error                  // nil where there is nothing to close
	rest      []fs.DirEntry
	listed    bool
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }

func (f *openFile) Read(p []byte) (int, error) {
	if f.Reader == nil {
		return 0, &fs.PathError{Op: "read", Path: f.name, Err: syscall.EISDIR}
	}
	return f.Reader.Read(p)
}

func (f *openFile) Close() error {
	if f.close == nil {
		return nil
	}
	return f.close()
}

// ReadDir implements fs.ReadDirFile.
func (f *openFile) ReadDir(n int) ([]fs.DirEntry, error) {
	if f.list == nil {
		return nil, &fs.PathError{Op: "readdir", Path: f.name, Err: syscall.ENOTDIR}
	}
	if !f.listed {
		list, err := f.list()
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

// readAll is the ReadFile of file systems that have none of their own.
func readAll(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}
