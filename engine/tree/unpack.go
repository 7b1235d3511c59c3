package tree

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// UnpackOptions say how a tree is written to disk.
type UnpackOptions struct {
	// Owners sets owners; for others than root leave it false: everything then belongs to whoever unpacks.
	Owners bool
	// OwnerAccess adds to the modes what the owner needs to work with the tree: reading and writing, and searching directories.
	OwnerAccess bool
	// SkipXattrs sets no extended attributes.
	SkipXattrs bool
}

// UnpackReport says what of a tree could not be made on disk.
type UnpackReport struct {
	// Devices are the character and block devices that the system did not allow to make.
	Devices []Entry
	// Xattrs counts extended attributes that could not be set, for want of permission or because the file system has none.
	Xattrs int
	// Xattr is one of them as an example, such as "security.ima of usr/bin/sh"; empty when there is none.
	Xattr string
}

// Unpacker is a Sink that writes a tree into a folder. Everything is opened below the open folder, where an absolute symbolic
// link or one with ".." leads to the folder's own root: no entry, however hostile, reaches anything outside.
type Unpacker struct {
	opt    UnpackOptions
	root   int
	where  resolver
	dirs   map[string]dirAttrs // to be set at the end, when nothing is written into them any more
	report UnpackReport
	buf    []byte
	err    error

	parentPath string // cache of the last parent
	parentFd   int
}

type dirAttrs struct {
	mode     uint32
	uid, gid uint32
	modTime  time.Time
	xattrs   map[string][]byte
}

// resolver opens directories below a root descriptor.
type resolver struct {
	root     int
	noOpenat bool // openat2 is not there (Linux before 5.6, or a seccomp filter)
}

var errUnpackClosed = errors.New("unpacker is closed")

// Unpack opens the folder, making it when it does not exist; what is in it already is kept where no entry replaces it. Close must be
// called, also after an error.
func Unpack(folder string, opt UnpackOptions) (*Unpacker, error) {
	if err := os.Mkdir(folder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("unpack to %s: %w", folder, err)
	}
	fd, err := open(unix.AT_FDCWD, folder, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, fmt.Errorf("unpack to %s: %w", folder, err)
	}
	return &Unpacker{opt: opt, root: fd, where: resolver{root: fd}, dirs: make(map[string]dirAttrs), parentFd: -1}, nil
}

// Add writes one entry; see Sink.
func (u *Unpacker) Add(e Entry, body io.Reader) error {
	if u.err != nil {
		return u.err
	}
	if err := u.add(&e, body); err != nil {
		u.err = fmt.Errorf("unpack %s: %w", e.Path, err)
	}
	return u.err
}

// Close sets what can only be set at the end (modes and times of directories) and closes the folder.
func (u *Unpacker) Close() (UnpackReport, error) {
	if u.root < 0 {
		return u.report, errUnpackClosed
	}
	err := u.err
	if err == nil {
		// Children before parents, as the mode of a parent may bar the way.
		for _, p := range slices.Backward(slices.Sorted(maps.Keys(u.dirs))) {
			if err = u.finishDir(p, u.dirs[p]); err != nil {
				err = fmt.Errorf("unpack %s: %w", p, err)
				break
			}
		}
	}
	u.forgetParent()
	unix.Close(u.root)
	u.root, u.err = -1, errUnpackClosed
	return u.report, err
}

func (u *Unpacker) add(e *Entry, body io.Reader) error {
	if !cleanPath(e.Path) {
		return errors.New("not a clean path below the root")
	}
	if e.Path == "." {
		if !e.IsDir() {
			return errors.New("the root is not a directory")
		}
		u.dirs["."] = u.attrs(e)
		return nil
	}
	dirname, name := path.Split(e.Path)
	parent, err := u.parent(strings.TrimSuffix(dirname, "/"))
	if err != nil {
		return err
	}
	if e.HardLink != "" {
		return u.link(e, parent, name)
	}
	switch e.Type() {
	case TypeDir:
		return u.dir(e, parent, name)
	case TypeRegular:
		return u.file(e, parent, name, body)
	case TypeSymlink:
		err = u.replacing(e.Path, parent, name, func() error { return unix.Symlinkat(e.Link, parent, name) })
	case TypeFifo, TypeSocket:
		err = u.replacing(e.Path, parent, name, func() error { return unix.Mknodat(parent, name, e.Type()|0o600, 0) })
	case TypeChar, TypeBlock:
		dev := unix.Mkdev(e.Major, e.Minor)
		err = u.replacing(e.Path, parent, name, func() error { return unix.Mknodat(parent, name, e.Type()|0o600, int(dev)) })
		if err == unix.EPERM || err == unix.EACCES || err == unix.EINVAL {
			u.report.Devices = append(u.report.Devices, *e)
			return nil
		}
	default:
		return fmt.Errorf("unknown file type %#o", e.Type())
	}
	if err != nil {
		return err
	}
	return u.attributes(e, parent, name)
}

