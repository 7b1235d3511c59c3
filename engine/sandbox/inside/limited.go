package inside

import (
	"errors"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"carrel/engine/sandbox/plan"
)

// forkLimited starts a process that is held to limits from its first instruction on, and returns its number. This process
// cannot set them on itself to hand them on, for a Go program needs more than a limit may leave it; so the new one is
// traced: it stops when it has become its program (ptrace(2), PTRACE_TRACEME), gets its limits, and is let go. Where that is
// forbidden it gets them a moment after it has begun.
func forkLimited(path string, args []string, attr *syscall.ProcAttr, limits []plan.Limit, note func(string)) (int, error) {
	if len(limits) == 0 {
		return syscall.ForkExec(path, args, attr)
	}
	runtime.LockOSThread() // the tracer is a thread
	defer runtime.UnlockOSThread()
	attr.Sys.Ptrace = true
	pid, err := syscall.ForkExec(path, args, attr)
	attr.Sys.Ptrace = false
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EIO) {
		// Of the tracing or of the program: the latter fails again.
		if pid, err = syscall.ForkExec(path, args, attr); err == nil {
			setLimits(pid, limits, note)
		}
		return pid, err
	}
	if err != nil {
		return pid, err
	}
	// Only looked at: when something killed it meanwhile, that is reaped with all others.
	var info unix.Siginfo
	for {
		err := unix.Waitid(unix.P_PID, pid, &info, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			break
		}
	}
	setLimits(pid, limits, note)
	_ = unix.PtraceDetach(pid) // it has ended
	return pid, nil
}
