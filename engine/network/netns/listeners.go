package netns

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// Listener is a TCP socket that waits for connections.
type Listener struct {
	// Addr is the address it is bound to: unspecified (0.0.0.0 or ::) for every address. An IPv6 wildcard usually takes
	// IPv4 connections too (ipv6(7), IPV6_V6ONLY); /proc does not say.
	Addr netip.Addr
	Port uint16
	// UID is the owner, as the reading process's user namespace numbers users.
	UID uint32
	// Inode is the socket's number, the N of "socket:[N]" in /proc/PID/fd.
	Inode uint64
}

// Listeners reads the listening TCP sockets, of IPv4 and IPv6, of the network namespace that a process is in; process is
// a number as text or "self". It asks /proc (proc_pid_net(5)), so the process may be in another namespace than the caller:
// the supervisor of a container reads its container's listeners by the number of its init.
func Listeners(process string) ([]Listener, error) {
	if unused(process) {
		return nil, nil
	}
	var all []Listener
	for _, table := range []string{"tcp", "tcp6"} {
		name := "/proc/" + process + "/net/" + table
		data, err := os.ReadFile(name)
		if os.IsNotExist(err) && table == "tcp6" {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, fmt.Errorf("read listening sockets: %w", err)
		}
		all = parseListeners(all, data)
	}
	return all, nil
}

// unused tells that there is no TCP socket in the network namespace that a process is in. The tables of sockets take
// milliseconds to read, because the kernel looks for connections among those of the whole machine; the counts (sockstat of
// proc_pid_net(5)) do not, and a namespace that has just been made is looked at often.
func unused(process string) bool {
	for file, line := range map[string]string{"sockstat": "TCP: inuse ", "sockstat6": "TCP6: inuse "} {
		data, err := os.ReadFile("/proc/" + process + "/net/" + file)
		if os.IsNotExist(err) && file == "sockstat6" {
			continue // a kernel without IPv6
		}
		_, rest, found := strings.Cut(string(data), line)
		count, _, _ := strings.Cut(strings.TrimSpace(rest), "\n")
		count, _, _ = strings.Cut(count, " ")
		if err != nil || !found || count != "0" {
			return false
		}
	}
	return true
}

// Listens tells whether something listens on a TCP port of the network namespace that a process is in, as Listeners finds it;
// true where that cannot be seen.
func Listens(process string, port int) bool {
	all, err := Listeners(process)
	if err != nil {
		return true
	}
	for _, l := range all {
		if int(l.Port) == port {
			return true
		}
	}
	return false
}

// ListenersOf keeps of the listening sockets those that one of the given processes holds open. It is for containers that
// share the host's network, where everybody's listeners are in one table. Processes that ended meanwhile, and those of
// other users, whose descriptors cannot be read, are passed over.
func ListenersOf(processes []int) ([]Listener, error) {
	if len(processes) == 0 {
		return nil, nil
	}
	all, err := Listeners("self")
	if err != nil || len(all) == 0 {
		return nil, err
	}
	owned := make(map[uint64]bool)
	for _, pid := range processes {
		for _, inode := range SocketsOf(pid) {
			owned[inode] = true
		}
	}
	kept := all[:0]
	for _, l := range all {
		if owned[l.Inode] {
			kept = append(kept, l)
		}
	}
	return kept, nil
}

// SocketsOf lists the inode numbers of a process's open sockets; none where the process is gone or may not be looked into.
func SocketsOf(pid int) []uint64 {
	dir := "/proc/" + strconv.Itoa(pid) + "/fd"
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil
	}
	var inodes []uint64
	for _, name := range names {
		target, err := os.Readlink(dir + "/" + name)
		if err != nil {
			continue
		}
		number, ok := strings.CutPrefix(target, "socket:[")
		if !ok {
			continue
		}
		if inode, err := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 64); err == nil {
			inodes = append(inodes, inode)
		}
	}
	return inodes
}

// parseListeners appends the sockets in state LISTEN of a /proc/net/tcp or tcp6 table (Documentation/networking/proc_net_tcp.rst):
//
//	sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
//	 0: 0100007F:22B8 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 31337 …
//
// An address is printed as 32-bit words in the machine's own byte order, a port as a number. Lines that do not fit are
// passed over: the kernel may print a newer form.
func parseListeners(all []Listener, table []byte) []Listener {
	const listen = "0A" // TCP_LISTEN, include/net/tcp_states.h
	for line := range bytes.Lines(table) {
		fields := bytes.Fields(line)
		if len(fields) < 10 || string(fields[3]) != listen {
			continue
		}
		ip, number, ok := parseEndpoint(fields[1])
		if !ok {
			continue
		}
		uid, err := strconv.ParseUint(string(fields[7]), 10, 32)
		if err != nil {
			continue
		}
		inode, err := strconv.ParseUint(string(fields[9]), 10, 64)
		if err != nil {
			continue
		}
		all = append(all, Listener{Addr: ip, Port: number, UID: uint32(uid), Inode: inode})
	}
	return all
}

// parseEndpoint reads ADDRESS:PORT as /proc prints it.
func parseEndpoint(text []byte) (netip.Addr, uint16, bool) {
	address, port, ok := bytes.Cut(text, []byte(":"))
	if !ok {
		return netip.Addr{}, 0, false
	}
	ip, ok := parseAddress(address)
	number, err := strconv.ParseUint(string(port), 16, 16)
	return ip, uint16(number), ok && err == nil
}

// parseAddress reads 8 or 32 hexadecimal digits as /proc prints an address.
func parseAddress(text []byte) (netip.Addr, bool) {
	var words [16]byte
	if len(text) != 8 && len(text) != 32 {
		return netip.Addr{}, false
	}
	size, err := hex.Decode(words[:], text)
	if err != nil {
		return netip.Addr{}, false
	}
	for i := 0; i < size; i += 4 {
		binary.NativeEndian.PutUint32(words[i:], binary.BigEndian.Uint32(words[i:]))
	}
	ip, ok := netip.AddrFromSlice(words[:size])
	return ip.Unmap(), ok
}
