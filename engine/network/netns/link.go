package netns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// DefaultMTU is the largest packet of the outgoing link in bytes, unless Config says otherwise: nothing on the way is a
// real wire, and the fewer packets there are the less each byte costs. It is a multiple of eight below 65536, so that a
// fragmented datagram fits as well.
const DefaultMTU = 65520

// Config describes the outgoing link as the container sees it.
type Config struct {
	// Name of the device in the container, at most 15 bytes; "eth0" when empty.
	Name string
	// MTU in bytes; DefaultMTU when 0.
	MTU int
	// Address is the container's IPv4 address with the length of its network; Gateway the router in it.
	Address netip.Prefix
	Gateway netip.Addr
	// Address6 and Gateway6 are the same for IPv6; invalid (zero) values leave IPv6 off this link.
	Address6 netip.Prefix
	Gateway6 netip.Addr
	// Tun is an open descriptor of /dev/net/tun, for an init that no longer sees the host's /dev; 0 for none. OpenLink
	// takes it over: it is what is returned, or closed.
	Tun int
	// NoTap skips /dev/net/tun and makes a veth pair at once.
	NoTap bool
}

// LoopbackUp switches on lo in the current network namespace (a new namespace has it down, network_namespaces(7)).
func LoopbackUp() error {
	n, err := openNetlink()
	if err != nil {
		return err
	}
	defer n.close()
	index, err := linkIndex("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := n.up(index); err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	return nil
}

// OpenLink makes the outgoing link in the current network namespace, gives it its addresses and default routes, and
// returns the descriptor at which its packets, Ethernet frames without any further header, are read and written by the
// stack that answers them (package usernet). The descriptor is close-on-exec and the caller's; when its last copy is
// closed the link is gone.
//
// Where /dev/net/tun can be opened the link is a TAP device. Elsewhere it is a veth pair (veth(4)) whose far end lies in
// a second network namespace that nobody is in, with a packet socket (packet(7)) on it. Either needs CAP_NET_ADMIN over
// the current network namespace, the second also CAP_SYS_ADMIN in its user namespace; the first process of a new user
// namespace has both.
func OpenLink(c Config) (fd int, err error) {
	if c.Name == "" {
		c.Name = "eth0"
	}
	if c.MTU == 0 {
		c.MTU = DefaultMTU
	}
	n, err := openNetlink()
	if err != nil {
		return -1, err
	}
	defer n.close()

	var tapErr error
	fd = -1
	if c.Tun > 0 || !c.NoTap {
		fd, tapErr = openTap(c)
	}
	if fd < 0 {
		if fd, err = openVeth(n, c); err != nil {
			return -1, errors.Join(err, tapErr)
		}
	}
	if err := n.configure(c); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// openTap attaches a TAP device to c.Tun or a newly opened /dev/net/tun (Documentation/networking/tuntap.rst).
func openTap(c Config) (int, error) {
	fd := c.Tun
	if fd <= 0 {
		var err error
		fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return -1, fmt.Errorf("open /dev/net/tun: %w", err)
		}
	}
	request, err := unix.NewIfreq(c.Name)
	if err == nil {
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("make tap device %s: %w", c.Name, err)
	}
	return fd, nil
}

// openVeth makes the pair and returns a packet socket on its far end.
//
//	container's namespace              namespace held by the socket alone
//	  eth0 (address, routes)  ── veth ──  link0 (no address)  ← AF_PACKET → descriptor
//
// The far end is kept out of the container because a device there is one more interface for every program that lists
// them, and one that a process with capabilities could take down.
func openVeth(n *netlink, c Config) (int, error) {
	fd, err := -1, error(nil)
	onLostThread(func() {
		if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
			err = fmt.Errorf("make network namespace for the link: %w", err)
			return
		}
		if err = n.createVeth(c, uint32(unix.Gettid())); err != nil {
			err = fmt.Errorf("make veth pair %s: %w", c.Name, err)
			return
		}
		if fd, err = openPacket("link0"); err != nil {
			err = fmt.Errorf("open packet socket: %w", err)
		}
	})
	return fd, err
}

// onLostThread runs f on a thread that ends with it, because f changes something that belongs to the thread. That cannot
// be the first thread: the runtime keeps it, and /proc/self shows its namespaces as the process's.
func onLostThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: a goroutine that ends locked takes its thread along
		if unix.Gettid() == unix.Getpid() {
			defer runtime.UnlockOSThread()
			onLostThread(f) // on another thread, as this one is taken
			return
		}
		f()
	}()
	<-done
}

