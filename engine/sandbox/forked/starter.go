package forked

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"runtime"
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
	machine := elf.EM_X86_64
	if runtime.GOARCH == "arm64" {
		machine = elf.EM_AARCH64
	}
	head := elf.Header64{
		Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT), Entry: starterBase + starterCode,
		Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 2,
	}
	copy(head.Ident[:], elf.ELFMAG)
	head.Ident[elf.EI_CLASS], head.Ident[elf.EI_DATA], head.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)
	at := 0
	for _, part := range []any{
		&head,
		&elf.Prog64{
			Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: starterBase, Paddr: starterBase,
			Filesz: uint64(size), Memsz: uint64(size), Align: 0x10000,
		},
		&elf.Prog64{Type: uint32(elf.PT_GNU_STACK), Flags: uint32(elf.PF_R | elf.PF_W), Align: 16},
	} {
		n, err := binary.Encode(out[at:], binary.LittleEndian, part)
		if err != nil {
			panic(err) // the parts have a fixed size
		}
		at += n
	}
	copy(out[starterCode:], code)
	at = starterData + 8
	for _, s := range paths {
		at += copy(out[at:], s) + 1
	}
	p.starter = out
	return out
}

// addressOf is a pointer to code, which no garbage collector moves.
func addressOf(code uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&code)) }
