package engine

import (
	"errors"
)

// Hint returns what to do about an error: the first hint that is not empty, from the outermost error of the chain inwards
// (an error with a method Hint() string), or "".
func Hint(err error) string {
	if err == nil {
		return ""
	}
	if h, ok := err.(interface{ Hint() string }); ok {
		if text := h.Hint(); text != "" {
			return text
		}
	}
	switch u := err.(type) {
	case interface{ Unwrap() error }:
		return Hint(u.Unwrap())
	case interface{ Unwrap() []error }:
		for _, inner := range u.Unwrap() {
			if text := Hint(inner); text != "" {
				return text
			}
		}
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
