package forked

import (
	"errors"
	"syscall"
	"unsafe"
)

// vfork3 is vfork by clone3(2).
//
//go:noescape
func vfork3(args *cloneArgs, size uintptr) (pid, errno uintptr)

// cloneArgs is struct clone_args (clone3(2)), up to what CLONE_INTO_CGROUP needs.
type cloneArgs struct {
	flags      uint64
	_          [3]uint64 // pidfd, child_tid, parent_tid
	exitSignal uint64
	_          [5]uint64 // stack, stack_size, tls, set_tid, set_tid_size
	cgroup     uint64
}

// Spawn starts a child in new namespaces (flags of clone(2)) that makes the calls of the program, with the memory of this
// process, and becomes its file; it is the caller's child. cgroup is a descriptor of a folder of cgroup v2 to start in; -1 is
// the caller's own. The error is a *FailedError where a call of the program failed, and nothing is left then.
func (p *Program) Spawn(flags uintptr, cgroup int) (int, error) {
	if p.full() || p.passes || p.starter != nil || len(p.limits) > 0 {
		return 0, errors.New("not a program to be spawned")
	}
	p.ctl = -1
	flags |= syscall.CLONE_VM | syscall.CLONE_VFORK
	var args *cloneArgs
	if cgroup >= 0 {
		args = &cloneArgs{flags: uint64(flags) | cloneIntoCgroup, exitSignal: uint64(syscall.SIGCHLD), cgroup: uint64(cgroup)}
	}
	syscall.ForkLock.Lock()
	pid, errno := p.spawn(flags|uintptr(syscall.SIGCHLD), args)
	syscall.ForkLock.Unlock()
	p.alive()
	if errno != 0 {
		return 0, syscall.Errno(errno)
	}
	if p.report[0] == msgFailed {
		for {
			if _, err := syscall.Wait4(int(pid), nil, 0, nil); err != syscall.EINTR {
				break
			}
		}
		return 0, &FailedError{int(p.report[1]), syscall.Errno(p.report[2])}
	}
	return int(pid), nil
}

// spawn returns in the parent only, and at once: the child uses this frame of the stack, which is the parent's.
//
//go:noinline
//go:norace
func (p *Program) spawn(flags uintptr, args *cloneArgs) (pid, errno uintptr) {
	beforeFork()
	if args != nil {
		pid, errno = vfork3(args, unsafe.Sizeof(*args))
	} else {
		pid, errno = vfork(flags, nil)
	}
	if errno != 0 || pid != 0 {
		afterFork()
		return pid, errno
	}
	afterForkInChild()
	p.run(0, len(p.steps))
	p.become()
	return 0, 0
}
