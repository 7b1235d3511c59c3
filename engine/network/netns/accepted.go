package netns

import (
	"bytes"
	"net/netip"
	"os"
	"strconv"
)

// Accepted tells whether the program that listens has taken a connection, of which client is the client's own end and
// server the other, both in the network namespace of a process (a number as text, or "self"): one that still waits in the
// listener's queue belongs to no file yet, and has the inode 0 (proc_pid_net(5); tcp(7), accept(2)).
func Accepted(process string, client, server netip.AddrPort) bool {
	for _, table := range []string{"tcp", "tcp6"} {
		data, err := os.ReadFile("/proc/" + process + "/net/" + table)
		if err == nil && acceptedIn(data, client, server) {
			return true
		}
	}
	return false
}

// acceptedIn looks for the server's end in a table; see parseListeners for its form.
func acceptedIn(table []byte, client, server netip.AddrPort) bool {
	for line := range bytes.Lines(table) {
		fields := bytes.Fields(line)
		if len(fields) < 10 {
			continue
		}
		local, port, ok := parseEndpoint(fields[1])
		if !ok || port != server.Port() || local != server.Addr().Unmap() {
			continue
		}
		remote, port, ok := parseEndpoint(fields[2])
		if !ok || port != client.Port() || remote != client.Addr().Unmap() {
			continue
		}
		inode, err := strconv.ParseUint(string(fields[9]), 10, 64)
		return err == nil && inode != 0
	}
	return false
}
