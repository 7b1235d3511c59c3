package inside

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"carrel/engine/network/netns"
	"carrel/engine/sandbox/plan"
	"carrel/internal/ownfile"
)

// dialTimeout is how long one connection inside the container's own network may take.
const dialTimeout = 5 * time.Second

// keeper is process 1 of the container: it starts processes from its one weakened thread, reaps everything, and answers
// the supervisor.
type keeper struct {
	plan *plan.Plan
	ctl  *control
	main int         // process of the plan; 0 when it has ended
	jobs map[int]int // pid → request ID of processes started by "exec"

	stopping unix.Signal // what all are asked to end with; 0: nobody has asked
	status   int         // of main, when it has ended while stopping
}

type incoming struct {
	msg plan.Message
	fds []int
	err error
}

// reap starts the plan's process and returns its exit status when it has ended (or, with KeepAlive, when the supervisor
// says stop). All other processes of the container die with process 1 (pid_namespaces(7)).
func reap(p *plan.Plan, ctl *control) (int, error) {
	if err := dropPrivileges(&p.Process, true, ctl.note); err != nil {
		return 0, err
	}
	if err := hide(); err != nil {
		return 0, err
	}
	// Handled, not ignored: an ignored signal would stay ignored in what is started (signal(7)). What a terminal sends goes
	// to the whole foreground group, so the process gets it without help.
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGCHLD)
	drop := make(chan os.Signal, 1)
	signal.Notify(drop, unix.SIGINT, unix.SIGTERM, unix.SIGQUIT, unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2, unix.SIGPIPE, unix.SIGTTOU, unix.SIGTTIN, unix.SIGTSTP)

	k := &keeper{plan: p, ctl: ctl, jobs: map[int]int{}}
	l, err := prepare(&p.Process, ctl)
	if err != nil {
		return 0, err
	}
	if p.Process.Umask >= 0 {
		unix.Umask(p.Process.Umask)
	}
	if l != nil {
		if k.main, err = start(l, &p.Process, nil, p.Process.Terminal, ctl.note); err != nil {
			return 0, err
		}
	} else if !p.KeepAlive {
		return 0, nil
	}
	ctl.send(plan.Message{Kind: plan.MsgStarted, PID: k.main})
	// From now on it waits. Without a /proc inside it keeps what it has.
	_ = ownfile.Release()

	messages := make(chan incoming)
	go func() {
		for {
			m, fds, err := ctl.receive()
			messages <- incoming{m, fds, err}
			if err != nil {
				return
			}
		}
	}()
	for {
		select {
		case <-ended:
			if status, done := k.collect(); done {
				return status, nil
			}
		case <-drop:
		case in := <-messages:
			if in.err != nil {
				return exitOwn, nil // the supervisor is gone; so is everything here
			}
			k.handle(in)
			if in.msg.Kind == plan.MsgStop {
				if status, done := k.collect(); done { // nobody is left, of whose end a signal would tell
					return status, nil
				}
			}
		}
	}
}

// collect reaps what has ended and tells whether that ends the container, with its status.
func (k *keeper) collect() (status int, done bool) {
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		if err == unix.ECHILD && k.stopping != 0 {
			return k.status, true // whoever loses its parent becomes a child of process 1: there is nobody else
		}
		if err != nil || pid <= 0 {
			return 0, false
		}
		if !ws.Exited() && !ws.Signaled() {
			continue
		}
		if id, ok := k.jobs[pid]; ok {
			delete(k.jobs, pid)
			k.ctl.send(plan.Message{Kind: plan.MsgEnded, ID: id, PID: pid, Status: exitStatus(ws)})
		}
		if pid == k.main {
			k.main = 0
			switch {
			case k.stopping != 0:
				if !k.plan.KeepAlive {
					k.status = exitStatus(ws)
				}
				k.askRest()
			case !k.plan.KeepAlive:
				return exitStatus(ws), true
			}
			k.ctl.send(plan.Message{Kind: plan.MsgEnded, PID: pid, Status: exitStatus(ws)})
		}
	}
}

// exitStatus is the number a shell gives to how a process ended.
func exitStatus(ws unix.WaitStatus) int {
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}

