// Package netns is the part of container networking that runs inside the container's own network namespace, in the
// process that is its init: it brings the loopback device up, makes the outgoing link whose other end is a file
// descriptor, opens connections to the container's own ports, and reads who listens on what.
//
// It knows no policy and keeps no state. Addresses, sizes and time limits are arguments; a descriptor it returns belongs
// to the caller. It uses netlink directly (rtnetlink(7)), imports nothing but plain system calls and value types, and
// therefore costs the re-executed init process nothing at its start. The other end of the link is served by package usernet.
package netns
