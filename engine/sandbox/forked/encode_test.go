package forked

import (
	"bytes"
	"slices"
	"syscall"
	"testing"
	"unsafe"
)

// sample is a program with everything that can be encoded.
func sample() *Program {
	p := &Program{}
	p.Name("sample")
	fd := p.Get(syscall.SYS_OPENAT, Int(-100), p.Text("/etc"), Int(0), Int(0))
	p.Do(syscall.SYS_CLOSE, In(fd))
	p.Allow(syscall.EBADF, syscall.EINTR)
	p.Optional(1)
	rules := Slice(p, []uint64{1, 2, 3})
	type holder struct {
		n  uint64
		at *uint64
	}
	h := Struct(p, &holder{n: 7})
	p.Points(h, unsafe.Offsetof(holder{}.at), rules.Plus(8))
	p.Do(syscall.SYS_WRITE, Int(1), h, Int(16))
	file := p.Starter([]string{"/bin/true", "/usr/bin/true"})
	p.Do(syscall.SYS_WRITE, Int(1), p.Data(file), Int(len(file)))
	p.Limit(syscall.RLIMIT_CORE, 5)
	p.Main()
	p.Do(syscall.SYS_SETSID)
	pwd := p.Data([]byte("PWD=\x00\x00\x00"))
	p.Do(syscall.SYS_GETCWD, pwd.Plus(4), Int(3))
	p.Exec(In(fd), []string{"true", "one", "two"}, []Arg{p.Text("A=1"), pwd})
	return p
}

func texts(list []*byte) (out []string) {
	for _, at := range list[:len(list)-1] {
		n := 0
		for *(*byte)(unsafe.Add(unsafe.Pointer(at), n)) != 0 {
			n++
		}
		out = append(out, string(unsafe.Slice(at, n)))
	}
	return out
}

// TestEncode: what was decoded says the same, with other last arguments, and points into its own memory.
func TestEncode(t *testing.T) {
	text, ok := sample().Append([]byte("before"), 1)
	if !ok {
		t.Fatal("it cannot be encoded")
	}
	text = text[len("before"):]
	p, err := Decode(text, []string{"three", "four"})
	if err != nil {
		t.Fatal(err)
	}
	if got := texts(p.argv); !slices.Equal(got, []string{"true", "one", "three", "four"}) {
		t.Errorf("arguments %q", got)
	}
	if got := texts(p.envv); !slices.Equal(got, []string{"A=1", "PWD="}) {
		t.Errorf("variables %q", got)
	}
	second, ok := p.Append(nil, 2)
	if !ok {
		t.Fatal("what was decoded cannot be encoded")
	}
	// The addresses in the pieces are of this process: they are all that may differ.
	third, err := Decode(second, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range p.steps {
		o := third.steps[i]
		for j := range s.args {
			if s.refs[j].piece > 0 {
				s.args[j], o.args[j] = 0, 0
			}
		}
		if s != o {
			t.Errorf("step %d: %+v, %+v", i, s, o)
		}
	}
	at := uintptr(0)
	for _, k := range p.keep {
		if len(k.pointers) > 0 {
			at = *(*uintptr)(unsafe.Add(k.at, k.pointers[0].offset))
		}
	}
	if at == 0 || *(*uint64)(addressOf(at)) != 2 {
		t.Errorf("the address in a piece is %#x", at)
	}
	if p.starter == nil || !bytes.Contains(p.starter, []byte("/usr/bin/true\x00")) {
		t.Error("the starter is lost")
	}
}

func TestEncodeRefuses(t *testing.T) {
	p := sample()
	p.Pass(3)
	if _, ok := p.Append(nil, 0); ok {
		t.Error("a program that passes descriptors was encoded")
	}
	if _, ok := sample().Append(nil, 4); ok {
		t.Error("more arguments were left out than there are")
	}
}

func FuzzDecode(f *testing.F) {
	text, _ := sample().Append(nil, 1)
	f.Add(text)
	f.Add(text[:len(text)/2])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Decode(b, []string{"x"})
		if err == nil && p.full() {
			t.Error("more slots than there are")
		}
	})
}
