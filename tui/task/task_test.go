package task

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	tea "charm.land/bubbletea/v2"

	"carrel/catalog"
	"carrel/engine"
)

var _ Engine = (*engine.Engine)(nil) // the real one is what the screens need

type answer struct {
	v   int
	err error
}

func TestCall(t *testing.T) {
	wrap := func(v int, err error) tea.Msg { return answer{v, err} }
	if got := Call(func() (int, error) { return 7, nil }, wrap)(); got != (answer{7, nil}) {
		t.Errorf("got %v", got)
	}
	got := Call(func() (int, error) { panic("lost") }, wrap)().(answer)
	var p *PanicError
	if !errors.As(got.err, &p) || p.Value != "lost" || p.Stack == "" || engine.Hint(got.err) == "" {
		t.Errorf("a panic becomes %v", got.err)
	}
	if m := Do(func() error { return os.ErrExist }, func(err error) tea.Msg { return err })(); !errors.Is(m.(error), os.ErrExist) {
		t.Errorf("got %v", m)
	}
}

type batch struct{ Batch[int] }

func next(s *Stream[int]) Batch[int] {
	return s.Next(func(b Batch[int]) tea.Msg { return batch{b} })().(batch).Batch
}

// Twenty thousand events become a few messages, in order and complete.
func TestStreamBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 20_000
		s := Run(t.Context(), func(ctx context.Context, emit func(int)) error {
			for i := range n {
				emit(i)
				if i%1000 == 0 {
					time.Sleep(5 * time.Millisecond)
				}
			}
			return os.ErrClosed
		})
		got, batches := 0, 0
		for {
			b := next(s)
			batches++
			for _, v := range b.Items {
				if v != got {
					t.Fatalf("got %d, want %d", v, got)
				}
				got++
			}
			if b.Done {
				if !errors.Is(b.Err, os.ErrClosed) {
					t.Errorf("ended with %v", b.Err)
				}
				break
			}
		}
		if got != n || batches > 12 {
			t.Errorf("%d events in %d batches", got, batches)
		}
		if b := next(s); !b.Done { // asking again does not hang
			t.Errorf("after the end: %v", b)
		}
	})
}

func TestStreamStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := Run(t.Context(), func(ctx context.Context, emit func(int)) error {
			emit(1)
			<-ctx.Done()
			return ctx.Err()
		})
		if b := next(s); len(b.Items) != 1 || b.Done {
			t.Errorf("got %v", b)
		}
		s.Stop()
		s.Wait()
		if b := next(s); !b.Done || !errors.Is(b.Err, context.Canceled) {
			t.Errorf("got %v", b)
		}
		var none *Stream[int]
		none.Stop()
		none.Wait()
	})
}

func TestStreamPanics(t *testing.T) {
	s := Run(context.Background(), func(context.Context, func(int)) error { panic("lost") })
	s.Wait()
	var p *PanicError
	if b := next(s); !b.Done || !errors.As(b.Err, &p) {
		t.Errorf("got %v", b)
	}
}

// While the terminal is with another program nobody takes events: the oldest go, and are counted.
func TestStreamLimit(t *testing.T) {
	const n = Limit * 2
	s := Run(context.Background(), func(_ context.Context, emit func(int)) error {
		for i := range n {
			emit(i)
		}
		return nil
	})
	s.Wait()
	got, dropped, last := 0, 0, 0
	for {
		b := next(s)
		if len(b.Items) > BatchLimit {
			t.Errorf("%d events in one batch", len(b.Items))
		}
		got, dropped = got+len(b.Items), dropped+b.Dropped
		if len(b.Items) > 0 {
			last = b.Items[len(b.Items)-1]
		}
		if b.Done {
			break
		}
	}
	if got+dropped != n || got > Limit+Limit/10 || last != n-1 {
		t.Errorf("%d events, %d dropped, the last is %d", got, dropped, last)
	}
}

func TestComplete(t *testing.T) {
	home := t.TempDir()
	for _, d := range []string{"papers/2026", "papers/2025", "pictures", ".hidden", "größe", "grün"} {
		if err := os.MkdirAll(filepath.Join(home, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(home, "paper.txt"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		text    string
		folders bool
		rest    string
		options []string
	}{
		{"", true, "", nil},
		{"~", true, "/", nil},
		{"~/pap", true, "ers/", nil},
		{"~/pap", false, "er", []string{"paper.txt", "papers/"}},
		{"~/p", true, "", []string{"papers/", "pictures/"}},
		{"~/papers/", true, "202", []string{"2025/", "2026/"}},
		{"~/.h", true, "idden/", nil},
		{"~/gr", true, "", []string{"größe/", "grün/"}},
		{"~/nothing", true, "", nil},
		{"~/nowhere/x", true, "", nil},
		{home + "/pic", true, "tures/", nil},
	}
	for _, tt := range tests {
		got := Complete(tt.text, home, tt.folders)
		if tt.text == "" { // the working directory: whatever is there
			if got.Rest != "" {
				t.Errorf("an empty field is completed with %q", got.Rest)
			}
			continue
		}
		if got.Rest != tt.rest || !reflect.DeepEqual(got.Options, tt.options) || got.Text != tt.text {
			t.Errorf("Complete(%q) = %q %q, want %q %q", tt.text, got.Rest, got.Options, tt.rest, tt.options)
		}
	}
}

func TestDefinition(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return p
	}
	good := write("app/Singularity", "Bootstrap: scratch\n%labels\n org.opencontainers.image.title My app\n")
	for _, p := range []string{good, filepath.Dir(good)} {
		if text, c, err := Definition(p); err != nil || c.Title != "My app" || text == "" {
			t.Errorf("%s: %q, %v", p, c.Title, err)
		}
	}
	if _, _, err := Definition(write("bad.def", "Bootstrap: scratch\n%psot\n echo\n")); err == nil || errors.Is(err, ErrNoDefinition) || !strings.Contains(err.Error(), "psot") {
		t.Errorf("a misspelt section: %v", err)
	}
	for _, p := range []string{write("image.sif", "#!/usr/bin/env run-singularity\n\x00SIF_MAGIC bootstrap:"), write("notes.txt", "to do"), dir, filepath.Join(dir, "nothing")} {
		if _, _, err := Definition(p); !errors.Is(err, ErrNoDefinition) {
			t.Errorf("%s: %v", p, err)
		}
	}
}

func TestLibrary(t *testing.T) {
	l := Library{Load: func(ctx context.Context) (*catalog.Catalog, error) {
		return catalog.Load(ctx, catalog.Internal(), catalog.Dir(filepath.Join(t.TempDir(), "missing")))
	}}
	got, err := l.Entries(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, e := range got {
		names[e.Name] = e.Err == nil
	}
	if !names["welcome"] {
		t.Errorf("the built-in catalog has no welcome: %v", names)
	}
	l.Load = func(context.Context) (*catalog.Catalog, error) { return nil, os.ErrPermission }
	if _, err := l.Entries(t.Context()); !errors.Is(err, os.ErrPermission) {
		t.Errorf("got %v", err)
	}
}
