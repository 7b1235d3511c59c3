package forked

import (
	"encoding/binary"
	"errors"
	"os"
	"syscall"
	"unsafe"
)

// The three are what package syscall does around its own fork (runtime/proc.go): block signals, let every attempt to grow the
// stack in the child fail loudly, and give the child the signals as they were before.
//
//go:linkname beforeFork syscall.runtime_BeforeFork
func beforeFork()

//go:linkname afterFork syscall.runtime_AfterFork
func afterFork()

//go:linkname afterForkInChild syscall.runtime_AfterForkInChild
func afterForkInChild()

// vfork starts a process with the memory of this one, which stands still until the other has become a program or ended. In
// the new process it returns 0. The descriptor of the new process is put where pidfd points (CLONE_PIDFD).
//
//go:noescape
func vfork(flags uintptr, pidfd *int32) (pid, errno uintptr)

// What the child writes to its end of the socket, a message each.
const (
	msgStarted = 1 // with the process's pidfd; the end of the socket after it is the program running
	msgPassed  = 3 // with a descriptor; see Program.Pass
	msgFailed  = 2 // and the number of the step, or -1 for the program itself, and the errno
)

// fdMessage is a message with a descriptor, as sendmsg(2) wants it.
type fdMessage struct {
	header  syscall.Msghdr
	vector  syscall.Iovec
	kind    int32
	control struct {
		header syscall.Cmsghdr
		fd     int32
		_      int32
	}
}

func (m *fdMessage) set(kind int32) {
	m.kind = kind
	m.vector.Base = (*byte)(unsafe.Pointer(&m.kind))
	m.vector.SetLen(4)
	m.header.Iov = &m.vector
	m.header.Iovlen = 1
	m.control.header.Level, m.control.header.Type = syscall.SOL_SOCKET, syscall.SCM_RIGHTS
	m.control.header.SetLen(syscall.CmsgLen(4))
	m.header.Control = (*byte)(unsafe.Pointer(&m.control))
	m.header.SetControllen(syscall.CmsgSpace(4))
}

// arguments is the memory in which the kernel put the arguments of this process (proc_pid_cmdline(5)).
var arguments []byte

func init() {
	if len(os.Args) == 0 {
		return
	}
	last := os.Args[len(os.Args)-1]
	first := unsafe.StringData(os.Args[0])
	end := uintptr(unsafe.Pointer(unsafe.StringData(last))) + uintptr(len(last))
	if size := end - uintptr(unsafe.Pointer(first)); first != nil && len(last) > 0 && size < 1<<21 {
		arguments = unsafe.Slice(first, size)
	}
}

// Name gives the child a name, which ps(1) shows in the place of this process's arguments.
func (p *Program) Name(s string) {
	p.name = append([]byte(s), 0)
	p.Do(syscall.SYS_PRCTL, Int(syscall.PR_SET_NAME), p.Data(p.name))
}

// Start starts a child in new namespaces (flags of clone(2)) and returns its process number. ctl is the child's end of a
// socket of type SOCK_SEQPACKET, which stays the caller's: it is to be closed, and the other end given to Await.
func (p *Program) Start(flags uintptr, ctl int) (int, error) {
	if p.full() {
		return 0, errors.New("too many steps")
	}
	p.ctl = ctl
	p.started.set(msgStarted)
	if p.passes {
		p.slots[p.socket] = uintptr(ctl)
	}
	if p.starter != nil {
		binary.LittleEndian.PutUint64(p.starter[starterData:], uint64(ctl))
	}
	syscall.ForkLock.Lock()
	pid, errno := p.fork(flags | uintptr(syscall.SIGCHLD))
	syscall.ForkLock.Unlock()
	p.alive()
	if errno != 0 {
		return 0, errno
	}
	return int(pid), nil
}

//go:noinline
//go:norace
func (p *Program) fork(flags uintptr) (uintptr, syscall.Errno) {
	beforeFork()
	pid, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, flags, 0, 0, 0, 0, 0)
	if errno != 0 || pid != 0 {
		afterFork()
		return pid, errno
	}
	afterForkInChild()
	p.child()
	return 0, 0
}

