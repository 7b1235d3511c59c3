package instance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"carrel/engine/instance/logfile"
	"carrel/engine/sandbox"
)

const (
	// exitOwn is the status of an instance that failed by our own doing.
	exitOwn = 255
	// pipeSize is asked for the pipes of the app's output, so that it need not wait for us at every 64 KiB.
	pipeSize = 1 << 20
	// drainTime is how long the log waits for the end of the app's output when all its processes are dead: only somebody
	// outside who was handed the descriptor can still hold it.
	drainTime = 2 * time.Second
)

// supervisor is a running Run.
type supervisor struct {
	spec Spec
	log  *logfile.Writer

	mu  sync.Mutex
	rec record
	// writeErr is the last failure to write the state, told in the log once.
	writeErr error

	container atomic.Pointer[sandbox.Container]
	stops     chan time.Duration
	kills     chan struct{}
	final     chan struct{}
	outputs   []*os.File // read ends of the app's streams
	ports     *ports
	mainEnded bool // remarked; only used by ports.watch
}

// Run looks after one instance from its start to its end, in a process of its own (see Spawn): it returns the app's exit
// status, or 255 and an error when the container could not be started or failed itself. When ctx ends, or at SIGTERM or
// SIGINT, the app is stopped with its grace; SIGHUP does nothing. Run changes the process's signal handling and its memory
// settings for good.
func Run(ctx context.Context, spec Spec) (status int, err error) {
	if spec.Took == nil {
		spec.Took = func(error) {}
	}
	if spec.StopSignal == 0 {
		spec.StopSignal = syscall.SIGTERM
	}
	if spec.Grace == 0 {
		spec.Grace = DefaultGrace
	}
	lean()
	s := &supervisor{spec: spec, stops: make(chan time.Duration), kills: make(chan struct{}), final: make(chan struct{})}
	status, err = s.run(ctx)
	if err != nil && s.container.Load() == nil {
		spec.Took(err)
	}
	return status, err
}

func (s *supervisor) run(ctx context.Context) (int, error) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	if err := s.takeOver(); err != nil {
		return exitOwn, err
	}
	defer s.log.Close()
	listener, abstract, err := listen(s.spec.Dir)
	if err != nil {
		return s.failed(err)
	}
	s.update(func(r *record) { r.Control = abstract })
	srv := &server{
		listener: listener, container: s.container.Load, final: s.final, status: s.exitCode,
		stop: s.askStop, kill: s.askKill,
	}
	srv.serve()
	defer srv.close()
	defer close(s.final)

	// Published ports and the container end with life, which outlasts ctx by the time of a graceful stop.
	life, endLife := context.WithCancel(context.WithoutCancel(ctx))
	defer endLife()
	s.ports = newPorts(s)
	defer s.ports.close()
	if err := s.ports.publishDeclared(life); err != nil {
		return s.failed(err)
	}
	k, cleanup, err := s.start(life, endLife, ctx, signals)
	if err != nil {
		return s.failed(err)
	}
	return s.look(ctx, life, k, cleanup, signals)
}

// takeOver makes the reserved folder this process's.
func (s *supervisor) takeOver() error {
	self, err := readProcess(os.Getpid())
	if err != nil {
		return fmt.Errorf("take over %s: %w", s.spec.Name, err)
	}
	started := time.Now()
	if r, err := readRecord(s.spec.Dir); err == nil && r.Reserved && r.Started.Before(started) {
		started = r.Started // when somebody asked for it, which is what they wait from
	}
	s.rec = record{
		Instance: Instance{
			Name: s.spec.Name, Image: s.spec.Image, Title: s.spec.Title, Command: s.spec.Command, Spec: s.spec.Raw, Binds: s.spec.Binds,
			State: StateStarting, PID: self.pid, Started: started,
		},
		Machine: thisMachine(), Start: self.start,
	}
	if s.log, err = logfile.Open(s.spec.Dir, s.spec.LogSize); err != nil {
		return err
	}
	if err := s.rec.write(s.spec.Dir, false); err != nil {
		s.log.Close()
		return err
	}
	return nil
}

// update changes the state and writes it where it became another one.
func (s *supervisor) update(change func(*record)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.rec
	before.Addresses = slices.Clone(s.rec.Addresses)
	change(&s.rec)
	if sameRecord(&before, &s.rec) {
		return
	}
	err := s.rec.write(s.spec.Dir, !s.rec.State.Live())
	if err != nil && s.writeErr == nil {
		s.log.Remark("the state of this app can no longer be written: " + err.Error())
	}
	s.writeErr = err
}

