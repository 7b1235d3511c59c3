package shelf

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"golang.org/x/sys/unix"

	"carrel/internal/faultdisk"
)

// TestCompressions: an archive is taken with each of the usual compressions, whatever its name says.
func TestCompressions(t *testing.T) {
	z, err := gzip.NewReader(bytes.NewReader(tarball(t, map[string]string{"lab-main/page/Singularity": recipe + "Page", "lab-main/README": "x"})))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	pack := func(w io.WriteCloser, err error) {
		t.Helper()
		if err == nil {
			_, err = w.Write(plain)
			err = errors.Join(err, w.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var byZstd, byXZ bytes.Buffer
	e, err := zstd.NewWriter(&byZstd)
	pack(e, err)
	x, err := xz.NewWriter(&byXZ)
	pack(x, err)
	var data []byte
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(data) }))
	defer srv.Close()
	for name, whole := range map[string][]byte{"none": plain, "zstd": byZstd.Bytes(), "xz": byXZ.Bytes()} {
		s := newShelf(t)
		for _, cut := range []int{len(whole)/2 - 7, len(whole)} { // in a block of the archive, and all
			data = whole[:cut]
			_, err := s.Add(t.Context(), Request{Address: srv.URL + "/lab.tar.gz"})
			if (err == nil) != (cut == len(whole)) {
				t.Errorf("%s, %d of %d bytes: %v", name, cut, len(whole), err)
			}
		}
		if got := ids(t, s); got != "page" {
			t.Errorf("%s: entries %q", name, got)
		}
	}
}

// TestDiskFails: what cannot be kept is not half there, and an update that fails leaves what there was.
func TestDiskFails(t *testing.T) {
	text := "Page"
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write(tarball(t, map[string]string{"lab-main/page/Singularity": recipe + text, "lab-main/README": strings.Repeat("x", 10000)}))
	}))
	defer srv.Close()
	s := newShelf(t)
	var disk faultdisk.Disk
	disk.On(t, s.Dir)
	add := func() error {
		_, err := s.Add(t.Context(), Request{Address: srv.URL + "/lab.tar.gz", Name: "lab"})
		return err
	}
	title := func() string {
		sources, err := s.Sources()
		if err != nil || len(sources) != 1 {
			t.Fatal(sources, err)
		}
		data, err := os.ReadFile(filepath.Join(sources[0].Path, "page", "Singularity"))
		if err != nil {
			t.Fatal(err)
		}
		_, after, _ := strings.Cut(string(data), recipe)
		return after
	}
	for _, op := range []string{faultdisk.Write, faultdisk.Create, faultdisk.MakeDir, faultdisk.Rename} {
		disk.Fail(op, 1, true, syscall.EDQUOT)
		if err := add(); !errors.Is(err, unix.EDQUOT) {
			t.Errorf("add, %s fails: %v", op, err)
		}
		disk.Fail("", 0, false, 0)
		if list, err := s.List(); err != nil || len(list) != 0 {
			t.Errorf("add, %s failed: there is %v, %v", op, list, err)
		}
	}
	if err := add(); err != nil {
		t.Fatal(err)
	}
	for _, op := range []string{faultdisk.Write, faultdisk.Create, faultdisk.MakeDir, faultdisk.Rename} {
		text = "after " + op
		before := title()
		disk.Fail(op, 1, true, syscall.EDQUOT)
		if _, err := s.Update(t.Context(), "lab"); !errors.Is(err, unix.EDQUOT) {
			t.Errorf("update, %s fails: %v", op, err)
		}
		disk.Fail("", 0, false, 0)
		if got := title(); got != before {
			t.Errorf("update, %s failed: %q is there, not %q", op, got, before)
		}
		if _, err := s.Update(t.Context(), "lab"); err != nil || title() != text {
			t.Errorf("update after all: %q, %v", title(), err)
		}
	}
}

// TestBusy: who changes a catalog is alone, and one whose record is damaged is not in the way of the others.
func TestBusy(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "one/Singularity", recipe+"One")
	s := newShelf(t)
	for _, name := range []string{"mine", "other"} {
		if _, err := s.Add(t.Context(), Request{Address: dir, Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	free, err := s.lock("mine")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Update(t.Context(), "mine"); !errors.Is(err, ErrBusy) {
		t.Errorf("update: %v", err)
	}
	if err := s.Remove("mine"); !errors.Is(err, ErrBusy) {
		t.Errorf("remove: %v", err)
	}
	free()
	for _, name := range []string{"../mine", "", "none"} {
		if err := s.Remove(name); !errors.Is(err, ErrNotFound) {
			t.Errorf("remove %q: %v", name, err)
		}
	}
	if err := os.WriteFile(filepath.Join(s.Dir, "other", "source.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := s.List()
	if err == nil || len(list) != 1 || list[0].Name != "mine" {
		t.Errorf("list: %v, %v", list, err)
	}
}
