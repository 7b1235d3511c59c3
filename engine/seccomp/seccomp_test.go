package seccomp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// run asks a filter about a call, as the kernel does (Documentation/networking/filter.rst), after what its checker wants.
func run(t *testing.T, filter []byte, arch, nr uint32, args ...uint64) uint32 {
	t.Helper()
	data := make([]byte, 64)
	binary.LittleEndian.PutUint32(data[0:], nr)
	binary.LittleEndian.PutUint32(data[4:], arch)
	for i, a := range args {
		binary.LittleEndian.PutUint64(data[16+8*i:], a)
	}
	var acc uint32
	for pc := 0; ; pc++ {
		if pc*8 >= len(filter) {
			t.Fatal("the filter runs beyond its end")
		}
		step := filter[pc*8:]
		k := binary.NativeEndian.Uint32(step[4:])
		jump := func(holds bool) {
			if holds {
				pc += int(step[2])
			} else {
				pc += int(step[3])
			}
		}
		switch code := binary.NativeEndian.Uint16(step); code {
		case load:
			acc = binary.LittleEndian.Uint32(data[k:])
		case mask:
			acc &= k
		case equal:
			jump(acc == k)
		case above:
			jump(acc > k)
		case least:
			jump(acc >= k)
		case leap:
			pc += int(k)
		case give:
			return k
		default:
			t.Fatalf("step %d has the code %#x", pc, code)
		}
	}
}

func TestConditions(t *testing.T) {
	const v = 0x1_0000_0005
	values := []uint64{0, 4, 5, 6, v - 1, v, v + 1, 0x2_0000_0000, 0xffff_ffff_ffff_ffff}
	for name, holds := range map[string]func(uint64) bool{
		"NE": func(a uint64) bool { return a != v }, "EQ": func(a uint64) bool { return a == v },
		"LT": func(a uint64) bool { return a < v }, "LE": func(a uint64) bool { return a <= v },
		"GT": func(a uint64) bool { return a > v }, "GE": func(a uint64) bool { return a >= v },
		"MASKED_EQ": func(a uint64) bool { return a&v == 5 },
	} {
		two := 0
		if name == "MASKED_EQ" {
			two = 5
		}
		text := fmt.Sprintf(`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_ERRNO","errnoRet":7,
			"args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"},{"index":5,"value":%d,"valueTwo":%d,"op":"SCMP_CMP_%s"}]},
			{"names":["rmdir"],"action":"SCMP_ACT_LOG"}]}`, uint64(v), two, name)
		f, err := compile([]byte(text), false, "amd64")
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range values {
			want := uint32(unix.SECCOMP_RET_ALLOW)
			if holds(a) {
				want = unix.SECCOMP_RET_ERRNO | 7
			}
			if got := run(t, f, unix.AUDIT_ARCH_X86_64, 83, 1, 0, 0, 0, 0, a); got != want {
				t.Errorf("%s %#x: %#x, want %#x", name, a, got, want)
			}
			if got := run(t, f, unix.AUDIT_ARCH_X86_64, 83, 2, 0, 0, 0, 0, a); got != unix.SECCOMP_RET_ALLOW {
				t.Errorf("%s %#x, another condition not met: %#x", name, a, got)
			}
		}
		if got := run(t, f, unix.AUDIT_ARCH_X86_64, 84); got != unix.SECCOMP_RET_LOG {
			t.Errorf("the rule after %s: %#x", name, got)
		}
	}
}