// sameRecord compares what a supervisor changes.
func sameRecord(a, b *record) bool {
	return a.State == b.State && a.ReadyIn == b.ReadyIn && a.Ended.Equal(b.Ended) && a.ExitCode == b.ExitCode && a.Problem == b.Problem &&
		a.Hint == b.Hint && a.Init == b.Init && a.Control == b.Control && slices.Equal(a.Addresses, b.Addresses)
}

func (s *supervisor) exitCode() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rec.ExitCode
}

// failed records that the app could not be started.
func (s *supervisor) failed(err error) (int, error) {
	s.log.Remark(err.Error())
	s.update(func(r *record) {
		r.State, r.Ended, r.ExitCode = StateExited, time.Now(), exitOwn
		r.Problem, r.Hint, r.Addresses = err.Error(), hint(err), nil
	})
	return exitOwn, err
}

func (s *supervisor) askStop(grace time.Duration) {
	if grace < 0 {
		grace = s.spec.Grace
	}
	select {
	case s.stops <- grace:
	case <-s.final:
	}
}

func (s *supervisor) askKill() {
	select {
	case s.kills <- struct{}{}:
	case <-s.final:
	}
}

// errStopped is why a container did not start that was stopped before.
var errStopped = errors.New("stopped while it was being started")

// start starts the container; whoever asks for a stop meanwhile ends that.
func (s *supervisor) start(life context.Context, endLife func(), ctx context.Context, signals <-chan os.Signal) (*sandbox.Container, func() error, error) {
	type result struct {
		k       *sandbox.Container
		cleanup func() error
		err     error
	}
	stdin, err := os.Open(os.DevNull)
	if err != nil {
		return nil, nil, err
	}
	defer stdin.Close()
	writers := make([]*os.File, 2)
	for i := range writers {
		r, w, err := outputPipe()
		if err != nil {
			closeFiles(writers[:i])
			closeFiles(s.outputs)
			return nil, nil, fmt.Errorf("make pipe for the log: %w", err)
		}
		s.outputs, writers[i] = append(s.outputs, r), w
	}
	started := make(chan result, 1)
	go func() {
		k, cleanup, err := s.spec.Start(life, stdin, writers[0], writers[1], s.log.Remark)
		started <- result{k, cleanup, err}
	}()
	interrupted := false
	interrupt := func() {
		interrupted = true
		endLife()
	}
	done := ctx.Done()
	for {
		select {
		case r := <-started:
			closeFiles(writers)
			if interrupted {
				if r.err == nil {
					_, _ = r.k.Wait()
					if r.cleanup != nil {
						r.err = r.cleanup()
					}
				}
				r.err = errStopped
			}
			if r.err != nil {
				closeFiles(s.outputs)
				return nil, nil, r.err
			}
			return r.k, r.cleanup, nil
		case <-done:
			done = nil
			interrupt()
		case sig := <-signals:
			if sig != syscall.SIGHUP {
				interrupt()
			}
		case <-s.stops:
			interrupt()
		case <-s.kills:
			interrupt()
		}
	}
}

// outputPipe makes a pipe whose read end can wait with a deadline and whose write end is as programs expect one.
func outputPipe() (r, w *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, err
	}
	_, _ = unix.FcntlInt(uintptr(fds[0]), unix.F_SETPIPE_SZ, pipeSize) // over the user's limit: smaller ones do too
	_ = unix.SetNonblock(fds[0], true)
	return os.NewFile(uintptr(fds[0]), "output"), os.NewFile(uintptr(fds[1]), "output"), nil
}

// look looks after the running container until it has ended.
func (s *supervisor) look(ctx, life context.Context, k *sandbox.Container, cleanup func() error, signals <-chan os.Signal) (int, error) {
	s.container.Store(k)
	s.update(func(r *record) { r.Init = k.PID() })
	kills := countOOM()
	var out sync.WaitGroup
	for i, stream := range []logfile.Stream{logfile.Out, logfile.Err} {
		out.Go(func() {
			if err := s.log.Copy(stream, s.outputs[i], s.ports.scan); err != nil {
				s.log.Remark(err.Error())
			}
		})
	}
	way := s.wayOut(life, k)
	s.spec.Took(nil)
	watch, endWatch := context.WithCancel(life)
	var watching sync.WaitGroup
	watching.Go(func() { s.ports.watch(watch, k.PID()) })

	stopped := s.untilEnd(ctx, k, signals)

	status, err := k.Wait()
	endWatch()
	watching.Wait()
	s.drain(&out)
	s.ports.close()
	if way != nil {
		_ = way.Close()
	}
	if cleanup != nil {
		if e := cleanup(); e != nil {
			s.log.Remark("clean up: " + e.Error())
			err = errors.Join(err, e)
		}
	}
	if err != nil && status == 0 {
		status = exitOwn
	}
	s.finish(status, err, stopped, kills)
	return status, err
}

