package instance

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// beatEvery is how often a supervisor shows machines that share its folder that it is there, by the time of its state
	// file. One of another machine that has not done so for beatGrace is gone: that is several beats, and what clocks
	// may differ by and file servers may cache.
	beatEvery, beatGrace = time.Minute, 5 * time.Minute
)

// machine tells where a process number means something.
type machine struct {
	Host  string `json:"host"`
	ID    string `json:"id,omitempty"` // machine-id(5); several machines may have one host name
	Boot  string `json:"boot"`         // changes at each start of the machine
	Space string `json:"space"`        // PID namespace, as /proc/self/ns/pid shows it
}

func thisMachine() machine {
	var m machine
	m.Host, _ = os.Hostname()
	m.ID = firstLine("/etc/machine-id")
	m.Boot = firstLine("/proc/sys/kernel/random/boot_id")
	m.Space, _ = os.Readlink("/proc/self/ns/pid")
	return m
}

// firstLine is what a short file says; empty where it cannot be read.
func firstLine(file string) string {
	data, _ := os.ReadFile(file)
	line, _, _ := strings.Cut(string(data), "\n")
	return strings.TrimSpace(line)
}

// sameAs tells whether both are one machine, perhaps started again in between.
func (m machine) sameAs(other machine) bool {
	if m.Boot == other.Boot {
		return true
	}
	return m.Host == other.Host && (m.ID == other.ID || m.ID == "" || other.ID == "")
}

// jumpOver is by how much a clock has to differ from the time that has passed to have been set meanwhile: supervisors begin
// a little after their instances.
const jumpOver = 5 * time.Second

// sinceStart is how long a process has run that began at a tick after boot (field 22 of proc_pid_stat(5)), whatever the
// clock was set to meanwhile; 0 where that cannot be known.
func sinceStart(tick uint64) time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return 0
	}
	return time.Duration(now.Nano()) - time.Duration(tick)*clockTick
}

// startedAt is when something began at a time by the clock, and with the process of that tick, by the clock as it is now:
// corrected where it was set meanwhile.
func startedAt(started time.Time, tick uint64, now time.Time) time.Time {
	truly := sinceStart(tick)
	if d := now.Sub(started) - truly; truly <= 0 || d.Abs() <= jumpOver {
		return started
	}
	return now.Add(-truly)
}

// silent is how long nothing was heard of an instance of another machine; 0 while that says nothing.
func (r *record) silent(dir string, now time.Time) time.Duration {
	if !r.Beats {
		return 0 // of a version that did not
	}
	st, err := os.Stat(filepath.Join(dir, stateFile))
	if err != nil {
		return 0
	}
	if d := now.Sub(st.ModTime()); d > beatGrace {
		return d
	}
	return 0
}

// beat shows that this supervisor is there, every now and then until ended is closed.
func (s *supervisor) beat(every time.Duration, ended <-chan struct{}) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	last := time.Now().Round(0) // without its monotonic part, which stands still while the machine sleeps
	for {
		select {
		case <-ended:
			return
		case now := <-tick.C:
			now = now.Round(0)
			s.beatOnce(now, now.Sub(last) > beatGrace)
			last = now
		}
	}
}

// beatOnce is one beat. After a long silence another machine may have given the folder away.
func (s *supervisor) beatOnce(now time.Time, late bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.evicted || !s.rec.State.Live() {
		return
	}
	if late {
		if r, err := readRecord(s.spec.Dir); err != nil || r.PID != s.rec.PID || r.Start != s.rec.Start || r.Machine != s.rec.Machine {
			s.evicted = true
			return
		}
	}
	_ = os.Chtimes(filepath.Join(s.spec.Dir, stateFile), now, now) // the next one may do better
}

// heard is what is said of an instance of another machine that is silent.
func heard(host string, d time.Duration) string {
	return fmt.Sprintf("nothing was heard of it from %s for %s: its job there has ended, or that computer was switched off", host, short(d.Round(time.Minute)))
}
