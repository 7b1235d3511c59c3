package network

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"

	"carrel/engine/network/netns"
)

// PortTaken says that a port of the host cannot be published because somebody listens there.
type PortTaken struct {
	Addr netip.AddrPort
	// PID and Command are the process that listens, and its command line; 0 and empty where that cannot be known, because it
	// is another user's.
	PID     int
	Command string
	// App is the name of an app of this user's that the process looks after; empty where it is something else. Whoever knows
	// the apps fills it in.
	App string
	// UID is the user who listens, or -1.
	UID int
	// Free is a port at the same address that was free a moment ago; 0 for none.
	Free uint16
	Err  error
}

func (e *PortTaken) Error() string {
	text := fmt.Sprintf("publish port %s: taken", e.Addr)
	switch {
	case e.App != "":
		text += " by the app " + e.App
	case e.PID != 0 && e.Command != "":
		text += fmt.Sprintf(" by %s (process %d)", e.Command, e.PID)
	case e.UID >= 0 && e.UID != os.Getuid():
		text += fmt.Sprintf(" by a program of user %d", e.UID)
	}
	return text
}

func (e *PortTaken) Unwrap() error { return e.Err }

// Hint names a free port.
func (e *PortTaken) Hint() string {
	hint := "stop the program that holds it, or publish under another port"
	if e.App != "" {
		hint = "stop it: carrel stop " + e.App + "; or publish under another port"
	}
	if e.Free != 0 {
		hint += fmt.Sprintf("; %d is free", e.Free)
	}
	return hint
}

// PortForbidden says that this user may not listen on a port so low.
type PortForbidden struct {
	Addr netip.AddrPort
	// First is the lowest port that may be used (net.ipv4.ip_unprivileged_port_start).
	First uint16
	Err   error
}

func (e *PortForbidden) Error() string {
	return fmt.Sprintf("publish port %s: ports below %d are reserved for root on this machine", e.Addr, e.First)
}

func (e *PortForbidden) Unwrap() error { return e.Err }

// Hint names a port that may be used.
func (e *PortForbidden) Hint() string {
	port := int(e.Addr.Port())
	return fmt.Sprintf("publish it under a higher one, such as %d; the container's own port can stay %d", port+8000, port)
}

// AddressMissing says that an address to publish on is none of this machine's.
type AddressMissing struct {
	Addr netip.AddrPort
	Err  error
}

func (e *AddressMissing) Error() string {
	return fmt.Sprintf("publish port %s: this machine does not have the address %s", e.Addr, e.Addr.Addr())
}

func (e *AddressMissing) Unwrap() error { return e.Err }

// Hint names the addresses that always work.
func (e *AddressMissing) Hint() string {
	return "leave the address out for this machine only, or use 0.0.0.0 for every network it is on"
}

// wishes is how many ports above the wished one are tried before any free one is taken.
const wishes = 100

// taking is an attempt to take one port of the host.
type taking[L io.Closer] func(port uint16) (L, error)

// take opens the host's side of a mapping, under the wished number or by the rules of Mapping.Wish. The errors are
// *PortTaken, *PortForbidden and *AddressMissing. number is the port of what was opened.
func take[L io.Closer](m Mapping, try taking[L], number func(L) uint16) (L, error) {
	var none L
	addr := netip.AddrPortFrom(m.Host(), m.HostPort)
	l, err := try(m.HostPort)
	if err == nil {
		return l, nil
	}
	if m.Wish && (errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EACCES)) {
		if l, err := tryNext(m.HostPort, try); err == nil {
			return l, nil
		}
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		taken := &PortTaken{Addr: addr, UID: -1, Err: err}
		if !m.UDP {
			taken.PID, taken.Command, taken.UID = holder(addr)
		}
		if l, err := tryNext(m.HostPort, try); err == nil {
			taken.Free = number(l)
			_ = l.Close()
		}
		return none, taken
	case errors.Is(err, syscall.EACCES):
		return none, &PortForbidden{Addr: addr, First: firstPort(), Err: err}
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return none, &AddressMissing{Addr: addr, Err: err}
	}
	return none, fmt.Errorf("publish port %s: %w", addr, err)
}

// family is the network of an address by its own family only: "0.0.0.0" asks for IPv4.
func family(protocol string, ip netip.Addr) string {
	if ip.Is6() {
		return protocol + "6"
	}
	return protocol + "4"
}

func listenAt(ctx context.Context, ip netip.Addr, port uint16) (*net.TCPListener, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, family("tcp", ip), netip.AddrPortFrom(ip, port).String())
	if err != nil {
		return nil, err
	}
	return l.(*net.TCPListener), nil
}

func tcpPort(l *net.TCPListener) uint16 { return uint16(l.Addr().(*net.TCPAddr).Port) }

// listen opens a TCP port. The errors are *PortTaken, *PortForbidden and *AddressMissing.
func listen(ctx context.Context, m Mapping) (*net.TCPListener, error) {
	return take(m, func(port uint16) (*net.TCPListener, error) { return listenAt(ctx, m.Host(), port) }, tcpPort)
}

