package engine

import (
	"os"
	"path/filepath"
	"testing"
)

// TestCopyEntryLinks: a link out of a foreign catalog does not bring the person's files into a build.
func TestCopyEntryLinks(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	for path, text := range map[string]string{filepath.Join(outside, "key"): "secret", filepath.Join(dir, "data"): "data"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"key": filepath.Join(outside, "key"), "up": "../" + filepath.Base(outside) + "/key", "folder": outside, "circle": ".", "inner": "data", "none": "nowhere"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	names := func(dst string) map[string]string {
		got := map[string]string{}
		all, _ := os.ReadDir(dst)
		for _, e := range all {
			data, _ := os.ReadFile(filepath.Join(dst, e.Name()))
			got[e.Name()] = string(data)
		}
		return got
	}
	foreign := filepath.Join(t.TempDir(), "copy")
	if err := copyEntry(foreign, root.FS(), ".", 0); err != nil {
		t.Fatal(err)
	}
	if got := names(foreign); len(got) != 2 || got["data"] != "data" || got["inner"] != "data" {
		t.Errorf("a foreign entry brought %v", got)
	}
	own := filepath.Join(t.TempDir(), "copy")
	if err := copyEntry(own, os.DirFS(dir), ".", 0); err != nil {
		t.Fatal(err)
	}
	if got := names(own); got["key"] != "secret" || len(got) != 4 {
		t.Errorf("a folder of one's own brought %v", got)
	}
}
