package engine

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"time"

	"carrel/engine/share"
)

// Sharing is an image file that is being handed out; Close ends it.
type Sharing = share.Sharing

// ShareEvent is what happens while an image is handed out.
type ShareEvent = share.Event

// The kinds of ShareEvents.
const (
	ShareBegun  = share.Begun
	ShareAmount = share.Amount
	ShareTaken  = share.Taken
	ShareLeft   = share.Left
)

// ShareSpec is which image is handed out, and how long.
type ShareSpec struct {
	Image string // a name as Resolve takes it; it must be built, and a file
	// Address and Port are where it is served; an invalid address is that by which others reach this computer, 0 a free port.
	Address netip.Addr
	Port    uint16
	Times   int           // downloads after which it ends; 0 for any number
	For     time.Duration // time after which it ends; 0 for none
	Event   func(ShareEvent)
}

// FolderImageError is an image that is a folder where a file is needed.
type FolderImageError struct{ Path string }

func (e *FolderImageError) Error() string {
	return e.Path + " is a folder, and only a file can be sent"
}

// Hint says how to make a file of it.
func (e *FolderImageError) Hint() string {
	return "make a file of it: carrel build image.sif " + e.Path
}

// NotBuiltError is a catalog entry without an image.
type NotBuiltError struct{ Name string }

func (e *NotBuiltError) Error() string { return e.Name + " is not built yet" }

// Hint says how to build it.
func (e *NotBuiltError) Hint() string { return "build it first: carrel build " + e.Name }

// Share hands an image to somebody in the same network, at an address with a random word in it, until ctx ends, Close is
// called, or the spec says so. Its checksum is read first. The caller closes it.
func (e *Engine) Share(ctx context.Context, s ShareSpec) (*Sharing, error) {
	t, err := e.Resolve(ctx, s.Image)
	if err != nil {
		return nil, err
	}
	if !t.Built || t.Kind == TargetRemote {
		return nil, &NotBuiltError{t.Name}
	}
	st, err := os.Stat(t.Path)
	if err != nil {
		return nil, fmt.Errorf("share: %w", err)
	}
	if st.IsDir() {
		return nil, &FolderImageError{t.Path}
	}
	title := ""
	if c, err := e.Card(ctx, s.Image); err == nil {
		title = c.Title
	}
	return share.Start(ctx, share.Spec{Path: t.Path, Title: title, Address: s.Address, Port: s.Port, Times: s.Times, For: s.For, Event: s.Event})
}

// ErrNoNetwork is a computer that others cannot reach.
var ErrNoNetwork = share.ErrNoNetwork
