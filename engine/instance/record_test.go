package instance

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"carrel/internal/faultdisk"
)

// FuzzRecord reads state files that were damaged: an app whose state cannot be read is not in the way of the others.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"name":"app","state":"ready","pid":1,"machine":{},"pid_start":1,"addresses":[{}]}`))
	f.Add([]byte(`{"name":"../x","state":"\u001b[2J","pid":-1,"control":"x"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		root := t.TempDir()
		good := put(t, root, "good", nil)
		bad := filepath.Join(root, "bad")
		if err := os.Mkdir(bad, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(bad, stateFile), data, 0o600); err != nil {
			t.Fatal(err)
		}
		all, err := List(root)
		found := false
		for _, in := range all {
			found = found || in.Name == filepath.Base(good)
			if in.Name != "good" && in.Name != "bad" {
				t.Errorf("an app %q", in.Name)
			}
		}
		if !found {
			t.Errorf("the other app is not found any more: %v", err)
		}
		_, _ = Get(root, "bad") // an error says what is wrong
	})
}

// TestRecordOnFailingDisk: where no file can be made or renamed any more, a state is written all the same, also a shorter one,
// and who watches is told.
func TestRecordOnFailingDisk(t *testing.T) {
	root := filepath.Join(t.TempDir(), "disk")
	var disk faultdisk.Disk
	disk.On(t, root)
	for _, op := range []string{faultdisk.Rename, faultdisk.Create} {
		disk.Fail("", 0, false, 0)
		dir := put(t, root, "app", nil)
		r, err := readRecord(dir)
		if err != nil {
			t.Fatal(err)
		}
		changes, err := Watch(t.Context(), root)
		if err != nil {
			t.Fatal(err)
		}
		disk.Fail(op, 1, true, syscall.EDQUOT)
		for _, problem := range []string{"", strings.Repeat("long ", 1000), "short"} {
			r.Problem = problem
			if err := r.write(dir, false); err != nil {
				t.Fatalf("%s fails: %v", op, err)
			}
			<-changes
			if got, err := readRecord(dir); err != nil || got.Problem != problem {
				t.Errorf("%s fails: read %.20q, %v; want %.20q", op, got.Problem, err, problem)
			}
		}
		if _, hits := disk.Counts(); hits == 0 {
			t.Errorf("%s did not fail", op)
		}
	}
}
