package forked

import (
	"encoding/binary"
	"errors"
	"strconv"
	"syscall"
)

// FailedError is a call of the program that failed.
type FailedError struct {
	Step  int // its number; -1: the program could not be executed
	Errno syscall.Errno
}

func (e *FailedError) Error() string { return "step " + strconv.Itoa(e.Step) + ": " + e.Errno.Error() }

func (e *FailedError) Unwrap() error { return e.Errno }

// errEnded: the child ended without a word, killed.
var errEnded = errors.New("the child ended before the program ran")

// Await waits until the program of a child runs, at the caller's end of the socket, and returns a descriptor of the
// program's process (pidfd_open(2)), which the caller closes. What the child passes on goes to take, which is to close it and
// not to wait for anything; nil closes it. A child that becomes the program itself tells nothing of a process: its own
// descriptor, pidfd, is given, and returned. The error is a *FailedError where a call failed; the child then
// ends by itself, which is still to be waited for.
func Await(socket int, pidfd int, take func(fd int)) (int, error) {
	for {
		buf := make([]byte, 12)
		oob := make([]byte, syscall.CmsgSpace(4))
		n, oobn, _, _, err := syscall.Recvmsg(socket, buf, oob, syscall.MSG_CMSG_CLOEXEC)
		if err == syscall.EINTR {
			continue
		}
		if fd := passed(oob[:max(oobn, 0)]); fd >= 0 {
			switch {
			case pidfd < 0 && n == 4 && binary.NativeEndian.Uint32(buf) == msgStarted:
				pidfd = fd
			case take != nil && n == 4 && binary.NativeEndian.Uint32(buf) == msgPassed:
				take(fd)
			default:
				syscall.Close(fd)
			}
		}
		switch {
		case err != nil, n == 0:
			if pidfd < 0 {
				return -1, errors.Join(errEnded, err)
			}
			return pidfd, nil // the socket was closed at execve(2)
		case n == 12 && binary.NativeEndian.Uint32(buf) == msgFailed:
			if pidfd >= 0 {
				syscall.Close(pidfd)
			}
			return -1, &FailedError{int(int32(binary.NativeEndian.Uint32(buf[4:]))), syscall.Errno(binary.NativeEndian.Uint32(buf[8:]))}
		}
	}
}

// passed is the descriptor that came with a message, or -1.
func passed(oob []byte) int {
	if len(oob) == 0 {
		return -1
	}
	msgs, err := syscall.ParseSocketControlMessage(oob)
	if err != nil || len(msgs) == 0 {
		return -1
	}
	fds, err := syscall.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) == 0 {
		return -1
	}
	return fds[0]
}
