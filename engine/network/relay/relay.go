// Package relay copies the bytes of two connections into one another until both directions have ended. It is what a
// published port and the user-mode network stack have in common.
package relay

import (
	"errors"
	"io"
	"net"
	"sync"
)

// halfCloser is a connection whose sending direction can end while the other goes on: *net.TCPConn, *net.UnixConn,
// gVisor's gonet.TCPConn.
type halfCloser interface {
	CloseWrite() error
}

// Run copies from a to b and from b to a, and returns when both directions have ended; then both connections are closed.
// The end of one direction is passed on as a half-close, and the other goes on; an error in one direction, such as a
// reset, ends both. Between two *net.TCPConn the kernel moves the bytes (splice(2)). To end it early close either
// connection. sent and received count the bytes that went from a to b and from b to a.
func Run(a, b net.Conn) (sent, received int64) {
	var wg sync.WaitGroup
	wg.Go(func() { sent = copyOne(b, a) })
	received = copyOne(a, b)
	wg.Wait()
	_ = a.Close()
	_ = b.Close()
	return sent, received
}

// copyOne copies one direction and passes its end on.
func copyOne(to, from net.Conn) int64 {
	n, err := copyBytes(to, from)
	half, ok := to.(halfCloser)
	if err == nil && ok && half.CloseWrite() == nil {
		return n
	}
	// A failed direction cannot be reported to the far side in any other way than by ending the connection.
	_ = to.Close()
	_ = from.Close()
	return n
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

func copyBytes(to, from net.Conn) (int64, error) {
	if tcp, ok := to.(*net.TCPConn); ok {
		if _, ok := from.(*net.TCPConn); ok {
			return tcp.ReadFrom(from)
		}
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	var total int64
	for {
		n, err := from.Read(*buf)
		if n > 0 {
			if _, werr := to.Write((*buf)[:n]); werr != nil {
				return total, werr
			}
			total += int64(n)
		}
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}
