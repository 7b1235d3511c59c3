package instance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"carrel/engine/instance/logfile"
	"carrel/engine/sandbox/plan"
)

// ask connects to the supervisor of a folder. The error wraps ErrNotFound, ErrNotRunning or is an *ElsewhereError where
// that is the reason.
func ask(op, dir string) (*net.UnixConn, record, error) {
	name := filepath.Base(dir)
	in, r, err := load(dir, thisMachine())
	switch {
	case err != nil:
		return nil, r, fmt.Errorf("%s %s: %w", op, name, err)
	case in.Elsewhere != "" && in.State.Live():
		return nil, r, &ElsewhereError{name, in.Elsewhere}
	case !in.State.Live():
		return nil, r, fmt.Errorf("%s %s: %w", op, name, ErrNotRunning)
	case r.Reserved:
		return nil, r, fmt.Errorf("%s %s: %w", op, name, errStarting)
	}
	conn, err := connect(dir, r.Control)
	if err != nil {
		return nil, r, fmt.Errorf("%s %s: %w", op, name, err)
	}
	return conn, r, nil
}

// end sends a request that ends the instance and waits until it has.
func end(ctx context.Context, op, dir string, req request) error {
	conn, r, err := ask(op, dir)
	if err != nil {
		if r.PID > 0 && !r.Reserved && r.Machine == thisMachine() && alive(r.PID, r.Start) && r.State.Live() {
			// A supervisor whose socket is gone still listens to signals.
			sig := unix.SIGTERM
			if req.Op == opKill {
				sig = unix.SIGKILL
			}
			if err := signalProcess(r.PID, r.Start, sig); err != nil && !errors.Is(err, ErrNotRunning) {
				return fmt.Errorf("%s %s: %w", op, filepath.Base(dir), err)
			}
			_, err = Wait(ctx, dir)
		}
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var a answer
	err = sendPacket(conn, req)
	if err == nil {
		_, err = receivePacket(conn, &a)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil: // the supervisor was killed, which is an end too
		_, err = Wait(ctx, dir)
		return err
	case a.Error != nil:
		return fmt.Errorf("%s %s: %w", op, filepath.Base(dir), a.Error)
	}
	return nil
}

// Stop ends the instance of a folder and returns when it has ended: its stop signal, and after the grace time, 0 for at
// once, negative for the instance's own, SIGKILL. A second Stop with less grace shortens the first. The end of ctx ends only
// the waiting. The error wraps ErrNotRunning where it had ended before.
func Stop(ctx context.Context, dir string, grace time.Duration) error {
	return StopWith(ctx, dir, grace, 0)
}

// StopWith is Stop with another signal than the instance's own; 0: that one.
func StopWith(ctx context.Context, dir string, grace time.Duration, sig syscall.Signal) error {
	return end(ctx, "stop", dir, request{Op: opStop, Grace: grace, Signal: int(sig)})
}

// Kill ends all processes of the instance of a folder at once and returns when it has ended.
func Kill(ctx context.Context, dir string) error {
	return end(ctx, "kill", dir, request{Op: opKill})
}

// Signal sends a signal to the process that the instance was started for.
func Signal(ctx context.Context, dir string, sig syscall.Signal) error {
	conn, _, err := ask("signal", dir)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	var a answer
	if err = sendPacket(conn, request{Op: opSignal, Signal: int(sig)}); err == nil {
		_, err = receivePacket(conn, &a)
	}
	if err == nil && a.Error != nil {
		err = a.Error
	}
	if err != nil {
		return fmt.Errorf("signal %s: %w", filepath.Base(dir), err)
	}
	return nil
}

// Job is a further process in a running instance. Wait must be called.
type Job struct {
	conn *net.UnixConn
	name string
}

// Start starts a further process in the running instance of a folder, with the given standard files, which stay the
// caller's. With tty the first of them is a terminal that becomes the process's own. When the caller dies the process gets
// SIGHUP. Errors of the start are *RemoteError with their hints.
func Start(ctx context.Context, dir string, p plan.Process, stdio [3]*os.File, tty bool) (*Job, error) {
	conn, _, err := ask("enter", dir)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	var a answer
	if err = sendPacket(conn, request{Op: opExec, Process: &p, TTY: tty}, stdio[:]...); err == nil {
		_, err = receivePacket(conn, &a)
	}
	if err == nil && a.Error != nil {
		err = a.Error
	}
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("enter %s: %w", filepath.Base(dir), err)
	}
	return &Job{conn: conn, name: filepath.Base(dir)}, nil
}

