package ext

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"carrel/engine/tree"
)

// forest is a tree in memory.
type forest struct {
	entries []tree.Entry
	bodies  map[string][]byte
}

func (s *forest) add(e tree.Entry, body []byte) {
	if e.ModTime.IsZero() && e.HardLink == "" {
		e.ModTime = time.Unix(1_700_000_000, 0)
	}
	if e.Type() == tree.TypeRegular && e.HardLink == "" {
		if s.bodies == nil {
			s.bodies = map[string][]byte{}
		}
		s.bodies[e.Path] = body
		e.Size = int64(len(body))
	}
	s.entries = append(s.entries, e)
}

func (s *forest) WriteTo(_ context.Context, sink tree.Sink) error {
	for _, e := range s.entries {
		var body io.Reader
		if e.IsRegular() {
			body = bytes.NewReader(s.bodies[e.Path])
		}
		if err := sink.Add(e, body); err != nil {
			return err
		}
	}
	return nil
}

// everything has each kind of entry, contents of each depth of pointers that is quick to write, and odd names.
func everything() *forest {
	s := &forest{}
	file := func(p string, mode uint32, body []byte) {
		s.add(tree.Entry{Path: p, Mode: tree.TypeRegular | mode}, body)
	}
	s.add(tree.Entry{Path: ".", Mode: tree.TypeDir | 0o755}, nil)
	s.add(tree.Entry{Path: "upper", Mode: tree.TypeDir | 0o1777, UID: 70000, GID: 80000, Xattrs: map[string][]byte{"trusted.overlay.opaque": []byte("y")}}, nil)
	s.add(tree.Entry{Path: "work", Mode: tree.TypeDir | 0o755}, nil)
	file("upper/empty", 0o644, nil)
	file("upper/small", 0o4755, []byte("hello\n"))
	r := rand.New(rand.NewPCG(1, 2))
	for _, blocks := range []int{1, 12, 13, 12 + 1024, 12 + 1024 + 2000} {
		b := make([]byte, blocks*writeBlock-blocks%7)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		file(fmt.Sprintf("upper/blocks%d", blocks), 0o600, b)
	}
	holes := make([]byte, 3<<20)
	copy(holes[1<<20:], "in the middle")
	copy(holes[len(holes)-5:], "ended")
	file("upper/holes", 0o644, holes)
	s.add(tree.Entry{Path: "upper/gone", Mode: tree.TypeChar}, nil)
	s.add(tree.Entry{Path: "upper/null", Mode: tree.TypeChar | 0o666, Major: 1, Minor: 3}, nil)
	s.add(tree.Entry{Path: "upper/disk", Mode: tree.TypeBlock | 0o660, Major: 259, Minor: 70000}, nil)
	s.add(tree.Entry{Path: "upper/pipe", Mode: tree.TypeFifo | 0o600}, nil)
	s.add(tree.Entry{Path: "upper/socket", Mode: tree.TypeSocket | 0o600}, nil)
	s.add(tree.Entry{Path: "upper/link", Mode: tree.TypeSymlink | 0o777, Link: "../somewhere"}, nil)
	s.add(tree.Entry{Path: "upper/longlink", Mode: tree.TypeSymlink | 0o777, Link: strings.Repeat("long/", 50) + "x"}, nil)
	s.add(tree.Entry{Path: "upper/second", HardLink: "upper/small"}, nil)
	file("upper/attributes", 0o644, []byte("x"))
	s.entries[len(s.entries)-1].Xattrs = map[string][]byte{
		"user.note": bytes.Repeat([]byte("n"), 300), "security.capability": {1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, "user.empty": {},
	}
	for i := range 300 {
		file(fmt.Sprintf("upper/many/%s-%03d", strings.Repeat("n", i%200), i), 0o644, []byte{byte(i)})
	}
	s.add(tree.Entry{Path: "upper/time", Mode: tree.TypeRegular, ModTime: time.Unix(5_000_000_000, 123456789)}, []byte("later"))
	file("upper/ünï cödé", 0o644, []byte("name"))
	return s
}

func writeFile(t testing.TB, source tree.Source, o WriteOptions) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "image.ext3")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := Write(context.Background(), f, source, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	return name
}

// written are the options of these tests.
var written = WriteOptions{Size: 64 << 20, Time: time.Unix(1_700_000_000, 0), UUID: [16]byte{1, 2, 3}}

type gathered struct {
	entry tree.Entry
	body  string
}

type gathering map[string]gathered

func (c gathering) Add(e tree.Entry, body io.Reader) error {
	k := gathered{entry: e}
	k.entry.ModTime = e.ModTime.UTC()
	if body != nil {
		b, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		k.body = string(b)
	}
	c[e.Path] = k
	return nil
}

