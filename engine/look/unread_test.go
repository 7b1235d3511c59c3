package look

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"carrel/engine/image"
)

// closed is a file system of which some paths may not be opened, whoever asks: root may read everything.
type closed struct {
	fs.FS
	paths []string
}

func (c closed) may(op, name string) error {
	for _, p := range c.paths {
		if name == p || strings.HasPrefix(name, p+"/") {
			return &fs.PathError{Op: op, Path: name, Err: fs.ErrPermission}
		}
	}
	return nil
}

func (c closed) Open(name string) (fs.File, error) {
	if err := c.may("open", name); err != nil {
		return nil, err
	}
	return c.FS.Open(name)
}

func (c closed) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := c.may("open", name); err != nil {
		return nil, err
	}
	return fs.ReadDir(c.FS, name)
}

func (c closed) Lstat(name string) (fs.FileInfo, error) { return fs.Lstat(c.FS, name) }
func (c closed) Stat(name string) (fs.FileInfo, error)  { return fs.Stat(c.FS, name) }
func (c closed) ReadLink(name string) (string, error)   { return fs.ReadLink(c.FS, name) }

func contentsOf(t *testing.T, files map[string]string) fs.FS {
	t.Helper()
	m, err := image.OpenFolder(onDisk(t, files))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	fsys, err := m.FS()
	if err != nil {
		t.Fatal(err)
	}
	return fsys
}

// TestUnread: what may not be read is told; everything else is there.
func TestUnread(t *testing.T) {
	status := "Package: libc6\nStatus: install ok installed\nVersion: 2.36\n"
	files := map[string]string{
		"var/lib/dpkg/status": status, "root/secret": "12345", "usr/lib/a": "aaa", "home/x/site-packages/n-1.dist-info/METADATA": "Name: n\nVersion: 1\n",
		"home/y/site-packages/m-2.dist-info/METADATA": "Name: m\nVersion: 2\n", "home/y/z/f": "f",
	}
	whole := contentsOf(t, files)
	part := closed{whole, []string{"root", "home/y/z", "home/y/site-packages/m-2.dist-info/METADATA"}}
	folders := Unread{"/home/y/z", "/root"}

	sizes, err := Measure(t.Context(), part, "/", nil)
	if err != nil || !slices.Equal(sizes.Unread, folders) {
		t.Errorf("sizes: without %v, %v", sizes.Unread, err)
	}
	all, err := Measure(t.Context(), whole, "/", nil)
	if err != nil || all.Unread != nil || all.Total.Files-sizes.Total.Files != 2 || all.Total.Size-sizes.Total.Size != 6 {
		t.Errorf("%+v instead of %+v, %v", sizes.Total, all.Total, err)
	}
	if _, err := Measure(t.Context(), part, "/root", nil); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("the folder itself: %v", err)
	}

	found, err := Packages(t.Context(), part)
	if want := (Unread{"/home/y/site-packages/m-2.dist-info/METADATA", "/home/y/z", "/root"}); err != nil || !slices.Equal(found.Unread, want) {
		t.Errorf("packages: without %v, %v", found.Unread, err)
	}
	if len(found.Packages) != 2 || found.Packages[0].Name != "libc6" || found.Packages[1].Name != "n" {
		t.Errorf("%+v", found.Packages)
	}
	found, err = Packages(t.Context(), closed{whole, []string{"var/lib/dpkg/status"}})
	if err != nil || !slices.Equal(found.Unread, Unread{"/var/lib/dpkg/status"}) || found.Notes != nil {
		t.Errorf("a database: without %v, %v, %v", found.Unread, found.Notes, err)
	}

	other := contentsOf(t, map[string]string{"var/lib/dpkg/status": status, "usr/lib/a": "bbb", "root/secret": "54321"})
	for _, sides := range [][2]fs.FS{{part, other}, {other, part}} {
		d, err := Diff(t.Context(), sides[0], sides[1])
		if want := (Unread{"/home/y/site-packages/m-2.dist-info/METADATA", "/home/y/z", "/root"}); err != nil || !slices.Equal(d.Unread, want) {
			t.Errorf("difference: without %v, %v", d.Unread, err)
		}
		if len(d.Files) != 2 || d.Files[0].Path != "/home" || d.Files[1].Path != "/usr/lib/a" {
			t.Errorf("%+v", d.Files)
		}
	}
	// A file of the same length that may not be read is neither equal nor different.
	d, err := Diff(t.Context(), closed{whole, []string{"usr/lib/a"}}, whole)
	if err != nil || len(d.Files) != 0 || !slices.Equal(d.Unread, Unread{"/usr/lib/a"}) {
		t.Errorf("%+v, %v", d, err)
	}

	if err := (Unread{}).Err(); err != nil {
		t.Error(err)
	}
	var e *UnreadError
	if err := sizes.Unread.Err(); !errors.As(err, &e) || !errors.Is(err, fs.ErrPermission) || e.Hint() == "" || !strings.Contains(err.Error(), "/home/y/z and 1 more") {
		t.Errorf("%v", err)
	}
}
