package inside

import (
	"encoding/binary"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A seccomp filter is a program of classic BPF over struct seccomp_data (seccomp(2)):
//
//	offset  0  int   nr
//	        4  u32   arch                AUDIT_ARCH_…
//	        8  u64   instruction_pointer
//	       16  u64   args[6]             low half first on the little-endian machines that Carrel runs on
const (
	dataNr   = 0
	dataArch = 4
	dataArg0 = 16
)

// calls are the numbers of the system calls that filters name, for one calling convention of the machine.
type calls struct {
	arch uint32
	// faked do nothing and report success in a single-id container.
	faked []uint32
	// mknod has the mode as argument 1, mknodat as argument 2; faked for devices only. 0: the convention has none.
	mknod, mknodat uint32
	denied         []uint32
	// synced wait for the disk.
	synced []uint32
	ioctl  uint32
	// mount has its flags as argument 3; remounted are other calls that change mounts which there are.
	mount     uint32
	remounted []uint32
	x32       bool // numbers from 0x40000000 on are a third convention behind the same arch (x86-64)
}

func stmt(code uint16, k uint32) unix.SockFilter { return unix.SockFilter{Code: code, K: k} }

func jump(code uint16, k uint32, jt, jf uint8) unix.SockFilter {
	return unix.SockFilter{Code: code, K: k, Jt: jt, Jf: jf}
}

const (
	ld  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	jeq = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	jge = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	set = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
	and = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	ret = unix.BPF_RET | unix.BPF_K

	retAllow = unix.SECCOMP_RET_ALLOW
	retErrno = unix.SECCOMP_RET_ERRNO
)

// fakeRootFilter lets every call through but those with which an installation asks for rights that a container of one
// id cannot have: they return 0 and do nothing. Packages are then installed with all files owned by the one user, whom
// the image writer records as root.
func fakeRootFilter() []unix.SockFilter {
	return program(func(c calls) []unix.SockFilter {
		out := answer(c.faked, 0)
		device := func(nr, arg uint32) {
			if nr == 0 {
				return
			}
			out = append(out,
				jump(jeq, nr, 0, 7),
				stmt(ld, dataArg0+8*arg),
				stmt(and, unix.S_IFMT),
				jump(jeq, unix.S_IFCHR, 1, 0),
				jump(jeq, unix.S_IFBLK, 0, 1),
				stmt(ret, retErrno), // with errno 0: success
				stmt(ld, dataNr),    // so that the comparisons that follow see the number again
				stmt(unix.BPF_JMP|unix.BPF_JA, 0),
			)
		}
		device(c.mknod, 1)
		device(c.mknodat, 2)
		return out
	})
}

// noSyncFilter answers the calls that wait for the disk with success.
func noSyncFilter() []unix.SockFilter {
	return program(func(c calls) []unix.SockFilter { return answer(c.synced, 0) })
}

// answer returns an errno, or success for 0, from each of the calls.
func answer(numbers []uint32, errno syscall.Errno) []unix.SockFilter {
	var out []unix.SockFilter
	for _, nr := range numbers {
		out = append(out, jump(jeq, nr, 0, 1), stmt(ret, retErrno|uint32(errno)))
	}
	return out
}

// denyFilter refuses the calls that reach into the kernel or other containers and that no application needs.
func denyFilter() []unix.SockFilter {
	return program(func(c calls) []unix.SockFilter { return answer(c.denied, unix.EPERM) })
}

// InputFilter refuses to put characters into the input of a terminal: of ioctl(2) the two requests that do. The kernel looks at
// the lower half of a request only (fs/ioctl.c), and so does this.
func InputFilter() []unix.SockFilter {
	return program(func(c calls) []unix.SockFilter {
		return []unix.SockFilter{
			jump(jeq, c.ioctl, 0, 4),
			stmt(ld, dataArg0+8),
			jump(jeq, unix.TIOCSTI, 1, 0),
			jump(jeq, unix.TIOCLINUX, 0, 1),
			stmt(ret, retErrno|uint32(unix.EPERM)),
		}
	})
}

// mountCalls are those of Linux 5.2 and 5.12 that change mounts, or make detached ones that can be changed: open_tree, move_mount,
// fsopen, fspick, mount_setattr; the same numbers for every convention. Programs go back to mount(2) where they are not there.
var mountCalls = []uint32{unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT, unix.SYS_FSOPEN, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR}

// sealFilter refuses to change mounts that there are; new ones may be made.
func sealFilter() []unix.SockFilter {
	return program(func(c calls) []unix.SockFilter {
		out := append(answer(mountCalls, unix.ENOSYS), answer(c.remounted, unix.EPERM)...)
		return append(out,
			jump(jeq, c.mount, 0, 3),
			stmt(ld, dataArg0+8*3),
			jump(set, unix.MS_REMOUNT|unix.MS_MOVE, 0, 1),
			stmt(ret, retErrno|uint32(unix.EPERM)),
		)
	})
}

// program puts the bodies for each calling convention of this machine behind a test of the convention.
func program(body func(calls) []unix.SockFilter) []unix.SockFilter {
	out := []unix.SockFilter{}
	for _, c := range conventions {
		b := []unix.SockFilter{stmt(ld, dataNr)}
		if c.x32 {
			// The numbers of x32 are not in the tables: refuse them as a kernel without x32 does.
			b = append(b, jump(jge, 0x40000000, 0, 1), stmt(ret, retErrno|uint32(unix.ENOSYS)))
		}
		b = append(b, body(c)...)
		b = append(b, stmt(ret, retAllow))
		// A conditional jump reaches 255 instructions, JA reaches all.
		out = append(out,
			stmt(ld, dataArch),
			jump(jeq, c.arch, 1, 0),
			stmt(unix.BPF_JMP|unix.BPF_JA, uint32(len(b))),
		)
		out = append(out, b...)
	}
	return append(out, stmt(ret, retAllow))
}

// decodeFilter reads what plan.Process.Filter holds.
func decodeFilter(b []byte) []unix.SockFilter {
	var out []unix.SockFilter
	for ; len(b) >= 8; b = b[8:] {
		out = append(out, unix.SockFilter{Code: binary.NativeEndian.Uint16(b), Jt: b[2], Jf: b[3], K: binary.NativeEndian.Uint32(b[4:])})
	}
	return out
}

// install sets the filter for the calling thread and what it starts; no_new_privs is set already.
func install(prog []unix.SockFilter) error {
	fp := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&fp)))
	runtime.KeepAlive(prog)
	if errno != 0 {
		return errno
	}
	return nil
}
