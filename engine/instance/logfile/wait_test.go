package logfile

import (
	"context"
	"testing"
	"time"
)

// TestWaitsForFarWriter: of what another machine writes the kernel tells nothing, so that the log is looked at again.
func TestWaitsForFarWriter(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	w := newWaiter(t.TempDir(), 0)
	defer w.close()
	if err := w.wait(ctx); err != nil {
		t.Errorf("nothing happened, and it waits on: %v", err)
	}
}
