package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestHeatingOfShortCommands: the second command within a day has a copy made by a worker that nobody waits for.
func TestHeatingOfShortCommands(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("missing: an unprivileged user (root's images are mounted by the kernel)")
	}
	e := newEngine(t, nil)
	image := small(t, e, "%post\n  echo content > /file\n")
	key, err := hotKey(image)
	if err != nil {
		t.Fatal(err)
	}
	o := heatOrder{Image: image, Dir: e.hotDir(), Key: key, Limit: e.hotLimit()}
	if _, out, err := output(t, e, shell(image, "cat /file")); out != "content\n" || err != nil {
		t.Fatalf("got %q %v", out, err)
	}
	if exists(e.hotDir()) {
		t.Error("a copy for an image that was used once")
	}
	for range 2 {
		if _, out, err := output(t, e, shell(image, "cat /file")); out != "content\n" || err != nil {
			t.Fatalf("got %q %v", out, err)
		}
		if f, err := o.begin(); !errors.Is(err, errBusy) {
			t.Errorf("no worker: %v", err)
			f.Close()
		}
	}
	eventually(t, "a copy", func() bool { return len(hotCopies(e.hotDir())) == 1 })
	eventually(t, "the end of the worker", func() bool {
		f, err := o.begin()
		if err != nil {
			return false
		}
		f.Close()
		return true
	})
	if _, out, err := output(t, e, shell(image, "cat /file")); out != "content\n" || err != nil {
		t.Errorf("from the copy: %q %v", out, err)
	}
}

func TestHeatingInTurns(t *testing.T) {
	o := heatOrder{Image: filepath.Join(t.TempDir(), "none"), Dir: t.TempDir(), Key: "key", Limit: 1000}
	first, err := o.begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.begin(); !errors.Is(err, errBusy) {
		t.Errorf("a second: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := o.turn(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting: %v", err)
	}
	first.Close()
	second, err := o.turn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
	if err := os.WriteFile(o.Image, []byte("no image"), 0o600); err != nil {
		t.Fatal(err)
	}
	order, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	if o.inVain() {
		t.Error("given up before it was tried")
	}
	if err := heatWorker(t.Context(), bytes.NewReader(order)); err == nil {
		t.Error("a copy of nothing")
	}
	higher := o
	higher.Limit++
	if !o.inVain() || higher.inVain() {
		t.Errorf("tried in vain: %v, with a higher limit: %v", o.inVain(), higher.inVain())
	}
	if err := coolDown(o.Dir, 0); err != nil || !o.inVain() {
		t.Errorf("the note is gone: %v", err)
	}
	old := time.Now().Add(-2 * hotRetry)
	if err := os.Chtimes(o.notPath(), old, old); err != nil {
		t.Fatal(err)
	}
	if o.inVain() {
		t.Error("given up for ever")
	}
	if err := coolDown(o.Dir, 0); err != nil || exists(o.notPath()) {
		t.Errorf("an old note stays: %v", err)
	}
}
