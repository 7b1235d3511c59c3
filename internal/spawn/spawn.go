// Package spawn starts processes on a thread that lives as long as this process.
//
// A process that asked for a signal at its parent's end (PR_SET_PDEATHSIG, prctl(2)) gets it when the thread ends that
// started it, not the process. The Go runtime ends threads: that of a goroutine that ends while it is locked to it. Any
// thread may have started a process before a goroutine locked itself to it, and so whoever asks for such a signal starts
// the process here.
package spawn

import (
	"runtime"
	"sync"
)

var (
	once  sync.Once
	calls = make(chan func())
)

// Do calls f on the lasting thread, and returns when f does. f must not block for long: others wait for their turn; and it
// must not call Do.
func Do(f func()) {
	once.Do(func() {
		go func() {
			runtime.LockOSThread() // for ever: nothing else runs on this thread, and nothing ends it
			for f := range calls {
				f()
			}
		}()
	})
	done := make(chan struct{})
	calls <- func() {
		defer close(done)
		f()
	}
	<-done
}
