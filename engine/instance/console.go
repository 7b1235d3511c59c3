package instance

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"carrel/engine/instance/terminal"
)

const (
	// keptScreen is how much of what was last written to a terminal is shown to who attaches to it.
	keptScreen = 16 << 10
	// viewerQueue is how many pieces of output wait for one who is attached and does not read; then some are left out.
	viewerQueue = 64
	viewerTime  = 5 * time.Second // for one piece
)

// usualSize is that of a terminal as long as nobody is attached to it.
var usualSize = unix.Winsize{Row: 24, Col: 80}

// console is what an instance offers to those who attach to it: its terminal, or the pipe of its standard input. Its
// methods may be called from several goroutines.
type console struct {
	mu      sync.Mutex
	input   *os.File // master of the terminal, or the write end of the pipe; nil: there is none
	tty     bool
	recent  []byte
	viewers []*viewer
}

// viewer is one who is attached to a terminal.
type viewer struct {
	pieces chan []byte
	gone   chan struct{} // closed when nothing is shown any more
}

// terminal makes a new terminal for the app. Both files are the caller's.
func (c *console) terminal() (master, slave *os.File, err error) {
	if master, slave, err = terminal.Open(); err != nil {
		return nil, nil, err
	}
	fd, err := unix.FcntlInt(master.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err == nil {
		err = unix.SetNonblock(fd, true) // Fd has made it a blocking one
	}
	if err != nil {
		master.Close()
		slave.Close()
		return nil, nil, err
	}
	master.Close()
	master = os.NewFile(uintptr(fd), "terminal")
	input, err := duplicate(master)
	if err == nil {
		err = unix.IoctlSetWinsize(int(input.Fd()), unix.TIOCSWINSZ, &usualSize)
	}
	if err != nil {
		master.Close()
		slave.Close()
		return nil, nil, err
	}
	c.set(input, true)
	return master, slave, nil
}

// pipe makes a new standard input for the app, which is the caller's, and stays open on this side.
func (c *console) pipe() (*os.File, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, err
	}
	c.set(os.NewFile(uintptr(fds[1]), "input"), false)
	return os.NewFile(uintptr(fds[0]), "input"), nil
}

func (c *console) set(input *os.File, tty bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.input != nil {
		c.input.Close()
	}
	c.input, c.tty, c.recent = input, tty, nil
}

// duplicate is another descriptor of the same file.
func duplicate(f *os.File) (*os.File, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	if e := raw.Control(func(own uintptr) { fd, err = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 3) }); e != nil {
		err = e
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// show gives a piece of the terminal's output to all who are attached.
func (c *console) show(piece []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recent = append(c.recent, piece...)
	if over := len(c.recent) - keptScreen; over > 0 {
		c.recent = append(c.recent[:0], c.recent[over:]...)
	}
	if len(c.viewers) == 0 {
		return
	}
	piece = bytes.Clone(piece)
	for _, v := range c.viewers {
		select {
		case v.pieces <- piece:
		default: // it does not read: the app does not wait for it
		}
	}
}

// errNoConsole is why nobody can attach to an app.
var errNoConsole = &RemoteError{Text: "it has no terminal and reads no input", HintText: "its output: carrel logs -f; start it with -i or -t to type into it"}

// attach gives the file to type into, which is the caller's, and for a terminal copies what the app writes to screen, a
// pipe that it takes over, until the returned function is called or the app has ended.
func (c *console) attach(screen *os.File) (input *os.File, tty bool, end func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.input == nil {
		screen.Close()
		return nil, false, nil, errNoConsole
	}
	if input, err = duplicate(c.input); err != nil {
		screen.Close()
		return nil, false, nil, fmt.Errorf("attach: %w", err)
	}
	if !c.tty {
		screen.Close()
		return input, false, func() {}, nil
	}
	v := &viewer{pieces: make(chan []byte, viewerQueue), gone: make(chan struct{})}
	if len(c.recent) > 0 {
		v.pieces <- bytes.Clone(c.recent)
	}
	c.viewers = append(c.viewers, v)
	go func() {
		defer close(v.gone)
		defer screen.Close()
		failed := false
		for piece := range v.pieces {
			_ = screen.SetWriteDeadline(time.Now().Add(viewerTime))
			if !failed {
				_, err := screen.Write(piece)
				failed = err != nil // gone; the end is told by its connection
			}
		}
	}()
	return input, true, func() { c.leave(v) }, nil
}

// leave ends the showing to one viewer and returns when nothing is left of it.
func (c *console) leave(v *viewer) {
	c.mu.Lock()
	i := slices.Index(c.viewers, v)
	if i >= 0 {
		c.viewers = slices.Delete(c.viewers, i, i+1)
		close(v.pieces)
	}
	c.mu.Unlock()
	<-v.gone
}

// detach lets all go who are attached: the app, or this run of it, has ended.
func (c *console) detach() {
	c.mu.Lock()
	viewers := c.viewers
	c.viewers = nil
	for _, v := range viewers {
		close(v.pieces)
	}
	c.mu.Unlock()
	for _, v := range viewers {
		<-v.gone
	}
	c.endInput()
}

// endInput closes the pipe of the standard input: the app reads an end of file once all who are attached have closed
// theirs.
func (c *console) endInput() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.input != nil {
		c.input.Close()
		c.input = nil
	}
}

// endPipe is endInput for a pipe; a terminal has its own sign of the end.
func (c *console) endPipe() {
	c.mu.Lock()
	tty := c.tty
	c.mu.Unlock()
	if !tty {
		c.endInput()
	}
}

func (c *console) close() { c.detach() }
