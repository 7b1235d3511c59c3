package build

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"
)

// TestStateOfAFolder: the state is the same as long as nothing changes, whatever the number of processors, and another one after any change.
func TestStateOfAFolder(t *testing.T) {
	dir := t.TempDir()
	for i := range 40 {
		sub := filepath.Join(dir, strconv.Itoa(i%7), strconv.Itoa(i))
		if err := os.MkdirAll(sub, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(sub, "file"), []byte("text"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	state := func() string {
		t.Helper()
		s, err := statDigest(dir)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	file := filepath.Join(dir, "3", "10", "file")
	seen := map[string]string{state(): "the beginning"}
	old := runtime.GOMAXPROCS(1)
	if seen[state()] == "" {
		t.Error("one processor finds another state")
	}
	runtime.GOMAXPROCS(8)
	if seen[state()] == "" {
		t.Error("eight processors find another state")
	}
	runtime.GOMAXPROCS(old)
	for _, change := range []struct {
		name string
		do   func() error
	}{
		{"an older file", func() error { return os.Chtimes(file, time.Time{}, time.Unix(5, 0)) }},
		{"another mode", func() error { return os.Chmod(file, 0o600) }},
		{"a new name", func() error { return os.Rename(file, file+"2") }},
		{"a file more", func() error { return os.WriteFile(file, nil, 0o644) }},
		{"a folder less", func() error { return os.RemoveAll(filepath.Join(dir, "5", "5")) }},
	} {
		if err := change.do(); err != nil {
			t.Fatal(err)
		}
		s := state()
		if was := seen[s]; was != "" {
			t.Errorf("%s: the state is that of %s", change.name, was)
		}
		seen[s] = change.name
	}
	one, err := statDigest(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	if two, err := statDigest(file); err != nil || one == two {
		t.Errorf("a file: %s, then %s, %v", one, two, err)
	}
	if _, err := statDigest(filepath.Join(dir, "nothing")); !os.IsNotExist(err) {
		t.Errorf("nothing there: %v", err)
	}
}
