package instance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"carrel/engine/sandbox"
	"carrel/engine/sandbox/plan"
)

// The control socket. One connection carries one job; each packet is one JSON object.
//
//	client                                   supervisor
//	exec {process, tty} + 3 descriptors ───▶ starts it in the container
//	                      ◀───────────────── started, or error {text, hint}
//	signal {signal} ───────────────────────▶ to that process
//	                      ◀───────────────── ended {status}
//
//	signal {signal} ───────────────────────▶ to the app's own process
//	                      ◀───────────────── done, or error
//	stop {grace, signal}, kill ────────────▶ ends the container
//	                      ◀───────────────── ended {status}, when the final state is written
//
//	rename {name, command} ────────────────▶ takes the folder to that name
//	                      ◀───────────────── done, or error
//
//	attach + write end of a pipe ──────────▶ shows there what the app's terminal shows
//	                      ◀───────────────── attached {tty} + master of the terminal, or the pipe of the standard input
//	eof ───────────────────────────────────▶ nothing more will be typed into the pipe
//	                      ◀───────────────── ended {status}: this run of the app has, or the viewer was let go
//
// A process started by exec gets SIGHUP when its client goes away, and SIGKILL a little later.
const (
	opExec   = "exec"
	opSignal = "signal"
	opStop   = "stop"
	opKill   = "kill"
	opRename = "rename"
	opAttach = "attach"
	opEOF    = "eof"

	kindStarted = "started"
	kindDone    = "done"
	kindEnded   = "ended"
	kindAttach  = "attached"
	kindError   = "error"

	maxRequest = 128 << 10
	hangupTime = 3 * time.Second
	answerTime = time.Second // for a client to take an answer
)

type request struct {
	Op      string        `json:"op"`
	Process *plan.Process `json:"process,omitempty"`
	TTY     bool          `json:"tty,omitempty"`
	Signal  int           `json:"signal,omitempty"`
	Grace   time.Duration `json:"grace,omitempty"` // negative: the instance's own
	Name    string        `json:"name,omitempty"`
	Command string        `json:"command,omitempty"`
}

type answer struct {
	Kind   string       `json:"kind"`
	Status int          `json:"status,omitempty"`
	TTY    bool         `json:"tty,omitempty"`
	Error  *RemoteError `json:"error,omitempty"`
}

// socketName is a name for the control socket that fits into a sockaddr_un (108 bytes, unix(7)) however long dir is: it
// goes through the descriptor of the opened folder, which the caller keeps open meanwhile.
func socketName(dir string) (name string, folder *os.File, err error) {
	folder, err = os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	return "/proc/self/fd/" + strconv.Itoa(int(folder.Fd())) + "/" + controlFile, folder, nil
}

// listen makes the control socket of a folder. Where the folder's file system has no sockets, abstract is the name of one
// without a file.
func listen(dir string) (l *net.UnixListener, abstract string, err error) {
	name, folder, err := socketName(dir)
	if err != nil {
		return nil, "", fmt.Errorf("make control socket: %w", err)
	}
	defer folder.Close()
	_ = os.Remove(filepath.Join(dir, controlFile)) // of a supervisor that was killed
	l, err = net.ListenUnix("unixpacket", &net.UnixAddr{Name: name, Net: "unixpacket"})
	if err == nil {
		l.SetUnlinkOnClose(false)
		if err := os.Chmod(filepath.Join(dir, controlFile), 0o600); err != nil {
			l.Close()
			return nil, "", fmt.Errorf("make control socket: %w", err)
		}
		return l, "", nil
	}
	// An empty name lets the kernel choose one (unix(7), "autobind"); who connects is checked in any case.
	l, err2 := net.ListenUnix("unixpacket", &net.UnixAddr{Net: "unixpacket"})
	if err2 != nil {
		return nil, "", fmt.Errorf("make control socket: %w", errors.Join(err, err2))
	}
	return l, l.Addr().String(), nil
}

// connect connects to a supervisor.
func connect(dir, abstract string) (*net.UnixConn, error) {
	name := abstract
	if name == "" {
		var folder *os.File
		var err error
		if name, folder, err = socketName(dir); err != nil {
			return nil, err
		}
		defer folder.Close()
	}
	return net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: name, Net: "unixpacket"})
}

