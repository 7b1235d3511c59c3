package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"carrel/cmd/carrel/singularity"
	"carrel/engine"
	"carrel/internal/testroot"
)

// TestMain makes the test binary the program under every name it has, and one that runs inside containers.
func TestMain(m *testing.M) {
	name := filepath.Base(os.Args[0])
	switch {
	case len(os.Args) > 1 && os.Args[1] == wantSignals:
		os.Exit(awaitSignals(os.Args[2:]))
	case len(os.Args) > 1 && os.Args[1] == wantCalls:
		os.Exit(tryCalls())
	case len(os.Args) > 1 && os.Args[1] == wantTerminal:
		os.Exit(openTerminal())
	case len(os.Args) > 1 && os.Args[1] == engine.SupervisorVerb:
		os.Exit(supervise())
	case name == "carrel", name == "carrel-worker", singularity.Is(name):
		main()
	case !strings.HasSuffix(name, ".test"):
		// Something started this as a program that it is not: to run the tests again would go on for ever.
		fmt.Fprintln(os.Stderr, "not a name of the program:", os.Args)
		os.Exit(exitFailure)
	}
	os.Exit(m.Run())
}

// wantSignals makes the test binary a program that waits for signals, and prints them.
const wantSignals = "await-signals"

func awaitSignals(names []string) int {
	known := map[string]syscall.Signal{"USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2}
	c := make(chan os.Signal, 10)
	for _, n := range names {
		signal.Notify(c, known[n])
	}
	got := map[os.Signal]bool{}
	for range names {
		got[<-c] = true
	}
	for _, n := range names {
		if !got[known[n]] {
			return 1
		}
	}
	fmt.Println(strings.Join(names, " "))
	return 0
}

// program starts the program in folders of its own.
type program struct {
	t    *testing.T
	self string
	env  []string
	dir  string
}

func newProgram(t *testing.T) *program {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	return &program{t: t, self: self, dir: dir, env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "CARREL_HOME=" + filepath.Join(dir, "carrel")}}
}

// command is a call of the program; the first argument is the name it is called by.
func (p *program) command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, p.self)
	c.Args, c.Env, c.Dir = args, p.env, p.dir
	return c
}

// must is what a call prints that is to succeed.
func (p *program) must(args ...string) string {
	p.t.Helper()
	c := p.command(p.t.Context(), args...)
	out, err := c.CombinedOutput()
	if err != nil {
		p.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// startHeld starts a command to which SIGUSR1 and SIGUSR2 wait until it asks for them (the Go runtime does not let the others
// wait), sends them at once, and returns when the command has asked for them, as soon as that can be seen.
func startHeld(c *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	set, old := uint64(1<<(syscall.SIGUSR1-1)|1<<(syscall.SIGUSR2-1)), uint64(0)
	mask := func(how int, set, old *uint64) error {
		if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, uintptr(how), uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(old)), 8, 0, 0); errno != 0 {
			return errno
		}
		return nil
	}
	if err := mask(unix.SIG_BLOCK, &set, &old); err != nil {
		return err
	}
	err := c.Start()
	if back := mask(unix.SIG_SETMASK, &old, nil); err == nil {
		err = back
	}
	if err != nil {
		return err
	}
	for _, s := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGUSR2} {
		if err := c.Process.Signal(s); err != nil {
			return err
		}
	}
	for {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.Process.Pid))
		if err != nil {
			return err
		}
		_, rest, _ := strings.Cut(string(status), "ShdPnd:\t")
		pending, err := strconv.ParseUint(rest[:min(16, len(rest))], 16, 64)
		if err != nil || pending&set == 0 {
			return err
		}
	}
}

// TestSignalsAtOnce: what is sent to the program before it has done anything reaches what runs in the container.
func TestSignalsAtOnce(t *testing.T) {
	p := newProgram(t)
	root := testroot.Make(t)
	sif := filepath.Join(p.dir, "small.sif")
	p.must("carrel", "build", sif, root)
	ending := []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT}
	bind := "-B" + p.self + ":/awaiter"
	for _, tt := range []struct {
		name string
		args []string
	}{
		{"folder, forked", []string{"carrel", "exec", bind, root}},
		{"folder, by an init", []string{"carrel", "exec", bind, "--net=none", root}},
		{"SIF", []string{"carrel", "exec", bind, sif}},
		{"folder, as apptainer", []string{"apptainer", "exec", bind, root}},
		{"folder, as apptainer, own processes", []string{"apptainer", "exec", "--pid", bind, root}},
		{"SIF, as singularity", []string{"singularity", "exec", bind, sif}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for i := range 10 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				// The program inside lets the same signals wait; the others end it.
				command, want, status := []string{"/awaiter", wantSignals, "USR1", "USR2"}, "USR1 USR2\n", 0
				more := syscall.Signal(0)
				if i%5 < len(ending) {
					more = ending[i%5]
					command, want, status = []string{"sleep", "100"}, "", 128+int(more)
				}
				c := p.command(ctx, slices.Concat(tt.args, command)...)
				var out strings.Builder
				c.Stdout, c.Stderr = &out, &out
				if err := startHeld(c); err != nil {
					t.Fatal(err)
				}
				if more != 0 {
					if err := c.Process.Signal(more); err != nil {
						t.Fatal(err)
					}
				}
				_ = c.Wait() // what it tells is in the state
				cancel()
				if c.ProcessState.ExitCode() != status || out.String() != want {
					t.Fatalf("%v at once: %v, want %d; %q", more, c.ProcessState, status, out.String())
				}
			}
		})
	}
}