// Signal sends a signal to the process; one that has ended does not mind.
func (j *Job) Signal(sig syscall.Signal) {
	_ = sendPacket(j.conn, request{Op: opSignal, Signal: int(sig)})
}

// Wait waits until the process has ended and returns its exit status as a shell gives it. When ctx ends the process is
// hung up on.
func (j *Job) Wait(ctx context.Context) (status int, err error) {
	defer j.conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = j.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var a answer
	if _, err := receivePacket(j.conn, &a); err != nil {
		if ctx.Err() != nil {
			return -1, ctx.Err()
		}
		return 128 + int(syscall.SIGKILL), fmt.Errorf("wait in %s: %w", j.name, ErrNotRunning)
	}
	return a.Status, nil
}

// Exec is Start and Wait.
func Exec(ctx context.Context, dir string, p plan.Process, stdio [3]*os.File, tty bool) (status int, err error) {
	job, err := Start(ctx, dir, p, stdio, tty)
	if err != nil {
		return -1, err
	}
	return job.Wait(ctx)
}

// Attached is a connection with the console of a running instance. Close must be called.
type Attached struct {
	conn   *net.UnixConn
	Input  *os.File // the master of its terminal, or the pipe of its standard input
	Output *os.File // what its terminal shows; nil without one
	TTY    bool
	ended  chan struct{}
	status int
	known  bool
}

// Attach connects with the terminal of the running instance of a folder, or with its standard input where that is kept
// open. Errors of the other side are *RemoteError with their hints.
func Attach(ctx context.Context, dir string) (*Attached, error) {
	conn, r, err := ask("attach to", dir)
	if err != nil {
		return nil, err
	}
	show, screen, err := os.Pipe()
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("attach to %s: %w", r.Name, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	var a answer
	var files []*os.File
	if err = sendPacket(conn, request{Op: opAttach}, screen); err == nil {
		files, err = receivePacket(conn, &a)
	}
	screen.Close()
	if err == nil && a.Error != nil {
		err = a.Error
	}
	if err == nil && len(files) != 1 {
		err = errors.New("no file came back")
	}
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		closeFiles(files)
		show.Close()
		conn.Close()
		return nil, fmt.Errorf("attach to %s: %w", filepath.Base(dir), err)
	}
	at := &Attached{conn: conn, Input: files[0], Output: show, TTY: a.TTY, ended: make(chan struct{})}
	if !a.TTY {
		show.Close()
		at.Output = nil
	}
	go func() {
		defer close(at.ended)
		var a answer
		if _, err := receivePacket(conn, &a); err == nil && a.Kind == kindEnded {
			at.status, at.known = a.Status, true
		}
	}()
	return at, nil
}

// Ended is closed when the app has ended, or what looks after it.
func (a *Attached) Ended() <-chan struct{} { return a.ended }

// Status is the app's exit status, once Ended; known is false when its supervisor was killed.
func (a *Attached) Status() (status int, known bool) { return a.status, a.known }

// EOF tells an app without terminal that nothing more comes.
func (a *Attached) EOF() { _ = sendPacket(a.conn, request{Op: opEOF}) } // ended meanwhile

// Close lets go of the app.
func (a *Attached) Close() {
	a.conn.Close()
	a.Input.Close()
	if a.Output != nil {
		a.Output.Close()
	}
	<-a.ended
}

// ReadLog hands the log of an instance's folder over, oldest lines first, in batches that it does not use again. With
// Follow it goes on until the instance has ended. It returns nil at the end, the error of fn, or ctx's error.
func ReadLog(ctx context.Context, dir string, o LogOptions, fn func([]LogLine) error) error {
	in, err := at(dir)
	if err != nil {
		return err
	}
	// Under its descriptor the folder is found also when the instance is renamed meanwhile.
	if held, err := os.Open(dir); err == nil {
		defer held.Close()
		dir = "/proc/self/fd/" + strconv.Itoa(int(held.Fd()))
	}
	opts := logfile.Options{Follow: o.Follow, Tail: o.Tail, Since: o.Since}
	if o.Follow {
		opts.Ended = func() bool {
			in, err := at(dir)
			return err != nil || !in.State.Live()
		}
		if in.Elsewhere == "" {
			opts.Writer = in.PID
		}
	}
	return logfile.Read(ctx, dir, opts, fn)
}
