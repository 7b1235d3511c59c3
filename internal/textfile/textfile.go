// Package textfile opens the files that a person names for a program to read, such as definitions and lists of variables,
// which may as well be pipes that nobody writes to.
package textfile

import (
	"context"
	"io"
	"os"
)

// Open opens a file for reading. Where it is a named pipe, nobody may ever open its other end (fifo(7)): the waiting for that,
// and for what comes through it, ends with the context, whose error is returned then. The caller closes it.
func Open(ctx context.Context, name string) (io.ReadCloser, error) {
	if st, err := os.Stat(name); err != nil || st.Mode()&os.ModeNamedPipe == 0 {
		return os.Open(name) // which says what is wrong
	}
	type opened struct {
		f   *os.File
		err error
	}
	done := make(chan opened, 1)
	go func() { // ends with the program when nobody comes; there is no way to call open(2) back
		f, err := os.Open(name)
		done <- opened{f, err}
	}()
	select {
	case <-ctx.Done():
		go func() {
			if o := <-done; o.err == nil {
				o.f.Close()
			}
		}()
		return nil, ctx.Err()
	case o := <-done:
		if o.err != nil {
			return nil, o.err
		}
		return &pipe{ctx: ctx, File: o.f, stop: context.AfterFunc(ctx, func() { o.f.Close() })}, nil
	}
}

// pipe is a pipe that is closed when the context ends.
type pipe struct {
	*os.File
	ctx  context.Context
	stop func() bool
}

// Read says why it was closed.
func (p *pipe) Read(b []byte) (int, error) {
	n, err := p.File.Read(b)
	if err != nil && err != io.EOF && p.ctx.Err() != nil {
		err = p.ctx.Err()
	}
	return n, err
}

// Close closes the pipe.
func (p *pipe) Close() error {
	if !p.stop() {
		return nil
	}
	return p.File.Close()
}
