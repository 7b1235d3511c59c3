package engine

import (
	"runtime/debug"
	"sync"

	"carrel/engine/squashfs"
)

var packings struct {
	sync.Mutex
	count int
	old   int64
}

// packing bounds the memory of this process while it writes an image, until the function that it returns is called. A worker
// does so for all of its life.
func packing() (done func()) {
	packings.Lock()
	defer packings.Unlock()
	if packings.count++; packings.count == 1 {
		packings.old = debug.SetMemoryLimit(-1)
		debug.SetMemoryLimit(min(packings.old, squashfs.MemoryGoal))
	}
	return func() {
		packings.Lock()
		defer packings.Unlock()
		if packings.count--; packings.count == 0 {
			debug.SetMemoryLimit(packings.old)
		}
	}
}
