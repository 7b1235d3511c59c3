package usernet

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
)

const (
	maxPings    = 64
	pingTimeout = 10 * time.Second
)

// unreachable is a reason why a destination cannot be reached: its ICMP code for IPv4 (RFC 792, RFC 1812 section 5.2.7.1)
// and for IPv6 (RFC 4443 section 3.1).
type unreachable struct {
	v4 header.ICMPv4Code
	v6 header.ICMPv6Code
}

var (
	codeNet        = unreachable{header.ICMPv4NetUnreachable, header.ICMPv6NetworkUnreachable}
	codeHost       = unreachable{header.ICMPv4HostUnreachable, header.ICMPv6AddressUnreachable}
	codePort       = unreachable{header.ICMPv4PortUnreachable, header.ICMPv6PortUnreachable}
	codeProhibited = unreachable{header.ICMPv4AdminProhibited, header.ICMPv6Prohibited}
)

// unreachableCode translates a failure on the host; false where it is no matter of routes.
func unreachableCode(err error) (unreachable, bool) {
	switch {
	case errors.Is(err, errProhibited), errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		return codeProhibited, true
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.EHOSTDOWN):
		return codeHost, true
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.ENETDOWN), errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EAFNOSUPPORT):
		return codeNet, true
	}
	return unreachable{}, false
}

// quote is the beginning of a packet: its network header and the first eight bytes behind it, which hold the ports and
// TCP's sequence number and by which the sender of the packet recognises its socket (RFC 792).
type quote struct {
	from, to tcpip.Address
	bytes    []byte
}

func quoteOf(pkt *stack.PacketBuffer) quote {
	network, transport := pkt.Network(), pkt.TransportHeader().Slice()
	q := quote{from: network.SourceAddress(), to: network.DestinationAddress()}
	q.bytes = append(q.bytes, pkt.NetworkHeader().Slice()...)
	q.bytes = append(q.bytes, transport[:min(8, len(transport))]...)
	return q
}

// sendUnreachable tells the sender of a packet that it cannot be delivered. The message comes from the gateway.
func (n *Net) sendUnreachable(q quote, code unreachable) {
	if q.from.Len() == 4 {
		message := header.ICMPv4(make([]byte, header.ICMPv4MinimumSize, header.ICMPv4MinimumSize+len(q.bytes)))
		message.SetType(header.ICMPv4DstUnreachable)
		message.SetCode(code.v4)
		n.sendICMP(n.config.Gateway, q.from, append(message, q.bytes...))
		return
	}
	message := header.ICMPv6(make([]byte, header.ICMPv6DstUnreachableMinimumSize, header.ICMPv6DstUnreachableMinimumSize+len(q.bytes)))
	message.SetType(header.ICMPv6DstUnreachable)
	message.SetCode(code.v6)
	n.sendICMP(n.config.Gateway6, q.from, append(message, q.bytes...))
}

// sendICMP sends a message, whose checksum it fills in, from any address to one inside.
func (n *Net) sendICMP(from netip.Addr, to tcpip.Address, message []byte) {
	if !from.IsValid() {
		return
	}
	source, network := tcpip.AddrFromSlice(from.AsSlice()), ipv4.ProtocolNumber
	params := stack.NetworkHeaderParams{Protocol: icmp.ProtocolNumber4, TTL: 64}
	if to.Len() == 4 {
		header.ICMPv4(message).SetChecksum(0)
		header.ICMPv4(message).SetChecksum(^checksum.Checksum(message, 0))
	} else {
		network, params.Protocol = ipv6.ProtocolNumber, icmp.ProtocolNumber6
		header.ICMPv6(message).SetChecksum(0)
		header.ICMPv6(message).SetChecksum(header.ICMPv6Checksum(header.ICMPv6ChecksumParams{Header: message, Src: source, Dst: to}))
	}
	route, err := n.stack.FindRoute(nicID, source, to, network, false)
	if err != nil {
		return
	}
	defer route.Release()
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{
		ReserveHeaderBytes: int(route.MaxHeaderLength()),
		Payload:            buffer.MakeWithData(message),
	})
	defer pkt.DecRef()
	_ = route.WritePacket(params, pkt)
}

// handleICMP answers echo requests: the gateway's by the stack itself, all others by asking the real destination where the
// host lets this user do so (net.ipv4.ping_group_range, icmp(7)), and otherwise by saying that it is prohibited.
func (n *Net) handleICMP() {
	handler := func(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
		q := quoteOf(pkt)
		to := addrOf(q.to)
		if n.isGateway(to) {
			return false
		}
		message := append([]byte(nil), pkt.TransportHeader().Slice()...)
		message = append(message, pkt.Data().AsRange().ToSlice()...)
		v6 := to.Is6()
		if len(message) < 8 || v6 && message[0] != byte(header.ICMPv6EchoRequest) || !v6 && message[0] != byte(header.ICMPv4Echo) {
			return false
		}
		if !n.allowed(to) {
			if !to.IsMulticast() {
				n.sendUnreachable(q, codeProhibited)
			}
			return true
		}
		if n.pings.Add(1) > maxPings {
			n.pings.Add(-1)
			return true
		}
		n.wg.Go(func() {
			defer n.pings.Add(-1)
			n.ping(q, to, message)
		})
		return true
	}
	n.stack.SetTransportProtocolHandler(icmp.ProtocolNumber4, handler)
	n.stack.SetTransportProtocolHandler(icmp.ProtocolNumber6, handler)
}

// ping repeats an echo request on the host and sends the answer inside.
func (n *Net) ping(q quote, to netip.Addr, request []byte) {
	conn, err := dialEcho(to)
	if err != nil {
		code, ok := unreachableCode(err)
		if !ok {
			code = codeProhibited
		}
		n.sendUnreachable(q, code)
		return
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(pingTimeout))
	stop := context.AfterFunc(n.ctx, func() { _ = conn.Close() })
	defer stop()
	if _, err := conn.Write(request); err != nil {
		if code, ok := unreachableCode(err); ok {
			n.sendUnreachable(q, code)
		}
		return
	}
	buf := make([]byte, maxDatagram)
	for {
		size, err := conn.Read(buf)
		if err != nil {
			if code, ok := unreachableCode(err); ok {
				n.sendUnreachable(q, code)
			}
			return
		}
		answer := buf[:size]
		if size < 8 || binary.BigEndian.Uint16(answer[6:]) != binary.BigEndian.Uint16(request[6:]) {
			continue
		}
		copy(answer[4:6], request[4:6]) // the kernel put an identifier of its own
		n.sendICMP(to, q.from, answer)
		return
	}
}

// dialEcho opens an unprivileged echo socket (icmp(7)) connected to one address.
func dialEcho(to netip.Addr) (net.Conn, error) {
	family, protocol, sockaddr := unix.AF_INET, unix.IPPROTO_ICMP, unix.Sockaddr(nil)
	if to.Is4() {
		sockaddr = &unix.SockaddrInet4{Addr: to.As4()}
	} else {
		family, protocol, sockaddr = unix.AF_INET6, unix.IPPROTO_ICMPV6, &unix.SockaddrInet6{Addr: to.As16()}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	file := os.NewFile(uintptr(fd), "echo")
	defer file.Close()
	if err := unix.Connect(fd, sockaddr); err != nil {
		return nil, os.NewSyscallError("connect", err)
	}
	return net.FileConn(file)
}
