// Package quick does a launch again that this program did a moment ago (package again), from a package initializer: before
// most packages are initialized, which takes longer than what it does. It waits for the container as long as it takes for a
// short command. What lasts longer, gets a signal, or ended in a way that a person is to be told something about, is left to
// main, and so is every call that is not a repetition.
//
// It depends on little, so that its turn comes early (The Go Programming Language Specification, "Program initialization": in
// the order of import paths, whatever is ready); a test of this package holds that.
package quick

import (
	"os"
	"time"

	"carrel/engine/oom"
	"carrel/engine/sandbox/again"
	"carrel/internal/early"
)

// Call is what main has to know of this call; nil where it is none that could be repeated.
var Call *again.Call

// patience is how long a container is waited for before main is let do it.
const patience = 100 * time.Millisecond

// glance is how often it is looked whether a signal has come.
const glance = 10 * time.Millisecond

func init() {
	now := time.Now()
	fixed := early.Fixed(os.Args)
	if fixed == 0 || os.Geteuid() == 0 {
		early.Hold()
		return
	}
	// To ask for signals takes the Go runtime a while and a thread: it is done beside, and before there is a container whose
	// signals they are.
	held := make(chan struct{})
	go func() {
		early.Hold()
		close(held)
	}()
	r := start(now, fixed, func() { <-held })
	<-held
	if r == nil {
		return
	}
	r.Memory = oom.Watch(r.PID)
	limit := now.Add(patience)
	if err := r.Started(limit); err != nil {
		Call.Drop() // the whole way explains it
		return
	}
	for len(early.Signals()) == 0 && time.Now().Before(limit) {
		if !r.Wait(time.Now().Add(glance)) {
			continue
		}
		if r.Status < wordy {
			os.Exit(r.Status)
		}
		break
	}
	Call.Running = r
}

// start does the launch again, if it is one of those, and calls before when it is about to; nil: main does it.
func start(now time.Time, fixed int, before func()) *again.Running {
	if Call = again.NewCall(os.Args, os.Environ(), fixed); Call == nil {
		return nil
	}
	r, err := Call.Start(now, before)
	if err != nil {
		return nil
	}
	return r
}

// wordy is the least status that may have a reason of which a person is told (a program that is not there, a signal).
const wordy = 126
