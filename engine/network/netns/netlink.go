package netns

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// message is a netlink request being built. All numbers are in the host's byte order but addresses (netlink(7)).
type message struct {
	buf []byte
}

// newMessage begins a request of one rtnetlink type; flags are added to NLM_F_REQUEST|NLM_F_ACK.
func newMessage(kind, flags uint16) *message {
	m := &message{buf: make([]byte, unix.SizeofNlMsghdr, 256)}
	binary.NativeEndian.PutUint16(m.buf[4:], kind)
	binary.NativeEndian.PutUint16(m.buf[6:], unix.NLM_F_REQUEST|unix.NLM_F_ACK|flags)
	binary.NativeEndian.PutUint32(m.buf[8:], 1)
	return m
}

// link appends struct ifinfomsg.
func (m *message) link(index int32, flags, change uint32) {
	b := make([]byte, unix.SizeofIfInfomsg)
	b[0] = unix.AF_UNSPEC
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	binary.NativeEndian.PutUint32(b[8:], flags)
	binary.NativeEndian.PutUint32(b[12:], change)
	m.buf = append(m.buf, b...)
}

// attr appends one attribute (struct rtattr), padded to four bytes.
func (m *message) attr(kind uint16, value []byte) {
	end := m.begin(kind)
	m.buf = append(m.buf, value...)
	end()
}

func (m *message) attr32(kind uint16, value uint32) {
	m.attr(kind, binary.NativeEndian.AppendUint32(nil, value))
}

// begin opens an attribute that contains what is appended until the returned function is called.
func (m *message) begin(kind uint16) (end func()) {
	start := len(m.buf)
	m.buf = binary.NativeEndian.AppendUint16(m.buf, 0)
	m.buf = binary.NativeEndian.AppendUint16(m.buf, kind)
	return func() {
		binary.NativeEndian.PutUint16(m.buf[start:], uint16(len(m.buf)-start))
		for len(m.buf)%unix.NLMSG_ALIGNTO != 0 {
			m.buf = append(m.buf, 0)
		}
	}
}

// netlink is a route socket of the network namespace that its opener was in.
type netlink struct {
	fd int
}

func openNetlink() (*netlink, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open route socket: %w", err)
	}
	return &netlink{fd: fd}, nil
}

func (n *netlink) close() { _ = unix.Close(n.fd) }

// do sends one request and waits for its acknowledgement. The error is the kernel's errno.
func (n *netlink) do(m *message) error {
	binary.NativeEndian.PutUint32(m.buf, uint32(len(m.buf)))
	if err := unix.Sendto(n.fd, m.buf, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("sendto", err)
	}
	var reply [4096]byte
	for {
		size, _, err := unix.Recvfrom(n.fd, reply[:], 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return os.NewSyscallError("recvfrom", err)
		}
		if size < unix.SizeofNlMsghdr+4 || binary.NativeEndian.Uint16(reply[4:]) != unix.NLMSG_ERROR {
			continue
		}
		if code := int32(binary.NativeEndian.Uint32(reply[unix.SizeofNlMsghdr:])); code != 0 {
			return unix.Errno(-code)
		}
		return nil
	}
}

// routeType asks how an address would be reached and returns the route's type, such as RTN_LOCAL; 0 where there is no route.
func (n *netlink) routeType(addr netip.Addr) (byte, error) {
	m := newMessage(unix.RTM_GETROUTE, 0)
	binary.NativeEndian.PutUint16(m.buf[6:], unix.NLM_F_REQUEST) // the answer is the acknowledgement
	ip := addr.AsSlice()
	header := make([]byte, unix.SizeofRtMsg)
	header[0], header[1] = unix.AF_INET, byte(len(ip)*8)
	if addr.Is6() {
		header[0] = unix.AF_INET6
	}
	m.buf = append(m.buf, header...)
	m.attr(unix.RTA_DST, ip)
	binary.NativeEndian.PutUint32(m.buf, uint32(len(m.buf)))
	if err := unix.Sendto(n.fd, m.buf, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, os.NewSyscallError("sendto", err)
	}
	var reply [4096]byte
	for {
		size, _, err := unix.Recvfrom(n.fd, reply[:], 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return 0, os.NewSyscallError("recvfrom", err)
		}
		if size < unix.SizeofNlMsghdr+unix.SizeofRtMsg {
			return 0, nil
		}
		switch binary.NativeEndian.Uint16(reply[4:]) {
		case unix.RTM_NEWROUTE:
			return reply[unix.SizeofNlMsghdr+7], nil
		case unix.NLMSG_ERROR:
			return 0, nil
		}
	}
}

// linkIndex finds a device of the current network namespace by name.
func linkIndex(name string) (int32, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq(name)
	if err != nil {
		return 0, err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request); err != nil {
		return 0, err
	}
	return int32(request.Uint32()), nil
}
