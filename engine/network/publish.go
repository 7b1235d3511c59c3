package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"carrel/engine/network/relay"

	"golang.org/x/sys/unix"
)

const (
	// DefaultPatience is how long a published port holds a connection while nothing listens inside yet.
	DefaultPatience = 2 * time.Minute
	// acceptRetry is the pause after the process ran out of descriptors.
	acceptRetry = 50 * time.Millisecond
)

// Gate is asked about each connection of a published TCP port, before anything is carried. Package guard has one.
type Gate interface {
	// Handle looks after one connection until it has ended, and closes it. connect makes a connection to the app, waiting
	// until it listens; pass carries the client's connection to the app as it is, and returns at its end.
	Handle(ctx context.Context, client *net.TCPConn, connect func(context.Context) (net.Conn, error), pass func())
	// Close ends what Handle has left waiting, such as idle connections to the app.
	Close()
}

// Options are what can be said of a published port beside its numbers.
type Options struct {
	// Patience is how long a connection is held while nothing listens inside; 0 for DefaultPatience.
	Patience time.Duration
	// Gate is asked about each TCP connection; nil lets all pass. The Published closes it.
	Gate Gate
}

// DialFunc makes a new connection to the container's port. While nobody listens there it returns an error soon; the
// attempt is then repeated. An error that wraps net.ErrClosed or a context's error says that there is nothing to connect to
// any more.
type DialFunc func(ctx context.Context) (net.Conn, error)

// Published is a port of the host that leads into a container. It must be closed.
type Published struct {
	// Mapping is what was asked for.
	Mapping Mapping
	// Addr is where it is served; its port is the real one, also where any or a wished one was asked for.
	Addr netip.AddrPort

	dial      DialFunc
	options   Options
	listeners []*net.TCPListener
	packets   *net.UDPConn // of a UDP port
	ctx       context.Context
	cancel    context.CancelFunc
	wg        sync.WaitGroup

	leader  chan struct{} // holds a token while one connection tries on behalf of all that wait
	mu      sync.Mutex
	answers chan struct{} // closed, and replaced, when a waiting dial succeeded
	open    atomic.Int64
	total   atomic.Int64
}

// Publish opens a mapping's port on the host at once and serves it until ctx ends or Close is called: each connection is
// carried to a connection of dial's. As long as dial fails, because the app does not listen yet, a connection is held, for
// DefaultPatience at most, so that a browser waits instead of failing. A port on 127.0.0.1 is served on ::1 too, where
// the host has IPv6, because browsers try that first for the name localhost. The errors are *PortTaken, *PortForbidden and
// *AddressMissing, or tell of an invalid mapping.
func Publish(ctx context.Context, m Mapping, dial DialFunc) (*Published, error) {
	return PublishWith(ctx, m, Options{}, dial)
}

// PublishWith is Publish with options.
func PublishWith(ctx context.Context, m Mapping, o Options, dial DialFunc) (*Published, error) {
	if m.ContainerPort == 0 {
		return nil, fmt.Errorf("publish port %s: no port of the container", m)
	}
	if o.Patience == 0 {
		o.Patience = DefaultPatience
	}
	p := &Published{Mapping: m, dial: dial, options: o, leader: make(chan struct{}, 1), answers: make(chan struct{})}
	if m.UDP {
		conn, err := listenPacket(ctx, m)
		if err != nil {
			return nil, err
		}
		p.packets, p.Addr = conn, conn.LocalAddr().(*net.UDPAddr).AddrPort()
	} else {
		listeners, err := listenBoth(ctx, m)
		if err != nil {
			return nil, err
		}
		p.listeners, p.Addr = listeners, listeners[0].Addr().(*net.TCPAddr).AddrPort()
	}
	p.Addr = netip.AddrPortFrom(p.Addr.Addr().Unmap(), p.Addr.Port())
	p.ctx, p.cancel = context.WithCancel(ctx)
	context.AfterFunc(p.ctx, p.unlisten)
	for _, l := range p.listeners {
		p.wg.Go(func() { p.accept(l) })
	}
	if p.packets != nil {
		p.wg.Go(p.carryPackets)
	}
	return p, nil
}

func (p *Published) unlisten() {
	for _, l := range p.listeners {
		_ = l.Close()
	}
	if p.packets != nil {
		_ = p.packets.Close()
	}
}