func cleanPath(p string) bool {
	return p != "" && p[0] != '/' && path.Clean(p) == p && p != ".." && !strings.HasPrefix(p, "../") && strings.IndexByte(p, 0) < 0
}

// parent returns a descriptor, valid until the next call, of the directory p, making what is missing of it.
func (u *Unpacker) parent(p string) (int, error) {
	if p == "" || p == "." {
		return u.root, nil
	}
	if u.parentFd >= 0 && p == u.parentPath {
		return u.parentFd, nil
	}
	fd, err := u.where.open(p)
	if err == unix.ENOENT {
		if err = u.makeDirs(p); err == nil {
			fd, err = u.where.open(p)
		}
	}
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", p, err)
	}
	u.forgetParent()
	u.parentPath, u.parentFd = strings.Clone(p), fd
	return fd, nil
}

func (u *Unpacker) forgetParent() {
	if u.parentFd >= 0 {
		unix.Close(u.parentFd)
		u.parentFd = -1
	}
}

func (u *Unpacker) makeDirs(p string) error {
	for i := 0; i <= len(p); i++ {
		if i < len(p) && p[i] != '/' {
			continue
		}
		part := p[:i]
		fd, err := u.where.open(part)
		if err == nil {
			unix.Close(fd)
			continue
		}
		if err != unix.ENOENT {
			return err
		}
		dirname, name := path.Split(part)
		above, err := u.where.open(strings.TrimSuffix(dirname, "/"))
		if err != nil {
			return err
		}
		err = unix.Mkdirat(above, name, 0o700)
		unix.Close(above)
		if err != nil {
			return err
		}
		u.dirs[strings.Clone(part)] = dirAttrs{mode: 0o755}
	}
	return nil
}

