package debian

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// rootDir is an open folder that becomes a root file system. Paths are resolved as they would be with that folder as
// "/": symbolic links inside are followed, absolute ones too, and nothing leads out of it.
type rootDir struct {
	fd int
	// walk resolves paths step by step, for kernels before 5.6, which have no openat2(2).
	walk atomic.Bool
}

// openRoot opens the folder; close it when done.
func openRoot(folder string) (*rootDir, error) {
	fd, err := unix.Open(folder, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: folder, Err: err}
	}
	return &rootDir{fd: fd}, nil
}

func (r *rootDir) close() error { return unix.Close(r.fd) }

// openDir opens a folder below the root for use with the *at calls. The caller closes it.
func (r *rootDir) openDir(p string) (int, error) {
	if r.walk.Load() {
		return r.walkDir(p)
	}
	how := unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	for {
		fd, err := unix.Openat2(r.fd, p, &how)
		switch {
		case err == nil:
			return fd, nil
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
			// Something was renamed while ".." was resolved (openat2(2), EAGAIN): ask again.
		case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM):
			// Old kernels lack the call, old seccomp filters forbid it.
			r.walk.Store(true)
			return r.walkDir(p)
		default:
			return -1, &os.PathError{Op: "open", Path: p, Err: err}
		}
	}
}

// maxLinks is how many symbolic links the kernel follows in one path (path_resolution(7)).
const maxLinks = 40

// walkDir is openDir without openat2: each part is opened without following links, and links are read and put in
// front of what remains.
func (r *rootDir) walkDir(p string) (int, error) {
	fail := func(err error) (int, error) { return -1, &os.PathError{Op: "open", Path: p, Err: err} }
	open := func(at int, name string) (int, error) {
		return unix.Openat(at, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	}
	var stack []int // folders from the root to here
	drop := func(keep int) {
		for len(stack) > keep {
			unix.Close(stack[len(stack)-1])
			stack = stack[:len(stack)-1]
		}
	}
	here := func() int {
		if len(stack) == 0 {
			return r.fd
		}
		return stack[len(stack)-1]
	}
	rest := strings.Split(p, "/")
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			drop(max(0, len(stack)-1))
			continue
		}
		fd, err := open(here(), name)
		if err == nil {
			stack = append(stack, fd)
			continue
		}
		if !errors.Is(err, unix.ENOTDIR) && !errors.Is(err, unix.ELOOP) {
			drop(0)
			return fail(err)
		}
		target := make([]byte, unix.PathMax)
		n, linkErr := unix.Readlinkat(here(), name, target)
		if linkErr != nil {
			drop(0)
			return fail(unix.ENOTDIR)
		}
		if links++; links > maxLinks {
			drop(0)
			return fail(unix.ELOOP)
		}
		if n > 0 && target[0] == '/' {
			drop(0)
		}
		rest = append(strings.Split(string(target[:n]), "/"), rest...)
	}
	if len(stack) == 0 {
		fd, err := open(r.fd, ".")
		if err != nil {
			return fail(err)
		}
		return fd, nil
	}
	fd := stack[len(stack)-1]
	stack = stack[:len(stack)-1]
	drop(0)
	return fd, nil
}

// makeDir opens a folder and makes it, with those above it, when it is missing.
func (r *rootDir) makeDir(p string) (int, error) {
	fd, err := r.openDir(p)
	if err == nil || !errors.Is(err, unix.ENOENT) || p == "." {
		return fd, err
	}
	parent, err := r.makeDir(path.Dir(p))
	if err != nil {
		return -1, err
	}
	defer unix.Close(parent)
	err = unix.Mkdirat(parent, path.Base(p), 0o755)
	if err == nil {
		err = unix.Fchmodat(parent, path.Base(p), 0o755, 0) // whatever the umask is
	}
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return -1, &os.PathError{Op: "mkdir", Path: p, Err: err}
	}
	return r.openDir(p)
}