// child is process 1, or the program. It does not return.
//
//go:norace
//go:nosplit
func (p *Program) child() {
	for i := range arguments {
		arguments[i] = 0
	}
	for i := 0; i < len(p.name) && i < len(arguments); i++ {
		arguments[i] = p.name[i]
	}
	if p.split == 0 {
		p.run(0, len(p.steps))
		for i := range p.limits {
			l := &p.limits[i]
			if _, _, errno := syscall.RawSyscall6(l.call, 0, l.args[1], l.args[2], 0, 0, 0); errno != 0 {
				p.fail(len(p.steps), errno)
			}
		}
		p.become()
	}
	p.run(0, p.split)
	pid, errno := vfork(uintptr(syscall.SIGCHLD)|clonePidfd|syscall.CLONE_VM|syscall.CLONE_VFORK, &p.started.control.fd)
	if errno != 0 {
		p.fail(p.split, syscall.Errno(errno))
	}
	if pid == 0 {
		p.run(p.split, len(p.steps))
		p.become()
	}
	p.main = pid
	for i := range p.limits {
		l := &p.limits[i]
		if _, _, errno := syscall.RawSyscall6(l.call, pid, l.args[1], l.args[2], 0, 0, 0); errno != 0 && errno != syscall.ESRCH {
			p.fail(len(p.steps), errno)
		}
	}
	syscall.RawSyscall6(syscall.SYS_SENDMSG, uintptr(p.ctl), uintptr(unsafe.Pointer(&p.started.header)), syscall.MSG_NOSIGNAL, 0, 0, 0)
	syscall.RawSyscall6(sysCloseRange, 0, 1<<31-1, 0, 0, 0, 0)
	syscall.RawSyscall6(syscall.SYS_CLOSE, uintptr(p.ctl), 0, 0, 0, 0, 0) // where the kernel has no close_range(2)
	for {
		got, _, errno := syscall.RawSyscall6(syscall.SYS_WAIT4, ^uintptr(0), uintptr(unsafe.Pointer(&p.status)), 0, 0, 0, 0)
		if errno == syscall.EINTR {
			continue
		}
		if errno != 0 {
			p.exit(255)
		}
		if got != pid {
			continue
		}
		if p.status&0x7f != 0 {
			p.exit(uintptr(128 + p.status&0x7f))
		}
		p.exit(uintptr(p.status>>8) & 0xff)
	}
}

// run makes the calls of some steps.
//
//go:norace
//go:nosplit
func (p *Program) run(from, to int) {
	for i := from; i < to; {
		s := &p.steps[i]
		i++
		var a [6]uintptr
		for j := range s.args {
			a[j] = s.args[j]
			if s.slots[j] {
				a[j] = p.slots[s.args[j]]
			}
		}
		r, _, errno := syscall.RawSyscall6(s.call, a[0], a[1], a[2], a[3], a[4], a[5])
		if errno == syscall.EINTR {
			i--
			continue
		}
		if errno != 0 {
			if !s.any && uintptr(errno) != s.allow[0] && uintptr(errno) != s.allow[1] {
				p.fail(i-1, errno)
			}
			if s.onError != 0 {
				i = s.onError
			}
			continue
		}
		if s.out >= 0 {
			p.slots[s.out] = r
		}
	}
}

// become makes the program of this process. It does not return.
//
//go:norace
//go:nosplit
func (p *Program) become() {
	if p.starter != nil { // it goes on telling, and closes the socket
		syscall.RawSyscall6(syscall.SYS_FCNTL, uintptr(p.ctl), syscall.F_SETFD, 0, 0, 0, 0)
	}
	file := p.program.value
	if p.program.slot {
		file = p.slots[file]
	}
	_, _, errno := syscall.RawSyscall6(sysExecveat, file, uintptr(unsafe.Pointer(&empty)), uintptr(unsafe.Pointer(&p.argv[0])), uintptr(unsafe.Pointer(&p.envv[0])), atEmptyPath, 0)
	p.fail(-1, errno)
}

// empty is the empty path.
var empty byte

// fail reports a failure and ends this process.
//
//go:norace
//go:nosplit
func (p *Program) fail(step int, errno syscall.Errno) {
	p.report[0], p.report[1], p.report[2] = msgFailed, int32(step), int32(errno)
	syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(p.ctl), uintptr(unsafe.Pointer(&p.report[0])), unsafe.Sizeof(p.report), syscall.MSG_NOSIGNAL, 0, 0)
	p.exit(255)
}

//go:norace
//go:nosplit
func (p *Program) exit(status uintptr) {
	for {
		syscall.RawSyscall6(syscall.SYS_EXIT_GROUP, status, 0, 0, 0, 0, 0)
	}
}
