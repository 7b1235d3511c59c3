// Package usernet gives a private network namespace its way out without any privilege: it reads the packets of the
// namespace's outgoing link (package netns makes it) in this process, ends each connection in a TCP/IP stack of its own
// (gVisor's tcpip), and makes the same connection again with ordinary sockets of the host.
//
// What gets out: TCP, UDP, and echo requests where the host lets users send them. At the gateway's port 53 answers a
// resolver that hands every question, unread, to the host's own resolvers, also one at 127.0.0.53. What does not: the
// host's loopback addresses, except single ports that Config.HostPorts names; multicast; everything Config.Deny lists.
// Refusals are told to the asking program as a real network would tell them, by a reset or an ICMP message, so that
// nothing inside waits for an answer that cannot come.
//
// Nothing gets in: published ports are connected from inside the namespace (package network).
//
// gVisor's stack is used directly, not through gvisor-tap-vsock, whose imports cost every start of this program 5 ms of
// package initialisation; these cost 0.3 ms.
package usernet
