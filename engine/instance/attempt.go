package instance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"carrel/engine/instance/logfile"
	"carrel/engine/oom"
	"carrel/engine/sandbox"
)

// An attempt is one run of the container: publish its ports, start it, look after it until it has ended. An instance has
// several of them when it is started again.

// attempt runs the container once, after a pause for all but the first; why tells of it.
func (s *supervisor) attempt(ctx context.Context, signals <-chan os.Signal, pause time.Duration, why string) outcome {
	// Published ports and the container end with life, which outlasts ctx by the time of a graceful stop.
	life, endLife := context.WithCancel(context.WithoutCancel(ctx))
	defer endLife()
	s.ports = newPorts(s)
	defer s.ports.close()
	if err := s.ports.publishDeclared(life); err != nil {
		return failure(err)
	}
	if pause > 0 {
		if end, stopped := s.pause(ctx, signals, pause, why); stopped {
			return end
		}
	}
	f, err := s.standardFiles()
	if err != nil {
		return failure(err)
	}
	defer f.close()
	k, cleanup, end := s.start(life, endLife, ctx, f, signals)
	if k == nil {
		return end
	}
	return s.look(ctx, life, f, k, cleanup, signals)
}

// files are the standard files of one run of the app.
type files struct {
	app     [3]*os.File // its ends; closed once it has them
	outputs []*os.File  // the other ends of its output, one for each stream
}

func (f *files) close() {
	f.handedOver()
	closeFiles(f.outputs)
}

// handedOver closes the app's ends.
func (f *files) handedOver() {
	for i, file := range f.app {
		if file != nil && (i == 0 || file != f.app[0]) {
			file.Close()
		}
	}
	f.app = [3]*os.File{}
}

// standardFiles makes the files that the app is started with: pipes for the log, or a terminal.
func (s *supervisor) standardFiles() (f *files, err error) {
	f = &files{}
	defer func() {
		if err != nil {
			f.close()
			err = fmt.Errorf("make standard files: %w", err)
		}
	}()
	if s.spec.Terminal {
		master, slave, err := s.console.terminal()
		if err != nil {
			return f, err
		}
		f.app, f.outputs = [3]*os.File{slave, slave, slave}, []*os.File{master}
		return f, nil
	}
	if s.spec.Stdin {
		f.app[0], err = s.console.pipe()
	} else {
		f.app[0], err = os.Open(os.DevNull)
	}
	for i := 1; i < 3 && err == nil; i++ {
		var r *os.File
		if r, f.app[i], err = outputPipe(); err == nil {
			f.outputs = append(f.outputs, r)
		}
	}
	return f, err
}

// start starts the container; whoever asks for a stop meanwhile ends that.
func (s *supervisor) start(life context.Context, endLife func(), ctx context.Context, f *files, signals <-chan os.Signal) (*sandbox.Container, func() error, outcome) {
	type result struct {
		k       *sandbox.Container
		cleanup func() error
		err     error
	}
	started := make(chan result, 1)
	go func() {
		k, cleanup, err := s.spec.Start(life, f.app[0], f.app[1], f.app[2], s.log.Remark)
		started <- result{k, cleanup, err}
	}()
	reason := Reason("")
	interrupt := func(why Reason) {
		reason = why
		endLife()
	}
	done := ctx.Done()
	for {
		select {
		case r := <-started:
			f.handedOver()
			if reason != "" && r.err == nil {
				_, _ = r.k.Wait()
				if r.cleanup != nil {
					r.err = r.cleanup()
				}
			}
			if reason != "" {
				end := failure(errStopped)
				end.reason = reason
				return nil, nil, end
			}
			if r.err != nil {
				return nil, nil, failure(r.err)
			}
			return r.k, r.cleanup, outcome{}
		case <-done:
			done = nil
			interrupt(ReasonStopped)
		case sig := <-signals:
			if sig != syscall.SIGHUP {
				interrupt(ReasonStopped)
			}
		case <-s.stops:
			interrupt(ReasonStopped)
		case <-s.kills:
			interrupt(ReasonStopped)
		case <-s.overtime:
			interrupt(ReasonTime)
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
func (s *supervisor) look(ctx, life context.Context, f *files, k *sandbox.Container, cleanup func() error, signals <-chan os.Signal) outcome {
	s.container.Store(k)
	defer s.container.Store(nil)
	began := time.Now()
	s.update(func(r *record) { r.Init = k.PID() })
	memory := oom.Watch(k.PID())
	var out sync.WaitGroup
	streams, seen := []logfile.Stream{logfile.Out, logfile.Err}, s.ports.scan
	if s.spec.Terminal {
		scan := seen
		seen = func(piece []byte) {
			s.console.show(piece)
			scan(piece)
		}
	}
	for i, from := range f.outputs {
		out.Go(func() {
			// A terminal that nobody holds any more is an input/output error (pty(7)).
			if err := s.log.Copy(streams[i], from, seen); err != nil && !(s.spec.Terminal && errors.Is(err, unix.EIO)) {
				s.log.Remark(err.Error())
			}
		})
	}
	s.outputs = f.outputs
	way := s.wayOut(life, k)
	s.spec.Took(nil)
	watch, endWatch := context.WithCancel(life)
	var watching sync.WaitGroup
	watching.Go(func() { s.ports.watch(watch, k.PID()) })

	asked := s.untilEnd(ctx, k, signals)

	status, err := k.Wait()
	if own, ended := k.MainEnded(); ended && !s.spec.KeepAlive && asked != "" {
		status = own // others may have had to be killed
	}
	noMemory, advice := memory(status)
	endWatch()
	watching.Wait()
	s.drain(f, &out)
	s.console.detach()
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
	end := outcome{status: status, err: err, reason: asked, ran: time.Since(began)}
	s.explain(&end, noMemory, advice)
	return end
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

// drain lets the log read the rest of the app's output.
func (s *supervisor) drain(f *files, out *sync.WaitGroup) {
	read := make(chan struct{})
	go func() {
		out.Wait()
		close(read)
	}()
	select {
	case <-read:
	case <-time.After(drainTime):
	}
	closeFiles(f.outputs)
	f.outputs = nil
	<-read
}
