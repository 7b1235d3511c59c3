package again

import (
	"errors"
	"syscall"
	"time"
	"unsafe"

	"carrel/engine/sandbox/forked"
)

// Running is a container that was started from a memo.
type Running struct {
	// PID is process 1 of the container, or its process where it shares the host's numbers.
	PID int
	// Main is a descriptor of the container's process (pidfd_open(2)), -1 as long as Await has not told of it.
	Main int
	// Ended tells that it has, and was waited for; Status is then as a shell gives it.
	Ended  bool
	Status int

	// Memory is what package oom says of the end.
	Memory func(status int) (problem, hint string)

	socket   int  // the end that forked.Await reads
	hostPIDs bool // it shares the host's process numbers, and PID is its process
	pidfd    int  // of PID
	hold     int
}

var errNone = errors.New("no memo that fits")

// Start starts the container of the call's memo. An error means that there is no memo, that it does not fit any more, or that
// the program failed; nothing is left then. before is called when there is nothing left to do but that. The caller waits for
// the container.
func (c *Call) Start(now time.Time, before func()) (*Running, error) {
	m, ok := c.load(now)
	if !ok {
		return nil, errNone
	}
	hold := -1
	if m.Hold != "" {
		var err error
		if hold, err = take(m.Hold); err != nil {
			return nil, err
		}
	}
	r, err := c.start(m, before)
	if err != nil {
		if hold >= 0 {
			syscall.Close(hold)
		}
		return nil, err
	}
	r.hold = hold
	return r, nil
}

func (c *Call) start(m *Memo, before func()) (*Running, error) {
	if !m.Look.same() || m.Terminal != HasTerminal() {
		return nil, errNone
	}
	prog, err := m.program(c)
	if err != nil {
		return nil, err
	}
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	before()
	// The thread is the process's first, which lasts as long as the process: it may be what the child gets a signal for.
	pid, err := prog.Start(m.Flags, fds[1])
	syscall.Close(fds[1])
	if err != nil {
		syscall.Close(fds[0])
		return nil, err
	}
	r := &Running{PID: pid, socket: fds[0], Main: -1, hold: -1, hostPIDs: m.Flags&syscall.CLONE_NEWPID == 0}
	if r.pidfd, err = pidfdOpen(pid); err != nil {
		r.abandon()
		return nil, err
	}
	return r, nil
}

// take opens, locks and touches a file.
func take(file string) (int, error) {
	fd, err := syscall.Open(file, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := syscall.Flock(fd, syscall.LOCK_SH|syscall.LOCK_NB); err != nil {
		syscall.Close(fd)
		return -1, err
	}
	if _, _, errno := syscall.Syscall6(syscall.SYS_UTIMENSAT, uintptr(fd), 0, 0, 0, 0, 0); errno != 0 {
		syscall.Close(fd)
		return -1, errno
	}
	return fd, nil
}

const sysPidfdOpen = 434 // of all architectures

func pidfdOpen(pid int) (int, error) {
	fd, _, errno := syscall.Syscall(sysPidfdOpen, uintptr(pid), 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

// abandon ends a container of which nobody is to know.
func (r *Running) abandon() {
	_ = syscall.Kill(r.PID, syscall.SIGKILL) // nobody has waited for it yet: the number is its own
	r.reap()
	r.close()
}

func (r *Running) close() {
	for _, fd := range []*int{&r.socket, &r.Main, &r.pidfd} {
		if *fd >= 0 {
			syscall.Close(*fd)
			*fd = -1
		}
	}
}

// reap waits for process 1.
func (r *Running) reap() {
	var ws syscall.WaitStatus
	for {
		_, err := syscall.Wait4(r.PID, &ws, 0, nil)
		if err == syscall.EINTR {
			continue
		}
		r.Ended, r.Status = true, 255
		switch {
		case err != nil:
		case ws.Signaled():
			r.Status = 128 + int(ws.Signal())
		default:
			r.Status = ws.ExitStatus()
		}
		return
	}
}

// pollFd is struct pollfd (poll(2)).
type pollFd struct {
	fd      int32
	events  int16
	revents int16
}

const pollIn = 1

// ready waits until there is something to read from a descriptor, or the time is over.
func ready(fd int, limit time.Time) bool {
	for {
		left := time.Until(limit)
		if left <= 0 {
			return false
		}
		p := pollFd{fd: int32(fd), events: pollIn}
		ts := syscall.NsecToTimespec(int64(left))
		n, _, errno := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&p)), 1, uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
		if errno == syscall.EINTR {
			continue
		}
		return errno == 0 && n > 0
	}
}

// Started waits for the container's process, until the time is over or it runs; then Main is known. The error is that of
// forked.Await: the container is none, and nothing of it is left.
func (r *Running) Started(limit time.Time) error {
	if !ready(r.socket, limit) {
		return nil
	}
	err := r.Await()
	if err != nil {
		r.abandon()
	}
	return err
}

// Await waits until the container's process runs; then Main is known, and Socket is closed. The error is that of
// forked.Await: the container ends by itself, which is still to be waited for.
func (r *Running) Await() error {
	own := -1
	if r.hostPIDs {
		var err error
		if own, err = pidfdOpen(r.PID); err != nil { // nobody has waited for it yet: the number is its own
			_ = syscall.Kill(r.PID, syscall.SIGKILL)
			return err
		}
	}
	var err error
	r.Main, err = forked.Await(r.socket, own, nil)
	syscall.Close(r.socket)
	r.socket = -1
	return err
}

// Wait waits for the end of the container until the time is over, and tells whether it has ended.
func (r *Running) Wait(limit time.Time) bool {
	if r.Main < 0 || !ready(r.pidfd, limit) {
		return false
	}
	r.reap()
	r.close()
	return true
}

// Hand gives the container to somebody else who waits for it: what only this package needs is closed. The file that is held
// stays so until the end of this process.
func (r *Running) Hand() {
	if r.pidfd >= 0 {
		syscall.Close(r.pidfd)
		r.pidfd = -1
	}
}

// HasTerminal tells whether this process has a controlling terminal (tty(4)), which is then its children's.
func HasTerminal() bool {
	fd, err := syscall.Open("/dev/tty", syscall.O_RDONLY|syscall.O_NOCTTY|syscall.O_CLOEXEC, 0)
	if err == nil {
		syscall.Close(fd)
	}
	return err != syscall.ENXIO
}
