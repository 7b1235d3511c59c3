package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"carrel/internal/faultdisk"
)

func TestCommitReplacesAndCloseDiscards(t *testing.T) {
	creators := map[string]func(string, fs.FileMode) (*File, error){"unnamed": Create, "named": createNamed}
	for name, create := range creators {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			target := filepath.Join(dir, "x")
			if err := os.WriteFile(target, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := create(target, 0o755)
			if err != nil {
				t.Fatal(err)
			}
			f.WriteString("new")
			if got, _ := os.ReadFile(target); string(got) != "old" {
				t.Errorf("before commit: got %q, want old", got)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			assertDir(t, dir, "x", "old", 0o600)

			f, err = create(target, 0o755)
			if err != nil {
				t.Fatal(err)
			}
			f.WriteString("new")
			if err := f.Commit(); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Errorf("close after commit: %v", err)
			}
			if err := f.Commit(); !errors.Is(err, fs.ErrClosed) {
				t.Errorf("second commit: got %v, want fs.ErrClosed", err)
			}
			assertDir(t, dir, "x", "new", 0o755)
		})
	}
}

func TestFailedCommitLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "x")
	if err := os.MkdirAll(filepath.Join(target, "sub"), 0o755); err != nil { // a rename onto it fails
		t.Fatal(err)
	}
	err := WriteFile(target, []byte("new"), 0o644)
	if !errors.Is(err, syscall.EISDIR) && !errors.Is(err, syscall.EEXIST) {
		t.Errorf("got %v, want EISDIR", err)
	}
	if list, _ := os.ReadDir(dir); len(list) != 1 {
		t.Errorf("left behind: %v", list)
	}
}

func TestCreateInMissingFolder(t *testing.T) {
	if _, err := Create(filepath.Join(t.TempDir(), "none", "x"), 0o644); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
}

func assertDir(t *testing.T, dir, name, content string, perm fs.FileMode) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || list[0].Name() != name {
		t.Fatalf("folder holds %v, want only %s", list, name)
	}
	path := filepath.Join(dir, name)
	if got, _ := os.ReadFile(path); string(got) != content {
		t.Errorf("content: got %q, want %q", got, content)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != perm {
		t.Errorf("mode: got %v, want %v", info.Mode().Perm(), perm)
	}
}

// TestSweep: a named file that nobody holds is removed by the next one for the same target, and nothing else is.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "image")
	left := filepath.Join(dir, ".image.0123456789ab.partial")
	other := filepath.Join(dir, ".image.old.0123456789ab.partial")
	for _, p := range []string{left, other} {
		if err := os.WriteFile(p, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first, err := createNamed(target, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := createNamed(target, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if _, err := os.Lstat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a killed process left: %v", err)
	}
	if _, err := os.Lstat(other); err != nil {
		t.Errorf("what is written for another target: %v", err)
	}
	for _, f := range []*File{first, second} {
		if err := f.Commit(); err != nil {
			t.Errorf("a file that was being written: %v", err)
		}
	}
}

// TestDiskFails: whatever fails before the new content is safe, the target is as it was, and nothing is left beside it.
func TestDiskFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "disk")
	var disk faultdisk.Disk
	disk.On(t, dir)
	target := filepath.Join(dir, "x")
	for _, c := range []struct {
		op   string
		want syscall.Errno // 0 for none
	}{
		{faultdisk.Write, syscall.EDQUOT}, {faultdisk.Close, syscall.EDQUOT}, {faultdisk.Sync, syscall.EIO}, {faultdisk.Rename, syscall.EDQUOT},
		{faultdisk.Create, syscall.ENOSPC}, {faultdisk.Change, syscall.EIO}, {faultdisk.Short, 0},
	} {
		if err := os.WriteFile(target, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		disk.Fail(c.op, 1, false, max(c.want, 1))
		err := WriteFile(target, []byte("new"), 0o600)
		counts, hits := disk.Counts()
		disk.Fail("", 0, false, 0)
		want := "old"
		if c.want == 0 {
			want = "new"
			if err != nil {
				t.Errorf("%s: %v", c.op, err)
			}
		} else if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.op, err, c.want)
		}
		if hits != 1 {
			t.Errorf("%s failed %d times of %v", c.op, hits, counts)
		}
		assertDir(t, dir, "x", want, 0o600)
	}
}
