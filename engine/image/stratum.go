package image

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"
	"syscall"

	"carrel/engine/ext"
	"carrel/engine/squashfs"
	"carrel/engine/tree"

	"golang.org/x/sys/unix"
)

// stratum is one file system of a union, read without following links.
type stratum interface {
	root() (object, error)
	// find looks for a name in a directory.
	find(dir object, name string) (object, bool, error)
	list(dir object) ([]listed, error)
	// entry describes an object; attributes are its extended attributes alone.
	entry(path string, o object) (tree.Entry, error)
	attributes(o object) (map[string][]byte, error)
	target(o object) (string, error)
	// open reads a regular file's bytes; the caller closes it.
	open(o object, size int64) (content, error)
}

// content are the bytes of a regular file.
type content interface {
	io.Reader
	io.Closer
}

// object is a file of a stratum.
type object struct {
	mode         uint32 // st_mode
	links        uint32
	major, minor uint32
	key          any // equal for names of the same file of one stratum
	sys          any // what a FileInfo has as Sys
	at           string
}

func (o *object) isDir() bool { return o.mode&tree.TypeMask == tree.TypeDir }

// listed is a name in a directory; device tells that it may be a whiteout.
type listed struct {
	name   string
	device bool
}

// section is a part of a file system that needs no closing.
type section struct{ *io.SectionReader }

func (section) Close() error { return nil }

// squashStratum is a SquashFS.
type squashStratum struct{ *squashfs.Reader }

func squashObject(in *squashfs.Inode) object {
	return object{mode: in.Mode, links: in.Nlink, major: in.Major, minor: in.Minor, key: in.Ref, sys: in}
}

func (s squashStratum) root() (object, error) {
	in, err := s.Inode(s.Root())
	if err != nil {
		return object{}, err
	}
	return squashObject(in), nil
}

func (s squashStratum) find(dir object, name string) (object, bool, error) {
	found, ok, err := s.Exists(dir.sys.(*squashfs.Inode), name)
	if err != nil || !ok {
		return object{}, false, err
	}
	in, err := s.Inode(found.Ref)
	if err != nil {
		return object{}, false, err
	}
	return squashObject(in), true, nil
}

func (s squashStratum) list(dir object) ([]listed, error) {
	list, err := s.ReadDir(dir.sys.(*squashfs.Inode))
	out := make([]listed, len(list))
	for i, d := range list {
		out[i] = listed{d.Name, d.Type == tree.TypeChar}
	}
	return out, err
}

func (s squashStratum) entry(p string, o object) (tree.Entry, error) {
	return s.Entry(p, o.sys.(*squashfs.Inode))
}

func (s squashStratum) attributes(o object) (map[string][]byte, error) {
	in := o.sys.(*squashfs.Inode)
	if !in.HasXattrs() {
		return nil, nil
	}
	return s.Xattrs(in)
}

func (s squashStratum) target(o object) (string, error) { return s.Target(o.sys.(*squashfs.Inode)) }

type squashContent struct {
	r  *squashfs.Reader
	in *squashfs.Inode
}

func (c squashContent) ReadAt(b []byte, off int64) (int, error) { return c.r.ReadAt(c.in, b, off) }

func (s squashStratum) open(o object, size int64) (content, error) {
	return section{io.NewSectionReader(squashContent{s.Reader, o.sys.(*squashfs.Inode)}, 0, size)}, nil
}

// extStratum is the folder upper of an ext file system, in which Singularity and Apptainer keep changes
// (internal/pkg/util/fs/overlay of the latter), or the whole of one.
type extStratum struct {
	*ext.Reader
	top *ext.Inode

	mu    sync.Mutex // of what follows, the directory that was listed last
	dir   *ext.Inode
	names map[string]uint32 // numbers of inodes
}

// upper is the folder in which overlays keep what changed.
const upper = "upper"

