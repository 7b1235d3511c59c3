// Package network publishes a container's ports and finds out what it serves: it parses port mappings, keeps a published
// port open on the host and carries its connections inside, says who holds a port that is taken, waits until an address
// answers, and finds the addresses that programs print.
//
// It is the part that runs in the supervisor and knows nothing about namespaces: how a connection to the container is made
// is a function that the caller passes in. Package netns has what runs inside the container's network namespace,
// package usernet the way out of it. All addresses are TCP.
package network
