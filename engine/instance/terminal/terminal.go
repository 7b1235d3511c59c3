// Package terminal connects the user's terminal with one of a process's own, for shells inside containers.
package terminal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// drainTime is how long output is still waited for when the process has ended but others hold its terminal.
const drainTime = 200 * time.Millisecond

// Run makes a new terminal, lets start start a process on it, and carries what is typed into in to it, and what it writes
// to out, until the process has ended; it returns the process's exit status. start must not keep slave; the function that
// it returns waits for the process.
//
// Where in is a terminal it is raw meanwhile, and is as it was before when Run returns, however it returns; SIGTERM and
// SIGHUP make it return, with 128 + signal, and so does the end of ctx: the process is hung up on then (its terminal goes
// away). The size of out's terminal is handed on, now and when it changes. What is typed after the end of the process is
// left for the next reader. At the end of in, which is no terminal, the process sees an end of file (Ctrl+D).
func Run(ctx context.Context, in, out *os.File, start func(slave *os.File) (wait func() int, err error)) (status int, err error) {
	master, slave, err := openPair()
	if err != nil {
		return -1, fmt.Errorf("open terminal: %w", err)
	}
	defer master.Close()
	sized := out
	if !term.IsTerminal(int(sized.Fd())) {
		sized = in
	}
	size := func() {
		ws, err := unix.IoctlGetWinsize(int(sized.Fd()), unix.TIOCGWINSZ)
		raw, err2 := master.SyscallConn()
		if err != nil || err2 != nil {
			return
		}
		_ = raw.Control(func(fd uintptr) {
			_ = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, ws) // the other side is gone: it does not matter any more
		})
	}
	size()

	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGWINCH, unix.SIGTERM, unix.SIGHUP)
	defer signal.Stop(signals)
	if term.IsTerminal(int(in.Fd())) {
		before, err := term.MakeRaw(int(in.Fd()))
		if err != nil {
			slave.Close()
			return -1, fmt.Errorf("switch terminal to raw: %w", err)
		}
		defer term.Restore(int(in.Fd()), before)
	}
	input, err := newInput(in)
	if err != nil {
		slave.Close()
		return -1, fmt.Errorf("read terminal: %w", err)
	}
	defer input.close()
	wait, err := start(slave)
	slave.Close()
	if err != nil {
		return -1, err
	}
	ended := make(chan int, 1)
	go func() { ended <- wait() }()

	var pumps sync.WaitGroup
	pumps.Go(func() { input.copy(master) })
	shown := make(chan struct{})
	pumps.Go(func() {
		defer close(shown)
		_, _ = io.Copy(out, master) // EIO when the last holder of the other side is gone (pty(7))
	})
	defer pumps.Wait()
	defer input.stop()
	defer master.Close() // a write that waits for the process ends with it
	for {
		select {
		case status := <-ended:
			_ = master.SetReadDeadline(time.Now().Add(drainTime))
			<-shown
			return status, nil
		case <-ctx.Done():
			return -1, ctx.Err()
		case s := <-signals:
			if s == unix.SIGWINCH {
				size()
				continue
			}
			return 128 + int(s.(syscall.Signal)), nil
		}
	}
}

// openPair opens a terminal. Waits on master can be ended by closing it and have deadlines; slave is as programs expect
// their terminal, blocking.
func openPair() (master, slave *os.File, err error) {
	blocking, slave, err := pty.Open()
	if err != nil {
		return nil, nil, err
	}
	defer blocking.Close()
	slave.Fd() // switches it to blocking
	fd, err := unix.FcntlInt(blocking.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		slave.Close()
		return nil, nil, err
	}
	return os.NewFile(uintptr(fd), "terminal"), slave, nil
}

// input reads a file without taking more than is used: it waits for bytes and for the order to stop at once.
type input struct {
	file     *os.File
	stopping [2]*os.File // a pipe: the end of it is the order
}

func newInput(f *os.File) (*input, error) {
	r, w, err := os.Pipe()
	return &input{file: f, stopping: [2]*os.File{r, w}}, err
}

// stop lets copy return.
func (i *input) stop() { i.stopping[1].Close() }

// close releases the pipe, when copy has returned.
func (i *input) close() {
	i.stopping[0].Close()
	i.stopping[1].Close()
}

func (i *input) copy(to io.Writer) {
	if i.copyUntil(to) {
		_, _ = to.Write([]byte{4}) // VEOF (termios(3))
	}
}

// copyUntil copies until the end of the file, of which it tells, the order to stop, or an error of the writer.
func (i *input) copyUntil(to io.Writer) (eof bool) {
	fd := int(i.file.Fd())
	buf := make([]byte, 4096)
	for {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(i.stopping[0].Fd()), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return false
		}
		if fds[1].Revents != 0 {
			return false
		}
		if fds[0].Revents == 0 {
			continue
		}
		n, err := unix.Read(fd, buf)
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
			continue
		case err != nil:
			return false
		case n == 0:
			return true
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return false
		}
	}
}
