package ext

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"carrel/engine/tree"

	"golang.org/x/sys/unix"
)

// collector keeps a tree in memory, with files' bytes.
type collector map[string]collected

type collected struct {
	tree.Entry
	body [sha256.Size]byte
}

func (c collector) Add(e tree.Entry, body io.Reader) error {
	n := collected{Entry: e}
	if body != nil {
		h := sha256.New()
		size, err := io.Copy(h, body)
		if err != nil {
			return fmt.Errorf("%s: %w", e.Path, err)
		}
		if size != e.Size {
			return fmt.Errorf("%s: %d of %d bytes", e.Path, size, e.Size)
		}
		h.Sum(n.body[:0])
	}
	c[e.Path] = n
	return nil
}

func collect(t *testing.T, s tree.Source) collector {
	t.Helper()
	c := collector{}
	if err := s.WriteTo(context.Background(), c); err != nil {
		t.Fatal(err)
	}
	return c
}

// sample fills a folder with what a root file system may hold.
func sample(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string, perm fs.FileMode) {
		t.Helper()
		p := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), perm), os.Chmod(p, perm)); err != nil {
			t.Fatal(err)
		}
	}
	write("singularity", "#!/bin/sh\nexec echo \"hello $@\"\n", 0o755)
	write("environment", "export FROM=2016\n", 0o644)
	write("etc/empty", "", 0o600)
	write("bin/setuid", "x", 0o4755)
	write("data/blocks", strings.Repeat("0123456789abcdef", 40_000), 0o644) // beyond the direct blocks
	for i := range 300 {
		write(fmt.Sprintf("many/a-rather-long-name-of-a-file-%04d", i), fmt.Sprint(i), 0o644)
	}
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("singularity", "short")
	link("/"+strings.Repeat("long/", 40)+"end", "long")
	link(strings.Repeat("s", 59), "fifty-nine")
	link(strings.Repeat("s", 60), "sixty")
	link("/etc", "data/absolute")
	if err := os.Link(filepath.Join(dir, "etc/empty"), filepath.Join(dir, "etc/other-name")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o640); err != nil {
		t.Fatal(err)
	}
	holes := filepath.Join(dir, "data/holes")
	f, err := os.Create(holes)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{5000, 300 << 10, 66 << 20} { // direct, double and triple indirect with blocks of 1 KiB
		if _, err := f.WriteAt([]byte("data"), at); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"user.short", "user.long"} {
		value := bytes.Repeat([]byte("v"), 3+200*i)
		if err := unix.Setxattr(filepath.Join(dir, "etc/empty"), name, value, 0); err != nil && err != unix.ENOTSUP {
			t.Fatal(err)
		}
	}
	return dir
}

// mke2fs makes an image of a folder and returns its path.
func mke2fs(t *testing.T, folder string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("mke2fs"); err != nil {
		t.Skip("missing: mke2fs")
	}
	out := filepath.Join(t.TempDir(), "image")
	args = append(append([]string{"-q", "-F", "-d", folder}, args...), out, "24M")
	if b, err := exec.Command("mke2fs", args...).CombinedOutput(); err != nil {
		t.Fatalf("mke2fs %q: %v\n%s", args, err, b)
	}
	return out
}

func openImage(t *testing.T, name string, offset int64) *Reader {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(io.NewSectionReader(f, offset, info.Size()-offset), info.Size()-offset)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var kinds = map[string][]string{
	"ext2":              {"-t", "ext2"},
	"ext3":              {"-t", "ext3"},
	"ext3, 4 KiB":       {"-t", "ext3", "-b", "4096"},
	"ext3, 128 B inode": {"-t", "ext3", "-b", "1024", "-I", "128"},
	"revision 0":        {"-t", "ext2", "-r", "0"},
	"ext4":              {"-t", "ext4"},
	"ext4, 1 KiB":       {"-t", "ext4", "-b", "1024"},
	"ext4, 64 bit":      {"-t", "ext4", "-O", "64bit,metadata_csum,^resize_inode"},
	"ext4, meta_bg":     {"-t", "ext4", "-O", "meta_bg,^resize_inode", "-b", "1024"},
	"ext4, inline data": {"-t", "ext4", "-O", "inline_data", "-I", "256"},
	"ext4, ea_inode":    {"-t", "ext4", "-O", "ea_inode"},
}

func TestReadsWhatMke2fsWrites(t *testing.T) {
	folder := sample(t)
	want := collect(t, tree.Dir(folder, tree.DirOptions{}))
	for name, args := range kinds {
		t.Run(name, func(t *testing.T) {
			r := openImage(t, mke2fs(t, folder, args...), 0)
			got := collect(t, r)
			compare(t, want, got, name == "revision 0")
		})
	}
}

// TestFileSystem lets the standard library try the fs.FS.
func TestFileSystem(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.MkdirAll(dir+"/a/b", 0o755), os.WriteFile(dir+"/a/b/file", []byte(strings.Repeat("text", 1000)), 0o644), os.Symlink("/a/b", dir+"/link")); err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(openImage(t, mke2fs(t, dir, "-t", "ext3"), 0).FS(), "a/b/file", "link"); err != nil {
		t.Error(err)
	}
}

