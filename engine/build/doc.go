// Package build makes images from definition files: base, sections, stages, and the packing into a SIF or a folder.
//
// It runs in a worker process (sandbox.StartWorker) that is root of a user namespace, or of the computer, and has a mount
// namespace of its own: trees are overlays over bases in the cache, and what is mounted ends with the process. It knows
// nothing of names, catalogs or screens; it is given texts and paths and tells what it does as events.
//
// The order of things follows Apptainer (internal/pkg/build): %pre, base, the files of every image, %files from stages,
// %setup, %files, %post, %appinstall, metadata, %test, packing.
//
// # What is not done twice
//
//	base          unpacked once, by digest (docker), resolved packages (debootstrap), or inode and times (localimage)
//	%post         the upper folder it leaves is kept as a layer, under a name made of the base, the section, and the tree
//	              that it found (digest.go). Files that it did not open (reads.go) may change: they are put on top anew.
//	packing       not done when the target's provenance says that it was made of the same
//	downloads     of apt, pip, conda, npm and others lie in a folder that is mounted while sections run
//
// A definition in which nothing is executed needs no tree at all: the layers of its base go straight into the image, with
// owners and modes as they are, whoever builds (stream.go).
//
// When a section fails in the container its upper folder is kept: Debug starts a shell in it, Spec.Resume goes on from it.
package build
