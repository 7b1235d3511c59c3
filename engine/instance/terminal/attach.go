package terminal

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// Open opens a terminal. Waits on master can be ended by closing it and have deadlines; slave is as programs expect their
// terminal, blocking. Both are the caller's to close.
func Open() (master, slave *os.File, err error) { return openPair() }

// Console is a terminal of a process that runs elsewhere, or the pipe that is its standard input.
type Console struct {
	Input  *os.File // what is typed goes there; of a terminal also its size
	Output *os.File // what the terminal shows; nil for a pipe
	TTY    bool
	Ended  <-chan struct{} // closed when the process has ended
	// EOF tells the process, where it has a pipe, that nothing more will be typed; may be nil.
	EOF func()
}

// Attach connects the user's terminal with a console until the process has ended, the keys detach are typed one after the
// other (detached), or ctx ends. Where in is a terminal and the console is one, in is raw meanwhile, as in Run. SIGINT,
// SIGTERM and SIGHUP detach, too.
func Attach(ctx context.Context, in, out *os.File, c Console, detach []byte) (detached bool, err error) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGWINCH, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer signal.Stop(signals)
	person := in != nil && term.IsTerminal(int(in.Fd()))
	if c.TTY && person {
		before, err := term.MakeRaw(int(in.Fd()))
		if err != nil {
			return false, fmt.Errorf("switch terminal to raw: %w", err)
		}
		defer term.Restore(int(in.Fd()), before)
		resize(c.Input, in, true)
	}
	left := make(chan struct{})
	var pumps sync.WaitGroup
	defer pumps.Wait()
	if in != nil {
		input, err := newInput(in)
		if err != nil {
			return false, fmt.Errorf("read terminal: %w", err)
		}
		to := &typed{to: c.Input, detach: detach, left: left}
		if !person {
			to.detach = nil // what comes from a file or a program is no keys
		}
		pumps.Go(func() {
			defer input.close()
			if input.copyUntil(to) && !c.TTY && c.EOF != nil {
				c.Input.Close()
				c.EOF()
			}
		})
		defer input.stop()
	}
	shown := make(chan struct{})
	if c.Output != nil {
		pumps.Go(func() {
			defer close(shown)
			_, _ = io.Copy(out, c.Output) // ends with the process, or with the end of Output below
		})
		defer c.Output.Close()
	} else {
		close(shown)
	}
	for {
		select {
		case <-c.Ended:
			<-shown
			return false, nil
		case <-left:
			return true, nil
		case <-ctx.Done():
			return true, ctx.Err()
		case s := <-signals:
			if s != unix.SIGWINCH {
				if s == unix.SIGINT || ctx.Err() != nil {
					return true, nil
				}
				return true, &SignalError{s.(syscall.Signal)}
			}
			if c.TTY && person {
				resize(c.Input, in, false)
			}
		}
	}
}

// SignalError: a signal ended the connection.
type SignalError struct{ Signal syscall.Signal }

func (e *SignalError) Error() string { return "detached by " + unix.SignalName(e.Signal) }

// resize hands the size of a terminal on. A full-screen program draws itself anew only when the size has changed: with
// redraw it is made to.
func resize(console, from *os.File, redraw bool) {
	ws, err := unix.IoctlGetWinsize(int(from.Fd()), unix.TIOCGWINSZ)
	if err != nil || ws.Row == 0 || ws.Col == 0 {
		return
	}
	if redraw && ws.Row > 1 {
		other := *ws
		other.Row--
		_ = unix.IoctlSetWinsize(int(console.Fd()), unix.TIOCSWINSZ, &other)
	}
	_ = unix.IoctlSetWinsize(int(console.Fd()), unix.TIOCSWINSZ, ws) // gone: it does not matter any more
}

// typed passes on what is typed, but not the keys that detach.
type typed struct {
	to     io.Writer
	detach []byte
	left   chan struct{} // closed when all of them were typed
	held   int           // how many of them were, and wait for the rest
}

// errDetached ends the reading of keys.
var errDetached = fmt.Errorf("detached")

func (t *typed) Write(p []byte) (int, error) {
	var pass bytes.Buffer
	for _, b := range p {
		for t.held > 0 && b != t.detach[t.held] {
			// Not the keys: those held back are the program's. The longest beginning of the keys among them still counts.
			pass.WriteByte(t.detach[0])
			held := append([]byte{}, t.detach[1:t.held]...)
			t.held = 0
			for _, h := range held {
				if h == t.detach[t.held] {
					t.held++
				} else {
					pass.Write(t.detach[:t.held])
					pass.WriteByte(h)
					t.held = 0
				}
			}
		}
		if len(t.detach) > 0 && b == t.detach[t.held] {
			if t.held++; t.held == len(t.detach) {
				close(t.left)
				return 0, errDetached
			}
			continue
		}
		pass.WriteByte(b)
	}
	if _, err := t.to.Write(pass.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}
