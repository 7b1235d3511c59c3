package probe

import (
	"context"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestRun(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	before, err := os.ReadDir("/tmp")
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(ctx, true)
	if err != nil {
		t.Fatalf("Run: %v", err)
	}
	if r.Namespaces == nil {
		t.Fatal("Run made no trial of namespaces")
	}
	if !OK(r.Namespaces) {
		t.Skipf("missing: user namespaces (%v)", *r.Namespaces)
	}
	if !OK(r.Private) {
		t.Skipf("missing: capabilities in a user namespace (%v)", *r.Private)
	}
	for name, o := range map[string]Outcome{"FUSE": r.FUSE, "Overlay": r.Overlay, "Tap": r.Tap, "Veth": r.Veth} {
		if o == nil {
			t.Errorf("no trial of %s was made", name)
		}
	}
	// Opening the device from here, in the first namespace, has the same rights.
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err == nil {
		unix.Close(fd)
	}
	if OK(r.FUSE) != (err == nil) {
		t.Errorf("FUSE is %v, but opening it here gives %v", r.FUSE, err)
	}
	after, err := os.ReadDir("/tmp")
	if err != nil {
		t.Fatal(err)
	}
	for _, left := range []string{"lower", "upper", "work", "root", "fuse"} {
		if has(after, left) && !has(before, left) {
			t.Errorf("/tmp/%s is left behind", left)
		}
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, true); err == nil {
		t.Error("Run with an ended context gives no error")
	}
}

func has(entries []os.DirEntry, name string) bool {
	for _, e := range entries {
		if e.Name() == name {
			return true
		}
	}
	return false
}

func BenchmarkRun(b *testing.B) {
	for b.Loop() {
		if _, err := Run(b.Context(), true); err != nil {
			b.Fatal(err)
		}
	}
}
