package instance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"carrel/engine/causes"
)

const (
	// firstPause and longestPause are between the restarts of an app that ends again and again.
	firstPause, longestPause = 500 * time.Millisecond, time.Minute
	// stableAfter is how long an app has to run for its next end to count as the first one.
	stableAfter = 10 * time.Second
	// keptLines of the end of a log, each of keptLength bytes at most, are kept in the state.
	keptLines, keptLength = 5, 300
	// refusalLines is how many lines at the end of a log are searched for a word about memory.
	refusalLines = 300
)

// errStopped is why a container did not start that was stopped before.
var errStopped = errors.New("stopped while it was being started")

// outcome is how one run of the container came to its end.
type outcome struct {
	status        int
	err           error
	reason        Reason
	ran           time.Duration
	problem, hint string
}

// failure is the outcome of a container that could not be started.
func failure(err error) outcome {
	return outcome{status: exitOwn, err: err, reason: ReasonFailed, problem: err.Error(), hint: hint(err)}
}

// untilGivenUp runs the app, again and again where that is wanted.
func (s *supervisor) untilGivenUp(ctx context.Context, signals <-chan os.Signal) outcome {
	end := s.attempt(ctx, signals, 0, "")
	if end.reason == ReasonFailed && end.ran == 0 {
		return end // its starter is told
	}
	for row := 1; s.again(end, &row); row++ {
		pause := s.spec.Restart.Pause
		if pause <= 0 {
			pause = firstPause
		}
		for range row - 1 {
			if pause = min(2*pause, longestPause); pause == longestPause {
				break
			}
		}
		text := fmt.Sprintf("it ended with status %d after %s; starting it again in %s", end.status, short(end.ran), short(pause))
		if most := s.spec.Restart.Max; most > 0 {
			text += fmt.Sprintf(" (restart %d of %d)", row, most)
		}
		if end.problem != "" {
			s.log.Remark(end.problem)
		}
		s.log.Remark(text)
		s.update(func(r *record) {
			r.State, r.ExitCode, r.Init, r.Problem, r.Hint = StateStarting, end.status, 0, text, ""
			r.Restarts++
			for i := range r.Addresses {
				r.Addresses[i].Ready = false
			}
		})
		s.mainEnded = false
		end = s.attempt(ctx, signals, pause, text)
	}
	return end
}

// again tells whether the app is to be started again; row counts its ends without a longer run between them.
func (s *supervisor) again(end outcome, row *int) bool {
	if end.reason == ReasonStopped || end.reason == ReasonTime {
		return false
	}
	if end.ran >= stableAfter {
		*row = 1
	}
	if _, err := os.Stat(s.spec.Dir); errors.Is(err, fs.ErrNotExist) {
		return false // it is forgotten: nobody could find it any more, to stop it
	}
	r := s.spec.Restart
	wanted := r.When == RestartAlways || r.When == RestartOnFailure && end.status != 0
	if wanted && r.Max > 0 && *row > r.Max {
		s.log.Remark(fmt.Sprintf("it was started again %d times in a row, and is left as it is", r.Max))
		return false
	}
	return wanted
}

// keepPorts writes down where the declared ports are published, so that the next run, or another instance in place of this
// one, can have the same.
func (s *supervisor) keepPorts() {
	if s.spec.HostNetwork {
		return
	}
	numbers := make([]int, len(s.spec.Ports))
	s.ports.mu.Lock()
	for i, q := range s.ports.all { // those come first, in their order
		if i == len(numbers) || !q.declared {
			break
		}
		numbers[i] = int(q.addr.Port())
		if spec := &s.spec.Ports[i]; spec.Host == 0 || !spec.Fixed {
			spec.Host, spec.Fixed = numbers[i], false
		}
	}
	s.ports.mu.Unlock()
	s.update(func(r *record) { r.HostPorts = numbers })
}

// pause waits before a restart; why is a sentence about it. It tells whether the app was stopped meanwhile.
func (s *supervisor) pause(ctx context.Context, signals <-chan os.Signal, d time.Duration, why string) (end outcome, stopped bool) {
	end = outcome{status: s.exitCode(), reason: ReasonStopped}
	s.update(func(r *record) { r.State, r.Problem = StateStarting, why })
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return end, false
		case <-ctx.Done():
			return end, true
		case <-s.stops:
			return end, true
		case <-s.kills:
			return end, true
		case <-s.overtime:
			end.reason = ReasonTime
			return end, true
		case sig := <-signals:
			if sig != syscall.SIGHUP {
				return end, true
			}
		}
	}
}

// explain says why the container ended; noMemory and advice are what package oom says.
func (s *supervisor) explain(end *outcome, noMemory, advice string) {
	switch {
	case end.err != nil:
		end.reason, end.problem, end.hint = ReasonFailed, end.err.Error(), hint(end.err)
	case end.reason == ReasonTime:
		end.problem = "its time of " + short(s.spec.TimeLimit) + " was over"
		end.hint = "give it more with --time, or none"
	case end.reason != "":
	case noMemory != "":
		end.reason, end.problem, end.hint = ReasonMemory, noMemory, advice
	case end.status == 128+int(unix.SIGKILL):
		end.reason, end.problem = ReasonSignal, "something killed it (signal 9)"
	case end.status > 128 && unix.SignalName(unix.Signal(end.status-128)) != "":
		end.reason = ReasonSignal
	default:
		end.reason = ReasonExited
	}
	if (end.reason == ReasonExited || end.reason == ReasonSignal) && s.wasRefused(end.status) {
		end.reason, end.problem = ReasonMemory, fmt.Sprintf("it asked for more than the %d MiB of memory it was given", s.spec.MemoryLimit>>20)
		end.hint = "give it more memory (--memory) or less data"
	}
	if end.reason == ReasonMemory && end.status == 0 {
		end.reason = ReasonExited // it went on without that part, and is content
	}
}

// wasRefused tells whether an app that ended with a status said that it was refused memory, where there is less than all.
func (s *supervisor) wasRefused(status int) bool {
	if status == 0 || s.spec.MemoryLimit == 0 {
		return false
	}
	// Some print all they know of themselves after that, in which other causes seem to be.
	for _, line := range s.lastLines(refusalLines) {
		if c, ok := causes.Find(causes.Failure{Lines: []string{line}, Status: status}); ok && c.ID == causes.Memory {
			return true
		}
	}
	return false
}

// finish records the end of all.
func (s *supervisor) finish(end outcome) {
	if end.problem != "" {
		s.log.Remark(end.problem)
	}
	last := s.lastLines(keptLines)
	s.update(func(r *record) {
		now := time.Now()
		r.Started = startedAt(r.Started.Round(0), r.Start, now) // how long it ran is what lies between
		r.State, r.Ended, r.ExitCode, r.Reason, r.LastLines = StateExited, now, end.status, end.reason, last
		r.Problem, r.Hint = end.problem, end.hint
		if end.reason == ReasonFailed && end.ran == 0 {
			r.Addresses = nil
		}
		for i := range r.Addresses {
			r.Addresses[i].Ready = false
		}
	})
}

// lastLines are the last lines, up to n, that the app wrote.
func (s *supervisor) lastLines(n int) []string {
	var lines []string
	// Our own remarks are among them: more are read than are kept. A log that cannot be read has no last lines.
	_ = ReadLog(context.Background(), s.folder(), LogOptions{Tail: n + 4*keptLines}, func(batch []LogLine) error {
		for _, l := range batch {
			if l.Stream != ownStream {
				lines = append(lines, l.Text[:min(len(l.Text), keptLength)])
			}
		}
		return nil
	})
	return lines[max(0, len(lines)-n):]
}