// wayOut connects the container's link with the host's network.
func (s *supervisor) wayOut(life context.Context, k *sandbox.Container) io.Closer {
	link := k.Link()
	if link == nil || s.spec.UserNet == nil {
		return nil
	}
	fd, err := unix.FcntlInt(link.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err == nil {
		var way io.Closer
		if way, err = s.spec.UserNet(life, os.NewFile(uintptr(fd), "link")); err == nil {
			return way
		}
	}
	s.log.Remark("no outgoing network in the container: " + err.Error())
	return nil
}

// untilEnd waits for the end of the container and brings it about where it is asked to. It tells whether it was.
func (s *supervisor) untilEnd(ctx context.Context, k *sandbox.Container, signals <-chan os.Signal) (stopped bool) {
	var asked, deadline time.Time
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	defer timer.Stop()
	empty := time.NewTicker(time.Hour) // looks whether a kept container has become empty
	empty.Stop()
	defer empty.Stop()
	stop := func(grace time.Duration) {
		if !stopped {
			stopped, asked = true, time.Now()
			s.update(func(r *record) { r.State = StateStopping })
			_ = k.Signal(s.spec.StopSignal) // it may have ended just now
			if s.spec.KeepAlive {
				empty.Reset(20 * time.Millisecond)
			}
		}
		if until := time.Now().Add(grace); deadline.IsZero() || until.Before(deadline) {
			deadline = until
			timer.Reset(grace)
		}
	}
	done := ctx.Done()
	for {
		select {
		case <-k.Done():
			return stopped
		case <-done:
			done = nil
			stop(s.spec.Grace)
		case sig := <-signals:
			if sig != syscall.SIGHUP {
				stop(s.spec.Grace)
			}
		case grace := <-s.stops:
			stop(grace)
		case <-s.kills:
			stopped = true
			s.update(func(r *record) { r.State = StateStopping })
			k.Kill()
		case <-timer.C:
			s.log.Remark(fmt.Sprintf("it did not end within %s of %s, and was killed", time.Since(asked).Round(100*time.Millisecond), unix.SignalName(s.spec.StopSignal)))
			k.Kill()
		case <-empty.C:
			if left, err := below(k.PID()); err == nil && len(left) == 0 {
				_ = k.Stop()
			}
		}
	}
}

// remarkMainEnded tells once that the process of a kept container has ended.
func (s *supervisor) remarkMainEnded() {
	k := s.container.Load()
	if s.mainEnded || !s.spec.KeepAlive || k == nil {
		return
	}
	if status, ended := k.MainEnded(); ended {
		s.mainEnded = true
		s.log.Remark(fmt.Sprintf("the start script has ended with status %d; the container is kept", status))
	}
}

// drain lets the log read the rest of the app's output.
func (s *supervisor) drain(out *sync.WaitGroup) {
	read := make(chan struct{})
	go func() {
		out.Wait()
		close(read)
	}()
	select {
	case <-read:
	case <-time.After(drainTime):
	}
	closeFiles(s.outputs)
	<-read
}

// finish records the end.
func (s *supervisor) finish(status int, err error, stopped bool, before oomCount) {
	var problem, advice string
	switch {
	case err != nil:
		problem, advice = err.Error(), hint(err)
	case status == 128+int(syscall.SIGKILL) && !stopped && countOOM() != before:
		problem = "the kernel killed it because the memory it may use ran out"
		if now := countOOM(); now.group == before.group {
			problem = "it was killed while this computer ran out of memory"
		}
		advice = "give it more memory or less data, or close other programs"
	case status == 128+int(syscall.SIGKILL) && !stopped:
		problem = "something killed it (signal 9)"
	}
	if problem != "" {
		s.log.Remark(problem)
	}
	s.update(func(r *record) {
		r.State, r.Ended, r.ExitCode = StateExited, time.Now(), status
		r.Problem, r.Hint = problem, advice
		for i := range r.Addresses {
			r.Addresses[i].Ready = false
		}
	})
}

// dial is how a published port reaches a port of the container.
func (s *supervisor) dial(ctx context.Context, port int) (net.Conn, error) {
	k := s.container.Load()
	if k == nil {
		return nil, errors.New("the container is being started")
	}
	conn, err := k.Dial(ctx, port)
	if errors.Is(err, sandbox.ErrEnded) {
		err = fmt.Errorf("%w: %w", err, net.ErrClosed)
	}
	return conn, err
}