func TestProfiles(t *testing.T) {
	const text = `{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,
		"archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86","SCMP_ARCH_X32"]}],
		"syscalls":[
			{"names":["read","write","no_such_call"],"action":"SCMP_ACT_ALLOW"},
			{"name":"personality","action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":8,"op":"SCMP_CMP_EQ"}]},
			{"names":["bpf"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_BPF"]}},
			{"names":["bpf"],"action":"SCMP_ACT_ERRNO","errnoRet":1,"excludes":{"caps":["CAP_BPF"]}},
			{"names":["getpid"],"action":"SCMP_ACT_ALLOW","includes":{"arches":["arm64"]}},
			{"names":["getuid"],"action":"SCMP_ACT_KILL","includes":{"arches":["amd64"]}}]}`
	for _, privileged := range []bool{false, true} {
		f, err := compile([]byte(text), privileged, "amd64")
		if err != nil {
			t.Fatal(err)
		}
		forBPF := uint32(unix.SECCOMP_RET_ERRNO | 1)
		if privileged {
			forBPF = unix.SECCOMP_RET_ALLOW
		}
		for _, tt := range []struct {
			arch, nr uint32
			arg      uint64
			want     uint32
		}{
			{unix.AUDIT_ARCH_X86_64, 0, 0, unix.SECCOMP_RET_ALLOW},
			{unix.AUDIT_ARCH_I386, 3, 0, unix.SECCOMP_RET_ALLOW}, // read
			{unix.AUDIT_ARCH_I386, 0, 0, unix.SECCOMP_RET_ERRNO | 38},
			{unix.AUDIT_ARCH_AARCH64, 0, 0, unix.SECCOMP_RET_KILL_PROCESS},
			{unix.AUDIT_ARCH_X86_64, 135, 8, unix.SECCOMP_RET_ALLOW},
			{unix.AUDIT_ARCH_X86_64, 135, 9, unix.SECCOMP_RET_ERRNO | 38},
			{unix.AUDIT_ARCH_X86_64, 321, 0, forBPF},
			{unix.AUDIT_ARCH_X86_64, 39, 0, unix.SECCOMP_RET_ERRNO | 38},
			{unix.AUDIT_ARCH_X86_64, 102, 0, unix.SECCOMP_RET_KILL_THREAD},
			{unix.AUDIT_ARCH_X86_64, 0x40000000, 0, unix.SECCOMP_RET_ERRNO | 38}, // x32
		} {
			if got := run(t, f, tt.arch, tt.nr, tt.arg); got != tt.want {
				t.Errorf("privileged %v, arch %#x, call %d(%d): %#x, want %#x", privileged, tt.arch, tt.nr, tt.arg, got, tt.want)
			}
		}
	}
}

func TestWrongProfiles(t *testing.T) {
	for text, want := range map[string]string{
		``:                                    "unexpected end",
		`[]`:                                  "cannot unmarshal",
		`{}`:                                  "an action is missing",
		`{"defaultAction":"SCMP_ACT_MAYBE"}`:  "not known",
		`{"defaultAction":"SCMP_ACT_NOTIFY"}`: "needs another program",
		`{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":70000}`:                                                                                                                "errno 70000",
		`{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/x"}`:                                                                                                                    "listenerPath",
		`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"action":"SCMP_ACT_ALLOW"}]}`:                                                                                               "names no call",
		`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":6,"op":"SCMP_CMP_EQ"}]}]}`:                                      "condition",
		`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"op":"EQ"}]}]}`:                                               "condition",
		`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[` + strings.Repeat(`{"names":["read"],"action":"SCMP_ACT_ERRNO"},`, 3000) + `{"names":["read"],"action":"SCMP_ACT_ERRNO"}]}`: "too long",
	} {
		if _, err := compile([]byte(text), false, "amd64"); !errors.Is(err, ErrProfile) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: %v, want %q", text, err, want)
		}
	}
	if _, err := compile([]byte(`{"defaultAction":"SCMP_ACT_ALLOW"}`), false, "riscv64"); !errors.Is(err, ErrProfile) {
		t.Errorf("an architecture without a table: %v", err)
	}
}

// TestNumbers checks the table against the numbers this test is compiled with.
func TestNumbers(t *testing.T) {
	native := machines[runtime.GOARCH]
	for name, want := range map[string]uint32{"read": unix.SYS_READ, "openat2": unix.SYS_OPENAT2, "keyctl": unix.SYS_KEYCTL, "clone3": unix.SYS_CLONE3} {
		if got, ok := native.number(name); native.column != 0 && (!ok || got != want) {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
	for _, name := range []string{"", "x86-64", "#", "read 0"} {
		if n, ok := machines["amd64"].number(name); ok {
			t.Errorf("%q has the number %d", name, n)
		}
	}
}

func FuzzCompile(f *testing.F) {
	f.Add([]byte(`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_ERRNO","args":[{"index":5,"value":3,"op":"SCMP_CMP_LT"}]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, arch := range []string{"amd64", "arm64"} {
			if out, err := compile(text, true, arch); err == nil {
				run(t, out, unix.AUDIT_ARCH_X86_64, 0, 1, 2, 3)
			}
		}
	})
}
