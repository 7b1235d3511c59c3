package atomicfile

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"carrel/internal/filelock"
	"golang.org/x/sys/unix"
)

// File is a file being written for a target path. Its os.File may be written and read at any offset; use Commit or
// Close to end it, not the embedded file's own Close.
type File struct {
	*os.File
	target string
	perm   fs.FileMode
	temp   string // the hidden name; empty as long as the file has none
	done   bool
}

// Create begins a file that is to become target with permissions perm (not reduced by the umask). The caller ends it
// with Commit, and defers Close, which discards it if Commit was not reached.
func Create(target string, perm fs.FileMode) (*File, error) {
	target, err := filepath.Abs(target)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", target, err)
	}
	dir := filepath.Dir(target)
	if fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600); err == nil {
		return &File{File: os.NewFile(uintptr(fd), target), target: target, perm: perm}, nil
	}
	// The kernel or the file system (NFS, some FUSE ones) has no unnamed files, or the folder cannot be written at all:
	// the second attempt tells which.
	return createNamed(target, perm)
}

// createNamed begins a file that has a name from the start. It is locked (flock(2)), so that the next one for the same target
// can tell whether it was left by somebody who was killed.
func createNamed(target string, perm fs.FileMode) (*File, error) {
	sweep(target)
	for {
		temp := hiddenName(target)
		f, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("create %s: %w", target, unwrapPath(err))
		}
		// Where there are no locks, nothing is swept either. In the moment before the lock somebody may have swept this one.
		if err := filelock.Lock(f, unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
			f.Close()
			continue
		}
		if _, err := os.Lstat(temp); errors.Is(err, fs.ErrNotExist) {
			f.Close()
			continue
		}
		return &File{File: f, target: target, perm: perm, temp: temp}, nil
	}
}

// sweep removes what was begun for a target under a name of its own and is held by nobody. What cannot be removed stays.
func sweep(target string) {
	entries, err := os.ReadDir(filepath.Dir(target))
	if err != nil {
		return
	}
	prefix, suffix := hiddenParts(target)
	for _, e := range entries {
		if middle, ok := strings.CutPrefix(e.Name(), prefix); !ok || len(middle) != 12+len(suffix) || !strings.HasSuffix(middle, suffix) || !e.Type().IsRegular() {
			continue
		}
		path := filepath.Join(filepath.Dir(target), e.Name())
		f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if err != nil {
			continue
		}
		if filelock.Free(f) {
			_ = os.Remove(path)
		}
		f.Close()
	}
}

// Commit flushes the content to the disk, gives it the target's name, replacing what was there, and closes the file.
// When it fails the target is as it was and the new content is gone; but when only the target's folder could not be flushed,
// the new content is there, and a power failure may bring back the old.
func (f *File) Commit() error { return f.commit(true) }

// CommitCached is Commit without waiting for the disk. After a power failure the target may hold damaged content: it is
// meant for caches whose readers verify what they read.
func (f *File) CommitCached() error { return f.commit(false) }

func (f *File) commit(sync bool) (err error) {
	if f.done {
		return fmt.Errorf("write %s: %w", f.target, fs.ErrClosed)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", f.target, unwrapPath(err))
		}
		err = errors.Join(err, f.Close())
	}()
	if err := f.File.Chmod(f.perm); err != nil {
		return err
	}
	if sync {
		if err := f.File.Sync(); err != nil {
			return err
		}
	}
	if err := f.settle(); err != nil {
		return err
	}
	if f.temp == "" {
		if err := f.name(); err != nil {
			return err
		}
	}
	var dir *os.File
	if sync {
		dir, err = os.Open(filepath.Dir(f.target))
		if err == nil {
			defer dir.Close()
		} else if !errors.Is(err, fs.ErrPermission) { // one may write into a folder that one may not read
			return err
		}
	}
	if err := os.Rename(f.temp, f.target); err != nil {
		return err
	}
	f.temp, f.done = "", true
	_ = f.File.Close() // it is settled: what this says is of no account
	if dir != nil {
		return syncDir(dir)
	}
	return nil
}

// settle finds out what closing the file would say, while its target can still be left as it was: NFS tells there that a quota
// is exceeded or that the server could not keep what was written (close(2)). The file stays open, for its lock.
func (f *File) settle() error {
	fd, err := unix.FcntlInt(f.File.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.Close(fd); err != nil && err != unix.EINTR { // it is closed then as well
		return err
	}
	return nil
}

// name links the unnamed file to a hidden name, since linkat(2) cannot replace an existing one.
func (f *File) name() error {
	for {
		temp := hiddenName(f.target)
		err := unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.File.Fd()), unix.AT_FDCWD, temp, unix.AT_SYMLINK_FOLLOW)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err == nil {
			f.temp = temp
		}
		return err
	}
}

// Close discards the file unless it was committed. It may be called any number of times.
func (f *File) Close() error {
	if f.done {
		return nil
	}
	f.done = true
	err := f.File.Close()
	if f.temp != "" {
		err = errors.Join(err, os.Remove(f.temp))
	}
	return err
}

// WriteFile replaces target by data in one step.
func WriteFile(target string, data []byte, perm fs.FileMode) error {
	f, err := Create(target, perm)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return fmt.Errorf("write %s: %w", target, unwrapPath(err))
	}
	return f.Commit()
}

func hiddenName(target string) string {
	var b [6]byte
	rand.Read(b[:])
	prefix, suffix := hiddenParts(target)
	return filepath.Join(filepath.Dir(target), prefix+hex.EncodeToString(b[:])+suffix)
}

// hiddenParts are what the names of files that are being written for a target begin and end with.
func hiddenParts(target string) (prefix, suffix string) {
	name := filepath.Base(target)
	if len(name) > 200 { // NAME_MAX is 255
		name = name[:200]
	}
	return "." + name + ".", ".partial"
}

// syncDir makes a rename durable. File systems that cannot sync a folder are left to their own order.
func syncDir(dir *os.File) error {
	if err := dir.Sync(); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}

// unwrapPath drops the operation and path that package os adds, since ours are said already.
func unwrapPath(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return e.Err
	}
	return err
}
