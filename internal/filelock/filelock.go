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
