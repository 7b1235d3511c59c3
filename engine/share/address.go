package share

import (
	"errors"
	"net"
	"net/netip"
)

// ErrNoNetwork is a computer without a network that others are in.
var ErrNoNetwork = errors.New("this computer is in no network that others could reach it by")

// Local is the address by which others in the network reach this computer: that of the interface that packets leave by.
// No packet is sent for it.
func Local() (netip.Addr, error) {
	for _, to := range []string{"udp4 192.0.2.1:9", "udp6 [2001:db8::1]:9"} { // addresses of documentation, RFC 5737 and 3849
		c, err := net.Dial(to[:4], to[5:])
		if err != nil {
			continue
		}
		a, ok := c.LocalAddr().(*net.UDPAddr)
		c.Close()
		if ok {
			if ip, ok := netip.AddrFromSlice(a.IP); ok && !ip.Unmap().IsLoopback() && !ip.Unmap().IsUnspecified() {
				return ip.Unmap(), nil
			}
		}
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Addr{}, err
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() && !p.Addr().IsLinkLocalUnicast() {
			return p.Addr(), nil
		}
	}
	return netip.Addr{}, ErrNoNetwork
}
