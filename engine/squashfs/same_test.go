package squashfs

import (
	"bytes"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"carrel/engine/tree"
)

// imageWith is an image of files by name.
func imageWith(t *testing.T, opt Options, files map[string][]byte) (*Reader, fs.FS) {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	w, err := NewWriter(f, opt)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range files {
		if err := w.Add(tree.Entry{Path: name, Mode: tree.TypeRegular | 0o644, Size: int64(len(b))}, bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
	}
	stats, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(f, stats.PaddedSize, ReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return r, r.FS()
}

func TestSameAndStored(t *testing.T) {
	text := bytes.Repeat([]byte("some text that is compressed well. "), 20_000)
	noise := make([]byte, 300_000)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	end := bytes.Clone(noise)
	end[len(end)-1]++
	begin := bytes.Clone(noise)
	begin[0]++
	holes := make([]byte, 400_000)
	files := map[string][]byte{"text": text, "noise": noise, "empty": nil, "small": []byte("small"), "holes": holes}
	a, one := imageWith(t, Options{}, files)
	_, two := imageWith(t, Options{}, map[string][]byte{"first": text[:1000], "text": text, "noise": noise, "empty": nil, "small": []byte("smalL"), "holes": holes})
	_, changed := imageWith(t, Options{}, map[string][]byte{"noise": end, "text": text[:len(text)-1]})
	_, begun := imageWith(t, Options{}, map[string][]byte{"noise": begin})
	_, other := imageWith(t, Options{Compression: Gzip}, files)
	for _, tt := range []struct {
		name string
		with fs.FS
		want bool
	}{
		{"text", two, true}, {"noise", two, true}, {"empty", two, true}, {"holes", two, true}, {"small", two, false},
		{"noise", changed, false}, {"text", changed, false}, {"noise", begun, false}, {"text", other, false}, {"text", os.DirFS("/"), false},
	} {
		x, err := fs.Stat(one, tt.name)
		if err != nil {
			t.Fatal(err)
		}
		y := x
		if _, isImage := tt.with.(*imageFS); isImage {
			if y, err = fs.Stat(tt.with, tt.name); err != nil {
				t.Fatal(err)
			}
		}
		if got := Same(one, x, tt.with, y); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
	for name, bounds := range map[string][2]int64{"text": {50, 20_000}, "noise": {299_000, 300_100}, "empty": {0, 0}, "small": {1, 100}, "holes": {0, 1000}} {
		info, err := fs.Stat(one, name)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := a.Stored(info.Sys().(*Inode)); err != nil || n < bounds[0] || n > bounds[1] {
			t.Errorf("%s takes %d bytes, %v; want %v", name, n, err, bounds)
		}
	}
}
