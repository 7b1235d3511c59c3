// Package forked runs a list of system calls in a child of this process that is not another program: the child is a copy
// of this one (clone(2) without CLONE_VM) of which nothing runs but this list, and ends as process 1 of its namespace, which
// starts one program and reaps; or, in the namespace of its parent, as that program. Starting a Go program for that costs some milliseconds, most of what a container costs.
//
// A child of a process with threads may do next to nothing (fork(2), "async-signal-safe"); in Go it may neither allocate nor
// grow its stack nor take a lock (package syscall, forkAndExecInChild). So everything is written down beforehand: a Program
// is plain data, and what runs it calls nothing but the kernel. What cannot be known beforehand, results of earlier calls, is
// passed on in slots. A call that fails in a way that is not provided for ends the child, which reports its number: nothing
// is explained here, and the caller is expected to do the same thing in another way that explains itself.
package forked

import (
	"runtime"
	"syscall"
	"unsafe"
)

// Slot is the result of a call, for calls after it.
type Slot int

// maxSlots is how many results a program may use.
const maxSlots = 256

// A step is one system call.
type step struct {
	call    uintptr
	args    [6]uintptr
	slots   [6]bool // the argument is the number of a slot
	refs    [6]ref  // the argument is an address of this
	out     int     // slot of the result; -1: nobody uses it
	allow   [2]uintptr
	any     bool // every error is allowed
	onError int  // the step after an error that is allowed; 0: the next one
}

// Program is what a child does. Its zero value does nothing.
type Program struct {
	steps []step
	split int // the steps from here on are those of the started process; 0: the child itself becomes the program

	slots [maxSlots]uintptr
	used  int

	program    Arg // descriptor of the file that the process becomes
	argv, envv []*byte
	env        []ref  // where the variables are, but for the last word, which is 0
	args       int    // how many arguments the program got from Exec
	starter    []byte // the file; nil where it is another

	name    []byte
	ctl     int  // the child's end of the socket
	socket  Slot // the same for steps, and whether one uses it
	passes  bool
	main    uintptr
	status  int32
	limits  []step
	report  [3]int32
	started fdMessage
	keep    []piece // what steps refer to by address
}

// piece is memory that steps refer to.
type piece struct {
	at       unsafe.Pointer
	size     uintptr
	pointers []pointer
}

// pointer is an address in a piece.
type pointer struct {
	offset uintptr // where it is
	to     ref
}

// ref is an address in a piece: the number of the piece, from 1 on (0: no address), and the distance from its beginning.
type ref struct{ piece, offset uint32 }

// Arg is an argument of a call.
type Arg struct {
	value uintptr
	slot  bool
	ref   ref
}

// Int is a number as an argument.
func Int(n int) Arg { return Arg{value: uintptr(n)} }

// In is the result of an earlier call as an argument.
func In(s Slot) Arg { return Arg{value: uintptr(s), slot: true} }

// Text is a string, ended by a zero byte, as an argument.
func (p *Program) Text(s string) Arg { return p.Data(append([]byte(s), 0)) }

// Data is the address of bytes as an argument.
func (p *Program) Data(b []byte) Arg {
	return p.piece(unsafe.Pointer(unsafe.SliceData(b)), uintptr(len(b)))
}

// Struct is the address of what v points to as an argument. Where that has addresses itself, Points tells of them.
func Struct[T any](p *Program, v *T) Arg { return p.piece(unsafe.Pointer(v), unsafe.Sizeof(*v)) }

// Slice is the address of the first element of v as an argument.
func Slice[T any](p *Program, v []T) Arg {
	var one T
	return p.piece(unsafe.Pointer(unsafe.SliceData(v)), uintptr(len(v))*unsafe.Sizeof(one))
}

func (p *Program) piece(at unsafe.Pointer, size uintptr) Arg {
	p.keep = append(p.keep, piece{at: at, size: size})
	return Arg{value: uintptr(at), ref: ref{piece: uint32(len(p.keep))}}
}

