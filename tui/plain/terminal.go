package plain

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"

	"github.com/muesli/cancelreader"
	"golang.org/x/sys/unix"
)

// terminal is the input of a person, which is handed to another program for a while: an editor, a shell in a container. What
// is typed meanwhile is for that one, so nothing may be reading here.
type terminal struct {
	file *os.File
	mu   sync.Mutex
	free *sync.Cond // something of the following has changed
	r    cancelreader.CancelReader
	lent bool
}

// newTerminal takes the input of a person; nil where it cannot be handed on.
func newTerminal(in io.Reader) *terminal {
	f, ok := in.(*os.File)
	if !ok {
		return nil
	}
	if _, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS); err != nil {
		return nil
	}
	r, err := cancelreader.NewReader(f)
	if err != nil {
		return nil
	}
	_ = r.Close() // it has read nothing
	t := &terminal{file: f}
	t.free = sync.NewCond(&t.mu)
	return t
}

// Read reads what is typed, and waits while the terminal is lent.
func (t *terminal) Read(p []byte) (int, error) {
	for {
		t.mu.Lock()
		for t.lent {
			t.free.Wait()
		}
		r, err := cancelreader.NewReader(t.file)
		if err != nil {
			t.mu.Unlock()
			return 0, err
		}
		t.r = r
		t.mu.Unlock()
		n, err := r.Read(p)
		t.mu.Lock()
		t.r = nil
		err = errors.Join(err, r.Close())
		t.free.Broadcast()
		t.mu.Unlock()
		switch {
		case n > 0:
			return n, nil
		case errors.Is(err, cancelreader.ErrCanceled):
		case err == nil || errors.Is(err, io.EOF):
			return 0, io.EOF
		default:
			return 0, err
		}
	}
}

// lend hands the terminal to a program until it ends.
func (t *terminal) lend(cmd *exec.Cmd) error {
	t.mu.Lock()
	t.lent = true
	if t.r != nil {
		t.r.Cancel()
	}
	for t.r != nil {
		t.free.Wait()
	}
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		t.lent = false
		t.free.Broadcast()
		t.mu.Unlock()
	}()
	// The program gets the terminal's signals alone: Ctrl+C in an editor does not end this one. Taking the terminal back is
	// not allowed to a process in the background, unless it ignores the signal for that (tcsetpgrp(3)).
	fd := int(t.file.Fd())
	cmd.Stdin, cmd.Stdout, cmd.Stderr = t.file, t.file, t.file
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Foreground: true, Ctty: fd}
	signal.Ignore(syscall.SIGTTOU)
	defer signal.Reset(syscall.SIGTTOU)
	err := cmd.Run()
	return errors.Join(err, unix.IoctlSetPointerInt(fd, unix.TIOCSPGRP, unix.Getpgrp()))
}

// canLend tells whether another program can be shown.
func (p *program) canLend() bool { return p.term != nil && p.Self != "" }

// shell hands the terminal to a command of this program that opens a shell, and says how it went only when it did not open.
func (p *program) shell(args ...string) error {
	p.say("This is a shell inside. Exit ends it, and brings you back here.")
	err := p.term.lend(exec.Command(p.Self, args...))
	if _, exited := errors.AsType[*exec.ExitError](err); exited {
		err = nil // the status of the last command, which is the person's business
	}
	if err != nil {
		p.failed("Opening the shell", err)
	}
	p.say("You are back in Carrel.")
	return nil
}

// edit hands the terminal to the person's editor.
func (p *program) edit(path string) error {
	if err := p.term.lend(exec.Command(p.Editor[0], append(append([]string{}, p.Editor[1:]...), path)...)); err != nil {
		p.failed("Editing "+path, err)
	}
	return nil
}
