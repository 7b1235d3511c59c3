package squashfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"testing/iotest"
	"time"

	"carrel/engine/tree"
)

func TestAddErrors(t *testing.T) {
	file := func(p string, size int64) tree.Entry {
		return tree.Entry{Path: p, Mode: tree.TypeRegular | 0o644, Size: size}
	}
	big := int64(3*MinBlockSize + 1)
	tests := []struct {
		name  string
		entry tree.Entry
		body  io.Reader
		want  string
	}{
		{"short small", file("a/small", 10), strings.NewReader("123"), "a/small: file has 3 bytes instead of 10"},
		{"long small", file("a/small", 2), strings.NewReader("123"), "a/small: file has more than 2 bytes"},
		{"short large", file("a/large", big), bytes.NewReader(make([]byte, big-1)), "a/large: file has 12288 bytes instead of 12289"},
		{"long large", file("a/large", big), bytes.NewReader(make([]byte, big+1)), "a/large: file has more than 12289 bytes"},
		{"long empty", file("empty", 0), strings.NewReader("x"), "empty: file has more than 0 bytes"},
		{"read error", file("x", 5), iotest.ErrReader(errors.New("disk on fire")), "x: read: disk on fire"},
		{"no body", file("x", 5), nil, "without a body"},
		{"negative size", file("x", -1), nil, "negative size"},
		{"above the root", file("../x", 0), nil, "clean path"},
		{"absolute", file("/x", 0), nil, "clean path"},
		{"not clean", file("a//x", 0), nil, "clean path"},
		{"zero byte", file("a\x00x", 0), nil, "zero byte"},
		{"below a file", file("plain/x", 0), nil, "plain is not a directory"},
		{"long name", file(strings.Repeat("x", 256), 0), nil, "name of 256 bytes"},
		{"long directory", file(strings.Repeat("x", 256)+"/y", 0), nil, "name of 256 bytes"},
		{"root is a file", file(".", 0), nil, "root is not a directory"},
		{"no type", tree.Entry{Path: "x", Mode: 0o644}, nil, "unknown file type"},
		{"empty target", tree.Entry{Path: "x", Mode: tree.TypeSymlink}, nil, "target of 0 bytes"},
		{"huge device", tree.Entry{Path: "x", Mode: tree.TypeChar, Major: 4096}, nil, "device number"},
		{"link to nothing", tree.Entry{Path: "x", HardLink: "nothing"}, nil, "hard link to nothing: no such entry"},
		{"link to a directory", tree.Entry{Path: "x", HardLink: "d"}, nil, "directories have no hard links"},
		{"link below a file", tree.Entry{Path: "x", HardLink: "plain/y"}, nil, "no such entry"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w, err := NewWriter(new(memory), Options{BlockSize: MinBlockSize})
			if err != nil {
				t.Fatal(err)
			}
			defer w.Abort()
			if err := (objects{regular("plain", []byte("x")), dir("d", 0o755)}).WriteTo(t.Context(), w); err != nil {
				t.Fatal(err)
			}
			err = w.Add(tt.entry, tt.body)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if err2 := w.Add(dir("later", 0o755).Entry, nil); err2 != err {
				t.Errorf("after an error Add gives %v", err2)
			}
			if _, err2 := w.Close(); err2 != err {
				t.Errorf("after an error Close gives %v", err2)
			}
		})
	}
}

func TestBadOptions(t *testing.T) {
	for _, opt := range []Options{{BlockSize: 5000}, {BlockSize: 2 << 20}, {Level: 23}, {Level: -1}, {Compression: Gzip, Level: 10}, {Compression: XZ}, {Offset: -1}} {
		if _, err := NewWriter(new(memory), opt); err == nil {
			t.Errorf("%+v: no error", opt)
		}
	}
}

type failing struct{ left int }

func (f *failing) WriteAt(p []byte, off int64) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errors.New("no space")
	}
	return len(p), nil
}

func TestWriteError(t *testing.T) {
	for _, left := range []int{0, 1 << 16, 1 << 18} {
		w, err := NewWriter(&failing{left}, Options{Compression: None})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 40 {
			if err = w.Add(tree.Entry{Path: fmt.Sprint(i), Mode: tree.TypeRegular, Size: 200_000}, bytes.NewReader(bytes.Repeat([]byte{byte(i) + 1}, 200_000))); err != nil {
				break
			}
		}
		if _, err := w.Close(); err == nil || !strings.Contains(err.Error(), "no space") {
			t.Errorf("close: %v", err)
		}
	}
}

