package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"carrel/engine/sandbox/again"
	"carrel/engine/sandbox/forked"
	"carrel/engine/sandbox/plan"
)

// Config is a container to be started.
type Config struct {
	Plan plan.Plan
	IDs  IDMap
	// Own namespaces beside those that the plan and the ids ask for.
	IPC, UTS, Network bool

	Stdin, Stdout, Stderr *os.File // nil: /dev/null

	// Serve serves the image of layer i on an opened and mounted FUSE descriptor, which it closes, until the mount goes
	// away. Needed when the plan has such layers.
	Serve func(layer int, fd int) error
	// Look gives the files of the image of layer i, before it is mounted; links in it are those of the image. nil, or where it
	// returns nil: nobody can tell, and the container gets an init, which looks for itself.
	Look func(layer int) fs.FS
	// Note takes remarks for a person; nil drops them.
	Note func(string)
	// Alone tells that the container will be waited for and sent signals, but asked for nothing: no Dial, no Exec. It is then
	// started without the detour of a program that is its init, where that is possible, in half the time.
	Alone bool
	// Trace is filled, where it is not nil, when the container was started in a way that can be repeated.
	Trace *Trace
	// Cgroup is an opened folder of cgroup v2 in which the container starts (clone3(2), CLONE_INTO_CGROUP); nil: the
	// caller's own. It stays the caller's.
	Cgroup *os.File
}

// Trace is how a container was started: what package again needs to do it once more.
type Trace struct {
	// Look is what was looked at, of the folder that became the root and of the host; nil: it cannot be repeated.
	Look    *again.Look
	Program *forked.Program
	Flags   uintptr // of clone(2)
}

// Container is a running container. Its methods may be called from several goroutines.
type Container struct {
	process process
	pid     int
	conn    *net.UnixConn
	note    func(string)
	pidns   bool

	mu      sync.Mutex
	nextID  int
	pending map[int]chan reply
	jobs    map[int]*Job
	link    *os.File
	mainPID int  // of the plan's process, inside
	main    *int // its status, when it has ended and the container has not
	failure error

	received chan struct{} // closed when the control socket has ended
	done     chan struct{} // closed when the process was waited for
	status   int
	waitErr  error
	serving  sync.WaitGroup
}

type reply struct {
	msg  plan.Message
	file *os.File
}

// initEnv is the environment of an init: what the Go runtime need not do for so small a program. Without the two settings
// it reads what its control group allows at the start, and every second after it (runtime, GODEBUG, Go 1.25).
var initEnv = []string{"GOMAXPROCS=1", "GODEBUG=containermaxprocs=0,updatemaxprocs=0"}

// Start starts a container and returns when its process runs. An error of any step before that is an *Error, and
// nothing is left. The container ends when ctx does; the caller calls Wait in any case.
func Start(ctx context.Context, c Config) (*Container, error) {
	if q := &c.Plan.Process; !q.NewSession && !q.Terminal && again.HasTerminal() {
		q.OwnInput = true
	}
	if canFork(&c) {
		if k := fork(ctx, c); k != nil {
			return k, nil
		}
	}
	parent, child, err := socketpair()
	if err != nil {
		return nil, &Error{Op: "start", Err: err}
	}
	defer child.Close()
	p := c.Plan
	p.WaitMapped = c.IDs.Namespace && !c.IDs.simple()
	order, err := planFile(&p)
	if err != nil {
		parent.Close()
		return nil, err
	}
	defer order.Close()

	flags := uintptr(syscall.CLONE_NEWNS)
	for flag, on := range map[uintptr]bool{
		syscall.CLONE_NEWPID: p.PIDNS, syscall.CLONE_NEWIPC: c.IPC, syscall.CLONE_NEWUTS: c.UTS || p.Hostname != "",
		syscall.CLONE_NEWNET: c.Network || p.Net != nil,
	} {
		if on {
			flags |= flag
		}
	}
	files, closeNull, err := standard(c.Stdin, c.Stdout, c.Stderr)
	if err != nil {
		parent.Close()
		return nil, err
	}
	defer closeNull()
	proc, err := spawnInit(&c, flags, append(files, child, order))
	if err != nil {
		parent.Close()
		return nil, err
	}
	child.Close()

	k := &Container{
		process: proc, pid: proc.Pid, conn: parent, note: c.Note, pidns: p.PIDNS,
		pending: map[int]chan reply{}, jobs: map[int]*Job{},
		received: make(chan struct{}), done: make(chan struct{}),
	}
	started := make(chan struct{})
	go k.receive(c.Serve, started)
	go k.wait(proc)
	go func() {
		select {
		case <-ctx.Done():
			k.Kill()
		case <-k.done:
		}
	}()
	if p.WaitMapped {
		if err := c.IDs.apply(ctx, proc.Pid); err != nil {
			k.Kill()
			<-k.done
			return nil, err
		}
		k.send(plan.Message{Kind: plan.MsgMapped})
	}
	select {
	case <-started:
	case <-k.received:
		select {
		case <-started: // and over already
			return k, nil
		default:
		}
		k.mu.Lock()
		err := k.failure
		k.mu.Unlock()
		if err == nil && p.PIDNS {
			err = &Error{Op: "start", Err: errors.New("init ended before the process was started")}
			if ctx.Err() != nil {
				err = ctx.Err()
			}
		}
		if err != nil {
			<-k.done
			return nil, err
		}
		// without a PID namespace the end of the socket is init having become the process
	}
	return k, nil
}

