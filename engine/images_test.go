package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// A list is there before the images were read, in the order that stays; what was read once is not read again until the file
// has changed; and who is no longer waited for stops.
func TestListImages(t *testing.T) {
	base := t.TempDir()
	e, err := New(Config{DataDir: filepath.Join(base, "data"), StateDir: filepath.Join(base, "state"), CacheDir: filepath.Join(base, "cache")})
	if err != nil {
		t.Fatal(err)
	}
	box := func(i int) string { return filepath.Join(e.imageDir(), fmt.Sprintf("box-%d", i)) }
	for i := range 3 {
		if err := os.MkdirAll(filepath.Join(box(i), "bin"), 0o755); err != nil {
			t.Fatal(err)
		}
		when := time.Unix(int64(1_700_000_000+i*60), 0)
		if err := os.Chtimes(box(i), when, when); err != nil {
			t.Fatal(err)
		}
	}
	bad := filepath.Join(e.imageDir(), "half.sif")
	if err := os.WriteFile(bad, []byte("half of an image"), 0o644); err != nil {
		t.Fatal(err)
	}
	var first []ImageInfo
	list, err := e.ListImages(t.Context(), func(l []ImageInfo) {
		if first == nil {
			first = l
		}
	})
	names := func(l []ImageInfo) (out []string) {
		for _, m := range l {
			out = append(out, m.Name)
		}
		return out
	}
	if err != nil || !slices.Equal(names(first), names(list)) || !slices.Equal(names(list), []string{"half.sif", "box-2", "box-1", "box-0"}) {
		t.Fatalf("first %v, then %v, %v", names(first), names(list), err)
	}
	for i := range first {
		if first[i].Kind != "" || first[i].Problem != "" || (list[i].Kind == "") == (list[i].Problem == "") {
			t.Errorf("first %+v, then %+v", first[i], list[i])
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	if _, err := e.ListImages(ctx, func([]ImageInfo) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// What an image said of itself is kept as long as its file is the same.
func TestHeads(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.img")
	if err := os.WriteFile(path, []byte("one"), 0o644); err != nil {
		t.Fatal(err)
	}
	id, file := idOf(path)
	h := heads{of: map[string]head{path: {id, "sif", "amd64", "A title"}}}
	info := ImageInfo{Path: path}
	if !file || !h.known(&info) || info.Title != "A title" || info.Kind != "sif" || info.Arch != "amd64" {
		t.Errorf("%v, %+v", file, info)
	}
	if err := os.WriteFile(path, []byte("another"), 0o644); err != nil {
		t.Fatal(err)
	}
	if h.known(&ImageInfo{Path: path}) {
		t.Error("a file that was changed is taken for what it was")
	}
	if _, file := idOf(filepath.Dir(path)); file {
		t.Error("what is kept of a folder cannot be trusted: files in it may have changed")
	}
}
