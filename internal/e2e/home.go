package e2e

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The variables by which `make test` hands in what it made for all tests.
const (
	binaryVariable = "CARREL_TEST_BINARY" // the program under test; without it, it is built
	cacheVariable  = "CARREL_TEST_CACHE"  // a folder for downloads, kept between runs
)

// deadline is how long anything may take that does not build.
const deadline = 60 * time.Second

// binary is the program under test, as people get it: static.
var binary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv(binaryVariable); path != "" {
		return path, nil
	}
	dir, err := os.MkdirTemp("", "carrel-e2e-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "carrel")
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, "carrel/cmd/carrel")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.Join(err, errors.New(string(out)), os.RemoveAll(dir))
	}
	built = dir
	return path, nil
})

// built is the folder of a binary that was built here.
var built string

// Main runs the tests and tidies up after them; it is what TestMain calls.
func Main(m *testing.M) {
	status := m.Run()
	_ = removeLab() // a folder for temporary files
	if built != "" {
		_ = os.RemoveAll(built) // a folder for temporary files
	}
	os.Exit(status)
}

// Home is a person's computer as it is on the first day: a home folder with nothing in it.
type Home struct {
	Dir    string // also the current folder
	Carrel string // the program, under a path of its own, so that its processes can be told from all others
	env    []string
	t      testing.TB
}

// NewHome makes one. When the test ends everything in it is stopped, and a process that is left is an error.
func NewHome(t testing.TB) *Home {
	t.Helper()
	source, err := binary()
	if err != nil {
		t.Fatalf("build carrel: %v", err)
	}
	h := &Home{Dir: t.TempDir(), t: t}
	bin := filepath.Join(h.Dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	h.Carrel = filepath.Join(bin, "carrel")
	if err := copyFile(source, h.Carrel); err != nil {
		t.Fatal(err)
	}
	name := os.Getenv("USER")
	if name == "" {
		name = strconv.Itoa(os.Getuid())
	}
	h.env = []string{
		"HOME=" + h.Dir, "USER=" + name, "LOGNAME=" + name, "SHELL=/bin/sh", "LANG=C.UTF-8", "TERM=xterm-256color",
		"PATH=" + bin + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"CARREL_GUARD=off", // else addresses differ while another user has processes on this computer
	}
	if cache := os.Getenv(cacheVariable); cache != "" {
		if err := os.MkdirAll(cache, 0o755); err != nil {
			t.Fatal(err)
		}
		h.env = append(h.env, "XDG_CACHE_HOME="+cache)
	}
	t.Cleanup(h.tidy)
	return h
}

// Setenv sets a variable for everything that is started from now on.
func (h *Home) Setenv(name, value string) { h.env = append(h.env, name+"="+value) }

// tidy stops what runs and looks for what is left.
func (h *Home) tidy() {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	stop := exec.CommandContext(ctx, h.Carrel, "stop", "--all", "--time", "1s")
	stop.Env = h.env
	if out, err := stop.CombinedOutput(); err != nil {
		h.t.Errorf("stop what runs: %v\n%s", err, out)
	}
	h.NothingLeft()
	for _, pid := range h.Processes() {
		_ = syscall.Kill(pid, syscall.SIGKILL) // reported already
	}
}

// Path is a path in the home folder.
func (h *Home) Path(parts ...string) string {
	return filepath.Join(append([]string{h.Dir}, parts...)...)
}

// Write writes a file in the home folder.
func (h *Home) Write(name, text string) string {
	h.t.Helper()
	path := h.Path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
	return path
}

// Result is how a command ended.
type Result struct {
	Status   int
	Out, Err string
	Took     time.Duration
}

// Run calls carrel, with no terminal and nothing to read, and waits for its end.
func (h *Home) Run(args ...string) Result {
	h.t.Helper()
	return h.RunInput("", args...)
}

// RunInput is Run with something on standard input.
func (h *Home) RunInput(input string, args ...string) Result {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := h.Command(ctx, args...)
	cmd.Stdin = strings.NewReader(input)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.WaitDelay = 5 * time.Second
	start := time.Now()
	err := cmd.Run()
	r := Result{Out: out.String(), Err: errs.String(), Took: time.Since(start)}
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		h.t.Fatalf("carrel %q: %v\n%s%s", args, err, r.Out, r.Err)
	}
	r.Status = cmd.ProcessState.ExitCode()
	return r
}