func compare(t *testing.T, want, got collector, noXattrs bool) {
	t.Helper()
	for _, p := range slices.Sorted(maps.Keys(want)) {
		w, ok := want[p], false
		var g collected
		if g, ok = got[p]; !ok {
			t.Errorf("%s is missing", p)
			continue
		}
		if w.HardLink != "" || g.HardLink != "" {
			if w.HardLink != g.HardLink {
				t.Errorf("%s: link to %q, want %q", p, g.HardLink, w.HardLink)
			}
			continue
		}
		if g.Mode != w.Mode || g.Size != w.Size || g.Link != w.Link || g.ModTime.Unix() != w.ModTime.Unix() && p != "." || p != "." && (g.UID != w.UID || g.GID != w.GID) {
			t.Errorf("%s: got %+v, want %+v", p, g.Entry, w.Entry)
		}
		if g.body != w.body {
			t.Errorf("%s: other content", p)
		}
		if !noXattrs && !maps.EqualFunc(g.Xattrs, w.Xattrs, bytes.Equal) {
			t.Errorf("%s: attributes %q, want %q", p, g.Xattrs, w.Xattrs)
		}
	}
	for p := range got {
		if _, ok := want[p]; !ok {
			t.Errorf("%s is too much", p)
		}
	}
}

func TestFollowsLinksInside(t *testing.T) {
	fsys := openImage(t, mke2fs(t, sample(t), "-t", "ext3"), 0).FS()
	b, err := fs.ReadFile(fsys, "data/absolute/../short")
	if err == nil {
		t.Errorf("a name that is not valid gave %q", b)
	}
	if b, err = fs.ReadFile(fsys, "short"); err != nil || !strings.HasPrefix(string(b), "#!/bin/sh") {
		t.Errorf("short: %q, %v", b, err)
	}
	if info, err := fs.Stat(fsys, "data/absolute/empty"); err != nil || info.Mode() != 0o600 {
		t.Errorf("data/absolute/empty: %v, %v", info, err)
	}
	if _, err := fs.Stat(fsys, "data/nothing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("data/nothing: %v", err)
	}
}

// TestIndexedDirectory reads a directory that has an index, which e2fsck makes.
func TestIndexedDirectory(t *testing.T) {
	image := mke2fs(t, sample(t), "-t", "ext3", "-b", "1024", "-O", "dir_index")
	if _, err := exec.LookPath("e2fsck"); err != nil {
		t.Skip("missing: e2fsck")
	}
	_ = exec.Command("e2fsck", "-fyD", image).Run() // its status tells that it changed something
	r := openImage(t, image, 0)
	dir, err := r.Resolve("many", true)
	if err != nil {
		t.Fatal(err)
	}
	if dir.flags&0x1000 == 0 {
		t.Error("e2fsck made no index")
	}
	if list, err := r.ReadDir(dir); err != nil || len(list) != 300 {
		t.Errorf("%d entries, %v", len(list), err)
	}
}

