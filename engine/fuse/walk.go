package fuse

import "sync/atomic"

// walk notices a program that lists folder after folder and looks at no file, as find does. It wants names: the files'
// attributes, which a listing otherwise brings along for those who look at them next, would be half of its time.
//
// When files are looked up after all, which costs a request for each, the next such guess needs twice as many folders.
type walk struct {
	listed atomic.Uint32 // folders since a file was last used
	wrong  atomic.Uint32 // how often names were not all that was wanted
}

// walkFolders is how many folders in a row make a walk.
const walkFolders = 32

// noEntry is what a listing holds in the place of a file's attributes: node 0, which the kernel does not look at.
var noEntry [entrySize]byte

// list counts a folder.
func (k *walk) list() { k.listed.Add(1) }

// names tells whether names are enough.
func (k *walk) names() bool {
	n := k.listed.Load()
	return n > walkFolders && n > walkFolders<<min(k.wrong.Load(), 20)
}

// use notes that a file is used, or looked up, which those who only want names do not.
func (k *walk) use(lookup bool) {
	if k.listed.Load() == 0 {
		return // so that readers do not fight for the counter's cache line
	}
	if lookup && k.names() {
		k.wrong.Add(1)
	}
	k.listed.Store(0)
}
