package shelf

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fetched is what a web server answers in a fuzz test.
type fetched struct{ data []byte }

func (f *fetched) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/catalog") {
		_, _ = w.Write(f.data)
		return
	}
	_, _ = io.WriteString(w, "text")
}

// inside is an error of the test when a folder holds more than the one in which something was unpacked, or links.
func inside(t *testing.T, outer, dir string) {
	t.Helper()
	list, err := os.ReadDir(outer)
	if err != nil || len(list) > 1 {
		t.Errorf("beside the folder: %v, %v", list, err)
	}
	err = filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && d.Type()&os.ModeSymlink != 0 {
			t.Errorf("a link: %s", p)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// FuzzIndex reads indexes of web servers, and what they name.
func FuzzIndex(f *testing.F) {
	f.Add([]byte(`{"carrel-catalog":1,"files":[{"path":"a/Singularity","size":4,"sha256":"982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1"}]}`))
	f.Add([]byte(`{"carrel-catalog":1,"files":[{"path":"../x","size":4}]}`))
	page := &fetched{}
	server := httptest.NewServer(page)
	f.Cleanup(server.Close)
	f.Fuzz(func(t *testing.T, data []byte) {
		page.data = data
		outer := t.TempDir()
		dir := filepath.Join(outer, "copy")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		s := &Shelf{Dir: outer}
		_, _ = s.readIndex(t.Context(), server.URL+"/catalog.json", dir, "") // most are refused
		inside(t, outer, dir)
	})
}

// FuzzArchive unpacks packed folders of web servers.
func FuzzArchive(f *testing.F) {
	f.Add([]byte("PK\x05\x06"+strings.Repeat("\x00", 18)), true)
	f.Add(bytes.Repeat([]byte{0}, 1024), false)
	f.Add([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00"), false)
	f.Fuzz(func(t *testing.T, data []byte, zipped bool) {
		outer := t.TempDir()
		dir := filepath.Join(outer, "copy")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		u := unpacker{ctx: t.Context(), root: root, left: 1 << 20}
		if zipped {
			_ = u.zip(bytes.NewReader(data), dir) // most are refused
		} else {
			_ = u.tar(bytes.NewReader(data))
		}
		inside(t, outer, dir)
	})
}
