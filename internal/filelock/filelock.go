// Package filelock locks files and folders (flock(2)), also where the file system has no locks, as some network file systems:
// there everybody gets every lock, since the alternative is that nothing works at all.
package filelock

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Lock takes a lock on an open file, as the flags of flock(2) say. It goes when the file is closed, or with the process.
// Where another holds it and LOCK_NB is given the error is unix.EWOULDBLOCK.
func Lock(f *os.File, how int) error {
	if err := try(f, how); err != nil && !none(err) {
		return err
	}
	return nil
}

// Open opens a file with the flags of os.OpenFile and locks it as Lock does. The file is the one that has the name while it
// is locked: others replace files by renaming new ones onto them, and one that was opened before and is locked after is
// nobody's any more.
func Open(path string, flag, how int) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, flag, 0)
		if err != nil {
			return nil, err
		}
		opened()
		if err := Lock(f, how); err != nil {
			f.Close()
			return nil, &os.PathError{Op: "lock", Path: path, Err: err}
		}
		same, err := named(f, path)
		if same && err == nil {
			return f, nil
		}
		f.Close()
		if err != nil {
			return nil, err
		}
	}
}

// opened is where tests have something happen.
var opened = func() {}

// named tells whether a name still is that of an open file.
func named(f *os.File, path string) (bool, error) {
	a, err := f.Stat()
	if err != nil {
		return false, err
	}
	b, err := os.Stat(path)
	if err != nil {
		return false, err
	}
	return os.SameFile(a, b), nil
}

// Free tells whether nobody holds a lock on an open file, and takes it then. Where there are no locks it cannot be known,
// and is false.
func Free(f *os.File) bool { return try(f, unix.LOCK_EX|unix.LOCK_NB) == nil }

func try(f *os.File, how int) error {
	for {
		if err := unix.Flock(int(f.Fd()), how); err != unix.EINTR {
			return err
		}
	}
}

// none tells whether an error is of a file system or kernel without locks.
func none(err error) bool {
	return errors.Is(err, unix.ENOLCK) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EOPNOTSUPP)
}
