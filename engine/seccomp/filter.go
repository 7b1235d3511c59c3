package seccomp

import (
	_ "embed"
	"encoding/binary"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

//go:embed numbers.txt
var numbers string

// machine is a calling convention.
type machine struct {
	name   string // libseccomp's
	docker string
	audit  uint32
	column int    // of numbers.txt
	compat string // the convention of older programs
	x32    bool   // numbers from 0x40000000 on are another convention behind the same audit number
}

var machines = map[string]machine{
	"amd64": {name: "SCMP_ARCH_X86_64", docker: "amd64", audit: unix.AUDIT_ARCH_X86_64, column: 1, compat: "386", x32: true},
	"386":   {name: "SCMP_ARCH_X86", docker: "x86", audit: unix.AUDIT_ARCH_I386, column: 2},
	"arm64": {name: "SCMP_ARCH_AARCH64", docker: "arm64", audit: unix.AUDIT_ARCH_AARCH64, column: 3, compat: "arm"},
	"arm":   {name: "SCMP_ARCH_ARM", docker: "arm", audit: unix.AUDIT_ARCH_ARM, column: 4},
}

// number is that of a call by its name.
func (m machine) number(name string) (uint32, bool) {
	_, rest, ok := strings.Cut(numbers, "\n"+name+" ")
	if !ok || name == "" || strings.Contains(name, " ") {
		return 0, false
	}
	line, _, _ := strings.Cut(rest, "\n")
	fields := strings.Fields(line)
	n, err := strconv.ParseUint(fields[m.column-1], 10, 32)
	return uint32(n), err == nil
}

const (
	load  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	equal = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	above = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K
	least = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	leap  = unix.BPF_JMP | unix.BPF_JA
	mask  = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	give  = unix.BPF_RET | unix.BPF_K

	// Offsets in struct seccomp_data (seccomp(2)); the machines here are little-endian.
	dataNumber = 0
	dataArch   = 4
	dataArgs   = 16
)

// operators are the comparisons of libseccomp.
var operators = []string{"SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ"}

type assembler struct{ out []unix.SockFilter }

func op(code uint16, k uint32) unix.SockFilter { return unix.SockFilter{Code: code, K: k} }

func (a *assembler) ret(value uint32) { a.out = append(a.out, op(give, value)) }

// machine adds the rules of one architecture, which calls of others pass by.
func (a *assembler) machine(m machine, rules []resolved, otherwise uint32) {
	body := &assembler{out: []unix.SockFilter{op(load, dataNumber)}}
	if m.x32 {
		body.out = append(body.out, unix.SockFilter{Code: least, K: 0x40000000, Jf: 1}, op(give, unix.SECCOMP_RET_ERRNO|uint32(unix.ENOSYS)))
	}
	for _, r := range rules {
		body.rule(r)
	}
	body.ret(otherwise)
	a.out = append(a.out, op(load, dataArch), unix.SockFilter{Code: equal, K: m.audit, Jt: 1}, op(leap, uint32(len(body.out))))
	a.out = append(a.out, body.out...)
}

// rule adds one rule: the number is loaded before it, and after it.
func (a *assembler) rule(r resolved) {
	if len(r.args) == 0 {
		a.out = append(a.out, unix.SockFilter{Code: equal, K: r.number, Jf: 1}, op(give, r.result))
		return
	}
	// From the end: what holds falls through to the answer, what does not goes on behind it, to load the number again.
	tail := []unix.SockFilter{op(give, r.result)}
	for i := len(r.args) - 1; i >= 0; i-- {
		tail = append(compare(r.args[i], len(tail)), tail...)
	}
	a.out = append(a.out, unix.SockFilter{Code: equal, K: r.number, Jt: 1}, op(leap, uint32(len(tail))+1))
	a.out = append(a.out, tail...)
	a.out = append(a.out, op(load, dataNumber))
}

// compare tests one argument, 64 bits in two halves. When the condition holds it falls through, else it leaps over as many
// steps more as skip says. The steps of six conditions are fewer than a conditional jump reaches.
func compare(c condition, skip int) []unix.SockFilter {
	low := uint32(dataArgs + 8*c.Index)
	high := low + 4
	halves := func(v uint64) (uint32, uint32) { return uint32(v), uint32(v >> 32) }
	lo, hi := halves(c.Value)
	var out []unix.SockFilter
	// Jumps are written down as what they mean, and become distances at the end.
	const yes, no, next = 1, 2, 0
	step := func(code uint16, k uint32, jt, jf uint8) {
		out = append(out, unix.SockFilter{Code: code, K: k, Jt: jt, Jf: jf})
	}
	order := func(last uint16, yes, no uint8) { // whether the argument is above, or at least, the value
		step(load, high, next, next)
		step(above, hi, yes, next)
		step(equal, hi, next, no)
		step(load, low, next, next)
		step(last, lo, yes, no)
	}
	switch c.Op {
	case "SCMP_CMP_EQ":
		step(load, high, next, next)
		step(equal, hi, next, no)
		step(load, low, next, next)
		step(equal, lo, yes, no)
	case "SCMP_CMP_NE":
		step(load, high, next, next)
		step(equal, hi, next, yes)
		step(load, low, next, next)
		step(equal, lo, no, yes)
	case "SCMP_CMP_GT":
		order(above, yes, no)
	case "SCMP_CMP_GE":
		order(least, yes, no)
	case "SCMP_CMP_LE":
		order(above, no, yes)
	case "SCMP_CMP_LT":
		order(least, no, yes)
	case "SCMP_CMP_MASKED_EQ":
		want, wantHi := halves(c.ValueTwo)
		step(load, high, next, next)
		step(mask, hi, next, next)
		step(equal, wantHi, next, no)
		step(load, low, next, next)
		step(mask, lo, next, next)
		step(equal, want, yes, no)
	}
	for i := range out {
		if out[i].Code&0x07 != unix.BPF_JMP {
			continue
		}
		distance := func(meaning uint8) uint8 {
			switch meaning {
			case yes:
				return uint8(len(out) - i - 1)
			case no:
				return uint8(len(out) - i - 1 + skip)
			}
			return 0
		}
		out[i].Jt, out[i].Jf = distance(out[i].Jt), distance(out[i].Jf)
	}
	return out
}

// bytes is the filter as the kernel reads it (struct sock_filter).
func (a *assembler) bytes() []byte {
	out := make([]byte, 0, 8*len(a.out))
	for _, f := range a.out {
		out = binary.NativeEndian.AppendUint16(out, f.Code)
		out = append(out, f.Jt, f.Jf)
		out = binary.NativeEndian.AppendUint32(out, f.K)
	}
	return out
}
