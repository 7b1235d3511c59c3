// Package relay copies the bytes of two connections into one another until both directions have ended. It is what a
// published port and the user-mode network stack have in common.
package relay

import (
	"errors"
	"io"
	"net"
	"sync"

	"golang.org/x/sys/unix"
)

// halfCloser is a connection whose sending direction can end while the other goes on: *net.TCPConn, *net.UnixConn,
// gVisor's gonet.TCPConn.
type halfCloser interface {
	CloseWrite() error
}

// aborter is a connection that can be ended with a reset, such as gVisor's; *net.TCPConn can by another way.
type aborter interface {
	Abort()
}

// Run copies from a to b and from b to a, and returns when both directions have ended; then both connections are closed.
// The end of one direction is passed on as a half-close, and the other goes on. A reset is passed on as a reset, after
// what was sent before it. Between two *net.TCPConn the kernel moves the bytes (splice(2)). To end it early close, or
// Abort, both connections. sent and received count the bytes that went from a to b and from b to a.
func Run(a, b net.Conn) (sent, received int64) {
	var wg sync.WaitGroup
	wg.Go(func() { sent = copyOne(b, a) })
	received = copyOne(a, b)
	wg.Wait()
	_ = a.Close()
	_ = b.Close()
	return sent, received
}

// Abort closes a connection with a reset where it can (tcp(7), SO_LINGER with time 0): an orderly end would look like the
// complete end of what was sent.
func Abort(c net.Conn) {
	switch c := c.(type) {
	case aborter:
		c.Abort()
	case *net.TCPConn:
		_ = c.SetLinger(0)
	}
	_ = c.Close()
}

// copyOne copies one direction and passes its end on.
func copyOne(to, from net.Conn) int64 {
	n, readErr, writeErr := copyBytes(to, from)
	switch {
	case readErr != nil:
		Abort(to)
	case writeErr != nil:
		// Nobody takes any more on this side, so it has ended in both directions. The other direction passes on what was sent
		// before that, and then how it ended.
	default:
		if half, ok := to.(halfCloser); !ok || half.CloseWrite() != nil {
			_ = to.Close()
		}
	}
	return n
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

func copyBytes(to, from net.Conn) (n int64, readErr, writeErr error) {
	if to, ok := to.(*net.TCPConn); ok {
		if from, ok := from.(*net.TCPConn); ok {
			n, err := to.ReadFrom(from)
			if err != nil && hungUp(from) {
				return n, err, nil
			}
			return n, nil, err
		}
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for {
		size, err := from.Read(*buf)
		if size > 0 {
			if _, err := to.Write((*buf)[:size]); err != nil {
				return n, nil, err
			}
			n += int64(size)
		}
		if errors.Is(err, io.EOF) {
			return n, nil, nil
		}
		if err != nil {
			return n, err, nil
		}
	}
}

// hungUp tells on which side of a failed copy the fault was: a connection that was reset, or closed here, is hung up.
func hungUp(c *net.TCPConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return true
	}
	up := false
	err = raw.Control(func(fd uintptr) {
		poll := []unix.PollFd{{Fd: int32(fd)}} // POLLERR and POLLHUP are always reported (poll(2))
		n, err := unix.Poll(poll, 0)
		up = err == nil && (n == 0 || poll[0].Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) == 0)
	})
	return err != nil || !up
}