// sendPacket sends one object with descriptors, which stay the caller's.
func sendPacket(conn *net.UnixConn, v any, files ...*os.File) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(data) > maxRequest {
		return fmt.Errorf("the request is longer than %d bytes: too many arguments or environment variables", maxRequest)
	}
	var oob []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		oob = unix.UnixRights(fds...)
	}
	_, _, err = conn.WriteMsgUnix(data, oob, nil)
	return err
}

// receivePacket receives one object; the descriptors are the caller's to close.
func receivePacket(conn *net.UnixConn, v any) ([]*os.File, error) {
	buf := make([]byte, maxRequest)
	oob := make([]byte, unix.CmsgSpace(4*3))
	n, oobn, flags, _, err := conn.ReadMsgUnix(buf, oob)
	if err != nil {
		return nil, err
	}
	var files []*os.File
	if oobn > 0 {
		messages, err := unix.ParseSocketControlMessage(oob[:oobn])
		if err != nil {
			return nil, err
		}
		for i := range messages {
			if fds, err := unix.ParseUnixRights(&messages[i]); err == nil {
				for _, fd := range fds {
					files = append(files, os.NewFile(uintptr(fd), "passed"))
				}
			}
		}
	}
	if n == 0 && len(files) == 0 {
		return nil, net.ErrClosed // SOCK_SEQPACKET: the other side is gone
	}
	if flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		closeFiles(files)
		return nil, errors.New("a packet that is too long")
	}
	if err := json.Unmarshal(buf[:n], v); err != nil {
		closeFiles(files)
		return nil, err
	}
	return files, nil
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// server answers the control socket of a running instance.
type server struct {
	listener *net.UnixListener
	// container is nil as long as it is being started.
	container func() *sandbox.Container
	stop      func(grace time.Duration, sig syscall.Signal)
	kill      func()
	rename    func(name, command string) error
	console   *console
	final     <-chan struct{} // closed when the final state is written
	status    func() int      // then

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// serve accepts connections until close.
func (s *server) serve() {
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.wg.Go(func() {
		for {
			conn, err := s.listener.AcceptUnix()
			if err != nil {
				if errors.Is(err, net.ErrClosed) {
					return
				}
				select { // out of descriptors (accept(2))
				case <-s.ctx.Done():
					return
				case <-time.After(50 * time.Millisecond):
					continue
				}
			}
			if !ownPeer(conn) {
				conn.Close()
				continue
			}
			s.wg.Go(func() {
				defer conn.Close()
				s.handle(conn)
			})
		}
	})
}

// close ends what is still served and returns when nothing is left; final must be closed before.
func (s *server) close() {
	s.listener.Close()
	s.cancel()
	s.wg.Wait()
}

// ownPeer tells whether the other side is this user, or root.
func ownPeer(conn *net.UnixConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false
	}
	own := false
	err = raw.Control(func(fd uintptr) {
		cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
		own = err == nil && (cred.Uid == uint32(os.Geteuid()) || cred.Uid == 0)
	})
	return err == nil && own
}

func (s *server) reply(conn *net.UnixConn, a answer, files ...*os.File) {
	_ = conn.SetWriteDeadline(time.Now().Add(answerTime))
	_ = sendPacket(conn, a, files...) // a client that is gone does not miss it
}

