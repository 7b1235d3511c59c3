package oci

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Sentinels for what callers branch on.
var (
	ErrReference    = errors.New("not an image reference")
	ErrNotFound     = errors.New("image not found")
	ErrUnauthorized = errors.New("access denied")
	ErrRateLimited  = errors.New("too many requests")
	ErrUnreachable  = errors.New("registry not reachable")
	ErrNoPlatform   = errors.New("image not available for this platform")
	// ErrCorrupt: an image contradicts itself: wrong digests or sizes, entries that are not allowed.
	ErrCorrupt = errors.New("damaged or hostile image")
	// ErrLimit: an image has more entries or bytes than Options.Limits allow.
	ErrLimit = errors.New("image exceeds the limit")
)

// Error is what went wrong with an image as a whole.
type Error struct {
	Op  string // "pull", "open"
	Ref string
	Err error // wraps one of the sentinels where one fits
}

func (e *Error) Error() string { return fmt.Sprintf("%s %s: %v", e.Op, e.Ref, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Hint says what a person can do about it, or nothing.
func (e *Error) Hint() string {
	switch {
	case errors.Is(e.Err, ErrReference):
		return "write docker://NAME:TAG, oci:FOLDER, oci-archive:FILE or docker-archive:FILE"
	case errors.Is(e.Err, ErrNotFound):
		return "check the name and the tag; a tag may have been removed by its owner"
	case errors.Is(e.Err, ErrUnauthorized):
		return "the image is private or does not exist under this name; check the name, or log in to the registry"
	case errors.Is(e.Err, ErrRateLimited):
		return "the registry limits how much may be pulled without an account: wait, log in, or use a mirror"
	case errors.Is(e.Err, ErrUnreachable):
		return "check the network, the proxy settings and the registry's name"
	case errors.Is(e.Err, ErrNoPlatform):
		return "choose another platform or another tag"
	case errors.Is(e.Err, ErrCorrupt):
		return "pull it again; if that does not help, its maker must repair it"
	}
	return ""
}

// LayerError is what went wrong within a layer.
type LayerError struct {
	Layer string // digest, or diffID where an archive knows no digest
	Entry string // name as the layer has it; empty when it is not about one entry
	Err   error
}

func (e *LayerError) Error() string {
	if e.Entry == "" {
		return fmt.Sprintf("layer %s: %v", e.Layer, e.Err)
	}
	return fmt.Sprintf("layer %s: entry %q: %v", e.Layer, e.Entry, e.Err)
}

// Unwrap returns the cause.
func (e *LayerError) Unwrap() error { return e.Err }

// classify gives a registry's or the network's error the sentinel that fits.
func classify(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	if e, ok := errors.AsType[*transport.Error](err); ok {
		sentinel := map[int]error{
			http.StatusNotFound:        ErrNotFound,
			http.StatusUnauthorized:    ErrUnauthorized,
			http.StatusForbidden:       ErrUnauthorized,
			http.StatusTooManyRequests: ErrRateLimited,
		}[e.StatusCode]
		if sentinel != nil {
			return fmt.Errorf("%w (%w)", sentinel, err)
		}
		return err
	}
	_, isURL := errors.AsType[*url.Error](err)
	_, isNet := errors.AsType[net.Error](err)
	if isURL || isNet {
		return fmt.Errorf("%w (%w)", ErrUnreachable, err)
	}
	return err
}
