package torture

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A stage is what a call of the program finds instead of a usual computer. A copy of this process makes it and becomes the
// program.
type stage struct {
	Deny    []denial // system calls that fail
	Files   uint64   // how many descriptors there may be; 0 for as many as usual
	Close   []int    // descriptors that are not open
	Umask   int      // -1 for the usual one
	Gone    bool     // the current folder is deleted
	Hide    []string // folders that are empty; needs root
	Program string
	Args    []string
}

// A denial makes a system call fail.
type denial struct {
	Call  uintptr
	Error unix.Errno
	// Arg and Bits restrict it to calls with all these bits in this argument.
	Arg  int
	Bits uint32
}

const stageVariable = "CARREL_TORTURE_STAGE"

// on puts a call onto a stage.
func (s stage) on(t *testing.T) func(*exec.Cmd) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return func(cmd *exec.Cmd) {
		s.Program, s.Args = cmd.Path, cmd.Args
		data, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		cmd.Path, cmd.Args = self, []string{self}
		cmd.Env = append(cmd.Env, stageVariable+"="+string(data))
		if len(s.Hide) > 0 {
			cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNS
		}
	}
}

// enter makes the stage that is asked for, if one is, and becomes the program; it does not return then.
func enter() {
	text, asked := os.LookupEnv(stageVariable)
	if !asked {
		return
	}
	runtime.LockOSThread() // filters belong to threads
	var s stage
	err := json.Unmarshal([]byte(text), &s)
	if err == nil {
		err = s.become()
	}
	fmt.Fprintln(os.Stderr, "make the stage:", err)
	os.Exit(99)
}

func (s stage) become() error {
	if len(s.Hide) > 0 {
		if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
			return err
		}
	}
	for _, dir := range s.Hide {
		if err := unix.Mount("none", dir, "tmpfs", 0, "size=64k,mode=555"); err != nil {
			return err
		}
	}
	if s.Gone {
		dir, err := os.MkdirTemp("", "gone-")
		if err != nil {
			return err
		}
		if err := os.Chdir(dir); err != nil {
			return err
		}
		if err := os.Remove(dir); err != nil {
			return err
		}
	}
	if s.Umask >= 0 {
		unix.Umask(s.Umask)
	}
	if s.Files > 0 {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: s.Files, Max: s.Files}); err != nil {
			return err
		}
	}
	for _, fd := range s.Close {
		if err := unix.Close(fd); err != nil {
			return err
		}
	}
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, stageVariable+"=") {
			env = append(env, kv)
		}
	}
	if len(s.Deny) > 0 {
		if err := filter(s.Deny); err != nil {
			return err
		}
	}
	return unix.Exec(s.Program, s.Args, env)
}

// filter installs a seccomp filter (seccomp(2)) for this thread and what comes of it.
func filter(deny []denial) error {
	const (
		load = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		ret  = unix.BPF_RET | unix.BPF_K
	)
	var code []unix.SockFilter
	for _, d := range deny {
		fail := unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ERRNO | uint32(d.Error)}
		code = append(code, unix.SockFilter{Code: load, K: 0}) // seccomp_data.nr
		if d.Bits == 0 {
			code = append(code, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(d.Call), Jf: 1}, fail)
			continue
		}
		code = append(code,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(d.Call), Jf: 4},
			unix.SockFilter{Code: load, K: uint32(16 + 8*d.Arg)}, // seccomp_data.args, little end first
			unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: d.Bits},
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: d.Bits, Jf: 1},
			fail)
	}
	code = append(code, unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW})
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	program := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
}
