package rmtree

import (
	"os"
	"path/filepath"
	"testing"
)

func TestRemovesWhatHasNoPermissions(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tree")
	inner := filepath.Join(dir, "work", "work", "deep")
	if err := os.MkdirAll(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(inner, "file"), nil, 0); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{inner, filepath.Dir(inner), filepath.Dir(filepath.Dir(inner))} {
		if err := os.Chmod(d, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := Remove(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(dir); !os.IsNotExist(err) {
		t.Errorf("still there: %v", err)
	}
	if err := Remove(dir); err != nil {
		t.Errorf("nothing to remove: %v", err)
	}
}
