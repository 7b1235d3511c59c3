package instance

import (
	"errors"
	"fmt"
)

var (
	// ErrNotFound: there is no instance of that name.
	ErrNotFound = errors.New("no such app")
	// ErrExists: an instance of that name is running.
	ErrExists = errors.New("an app of that name is running")
	// ErrNotRunning: the instance has ended.
	ErrNotRunning = errors.New("not running")
	// ErrRunning: the instance has not ended.
	ErrRunning = errors.New("still running")
)

// errStarting is why an app cannot be asked yet.
var errStarting = &RemoteError{Text: "it is still being started", HintText: "try again in a moment"}

// ElsewhereError: the instance runs on another machine that shares this folder, or in another container.
type ElsewhereError struct{ Name, Machine string }

func (e *ElsewhereError) Error() string {
	return fmt.Sprintf("reach %s: it runs on %s", e.Name, e.Machine)
}

// Hint says where to go.
func (e *ElsewhereError) Hint() string {
	return "log in on " + e.Machine + " and try again there; if it has ended there, as with its job: carrel rm --force " + e.Name
}

// takenNameError is the name of an instance that runs, here or elsewhere. It is an ErrExists.
type takenNameError struct{ name, machine string }

func (e *takenNameError) Error() string {
	text := "reserve name " + e.name + ": " + ErrExists.Error()
	if e.machine != "" {
		text += " on " + e.machine
	}
	return text
}

func (e *takenNameError) Unwrap() error { return ErrExists }

// Hint says what to do about it.
func (e *takenNameError) Hint() string {
	if e.machine != "" {
		return "choose another name with --name; if that one has ended, as with its job: carrel rm --force " + e.name
	}
	return "choose another name with --name, or stop that one: carrel stop " + e.name + "; to start it anew: carrel restart " + e.name
}

// RemoteError is an error that crossed from a supervisor to its client, or from a new supervisor to its starter.
type RemoteError struct {
	Text     string `json:"text"`
	HintText string `json:"hint,omitempty"`
}

func (e *RemoteError) Error() string { return e.Text }

// Hint is the original error's.
func (e *RemoteError) Hint() string { return e.HintText }

func remoteError(err error) *RemoteError {
	return &RemoteError{Text: err.Error(), HintText: hint(err)}
}

// hint is the hint of the outermost error that has one.
func hint(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}
