package task

import (
	"context"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"
)

// Frame is how long events are gathered before they are shown: the loop draws once per message, so a message per line would
// cost a thousand times as much.
const Frame = 33 * time.Millisecond

// BatchLimit is how many events one message brings at most, so that a long log that is opened does not stop the keys.
const BatchLimit = 5000

// Limit is how many events wait at most while nobody takes them (the terminal was handed to another program); older ones
// are dropped and counted. What must not be lost is in the log file, which the engine writes itself.
const Limit = 100_000

// Stream is work that goes on and tells what it does. Next hands its events on; it must be asked again after every batch
// that is not the last.
type Stream[T any] struct {
	cancel context.CancelFunc
	wake   chan struct{} // holds one token when there is something to take
	ended  chan struct{}

	mu      sync.Mutex
	items   []T
	dropped int
	done    bool
	err     error
}

// Batch is what happened since the last one.
type Batch[T any] struct {
	Items   []T
	Dropped int   // events that came before Items and were too many
	Done    bool  // nothing more will come
	Err     error // why it ended, when it did not end well
}

// Run starts f in a goroutine of its own, until it returns or ctx ends or Stop is called. emit may be called from any
// goroutine until f returns; it never blocks.
func Run[T any](ctx context.Context, f func(ctx context.Context, emit func(T)) error) *Stream[T] {
	ctx, cancel := context.WithCancel(ctx)
	s := &Stream[T]{cancel: cancel, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		defer cancel()
		_, err := fenced(func() (struct{}, error) { return struct{}{}, f(ctx, s.emit) })
		s.mu.Lock()
		s.done, s.err = true, err
		s.mu.Unlock()
		s.signal()
	}()
	return s
}

func (s *Stream[T]) emit(v T) {
	s.mu.Lock()
	if s.done {
		s.mu.Unlock()
		return
	}
	if len(s.items) >= Limit+Limit/10 {
		n := len(s.items) - Limit
		s.items = append(s.items[:0:0], s.items[n:]...)
		s.dropped += n
	}
	s.items = append(s.items, v)
	s.mu.Unlock()
	s.signal()
}

func (s *Stream[T]) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Next waits for the first event, gathers for one frame, and returns all that came as one message.
func (s *Stream[T]) Next(answer func(Batch[T]) tea.Msg) tea.Cmd {
	return func() tea.Msg {
		<-s.wake
		select {
		case <-s.ended:
		case <-time.After(Frame):
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		b := Batch[T]{Items: s.items, Dropped: s.dropped}
		s.items, s.dropped = nil, 0
		if len(b.Items) > BatchLimit {
			b.Items, s.items = b.Items[:BatchLimit:BatchLimit], b.Items[BatchLimit:]
			s.signal() // the rest comes with the next one
			return answer(b)
		}
		b.Done, b.Err = s.done, s.err
		if s.done { // whoever asks again gets the end again
			s.signal()
		} else {
			select { // the token of what was just taken
			case <-s.wake:
			default:
			}
		}
		return answer(b)
	}
}

// Stop ends the work; its last batch says so. It does not wait.
func (s *Stream[T]) Stop() {
	if s != nil {
		s.cancel()
	}
}

// Wait waits until the work has ended and its goroutine is gone.
func (s *Stream[T]) Wait() {
	if s != nil {
		<-s.ended
	}
}
