package progress

import (
	"sync"
	"time"
)

const (
	// rateOver is the time over which a rate is the mean: long enough to be calm, short enough to follow a network.
	rateOver = 5 * time.Second
	// rateAfter is the time after which there is one at all.
	rateAfter = 500 * time.Millisecond
)

// Rated adds the rate to amounts that have none, from their times, and hands every event on.
func Rated(sink Sink) Sink {
	if sink == nil {
		return nil
	}
	r := rates{steps: map[[2]string]*rate{}}
	return func(e Event) {
		r.add(&e)
		sink(e)
	}
}

type rates struct {
	mu    sync.Mutex
	steps map[[2]string]*rate // by step and stage
}

// rate is what is known of a step: its amounts of the last seconds, oldest first.
type rate struct {
	unit string
	at   []time.Time
	done []int64
}

func (r *rates) add(e *Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := [2]string{string(e.Step), e.Stage}
	if e.Kind == Start {
		delete(r.steps, key)
	}
	if e.Kind != Amount || e.Rate != 0 {
		return
	}
	s := r.steps[key]
	if s == nil || s.unit != e.Unit || len(s.done) > 0 && e.Done < s.done[len(s.done)-1] { // something else is counted now
		s = &rate{unit: e.Unit}
		r.steps[key] = s
	}
	s.at, s.done = append(s.at, e.Time), append(s.done, e.Done)
	for len(s.at) > 2 && e.Time.Sub(s.at[1]) >= rateOver {
		s.at, s.done = s.at[1:], s.done[1:]
	}
	if took := e.Time.Sub(s.at[0]); took >= rateAfter {
		e.Rate = int64(float64(e.Done-s.done[0]) / took.Seconds())
	}
}
