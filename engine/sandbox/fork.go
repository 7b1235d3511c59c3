package sandbox

import (
	"context"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"carrel/engine/sandbox/again"
	"carrel/engine/sandbox/forked"
	"carrel/internal/spawn"
)

// process is the first process of a container.
type process interface {
	Kill() error
	Signal(os.Signal) error
}

// fork starts a container whose init is a copy of this process rather than a program of its own (package forked); one that
// shares the host's process numbers has no init, and what it leaves behind is the host's to reap. It
// returns nil, and nothing is left, when that did not go well for whatever reason: an init will do, or say why not.
func fork(ctx context.Context, c Config) *Container {
	files, closeNull, err := standard(c.Stdin, c.Stdout, c.Stderr)
	if err != nil {
		return nil
	}
	defer closeNull()
	fuse, err := unix.FcntlInt(files[0].Fd(), unix.F_DUPFD_CLOEXEC, 3) // a number that nothing else gets meanwhile
	if err != nil {
		return nil
	}
	defer unix.Close(fuse)
	prog, err := compile(&c, files, fuse)
	if err != nil {
		return nil
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fds[0])
	var pid int
	spawn.Do(func() { pid, err = prog.Start(cloneFlags(&c), fds[1]) })
	unix.Close(fds[1])
	if err != nil {
		return nil
	}
	own := -1
	if !c.Plan.PIDNS {
		// Nobody has waited for it yet, so the number is still its.
		if own, err = unix.PidfdOpen(pid, 0); err != nil {
			_ = unix.Kill(pid, unix.SIGKILL)
			_, _ = (&forkedChild{pid: pid, main: -1}).wait()
			return nil
		}
	}
	k, err := follow(ctx, c, pid, -1, func(take func(fd int)) (int, error) { return forked.Await(fds[0], own, take) })
	if err != nil {
		return nil
	}
	if c.Trace != nil {
		c.Trace.Program, c.Trace.Flags = prog, cloneFlags(&c)
	}
	return k
}

// Adopt takes over a container that was started from a memo. It returns when its process runs; after an error nothing is
// left. Of c only Note is used.
func Adopt(ctx context.Context, c Config, r *again.Running) (*Container, error) {
	r.Hand()
	k, err := follow(ctx, c, r.PID, r.Main, func(func(fd int)) (int, error) {
		err := r.Await()
		return r.Main, err
	})
	if err != nil {
		return nil, &Error{Op: "start", Err: err}
	}
	return k, nil
}

// follow is the container of a child that was forked. main is a descriptor of its process; -1: await waits for that, and gives
// what the child passes on to take.
func follow(ctx context.Context, c Config, pid, main int, await func(take func(fd int)) (int, error)) (*Container, error) {
	k := &Container{
		pid: pid, note: c.Note, pending: map[int]chan reply{}, jobs: map[int]*Job{},
		received: make(chan struct{}), done: make(chan struct{}),
	}
	close(k.received)
	child := &forkedChild{pid: pid, main: main}
	k.process = child
	go func() {
		select {
		case <-ctx.Done():
			k.Kill()
		case <-k.done:
		}
	}()
	var err error
	if main < 0 {
		main, err = await(func(fd int) { k.serve(c.Serve, 0, fd) })
		child.set(main)
	}
	go func() {
		defer close(k.done)
		var err error
		if k.status, err = child.wait(); err != nil {
			k.waitErr = fmt.Errorf("wait for container: %w", err)
		}
		k.serving.Wait()
	}()
	if err != nil {
		<-k.done
		return nil, err
	}
	return k, nil
}

// forkedChild is process 1 of a container that was forked, or its only process where it shares the host's numbers.
type forkedChild struct {
	pid int

	mu    sync.Mutex
	main  int  // descriptor of the container's process; -1: none
	ended bool // pid has been waited for, and may be another process's by now
}

func (f *forkedChild) set(main int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.main = main
}

// wait waits for the end and returns the status as a shell gives it.
func (f *forkedChild) wait() (int, error) {
	// First without taking it, so that nobody sends a signal to a number that is free again.
	for {
		err := unix.Waitid(unix.P_PID, f.pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			break
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	if f.main >= 0 {
		unix.Close(f.main)
		f.main = -1
	}
	for {
		var ws unix.WaitStatus
		_, err := unix.Wait4(f.pid, &ws, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, err
		case ws.Signaled():
			return 128 + int(ws.Signal()), nil
		default:
			return ws.ExitStatus(), nil
		}
	}
}

// Kill ends process 1, and with it the container; without a PID namespace what that process has started goes on.
func (f *forkedChild) Kill() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return os.ErrProcessDone
	}
	return unix.Kill(f.pid, unix.SIGKILL)
}

// Signal sends a signal to the container's process.
func (f *forkedChild) Signal(sig os.Signal) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, ok := sig.(syscall.Signal)
	if !ok || f.ended || f.main < 0 {
		return os.ErrProcessDone
	}
	return unix.PidfdSendSignal(f.main, s, nil, 0)
}
