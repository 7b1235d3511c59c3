package oci

import (
	"context"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// growing is a layer while it is downloaded, readable from its first byte on. What is read has not been verified: the
// reader compares the tar's digest at the end, and waits for the download's own verdict.
type growing struct {
	started chan struct{} // closed when there is something to read
	once    sync.Once

	mu      sync.Mutex
	changed *sync.Cond
	file    *os.File // own descriptor of the file being written
	size    int64    // bytes in it
	ended   bool
	err     error
}

func newGrowing() *growing {
	g := &growing{started: make(chan struct{})}
	g.changed = sync.NewCond(&g.mu)
	return g
}

// begin follows a file from now on: the first, or that of another attempt, which has the same bytes from the start.
func (g *growing) begin(f *os.File) error {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.file != nil {
		g.file.Close()
	}
	g.file, g.size = os.NewFile(uintptr(fd), f.Name()), 0
	g.once.Do(func() { close(g.started) })
	return nil
}

// Write takes note of bytes that were written to the file.
func (g *growing) Write(b []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.size += int64(len(b))
	g.changed.Broadcast()
	return len(b), nil
}

// end tells readers that nothing will follow.
func (g *growing) end(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended, g.err = true, err
	g.changed.Broadcast()
}

// close frees the file. No reader is left.
func (g *growing) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.file != nil {
		g.file.Close()
		g.file = nil
	}
}

// reader reads from the start, waiting for bytes to come until ctx ends or it is closed.
func (g *growing) reader(ctx context.Context) io.ReadCloser {
	ctx, cancel := context.WithCancel(ctx)
	context.AfterFunc(ctx, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.changed.Broadcast()
	})
	return &growingReader{g: g, ctx: ctx, cancel: cancel}
}

type growingReader struct {
	g      *growing
	ctx    context.Context
	cancel context.CancelFunc
	off    int64
}

func (r *growingReader) Read(b []byte) (int, error) {
	g := r.g
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.size <= r.off && !g.ended && r.ctx.Err() == nil {
		g.changed.Wait()
	}
	switch {
	case r.ctx.Err() != nil:
		return 0, context.Cause(r.ctx)
	case g.err != nil:
		return 0, g.err
	case g.size <= r.off:
		return 0, io.EOF
	}
	n, err := g.file.ReadAt(b[:min(int64(len(b)), g.size-r.off)], r.off)
	r.off += int64(n)
	if n > 0 {
		err = nil
	}
	return n, err
}

// Close may be called while Read waits, which then returns.
func (r *growingReader) Close() error {
	r.cancel()
	return nil
}
