package engine

import (
	"errors"
)

// Hint returns what to do about an error: the hint of the outermost error in the chain that has one (an error with a
// method Hint() string), or "".
func Hint(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

// Sentinels that callers branch on.
var (
	// ErrNotFound: no path, image, catalog entry or instance of that name.
	ErrNotFound = errors.New("not found")
	// ErrExists: the target exists and Force was not given.
	ErrExists = errors.New("exists already")
	// ErrNotRunning: the instance has ended.
	ErrNotRunning = errors.New("not running")
)
