package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"carrel/internal/early"
)

// interrupt handles Ctrl+C and SIGTERM: the first ends the work of the verb in good order, the second ends the program at
// once. What it started ends with it, because that dies with its parent. While a container is in the foreground the signals
// are its own, as are those that came while it was being started; see hand.
type interrupt struct {
	mu      sync.Mutex
	last    syscall.Signal
	forward func(syscall.Signal) (handled bool)

	hold  bool // signals wait for a container
	held  []syscall.Signal
	apply func(syscall.Signal) // what a signal does that is nobody else's
}

// holdAtMost is how long a signal waits for a container before it ends what takes so long.
const holdAtMost = 3 * time.Second

// watch makes ctx one that ends with the first signal, and returns what ends the watch.
func (i *interrupt) watch(ctx *context.Context) func() {
	inner, cancel := context.WithCancel(*ctx)
	*ctx = inner
	asked := false
	stop := i.listen(func(sig syscall.Signal) {
		switch sig {
		case syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT:
		default:
			early.Default(sig)
			return
		}
		if asked {
			os.Exit(128 + int(sig))
		}
		asked = true
		i.last = sig
		cancel()
	})
	return func() {
		stop()
		cancel()
	}
}

// listen takes the signals of this process. Those that no container takes are applied, one at a time and with the lock held.
func (i *interrupt) listen(apply func(syscall.Signal)) (stop func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.apply = apply
	c := early.Signals()
	if c == nil {
		own := make(chan os.Signal, 4)
		for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
			if !signal.Ignored(s) { // as nohup(1) wants it
				signal.Notify(own, s)
			}
		}
		defer func() { stop = both(stop, func() { signal.Stop(own) }) }()
		c = own
	} else {
		i.hold = true
	}
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case s := <-c:
				i.take(s.(syscall.Signal))
			}
		}
	}()
	return func() { close(done) }
}

func both(a, b func()) func() { return func() { a(); b() } }

// take does with a signal what the moment asks for.
func (i *interrupt) take(sig syscall.Signal) {
	i.mu.Lock()
	f := i.forward
	i.mu.Unlock()
	if f != nil && f(sig) {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.hold {
		i.apply(sig)
		return
	}
	if len(i.held) == 0 {
		time.AfterFunc(holdAtMost, i.release)
	}
	i.held = append(i.held, sig)
}

// release ends the waiting for a container: what has been held applies to this program, as does what comes. It is called
// where something long comes first, such as building the image.
func (i *interrupt) release() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.hold {
		return
	}
	i.hold = false
	for _, sig := range i.held {
		i.apply(sig)
	}
	i.held = nil
}

// hand gives a container that has started what was held for it, by send, and then all signals to f, as to does.
func (i *interrupt) hand(send func(syscall.Signal), f func(syscall.Signal) bool) (restore func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, sig := range i.held {
		send(sig)
	}
	i.hold, i.held = false, nil
	early.Rest()
	return i.give(f)
}

// signal is the signal that ended the work, or 0.
func (i *interrupt) signal() syscall.Signal {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.last
}

// to gives signals to f first, until the returned function is called. f tells whether it took one.
func (i *interrupt) to(f func(syscall.Signal) bool) (restore func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.give(f)
}

// give is to, with the lock held.
func (i *interrupt) give(f func(syscall.Signal) bool) (restore func()) {
	before := i.forward
	i.forward = f
	return func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.forward = before
	}
}