func TestReplacedEntries(t *testing.T) {
	src := objects{
		regular("dir/kept", []byte("kept")),
		regular("dir/old", []byte("old")),
		{Entry: tree.Entry{Path: "link", HardLink: "dir/old"}},
		regular("dir/old", []byte("new")), // the link stays what it was
		regular("gone/a/b/c", []byte("c")),
		regular("gone", []byte("now a file")),
		regular("file", []byte("x")),
		dir("file", 0o700), // now a directory
		regular("file/in", []byte("in")),
		{Entry: tree.Entry{Path: "dir", Mode: tree.TypeDir | 0o1777, UID: 7, ModTime: time.Unix(99, 0)}}, // keeps its children
	}
	b, _ := pack(t, src, Options{})
	r := openBytes(t, b)
	got := list(t, r)
	for p, want := range map[string]string{
		".": "40755 0:0", "dir": "41777 7:0 99", "dir/kept": "100644 0:0 1000000001 4 ", "dir/old": "100644 0:0 1000000001 3 ",
		"link": "100644 0:0 1000000001 3 ", "gone": "100644 0:0 1000000001 10 ", "file": "40700", "file/in": "100644",
	} {
		if !strings.HasPrefix(got[p], want) {
			t.Errorf("%s is %q, want %q", p, got[p], want)
		}
		delete(got, p)
	}
	if len(got) > 0 {
		t.Errorf("also there: %v", got)
	}
	for p, want := range map[string]string{"dir/old": "new", "link": "old"} {
		if b, err := fs.ReadFile(r.FS(), p); string(b) != want || err != nil {
			t.Errorf("%s is %q, %v", p, b, err)
		}
	}
}

