package netns

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// DialUDP makes a UDP socket that sends to, and hears from, whatever is bound to a port of the current network namespace. A
// datagram gives no sign of having arrived, so the kernel's table is asked first: the error of a port that nothing is
// bound to wraps unix.ECONNREFUSED. The descriptor is non-blocking, close-on-exec and the caller's.
func DialUDP(port uint16) (fd int, err error) {
	var bound []netip.Addr
	for _, table := range []string{"udp", "udp6"} {
		data, err := os.ReadFile("/proc/self/net/" + table)
		if errors.Is(err, os.ErrNotExist) && table == "udp6" {
			continue // a kernel without IPv6
		}
		if err != nil {
			return -1, fmt.Errorf("read bound sockets: %w", err)
		}
		bound = parseBound(bound, data, port)
	}
	if len(bound) == 0 {
		return -1, fmt.Errorf("connect udp port %d: %w", port, unix.ECONNREFUSED)
	}
	addr := bound[0]
	if four := netip.AddrFrom4([4]byte{127, 0, 0, 1}); slices.Contains(bound, four) || slices.Contains(bound, netip.IPv4Unspecified()) {
		addr = four
	} else if addr == netip.IPv6Unspecified() {
		addr = netip.IPv6Loopback()
	}
	family, sockaddr := unix.AF_INET, unix.Sockaddr(nil)
	if addr.Is4() {
		sockaddr = &unix.SockaddrInet4{Port: int(port), Addr: addr.As4()}
	} else {
		family, sockaddr = unix.AF_INET6, &unix.SockaddrInet6{Port: int(port), Addr: addr.As16()}
	}
	fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("connect udp port %d: %w", port, err)
	}
	if err := unix.Connect(fd, sockaddr); err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("connect udp port %d: %w", port, err)
	}
	return fd, nil
}

// parseBound appends the addresses of the sockets in a /proc/net/udp or udp6 table that are bound to a port and connected
// to nobody. The columns are those of a TCP table; see parseListeners.
func parseBound(all []netip.Addr, table []byte, port uint16) []netip.Addr {
	for line := range bytes.Lines(table) {
		fields := bytes.Fields(line)
		if len(fields) < 10 {
			continue
		}
		local, localPort, ok := parseEndpoint(fields[1])
		_, remotePort, ok2 := parseEndpoint(fields[2])
		if ok && ok2 && localPort == port && remotePort == 0 {
			all = append(all, local)
		}
	}
	return all
}