// Plus is the address n bytes after another.
func (a Arg) Plus(n int) Arg {
	a.value += uintptr(n)
	a.ref.offset += uint32(n)
	return a
}

// Points tells that what in is the address of has another address in it, at an offset.
func (p *Program) Points(in Arg, offset uintptr, to Arg) {
	k := &p.keep[in.ref.piece-1]
	k.pointers = append(k.pointers, pointer{offset, to.ref})
}

// Do adds a system call.
func (p *Program) Do(call uintptr, args ...Arg) {
	s := step{call: call, out: -1}
	for i, a := range args {
		s.args[i], s.slots[i], s.refs[i] = a.value, a.slot, a.ref
	}
	p.steps = append(p.steps, s)
}

// Get adds a system call whose result is used.
func (p *Program) Get(call uintptr, args ...Arg) Slot {
	p.Do(call, args...)
	out := p.used
	p.used++
	p.steps[len(p.steps)-1].out = out
	return Slot(out)
}

// Len is the number of calls so far.
func (p *Program) Len() int { return len(p.steps) }

// Allow goes on with the next call when the last one fails with one of at most two errors; without any, with whatever error.
func (p *Program) Allow(errs ...syscall.Errno) {
	s := &p.steps[len(p.steps)-1]
	s.any = len(errs) == 0
	for i, e := range errs {
		s.allow[i] = uintptr(e)
	}
}

// Optional makes the calls from the given one on a group: when one of them fails the rest of them is left out.
func (p *Program) Optional(from int) {
	for i := from; i < len(p.steps); i++ {
		p.steps[i].any, p.steps[i].onError = true, len(p.steps)
	}
}

// OptionalFor is Optional for one call and one error only.
func (p *Program) OptionalFor(call int, err syscall.Errno) {
	p.steps[call].allow[0], p.steps[call].onError = uintptr(err), len(p.steps)
}

// Pass adds the passing of a descriptor to the parent, who gets it from Await.
func (p *Program) Pass(fd int) {
	if !p.passes {
		p.passes, p.socket = true, Slot(p.used)
		p.used++
	}
	m := &fdMessage{}
	m.set(msgPassed)
	m.control.fd = int32(fd)
	p.Do(syscall.SYS_SENDMSG, In(p.socket), Struct(p, &m.header), Int(syscall.MSG_NOSIGNAL))
}

// Main begins the calls that the started process makes before it becomes the program. Without it the child starts none, and
// becomes the program itself: in a PID namespace that others share there is nobody to be process 1 for.
func (p *Program) Main() { p.split = len(p.steps) }

// Limit adds a resource limit (prlimit(2)) that is set when the process has been started.
func (p *Program) Limit(resource int, value uint64) {
	limit := Struct(p, &syscall.Rlimit{Cur: value, Max: value})
	p.limits = append(p.limits, step{
		call: syscall.SYS_PRLIMIT64, args: [6]uintptr{1: uintptr(resource), 2: limit.value}, refs: [6]ref{2: limit.ref}, out: -1,
	})
}

// Exec is what the process becomes: the program of a file, by a descriptor of it (execveat(2)), with arguments and variables,
// which are addresses of texts.
func (p *Program) Exec(file Arg, args []string, env []Arg) {
	p.program, p.args = file, len(args)
	for _, s := range args {
		p.argv = append(p.argv, unsafe.SliceData(append([]byte(s), 0)))
	}
	p.argv = append(p.argv, nil)
	for _, v := range env {
		p.env = append(p.env, v.ref)
		p.envv = append(p.envv, (*byte)(unsafe.Add(p.keep[v.ref.piece-1].at, v.ref.offset)))
	}
	p.envv = append(p.envv, nil)
}

// full tells whether the program needs more slots than there are.
func (p *Program) full() bool { return p.used > maxSlots }

// alive keeps what the child refers to.
func (p *Program) alive() { runtime.KeepAlive(p) }