// TestReplaysJournal writes a block into the journal only, by debugfs, and looks whether it is seen.
func TestReplaysJournal(t *testing.T) {
	if _, err := exec.LookPath("debugfs"); err != nil {
		t.Skip("missing: debugfs")
	}
	image := mke2fs(t, sample(t), "-t", "ext3", "-b", "1024")
	r := openImage(t, image, 0)
	in, err := r.Resolve("singularity", true)
	if err != nil {
		t.Fatal(err)
	}
	place, err := r.find(in, 0)
	if err != nil {
		t.Fatal(err)
	}
	block := filepath.Join(t.TempDir(), "block")
	newer := "#!/bin/sh\nexec echo \"newer $@\"\n"
	if err := os.WriteFile(block, append([]byte(newer), make([]byte, 1024-len(newer))...), 0o644); err != nil {
		t.Fatal(err)
	}
	commands := fmt.Sprintf("journal_open\njournal_write -b %d %s\njournal_close\n", place.block, block)
	cmd := exec.Command("debugfs", "-w", "-f", "-", image)
	cmd.Stdin = strings.NewReader(commands)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("debugfs: %v\n%s", err, out)
	}
	r = openImage(t, image, 0)
	if r.sb.incompat&incompatRecover == 0 {
		t.Skip("missing: debugfs that writes journals")
	}
	if clean, err := IsClean(r.r); clean || err != nil {
		t.Errorf("clean: %v, %v", clean, err)
	}
	b, err := fs.ReadFile(r.FS(), "singularity")
	if err != nil || string(b) != newer {
		t.Errorf("got %q, %v; want %q", b, err, newer)
	}
}

func TestRefusesWhatItCannotRead(t *testing.T) {
	image := mke2fs(t, sample(t), "-t", "ext3")
	good, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		make func([]byte) []byte
		want error
	}{
		{"empty", func([]byte) []byte { return nil }, ErrNotExt},
		{"zeros", func(b []byte) []byte { return make([]byte, len(b)) }, ErrNotExt},
		{"cut before the inodes", func(b []byte) []byte { return b[:4096] }, ErrCorrupt},
		{"huge blocks", func(b []byte) []byte { b[1024+24] = 60; return b }, ErrCorrupt},
		{"no inodes in a group", func(b []byte) []byte { clear(b[1024+40 : 1024+44]); return b }, ErrCorrupt},
		{"encrypted", func(b []byte) []byte { b[1024+98] |= 1; return b }, ErrFeature},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := tt.make(bytes.Clone(good))
			if _, err := Open(bytes.NewReader(b), int64(len(b))); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// FuzzRead changes bytes of an image and reads all of it: whatever comes, nothing may hang, panic or take all memory.
func FuzzRead(f *testing.F) {
	if _, err := exec.LookPath("mke2fs"); err != nil {
		f.Skip("missing: mke2fs")
	}
	dir := f.TempDir()
	if err := errors.Join(os.Mkdir(dir+"/d", 0o755), os.WriteFile(dir+"/d/file", []byte("text"), 0o644), os.Symlink("d", dir+"/link")); err != nil {
		f.Fatal(err)
	}
	var images [][]byte
	for _, kind := range []string{"ext2", "ext3", "ext4"} {
		out := filepath.Join(f.TempDir(), kind)
		size := "256k"
		if kind != "ext2" {
			size = "2M"
		}
		if b, err := exec.Command("mke2fs", "-q", "-F", "-t", kind, "-b", "1024", "-N", "16", "-d", dir, out, size).CombinedOutput(); err != nil {
			f.Fatalf("%v\n%s", err, b)
		}
		b, err := os.ReadFile(out)
		if err != nil {
			f.Fatal(err)
		}
		images = append(images, b)
	}
	for kind := range images {
		f.Add(uint8(kind), uint32(1024+24), []byte{1}, uint32(5000), []byte{0xff, 0xff})
	}
	f.Fuzz(func(t *testing.T, kind uint8, at uint32, change []byte, at2 uint32, change2 []byte) {
		b := bytes.Clone(images[int(kind)%len(images)])
		copy(b[int(at)%len(b):], change)
		copy(b[int(at2)%len(b):], change2)
		r, err := Open(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		_ = r.WriteTo(t.Context(), bounded{})
	})
}

// bounded reads at most a little of each file.
type bounded struct{}

func (bounded) Add(_ tree.Entry, body io.Reader) error {
	if body == nil {
		return nil
	}
	_, err := io.Copy(io.Discard, io.LimitReader(body, 1<<20))
	return err
}
