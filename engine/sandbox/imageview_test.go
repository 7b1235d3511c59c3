package sandbox

import (
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"carrel/engine/fuse"
	"carrel/engine/sandbox/plan"
	"carrel/engine/squashfs"
	"carrel/engine/tree"
)

// TestViewsAgree: what a path means does not depend on whether the layer is a folder or an image.
func TestViewsAgree(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"a/b", "usr/lib", "etc"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "etc/file"), []byte("content"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{
		"lib": "usr/lib", "abs": "/a/b", "up": "../../a/./b", "a/b/back": "../../etc", "nowhere": "none/at/all", "a/file": "/etc/file", "loop": "loop", "a/root": "/",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	folder, err := openFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.close()
	image := imageView{os.DirFS(dir)}
	for _, name := range []string{
		"/", "/a", "/a/b", "/a/b/", "/lib", "/lib/x/y", "/abs/new", "/up/new/er", "/abs/back/file", "/abs/back/other", "/nowhere", "/nowhere/x", "/a/file",
		"/etc/file/x", "/loop", "/loop/x", "/a/root/etc/new", "/none", "/none/of/these", "/a/../b", "/a/./b", "/abs/back/../etc",
	} {
		want, werr := folder.place(name)
		got, gerr := image.place(name)
		for i := range want.dirs {
			want.dirs[i].uid = 0 // an image's owner is whom the server says
		}
		if want.miss == 0 {
			got.dirs = nil // needed for what is missing only
		}
		if len(got.dirs) == 0 && len(want.dirs) == 0 {
			got.dirs, want.dirs = nil, nil
		}
		if (werr == nil) != (gerr == nil) || werr == nil && !reflect.DeepEqual(got, want) {
			t.Errorf("%s: image %+v %v, folder %+v %v", name, got, gerr, want, werr)
		}
	}
	for name, want := range map[string]string{"/etc/file": "content", "/etc/none": ""} {
		if got, err := image.read(name); string(got) != want || err != nil {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
	if _, err := image.read("/etc"); err != errUnusual {
		t.Errorf("a folder was read: %v", err)
	}
}

// TestForkedImage runs a program out of an image that this process serves, without an init.
func TestForkedImage(t *testing.T) {
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("missing: access to /dev/fuse (%v)", err)
	}
	f.Close()
	p := newPlan(t, "/bin/sh", "-c", "cat /proc/1/comm /etc/mark; echo new >/etc/mark; cat /etc/mark; exit 3")
	dir := p.Layers[0].Folder
	if err := os.MkdirAll(filepath.Join(dir, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "etc/mark"), []byte("old\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	img := squash(t, dir)
	p.Layers = []plan.Layer{{FUSE: true}}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	uid, gid := os.Getuid(), os.Getgid()
	k := startForked(t, Config{
		Plan: p, Stdout: w, Note: func(text string) { t.Error(text) },
		Look: func(int) fs.FS { return img.FS() },
		Serve: func(_, fd int) error {
			return fuse.Serve(context.Background(), fd, img, fuse.Options{OneOwner: true, UID: uint32(uid), GID: uint32(gid)})
		},
	})
	w.Close()
	out, err := io.ReadAll(r)
	if err != nil || strings.Join(strings.Fields(string(out)), " ") != "carrel-init old new" {
		t.Errorf("got %q, %v", out, err)
	}
	if status, err := k.Wait(); status != 3 || err != nil {
		t.Errorf("status %d, %v", status, err)
	}
}

// squash makes an image of a folder.
func squash(t *testing.T, dir string) *squashfs.Reader {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	w, err := squashfs.NewWriter(f, squashfs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if err := tree.Dir(dir, tree.DirOptions{}).WriteTo(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	stats, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	img, err := squashfs.Open(f, stats.PaddedSize, squashfs.ReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return img
}
