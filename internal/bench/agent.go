package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// agentName is the name under which this program is started to be an agent.
const agentName = "carrel-bench-agent"

// An order is what the agent is asked, one line of JSON each; it answers with a line, too.
type order struct {
	Call  call `json:"call"`
	Start bool `json:"start"` // start it and answer with its number; else run it to its end
	End   int  `json:"end"`   // end the process of this number
	Ended int  `json:"ended"` // say whether the process of this number has ended
}

type answer struct {
	Outcome outcome `json:"outcome"`
	Pid     int     `json:"pid"`
}

// An agent runs processes in another root folder.
type agent struct {
	mu  sync.Mutex
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// startAgent starts an agent in a root folder, in which the folders shared appear under their own paths, and /proc, /sys,
// /dev and /tmp. Only root can.
func startAgent(ctx context.Context, root string, shared []string) (*agent, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	cmd := exec.Command(self, append([]string{root}, shared...)...)
	cmd.Args[0] = agentName
	cmd.Stderr = os.Stderr
	// Not Unshareflags, which would cut it off from what is mounted here later.
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	a := &agent{cmd: cmd}
	if a.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	a.out = bufio.NewReader(out)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if _, err := a.out.ReadBytes('\n'); err != nil { // it says when it is there
		return nil, errors.Join(fmt.Errorf("enter %s: %w", root, err), cmd.Wait())
	}
	return a, nil
}

// ask gives an order. When ctx ends the agent is told to stop what it does, and takes no further orders.
func (a *agent) ask(ctx context.Context, o order) (answer, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { _ = a.cmd.Process.Signal(syscall.SIGTERM) }) // it may be gone
	defer stop()
	b, err := json.Marshal(o)
	if err != nil {
		return answer{}, err
	}
	if _, err := a.in.Write(append(b, '\n')); err != nil {
		return answer{}, err
	}
	line, err := a.out.ReadBytes('\n')
	if err != nil {
		return answer{}, fmt.Errorf("agent: %w", err)
	}
	var r answer
	return r, json.Unmarshal(line, &r)
}

func (a *agent) run(ctx context.Context, c call) outcome {
	r, err := a.ask(ctx, order{Call: c})
	if err != nil {
		return outcome{Error: err.Error()}
	}
	return r.Outcome
}

func (a *agent) start(ctx context.Context, c call) (running, error) {
	r, err := a.ask(ctx, order{Call: c, Start: true})
	if err == nil {
		err = r.Outcome.err()
	}
	if err != nil {
		return nil, err
	}
	return agentJob{a, r.Pid}, nil
}

// An agentJob is a process that the agent started.
type agentJob struct {
	agent *agent
	pid   int
}

func (j agentJob) ended() error {
	r, err := j.agent.ask(context.Background(), order{Ended: j.pid})
	if err != nil {
		return err
	}
	return r.Outcome.err()
}

func (j agentJob) end() {
	_, _ = j.agent.ask(context.Background(), order{End: j.pid}) // an agent that is gone has ended it
}

func (a *agent) close() error {
	return errors.Join(a.in.Close(), a.cmd.Wait())
}

// agentMain is the agent's side. args are the root and the shared folders.
func agentMain(args []string) error {
	if err := enter(args[0], args[1:]); err != nil {
		return fmt.Errorf("enter %s: %w", args[0], err)
	}
	if _, err := fmt.Println("ready"); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	jobs := map[int]*job{}
	defer func() {
		for _, j := range jobs {
			j.end()
		}
	}()
	in, out := bufio.NewReader(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		var o order
		if err := json.Unmarshal(line, &o); err != nil {
			return err
		}
		var a answer
		switch {
		case o.Start:
			j, err := o.Call.start(ctx)
			if err != nil {
				a.Outcome.Error = err.Error()
			} else {
				a.Pid = j.cmd.Process.Pid
				jobs[a.Pid] = j
			}
		case o.End != 0:
			if j := jobs[o.End]; j != nil {
				delete(jobs, o.End)
				j.end()
			}
		case o.Ended != 0:
			if j := jobs[o.Ended]; j != nil {
				if err := j.ended(); err != nil {
					a.Outcome.Error = err.Error()
				}
			}
		default:
			a.Outcome = o.Call.run(ctx)
		}
		if err := out.Encode(a); err != nil {
			return err
		}
	}
}

// enter makes a folder the root, in a mount namespace that is this process's own already.
func enter(root string, shared []string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return err
	}
	if err := unix.Mount(root, root, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	for _, d := range append([]string{"/proc", "/sys", "/dev", "/tmp"}, shared...) {
		dest := filepath.Join(root, d)
		if err := os.MkdirAll(dest, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(d, dest, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("bind %s: %w", d, err)
		}
	}
	for _, f := range []string{"/etc/resolv.conf", "/etc/hosts"} {
		dest := filepath.Join(root, f)
		if file, err := os.OpenFile(dest, os.O_CREATE|os.O_WRONLY, 0o644); err == nil {
			file.Close()
		}
		if err := unix.Mount(f, dest, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind %s: %w", f, err)
		}
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	// pivot_root(2): with both arguments "." the old root lies on the new one, and is taken off.
	if err := unix.PivotRoot(".", "."); err != nil {
		return err
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return err
	}
	return os.Chdir("/")
}
