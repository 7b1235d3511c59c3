package inotify

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func newWatcher(t *testing.T) *Watcher {
	t.Helper()
	w, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

func TestEvents(t *testing.T) {
	w := newWatcher(t)
	dir := t.TempDir()
	wd, err := w.Add(dir, unix.IN_MOVED_TO)
	if err != nil {
		t.Fatal(err)
	}
	// Only renames are asked for: what is written wakes nobody.
	for _, name := range []string{"a", "b"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(filepath.Join(dir, "a"), filepath.Join(dir, "c")); err != nil {
		t.Fatal(err)
	}
	events, err := w.Wait(context.Background(), -1)
	if err != nil || len(events) != 1 || events[0] != (Event{Watch: wd, Mask: unix.IN_MOVED_TO, Name: "c"}) {
		t.Errorf("got %+v, %v", events, err)
	}
	w.Remove(wd)
	if _, err := w.Add(filepath.Join(dir, "missing"), unix.IN_MODIFY); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want ErrNotExist", err)
	}
}

func TestOtherReasonsToWake(t *testing.T) {
	w := newWatcher(t)
	r, p, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for name, wake := range map[string]func(){
		"wake":       w.Wake,
		"descriptor": func() { p.Close() },
	} {
		ctx, cancel := context.WithCancel(context.Background())
		go wake()
		further := []int{}
		if name == "descriptor" {
			further = append(further, int(r.Fd()))
		}
		if events, err := w.Wait(ctx, -1, further...); len(events) != 0 || err != nil {
			t.Errorf("%s: got %v, %v", name, events, err)
		}
		cancel()
	}
	ctx, cancel := context.WithCancel(context.Background())
	go cancel()
	if _, err := w.Wait(ctx, -1); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	if _, err := w.Wait(context.Background(), time.Millisecond); err != nil {
		t.Errorf("timeout: %v", err)
	}
	w.Close()
	w.Wake() // after Close: nothing
}
