package sandbox

import (
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// imageView looks at an image that is not mounted yet.
type imageView struct{ files fs.FS }

// maxLinks is how many links a path may lead through, as in the kernel (path_resolution(7)).
const maxLinks = 40

// inFS is a path in the form of package io/fs.
func inFS(name string) string {
	if name = strings.TrimPrefix(path.Clean("/"+name), "/"); name == "" {
		return "."
	}
	return name
}

// unixMode is the st_mode (inode(7)) of the kinds that matter here; 0 for the type of others.
func unixMode(m fs.FileMode) uint32 {
	mode := uint32(m.Perm())
	for _, b := range []struct {
		is  fs.FileMode
		bit uint32
	}{{fs.ModeSetuid, unix.S_ISUID}, {fs.ModeSetgid, unix.S_ISGID}, {fs.ModeSticky, unix.S_ISVTX}, {fs.ModeDir, unix.S_IFDIR}, {fs.ModeSymlink, unix.S_IFLNK}} {
		if m&b.is != 0 {
			mode |= b.bit
		}
	}
	if m.IsRegular() {
		mode |= unix.S_IFREG
	}
	return mode
}

func (v imageView) close() {}

// Mode implements derive.Files.
func (v imageView) Mode(name string) (uint32, error) {
	st, err := fs.Stat(v.files, inFS(name))
	if err != nil {
		return 0, err
	}
	return unixMode(st.Mode()), nil
}

// Names implements derive.Files.
func (v imageView) Names(dir string) ([]string, error) {
	list, err := fs.ReadDir(v.files, inFS(dir))
	names := make([]string, len(list))
	for i, e := range list {
		names[i] = e.Name()
	}
	return names, err
}

// Open implements derive.Files.
func (v imageView) Open(name string) (io.ReadCloser, error) { return v.files.Open(inFS(name)) }

func (v imageView) read(name string) ([]byte, error) {
	st, err := fs.Stat(v.files, inFS(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > maxOwn {
		return nil, errUnusual
	}
	return fs.ReadFile(v.files, inFS(name))
}

func (v imageView) place(name string) (place, error) {
	todo, err := elements(name)
	if err != nil {
		return place{}, err
	}
	var dirs []dir // that lead to where it stands, without links
	at := func() string {
		if len(dirs) == 0 {
			return "/"
		}
		return dirs[len(dirs)-1].path
	}
	ofLink := 0 // how many of the next names are from a link
	for links := 0; len(todo) > 0; {
		next := todo[0]
		if next == ".." { // of a link
			dirs = dirs[:max(len(dirs)-1, 0)]
			todo, ofLink = todo[1:], ofLink-1
			continue
		}
		full := path.Join(at(), next)
		st, err := fs.Lstat(v.files, inFS(full))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if ofLink > 0 {
				return place{}, errUnusual // a link that leads nowhere
			}
			return place{path: path.Join(at(), path.Join(todo...)), dirs: dirs, miss: len(todo), isDir: true}, nil
		case err != nil:
			return place{}, err
		case st.Mode()&fs.ModeSymlink != 0:
			target, err := fs.ReadLink(v.files, inFS(full))
			if err != nil {
				return place{}, err
			}
			if links++; links > maxLinks {
				return place{}, unix.ELOOP
			}
			if strings.HasPrefix(target, "/") {
				dirs = nil
			}
			names := strings.FieldsFunc(target, func(r rune) bool { return r == '/' })
			names = slices.DeleteFunc(names, func(n string) bool { return n == "." })
			todo, ofLink = append(names, todo[1:]...), max(ofLink-1, 0)+len(names)
		case st.IsDir():
			dirs = append(dirs[:len(dirs):len(dirs)], dir{path: full, mode: unixMode(st.Mode()) & 0o7777})
			todo, ofLink = todo[1:], max(ofLink-1, 0)
		case len(todo) > 1:
			return place{}, unix.ENOTDIR
		default:
			return place{path: full}, nil
		}
	}
	return place{path: at(), isDir: true}, nil
}
