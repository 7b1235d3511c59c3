// Package debian makes the root file system of a Debian or Ubuntu suite from its archive, with no tool of the host: what
// debootstrap and mmdebstrap do, in Go.
//
// The way from a suite's name to a root:
//
//	Sources      the archives to read: the definition's mirror, configuration's, the host's own apt sources, Debian's
//	Prepare      InRelease of each, its OpenPGP signature and dates checked; a key that names the result
//	Resolve      Packages read as a stream; Essential, required, apt and what was asked for, with all dependencies
//	Fetch        packages to a content-addressed cache, in parallel, each checked against its SHA-256
//	Install      packages unpacked once, in parallel, with dpkg's rules; dpkg's database written; then dpkg configures
//	             all of them in one run inside the root, through the caller's Runner
//
// What it follows: Debian Policy 3, 5, 6, 7 (control fields, versions, maintainer scripts, relationships), deb(5),
// deb-version(7), deb-conffiles(5), deb-triggers(5), sources.list(5), and the Debian repository format
// (wiki.debian.org/DebianRepository/Format).
//
// It is not a package manager: it never upgrades or removes, and the root it starts from is an empty folder.
package debian
