package build

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestOverlayRefersToNothing: a folder of the base that is renamed is in the changes as a whole, whatever the kernel's default
// is, and no attribute of theirs refers to the base.
func TestOverlayRefersToNothing(t *testing.T) {
	for _, userns := range []bool{false, true} {
		for _, o := range overlayForms(userns)[:2] {
			if !strings.HasSuffix(o, ",redirect_dir=off,metacopy=off") && !strings.HasSuffix(o, ",userxattr") {
				t.Errorf("options %q", o)
			}
		}
	}
	if os.Geteuid() != 0 {
		return // what follows needs to mount; builds of users are tested elsewhere
	}
	base := t.TempDir()
	lower := filepath.Join(base, "lower")
	if err := errors.Join(os.MkdirAll(filepath.Join(lower, "old"), 0o755), os.WriteFile(filepath.Join(lower, "old/file"), []byte("text"), 0o644)); err != nil {
		t.Fatal(err)
	}
	s := &stage{dir: base, root: filepath.Join(base, "root"), lowers: []string{lower}}
	if err := s.mount(false); err != nil {
		t.Fatal(err)
	}
	defer s.unmount()
	if err := os.Rename(filepath.Join(s.root, "old"), filepath.Join(s.root, "new")); !errors.Is(err, unix.EXDEV) {
		t.Errorf("a folder of the base was renamed in one step: %v", err) // programs copy it after this error
	}
	if err := os.Chmod(filepath.Join(s.root, "old/file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(s.upper(), "old/file")); err != nil || string(b) != "text" {
		t.Errorf("after chmod the changes have %q, %v", b, err)
	}
	for _, name := range []string{"trusted.overlay.redirect", "trusted.overlay.metacopy"} {
		for _, p := range []string{"old", "old/file"} {
			if n, err := unix.Lgetxattr(filepath.Join(s.upper(), p), name, nil); err == nil {
				t.Errorf("%s has %s of %d bytes", p, name, n)
			}
		}
	}
}
