package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
)

// The size of the terminal in which screens are measured.
const (
	screenWidth  = 120
	screenHeight = 36
)

// footer is in the last line of every screen; when it is there the frame is whole.
const footer = "ctrl+p"

// screenQuestions ask how long the first frame takes, and what the screens cost while nothing happens.
func screenQuestions(_ context.Context, l *lab) ([]question, error) {
	p := l.user()
	idle := 5 * time.Second
	if l.quick {
		idle = 2 * time.Second
	}
	return []question{
		{
			title: "Screens, as " + p.name, unit: seconds, runs: 10, parts: []string{"first frame", "answer to a key"},
			about: fmt.Sprintf("In a terminal of %d by %d cells that answers what programs ask of it: from the start of the process to a whole frame, and from a key to the change on the screen.", screenWidth, screenHeight),
			contenders: []contender{
				withOurs(l.screen("Carrel, the first time ever", func() (person, error) {
					fresh := p
					var err error
					fresh.home, err = l.home(p)
					return fresh, err
				})),
				l.screenKnown(p),
			},
		},
		{
			title: "Screens left alone, as " + p.name, unit: percent, runs: 3,
			about:      fmt.Sprintf("The processor time of the desk over %s in which no key is pressed.", idle),
			contenders: []contender{l.idle(p, idle)},
		},
	}, nil
}

// A terminal is a program in a terminal that this program draws.
type terminal struct {
	cmd  *exec.Cmd
	file *os.File
	mu   sync.Mutex
	emu  *vt.Emulator
	news chan struct{} // something was drawn
	done chan struct{}
}

// openTerminal starts a program in a terminal.
func (l *lab) openTerminal(c call) (*terminal, error) {
	cmd := exec.Command(c.Args[0], c.Args[1:]...)
	cmd.Env, cmd.Dir = c.Env, c.Dir
	attributes := &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if c.UID != os.Getuid() {
		attributes.Credential = &syscall.Credential{Uid: uint32(c.UID), Gid: uint32(c.GID)}
	}
	f, err := pty.StartWithAttrs(cmd, &pty.Winsize{Rows: screenHeight, Cols: screenWidth}, attributes)
	if err != nil {
		return nil, err
	}
	x := &terminal{cmd: cmd, file: f, emu: vt.NewEmulator(screenWidth, screenHeight), news: make(chan struct{}, 1), done: make(chan struct{})}
	go func() {
		defer close(x.done)
		buf := make([]byte, 64<<10)
		for {
			n, err := f.Read(buf)
			x.mu.Lock()
			_, werr := x.emu.Write(buf[:n])
			x.mu.Unlock()
			select {
			case x.news <- struct{}{}:
			default:
			}
			if err != nil || werr != nil {
				return // the program has ended
			}
		}
	}()
	go func() { _, _ = io.Copy(f, x.emu) }() // its answers to the program, until it is closed
	return x, nil
}

// text is what the screen shows.
func (x *terminal) text() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.emu.String()
}

// wait waits until the screen is as it should be.
func (x *terminal) wait(ctx context.Context, so func(text string) bool) error {
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	for {
		if so(x.text()) {
			return nil
		}
		select {
		case <-x.news:
		case <-ctx.Done():
			return ctx.Err()
		case <-limit.C:
			return errors.New("the screen does not show what it should")
		case <-x.done:
			return errors.New("it ended")
		}
	}
}

func (x *terminal) close() {
	_ = x.cmd.Process.Kill() // it may have ended
	_ = x.cmd.Wait()         // by that
	_ = x.emu.Close()        // never fails
	x.file.Close()
	<-x.done
}

func whole(text string) bool { return strings.Contains(text, footer) }