// at calls f with the open parent of a path and the path's last part, making the parent when it is missing.
func (r *rootDir) at(p string, f func(dir int, base string) error) error {
	dir, err := r.makeDir(path.Dir(p))
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	if err := f(dir, path.Base(p)); err != nil {
		return fmt.Errorf("%s: %w", p, err)
	}
	return nil
}

// writeFile makes or replaces a file; what was there before, a link perhaps, is never followed.
func (r *rootDir) writeFile(p string, data []byte, mode uint32) error {
	return r.at(p, func(dir int, base string) error {
		if err := unix.Unlinkat(dir, base, 0); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
		fd, err := unix.Openat(dir, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
		if err != nil {
			return err
		}
		f := os.NewFile(uintptr(fd), p)
		_, err = f.Write(data)
		if err == nil {
			err = unix.Fchmod(fd, mode)
		}
		return errors.Join(err, f.Close())
	})
}

// readFile reads a regular file below the root, without following a link in its last part.
func (r *rootDir) readFile(p string) (data []byte, err error) {
	err = r.at(p, func(dir int, base string) error {
		data, err = readAt(dir, base)
		return err
	})
	return data, err
}

func readAt(dir int, base string) ([]byte, error) {
	fd, err := unix.Openat(dir, base, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), base)
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, unix.EINVAL
	}
	data := make([]byte, info.Size())
	n, err := f.ReadAt(data, 0)
	if n == len(data) {
		err = nil
	}
	return data[:n], err
}

// remove deletes a file; one that is not there is no error.
func (r *rootDir) remove(p string) error {
	return r.at(p, func(dir int, base string) error {
		if err := unix.Unlinkat(dir, base, 0); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
		return nil
	})
}

// exists tells whether there is anything of that name, a dangling link included.
func (r *rootDir) exists(p string) bool {
	dir, err := r.openDir(path.Dir(p))
	if err != nil {
		return false
	}
	defer unix.Close(dir)
	var st unix.Stat_t
	return unix.Fstatat(dir, path.Base(p), &st, unix.AT_SYMLINK_NOFOLLOW) == nil
}

// symlink makes a symbolic link; one that is there already stays.
func (r *rootDir) symlink(target, p string) error {
	return r.at(p, func(dir int, base string) error {
		if err := unix.Symlinkat(target, dir, base); err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
		return nil
	})
}

// list returns the names in a folder.
func (r *rootDir) list(p string) ([]string, error) {
	dir, err := r.openDir(p)
	if err != nil {
		return nil, err
	}
	defer unix.Close(dir)
	fd, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: p, Err: err}
	}
	f := os.NewFile(uintptr(fd), p)
	defer f.Close()
	return f.Readdirnames(-1)
}

// setTime sets when a file was changed last.
func (r *rootDir) setTime(p string, t time.Time) error {
	return r.at(p, func(dir int, base string) error {
		ts := unix.NsecToTimespec(t.UnixNano())
		return unix.UtimesNanoAt(dir, base, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	})
}

// removeContent removes what is in a folder and below, but what keep wants, with the folders it is in. A folder that is
// not there, or no folder, is left alone.
func (r *rootDir) removeContent(p string, keep func(p string) bool) error {
	names, err := r.list(p)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		one := path.Join(p, name)
		if r.isDir(one) {
			if err := r.removeContent(one, keep); err != nil {
				return err
			}
		}
		if keep(one) {
			continue
		}
		err := r.at(one, func(dir int, base string) error {
			err := unix.Unlinkat(dir, base, 0)
			if errors.Is(err, unix.EISDIR) {
				if err = unix.Unlinkat(dir, base, unix.AT_REMOVEDIR); errors.Is(err, unix.ENOTEMPTY) {
					err = nil // something in it is kept
				}
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// isDir tells whether a path is a folder, not a link to one.
func (r *rootDir) isDir(p string) bool {
	dir, err := r.openDir(path.Dir(p))
	if err != nil {
		return false
	}
	defer unix.Close(dir)
	var st unix.Stat_t
	return unix.Fstatat(dir, path.Base(p), &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}
