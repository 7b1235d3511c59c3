package look

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// UnreadError tells that an answer is without what a person may not read, in a folder as in any other file system.
type UnreadError struct {
	Paths []string // with a leading slash, sorted
}

func (e *UnreadError) Error() string {
	if len(e.Paths) == 1 {
		return e.Paths[0] + " cannot be read: permission denied; the answer is without it"
	}
	return fmt.Sprintf("%s and %d more cannot be read: permission denied; the answer is without them", e.Paths[0], len(e.Paths)-1)
}

// Unwrap makes it fs.ErrPermission.
func (e *UnreadError) Unwrap() error { return fs.ErrPermission }

// Hint names who may.
func (e *UnreadError) Hint() string { return "ask again as the owner of these, or as root" }

// Unread is what could not be read for want of permission: paths with a leading slash, sorted.
type Unread []string

// Err is an *UnreadError, nil when all was read.
func (u Unread) Err() error {
	if len(u) == 0 {
		return nil
	}
	return &UnreadError{u}
}

// pass takes note of a path that may not be read and returns nil; other errors it returns.
func (u *Unread) pass(name string, err error) error {
	if err == nil || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	*u = append(*u, "/"+name)
	return nil
}

func (u *Unread) sort() {
	slices.Sort(*u)
	*u = slices.Compact(*u)
}
