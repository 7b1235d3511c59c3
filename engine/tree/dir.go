package tree

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// DirOptions say how Dir reads a folder. The zero value takes everything as it is.
type DirOptions struct {
	// Exclude, when not nil, tells by an Entry.Path what to leave out; with a directory goes all below it. It is not asked about the root.
	Exclude func(path string) bool
	// MapOwner, when not nil, turns the owner on disk into the one of the entry.
	MapOwner func(uid, gid uint32) (uint32, uint32)
	// Last, when not empty, names an entry of the root that comes after all others, as a part of its own (Entry.Part).
	Last string
	// SkipXattrs leaves extended attributes out.
	SkipXattrs bool
	// OneFileSystem does not descend into other mounted file systems: their mount points become empty directories.
	OneFileSystem bool
}

// AllOwnedBy is a DirOptions.MapOwner that gives every entry the same owner, for folders made in a user namespace of one id.
func AllOwnedBy(uid, gid uint32) func(uid, gid uint32) (uint32, uint32) {
	return func(uint32, uint32) (uint32, uint32) { return uid, gid }
}

// ErrChanged says that a file was changed by somebody else while it was read.
var ErrChanged = errors.New("changed while it was read")

// Dir is a Source over the folder on disk at root, which may itself be reached through symbolic links. Entries come in the order
// of a walk with the names of each directory sorted bytewise (but for DirOptions.Last), a directory before its contents. Everything is opened relative
// to the open parent directory and without following links, so nothing outside of root is read, whatever others do to the
// folder meanwhile. A file that changes while it is read is an error that wraps ErrChanged and names it.
func Dir(root string, opt DirOptions) Source { return &dirSource{root, opt} }

type dirSource struct {
	root string
	opt  DirOptions
}

type inodeKey struct{ dev, ino uint64 }

type dirWalk struct {
	opt    DirOptions
	ctx    context.Context
	sink   Sink
	links  map[inodeKey]string
	rootOn uint64
	xattr  []byte // scratch
	part   bool   // the next entry begins one
}