// TestWriteIsReadBack: what is written is what the reader finds, which the other tests hold to mke2fs.
func TestWriteIsReadBack(t *testing.T) {
	source := everything()
	name := writeFile(t, source, written)
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	st, _ := f.Stat()
	if st.Size() != written.Size {
		t.Errorf("%d bytes, want %d", st.Size(), written.Size)
	}
	r, err := Open(f, st.Size())
	if err != nil {
		t.Fatal(err)
	}
	got, want := gathering{}, gathering{}
	if err := r.WriteTo(context.Background(), got); err != nil {
		t.Fatal(err)
	}
	if err := source.WriteTo(context.Background(), want); err != nil {
		t.Fatal(err)
	}
	// The folder that the source does not name, and which of a file's names is met first.
	want["upper/many"] = gathered{entry: tree.Entry{Path: "upper/many", Mode: tree.TypeDir | 0o755, ModTime: written.Time.UTC()}}
	small := want["upper/small"]
	small.entry.Path = "upper/second"
	want["upper/second"], want["upper/small"] = small, gathered{entry: tree.Entry{Path: "upper/small", HardLink: "upper/second", ModTime: time.Time{}.UTC()}}
	for p, w := range want {
		g, ok := got[p]
		if !ok {
			t.Errorf("%s is missing", p)
			continue
		}
		if len(w.entry.Xattrs) > 0 {
			w.entry.Xattrs = maps.Clone(w.entry.Xattrs)
			for name, value := range g.entry.Xattrs {
				if bytes.Equal(value, w.entry.Xattrs[name]) {
					w.entry.Xattrs[name] = value // an empty one has two forms
				}
			}
		}
		if !reflect.DeepEqual(g, w) {
			t.Errorf("%s: got %+v, want %+v", p, g.entry, w.entry)
		}
	}
	for p := range got {
		if _, ok := want[p]; !ok && p != "lost+found" {
			t.Errorf("%s came from nowhere", p)
		}
	}
	again := writeFile(t, source, written)
	if a, b := bytesOf(t, name), bytesOf(t, again); !bytes.Equal(a, b) {
		t.Error("the same tree gave other bytes")
	}
}

func bytesOf(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestWriteSatisfiesTheChecker: e2fsck finds nothing to say, at sizes of one and of many groups, also of trees that do not fit.
func TestWriteSatisfiesTheChecker(t *testing.T) {
	fsck, err := exec.LookPath("e2fsck")
	if err != nil {
		t.Skip("missing: e2fsck")
	}
	many := &forest{}
	for i := range 6000 {
		many.add(tree.Entry{Path: fmt.Sprintf("d%d/f%d", i%40, i), Mode: tree.TypeRegular | 0o644}, []byte{byte(i)})
	}
	for _, tc := range []struct {
		name   string
		source tree.Source
		size   int64
	}{
		{"empty", &forest{}, 16 << 20},
		{"everything", everything(), 64 << 20},
		{"does not fit", everything(), 1 << 20},
		{"many small files", many, 8 << 20},
		{"several groups", everything(), 700<<20 + 12345},
		{"a small last group", &forest{}, 128<<20 + 100*4096},
		{"large", &forest{}, 9 << 30},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := written
			o.Size = tc.size
			name := writeFile(t, tc.source, o)
			if out, err := exec.Command(fsck, "-f", "-n", name).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestWriteTakesTheLastOfEach: a later entry replaces an earlier one, whose other names keep it.
func TestWriteTakesTheLastOfEach(t *testing.T) {
	s := &repeated{}
	s.add("a", "first")
	s.entries = append(s.entries, tree.Entry{Path: "b", HardLink: "a"})
	s.add("dir/x", "below")
	s.add("a", "second")
	s.entries = append(s.entries, tree.Entry{Path: "dir", Mode: tree.TypeChar})
	s.add("gone", "x")
	s.add("gone", "y")
	name := writeFile(t, s, written)
	r := openImage(t, name, 0)
	for p, want := range map[string]string{"a": "second", "b": "first", "gone": "y"} {
		if got, err := fs.ReadFile(r.FS(), p); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", p, got, err)
		}
	}
	if info, err := fs.Stat(r.FS(), "dir"); err != nil || info.Mode()&fs.ModeCharDevice == 0 {
		t.Errorf("dir: %v, %v", info, err)
	}
	if fsck, err := exec.LookPath("e2fsck"); err == nil {
		if out, err := exec.Command(fsck, "-f", "-n", name).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

// repeated gives paths more than once.
type repeated struct {
	entries []tree.Entry
	bodies  map[int]string
}

func (s *repeated) add(p, body string) {
	if s.bodies == nil {
		s.bodies = map[int]string{}
	}
	s.bodies[len(s.entries)] = body
	s.entries = append(s.entries, tree.Entry{Path: p, Mode: tree.TypeRegular | 0o644, Size: int64(len(body))})
}

func (s *repeated) WriteTo(_ context.Context, sink tree.Sink) error {
	for i, e := range s.entries {
		var body io.Reader
		if e.IsRegular() {
			body = strings.NewReader(s.bodies[i])
		}
		if err := sink.Add(e, body); err != nil {
			return err
		}
	}
	return nil
}

func TestWriteRefuses(t *testing.T) {
	dirs, names, attributes := &forest{}, &forest{}, &forest{}
	for i := range maxSubdirs + 1 {
		dirs.add(tree.Entry{Path: fmt.Sprintf("d%d", i), Mode: tree.TypeDir | 0o755}, nil)
	}
	names.add(tree.Entry{Path: "first", Mode: tree.TypeRegular}, nil)
	for i := range maxNames + 1 {
		names.add(tree.Entry{Path: fmt.Sprintf("n%d", i), HardLink: "first"}, nil)
	}
	attributes.add(tree.Entry{Path: "x", Mode: tree.TypeRegular, Xattrs: map[string][]byte{"user.x": make([]byte, 5000)}}, nil)
	for _, tc := range []struct {
		name   string
		source tree.Source
		want   error
	}{
		{"subfolders", dirs, ErrTooMany},
		{"names of a file", names, ErrTooMany},
		{"attributes", attributes, ErrAttributes},
		{"a tree that changes", &changing{}, ErrChanged},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, err := os.Create(filepath.Join(t.TempDir(), "x"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := Write(context.Background(), f, tc.source, written); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

// changing gives a file that is longer each time.
type changing struct{ times int64 }

func (c *changing) WriteTo(_ context.Context, sink tree.Sink) error {
	c.times++
	return sink.Add(tree.Entry{Path: "x", Mode: tree.TypeRegular, Size: c.times}, bytes.NewReader(make([]byte, c.times)))
}