func (k *keeper) handle(in incoming) {
	defer func() {
		for _, fd := range in.fds {
			unix.Close(fd)
		}
	}()
	m := in.msg
	switch {
	case m.Kind == plan.MsgStop:
		k.stopping = unix.Signal(m.Signal)
		if k.main > 0 {
			_ = unix.Kill(k.main, k.stopping) // ended meanwhile: its end is about to be collected
		} else {
			k.askRest()
		}
	case m.Kind == plan.MsgSignal:
		if k.main > 0 {
			_ = unix.Kill(k.main, unix.Signal(m.Signal)) // ended meanwhile: nothing to signal
		} else if k.plan.KeepAlive {
			_ = unix.Kill(-1, unix.Signal(m.Signal))
		}
	case m.Kind == plan.MsgRequest && m.Op == "dial":
		go k.dial(m) // a new thread of this namespace; it does not need the weakened one
	case m.Kind == plan.MsgRequest && m.Op == "exec":
		pid, err := k.exec(m, in.fds)
		reply := plan.Message{Kind: plan.MsgReply, ID: m.ID, PID: pid}
		if err != nil {
			reply.Error = failure(err)
		}
		k.ctl.send(reply)
	case m.Kind == plan.MsgRequest && m.Op == "signal":
		for pid, id := range k.jobs {
			if id == m.PID {
				_ = unix.Kill(pid, unix.Signal(m.Signal))
			}
		}
	}
}

func (k *keeper) dial(m plan.Message) {
	reply := plan.Message{Kind: plan.MsgReply, ID: m.ID}
	fd, err := k.connect(m.Proto, m.Addr)
	if err != nil {
		reply.Error = failure(opError{op: "connect", target: m.Addr, err: err})
		k.ctl.send(reply)
		return
	}
	k.ctl.send(reply, fd)
	unix.Close(fd)
}

// connect connects to a port of the container, wherever on it something listens; protocol is "udp", or else TCP is meant.
func (k *keeper) connect(protocol, addr string) (int, error) {
	port, err := strconv.ParseUint(addr, 10, 16)
	if err != nil {
		return -1, fmt.Errorf("port %q: %w", addr, err)
	}
	if protocol == "udp" {
		return netns.DialUDP(uint16(port))
	}
	var link netip.Addr
	if n := k.plan.Net; n != nil && n.Outgoing {
		if p, err := netip.ParsePrefix(n.Address); err == nil {
			link = p.Addr()
		}
	}
	return netns.Dial(uint16(port), link, dialTimeout)
}

func (k *keeper) exec(m plan.Message, fds []int) (int, error) {
	if m.Exec == nil || len(fds) < 3 {
		return 0, errors.New("an incomplete request")
	}
	wd, _ := unix.Getwd()
	defer unix.Chdir(wd)
	l, err := prepare(m.Exec, k.ctl)
	if err != nil {
		return 0, err
	}
	if l == nil {
		return 0, errors.New("the image has nothing to start there")
	}
	if m.Exec.Umask >= 0 {
		defer unix.Umask(unix.Umask(m.Exec.Umask))
	}
	pid, err := start(l, m.Exec, fds[:3], m.TTY, k.ctl.note)
	if err != nil {
		return 0, err
	}
	k.jobs[pid] = m.ID
	return pid, nil
}

// start starts a process with the given descriptors (init's own when nil) and returns its number.
func start(l *launch, p *plan.Process, fds []int, tty bool, note func(string)) (int, error) {
	files := []uintptr{0, 1, 2}
	for i := range fds {
		files[i] = uintptr(fds[i])
	}
	attr := &syscall.ProcAttr{Env: l.env, Files: files, Sys: &syscall.SysProcAttr{Setsid: tty || p.NewSession, Setctty: tty}}
	if l.env == nil {
		attr.Env = []string{}
	}
	pid, err := forkLimited(l.path, l.args, attr, p.Limits, note)
	if errors.Is(err, unix.ENOEXEC) {
		l = viaShell(l)
		pid, err = forkLimited(l.path, l.args, attr, p.Limits, note)
	}
	if err != nil {
		return 0, explain(l, err)
	}
	return pid, nil
}

// askRest asks all processes but this one to end. Shells that somebody opened ignore most signals, but not that their
// terminal is gone.
func (k *keeper) askRest() {
	if unix.Kill(-1, k.stopping) != nil {
		return // ESRCH: there is nobody
	}
	for pid := range k.jobs {
		_ = unix.Kill(pid, unix.SIGHUP)
		_ = unix.Kill(pid, unix.SIGCONT)
	}
}
