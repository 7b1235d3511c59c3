package task

import (
	"fmt"
	"runtime/debug"
	"sync/atomic"

	tea "charm.land/bubbletea/v2"
)

// ID names one screen, question or job among all of this program's run, so that an answer finds who asked.
type ID int64

var lastID atomic.Int64

// NewID returns an ID that was not given before.
func NewID() ID { return ID(lastID.Add(1)) }

// PanicError is a panic that was caught in work off the loop.
type PanicError struct {
	Value any
	Stack string
}

func (e *PanicError) Error() string { return fmt.Sprintf("internal error: %v", e.Value) }

// Hint says what a person can do about it.
func (e *PanicError) Hint() string {
	return "This is a mistake in Carrel itself. What you did before is safe; try it again, and report it if it happens twice."
}

// Call runs f off the loop and turns its answer into a message. A panic in f becomes its error.
func Call[T any](f func() (T, error), answer func(T, error) tea.Msg) tea.Cmd {
	return func() tea.Msg {
		v, err := fenced(f)
		return answer(v, err)
	}
}

// Do is Call for work that has no value.
func Do(f func() error, answer func(error) tea.Msg) tea.Cmd {
	return Call(func() (struct{}, error) { return struct{}{}, f() }, func(_ struct{}, err error) tea.Msg { return answer(err) })
}

func fenced[T any](f func() (T, error)) (v T, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &PanicError{Value: r, Stack: string(debug.Stack())}
		}
	}()
	return f()
}
