package debian

import (
	"archive/tar"
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// treeWriter writes the entries of one package.
type treeWriter struct {
	u     *unpacker
	out   *unpacked
	dirs  map[string]int       // open folders by path
	modes map[int]unix.Stat_t  // what is known of them
	now   map[string]*conffile // conffiles by path
	buf   []byte
	// sums takes the md5sums of a package that brings none; nil for all others.
	sums *bytes.Buffer
}

func (w *treeWriter) close() {
	for _, fd := range w.dirs {
		unix.Close(fd)
	}
	clear(w.dirs)
	clear(w.modes)
}

// dir opens the folder of a path; it stays open for the next entries, which are mostly in the same one.
func (w *treeWriter) dir(p string) (int, error) {
	if fd, ok := w.dirs[p]; ok {
		return fd, nil
	}
	if len(w.dirs) >= 32 {
		w.close()
	}
	fd, err := w.u.root.makeDir(p)
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return -1, err
	}
	w.dirs[p], w.modes[fd] = fd, st
	return fd, nil
}

// add writes one entry of data.tar.
func (w *treeWriter) add(h *tar.Header, body io.Reader) error {
	p, err := cleanName(h.Name)
	if err != nil {
		return err
	}
	attr := attributes{mode: uint32(h.Mode) & 0o7777, uid: h.Uid, gid: h.Gid, modTime: h.ModTime}
	if p == "." {
		w.out.files = append(w.out.files, "/.")
	} else {
		w.out.files = append(w.out.files, "/"+p)
	}
	if h.Typeflag == tar.TypeDir {
		return w.addDir(p, attr)
	}
	if p == "." {
		return errors.New("the root is not a folder")
	}
	verdict, err := w.u.claim(p, w.out)
	if err != nil {
		return err
	}
	if verdict == skip {
		return nil
	}
	dir, err := w.dir(path.Dir(p))
	if err != nil {
		return err
	}
	name, base := p, path.Base(p)
	if verdict == replace {
		base = fmt.Sprintf("%s.dpkg-new.%d", base, w.out.order)
		name = path.Join(path.Dir(p), base)
		if err := unix.Unlinkat(dir, base, 0); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	switch h.Typeflag {
	case tar.TypeReg:
		err = w.addFile(dir, base, p, h.Size, attr, body)
	case tar.TypeSymlink:
		err = w.addSymlink(dir, base, h.Linkname, attr)
		if errors.Is(err, errKeepFolder) {
			return nil
		}
	case tar.TypeLink:
		err = w.addLink(dir, base, h.Linkname)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		err = w.addNode(dir, base, h, attr)
	default:
		return fmt.Errorf("entry type %q is not allowed", h.Typeflag)
	}
	if err == nil && verdict == replace {
		w.u.mu.Lock()
		real := w.u.real(p)
		w.u.later[real] = append(w.u.later[real], pending{order: w.out.order, temp: w.u.real(name)})
		w.u.mu.Unlock()
	}
	return err
}

// addDir makes a folder. One that is there stays, and so does a link to one (dpkg(1): "a directory will never be
// replaced by a symbolic link to a directory or vice versa").
func (w *treeWriter) addDir(p string, attr attributes) error {
	if _, err := w.dir(p); err != nil {
		return err
	}
	real := w.u.real(p)
	if target, aliased := w.u.aliases[p]; aliased {
		real = target
	}
	w.u.mu.Lock()
	defer w.u.mu.Unlock()
	if old, ok := w.u.folders[real]; !ok || w.out.order < old.order {
		w.u.folders[real] = folder{order: w.out.order, attributes: attr}
	}
	return nil
}

func (w *treeWriter) addFile(dir int, base, p string, size int64, attr attributes, body io.Reader) error {
	fd, err := unix.Openat(dir, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, attr.mode&0o777|0o200)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), base)
	defer f.Close()
	var sum hash.Hash
	conf := w.now[p]
	if conf != nil || w.sums != nil {
		sum = md5.New()
	}
	for left := size; left > 0; {
		n, err := io.ReadFull(body, w.buf[:min(left, int64(len(w.buf)))])
		if err != nil {
			return noCleanEnd(err)
		}
		if _, err := f.Write(w.buf[:n]); err != nil {
			return err
		}
		if sum != nil {
			sum.Write(w.buf[:n])
		}
		left -= int64(n)
	}
	if conf != nil {
		conf.md5 = hex.EncodeToString(sum.Sum(nil))
	} else if sum != nil {
		fmt.Fprintf(w.sums, "%x  %s\n", sum.Sum(nil), p)
	}
	if err := w.chown(dir, attr, func(uid, gid int) error { return unix.Fchown(fd, uid, gid) }); err != nil {
		return err
	}
	// After chown(2), which takes setuid and setgid away, and whatever the umask is.
	if err := unix.Fchmod(fd, attr.mode); err != nil {
		return err
	}
	return w.setTime(dir, base, attr)
}

