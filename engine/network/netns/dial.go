package netns

import (
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Dial connects over TCP to a port of the current network namespace, wherever on it something listens: on 127.0.0.1,
// then ::1, then link (the address of the outgoing device; the zero Addr for none), then on any other local address that
// a listening socket of that port is bound to, such as the 127.0.1.1 that many hosts files give the machine's own name.
// The timeout is for each attempt; a local connection is answered at once, or its queue is full.
//
// The descriptor is non-blocking, close-on-exec and the caller's. The error of a port nobody listens on wraps
// unix.ECONNREFUSED.
func Dial(port uint16, link netip.Addr, timeout time.Duration) (fd int, err error) {
	tried := []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	if link.IsValid() {
		tried = append(tried, link)
	}
	var first error
	for _, addr := range tried {
		fd, err := DialAddr(netip.AddrPortFrom(addr, port), timeout)
		if err == nil {
			return fd, nil
		}
		if first == nil {
			first = err
		}
	}
	listeners, err := Listeners("self")
	if err != nil {
		return -1, first // no /proc: what was tried is all that can be known
	}
next:
	for _, l := range listeners {
		if l.Port != port || l.Addr.IsUnspecified() {
			continue
		}
		for _, addr := range tried {
			if addr == l.Addr {
				continue next
			}
		}
		if fd, err := DialAddr(netip.AddrPortFrom(l.Addr, port), timeout); err == nil {
			return fd, nil
		}
	}
	return -1, first
}

// DialAddr connects over TCP to one address, from the current network namespace. The descriptor is as Dial's. The error
// wraps the connection's errno, or unix.ETIMEDOUT.
func DialAddr(addr netip.AddrPort, timeout time.Duration) (fd int, err error) {
	family, sockaddr := unix.AF_INET, unix.Sockaddr(nil)
	if ip := addr.Addr().Unmap(); ip.Is4() {
		sockaddr = &unix.SockaddrInet4{Port: int(addr.Port()), Addr: ip.As4()}
	} else {
		family, sockaddr = unix.AF_INET6, &unix.SockaddrInet6{Port: int(addr.Port()), Addr: ip.As16()}
	}
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("connect %s: %w", addr, err)
	}
	if err := connect(fd, sockaddr, timeout); err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("connect %s: %w", addr, err)
	}
	return fd, nil
}

// connect is connect(2) on a non-blocking socket, with a time limit.
func connect(fd int, addr unix.Sockaddr, timeout time.Duration) error {
	err := unix.Connect(fd, addr)
	if err != unix.EINPROGRESS && err != unix.EINTR {
		return err
	}
	deadline := time.Now().Add(timeout)
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return unix.ETIMEDOUT
		}
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, int(left.Milliseconds())+1)
		if err != nil && err != unix.EINTR {
			return err
		}
		if ready > 0 {
			break
		}
	}
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return err
	}
	if code != 0 {
		return unix.Errno(code)
	}
	return nil
}
