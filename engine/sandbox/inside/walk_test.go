package inside

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRoute(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "a/b"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(root, "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{
		"abs": "/a/b", "rel": "a", "up": "../../../a", "self": "self", "x": "../x", "a/y": "../a/y", "a/z": "../a/b", "dangling": "a/none/further",
	} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	fd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for _, tc := range []struct{ path, names, missing string }{
		{"/a/b", "", ""},
		{"/", "", ""},
		{"/new", "", "new"},
		{"/a/new/c", "a", "new/c"},
		{"/abs/new", "a/b", "new"},
		{"/rel/new", "a", "new"},
		{"/up/new", "a", "new"},
		{"/a/z/new", "a/b", "new"},
		{"/dangling/x", "a", "none/further/x"},
		{"/a/../../new", "", "new"},
		{"/new/../../c", "", "c"},
		{"/self/new", "", ""},
		{"/x/new", "", ""},
		{"/a/y/new", "", ""},
	} {
		names, modes, missing := tree{root: fd}.route(tc.path)
		if got := strings.Join(names, "/"); got != tc.names || strings.Join(missing, "/") != tc.missing || len(names) != len(modes) {
			t.Errorf("%s: got %v %o %v, want %s, %s", tc.path, names, modes, missing, tc.names, tc.missing)
		}
		if len(modes) > 0 && modes[0] != 0o700 {
			t.Errorf("%s: mode %o", tc.path, modes[0])
		}
	}
}
