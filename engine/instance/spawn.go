package instance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// reportFD is the descriptor of the pipe on which a new supervisor says whether it has taken over: nothing but a
// RemoteError as JSON, empty when all is well.
const reportFD = 3

// Spawn starts a supervisor: the program self with args, in a session of its own, in the folder "/", with stdin, read to
// its end before, as standard input and supervisor.log of dir as its outputs. It returns when the new process has told, by
// what Takeover gave it, that the app runs; an error from there is a *RemoteError with the hint of the original. When ctx
// ends before, the supervisor is stopped.
//
// A goroutine remains as long as the supervisor is this process's child, to take its exit status.
func Spawn(ctx context.Context, self string, args []string, dir string, stdin io.Reader) (pid int, err error) {
	in, err := memoryFile(stdin)
	if err != nil {
		return 0, fmt.Errorf("start supervisor: %w", err)
	}
	defer in.Close()
	crash := filepath.Join(dir, crashFile)
	out, err := os.OpenFile(crash, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return 0, fmt.Errorf("start supervisor: %w", err)
	}
	defer out.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("start supervisor: %w", err)
	}
	defer r.Close()
	cmd := exec.Command(self, args...)
	cmd.Dir = "/"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, out
	cmd.ExtraFiles = []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	w.Close()
	if err != nil {
		return 0, fmt.Errorf("start supervisor: %w", err)
	}
	gone := make(chan struct{})
	go func() {
		_ = cmd.Wait() // what became of it is in the state file
		close(gone)
	}()
	stop := context.AfterFunc(ctx, func() { _ = r.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	report, err := io.ReadAll(r)
	switch {
	case ctx.Err() != nil:
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-gone
		return 0, ctx.Err()
	case err != nil:
		return 0, fmt.Errorf("start supervisor: %w", err)
	}
	if string(report) == tookOver {
		return cmd.Process.Pid, nil
	}
	<-gone
	var remote RemoteError
	if json.Unmarshal(report, &remote) == nil && remote.Text != "" {
		return 0, &remote
	}
	return 0, fmt.Errorf("start supervisor: it ended before the app was started (%v): %s", cmd.ProcessState, lastWords(crash))
}

// lastWords is what a crashed program said: the line that the runtime begins with, or else its last one.
func lastWords(file string) string {
	text, _ := os.ReadFile(file) // nothing to read is nothing said
	last := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "panic:") || strings.HasPrefix(line, "fatal error:") {
			return line
		}
		if line != "" {
			last = line
		}
	}
	return last
}

// tookOver is the report of a supervisor whose app runs.
const tookOver = "ok"

// memoryFile puts what a reader has into memory that a process can inherit (memfd_create(2)).
func memoryFile(from io.Reader) (*os.File, error) {
	fd, err := unix.MemfdCreate("carrel-spec", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "spec")
	if from != nil {
		_, err = io.Copy(f, from)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Takeover is the other end of Spawn, to be called first in the new process: it lets go of descriptors that were inherited
// by accident, and returns what Spec.Took is to be, to be told once whether the app runs. In a process that Spawn did not
// start it is an error.
func Takeover() (took func(error), err error) {
	var st unix.Stat_t
	if err := unix.Fstat(reportFD, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return nil, errors.New("take over: this process was not started as a supervisor")
	}
	unix.CloseOnExec(reportFD)
	closeInherited()
	report := os.NewFile(reportFD, "report")
	var once sync.Once
	return func(err error) {
		once.Do(func() {
			data := []byte(tookOver)
			if err != nil {
				data, _ = json.Marshal(remoteError(err))
			}
			_, _ = report.Write(data) // a starter that has gone does not mind
			report.Close()
		})
	}, nil
}

// closeInherited closes what came through execve(2) beside the files of Spawn: exactly the descriptors that are not marked
// close-on-exec, which all of this program's own are.
func closeInherited() {
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, n := range names {
		fd, err := strconv.Atoi(n.Name())
		if err != nil || fd <= reportFD {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			_ = unix.Close(fd)
		}
	}
}
