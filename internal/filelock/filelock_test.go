package filelock

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	var files [2]*os.File
	for i := range files {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files[i] = f
	}
	if err := Lock(files[0], unix.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	if err := Lock(files[1], unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
		t.Errorf("a second lock: %v", err)
	}
	if Free(files[1]) {
		t.Error("what another holds is free")
	}
	if err := files[0].Close(); err != nil {
		t.Fatal(err)
	}
	if !Free(files[1]) {
		t.Error("what nobody holds is not free")
	}
}

// TestWithoutLocks: an error that says that there are none is none, and any other stays one.
func TestWithoutLocks(t *testing.T) {
	for err, want := range map[error]bool{unix.ENOLCK: true, unix.ENOSYS: true, unix.EOPNOTSUPP: true, unix.EWOULDBLOCK: false, unix.EBADF: false} {
		if none(err) != want {
			t.Errorf("%v: %v", err, none(err))
		}
	}
	f, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if Lock(f, unix.LOCK_EX) == nil || Free(f) {
		t.Error("a closed file can be locked")
	}
}

// TestOpenWhatHasTheName: a file that is replaced between opening and locking is not the one to change.
func TestOpenWhatHasTheName(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "file"), filepath.Join(dir, "new")
	for _, p := range []string{path, other} {
		if err := os.WriteFile(p, []byte(filepath.Base(p)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	defer func() { opened = func() {} }()
	opened = func() {
		opened = func() {}
		if err := os.Rename(other, path); err != nil {
			t.Fatal(err)
		}
	}
	f, err := Open(path, os.O_RDWR, unix.LOCK_EX|unix.LOCK_NB)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got := make([]byte, 3)
	if _, err := f.Read(got); err != nil || string(got) != "new" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := Open(path, os.O_RDWR, unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
		t.Errorf("a second lock: %v", err)
	}
	if _, err := Open(filepath.Join(dir, "none"), os.O_RDWR, unix.LOCK_EX); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing: %v", err)
	}
}
