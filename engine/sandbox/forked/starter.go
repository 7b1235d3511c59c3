package forked

import (
	"bytes"
	"encoding/binary"
	"unsafe"
)

// The starter is a program of some hundred bytes that stands between the child and the program of the container. While
// execve(2) works, /proc/self/exe still is the program that calls it, and a file of an image that says "#!/proc/self/exe"
// is started by that: by this program's file, which its owner may write to (CVE-2019-5736 was the same of another runtime).
// So what calls it is the starter, a file of the container's own that is gone with it.
//
//	0x000  ELF header, program headers
//	0x100  code (starter_GOARCH.s), up to starterMark
//	0x300  number of the socket, 8 bytes
//	0x308  paths that are tried in turn, each with a zero byte after it, and one more
//
// It gets the arguments and environment of the program. When no path can be executed it reports as the child does.
const (
	starterBase = 0x400000
	starterCode = 0x100
	starterData = 0x300
	starterMark = "carrend!"
)

func starterAddress() uintptr

//lint:ignore U1000 its code is copied, from where starterAddress says
func starter()

// Starter makes the file of a starter that executes the first of the paths that can be executed. The program has to write it
// to an executable file of the container's, as one piece, and to name that in Exec.
func (p *Program) Starter(paths []string) []byte {
	code := unsafe.Slice((*byte)(addressOf(starterAddress())), starterData-starterCode)
	code = code[:bytes.Index(code, []byte(starterMark))]
	size := starterData + 8 + 1
	for _, s := range paths {
		size += len(s) + 1
	}
	out := make([]byte, size)
	// ELF header and program headers (elf(5)): 64 bits, little-endian; a segment that is read and executed, and a stack that
	// is not executed.
	le := binary.LittleEndian
	copy(out, "\x7fELF\x02\x01\x01")
	le.PutUint16(out[16:], 2) // ET_EXEC
	le.PutUint16(out[18:], elfMachine)
	le.PutUint32(out[20:], 1) // EV_CURRENT
	le.PutUint64(out[24:], starterBase+starterCode)
	le.PutUint64(out[32:], 64) // of the program headers
	le.PutUint16(out[52:], 64)
	le.PutUint16(out[54:], 56)
	le.PutUint16(out[56:], 2)
	load, stack := out[64:], out[64+56:]
	le.PutUint32(load, 1)       // PT_LOAD
	le.PutUint32(load[4:], 4|1) // PF_R, PF_X
	le.PutUint64(load[16:], starterBase)
	le.PutUint64(load[24:], starterBase)
	le.PutUint64(load[32:], uint64(size))
	le.PutUint64(load[40:], uint64(size))
	le.PutUint64(load[48:], 0x10000)
	le.PutUint32(stack, 0x6474e551) // PT_GNU_STACK
	le.PutUint32(stack[4:], 4|2)    // PF_R, PF_W
	le.PutUint64(stack[48:], 16)
	copy(out[starterCode:], code)
	at := starterData + 8
	for _, s := range paths {
		at += copy(out[at:], s) + 1
	}
	p.starter = out
	return out
}

// addressOf is a pointer to code, which no garbage collector moves.
func addressOf(code uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&code)) }
