package look

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carrel/engine/image"
	"carrel/engine/squashfs"
	"carrel/engine/tree"
)

// bomb is an image of 40 folders within each other, each of which has the next one twice: a tree of 2^40 folders in a few
// kilobytes.
func bomb(t *testing.T) *image.Image {
	t.Helper()
	name := filepath.Join(t.TempDir(), "bomb.sqfs")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := squashfs.NewWriter(f, squashfs.Options{Compression: squashfs.None})
	if err != nil {
		t.Fatal(err)
	}
	const depth = 40
	at := ""
	for range depth {
		for _, twin := range []string{"a", "b"} {
			if err := w.Add(tree.Entry{Path: at + twin, Mode: tree.TypeDir | 0o755}, nil); err != nil {
				t.Fatal(err)
			}
		}
		at += "a/"
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	// A directory entry: offset of the inode, difference of its number, type, length of the name less one, name.
	twins := 0
	for i := 16; i+9 < len(b); i++ {
		if bytes.Equal(b[i-4:i+1], []byte{1, 0, 0, 0, 'a'}) && bytes.Equal(b[i+5:i+10], []byte{1, 0, 0, 0, 'b'}) {
			copy(b[i+1:i+5], b[i-8:i-4])
			twins++
		}
	}
	if twins != depth {
		t.Fatalf("%d twins", twins)
	}
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := image.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

type discard struct{ entries int }

func (d *discard) Add(_ tree.Entry, body io.Reader) error {
	if d.entries++; d.entries > 1000 {
		return fmt.Errorf("more than %d entries", d.entries)
	}
	return nil
}

// TestFolderAtManyPlaces: whoever walks through such an image ends with an error, and soon.
func TestFolderAtManyPlaces(t *testing.T) {
	m := bomb(t)
	fsys, err := m.FS()
	if err != nil {
		t.Fatal(err)
	}
	layered, err := image.Layered(m, bomb(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for name, walk := range map[string]func() error{
		"measure":        func() error { _, err := Measure(ctx, fsys, "/", nil); return err },
		"packages":       func() error { _, err := Packages(ctx, fsys); return err },
		"find":           func() error { _, _, err := Find(ctx, fsys, "/", "nothing", 0); return err },
		"compare":        func() error { _, err := Diff(ctx, fsys, fsys); return err },
		"measure layers": func() error { _, err := Measure(ctx, layered, "/", nil); return err },
		"stream layers":  func() error { return layered.(tree.Source).WriteTo(ctx, new(discard)) },
		"stream":         func() error { return m.WriteTo(ctx, new(discard)) },
		"copy": func() error {
			source, _, err := m.Subtree(ctx, "a", true)
			if err != nil {
				return err
			}
			return source.WriteTo(ctx, new(discard))
		},
	} {
		err := walk()
		if err == nil || strings.Contains(err.Error(), "more than") {
			t.Errorf("%s: %v", name, err)
		}
		if !strings.HasPrefix(name, "stream") && name != "copy" && !errors.Is(err, errTwice) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