func (s *dirSource) WriteTo(ctx context.Context, sink Sink) error {
	fd, err := open(unix.AT_FDCWD, s.root, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return fmt.Errorf("read folder %s: %w", s.root, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return fmt.Errorf("read folder %s: %w", s.root, err)
	}
	w := &dirWalk{opt: s.opt, ctx: ctx, sink: sink, links: make(map[inodeKey]string), rootOn: st.Dev}
	if err := w.dir(fd, ".", &st); err != nil {
		return fmt.Errorf("read folder %s: %w", s.root, err)
	}
	return nil
}

// dir handles an open directory and closes it.
func (w *dirWalk) dir(fd int, p string, st *unix.Stat_t) error {
	f := os.NewFile(uintptr(fd), fdPath(fd)) // by which ReadDir asks for types that the file system does not list
	defer f.Close()
	e := w.entry(p, st)
	if err := w.xattrs(&e, fd, ""); err != nil {
		return err
	}
	if err := w.sink.Add(e, nil); err != nil {
		return err
	}
	if w.opt.OneFileSystem && st.Dev != w.rootOn {
		return nil
	}
	entries, err := f.ReadDir(-1)
	if err != nil {
		if e := new(os.PathError); errors.As(err, &e) {
			err = e.Err
		}
		return fmt.Errorf("list %s: %w", p, err)
	}
	slices.SortFunc(entries, func(a, b os.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	if p == "." && w.opt.Last != "" {
		if i := slices.IndexFunc(entries, func(e os.DirEntry) bool { return e.Name() == w.opt.Last }); i >= 0 {
			last := entries[i]
			entries = append(slices.Delete(entries, i, i+1), last)
		}
	}
	for _, entry := range entries {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		child := entry.Name()
		if p != "." {
			child = p + "/" + child
		}
		if w.opt.Exclude != nil && w.opt.Exclude(child) {
			continue
		}
		w.part = w.part || p == "." && child == w.opt.Last
		switch entry.Type() {
		case 0:
			err = w.file(fd, entry.Name(), child)
		case os.ModeDir:
			err = w.subdir(fd, entry.Name(), child)
		default:
			err = w.other(fd, entry.Name(), child)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *dirWalk) subdir(dirfd int, name, p string) error {
	fd, err := open(dirfd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if err != nil {
		return changedOr(p, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return fmt.Errorf("%s: %w", p, err)
	}
	return w.dir(fd, p, &st)
}

// linked tells whether an object has been there under another name, and if so gives it this one too.
func (w *dirWalk) linked(p string, st *unix.Stat_t) (bool, error) {
	if st.Nlink < 2 {
		return false, nil
	}
	key := inodeKey{st.Dev, st.Ino}
	if first, ok := w.links[key]; ok {
		e := Entry{Path: p, HardLink: first, Part: w.part}
		w.part = false
		return true, w.sink.Add(e, nil)
	}
	w.links[key] = p
	return false, nil
}

// other handles what is not opened: links, devices, fifos and sockets.
func (w *dirWalk) other(dirfd int, name, p string) error {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstatat(dirfd, name, &st, unix.AT_SYMLINK_NOFOLLOW) }); err != nil {
		return changedOr(p, err)
	}
	if t := st.Mode & unix.S_IFMT; t == unix.S_IFREG || t == unix.S_IFDIR {
		return fmt.Errorf("%s: %w", p, ErrChanged)
	}
	if done, err := w.linked(p, &st); done || err != nil {
		return err
	}
	e := w.entry(p, &st)
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		target, err := readlinkat(dirfd, name)
		if err != nil {
			return changedOr(p, err)
		}
		e.Link = target
	}
	if err := w.xattrs(&e, -1, fdPath(dirfd)+"/"+name); err != nil {
		return err
	}
	return w.sink.Add(e, nil)
}

func (w *dirWalk) file(dirfd int, name, p string) error {
	// O_NONBLOCK for the case that the name has become a fifo since.
	fd, err := open(dirfd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK)
	if err != nil {
		return changedOr(p, err)
	}
	defer unix.Close(fd)
	var opened unix.Stat_t
	if err := unix.Fstat(fd, &opened); err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}
	if opened.Mode&unix.S_IFMT != unix.S_IFREG {
		return fmt.Errorf("%s: %w", p, ErrChanged)
	}
	if done, err := w.linked(p, &opened); done || err != nil {
		return err
	}
	e := w.entry(p, &opened)
	e.Size = opened.Size
	if err := w.xattrs(&e, fd, ""); err != nil {
		return err
	}
	body := &fileBody{ctx: w.ctx, fd: fd, size: opened.Size, sparse: opened.Blocks*512 < opened.Size}
	if err := w.sink.Add(e, body); err != nil {
		if w.changed(fd, &opened) {
			return fmt.Errorf("%s: %w: %w", p, ErrChanged, err)
		}
		return err
	}
	if w.changed(fd, &opened) {
		return fmt.Errorf("%s: %w", p, ErrChanged)
	}
	return nil
}

func (w *dirWalk) changed(fd int, before *unix.Stat_t) bool {
	var now unix.Stat_t
	if err := unix.Fstat(fd, &now); err != nil {
		return true
	}
	return now.Size != before.Size || now.Mtim != before.Mtim
}

func (w *dirWalk) entry(p string, st *unix.Stat_t) Entry {
	e := Entry{Path: p, Mode: st.Mode & (TypeMask | PermMask), UID: st.Uid, GID: st.Gid, ModTime: time.Unix(st.Mtim.Unix()), Part: w.part}
	w.part = false
	if w.opt.MapOwner != nil {
		e.UID, e.GID = w.opt.MapOwner(e.UID, e.GID)
	}
	if t := e.Type(); t == TypeChar || t == TypeBlock {
		e.Major, e.Minor = unix.Major(st.Rdev), unix.Minor(st.Rdev)
	}
	return e
}

// Xattrs are the extended attributes of what is at a path of this computer, by full name, nil for none; a symbolic link is
// not followed.
func Xattrs(name string) (map[string][]byte, error) {
	e := Entry{Path: name}
	err := new(dirWalk).xattrs(&e, -1, name)
	return e.Xattrs, err
}

// xattrs reads the attributes of an open file, or of what cannot be opened by name, a path of /proc/self/fd.
func (w *dirWalk) xattrs(e *Entry, fd int, name string) error {
	if w.opt.SkipXattrs {
		return nil
	}
	list := func(b []byte) (int, error) { return unix.Flistxattr(fd, b) }
	get := func(attr string, b []byte) (int, error) { return unix.Fgetxattr(fd, attr, b) }
	if fd < 0 {
		list = func(b []byte) (int, error) { return unix.Llistxattr(name, b) }
		get = func(attr string, b []byte) (int, error) { return unix.Lgetxattr(name, attr, b) }
	}
	names, err := w.sized(list)
	if unsupported(err) || (err == nil && len(names) == 0) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list extended attributes of %s: %w", e.Path, err)
	}
	for attr := range strings.SplitSeq(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		value, err := w.sized(func(b []byte) (int, error) { return get(attr, b) })
		if err == unix.ENODATA || unsupported(err) { // removed meanwhile, or listed by a policy that does not give it
			continue
		}
		if err != nil {
			return fmt.Errorf("read extended attribute %s of %s: %w", attr, e.Path, err)
		}
		if e.Xattrs == nil {
			e.Xattrs = make(map[string][]byte)
		}
		e.Xattrs[attr] = slices.Clone(value)
	}
	return nil
}

func unsupported(err error) bool { return err == unix.ENOTSUP || err == unix.ENOSYS }

// sized calls f with a buffer that is large enough; the result is valid until the next call.
func (w *dirWalk) sized(f func([]byte) (int, error)) ([]byte, error) {
	if w.xattr == nil {
		w.xattr = make([]byte, 1024)
	}
	for {
		n, err := f(w.xattr)
		if err == unix.EINTR {
			continue
		}
		if err == unix.ERANGE && len(w.xattr) < 1<<20 {
			w.xattr = make([]byte, 4*len(w.xattr))
			continue
		}
		if err != nil {
			return nil, err
		}
		return w.xattr[:n], nil
	}
}

// fdPath names an open file, so that calls which take only paths reach it whatever happens to its name.
func fdPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

func changedOr(p string, err error) error {
	if err == unix.ENOENT || err == unix.ELOOP || err == unix.ENOTDIR {
		return fmt.Errorf("%s: %w: %w", p, ErrChanged, err)
	}
	return fmt.Errorf("%s: %w", p, err)
}

func open(dirfd int, name string, flags int) (fd int, err error) {
	err = retry(func() error {
		fd, err = unix.Openat(dirfd, name, flags|unix.O_CLOEXEC, 0)
		return err
	})
	return fd, err
}

func retry(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}

func readlinkat(dirfd int, name string) (string, error) {
	for size := 256; ; size *= 4 {
		b := make([]byte, size)
		n, err := unix.Readlinkat(dirfd, name, b)
		if err != nil {
			return "", err
		}
		if n < size {
			return string(b[:n]), nil
		}
	}
}

// fileBody reads a file from start to the end that it had when it was opened: whether it has grown, its new size tells
// afterwards (changed). Over holes it gives zeros without asking for them.
type fileBody struct {
	ctx    context.Context
	fd     int
	size   int64
	pos    int64
	sparse bool
	hole   int64 // everything from pos to here is a hole
	data   int64 // everything from pos to here is data
}

func (f *fileBody) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := f.ctx.Err(); err != nil {
		return 0, err
	}
	if f.pos >= f.size {
		return 0, io.EOF
	}
	if f.sparse {
		if f.pos >= f.hole && f.pos >= f.data {
			f.seek()
		}
		if f.pos < f.hole {
			n := int(min(int64(len(p)), f.hole-f.pos))
			clear(p[:n])
			f.pos += int64(n)
			return n, nil
		}
		if f.pos < f.data {
			p = p[:min(int64(len(p)), f.data-f.pos)]
		}
	}
	p = p[:min(int64(len(p)), f.size-f.pos)]
	for {
		n, err := unix.Pread(f.fd, p, f.pos)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return 0, err
		}
		if n == 0 {
			return 0, io.EOF
		}
		f.pos += int64(n)
		return n, nil
	}
}

// seek finds out whether a hole or data is at pos, and where it ends. Where the file system cannot tell, all is data.
func (f *fileBody) seek() {
	data, err := unix.Seek(f.fd, f.pos, unix.SEEK_DATA)
	switch {
	case err == unix.ENXIO: // a hole up to the end
		f.hole = f.size
	case err != nil:
		f.sparse = false
	case data > f.pos:
		f.hole = min(data, f.size)
	default:
		end, err := unix.Seek(f.fd, f.pos, unix.SEEK_HOLE)
		if err != nil {
			f.sparse = false
			return
		}
		f.data = end
	}
}