// replacing calls f, which makes parent/name, and once more after removing what had that name.
func (u *Unpacker) replacing(p string, parent int, name string, f func() error) error {
	err := retry(f)
	if err != unix.EEXIST {
		return err
	}
	if err := unix.Unlinkat(parent, name, 0); err == unix.EISDIR {
		if err := u.removeDir(p, parent, name); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	return retry(f)
}

// removeDir removes a directory of the tree and all below it.
func (u *Unpacker) removeDir(p string, parent int, name string) error {
	for d := range u.dirs {
		if d == p || strings.HasPrefix(d, p+"/") {
			delete(u.dirs, d)
		}
	}
	// The parent is what the cache holds, so it stays valid; os.Root does not follow links out of it.
	r, err := os.OpenRoot(fdPath(parent))
	if err != nil {
		return err
	}
	defer r.Close()
	return r.RemoveAll(name)
}

func (u *Unpacker) attrs(e *Entry) dirAttrs {
	return dirAttrs{u.perm(e), e.UID, e.GID, e.ModTime, e.Xattrs}
}

func (u *Unpacker) perm(e *Entry) uint32 {
	mode := e.Perm()
	if u.opt.OwnerAccess {
		mode |= 0o600
		if e.IsDir() {
			mode |= 0o100
		}
	}
	return mode
}

func (u *Unpacker) dir(e *Entry, parent int, name string) error {
	err := unix.Mkdirat(parent, name, 0o700)
	if err == unix.EEXIST {
		var st unix.Stat_t
		if err := unix.Fstatat(parent, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			err = u.replacing(e.Path, parent, name, func() error { return unix.Mkdirat(parent, name, 0o700) })
		} else {
			// It may be of an earlier run and closed to its owner.
			err = unix.Fchmodat(parent, name, st.Mode&0o777|0o700, 0)
		}
		if err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	u.dirs[strings.Clone(e.Path)] = u.attrs(e)
	return nil
}

func (u *Unpacker) finishDir(p string, a dirAttrs) error {
	fd, err := u.where.openFlags(p, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if u.opt.Owners {
		if err := unix.Fchown(fd, int(a.uid), int(a.gid)); err != nil {
			return err
		}
	}
	if err := u.setXattrs(p, fdPath(fd), a.xattrs, true); err != nil {
		return err
	}
	if err := unix.Fchmod(fd, a.mode); err != nil {
		return err
	}
	if a.modTime.IsZero() {
		return nil
	}
	ts := times(a.modTime)
	return unix.UtimesNanoAt(unix.AT_FDCWD, fdPath(fd), ts, 0)
}

func times(t time.Time) []unix.Timespec {
	ts := unix.Timespec{Sec: t.Unix(), Nsec: int64(t.Nanosecond())}
	return []unix.Timespec{ts, ts}
}

func (u *Unpacker) file(e *Entry, parent int, name string, body io.Reader) error {
	fd := -1
	err := u.replacing(e.Path, parent, name, func() (err error) {
		fd, err = unix.Openat(parent, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		return err
	})
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := u.copy(fd, e.Size, body); err != nil {
		return err
	}
	if u.opt.Owners {
		if err := unix.Fchown(fd, int(e.UID), int(e.GID)); err != nil {
			return err
		}
	}
	if err := u.setXattrs(e.Path, fdPath(fd), e.Xattrs, true); err != nil {
		return err
	}
	if err := unix.Fchmod(fd, u.perm(e)); err != nil { // after chown, which takes setuid away
		return err
	}
	return unix.UtimesNanoAt(parent, name, times(e.ModTime), unix.AT_SYMLINK_NOFOLLOW)
}

const copyBuffer = 256 << 10

// copy writes a body of exactly size bytes; runs of zeros become holes.
func (u *Unpacker) copy(fd int, size int64, body io.Reader) error {
	if size == 0 && body == nil {
		return nil
	}
	if body == nil {
		return errors.New("a regular file without a body")
	}
	if u.buf == nil {
		u.buf = make([]byte, copyBuffer)
	}
	var pos int64
	hole := false
	for {
		// One byte more than is left shows a body that is too long.
		n, err := io.ReadFull(body, u.buf[:min(int64(len(u.buf)), size-pos+1)])
		if pos+int64(n) > size {
			return fmt.Errorf("file has more than %d bytes", size)
		}
		b := u.buf[:n]
		if hole = n >= 4096 && allZero(b); hole {
			if _, err := unix.Seek(fd, int64(n), unix.SEEK_CUR); err != nil {
				return err
			}
		} else {
			for len(b) > 0 {
				m, err := unix.Write(fd, b)
				if err == unix.EINTR {
					continue
				}
				if err != nil {
					return err
				}
				b = b[m:]
			}
		}
		pos += int64(n)
		if n > 0 && hole && pos == size {
			if err := unix.Ftruncate(fd, size); err != nil {
				return err
			}
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			if pos < size {
				return fmt.Errorf("file has %d bytes instead of %d: %w", pos, size, io.ErrUnexpectedEOF)
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
}

var zeroPage [4096]byte

func allZero(b []byte) bool {
	for len(b) > len(zeroPage) {
		if !bytes.Equal(b[:len(zeroPage)], zeroPage[:]) {
			return false
		}
		b = b[len(zeroPage):]
	}
	return bytes.Equal(b, zeroPage[:len(b)])
}

func (u *Unpacker) link(e *Entry, parent int, name string) error {
	if !cleanPath(e.HardLink) || e.HardLink == "." {
		return fmt.Errorf("hard link to %q: not a clean path below the root", e.HardLink)
	}
	if e.HardLink == e.Path {
		return nil
	}
	dirname, base := path.Split(e.HardLink)
	from, err := u.where.open(strings.TrimSuffix(dirname, "/"))
	if err != nil {
		return fmt.Errorf("hard link to %s: %w", e.HardLink, err)
	}
	defer unix.Close(from)
	err = u.replacing(e.Path, parent, name, func() error { return unix.Linkat(from, base, parent, name, 0) })
	if err != nil {
		for _, d := range u.report.Devices { // another name of what could not be made
			if d.Path == e.HardLink && err == unix.ENOENT {
				d.Path = e.Path
				u.report.Devices = append(u.report.Devices, d)
				return nil
			}
		}
		return fmt.Errorf("hard link to %s: %w", e.HardLink, err)
	}
	return nil
}

// attributes sets all about an object that is not opened to write it: links, devices, fifos, sockets.
func (u *Unpacker) attributes(e *Entry, parent int, name string) error {
	if u.opt.Owners {
		if err := unix.Fchownat(parent, name, int(e.UID), int(e.GID), unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
	}
	if err := u.setXattrs(e.Path, fdPath(parent)+"/"+name, e.Xattrs, false); err != nil {
		return err
	}
	if e.Type() != TypeSymlink {
		// What was just made is no link; O_PATH and O_NOFOLLOW make sure that it still is none.
		fd, err := open(parent, name, unix.O_PATH|unix.O_NOFOLLOW)
		if err != nil {
			return err
		}
		err = unix.Chmod(fdPath(fd), u.perm(e))
		unix.Close(fd)
		if err != nil {
			return err
		}
	}
	return unix.UtimesNanoAt(parent, name, times(e.ModTime), unix.AT_SYMLINK_NOFOLLOW)
}

// setXattrs sets the attributes of the entry at a path, which is opened by another name.
func (u *Unpacker) setXattrs(at, name string, attrs map[string][]byte, follow bool) error {
	if u.opt.SkipXattrs {
		return nil
	}
	set := unix.Lsetxattr
	if follow {
		set = unix.Setxattr
	}
	for _, attr := range slices.Sorted(maps.Keys(attrs)) {
		switch err := set(name, attr, attrs[attr], 0); err {
		case nil:
		case unix.EPERM, unix.EACCES, unix.ENOTSUP, unix.EINVAL, unix.ENOSPC, unix.E2BIG, unix.ERANGE:
			if u.report.Xattrs++; u.report.Xattr == "" {
				u.report.Xattr = attr + " of " + at
			}
		default:
			return fmt.Errorf("set extended attribute %s: %w", attr, err)
		}
	}
	return nil
}

// open returns a path descriptor of the directory p.
func (r *resolver) open(p string) (int, error) { return r.openFlags(p, unix.O_PATH|unix.O_DIRECTORY) }

func (r *resolver) openFlags(p string, flags int) (fd int, err error) {
	if p == "" {
		p = "."
	}
	if !r.noOpenat {
		how := &unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
		for range 1000 { // EAGAIN: something was renamed meanwhile
			fd, err = unix.Openat2(r.root, p, how)
			if err != unix.EAGAIN && err != unix.EINTR {
				break
			}
		}
		if err != unix.ENOSYS && err != unix.EPERM {
			return fd, err
		}
		r.noOpenat = true
	}
	return r.walk(p, flags)
}

// maxLinks is how many symbolic links are followed, as in the kernel (MAXSYMLINKS).
const maxLinks = 40

// walk does what RESOLVE_IN_ROOT does, part by part: a link is read and its parts take its place; ".." goes to the directory
// that was passed through, and stops at the root.
func (r *resolver) walk(p string, flags int) (int, error) {
	top, err := open(r.root, ".", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return -1, err
	}
	stack := []int{top}
	defer func() {
		for _, fd := range stack {
			unix.Close(fd)
		}
	}()
	pop := func(to int) {
		for _, fd := range stack[to:] {
			unix.Close(fd)
		}
		stack = stack[:to]
	}
	links := 0
	for todo := p; todo != ""; {
		var part string
		part, todo, _ = strings.Cut(todo, "/")
		switch part {
		case "", ".":
			continue
		case "..":
			if len(stack) > 1 {
				pop(len(stack) - 1)
			}
			continue
		}
		at := stack[len(stack)-1]
		fd, err := open(at, part, unix.O_PATH|unix.O_NOFOLLOW)
		if err != nil {
			return -1, err
		}
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			unix.Close(fd)
			return -1, err
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			stack = append(stack, fd)
		case unix.S_IFLNK:
			target, err := readlinkat(fd, "")
			unix.Close(fd)
			if err != nil {
				return -1, err
			}
			if links++; links > maxLinks {
				return -1, unix.ELOOP
			}
			if strings.HasPrefix(target, "/") {
				pop(1)
			}
			todo = target + "/" + todo
		default:
			unix.Close(fd)
			return -1, unix.ENOTDIR
		}
	}
	return open(stack[len(stack)-1], ".", flags)
}
