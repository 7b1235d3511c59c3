// Package probe finds out what the kernel lets this user do in namespaces of their own, by doing it: it starts this binary
// again in new namespaces, where it mounts and opens what a container would, and reports each refusal. All of it goes away
// with that process; nothing is left on disk.
//
// The process is recognised before main runs, so every binary that links this package can be probed from.
package probe
