package sandbox

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"carrel/engine/sandbox/plan"
)

// Error is a step of starting a container that failed.
type Error struct {
	Op             string // "bind", "mount overlay", "start", "new namespaces" …
	Source, Target string // paths, where the step has them
	Err            error  // wraps a syscall.Errno where the kernel refused
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Source != "" {
		b.WriteString(" " + e.Source)
	}
	if e.Target != "" {
		if e.Source != "" {
			b.WriteString(" on")
		}
		b.WriteString(" " + e.Target)
	}
	return b.String() + ": " + e.cause()
}

// cause is the kernel's answer, in words where its own mislead: it has no answer that means user namespaces.
func (e *Error) cause() string {
	if e.forbids() {
		switch {
		case errors.Is(e.Err, unix.ENOSPC), errors.Is(e.Err, unix.EUSERS):
			return "this computer lets nobody make (more) user namespaces"
		case errors.Is(e.Err, unix.EPERM), errors.Is(e.Err, unix.EACCES), errors.Is(e.Err, unix.ENOSYS), errors.Is(e.Err, unix.EINVAL):
			return "user namespaces are forbidden here"
		}
	}
	return e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// forbids tells whether the step is one that fails where user namespaces are forbidden: making one, or the first mount in one
// (AppArmor of Ubuntu 24.04 lets anybody make one, and do nothing in it).
func (e *Error) forbids() bool { return e.Op == "new namespaces" || e.Op == "make mounts private" }

// Hint says what to do about it.
func (e *Error) Hint() string {
	is := func(errs ...error) bool {
		for _, err := range errs {
			if errors.Is(e.Err, err) {
				return true
			}
		}
		return false
	}
	switch {
	case e.forbids() && is(unix.ENOSPC, unix.EUSERS):
		return "this computer's limit of user namespaces is used up or 0; an administrator can raise it: sysctl -w user.max_user_namespaces=65536"
	case e.forbids() && is(unix.EPERM, unix.EACCES, unix.ENOSYS, unix.EINVAL):
		return "ordinary users may not make user namespaces here; `carrel doctor` shows the line an administrator would run"
	case e.Op == "enter folder" && is(unix.ENOENT, unix.ENOTDIR):
		return fmt.Sprintf("the container has no folder %s to start in; `carrel exec IMAGE ls /` shows what it has, and a bind (-B) adds to it", e.Target)
	case e.Op == "open /dev/fuse" && is(unix.EACCES, unix.EPERM):
		return "ordinary users may not open /dev/fuse here; an administrator can allow it: chmod 666 /dev/fuse"
	case e.Op == "bind" && is(unix.ENOENT) && e.Source != "":
		return fmt.Sprintf("the file or folder %s is not there; create it first (mkdir -p %s), or correct the path", e.Source, e.Source)
	case e.Op == "bind" && is(unix.EROFS):
		return "the container's own files are read-only here, so a new place for a bind cannot be made; choose a destination that exists in the image"
	case e.Op == "start" && is(unix.ENOENT):
		return "the container has no program of that name; `carrel exec IMAGE ls /usr/bin` shows some that it has"
	case e.Op == "start" && is(unix.EACCES):
		return "the file is there but may not be executed"
	case e.Op == "start" && is(unix.ENOEXEC):
		return "the program is for another kind of processor, or not a program"
	case e.Op == "mount overlay":
		return "the kernel refused an overlay file system; `carrel doctor` says what this computer can do"
	case e.Op == OpMapIDs:
		return "newuidmap and newgidmap could not apply the ranges of /etc/subuid and /etc/subgid; check that both are set-user-ID root"
	}
	return ""
}

// fromFailure makes an Error of what init reported.
func fromFailure(f *plan.Failure) error {
	if f == nil {
		return &Error{Op: "start", Err: errors.New("init failed without saying why")}
	}
	e := &Error{Op: f.Op, Source: f.Source, Target: f.Target, Err: errors.New(f.Text)}
	if f.Errno != 0 {
		e.Err = syscall.Errno(f.Errno)
	}
	return e
}
