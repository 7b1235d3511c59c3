package oci

import (
	"io"
	"sync"
)

const (
	aheadBuffers = 4
	aheadSize    = 1 << 19
)

// readAhead reads from r in a goroutine, a few buffers ahead of its reader.
type readAhead struct {
	full chan chunk
	free chan []byte
	stop chan struct{}
	done chan struct{}
	// interrupt makes a read from r that waits for something return.
	interrupt func()
	end       func()
	once      sync.Once
	buffer    []byte // the whole one that rest is part of
	rest      []byte
	err       error
}

type chunk struct {
	b   []byte
	err error
}

// newReadAhead begins reading. see is called with every piece in order, in the goroutine; by Close interrupt is called
// before the goroutine's end is waited for, and end after.
func newReadAhead(r io.Reader, see func([]byte) error, interrupt, end func()) *readAhead {
	a := &readAhead{
		full: make(chan chunk, aheadBuffers), free: make(chan []byte, aheadBuffers),
		stop: make(chan struct{}), done: make(chan struct{}), interrupt: interrupt, end: end,
	}
	for range aheadBuffers {
		a.free <- nil // made when it is first needed: many layers are small
	}
	go func() {
		defer close(a.done)
		for {
			var b []byte
			select {
			case b = <-a.free:
			case <-a.stop:
				return
			}
			if b == nil {
				b = make([]byte, aheadSize)
			}
			var n int
			err := guard(func() (err error) {
				for idle := 0; n < len(b) && err == nil; {
					var m int
					m, err = r.Read(b[n:])
					n += m
					if m > 0 {
						idle = 0
					} else if idle++; idle > 100 && err == nil {
						err = io.ErrNoProgress
					}
				}
				if seen := see(b[:n]); seen != nil {
					return seen
				}
				return err
			})
			select {
			case a.full <- chunk{b[:n], err}:
			case <-a.stop:
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return a
}

func (a *readAhead) Read(p []byte) (int, error) {
	for len(a.rest) == 0 {
		if a.err != nil {
			return 0, a.err
		}
		if a.buffer != nil {
			a.free <- a.buffer[:cap(a.buffer)] // never blocks: there are as many places as buffers
			a.buffer = nil
		}
		c := <-a.full
		a.buffer, a.rest, a.err = c.b, c.b, c.err
	}
	n := copy(p, a.rest)
	a.rest = a.rest[n:]
	return n, nil
}

// failed is the error the source ended with, other than its end.
func (a *readAhead) failed() error {
	if a.err == io.EOF {
		return nil
	}
	return a.err
}

// Close ends the goroutine and waits for it.
func (a *readAhead) Close() {
	a.once.Do(func() {
		close(a.stop)
		a.interrupt()
		<-a.done
		a.end()
	})
}
