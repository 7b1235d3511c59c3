package spawn

import (
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
)

// TestOutlivesThreads: a process that wants to end with its parent does not end with one of its parent's threads.
func TestOutlivesThreads(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var err error
	thread := 0
	Do(func() { thread, err = syscall.Gettid(), cmd.Start() })
	if err != nil {
		t.Fatal(err)
	}
	// Many threads end, with all that the runtime has.
	var all sync.WaitGroup
	for range 64 {
		all.Add(1)
		go func() {
			defer all.Done()
			runtime.LockOSThread()
			if syscall.Gettid() == thread {
				t.Error("somebody else got the thread")
			}
		}()
	}
	all.Wait()
	Do(func() {
		if syscall.Gettid() != thread {
			t.Error("another thread")
		}
	})
	if err := cmd.Process.Signal(syscall.Signal(0)); err != nil {
		t.Fatalf("it has ended: %v", err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if s := func() syscall.WaitStatus { _ = cmd.Wait(); return cmd.ProcessState.Sys().(syscall.WaitStatus) }(); s.Signal() != syscall.SIGINT {
		t.Errorf("it ended by %v", s.Signal())
	}
}