func TestDuplicatesAreStoredOnce(t *testing.T) {
	data := noise(testRand(1), 5*MinBlockSize+77)
	small := data[:1000]
	src := objects{regular("a", data), regular("b", data), regular("c", data[:len(data)-1]), regular("s1", small), regular("s2", small)}
	for i := range 50 {
		src = append(src, regular(fmt.Sprint("again", i), data))
	}
	name := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := NewWriter(f, Options{BlockSize: MinBlockSize, Compression: None})
	if err != nil {
		t.Fatal(err)
	}
	if err := src.WriteTo(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	stats, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if stats.Duplicates != 52 || stats.Size > int64(3*len(data)) {
		t.Errorf("stats %+v", stats)
	}
	b, err := os.ReadFile(name)
	if err != nil || int64(len(b)) != stats.PaddedSize {
		t.Fatalf("file has %d bytes, %v; stats %+v", len(b), err, stats)
	}
	same(t, "image", withRoot(list(t, src), list(t, openBytes(t, b))), list(t, openBytes(t, b)))

	// Where nothing can be cut, what duplicates left behind is zero.
	m, stats2 := pack(t, src, Options{BlockSize: MinBlockSize, Compression: None})
	if stats2 != stats || !bytes.Equal(m[:stats.PaddedSize], b) || !allZero(m[stats.PaddedSize:]) {
		t.Errorf("in memory: %+v", stats2)
	}
}

// withRoot adds the root, which a source need not name.
func withRoot(want, got map[string]string) map[string]string {
	want["."] = got["."]
	return want
}

func TestClampTime(t *testing.T) {
	limit := time.Unix(1000, 0)
	src := objects{regular("late", nil), {Entry: tree.Entry{Path: "early", Mode: tree.TypeFifo, ModTime: time.Unix(10, 0)}},
		{Entry: tree.Entry{Path: "before", Mode: tree.TypeFifo, ModTime: time.Unix(-10, 0)}}}
	b, _ := pack(t, src, Options{ClampTime: limit})
	r := openBytes(t, b)
	sb := r.Superblock()
	if !sb.Time().Equal(limit) {
		t.Errorf("image is of %v", sb.Time())
	}
	for p, want := range map[string]int64{"late": 1000, "early": 10, "before": 0} {
		in, err := r.Resolve(p, false)
		if err != nil || in.Time().Unix() != want {
			t.Errorf("%s is of %v, %v", p, in.Time(), err)
		}
	}
}

func TestManyIDs(t *testing.T) {
	w, err := NewWriter(new(memory), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	for i := range uint32(maxIDs) {
		if err := w.Add(tree.Entry{Path: fmt.Sprint("f", i), Mode: tree.TypeFifo, UID: i + 1<<20, GID: 1 << 20}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Add(tree.Entry{Path: "x", Mode: tree.TypeFifo}, nil); err == nil {
		t.Error("65536 ids gave no error")
	}
}

func TestUnknownXattrsAreCounted(t *testing.T) {
	o := dir("d", 0o755)
	o.Xattrs = map[string][]byte{"system.posix_acl_access": {1}, "user.x": []byte("y")}
	b, stats := pack(t, objects{o}, Options{})
	if stats.SkippedXattrs != 1 || !strings.HasPrefix(stats.SkippedXattr, "system.posix_acl_access of ") {
		t.Errorf("stats %+v", stats)
	}
	r := openBytes(t, b)
	in, err := r.Resolve("d", false)
	if err != nil {
		t.Fatal(err)
	}
	attrs, err := r.Xattrs(in)
	if err != nil || len(attrs) != 1 || string(attrs["user.x"]) != "y" {
		t.Errorf("attributes %v, %v", attrs, err)
	}
}

func TestAbortEndsEverything(t *testing.T) {
	w, err := NewWriter(new(memory), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Add(regular("x", nil).Entry, nil); err != nil {
		t.Fatal(err)
	}
	w.Abort()
	w.Abort()
	if err := w.Add(regular("y", nil).Entry, nil); !errors.Is(err, errClosed) {
		t.Errorf("add: %v", err)
	}
	if _, err := w.Close(); !errors.Is(err, errClosed) {
		t.Errorf("close: %v", err)
	}
}

func TestFS(t *testing.T) {
	data := text(testRand(2), 3*DefaultBlockSize+5)
	src := objects{dir(".", 0o755), regular("a/b/large", data), regular("a/small", []byte("small")), dir("empty", 0o755), regular("a/empty", nil)}
	for i := range 2000 { // with a directory index
		src = append(src, regular(fmt.Sprintf("many/file-with-some-name-%04d", i), []byte(fmt.Sprint(i))))
	}
	for name, target := range map[string]string{
		"abs": "/a/b", "rel": "a/../a/small", "a/b/up": "../../../../a/small", "loop": "loop", "dangling": "nowhere", "chain": "abs/up",
	} {
		src = append(src, object{Entry: tree.Entry{Path: name, Mode: tree.TypeSymlink | 0o777, Link: target}})
	}
	b, _ := pack(t, src, Options{})
	fsys := openBytes(t, b).FS()
	plain := slices.DeleteFunc(slices.Clone(src), func(o object) bool { return o.Type() == tree.TypeSymlink })
	b2, _ := pack(t, plain, Options{})
	if err := fstest.TestFS(openBytes(t, b2).FS(), "a/b/large", "a/small", "empty", "a/empty", "many/file-with-some-name-1999"); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]string{
		"abs/large": string(data), "rel": "small", "a/b/up": "small", "chain": "small", "many/file-with-some-name-0777": "777",
	} {
		if got, err := fs.ReadFile(fsys, name); err != nil || string(got) != want {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	for name, want := range map[string]error{
		"loop": errLoop, "dangling": fs.ErrNotExist, "a/small/x": fs.ErrNotExist, "many/nothing": fs.ErrNotExist, "many/a": fs.ErrNotExist,
		"many/z": fs.ErrNotExist, "../x": fs.ErrInvalid, "loop/x": errLoop,
	} {
		if _, err := fs.Stat(fsys, name); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	if target, err := fs.ReadLink(fsys, "abs"); target != "/a/b" || err != nil {
		t.Errorf("read link: %q, %v", target, err)
	}
	if info, err := fs.Lstat(fsys, "loop"); err != nil || info.Mode().Type() != fs.ModeSymlink {
		t.Errorf("lstat: %v, %v", info, err)
	}
	f, err := fsys.Open("a/b/large")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := iotest.TestReader(f, data); err != nil {
		t.Error(err)
	}
}