// Close closes the port and its connections, and returns when no goroutine is left. It may be called more than once.
func (p *Published) Close() error {
	p.cancel()
	p.unlisten()
	p.wg.Wait()
	if p.options.Gate != nil {
		p.options.Gate.Close()
	}
	return nil
}

// Connections returns how many connections are open now, and how many there have been.
func (p *Published) Connections() (open, total int64) { return p.open.Load(), p.total.Load() }

func (p *Published) accept(l *net.TCPListener) {
	for {
		conn, err := l.AcceptTCP()
		if err != nil {
			if p.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			// Out of descriptors, or the client is gone again (accept(2)): neither is the end of the port.
			select {
			case <-p.ctx.Done():
				return
			case <-time.After(acceptRetry):
			}
			continue
		}
		p.open.Add(1)
		p.total.Add(1)
		p.wg.Go(func() {
			defer p.open.Add(-1)
			p.serve(conn)
		})
	}
}

func (p *Published) serve(client *net.TCPConn) {
	if p.options.Gate == nil {
		p.pass(client)
		return
	}
	stop := context.AfterFunc(p.ctx, func() { relay.Abort(client) })
	defer stop()
	p.options.Gate.Handle(p.ctx, client,
		func(ctx context.Context) (net.Conn, error) { return p.connect(ctx, nil) },
		func() { p.pass(client) })
}

// pass carries a connection inside and returns when it has ended.
func (p *Published) pass(client *net.TCPConn) {
	stop := context.AfterFunc(p.ctx, func() { relay.Abort(client) })
	inside, err := p.connect(p.ctx, client)
	stop()
	if err != nil {
		relay.Abort(client)
		return
	}
	stop = context.AfterFunc(p.ctx, func() {
		relay.Abort(client) // first, lest it learn of the other's end as of an orderly one
		relay.Abort(inside)
	})
	defer stop()
	relay.Run(client, inside)
}

// connect makes the connection inside, waiting until something listens there or the client, where there is one, has gone.
// Of all connections that wait only one tries, so that a hundred held ones cost no more than one.
func (p *Published) connect(ctx context.Context, client *net.TCPConn) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, p.options.Patience)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	answers := p.answer() // before the attempt, so that a success in between is not missed
	conn, err := p.dial(ctx)
	for err != nil && !final(err) {
		select {
		case p.leader <- struct{}{}:
			conn, err := p.lead(ctx, client)
			<-p.leader
			return conn, err
		case <-answers:
			answers = p.answer()
			conn, err = p.dial(ctx)
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(lastPause):
			if client != nil && gone(client) {
				return nil, net.ErrClosed
			}
		}
	}
	return conn, err
}

// lead tries until there is a connection and then wakes everybody who waits.
func (p *Published) lead(ctx context.Context, client *net.TCPConn) (net.Conn, error) {
	start := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(Pause(time.Since(start))):
		}
		if client != nil && gone(client) {
			return nil, net.ErrClosed
		}
		conn, err := p.dial(ctx)
		if err == nil {
			p.mu.Lock()
			close(p.answers)
			p.answers = make(chan struct{})
			p.mu.Unlock()
			return conn, nil
		}
		if final(err) {
			return nil, err
		}
	}
}

const (
	firstPause = 2 * time.Millisecond
	lastPause  = 250 * time.Millisecond
)

// Pause is how long to wait before looking again for something that was waited for so long already: a fiftieth of that, so
// that what is looked for is found late by no more than a fiftieth of the time it took, and hundreds of looks last for a
// minute. It is at least 2 ms and at most a quarter of a second.
func Pause(waited time.Duration) time.Duration {
	return min(max(waited/50, firstPause), lastPause)
}

func (p *Published) answer() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.answers
}

func final(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, context.Canceled)
}

// gone tells whether a client that nobody serves yet has hung up. One that only ended its sending direction looks the same,
// but then it has sent something that is still unread.
func gone(client *net.TCPConn) bool {
	raw, err := client.SyscallConn()
	if err != nil {
		return true
	}
	var hungUp bool
	err = raw.Control(func(fd uintptr) {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		if n, err := unix.Poll(poll, 0); err != nil || n == 0 {
			return
		}
		if poll[0].Revents&(unix.POLLERR|unix.POLLHUP|unix.POLLNVAL) != 0 {
			hungUp = true
			return
		}
		var one [1]byte
		n, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		hungUp = n == 0 && err == nil || errors.Is(err, syscall.ECONNRESET)
	})
	return err != nil || hungUp
}
