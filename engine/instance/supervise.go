package instance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"carrel/engine/instance/logfile"
	"carrel/engine/network/guard"
	"carrel/engine/network/netns"
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
	open      sync.Map // ports of it that have answered
	stops     chan stopOrder
	kills     chan struct{}
	final     chan struct{}
	outputs   []*os.File // read ends of the app's streams, while it runs
	ports     *ports
	console   console
	guard     *guard.Guard          // with Spec.Guard; the same for all attempts, so that a browser's cookie stays good
	guarded   atomic.Pointer[ports] // those whose links are shown now
	mainEnded bool                  // remarked; only used by ports.watch
	evicted   bool                  // the folder is another instance's now

	// overtime tells that the time of the whole instance is over; nil: it may run for ever.
	overtime <-chan time.Time
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
	s := &supervisor{spec: spec, stops: make(chan stopOrder), kills: make(chan struct{}), final: make(chan struct{})}
	s.guard = s.newGuard()
	status, err = s.run(ctx)
	if err != nil {
		spec.Took(err) // unless it has been told already that the app runs
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
		end := failure(err)
		s.finish(end)
		return exitOwn, err
	}
	s.update(func(r *record) { r.Control = abstract })
	srv := &server{
		listener: listener, container: s.container.Load, final: s.final, status: s.exitCode,
		stop: s.askStop, kill: s.askKill, rename: s.rename, console: &s.console,
	}
	srv.serve()
	defer srv.close()
	defer close(s.final)
	go s.beat(beatEvery, s.final)
	defer s.console.close()
	if s.spec.TimeLimit > 0 {
		timer := time.NewTimer(s.spec.TimeLimit - time.Since(s.rec.Started))
		defer timer.Stop()
		s.overtime = timer.C
	}
	end := s.untilGivenUp(ctx, signals)
	s.finish(end)
	return end.status, end.err
}

// takeOver makes the reserved folder this process's.
func (s *supervisor) takeOver() error {
	self, err := readProcess(os.Getpid())
	if err != nil {
		return fmt.Errorf("take over %s: %w", s.spec.Name, err)
	}
	started := time.Now()
	if r, err := readRecord(s.spec.Dir); err == nil && r.Reserved {
		// Nobody knows of it, not even who stops all: as if it had not been asked for.
		if !alive(r.PID, r.Start) {
			return fmt.Errorf("take over %s: who asked for it was killed", s.spec.Name)
		}
		// When somebody asked for it, which is what they wait from; as a time that knows what passes when the clock is set.
		if before := started.Sub(r.Started); before > 0 && before < time.Minute {
			started = started.Add(-before)
		}
	}
	s.rec = record{
		Instance: Instance{
			Name: s.spec.Name, Image: s.spec.Image, Title: s.spec.Title, Command: s.spec.Command, Spec: s.spec.Raw, Binds: s.spec.Binds,
			State: StateStarting, PID: self.pid, Started: started,
			Limits: s.spec.Limits, Terminal: s.spec.Terminal, Stdin: s.spec.Stdin,
		},
		Machine: thisMachine(), Start: self.start, Beats: true,
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
	if s.evicted || sameRecord(&before, &s.rec) {
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
		a.Hint == b.Hint && a.Reason == b.Reason && a.Restarts == b.Restarts && a.Init == b.Init && a.Control == b.Control && slices.Equal(a.Addresses, b.Addresses) &&
		slices.Equal(a.HostPorts, b.HostPorts)
}

func (s *supervisor) exitCode() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rec.ExitCode
}

func (s *supervisor) askStop(grace time.Duration, sig syscall.Signal) {
	if grace < 0 {
		grace = s.spec.Grace
	}
	if sig == 0 {
		sig = s.spec.StopSignal
	}
	select {
	case s.stops <- stopOrder{grace, sig}:
	case <-s.final:
	}
}

func (s *supervisor) askKill() {
	select {
	case s.kills <- struct{}{}:
	case <-s.final:
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

// dial is how a published port reaches a port of the container.
func (s *supervisor) dial(ctx context.Context, port int) (net.Conn, error) {
	k := s.container.Load()
	if k == nil {
		return nil, errors.New("the container is being started")
	}
	// As long as nothing has answered, which is tried often, the container is only asked when something listens.
	if _, open := s.open.Load(port); !open && !netns.Listens(strconv.Itoa(k.PID()), port) {
		return nil, fmt.Errorf("connect to port %d: %w", port, syscall.ECONNREFUSED)
	}
	conn, err := k.Dial(ctx, port)
	if err == nil {
		s.open.Store(port, nil)
	} else {
		s.open.Delete(port)
	}
	if errors.Is(err, sandbox.ErrEnded) {
		err = fmt.Errorf("%w: %w", err, net.ErrClosed)
	}
	return conn, err
}
