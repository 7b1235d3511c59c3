package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/charmbracelet/x/ansi"
)

// A call is a process to start.
type call struct {
	Args []string `json:"args"`
	Env  []string `json:"env"` // all of it
	Dir  string   `json:"dir"`
	UID  int      `json:"uid"` // another one than this program's own needs root
	GID  int      `json:"gid"`
}

// An outcome is how a process ended.
type outcome struct {
	Took   time.Duration `json:"took"`   // from before it was started until it was waited for
	Memory int64         `json:"memory"` // bytes: the most that it, or one of its children, held at a time
	Out    string        `json:"out"`    // standard output
	Error  string        `json:"error"`  // empty when it succeeded; else the reason, with the last it wrote to standard error
}

func (o outcome) err() error {
	if o.Error == "" {
		return nil
	}
	return errors.New(o.Error)
}

// command makes the process of a call, the leader of a group of its own. Output goes to files, not through goroutines.
func (c call) command(ctx context.Context, out, errs *os.File) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	cmd.Env, cmd.Dir = c.Env, c.Dir
	cmd.Stdout, cmd.Stderr = out, errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if c.UID != os.Getuid() {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(c.UID), Gid: uint32(c.GID)}
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	return cmd
}

// outputs are two files without a name, for what a process writes.
func outputs() (out, errs *os.File, err error) {
	if out, err = nameless(); err != nil {
		return nil, nil, err
	}
	if errs, err = nameless(); err != nil {
		out.Close()
		return nil, nil, err
	}
	return out, errs, nil
}

func nameless() (*os.File, error) {
	f, err := os.CreateTemp("", "carrel-bench-out-")
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}

// run starts a process and waits for its end.
func (c call) run(ctx context.Context) outcome {
	out, errs, err := outputs()
	if err != nil {
		return outcome{Error: err.Error()}
	}
	defer out.Close()
	defer errs.Close()
	cmd := c.command(ctx, out, errs)
	start := time.Now()
	err = cmd.Run()
	o := outcome{Took: time.Since(start)}
	if cmd.ProcessState != nil {
		if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
			o.Memory = usage.Maxrss << 10 // getrusage(2): kilobytes
		}
	}
	o.Out = content(out)
	if err != nil {
		o.Error = failure(err, content(errs))
	}
	return o
}

// content is what a file holds, at most a megabyte of it.
func content(f *os.File) string {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
	if err != nil {
		return ""
	}
	return string(b)
}

// failure is the reason why a process failed, with the last two lines it wrote.
func failure(err error, text string) string {
	var lines []string
	for line := range strings.Lines(ansi.Strip(strings.ToValidUTF8(text, "?"))) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return err.Error()
	}
	return fmt.Sprintf("%v: %s", err, shorten(strings.Join(lines[max(0, len(lines)-2):], "; "), 300))
}

// A job is a process that goes on until it is ended.
type job struct {
	cmd       *exec.Cmd
	out, errs *os.File
	done      chan struct{}
	err       error // once done
}

// start begins a process that goes on.
func (c call) start(ctx context.Context) (*job, error) {
	out, errs, err := outputs()
	if err != nil {
		return nil, err
	}
	j := &job{cmd: c.command(ctx, out, errs), out: out, errs: errs, done: make(chan struct{})}
	if err := j.cmd.Start(); err != nil {
		out.Close()
		errs.Close()
		return nil, err
	}
	go func() {
		j.err = j.cmd.Wait()
		close(j.done)
	}()
	return j, nil
}

// ended tells whether the process has ended by itself, and why.
func (j *job) ended() error {
	select {
	case <-j.done:
		err := j.err
		if err == nil {
			err = errors.New("it ended")
		}
		return errors.New(failure(err, content(j.errs)))
	default:
		return nil
	}
}

// patience is how long a process may take to end after it was asked to.
const patience = 10 * time.Second

// end ends the process and its group, and waits for the end. It asks first: some leave helpers behind when they are killed.
func (j *job) end() {
	kill := func(s syscall.Signal) { _ = syscall.Kill(-j.cmd.Process.Pid, s) } // it may be gone
	kill(syscall.SIGTERM)
	select {
	case <-j.done:
	case <-time.After(patience):
	}
	kill(syscall.SIGKILL)
	<-j.done
	j.out.Close()
	j.errs.Close()
}