func (s *server) handle(conn *net.UnixConn) {
	// Before the first packet nothing is owed to anybody.
	quit := context.AfterFunc(s.ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	defer quit()
	var r request
	files, err := receivePacket(conn, &r)
	if err != nil {
		return
	}
	defer closeFiles(files)
	switch r.Op {
	case opStop, opKill:
		if r.Op == opKill {
			s.kill()
		} else {
			s.stop(r.Grace, syscall.Signal(r.Signal))
		}
		<-s.final
		s.reply(conn, answer{Kind: kindEnded, Status: s.status()})
	case opRename:
		if err := s.rename(r.Name, r.Command); err != nil {
			a := answer{Kind: kindError, Error: remoteError(err)}
			if errors.Is(err, fs.ErrExist) {
				a.Status = statusExists
			}
			s.reply(conn, a)
			return
		}
		s.reply(conn, answer{Kind: kindDone})
	case opAttach:
		s.attach(conn, files)
	case opSignal, opExec:
		k := s.container()
		if k == nil {
			s.reply(conn, answer{Kind: kindError, Error: errStarting})
			return
		}
		if r.Op == opExec {
			s.exec(conn, k, r, files)
			return
		}
		if err := k.Signal(syscall.Signal(r.Signal)); err != nil {
			s.reply(conn, answer{Kind: kindError, Error: remoteError(err)})
			return
		}
		s.reply(conn, answer{Kind: kindDone})
	default:
		s.reply(conn, answer{Kind: kindError, Error: &RemoteError{Text: fmt.Sprintf("unknown request %q", r.Op), HintText: "the app was started by another version of this program; restart it"}})
	}
}

// exec runs a further process for a client until it has ended or the client is gone.
func (s *server) exec(conn *net.UnixConn, k *sandbox.Container, r request, files []*os.File) {
	if r.Process == nil || len(files) != 3 {
		s.reply(conn, answer{Kind: kindError, Error: &RemoteError{Text: "an incomplete request"}})
		return
	}
	job, err := k.Exec(s.ctx, *r.Process, [3]*os.File(files), r.TTY)
	if err != nil {
		s.reply(conn, answer{Kind: kindError, Error: remoteError(err)})
		return
	}
	closeFiles(files) // so that the client sees the end of a terminal
	s.reply(conn, answer{Kind: kindStarted})
	ended := make(chan int, 1)
	s.wg.Go(func() { ended <- job.Wait() })
	gone := make(chan struct{})
	s.wg.Go(func() {
		defer close(gone)
		for {
			var r request
			more, err := receivePacket(conn, &r)
			closeFiles(more)
			if err != nil {
				return
			}
			if r.Op == opSignal {
				_ = job.Signal(syscall.Signal(r.Signal)) // ended meanwhile
			}
		}
	})
	select {
	case status := <-ended:
		s.reply(conn, answer{Kind: kindEnded, Status: status})
	case <-gone:
		_ = job.Signal(syscall.SIGHUP)
		select {
		case <-ended:
		case <-time.After(hangupTime):
			_ = job.Signal(syscall.SIGKILL)
			<-ended
		}
	}
	_ = conn.SetReadDeadline(time.Unix(1, 0))
	<-gone
}

// attach connects a client with the app's terminal or standard input until the app has ended or the client is gone.
func (s *server) attach(conn *net.UnixConn, files []*os.File) {
	k := s.container()
	if k == nil || len(files) != 1 {
		s.reply(conn, answer{Kind: kindError, Error: errStarting})
		return
	}
	screen, err := duplicate(files[0])
	if err == nil {
		var fresh *os.File
		if fresh, err = nonblocking(screen); err == nil {
			screen = fresh
		}
	}
	if err != nil {
		s.reply(conn, answer{Kind: kindError, Error: remoteError(err)})
		return
	}
	input, tty, end, err := s.console.attach(screen)
	if err != nil {
		s.reply(conn, answer{Kind: kindError, Error: remoteError(err)})
		return
	}
	defer end()
	s.reply(conn, answer{Kind: kindAttach, TTY: tty}, input)
	input.Close()
	closeFiles(files) // so that the client sees the end of what is shown
	gone := make(chan struct{})
	s.wg.Go(func() {
		defer close(gone)
		for {
			var r request
			more, err := receivePacket(conn, &r)
			closeFiles(more)
			if err != nil {
				return
			}
			if r.Op == opEOF {
				s.console.endPipe()
			}
		}
	})
	select {
	case <-k.Done():
		end()
		status, err := k.Wait()
		if err != nil && status == 0 {
			status = exitOwn
		}
		s.reply(conn, answer{Kind: kindEnded, Status: status})
	case <-gone:
	}
	_ = conn.SetReadDeadline(time.Unix(1, 0))
	<-gone
}

// nonblocking makes a file that was passed in one whose writes can have deadlines; f is used up.
func nonblocking(f *os.File) (*os.File, error) {
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "screen"), nil
}