func socketpair() (*net.UnixConn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	f := os.NewFile(uintptr(fds[0]), "control")
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		unix.Close(fds[1])
		return nil, nil, err
	}
	return conn.(*net.UnixConn), os.NewFile(uintptr(fds[1]), "control"), nil
}

// planFile puts the plan into memory that init inherits (memfd_create(2)).
func planFile(p *plan.Plan) (*os.File, error) {
	fd, err := unix.MemfdCreate("carrel-plan", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, &Error{Op: "start", Err: err}
	}
	f := os.NewFile(uintptr(fd), "plan")
	if _, err = f.Write(plan.Encode(p)); err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, &Error{Op: "start", Err: err}
	}
	return f, nil
}

func standard(in, out, errOut *os.File) ([]*os.File, func(), error) {
	var null *os.File
	files := []*os.File{in, out, errOut}
	for i, f := range files {
		if f != nil {
			continue
		}
		if null == nil {
			var err error
			if null, err = os.OpenFile(os.DevNull, os.O_RDWR, 0); err != nil {
				return nil, nil, &Error{Op: "start", Err: err}
			}
		}
		files[i] = null
	}
	return files, func() {
		if null != nil {
			null.Close()
		}
	}, nil
}

// lastWords is how long the messages of an init that has ended are waited for.
const lastWords = 5 * time.Second

func (k *Container) wait(proc *os.Process) {
	st, err := proc.Wait()
	// What init sent last is still to be read; then the socket ends by itself, as its other end is closed.
	select {
	case <-k.received:
	case <-time.After(lastWords):
	}
	k.conn.Close()
	<-k.received
	if err != nil {
		k.waitErr = fmt.Errorf("wait for container: %w", err)
	} else if ws, ok := st.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		k.status = 128 + int(ws.Signal())
	} else {
		k.status = st.ExitCode()
	}
	k.serving.Wait()
	close(k.done)
}

// receive handles what init sends until the socket ends.
func (k *Container) receive(serve func(int, int) error, started chan struct{}) {
	defer close(k.received)
	buf := make([]byte, plan.MaxMessage)
	oob := make([]byte, unix.CmsgSpace(4*plan.MaxFDs))
	for {
		n, oobn, _, _, err := k.conn.ReadMsgUnix(buf, oob)
		if err != nil || n == 0 {
			k.abandon()
			return
		}
		files := passed(oob[:oobn])
		var m plan.Message
		if err := json.Unmarshal(buf[:n], &m); err != nil {
			closeAll(files)
			continue
		}
		files = k.handle(m, files, serve, started)
		closeAll(files)
	}
}

// handle acts on one message and returns the files it did not take.
func (k *Container) handle(m plan.Message, files []*os.File, serve func(int, int) error, started chan struct{}) []*os.File {
	switch m.Kind {
	case plan.MsgFUSE:
		if len(files) == 0 || serve == nil {
			break
		}
		fd, err := unix.FcntlInt(files[0].Fd(), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			k.remark("the image cannot be served: " + err.Error())
			break
		}
		k.serve(serve, m.Layer, fd)
	case plan.MsgLink:
		if len(files) > 0 {
			k.mu.Lock()
			k.link = files[0]
			k.mu.Unlock()
			return files[1:]
		}
	case plan.MsgNote:
		k.remark(m.Text)
	case plan.MsgError:
		k.mu.Lock()
		k.failure = fromFailure(m.Error)
		k.mu.Unlock()
	case plan.MsgStarted:
		k.mu.Lock()
		k.mainPID = m.PID
		k.mu.Unlock()
		close(started)
	case plan.MsgReply:
		k.mu.Lock()
		ch := k.pending[m.ID]
		delete(k.pending, m.ID)
		k.mu.Unlock()
		if ch == nil {
			break
		}
		r := reply{msg: m}
		if len(files) > 0 {
			r.file, files = files[0], files[1:]
		}
		ch <- r
	case plan.MsgEnded:
		k.mu.Lock()
		job := k.jobs[m.ID]
		delete(k.jobs, m.ID)
		if m.ID == 0 {
			s := m.Status
			k.main = &s
		}
		k.mu.Unlock()
		if job != nil {
			job.status = m.Status
			close(job.done)
		}
	}
	return files
}

// serve serves an image until its mount is gone.
func (k *Container) serve(serve func(int, int) error, layer, fd int) {
	k.serving.Go(func() {
		if err := serve(layer, fd); err != nil {
			k.remark("the image can no longer be read: " + err.Error())
		}
	})
}

// abandon answers everybody who still waits for init.
func (k *Container) abandon() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, ch := range k.pending {
		close(ch)
		delete(k.pending, id)
	}
	for id, job := range k.jobs {
		job.status = 128 + int(syscall.SIGKILL)
		close(job.done)
		delete(k.jobs, id)
	}
}

func (k *Container) remark(text string) {
	if k.note != nil {
		k.note(text)
	}
}

func passed(oob []byte) []*os.File {
	if len(oob) == 0 {
		return nil
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	var files []*os.File
	for i := range msgs {
		fds, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "passed"))
		}
	}
	return files
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