// createVeth makes c.Name in the namespace of n, and its peer link0 in that of the thread peerThread.
func (n *netlink) createVeth(c Config, peerThread uint32) error {
	const vethInfoPeer = 1 // VETH_INFO_PEER, linux/veth.h
	m := newMessage(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	m.link(0, 0, 0)
	m.attr(unix.IFLA_IFNAME, append([]byte(c.Name), 0))
	m.attr32(unix.IFLA_MTU, uint32(c.MTU))
	endInfo := m.begin(unix.IFLA_LINKINFO)
	m.attr(unix.IFLA_INFO_KIND, []byte("veth"))
	endData := m.begin(unix.IFLA_INFO_DATA)
	endPeer := m.begin(vethInfoPeer)
	m.link(0, 0, 0)
	m.attr(unix.IFLA_IFNAME, []byte("link0\x00"))
	m.attr32(unix.IFLA_MTU, uint32(c.MTU))
	m.attr32(unix.IFLA_NET_NS_PID, peerThread)
	endPeer()
	endData()
	endInfo()
	return n.do(m)
}

// openPacket brings a device of the current namespace up and returns a packet socket bound to it.
func openPacket(name string) (fd int, err error) {
	n, err := openNetlink()
	if err != nil {
		return -1, err
	}
	defer n.close()
	index, err := linkIndex(name)
	if err != nil {
		return -1, fmt.Errorf("find %s: %w", name, err)
	}
	if err := n.noAutomaticAddress(index); err != nil && err != unix.EAFNOSUPPORT {
		return -1, fmt.Errorf("switch IPv6 off on %s: %w", name, err)
	}
	if err := n.up(index); err != nil {
		return -1, fmt.Errorf("bring %s up: %w", name, err)
	}
	// Protocol 0 until bind, so that nothing of another device is ever received (packet(7)).
	fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	defer func() {
		if err != nil {
			_ = unix.Close(fd)
		}
	}()
	// A packet socket hears what it sends itself unless told not to (Linux 4.20, commit fa788d986a3a).
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
		return -1, os.NewSyscallError("setsockopt PACKET_IGNORE_OUTGOING", err)
	}
	// As much as net.core.rmem_max and wmem_max allow; the kernel cuts silently (socket(7)).
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<20)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 4<<20)
	// The protocol is in network byte order.
	protocol := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: int(index)}); err != nil {
		return -1, os.NewSyscallError("bind", err)
	}
	return fd, nil
}

func (n *netlink) up(index int32) error {
	m := newMessage(unix.RTM_NEWLINK, 0)
	m.link(index, unix.IFF_UP, unix.IFF_UP)
	return n.do(m)
}

// noAutomaticAddress keeps the kernel from giving a device an IPv6 address of its own, and so from talking on it.
func (n *netlink) noAutomaticAddress(index int32) error {
	const addrGenMode, none = 8, 1 // IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE of linux/if_link.h
	m := newMessage(unix.RTM_SETLINK, 0)
	m.link(index, 0, 0)
	endSpec := m.begin(unix.IFLA_AF_SPEC)
	end6 := m.begin(unix.AF_INET6)
	m.attr(addrGenMode, []byte{none})
	end6()
	endSpec()
	return n.do(m)
}

// configure gives the device its size, addresses and default routes and switches it on.
func (n *netlink) configure(c Config) error {
	index, err := linkIndex(c.Name)
	if err != nil {
		return fmt.Errorf("find %s: %w", c.Name, err)
	}
	if !c.Address6.IsValid() {
		// A kernel without IPv6 has nothing to switch off.
		if err := n.noAutomaticAddress(index); err != nil && err != unix.EAFNOSUPPORT {
			return fmt.Errorf("switch IPv6 off on %s: %w", c.Name, err)
		}
	}
	m := newMessage(unix.RTM_NEWLINK, 0)
	m.link(index, unix.IFF_UP, unix.IFF_UP)
	m.attr32(unix.IFLA_MTU, uint32(c.MTU))
	if err := n.do(m); err != nil {
		return fmt.Errorf("bring %s up: %w", c.Name, err)
	}
	if c.Address.IsValid() {
		if err := n.assign(index, c.Address, c.Gateway); err != nil {
			return fmt.Errorf("configure %s: %w", c.Name, err)
		}
	}
	if c.Address6.IsValid() {
		if err := n.assign(index, c.Address6, c.Gateway6); err != nil {
			return fmt.Errorf("configure %s: %w", c.Name, err)
		}
		if err := n.settle(c.Address6.Addr()); err != nil {
			return fmt.Errorf("configure %s: %w", c.Name, err)
		}
	}
	return nil
}

// settle waits until an IPv6 address is the namespace's own: the kernel adds its route to itself a little later, from a work
// queue (net/ipv6/addrconf.c, addrconf_dad_work), and until then a connection to it would go out by the link.
func (n *netlink) settle(addr netip.Addr) error {
	const longest = 5 * time.Second
	for deadline := time.Now().Add(longest); ; time.Sleep(200 * time.Microsecond) {
		kind, err := n.routeType(addr)
		if err != nil {
			return err
		}
		if kind == unix.RTN_LOCAL {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("address %s is not usable after %s", addr, longest)
		}
	}
}

// assign adds an address and, where gateway is valid, the default route of its family.
func (n *netlink) assign(index int32, address netip.Prefix, gateway netip.Addr) error {
	family, ip := byte(unix.AF_INET), address.Addr().AsSlice()
	if address.Addr().Is6() {
		family = unix.AF_INET6
	}
	m := newMessage(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_REPLACE)
	header := make([]byte, unix.SizeofIfAddrmsg)
	header[0], header[1] = family, byte(address.Bits())
	binary.NativeEndian.PutUint32(header[4:], uint32(index))
	m.buf = append(m.buf, header...)
	m.attr(unix.IFA_LOCAL, ip)
	m.attr(unix.IFA_ADDRESS, ip)
	// Without duplicate address detection (RFC 4862) an IPv6 address can be used at once; there is nobody else here.
	m.attr32(unix.IFA_FLAGS, unix.IFA_F_PERMANENT|unix.IFA_F_NODAD)
	if err := n.do(m); err != nil {
		return fmt.Errorf("add address %s: %w", address, err)
	}
	if !gateway.IsValid() {
		return nil
	}
	m = newMessage(unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE)
	route := make([]byte, unix.SizeofRtMsg)
	route[0], route[4], route[5], route[6], route[7] = family, unix.RT_TABLE_MAIN, unix.RTPROT_BOOT, unix.RT_SCOPE_UNIVERSE, unix.RTN_UNICAST
	m.buf = append(m.buf, route...)
	m.attr(unix.RTA_GATEWAY, gateway.AsSlice())
	m.attr32(unix.RTA_OIF, uint32(index))
	if err := n.do(m); err != nil {
		return fmt.Errorf("add default route by %s: %w", gateway, err)
	}
	return nil
}
