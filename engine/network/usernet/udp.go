package usernet

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	// maxFlows bounds the UDP conversations at one time; each holds one socket of the host. Datagrams of further ones are lost.
	maxFlows = 2048
	// idleUDP ends a conversation in which nothing was said. RFC 4787 section 4.3 asks for two minutes at least.
	idleUDP = 2 * time.Minute
	// idleDNS is the same for questions to a resolver, which are answered soon or never.
	idleDNS = 20 * time.Second
	// maxDatagram is the largest payload of a UDP datagram over IPv4, rounded up.
	maxDatagram = 64 << 10
)

func (n *Net) handleUDP() {
	forwarder := udp.NewForwarder(n.stack, func(r *udp.ForwarderRequest) bool {
		id := r.ID()
		to := netip.AddrPortFrom(addrOf(id.LocalAddress), id.LocalPort)
		isDNS := n.isGateway(to.Addr()) && to.Port() == dnsPort
		if !isDNS && n.isGateway(to.Addr()) {
			return false // the stack answers that the port is unreachable
		}
		q, known := n.requests.take(id)
		if !isDNS && !n.allowed(to.Addr()) {
			if known && !to.Addr().IsMulticast() {
				n.sendUnreachable(q, codeProhibited)
			}
			return true
		}
		if n.flows.Add(1) > maxFlows {
			n.flows.Add(-1)
			return true
		}
		var queue waiter.Queue
		endpoint, err := r.CreateEndpoint(&queue)
		if err != nil {
			n.flows.Add(-1)
			return true
		}
		inside := gonet.NewUDPConn(&queue, endpoint)
		n.wg.Go(func() {
			defer n.flows.Add(-1)
			defer inside.Close()
			stop := context.AfterFunc(n.ctx, func() { inside.Close() })
			defer stop()
			if isDNS {
				n.answerDNS(inside)
			} else {
				n.converse(inside, to, q)
			}
		})
		return true
	})
	n.stack.SetTransportProtocolHandler(udp.ProtocolNumber, func(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
		n.requests.put(id, quoteOf(pkt))
		handled := forwarder.HandlePacket(id, pkt)
		n.requests.take(id)
		return handled
	})
}

// converse carries the datagrams of one pair of addresses both ways until nothing is said any more.
func (n *Net) converse(inside net.Conn, to netip.AddrPort, first quote) {
	outside, err := n.config.Dial(n.ctx, "udp", netip.AddrPortFrom(to.Addr().Unmap(), to.Port()))
	if err != nil {
		if code, ok := unreachableCode(err); ok {
			n.sendUnreachable(first, code)
		}
		return
	}
	defer outside.Close()
	idle := idleUDP
	if to.Port() == dnsPort {
		idle = idleDNS
	}
	var last atomic.Int64 // time of the last datagram in either direction, in nanoseconds since 1970
	touch := func() { last.Store(time.Now().UnixNano()) }
	touch()
	n.wg.Go(func() {
		defer inside.Close()
		buf := make([]byte, maxDatagram)
		for {
			_ = outside.SetReadDeadline(time.Now().Add(idle))
			size, err := outside.Read(buf)
			switch {
			case err == nil:
				touch()
				if _, err := inside.Write(buf[:size]); err != nil {
					return
				}
			case isTimeout(err):
				if time.Since(time.Unix(0, last.Load())) >= idle {
					return
				}
			case errors.Is(err, syscall.ECONNREFUSED):
				n.sendUnreachable(first, codePort)
			default:
				return
			}
		}
	})
	buf := make([]byte, maxDatagram)
	for {
		size, err := inside.Read(buf)
		if err != nil {
			return
		}
		touch()
		// A write may report what became of an earlier datagram; the reader above passes refusals on.
		if _, err := outside.Write(buf[:size]); err != nil {
			if code, ok := unreachableCode(err); ok {
				n.sendUnreachable(first, code)
			}
			if errors.Is(err, net.ErrClosed) {
				return
			}
		}
	}
}