// newExtStratum makes one of a folder; the error wraps fs.ErrNotExist where there is none.
func newExtStratum(r *ext.Reader, dir string) (stratum, error) {
	in, err := r.Resolve(dir, false)
	if err == nil && !in.IsDir() {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	return &extStratum{Reader: r, top: in}, nil
}

func extObject(in *ext.Inode) object {
	return object{mode: in.Mode, links: in.Nlink, major: in.Major, minor: in.Minor, key: in.Number, sys: in}
}

func (s *extStratum) root() (object, error) { return extObject(s.top), nil }

func (s *extStratum) find(dir object, name string) (object, bool, error) {
	number, err := s.number(dir.sys.(*ext.Inode), name)
	if err != nil || number == 0 {
		return object{}, false, err
	}
	in, err := s.Inode(number)
	if err != nil {
		return object{}, false, err
	}
	return extObject(in), true, nil
}

// number is that of a name's inode, 0 for none. Names are looked up one after the other in one directory.
func (s *extStratum) number(dir *ext.Inode, name string) (uint32, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dir == nil || s.dir.Number != dir.Number {
		list, err := s.ReadDir(dir)
		if err != nil {
			return 0, err
		}
		s.dir, s.names = dir, make(map[string]uint32, len(list))
		for _, d := range list {
			s.names[d.Name] = d.Number
		}
	}
	return s.names[name], nil
}

func (s *extStratum) list(dir object) ([]listed, error) {
	list, err := s.ReadDir(dir.sys.(*ext.Inode))
	if err != nil {
		return nil, err
	}
	out := make([]listed, len(list))
	for i, d := range list {
		in, err := s.Inode(d.Number)
		if err != nil {
			return nil, err
		}
		out[i] = listed{d.Name, in.Mode&tree.TypeMask == tree.TypeChar}
	}
	return out, nil
}

func (s *extStratum) entry(p string, o object) (tree.Entry, error) {
	return s.Entry(p, o.sys.(*ext.Inode))
}

func (s *extStratum) attributes(o object) (map[string][]byte, error) {
	return s.Xattrs(o.sys.(*ext.Inode))
}

func (s *extStratum) target(o object) (string, error) { return s.Target(o.sys.(*ext.Inode)) }

type extContent struct {
	r  *ext.Reader
	in *ext.Inode
}

func (c extContent) ReadAt(b []byte, off int64) (int, error) { return c.r.ReadAt(c.in, b, off) }

func (s *extStratum) open(o object, size int64) (content, error) {
	return section{io.NewSectionReader(extContent{s.Reader, o.sys.(*ext.Inode)}, 0, size)}, nil
}

// folderStratum is a folder of this computer: a sandbox, or the folder upper of an overlay.
type folderStratum struct{ dir *os.Root }

func folderObject(p string, info fs.FileInfo) object {
	o := object{mode: rawMode(info.Mode()), links: 1, sys: info.Sys(), at: p}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		type key struct{ dev, ino uint64 }
		o.links, o.key = uint32(st.Nlink), key{uint64(st.Dev), st.Ino} //nolint:unconvert // their types differ by processor
		o.major, o.minor = unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev))
	}
	return o
}

func (s folderStratum) root() (object, error) {
	info, err := s.dir.Lstat(".")
	if err != nil {
		return object{}, err
	}
	return folderObject(".", info), nil
}

func (s folderStratum) find(dir object, name string) (object, bool, error) {
	p := path.Join(dir.at, name)
	info, err := s.dir.Lstat(p)
	if errors.Is(err, fs.ErrNotExist) {
		return object{}, false, nil
	}
	if err != nil {
		return object{}, false, err
	}
	return folderObject(p, info), true, nil
}

func (s folderStratum) list(dir object) ([]listed, error) {
	list, err := fs.ReadDir(s.dir.FS(), dir.at)
	out := make([]listed, len(list))
	for i, d := range list {
		out[i] = listed{d.Name(), d.Type()&fs.ModeCharDevice != 0}
	}
	return out, err
}

func (s folderStratum) entry(p string, o object) (tree.Entry, error) {
	info, err := s.dir.Lstat(o.at)
	if err != nil {
		return tree.Entry{}, err
	}
	a := AttributesOf(info)
	e := tree.Entry{Path: p, Mode: rawMode(info.Mode()), UID: a.UID, GID: a.GID, Major: a.Major, Minor: a.Minor, ModTime: info.ModTime()}
	switch e.Type() {
	case tree.TypeRegular:
		e.Size = info.Size()
	case tree.TypeSymlink:
		e.Link, err = s.dir.Readlink(o.at)
	case tree.TypeDir:
		e.Xattrs, err = s.attributes(o)
	}
	return e, err
}

// attributes are those by which overlays mark folders; others are of no use to who looks into a folder.
func (s folderStratum) attributes(o object) (map[string][]byte, error) {
	if !o.isDir() {
		return nil, nil
	}
	f, err := s.dir.Open(o.at)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	out := map[string][]byte{}
	buf := make([]byte, 8)
	for _, name := range opaqueNames {
		if n, err := unix.Fgetxattr(int(f.Fd()), name, buf); err == nil {
			out[name] = append([]byte(nil), buf[:n]...)
		}
	}
	return out, nil
}

func (s folderStratum) target(o object) (string, error) { return s.dir.Readlink(o.at) }

func (s folderStratum) open(o object, _ int64) (content, error) {
	return s.dir.OpenFile(o.at, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
}
