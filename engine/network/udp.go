package network

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// quietFlow is how long a client of a UDP port may be silent, in both directions, until it is forgotten.
	quietFlow = 2 * time.Minute
	// maxFlows bounds the clients of a UDP port; datagrams of further ones are lost, as they may be at any time.
	maxFlows = 1024
	// maxDatagram is the longest payload of a UDP datagram over IPv4 (RFC 768, RFC 791).
	maxDatagram = 65507
)

// flow is a client of a UDP port: a connected socket inside the container, through which the answers come back.
type flow struct {
	inside net.Conn
	last   atomic.Int64 // UnixNano of the last datagram in either direction
}

// carryPackets gives each client of a UDP port a socket of its own inside. What is sent while nothing listens is lost.
func (p *Published) carryPackets() {
	var mu sync.Mutex
	flows := make(map[netip.AddrPort]*flow)
	// Ends with the listening: what stays are sockets that nobody can reach.
	defer func() {
		mu.Lock()
		defer mu.Unlock()
		for _, f := range flows {
			_ = f.inside.Close()
		}
	}()
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := p.packets.ReadFromUDPAddrPort(buf)
		if err != nil {
			if p.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			continue // an ICMP error of an earlier answer (udp(7))
		}
		mu.Lock()
		f := flows[from]
		full := f == nil && len(flows) >= maxFlows
		mu.Unlock()
		if full {
			continue
		}
		if f == nil {
			ctx, cancel := context.WithTimeout(p.ctx, time.Second)
			inside, err := p.dial(ctx)
			cancel()
			if err != nil {
				continue
			}
			f = &flow{inside: inside}
			f.last.Store(time.Now().UnixNano())
			mu.Lock()
			flows[from] = f
			mu.Unlock()
			p.open.Add(1)
			p.total.Add(1)
			p.wg.Go(func() {
				defer p.open.Add(-1)
				p.answerPackets(f, from)
				mu.Lock()
				delete(flows, from)
				mu.Unlock()
				_ = inside.Close()
			})
		}
		f.last.Store(time.Now().UnixNano())
		_, _ = f.inside.Write(buf[:n]) // refused: nobody listens now; the next one may arrive
	}
}

// answerPackets carries what the app sends to one client, until both have been silent for a while.
func (p *Published) answerPackets(f *flow, to netip.AddrPort) {
	buf := make([]byte, maxDatagram)
	for {
		_ = f.inside.SetReadDeadline(time.Unix(0, f.last.Load()).Add(quietFlow))
		n, err := f.inside.Read(buf)
		switch {
		case err == nil:
			f.last.Store(time.Now().UnixNano())
			_, _ = p.packets.WriteToUDPAddrPort(buf[:n], to)
		case errors.Is(err, os.ErrDeadlineExceeded):
			if time.Since(time.Unix(0, f.last.Load())) >= quietFlow {
				return
			}
		default:
			return // closed, or refused because nobody listens: the next datagram begins anew
		}
	}
}
