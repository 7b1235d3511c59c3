package e2e

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// lab is an image of an app that serves one page, for all tests of a run: the first that needs it builds it.
var lab struct {
	sync.Mutex
	dir, image string
}

// Lab puts the image of the app "lab" at a path of the home; its definition is in testdata. Without a mirror the test is
// skipped.
func (h *Home) Lab(name string) string {
	h.t.Helper()
	Mirror(h.t)
	lab.Lock()
	defer lab.Unlock()
	if lab.image == "" {
		dir, err := os.MkdirTemp("", "carrel-lab-")
		if err != nil {
			h.t.Fatal(err)
		}
		lab.dir = dir
		from, err := filepath.Abs("testdata/lab.def")
		if err != nil {
			h.t.Fatal(err)
		}
		image := filepath.Join(dir, "lab.sif")
		r := h.Must("build", image, from)
		h.t.Logf("the image of lab was built in %v", r.Took.Round(time.Millisecond))
		lab.image = image
	}
	path := h.Path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := copyFile(lab.image, path); err != nil {
		h.t.Fatal(err)
	}
	return path
}

// Known makes the home one of somebody who has seen the introduction, with the app "lab" among their images.
func (h *Home) Known() {
	h.t.Helper()
	h.Write(".local/state/carrel/welcomed", "")
	h.Lab(".local/share/carrel/images/lab.sif")
}

// removeLab tidies up after all tests.
func removeLab() error {
	if lab.dir == "" {
		return nil
	}
	return os.RemoveAll(lab.dir)
}

// Read is the text of a file in the home folder; empty while it is not there.
func (h *Home) Read(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(h.Path(name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return string(data)
}
