package instance

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"carrel/engine/network"
)

const (
	// lateProbe is how often a port that did not answer in time is asked again.
	lateProbe = 15 * time.Second
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
	t := network.Target{Dial: dial, Scheme: q.spec.Proto, Host: at.String()}
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
			return
		}
		var late *network.NotReady
		if errors.As(err, &late) && late.State != network.NothingListens {
			p.mu.Lock()
			q.failure = late
			if late.State == network.AnswersErrors {
				q.speaks(cmp.Or(q.spec.Proto, "http"))
			}
			p.mu.Unlock()
			p.poke()
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(lateProbe):
		}
		t.Timeout = lateProbe
		t.Dial = few(dial)
	}
}

// few is a dial that makes the two connections of one attempt (plain, then TLS) and then none, so that an app in trouble
// is not asked many times a second.
func few(dial network.DialFunc) network.DialFunc {
	var made atomic.Int32
	return func(ctx context.Context) (net.Conn, error) {
		if made.Add(1) > 2 {
			return nil, net.ErrClosed
		}
		return dial(ctx)
	}
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
