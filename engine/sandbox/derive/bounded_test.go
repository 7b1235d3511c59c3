package derive

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"carrel/engine/sandbox/plan"
)

// folder is a tree of files in a folder without links.
type folder string

func (f folder) Mode(name string) (uint32, error) {
	return here{}.Mode(filepath.Join(string(f), name))
}
func (f folder) Names(dir string) ([]string, error) {
	return here{}.Names(filepath.Join(string(f), dir))
}
func (f folder) Open(name string) (io.ReadCloser, error) {
	return os.Open(filepath.Join(string(f), name))
}

// TestEndlessScript: a script of an image that takes time or memory without end is left to a process in the container.
func TestEndlessScript(t *testing.T) {
	for _, tc := range []struct {
		script string
		want   error
	}{
		{"export A=b\n", nil},
		{"while :; do :; done\n", ErrImpure},
		{"A=abcdefgh\nwhile :; do A=$A$A; done\n", ErrImpure},
	} {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, envDir), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, envDir, "10-x.sh"), []byte(tc.script), 0o644); err != nil {
			t.Fatal(err)
		}
		p := &plan.Process{Action: &plan.Action{Name: "exec", Args: []string{"true"}}}
		if _, _, err := (Root{Files: folder(dir), Outside: true}).Process(p, func(s string) { t.Error(s) }); !errors.Is(err, tc.want) {
			t.Errorf("%q: %v", tc.script, err)
		}
	}
}
