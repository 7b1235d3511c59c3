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
	for _, family := range []string{"udp4", "udp6"} {
		if ip, ok := LocalIn(family); ok {
			return ip, nil
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

// LocalIn is the address of the interface that packets of a family, "udp4" or "udp6", leave by. No packet is sent for it.
func LocalIn(family string) (netip.Addr, bool) {
	to := "192.0.2.1:9" // addresses of documentation, RFC 5737 and 3849
	if family == "udp6" {
		to = "[2001:db8::1]:9"
	}
	c, err := net.Dial(family, to)
	if err != nil {
		return netip.Addr{}, false
	}
	defer c.Close()
	a, ok := c.LocalAddr().(*net.UDPAddr)
	if !ok {
		return netip.Addr{}, false
	}
	ip := a.AddrPort().Addr().Unmap()
	return ip, ip.IsValid() && !ip.IsLoopback() && !ip.IsUnspecified()
}
