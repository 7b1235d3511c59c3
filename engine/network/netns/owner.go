package netns

import (
	"encoding/binary"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// Owner asks whose a connected TCP socket of the current network namespace is: local is the socket's own end, remote the
// other. For the client of a connection that was accepted these are the accepted connection's remote and local address.
// ok is false where there is no such socket here, it is not any process's any more, or the kernel does not say. It asks
// the kernel's socket table (sock_diag(7)); uid is as the caller's user namespace numbers users.
func Owner(local, remote netip.AddrPort) (uid uint32, ok bool, err error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return 0, false, os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	// The kernel answers at once or not at all.
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 1})
	if err := unix.Sendto(fd, diagRequest(local, remote), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, false, os.NewSyscallError("sendto", err)
	}
	reply := make([]byte, 8192)
	n, _, err := unix.Recvfrom(fd, reply, 0)
	if err != nil {
		return 0, false, os.NewSyscallError("recvfrom", err)
	}
	uid, ok = diagOwner(reply[:n])
	return uid, ok, nil
}

// diagRequest is an inet_diag_req_v2 for one socket (sock_diag(7)):
//
//	nlmsghdr (16)
//	family 1, protocol 1, extensions 1, pad 1, states 4
//	source port 2 (big-endian), destination port 2, source address 16, destination address 16, interface 4, cookie 8
func diagRequest(local, remote netip.AddrPort) []byte {
	const byFamily = 20 // SOCK_DIAG_BY_FAMILY
	b := make([]byte, unix.SizeofNlMsghdr+56)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], byFamily)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST)
	r := b[unix.SizeofNlMsghdr:]
	from, to := local.Addr().Unmap(), remote.Addr().Unmap()
	r[0], r[1] = unix.AF_INET, unix.IPPROTO_TCP
	if from.Is6() {
		r[0] = unix.AF_INET6
	}
	binary.NativeEndian.PutUint32(r[4:], ^uint32(0))
	binary.BigEndian.PutUint16(r[8:], local.Port())
	binary.BigEndian.PutUint16(r[10:], remote.Port())
	copy(r[12:28], from.AsSlice())
	copy(r[28:44], to.AsSlice())
	binary.NativeEndian.PutUint64(r[48:], ^uint64(0)) // INET_DIAG_NOCOOKIE
	return b
}

// diagOwner reads an inet_diag_msg: after the header family 1, state 1, timer 1, retransmits 1, the socket's identity 48,
// expires 4, two queues 4 each, the user 4 and the inode 4. A socket that no process holds any more has inode 0, and a
// user that means nothing.
func diagOwner(reply []byte) (uid uint32, ok bool) {
	const message, user, inode = unix.SizeofNlMsghdr, 64, 68
	if len(reply) < message+inode+4 || binary.NativeEndian.Uint16(reply[4:]) != 20 {
		return 0, false
	}
	if binary.NativeEndian.Uint32(reply[message+inode:]) == 0 {
		return 0, false
	}
	return binary.NativeEndian.Uint32(reply[message+user:]), true
}
