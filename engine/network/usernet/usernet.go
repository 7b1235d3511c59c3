package usernet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"carrel/engine/network/netns"

	"gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

const (
	nicID = 1
	// window is the TCP receive window in bytes. The queue of the packet socket is bounded by net.core.rmem_max, 416 KiB
	// with the kernel's accounting where nobody raised it, and what does not fit is lost; a round trip takes microseconds, so
	// that a larger window would bring nothing.
	window = 128 << 10
	// sendBuffer is how much one connection may have on its way into the namespace, in bytes.
	sendBuffer = 512 << 10
	// maxConnecting bounds the TCP connections that are being made at the same time; further ones are retried by their makers.
	maxConnecting = 1024
	// dialTimeout ends an attempt to connect on the host. The program inside sees silence, as it would from a silent host.
	dialTimeout = 2 * time.Minute
)

// Config says what the network is like and what may leave it.
type Config struct {
	// Gateway and Gateway6 are the addresses at which this stack answers: the container's default routers and, at port 53,
	// its resolver. An invalid (zero) address leaves that family out.
	Gateway  netip.Addr
	Gateway6 netip.Addr
	// MTU of the link in bytes, the same as in the namespace; netns.DefaultMTU when 0.
	MTU int
	// Resolvers returns the addresses to which DNS questions go, in order of preference. It is asked for every question and
	// must be quick and safe for concurrent use; HostResolvers makes one. Nil: every question is answered with SERVFAIL.
	Resolvers func() []netip.AddrPort
	// HostPorts opens single TCP ports of the gateway's address and says where on the host they lead, such as
	// 3128 → 127.0.0.1:3128 for a proxy that only listens there. Everything else on the host's loopback is closed.
	HostPorts map[uint16]netip.AddrPort
	// Deny lists networks that may not be reached.
	Deny []netip.Prefix
	// Dial makes a connection on the host; network is "tcp" or "udp". Nil: a net.Dialer.
	Dial func(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error)
}

// Net is a running network. It must be closed.
type Net struct {
	config Config
	stack  *stack.Stack
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	closed func()

	requests requests
	flows    atomic.Int32
	pings    atomic.Int32
	resolver atomic.Uint32 // index of the resolver that answered last
}

// quiet keeps gVisor's stack from writing to standard error, where its log goes unless it is told otherwise: a packet that
// it finds odd is the business of whoever sent it.
var quiet = sync.OnceFunc(func() {
	log.SetTarget(log.GoogleEmitter{Writer: &log.Writer{Next: io.Discard}})
})

// Start serves the link behind fd, as netns.OpenLink returned it, until ctx ends or Close is called. It takes fd over,
// also when it fails. Close waits until nothing is left running; a network whose ctx ended must be closed as well.
func Start(ctx context.Context, fd int, config Config) (*Net, error) {
	if config.MTU == 0 {
		config.MTU = netns.DefaultMTU
	}
	if config.Dial == nil {
		config.Dial = func(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error) {
			d := net.Dialer{Timeout: dialTimeout}
			return d.DialContext(ctx, network, addr.String())
		}
	}
	if config.Resolvers == nil {
		config.Resolvers = func() []netip.AddrPort { return nil }
	}
	quiet()
	dev, err := newDevice(fd, uint32(config.MTU))
	if err != nil {
		return nil, fmt.Errorf("start network: %w", err)
	}
	n := &Net{config: config}
	n.ctx, n.cancel = context.WithCancel(ctx)
	if err := n.makeStack(dev); err != nil {
		n.cancel()
		_ = dev.file.Close()
		return nil, fmt.Errorf("start network: %w", err)
	}
	n.closed = sync.OnceFunc(func() {
		n.cancel()
		n.stack.RemoveNIC(nicID)
		n.stack.Close() // ends handshakes that still wait for the other side
		dev.Wait()
		n.wg.Wait()
		n.stack.Wait()
	})
	n.wg.Go(func() {
		<-n.ctx.Done()
		dev.Close()
	})
	return n, nil
}

// Close ends all connections and returns when no goroutine is left. It may be called more than once.
func (n *Net) Close() error {
	n.closed()
	return nil
}

func (n *Net) makeStack(dev *device) error {
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
	})
	n.stack = s
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: window, Max: window}
	send := tcpip.TCPSendBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: sendBuffer, Max: sendBuffer}
	moderate, sack := tcpip.TCPModerateReceiveBufferOption(false), tcpip.TCPSACKEnabled(true)
	for _, option := range []tcpip.SettableTransportProtocolOption{&receive, &send, &moderate, &sack} {
		if err := s.SetTransportProtocolOption(tcp.ProtocolNumber, option); err != nil {
			return errors.New(err.String())
		}
	}
	// Before there is a device: its reader begins at once.
	n.handleTCP()
	n.handleUDP()
	n.handleICMP()
	if err := s.CreateNIC(nicID, dev); err != nil {
		return errors.New(err.String())
	}
	// Promiscuous: packets to any address are ours. Spoofing: answers come from the address that was asked.
	if err := s.SetPromiscuousMode(nicID, true); err != nil {
		return errors.New(err.String())
	}
	if err := s.SetSpoofing(nicID, true); err != nil {
		return errors.New(err.String())
	}
	for _, gateway := range []netip.Addr{n.config.Gateway, n.config.Gateway6} {
		if !gateway.IsValid() {
			continue
		}
		protocol, any := ipv4.ProtocolNumber, header.IPv4EmptySubnet
		if gateway.Is6() {
			protocol, any = ipv6.ProtocolNumber, header.IPv6EmptySubnet
		}
		address := tcpip.ProtocolAddress{
			Protocol:          protocol,
			AddressWithPrefix: tcpip.AddrFromSlice(gateway.AsSlice()).WithPrefix(),
		}
		if err := s.AddProtocolAddress(nicID, address, stack.AddressProperties{}); err != nil {
			return fmt.Errorf("address %s: %s", gateway, err)
		}
		s.AddRoute(tcpip.Route{Destination: any, NIC: nicID})
	}
	return nil
}

// isGateway tells whether an address is this stack's own.
func (n *Net) isGateway(addr netip.Addr) bool {
	return addr == n.config.Gateway || addr == n.config.Gateway6
}

// allowed tells whether a packet to addr may leave. Addresses that mean the host itself on the host, in whatever form,
// never may: a program with the right to make raw packets can send to 127.0.0.1 or 0.0.0.0 through the link as well.
func (n *Net) allowed(addr netip.Addr) bool {
	addr = addr.Unmap()
	switch {
	case !addr.IsValid(), addr.IsLoopback(), addr.IsUnspecified(), addr.IsMulticast(), n.isGateway(addr):
		return false
	case addr.Is4() && (addr.As4()[0] == 0 || addr.As4()[0] == 255):
		return false
	case addr.Is6() && addr.IsLinkLocalUnicast():
		return false // of the link itself; it means another machine on the host's side
	case addr.Is6() && compatible.Contains(addr):
		return false
	}
	for _, p := range n.config.Deny {
		if p.Contains(addr) {
			return false
		}
	}
	return true
}

// compatible is the deprecated form of an IPv4 address within IPv6 (RFC 4291 section 2.5.5.1).
var compatible = netip.MustParsePrefix("::/96")

// addrOf converts an address of the stack.
func addrOf(a tcpip.Address) netip.Addr {
	addr, _ := netip.AddrFromSlice(a.AsSlice())
	return addr
}
