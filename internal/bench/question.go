package main

import (
	"context"
	"fmt"
	"math"
	"time"
)

// A question is something that several programs are asked to do, and what is measured of it.
type question struct {
	title string
	about string // how it was measured, in a sentence; may be empty
	unit  unit
	// parts are the names of the figures that each run gives, of which each becomes a table of its own; empty for one.
	parts      []string
	runs       int // of what takes less than a second
	contenders []contender
}

// A contender is one way to do it.
type contender struct {
	name string
	ours bool   // the first of ours is what the others are compared with
	how  string // the command, as a person would type it
	less string // what it leaves out of what the question asks; empty for nothing
	// missing says why it cannot be measured; empty when it can.
	missing string
	// prepare, when there is one, makes ready before the first run what is not measured.
	prepare func(context.Context) error
	run     func(context.Context) (measure, error)
}

// A measure is what one run gave.
type measure struct {
	values []float64 // one for each part of the question, in its unit
	note   string    // what else is to be said of it, such as the size of what was written
}

// took is the measure of a run of which only the time counts.
func took(d time.Duration) measure { return measure{values: []float64{d.Seconds()}} }

// A result is the answer to one part of a question.
type result struct {
	question question
	part     string
	rows     []row
}

// A row is what a contender reached.
type row struct {
	contender
	values []float64
	note   string
	err    error // why there are no values
}

// long is what takes so long that its first run counts, and that there are fewer of.
const long = 3 * time.Second

// pace is how many runs there are.
type pace struct {
	quick bool
}

// runs is how many runs something gets that took that long the first time.
func (p pace) runs(want int, first time.Duration) int {
	switch {
	case p.quick && first > long:
		return 1
	case p.quick:
		return max(3, want/3)
	case first > 3*long:
		return min(want, 3)
	case first > long:
		return min(want, 5)
	}
	return want
}

// measureAll lets the contenders run in turns. Those that are missing or fail have an error instead of values in the results; those that
// ctx ended before their turn have neither. say is told what goes on.
func measureAll(ctx context.Context, q question, p pace, say func(string)) []result {
	if len(q.parts) == 0 {
		q.parts = []string{""}
	}
	results := make([]result, len(q.parts))
	for i := range results {
		results[i] = result{question: q, part: q.parts[i], rows: make([]row, len(q.contenders))}
		for k, c := range q.contenders {
			results[i].rows[k].contender = c
		}
	}
	left := make([]int, len(q.contenders))
	fail := func(k int, err error) {
		for i := range results {
			results[i].rows[k].values, results[i].rows[k].err = nil, err
		}
		left[k] = 0
	}
	// The first run of what is short is not counted: it finds files on disk that are in memory later.
	for k, c := range q.contenders {
		if c.missing != "" {
			fail(k, fmt.Errorf("missing: %s", c.missing))
			continue
		}
		if ctx.Err() != nil {
			return results
		}
		say(q.title + ": " + c.name)
		if c.prepare != nil {
			if err := c.prepare(ctx); err != nil {
				if ctx.Err() == nil {
					fail(k, err)
				}
				continue
			}
		}
		start := time.Now()
		m, err := c.run(ctx)
		first := time.Since(start)
		if err == nil && len(m.values) != len(q.parts) {
			err = fmt.Errorf("%d figures instead of %d", len(m.values), len(q.parts))
		}
		if err != nil {
			if ctx.Err() == nil {
				fail(k, err)
			}
			continue
		}
		left[k] = p.runs(q.runs, first)
		if first > long {
			left[k]--
			keep(results, k, m)
		}
	}
	for {
		ran := false
		for k, c := range q.contenders {
			if left[k] <= 0 {
				continue
			}
			if ctx.Err() != nil {
				return results // what there is is shown
			}
			left[k]--
			ran = true
			m, err := c.run(ctx)
			if err != nil {
				if ctx.Err() == nil {
					fail(k, err)
				}
				continue
			}
			keep(results, k, m)
		}
		if !ran {
			return results
		}
	}
}

func keep(results []result, k int, m measure) {
	for i := range results {
		r := &results[i].rows[k]
		r.values = append(r.values, m.values[i])
		if m.note != "" {
			r.note = m.note
		}
	}
}

// title is the question's, with the part's.
func (r result) title() string {
	if r.part == "" {
		return r.question.title
	}
	return r.question.title + ": " + r.part
}

// reference is the median of the first of ours that has one, NaN when none has.
func (r result) reference() float64 {
	for _, w := range r.rows {
		if w.ours && len(w.values) > 0 {
			return median(w.values)
		}
	}
	return math.NaN()
}
