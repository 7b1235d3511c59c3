package instance

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"carrel/engine/network"
	"carrel/engine/network/netns"
)

const (
	// lateProbe is how often a port that did not answer in time is asked again.
	lateProbe = 15 * time.Second
	// firstCheck is when a page that has answered is asked again. Each further time comes after twice as long, up to
	// lastCheck: apps write down who asks them, and nothing is to keep a computer busy that does nothing.
	firstCheck, lastCheck = 15 * time.Second, 2 * time.Minute
	// checkTries is how many questions in a row may stay without a good answer: an app may be busy.
	checkTries = 3
	// logPatience is how long an app's log is waited for when its page answers already: the address it prints with its
	// token is on the way then.
	logPatience = 100 * time.Millisecond
)

// probe asks a port that is listened on until it answers; then, or when ctx ends because nothing listens any more, it
// returns.
func (p *ports) probe(ctx context.Context, q *port, at netip.AddrPort) {
	spec := &p.s.spec
	dial := func(ctx context.Context) (net.Conn, error) { return p.s.dial(ctx, q.spec.Container) }
	if spec.HostNetwork {
		addr := at.String()
		dial = func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", addr)
		}
	}
	t := network.Target{Dial: dial, Scheme: q.spec.Proto}
	if at.IsValid() {
		t.Host = at.String()
	}
	t.Taken = func(c net.Conn) bool { return p.taken(q, c) }
	t.Path, _ = cutQuery(q.spec.Path)
	wait := cmp.Or(spec.Wait, DefaultWait)
	if r := spec.Ready; r != nil {
		wait = cmp.Or(r.Timeout, wait)
		if r.Path != "" && (r.Port == 0 || r.Port == q.spec.Container) {
			t.Path = r.Path
		}
	}
	t.Timeout = time.Until(p.began.Add(wait))
	if t.Timeout <= 0 {
		t.Timeout = min(wait, leastProbe)
	}
	for {
		a, err := network.Ready(ctx, t)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			if network.IsWeb(a.Scheme) {
				p.awaitLog(ctx)
			}
			p.mu.Lock()
			if ctx.Err() == nil {
				q.ready, q.proto, q.failure, q.answered = true, a.Scheme, nil, time.Now()
				q.speaks(a.Scheme)
			}
			p.mu.Unlock()
			p.poke()
			if err = p.check(ctx, q, t, a); err == nil {
				return
			}
		}
		var late *network.NotReady
		if errors.As(err, &late) && late.State != network.NothingListens {
			p.mu.Lock()
			q.ready, q.failure = false, late
			if late.State == network.AnswersErrors {
				q.speaks(cmp.Or(q.spec.Proto, "http"))
			}
			p.mu.Unlock()
			p.poke()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(cmp.Or(spec.Recheck, lateProbe)):
		}
		t.Timeout, t.Once = lateProbe, true // an app in trouble is not asked many times a second
	}
}

// check asks a port that answers again and again, until it does not any more, whose *network.NotReady it returns, or ctx
// ends. What speaks no HTTP is not asked, since it is seen when it stops to listen; but what is only taken for that is for
// a while, since it may be a page that was slow. It returns nil where there is nothing more to be found out.
func (p *ports) check(ctx context.Context, q *port, t network.Target, a network.Answer) error {
	t.Timeout, t.Once = lateProbe, true
	first := cmp.Or(p.s.spec.Recheck, firstCheck)
	pause, failed, silent := first, 0, 0
	for {
		if !network.IsWeb(a.Scheme) && !a.Silent || silent > checkTries {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		if t.Scheme = a.Scheme; a.Silent {
			t.Scheme = ""
		}
		now, err := network.Ready(ctx, t)
		var late *network.NotReady
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil && now.Silent:
			silent++
		case err == nil:
			failed, pause = 0, min(2*pause, 8*first, lastCheck)
			if now.Scheme == a.Scheme {
				continue
			}
			a = now
			p.mu.Lock()
			q.proto = a.Scheme
			q.speaks(a.Scheme)
			p.mu.Unlock()
			p.poke()
		case !errors.As(err, &late) || late.State == network.NothingListens:
			pause = first // where nobody listens for long, that is seen elsewhere, and ends ctx
		default:
			if pause, failed = first, failed+1; failed >= checkTries {
				return err
			}
		}
	}
}

// taken tells whether the app itself has taken a connection to one of its ports, of which it has not said that it serves
// pages there.
func (p *ports) taken(q *port, c net.Conn) bool {
	p.mu.Lock()
	a, printed := p.printed[uint16(q.spec.Container)]
	p.mu.Unlock()
	k := p.s.container.Load()
	if k == nil || printed && network.IsWeb(a.Scheme) {
		return false
	}
	client, server := c.LocalAddr(), c.RemoteAddr()
	from, ok1 := client.(*net.TCPAddr)
	to, ok2 := server.(*net.TCPAddr)
	return ok1 && ok2 && netns.Accepted(strconv.Itoa(k.PID()), from.AddrPort(), to.AddrPort())
}

// awaitLog waits a moment until everything the app has written is searched for addresses.
func (p *ports) awaitLog(ctx context.Context) {
	quiet := 0
	for end := time.Now().Add(logPatience); quiet < 3 && time.Now().Before(end) && ctx.Err() == nil; {
		waiting := 0
		for _, f := range p.s.outputs {
			raw, err := f.SyscallConn()
			if err != nil {
				continue
			}
			_ = raw.Control(func(fd uintptr) {
				if n, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ); err == nil { // bytes in the pipe (pipe(7), FIONREAD)
					waiting += n
				}
			})
		}
		if quiet++; waiting > 0 {
			quiet = 0
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Millisecond):
		}
	}
}