func noCleanEnd(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (w *treeWriter) setTime(dir int, base string, attr attributes) error {
	ts := unix.NsecToTimespec(attr.modTime.UnixNano())
	return unix.UtimesNanoAt(dir, base, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
}

// chown gives a new object its owner where it is not the right one already. A user namespace with one id, or none at
// all, cannot: that is counted.
func (w *treeWriter) chown(dir int, attr attributes, do func(uid, gid int) error) error {
	inherited := w.modes[dir].Mode&unix.S_ISGID != 0
	if attr.uid == w.u.uid && attr.gid == w.u.gid && !inherited {
		return nil
	}
	return w.u.tolerate(do(attr.uid, attr.gid))
}

// tolerate counts an owner that cannot be set.
func (u *unpacker) tolerate(err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL) {
		u.ids.Add(1)
		return nil
	}
	return err
}

// errKeepFolder tells that a folder stands where a link was to be made, and stays.
var errKeepFolder = errors.New("a folder stays")

func (w *treeWriter) addSymlink(dir int, base, target string, attr attributes) error {
	err := unix.Symlinkat(target, dir, base)
	if errors.Is(err, unix.EEXIST) {
		var st unix.Stat_t
		if err := unix.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			return errKeepFolder
		case unix.S_IFLNK:
			// One of the links into usr that were made first.
			if err := unix.Unlinkat(dir, base, 0); err != nil {
				return err
			}
			err = unix.Symlinkat(target, dir, base)
		}
	}
	if err != nil {
		return err
	}
	if err := w.chown(dir, attr, func(uid, gid int) error {
		return unix.Fchownat(dir, base, uid, gid, unix.AT_SYMLINK_NOFOLLOW)
	}); err != nil {
		return err
	}
	return w.setTime(dir, base, attr)
}

func (w *treeWriter) addLink(dir int, base, target string) error {
	to, err := cleanName(target)
	if err != nil {
		return fmt.Errorf("hard link to %.80q: %w", target, err)
	}
	w.u.mu.Lock()
	owner, ok := w.u.claims[w.u.real(to)]
	later := w.u.later[w.u.real(to)]
	w.u.mu.Unlock()
	if !ok || owner.by != w.out {
		return fmt.Errorf("hard link to %.80q, which is not a file of this package", target)
	}
	name := path.Base(to)
	for _, p := range later {
		if p.order == w.out.order {
			name = path.Base(p.temp)
		}
	}
	from, err := w.dir(path.Dir(to))
	if err != nil {
		return err
	}
	return unix.Linkat(from, name, dir, base, 0)
}

func (w *treeWriter) addNode(dir int, base string, h *tar.Header, attr attributes) error {
	kind := map[byte]uint32{tar.TypeChar: unix.S_IFCHR, tar.TypeBlock: unix.S_IFBLK, tar.TypeFifo: unix.S_IFIFO}[h.Typeflag]
	err := unix.Mknodat(dir, base, kind|attr.mode, int(unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor))))
	if errors.Is(err, unix.EPERM) {
		w.u.devices.Add(1)
		return nil
	}
	if err != nil {
		return err
	}
	if err := w.chown(dir, attr, func(uid, gid int) error { return unix.Fchownat(dir, base, uid, gid, unix.AT_SYMLINK_NOFOLLOW) }); err != nil {
		return err
	}
	if err := unix.Fchmodat(dir, base, attr.mode, 0); err != nil {
		return err
	}
	return w.setTime(dir, base, attr)
}
