// Package fuse serves a SquashFS image to the kernel over an already mounted FUSE descriptor, so that an image is a container's
// root without privilege and without a helper program.
//
// The mount is made elsewhere: a process in the container's user and mount namespace opens /dev/fuse (the kernel wants the
// opener's user namespace to be the mount's), calls mount(2) with FSType and MountData, and passes the descriptor to the process that
// calls Serve. When the last mount of it goes away with the namespace, Serve returns.
//
// The protocol is that of linux/fuse.h, version 7.31 and later, of which a read-only file system needs a small part. It is
// spoken here directly and not through a library because of what decides the speed of an image: the identity of inodes is their place in
// the image, so nothing is remembered per look-up; replies are written straight from the cache of decompressed blocks; a
// request is read, answered and finished by one goroutine, without a hand-over; and a server can be stopped while the
// mount still stands. An image never changes, so all that the kernel is told may be kept for ever.
package fuse
