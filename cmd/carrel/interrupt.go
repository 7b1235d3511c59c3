package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// interrupt handles Ctrl+C and SIGTERM: the first ends the work of the verb in good order, the second ends the program at
// once. What it started ends with it, because that dies with its parent. While a container is in the foreground the signals
// are its own; see forward.
type interrupt struct {
	mu      sync.Mutex
	last    syscall.Signal
	forward func(syscall.Signal) (handled bool)
}

// watch makes ctx one that ends with the first signal, and returns what ends the watch.
func (i *interrupt) watch(ctx *context.Context) func() {
	inner, cancel := context.WithCancel(*ctx)
	*ctx = inner
	c := make(chan os.Signal, 4)
	signal.Notify(c, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	done := make(chan struct{})
	go func() {
		asked := false
		for {
			select {
			case <-done:
				return
			case s := <-c:
				sig := s.(syscall.Signal)
				if f := i.forwarding(); f != nil && f(sig) {
					continue
				}
				if asked {
					os.Exit(128 + int(sig))
				}
				asked = true
				i.mu.Lock()
				i.last = sig
				i.mu.Unlock()
				cancel()
			}
		}
	}()
	return func() {
		signal.Stop(c)
		close(done)
		cancel()
	}
}

// signal is the signal that ended the work, or 0.
func (i *interrupt) signal() syscall.Signal {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.last
}

func (i *interrupt) forwarding() func(syscall.Signal) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.forward
}

// to gives signals to f first, until the returned function is called. f tells whether it took one.
func (i *interrupt) to(f func(syscall.Signal) bool) (restore func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	before := i.forward
	i.forward = f
	return func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.forward = before
	}
}
