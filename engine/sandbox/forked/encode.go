package forked

import (
	"encoding/binary"
	"errors"
	"unsafe"
)

// errDamaged: what was read is not a program.
var errDamaged = errors.New("not a program")

// The sizes of what is encoded are bounded, so that a damaged text does not make a large one.
const (
	maxSteps  = 1 << 12
	maxPieces = 1 << 12
	maxMemory = 1 << 20
)

// Append appends a program to b, for Decode in another process of this very binary. rest is how many of the last arguments
// are left out, because the other process has its own. A program that passes descriptors on cannot be encoded: ok is false.
func (p *Program) Append(b []byte, rest int) (out []byte, ok bool) {
	if p.passes || rest > p.args || len(p.steps) > maxSteps || len(p.keep) > maxPieces {
		return b, false
	}
	u := func(n ...uint64) {
		for _, n := range n {
			b = binary.AppendUvarint(b, n)
		}
	}
	text := func(t []byte) {
		u(uint64(len(t)))
		b = append(b, t...)
	}
	arg := func(value uintptr, slot bool, r ref) {
		switch {
		case slot:
			u(1, uint64(value))
		case r.piece > 0:
			u(2, uint64(r.piece), uint64(r.offset))
		default:
			u(0, uint64(value))
		}
	}
	starter := 0
	u(uint64(len(p.keep)))
	for i, k := range p.keep {
		data := unsafe.Slice((*byte)(k.at), k.size)
		if p.starter != nil && k.at == unsafe.Pointer(unsafe.SliceData(p.starter)) {
			starter = i + 1
		}
		text(data)
		u(uint64(len(k.pointers)))
		for _, at := range k.pointers {
			u(uint64(at.offset), uint64(at.to.piece), uint64(at.to.offset))
		}
	}
	if p.starter != nil && starter == 0 {
		return b, false
	}
	for _, list := range [][]step{p.steps, p.limits} {
		u(uint64(len(list)))
		for i := range list {
			s := &list[i]
			used := len(s.args)
			for used > 0 && s.args[used-1] == 0 && !s.slots[used-1] {
				used--
			}
			flags := uint64(0)
			if s.any {
				flags = 1
			}
			u(uint64(s.call), uint64(used), uint64(s.out+1), uint64(s.allow[0]), uint64(s.allow[1]), flags, uint64(s.onError))
			for j := range used {
				arg(s.args[j], s.slots[j], s.refs[j])
			}
		}
	}
	u(uint64(p.split), uint64(p.used), uint64(starter))
	arg(p.program.value, p.program.slot, p.program.ref)
	text(p.name)
	u(uint64(p.args - rest))
	for _, a := range p.argv[:p.args-rest] {
		n := 0
		for *(*byte)(unsafe.Add(unsafe.Pointer(a), n)) != 0 {
			n++
		}
		text(unsafe.Slice(a, n))
	}
	u(uint64(len(p.env)))
	for _, r := range p.env {
		u(uint64(r.piece), uint64(r.offset))
	}
	return b, true
}

// decoder reads what Append has written.
type decoder struct {
	b      []byte
	failed bool
}

func (d *decoder) int(limit uint64) uint64 {
	n, size := binary.Uvarint(d.b)
	if size <= 0 || n > limit {
		d.failed, d.b = true, nil
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) text() []byte {
	n := d.int(maxMemory)
	if n > uint64(len(d.b)) {
		d.failed, d.b = true, nil
		return nil
	}
	t := d.b[:n]
	d.b = d.b[n:]
	return t
}

// Decode makes the program of which Append made b, with rest as its last arguments. The text is trusted: a program does
// whatever it says.
func Decode(b []byte, rest []string) (*Program, error) {
	d := &decoder{b: b}
	p := &Program{}
	const all = 1<<64 - 1
	texts := make([][]byte, d.int(maxPieces))
	pointers := make([][]pointer, len(texts))
	size := 0
	for i := range texts {
		texts[i] = d.text()
		size += (len(texts[i]) + 7) / 8
		for range d.int(uint64(len(d.b))) {
			pointers[i] = append(pointers[i], pointer{uintptr(d.int(maxMemory)), d.ref(len(texts))})
		}
	}
	// The pieces lie in one memory, each at a multiple of 8. The garbage collector does not look into it: the addresses there
	// are of the memory itself.
	memory := make([]uint64, 0, size)
	for i, t := range texts {
		from := len(memory)
		memory = memory[:from+(len(t)+7)/8]
		k := piece{at: unsafe.Pointer(unsafe.SliceData(memory[from:len(memory):len(memory)])), size: uintptr(len(t)), pointers: pointers[i]}
		copy(unsafe.Slice((*byte)(k.at), k.size), t)
		p.keep = append(p.keep, k)
	}
	address := func(r ref) uintptr {
		if r.piece == 0 || int(r.piece) > len(p.keep) || uintptr(r.offset) > p.keep[r.piece-1].size {
			d.failed = true
			return 0
		}
		return uintptr(p.keep[r.piece-1].at) + uintptr(r.offset)
	}
	for i, list := range pointers {
		for _, at := range list {
			if at.offset+8 > p.keep[i].size {
				return nil, errDamaged
			}
			*(*uintptr)(unsafe.Add(p.keep[i].at, at.offset)) = address(at.to)
		}
	}
	arg := func() (a Arg) {
		switch d.int(2) {
		case 1:
			return Arg{value: uintptr(d.int(maxSlots - 1)), slot: true}
		case 2:
			a.ref = d.ref(len(p.keep))
			a.value = address(a.ref)
			return a
		}
		return Arg{value: uintptr(d.int(all))}
	}
	for _, list := range []*[]step{&p.steps, &p.limits} {
		*list = make([]step, d.int(maxSteps))
		for i := range *list {
			s := &(*list)[i]
			s.call = uintptr(d.int(all))
			used := d.int(uint64(len(s.args)))
			s.out = int(d.int(maxSlots)) - 1
			s.allow = [2]uintptr{uintptr(d.int(all)), uintptr(d.int(all))}
			s.any = d.int(1) == 1
			s.onError = int(d.int(uint64(len(*list))))
			for j := range used {
				a := arg()
				s.args[j], s.slots[j], s.refs[j] = a.value, a.slot, a.ref
			}
		}
	}
	p.split, p.used = int(d.int(uint64(len(p.steps)))), int(d.int(maxSlots))
	if n := d.int(uint64(len(p.keep))); n > 0 {
		k := p.keep[n-1]
		p.starter = unsafe.Slice((*byte)(k.at), k.size)
		d.failed = d.failed || len(p.starter) < starterData+8
	}
	p.program = arg()
	p.name = d.text()
	var args []string
	for range d.int(uint64(len(d.b))) {
		args = append(args, string(d.text()))
	}
	var env []Arg
	for range d.int(uint64(len(d.b))) {
		r := d.ref(len(p.keep))
		if address(r) == 0 {
			return nil, errDamaged
		}
		env = append(env, Arg{ref: r})
	}
	if d.failed || len(d.b) > 0 {
		return nil, errDamaged
	}
	p.Exec(p.program, append(args, rest...), env)
	return p, nil
}

// ref reads an address.
func (d *decoder) ref(pieces int) ref {
	r := ref{uint32(d.int(uint64(pieces))), uint32(d.int(maxMemory))}
	if r.piece == 0 {
		d.failed = true
		r.piece = 1
	}
	return r
}
