package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"carrel/engine/sandbox/plan"
)

// ErrEnded: the container has ended.
var ErrEnded = errors.New("the container has ended")

// PID is the process number of the container's init on this side.
func (k *Container) PID() int { return k.pid }

// Wait waits until the container has ended and nothing of it is left, and returns the exit status of its process as a
// shell gives it (128 + signal). The error is not nil only when the status could not be learnt, or when init itself
// failed after the start.
func (k *Container) Wait() (int, error) {
	<-k.done
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.link != nil {
		k.link.Close()
		k.link = nil
	}
	if k.waitErr == nil && k.failure != nil {
		return k.status, k.failure
	}
	return k.status, k.waitErr
}

// Done is closed when the container has ended.
func (k *Container) Done() <-chan struct{} { return k.done }

// MainEnded tells whether the plan's process has ended while the container is kept, and its status.
func (k *Container) MainEnded() (status int, ended bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.main == nil {
		return 0, false
	}
	return *k.main, true
}

// Link is the packet descriptor of the container's outgoing network link, or nil. It is the container's: do not close it.
func (k *Container) Link() *os.File {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.link
}

// Signal sends a signal to the container's process.
func (k *Container) Signal(sig syscall.Signal) error {
	if !k.pidns {
		return k.process.Signal(sig)
	}
	return k.send(plan.Message{Kind: plan.MsgSignal, Signal: int(sig)})
}

// Stop sends a signal to the container's process and, when that has ended, to all others there are; the container ends with
// the last of them, with the status of its process (0 for one that is kept alive). A shell that somebody opened inside is
// hung up on. Init remarks when others are left. Without init of its own the container is its process.
func (k *Container) Stop(sig syscall.Signal) error {
	if !k.pidns {
		return k.process.Signal(sig)
	}
	return k.send(plan.Message{Kind: plan.MsgStop, Signal: int(sig)})
}

// MainPID is the number of the container's process inside, or 0 when that is not known.
func (k *Container) MainPID() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.mainPID
}

// Kill ends the container and all its processes at once.
func (k *Container) Kill() { k.process.Kill() }

func (k *Container) send(m plan.Message, files ...*os.File) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	var oob []byte
	if len(files) > 0 {
		var fds []int
		for _, f := range files {
			fds = append(fds, int(f.Fd()))
		}
		oob = unix.UnixRights(fds...)
	}
	if _, _, err := k.conn.WriteMsgUnix(data, oob, nil); err != nil {
		return ErrEnded
	}
	return nil
}

// ask sends a request and waits for its reply.
func (k *Container) ask(ctx context.Context, m plan.Message, files ...*os.File) (reply, error) {
	if !k.pidns {
		return reply{}, errors.New("the container has no init to ask: it shares the host's processes")
	}
	ch := make(chan reply, 1)
	k.mu.Lock()
	if m.ID == 0 {
		k.nextID++
		m.ID = k.nextID
	}
	k.pending[m.ID] = ch
	k.mu.Unlock()
	m.Kind = plan.MsgRequest
	if err := k.send(m, files...); err != nil {
		k.forget(m.ID)
		return reply{}, err
	}
	select {
	case r, ok := <-ch:
		if !ok {
			return reply{}, ErrEnded
		}
		if r.msg.Error != nil {
			return reply{}, fromFailure(r.msg.Error)
		}
		return r, nil
	case <-k.received:
		k.forget(m.ID)
		return reply{}, ErrEnded
	case <-ctx.Done():
		k.forget(m.ID)
		return reply{}, ctx.Err()
	}
}

func (k *Container) forget(id int) {
	k.mu.Lock()
	ch := k.pending[id]
	delete(k.pending, id)
	k.mu.Unlock()
	if ch == nil {
		return
	}
	select {
	case r := <-ch:
		if r.file != nil {
			r.file.Close()
		}
	default:
	}
}

// Dial connects to a TCP port inside the container's own network, wherever on it something listens.
func (k *Container) Dial(ctx context.Context, port int) (net.Conn, error) {
	return k.dial(ctx, plan.Message{Op: "dial", Addr: strconv.Itoa(port)})
}

// DialUDP makes a socket whose datagrams go to a UDP port inside the container's own network. The error of a port that
// nothing is bound to is that of a refused connection.
func (k *Container) DialUDP(ctx context.Context, port int) (net.Conn, error) {
	return k.dial(ctx, plan.Message{Op: "dial", Proto: "udp", Addr: strconv.Itoa(port)})
}

func (k *Container) dial(ctx context.Context, m plan.Message) (net.Conn, error) {
	r, err := k.ask(ctx, m)
	if err != nil {
		return nil, err
	}
	if r.file == nil {
		return nil, &Error{Op: "connect", Target: m.Addr, Err: errors.New("no connection came back")}
	}
	defer r.file.Close()
	return net.FileConn(r.file)
}

// Job is a further process in a container.
type Job struct {
	k      *Container
	id     int
	done   chan struct{}
	status int
}

// Exec starts a further process in the container with the given standard files, which stay the caller's. With tty the
// first of them is a terminal that becomes the process's own.
func (k *Container) Exec(ctx context.Context, p plan.Process, stdio [3]*os.File, tty bool) (*Job, error) {
	k.mu.Lock()
	k.nextID++
	job := &Job{k: k, id: k.nextID, done: make(chan struct{})}
	k.jobs[job.id] = job
	k.mu.Unlock()
	_, err := k.ask(ctx, plan.Message{ID: job.id, Op: "exec", Exec: &p, TTY: tty}, stdio[:]...)
	if err != nil {
		k.mu.Lock()
		delete(k.jobs, job.id)
		k.mu.Unlock()
		return nil, err
	}
	return job, nil
}

// Wait waits for the process and returns its exit status.
func (j *Job) Wait() int {
	<-j.done
	return j.status
}

// Signal sends a signal to the process.
func (j *Job) Signal(sig syscall.Signal) error {
	return j.k.send(plan.Message{Kind: plan.MsgRequest, Op: "signal", PID: j.id, Signal: int(sig)})
}

// maxCap is the highest capability the running kernel knows: raising an unknown one is an error.
func maxCap() int {
	if b, err := os.ReadFile("/proc/sys/kernel/cap_last_cap"); err == nil {
		if n, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
			return n
		}
	}
	return 37 // CAP_AUDIT_READ, the last one before Linux 5.8
}
