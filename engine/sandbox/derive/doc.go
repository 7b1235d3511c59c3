// Package derive works out what a container's process is from the files of its image: the command that an action means, the
// environment that the image's scripts make, the passwd and group files with the caller's lines.
//
// It is used by init, which stands in the finished root, and before that by package sandbox, which looks at the image's
// folder from outside: Root is either.
package derive
