package usernet

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"carrel/engine/network/relay"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// requests keeps the beginning of the packet that asked for a connection while the connection is being made, because an
// ICMP error must quote it (RFC 792) and the stack's forwarder does not hand it on.
type requests struct {
	mu sync.Mutex
	m  map[stack.TransportEndpointID]quote
}

func (r *requests) put(id stack.TransportEndpointID, q quote) {
	r.mu.Lock()
	defer r.mu.Unlock()
	// A repeated request that the forwarder ignores stays behind; there are never more live ones than this.
	if r.m == nil || len(r.m) > 2*maxConnecting {
		r.m = make(map[stack.TransportEndpointID]quote)
	}
	r.m[id] = q
}

func (r *requests) take(id stack.TransportEndpointID) (quote, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	q, ok := r.m[id]
	delete(r.m, id)
	return q, ok
}

func (n *Net) handleTCP() {
	forwarder := tcp.NewForwarder(n.stack, window, maxConnecting, func(r *tcp.ForwarderRequest) {
		n.wg.Go(func() { n.connect(r) })
	})
	n.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, func(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
		n.requests.put(id, quoteOf(pkt))
		return forwarder.HandlePacket(id, pkt)
	})
}

// connect makes the connection on the host first and only then completes the one inside, so that the program inside
// learns of a refusal as a refusal.
func (n *Net) connect(r *tcp.ForwarderRequest) {
	id := r.ID()
	defer n.requests.take(id)
	to := netip.AddrPortFrom(addrOf(id.LocalAddress), id.LocalPort)
	outside, err := n.dialTCP(to)
	if err != nil {
		n.refuse(r, err)
		return
	}
	var queue waiter.Queue
	endpoint, terr := r.CreateEndpoint(&queue)
	r.Complete(false)
	if terr != nil {
		_ = outside.Close()
		return
	}
	inside := conn{gonet.NewTCPConn(&queue, endpoint), endpoint}
	stop := context.AfterFunc(n.ctx, func() {
		relay.Abort(inside)
		relay.Abort(outside)
	})
	relay.Run(inside, outside)
	stop()
}

// conn is a connection inside that can be reset.
type conn struct {
	*gonet.TCPConn
	endpoint tcpip.Endpoint
}

// Abort is what package relay calls to pass a reset on.
func (c conn) Abort() { c.endpoint.Abort() }

// errProhibited is the answer to what Config or common sense forbids.
var errProhibited = errors.New("address may not be reached from here")

func (n *Net) dialTCP(to netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(n.ctx, dialTimeout)
	defer cancel()
	if n.isGateway(to.Addr()) {
		if to.Port() == dnsPort {
			return n.dialResolver(ctx)
		}
		if host, ok := n.config.HostPorts[to.Port()]; ok {
			return n.config.Dial(ctx, "tcp", host)
		}
		return nil, syscall.ECONNREFUSED
	}
	if !n.allowed(to.Addr()) {
		return nil, errProhibited
	}
	return n.config.Dial(ctx, "tcp", netip.AddrPortFrom(to.Addr().Unmap(), to.Port()))
}

// refuse ends a request in the way in which the host's attempt failed.
func (n *Net) refuse(r *tcp.ForwarderRequest, cause error) {
	q, known := n.requests.take(r.ID())
	code, icmp := unreachableCode(cause)
	switch {
	case icmp && known:
		r.Complete(false)
		n.sendUnreachable(q, code)
	case isTimeout(cause):
		r.Complete(false) // silence for silence; the next repetition of the request tries again
	default:
		r.Complete(true)
	}
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}
