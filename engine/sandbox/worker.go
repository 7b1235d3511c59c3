package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"carrel/internal/spawn"
)

// A worker is this program started again as root of a user namespace of its own (or as real root), in a mount namespace
// of its own: for work on trees of files that belong to many users, which has to be done by "root", such as builds. What
// it mounts is gone with it.
//
//	caller                                   worker (argv[0] = WorkerArg0)
//	StartWorker ─────────────────────────▶   EnterWorker, first in main:
//	newuidmap, newgidmap                       waits for one byte on descriptor 3
//	writes the byte ─────────────────────▶     becomes uid 0, gid 0; makes its mounts private
//	                                           returns the rest of argv
const (
	// WorkerArg0 is the name under which the binary is started to be a worker.
	WorkerArg0 = "carrel-worker"
	workerFD   = 3
)

// Worker is a running worker.
type Worker struct {
	process *os.Process
	done    chan struct{}
	state   *os.ProcessState
	err     error
}

// StartWorker starts a worker with the arguments that EnterWorker then returns there. When ctx ends it is asked to stop
// by SIGTERM, as it is when this process dies. The caller calls Wait.
func StartWorker(ctx context.Context, ids IDMap, args []string, stdin, stdout, stderr *os.File) (*Worker, error) {
	return startWorker(ctx, spawn.Do, ids, args, stdin, stdout, stderr)
}

// StartWorkerHere is StartWorker, for a caller that is locked to its thread: the worker inherits what the thread has, such
// as its priority, and is asked to stop when the thread ends. The caller stays locked until Wait returns.
func StartWorkerHere(ctx context.Context, ids IDMap, args []string, stdin, stdout, stderr *os.File) (*Worker, error) {
	return startWorker(ctx, func(f func()) { f() }, ids, args, stdin, stdout, stderr)
}

func startWorker(ctx context.Context, run func(func()), ids IDMap, args []string, stdin, stdout, stderr *os.File) (*Worker, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, &Error{Op: "start worker", Err: err}
	}
	defer w.Close()
	defer r.Close()
	files, closeNull, err := standard(stdin, stdout, stderr)
	if err != nil {
		return nil, err
	}
	defer closeNull()
	// A process group of its own: Ctrl+C reaches the caller, who decides.
	sys := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Setpgid: true, Pdeathsig: syscall.SIGTERM}
	ids.attr(sys)
	var proc *os.Process
	run(func() {
		proc, err = os.StartProcess("/proc/self/exe", append([]string{WorkerArg0}, args...), &os.ProcAttr{Files: append(files, r), Sys: sys, Env: os.Environ()})
	})
	if err != nil {
		return nil, &Error{Op: "new namespaces", Err: errors.Unwrap(err)}
	}
	k := &Worker{process: proc, done: make(chan struct{})}
	go func() {
		k.state, k.err = proc.Wait()
		close(k.done)
	}()
	if ids.Namespace && !ids.simple() {
		if err := ids.apply(ctx, proc.Pid); err != nil {
			proc.Kill()
			<-k.done
			return nil, err
		}
	}
	if _, err := w.Write([]byte{1}); err != nil {
		proc.Kill()
		<-k.done
		return nil, &Error{Op: "start worker", Err: err}
	}
	go func() {
		select {
		case <-ctx.Done():
			_ = proc.Signal(syscall.SIGTERM) // ended meanwhile: nothing to ask
		case <-k.done:
		}
	}()
	return k, nil
}

// StartDetached starts a worker that goes on when this process ends, in a session of its own. Its standard files have to be
// such as need nobody's help; its standard error is /dev/null. ids are those that need no program to be mapped (SingleID).
//
// A goroutine remains as long as the worker is this process's child, to take its exit status.
func StartDetached(ids IDMap, args []string, stdin, stdout *os.File) error {
	if ids.Namespace && !ids.simple() {
		return &Error{Op: "start worker", Err: errors.ErrUnsupported}
	}
	r, w, err := os.Pipe()
	if err != nil {
		return &Error{Op: "start worker", Err: err}
	}
	defer r.Close()
	_, err = w.Write([]byte{1})
	w.Close()
	if err != nil {
		return &Error{Op: "start worker", Err: err}
	}
	files, closeNull, err := standard(stdin, stdout, nil)
	if err != nil {
		return err
	}
	defer closeNull()
	sys := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Setsid: true}
	ids.attr(sys)
	proc, err := os.StartProcess("/proc/self/exe", append([]string{WorkerArg0}, args...), &os.ProcAttr{Dir: "/", Files: append(files, r), Sys: sys, Env: os.Environ()})
	if err != nil {
		return &Error{Op: "new namespaces", Err: errors.Unwrap(err)}
	}
	go func() { _, _ = proc.Wait() }() // nobody asks what became of it
	return nil
}

// Wait waits for the worker's end; an exit status other than 0 is not an error.
func (k *Worker) Wait() (status int, err error) {
	<-k.done
	if k.err != nil {
		return -1, fmt.Errorf("wait for worker: %w", k.err)
	}
	if ws, ok := k.state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal()), nil
	}
	return k.state.ExitCode(), nil
}

// EnterWorker turns this process, if it was started as a worker, into root of its namespace, and returns its arguments.
// It is to be called first in main.
func EnterWorker() (args []string, isWorker bool, err error) {
	if len(os.Args) == 0 || os.Args[0] != WorkerArg0 {
		return nil, false, nil
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	unix.CloseOnExec(workerFD)
	f := os.NewFile(workerFD, "ready")
	defer f.Close()
	if _, err := io.ReadFull(f, make([]byte, 1)); err != nil {
		return nil, true, fmt.Errorf("wait for id mapping: %w", err)
	}
	// gid first: without CAP_SETGID afterwards it could not be changed
	if err := syscall.Setresgid(0, 0, 0); err != nil {
		return nil, true, &Error{Op: "become root of the namespace", Err: err}
	}
	if err := syscall.Setresuid(0, 0, 0); err != nil {
		return nil, true, &Error{Op: "become root of the namespace", Err: err}
	}
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return nil, true, &Error{Op: "make mounts private", Err: err}
	}
	return os.Args[1:], true, nil
}
