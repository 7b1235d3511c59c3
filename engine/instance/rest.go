package instance

import (
	"time"
)

// What an app may do in restWait and still count as resting: shells that wait for something look every now and then.
const (
	restCPU  = 50 * time.Millisecond
	restRead = 256 << 10 // bytes
	// restEvery is how often it is looked.
	restEvery = 200 * time.Millisecond
)

// rest finds out whether an app that serves nothing does anything else that may end in serving, such as loading: a server that
// is starting computes and reads.
type rest struct {
	looked, since time.Time
	cpu           time.Duration
	read          int64
}

// idle is how long the processes below init have done next to nothing. Where that cannot be seen they are busy.
func (r *rest) idle(init int, now time.Time) time.Duration {
	if now.Sub(r.looked) < restEvery {
		return r.looked.Sub(r.since)
	}
	r.looked = now
	all, err := below(init)
	first, err2 := readProcess(init)
	busy := err != nil || err2 != nil
	cpu := first.cpu // with that of what it has reaped
	read, _ := traffic(init)
	for _, p := range all {
		n, _ := traffic(p.pid)
		cpu, read = cpu+p.cpu, read+n
		// D: it waits for a disk (proc_pid_stat(5)).
		busy = busy || p.state == 'R' || p.state == 'D'
	}
	if busy || r.since.IsZero() || (cpu-r.cpu).Abs() > restCPU || max(read-r.read, r.read-read) > restRead {
		r.since, r.cpu, r.read = now, cpu, read
	}
	return now.Sub(r.since)
}

// rests looks whether an app on whose ports nothing listens is not expected to serve anything soon.
func (p *ports) rests(init int) {
	p.mu.Lock()
	known := p.resting || p.answered || p.s.spec.Wait > 0
	for _, q := range p.all {
		known = known || !q.since.IsZero()
	}
	p.mu.Unlock()
	if known {
		return
	}
	most := restWait
	if p.s.spec.Ready != nil || len(p.s.spec.Ports) > 0 {
		most = restWaitServer
	}
	if p.rest.idle(init, time.Now()) >= most {
		p.mu.Lock()
		p.resting = true
		p.mu.Unlock()
	}
}