// listenPacket opens a UDP port. The errors are *PortTaken, *PortForbidden and *AddressMissing.
func listenPacket(ctx context.Context, m Mapping) (*net.UDPConn, error) {
	var config net.ListenConfig
	return take(m, func(port uint16) (*net.UDPConn, error) {
		c, err := config.ListenPacket(ctx, family("udp", m.Host()), netip.AddrPortFrom(m.Host(), port).String())
		if err != nil {
			return nil, err
		}
		return c.(*net.UDPConn), nil
	}, func(c *net.UDPConn) uint16 { return uint16(c.LocalAddr().(*net.UDPAddr).Port) })
}

// listenBoth opens a TCP port, and one of the same number on ::1 where the address is 127.0.0.1: a browser that is told
// localhost goes to ::1 first, and whoever listens there would get what was meant for this port. A number that somebody
// has on ::1 is therefore none to wish for; where it is demanded it is served on 127.0.0.1 alone.
func listenBoth(ctx context.Context, m Mapping) ([]*net.TCPListener, error) {
	four := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if m.Host() != four {
		l, err := listen(ctx, m)
		if err != nil {
			return nil, err
		}
		return []*net.TCPListener{l}, nil
	}
	var six *net.TCPListener
	elsewhere := m.Wish || m.HostPort == 0
	const attempts = 20 // for a free port, which may not be free on ::1
	try := func(port uint16) (*net.TCPListener, error) {
		for attempt := 1; ; attempt++ {
			l, err := listenAt(ctx, four, port)
			if err != nil {
				return nil, err
			}
			six, err = listenAt(ctx, netip.IPv6Loopback(), tcpPort(l))
			if err != nil {
				six = nil // no IPv6 here, unless it is taken
			}
			if !elsewhere || !errors.Is(err, syscall.EADDRINUSE) {
				return l, nil
			}
			_ = l.Close()
			if port != 0 || attempt == attempts {
				return nil, err
			}
		}
	}
	l, err := take(m, try, func(l *net.TCPListener) uint16 {
		if six != nil { // of a port that is only looked at
			_ = six.Close()
		}
		return tcpPort(l)
	})
	if err != nil {
		return nil, err
	}
	if six == nil {
		return []*net.TCPListener{l}, nil
	}
	return []*net.TCPListener{l, six}, nil
}

// tryNext tries the ports after a wished one, in the part of the range users may use, and then any.
func tryNext[L io.Closer](wish uint16, try taking[L]) (L, error) {
	first := int(wish) + 1
	if first <= 1024 {
		first = int(wish) + 8000 // 80 → 8080, as people do
	}
	for port := first; port < first+wishes && port <= 65535; port++ {
		if l, err := try(uint16(port)); err == nil {
			return l, nil
		}
	}
	return try(0)
}

// FreePort returns preferred where it can be listened on at ip, else the next port above that can, else any free one. The
// port is not reserved: somebody may take it before it is used. Publish with Mapping.Wish has no such gap.
func FreePort(ctx context.Context, ip netip.Addr, preferred uint16) (uint16, error) {
	all, err := listenBoth(ctx, Mapping{HostIP: ip, HostPort: preferred, ContainerPort: 1, Wish: true})
	if err != nil {
		return 0, err
	}
	for _, l := range all {
		defer l.Close()
	}
	return tcpPort(all[0]), nil
}

// firstPort reads the lowest port that users may listen on (ip(7)).
func firstPort() uint16 {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
	if err == nil {
		if n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 16); err == nil {
			return uint16(n)
		}
	}
	return 1024
}

// holder finds who listens where a listener at addr would be in the way: the socket in the kernel's table, and the process
// among those that may be looked into.
func holder(addr netip.AddrPort) (pid int, command string, uid int) {
	listeners, err := netns.Listeners("self")
	if err != nil {
		return 0, "", -1
	}
	uid = -1
	inodes := make(map[uint64]bool)
	for _, l := range listeners {
		if l.Port != addr.Port() || l.Addr != addr.Addr() && !l.Addr.IsUnspecified() && !addr.Addr().IsUnspecified() {
			continue
		}
		inodes[l.Inode] = true
		uid = int(l.UID)
	}
	if len(inodes) == 0 {
		return 0, "", -1
	}
	dir, err := os.Open("/proc")
	if err != nil {
		return 0, "", uid
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return 0, "", uid
	}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		for _, inode := range netns.SocketsOf(pid) {
			if inodes[inode] {
				return pid, commandOf(pid), uid
			}
		}
	}
	return 0, "", uid
}

// commandOf is a process's command line, shortened for a message; its bare name where it has none.
func commandOf(pid int) string {
	const longest = 80
	dir := "/proc/" + strconv.Itoa(pid)
	raw, err := os.ReadFile(dir + "/cmdline")
	text := strings.Join(strings.FieldsFunc(string(raw), func(r rune) bool { return r < ' ' || r == 0x7f }), " ")
	if err != nil || text == "" {
		raw, _ = os.ReadFile(dir + "/comm")
		text = strings.TrimSpace(string(raw))
	}
	if runes := []rune(text); len(runes) > longest {
		text = string(runes[:longest-1]) + "…"
	}
	return text
}
