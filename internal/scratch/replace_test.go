package scratch

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestReplace: a folder or file takes the place of another, on a file system that can exchange them and on one that cannot,
// and nothing else is touched.
func TestReplace(t *testing.T) {
	real := exchange
	defer func() { exchange = real }()
	for name, swap := range map[string]func(a, b string) error{
		"exchange": real,
		"stepwise": func(string, string) error { return unix.EINVAL },
	} {
		for _, old := range []string{"", "file", "dir"} {
			for _, made := range []string{"file", "dir"} {
				t.Run(name+" "+made+" over "+old, func(t *testing.T) {
					exchange = swap
					in := t.TempDir()
					target, bystander := filepath.Join(in, "target"), filepath.Join(in, "target.old")
					put(t, bystander, "dir", "bystander")
					put(t, target, old, "old")
					dir, release, err := Folder(in, Beside)
					if err != nil {
						t.Fatal(err)
					}
					part := filepath.Join(dir, "image")
					put(t, part, made, "new")
					if err := Replace(part, target); err != nil {
						t.Fatal(err)
					}
					release()
					if got := content(t, target); got != "new" {
						t.Errorf("target holds %q", got)
					}
					if got := content(t, bystander); got != "bystander" {
						t.Errorf("what had the name before holds %q", got)
					}
					if left, err := os.ReadDir(in); err != nil || len(left) != 2 {
						t.Errorf("left behind: %v, %v", left, err)
					}
				})
			}
		}
	}
}

// TestReplaceFails: what was there is there still.
func TestReplaceFails(t *testing.T) {
	real := exchange
	defer func() { exchange = real }()
	exchange = func(string, string) error { return unix.EINVAL }
	in := t.TempDir()
	target := filepath.Join(in, "target")
	put(t, target, "dir", "old")
	if err := Replace(filepath.Join(in, "missing"), target); err == nil {
		t.Error("nothing took its place")
	}
	if err := stepwise(filepath.Join(in, "missing"), target); err == nil {
		t.Error("nothing took its place")
	}
	if got := content(t, target); got != "old" {
		t.Errorf("target holds %q", got)
	}
}

func put(t *testing.T, path, kind, text string) {
	t.Helper()
	var err error
	switch kind {
	case "file":
		err = os.WriteFile(path, []byte(text), 0o644)
	case "dir":
		if err = os.Mkdir(path, 0o755); err == nil {
			err = os.WriteFile(filepath.Join(path, "inside"), []byte(text), 0o644)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		path = filepath.Join(path, "inside")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
