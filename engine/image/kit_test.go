package image

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"carrel/engine/sif"
	"carrel/engine/squashfs"
	"carrel/engine/tree"
)

var testTime = time.Date(2026, 11, 22, 10, 57, 19, 0, time.UTC)

// write makes files in a folder: name → content, "dir/" a folder, "name -> target" a link.
func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if name[len(name)-1] == '/' {
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, ok := cutPrefix(content, "-> "); ok {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func cutPrefix(s, prefix string) (string, bool) {
	if len(s) >= len(prefix) && s[:len(prefix)] == prefix {
		return s[len(prefix):], true
	}
	return s, false
}

// shellRoot is a root file system with /bin/sh, cat and env of this machine and the libraries they need.
func shellRoot(t testing.TB) string {
	t.Helper()
	root := t.TempDir()
	libraries := regexp.MustCompile(`/\S+`)
	for _, program := range []string{"/bin/sh", "/bin/cat", "/usr/bin/env"} {
		out, err := exec.Command("ldd", program).Output()
		if err != nil {
			t.Skip("missing: ldd")
		}
		for _, file := range append(libraries.FindAllString(string(out), -1), program) {
			target := filepath.Join(root, file)
			if file == program {
				target = filepath.Join(root, "bin", filepath.Base(program))
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(target, b, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	return root
}

// partitionOf writes a source as a SquashFS.
func partitionOf(ctx context.Context, source tree.Source) sif.WritePartition {
	return func(w sif.Target, offset int64) (int64, error) {
		s, err := squashfs.NewWriter(w, squashfs.Options{Offset: offset})
		if err != nil {
			return 0, err
		}
		if err := source.WriteTo(ctx, s); err != nil {
			s.Abort()
			return 0, err
		}
		stats, err := s.Close()
		return stats.PaddedSize, err
	}
}

// packed is a folder as a source, owned by root.
func packed(root string) tree.Source {
	return tree.Dir(root, tree.DirOptions{MapOwner: tree.AllOwnedBy(0, 0)})
}

// sifOf makes an image of a root file system, as a build does.
func sifOf(t testing.TB, root string, definition string) string {
	t.Helper()
	r, err := os.OpenRoot(root)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	meta, err := ReadMetadata(&folderFS{r})
	if err != nil {
		t.Fatal(err)
	}
	document, err := meta.JSON()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "image.sif")
	err = sif.Create(t.Context(), path, sif.Contents{
		Definition: []byte(definition), Metadata: document, System: partitionOf(t.Context(), packed(root)), Time: testTime,
	})
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, path string) *Image {
	t.Helper()
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// sourceFunc is a source made of a function.
type sourceFunc func(tree.Sink) error

func (f sourceFunc) WriteTo(_ context.Context, sink tree.Sink) error { return f(sink) }
