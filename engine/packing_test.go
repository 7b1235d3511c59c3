package engine

import (
	"runtime/debug"
	"testing"

	"carrel/engine/squashfs"
)

// TestPacking: the limit lasts as long as anything is packed, and a lower one stays.
func TestPacking(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	for _, old := range []int64{before, 64 << 20} {
		debug.SetMemoryLimit(old)
		want := min(old, squashfs.MemoryGoal)
		first, second := packing(), packing()
		first()
		if got := debug.SetMemoryLimit(-1); got != want {
			t.Errorf("while packing: %d, want %d", got, want)
		}
		second()
		if got := debug.SetMemoryLimit(-1); got != old {
			t.Errorf("afterwards: %d, want %d", got, old)
		}
	}
}