// Must is Run for a command that has to succeed.
func (h *Home) Must(args ...string) Result {
	h.t.Helper()
	r := h.Run(args...)
	if r.Status != 0 {
		h.t.Fatalf("carrel %q: status %d\n%s%s", args, r.Status, r.Out, r.Err)
	}
	return r
}

// Command is a call of carrel that has not begun.
func (h *Home) Command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, h.Carrel, args...)
	cmd.Dir, cmd.Env = h.Dir, slices.Clone(h.env) // several callers add to it at once
	return cmd
}

// Job is a call of carrel that goes on.
type Job struct {
	cmd  *exec.Cmd
	t    testing.TB
	mu   sync.Mutex
	text bytes.Buffer // standard output and error, as they came
	more chan struct{}
	done chan struct{}
}

// Start begins a call; it is killed when the test ends.
func (h *Home) Start(args ...string) *Job {
	h.t.Helper()
	j := &Job{t: h.t, more: make(chan struct{}, 1), done: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	j.cmd = h.Command(ctx, args...)
	j.cmd.Stdout, j.cmd.Stderr = j, j
	j.cmd.WaitDelay = 5 * time.Second
	if err := j.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	go func() {
		_ = j.cmd.Wait() // Status tells
		close(j.done)
	}()
	h.t.Cleanup(func() { cancel(); <-j.done })
	return j
}

// Write takes what the call writes.
func (j *Job) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	select {
	case j.more <- struct{}{}:
	default:
	}
	return j.text.Write(p)
}

// Text is what was written until now.
func (j *Job) Text() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// WaitFor waits until find finds something in what was written, and returns it.
func (j *Job) WaitFor(what string, find func(text string) (string, bool)) string {
	j.t.Helper()
	timeout := time.After(deadline)
	for {
		if found, ok := find(j.Text()); ok {
			return found
		}
		select {
		case <-j.more:
		case <-j.done:
			if found, ok := find(j.Text()); ok {
				return found
			}
			j.t.Fatalf("it ended (%v) without %s:\n%s", j.cmd.ProcessState, what, j.Text())
		case <-timeout:
			j.t.Fatalf("no %s:\n%s", what, j.Text())
		}
	}
}

// Signal sends a signal to the program, and not to what it started.
func (j *Job) Signal(sig syscall.Signal) {
	j.t.Helper()
	if err := j.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		j.t.Fatal(err)
	}
}

// Status waits for the end and returns the exit status.
func (j *Job) Status() int {
	j.t.Helper()
	select {
	case <-j.done:
	case <-time.After(deadline):
		j.t.Fatalf("it does not end:\n%s", j.Text())
	}
	return j.cmd.ProcessState.ExitCode()
}

// Done tells when the call has ended.
func (j *Job) Done() <-chan struct{} { return j.done }

// Processes are the numbers of all processes of this home's program, also those inside of containers.
func (h *Home) Processes() []int {
	var out []int
	entries, err := os.ReadDir("/proc")
	if err != nil {
		h.t.Fatal(err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		exe, err := os.Readlink("/proc/" + e.Name() + "/exe")
		if err == nil && strings.TrimSuffix(exe, " (deleted)") == h.Carrel {
			out = append(out, pid)
		}
	}
	return out
}

// NothingLeft is an error of the test when a process or mount of this home is left, after a moment to end.
func (h *Home) NothingLeft() {
	h.t.Helper()
	var left []string
	gone := Until(10*time.Second, func() bool {
		left = nil
		for _, pid := range h.Processes() {
			line, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline") // it may have ended meanwhile
			left = append(left, strconv.Itoa(pid)+" "+strings.ReplaceAll(string(line), "\x00", " "))
		}
		return len(left) == 0
	})
	if !gone {
		h.t.Errorf("processes are left:\n%s", strings.Join(left, "\n"))
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		h.t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, h.Dir) {
			h.t.Errorf("a mount is left: %s", line)
		}
	}
}

// Until waits until something is so, and tells whether it came to be in time. What is asked should be cheap.
func Until(limit time.Duration, so func() bool) bool {
	timeout := time.After(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if so() {
			return true
		}
		select {
		case <-tick.C:
		case <-timeout:
			return so()
		}
	}
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
