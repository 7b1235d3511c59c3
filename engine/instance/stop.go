package instance

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"carrel/engine/sandbox"
	"carrel/internal/amount"
)

// How an app is stopped, in this order:
//
//  1. its own process gets the stop signal;
//  2. when that has ended, or has not within a third of the grace time, all others get it (shells that somebody opened
//     inside, which ignore such signals, are hung up on);
//  3. what is there at the end of the grace time is killed.
//
// It has ended when nobody is left.
const restAfter = 3 // part of the grace time after which the others are asked

// lookEvery is how often a container that is being stopped is looked at.
const lookEvery = 50 * time.Millisecond

// stopOrder is how somebody wants an app to be stopped.
type stopOrder struct {
	grace  time.Duration
	signal syscall.Signal
}

// untilEnd waits for the end of the container and brings it about where it is asked to. It tells why it did, or "".
func (s *supervisor) untilEnd(ctx context.Context, k *sandbox.Container, signals <-chan os.Signal) (why Reason) {
	var asked time.Time
	var grace time.Duration
	all := false // have been asked
	tick := time.NewTicker(time.Hour)
	tick.Stop()
	defer tick.Stop()
	signal, name := s.spec.StopSignal, ""
	stop := func(reason Reason, wanted time.Duration) {
		if why == "" {
			why, asked, grace, name = reason, time.Now(), wanted, signalName(signal)
			s.update(func(r *record) { r.State = StateStopping })
			if wanted > 0 {
				s.log.Remark(fmt.Sprintf("stopping: the app is asked to end (%s), and has %s for it", name, amount.Lasted(wanted)))
			}
			_ = k.Stop(signal) // it may have ended just now
			tick.Reset(lookEvery)
		}
		// A later request may shorten the time, never lengthen it.
		grace = min(grace, time.Since(asked)+wanted)
		if wanted <= 0 {
			k.Kill()
		}
	}
	done := ctx.Done()
	for {
		select {
		case <-k.Done():
			if why != "" {
				s.log.Remark("stopped after " + amount.Lasted(time.Since(asked)))
			}
			return why
		case <-done:
			done = nil
			stop(ReasonStopped, s.spec.Grace)
		case sig := <-signals:
			if sig != syscall.SIGHUP {
				stop(ReasonStopped, s.spec.Grace)
			}
		case order := <-s.stops:
			if why == "" {
				signal = order.signal
			}
			stop(ReasonStopped, order.grace)
		case <-s.kills:
			stop(ReasonStopped, 0)
		case <-s.overtime:
			s.log.Remark(fmt.Sprintf("its time of %s is over", short(s.spec.TimeLimit)))
			stop(ReasonTime, s.spec.Grace)
		case <-tick.C:
			since := time.Since(asked)
			_, ended := k.MainEnded()
			switch {
			case since >= grace:
				tick.Stop()
				who := "it did"
				if left := others(k, 0); ended && len(left) > 0 {
					who = fmt.Sprintf("%d of its processes did", len(left))
				}
				s.log.Remark(fmt.Sprintf("%s not end within %s of %s: killed", who, short(since), name))
				k.Kill()
			case ended && !all:
				all = true // init has asked them
				if left := others(k, 0); len(left) > 0 {
					s.log.Remark(fmt.Sprintf("the app's own process has ended after %s; %s to the %d that are left", short(since), name, len(left)))
				}
			case !ended && !all && since >= grace/restAfter:
				all = true
				left := others(k, k.MainPID())
				for _, p := range left {
					_ = signalProcess(p.pid, p.start, signal) // ended meanwhile
				}
				if s.spec.Terminal {
					// A shell ignores most signals, but not that its terminal is gone.
					s.log.Remark(fmt.Sprintf("the app has not ended after %s; hanging up on it", short(since)))
					_ = k.Signal(unix.SIGHUP)
					_ = k.Signal(unix.SIGCONT)
				}
				if len(left) > 0 {
					s.log.Remark(fmt.Sprintf("the app has not ended after %s; %s to the %d other processes in it", short(since), name, len(left)))
				}
			}
		}
	}
}

// signalName is the name of a signal for a person, its number where it has none.
func signalName(sig syscall.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	return fmt.Sprintf("signal %d", int(sig))
}

// short writes a duration without what nobody reads.
func short(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return d.Round(time.Millisecond).String()
	case d < time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	text := d.Round(time.Second).String() // "1h30m0s"
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// others are the processes of a container but its init and the one with the number main inside.
func others(k *sandbox.Container, main int) []process {
	all, err := below(k.PID())
	if err != nil {
		return nil
	}
	left := all[:0]
	for _, p := range all {
		if p.state != 'Z' && (main == 0 || innerPID(p.pid) != main) {
			left = append(left, p)
		}
	}
	return left
}

// innerPID is the number of a process in the innermost of its namespaces (NSpid, proc_pid_status(5)); 0 when it has ended.
func innerPID(pid int) int {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte("NSpid:")); ok {
			if numbers := bytes.Fields(rest); len(numbers) > 0 {
				n, _ := strconv.Atoi(string(numbers[len(numbers)-1]))
				return n
			}
		}
	}
	return 0
}