// screen opens the screens anew for each run, in the home that is given.
func (l *lab) screen(name string, home func() (person, error)) contender {
	return contender{name: name, how: "carrel", run: func(ctx context.Context) (measure, error) {
		p, err := home()
		if err != nil {
			return measure{}, err
		}
		start := time.Now()
		x, err := l.openTerminal(l.call(p, l.carrel))
		if err != nil {
			return measure{}, err
		}
		defer x.close()
		if err := x.wait(ctx, whole); err != nil {
			return measure{}, err
		}
		first := time.Since(start)
		if err := x.settle(ctx, 300*time.Millisecond); err != nil {
			return measure{}, err
		}
		before := x.text()
		start = time.Now()
		if _, err := x.file.WriteString("?"); err != nil {
			return measure{}, err
		}
		err = x.wait(ctx, func(text string) bool { return text != before })
		return measure{values: []float64{first.Seconds(), time.Since(start).Seconds()}}, err
	}}
}

// settle waits until nothing was drawn for a while.
func (x *terminal) settle(ctx context.Context, quiet time.Duration) error {
	for {
		select {
		case <-x.news:
		case <-ctx.Done():
			return ctx.Err()
		case <-x.done:
			return errors.New("it ended")
		case <-time.After(quiet):
			return nil
		}
	}
}

// screenKnown opens the screens for somebody who has seen the welcome.
func (l *lab) screenKnown(p person) contender {
	known := p
	c := l.screen("Carrel, the desk", func() (person, error) { return known, nil })
	c.ours = true
	c.prepare = func(ctx context.Context) (err error) {
		known, err = l.welcomed(ctx, p)
		return err
	}
	return c
}

// welcomed makes a home in which the welcome was passed.
func (l *lab) welcomed(ctx context.Context, p person) (person, error) {
	dir, err := l.home(p)
	if err != nil {
		return p, err
	}
	p.home = dir
	x, err := l.openTerminal(l.call(p, l.carrel))
	if err != nil {
		return p, err
	}
	defer x.close()
	if err := x.wait(ctx, whole); err != nil {
		return p, err
	}
	before := x.text()
	if _, err := x.file.WriteString("\x1b"); err != nil {
		return p, err
	}
	if err := x.wait(ctx, func(text string) bool { return text != before && whole(text) && !strings.Contains(text, "1 of 3") }); err != nil {
		return p, err
	}
	return p, x.settle(ctx, 300*time.Millisecond)
}

// idle measures the processor time of the desk over a while.
func (l *lab) idle(p person, while time.Duration) contender {
	known := p
	c := contender{name: "Carrel, the desk", ours: true, how: "carrel"}
	c.prepare = func(ctx context.Context) (err error) {
		known, err = l.welcomed(ctx, p)
		return err
	}
	c.run = func(ctx context.Context) (measure, error) {
		x, err := l.openTerminal(l.call(known, l.carrel))
		if err != nil {
			return measure{}, err
		}
		defer x.close()
		if err := x.wait(ctx, whole); err != nil {
			return measure{}, err
		}
		if err := x.settle(ctx, time.Second); err != nil {
			return measure{}, err
		}
		return x.share(ctx, while)
	}
	return c
}

// share is the part of a processor that the program takes over a while, in percent.
func (x *terminal) share(ctx context.Context, while time.Duration) (measure, error) {
	before, err := processorTime(x.cmd.Process.Pid)
	if err != nil {
		return measure{}, err
	}
	start := time.Now()
	select {
	case <-time.After(while):
	case <-ctx.Done():
		return measure{}, ctx.Err()
	}
	after, err := processorTime(x.cmd.Process.Pid)
	return measure{values: []float64{100 * float64(after-before) / float64(time.Since(start))}}, err
}

// processorTime is what all threads of a process have used, from /proc/PID/schedstat's first field, in nanoseconds.
func processorTime(pid int) (time.Duration, error) {
	tasks := "/proc/" + strconv.Itoa(pid) + "/task"
	entries, err := os.ReadDir(tasks)
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, e := range entries {
		text, err := os.ReadFile(tasks + "/" + e.Name() + "/schedstat")
		if err != nil {
			return 0, err
		}
		first, _, _ := strings.Cut(string(text), " ")
		n, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(n)
	}
	return sum, nil
}
