package oci

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"carrel/engine/tree"

	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Every hostile or damaged layer ends in an error that names the layer, and the entry where it is about one.
func TestHostileLayers(t *testing.T) {
	header := func(h tar.Header) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		w.Close()
		return b.Bytes()
	}
	good := tarOf(t, "a/", "a/b=hello")
	bomb := tarOf(t, item("zeros="+strings.Repeat("\x00", 1<<20)))
	rows := []struct {
		name  string
		data  []byte
		limit Limits
		want  error
		entry string
	}{
		{"absolute", header(tar.Header{Name: "/etc/passwd"}), Limits{}, ErrCorrupt, "/etc/passwd"},
		{"dot dot", header(tar.Header{Name: "../../etc/passwd"}), Limits{}, ErrCorrupt, "../../etc/passwd"},
		{"dot dot inside", header(tar.Header{Name: "a/../../b"}), Limits{}, ErrCorrupt, "a/../../b"},
		{"hard link out", header(tar.Header{Name: "x", Typeflag: tar.TypeLink, Linkname: "../../etc/shadow"}), Limits{}, ErrCorrupt, "x"},
		{"hard link to nothing", tarOf(t, "x => nowhere"), Limits{}, ErrCorrupt, "x"},
		{"hard link to a directory", tarOf(t, "d/", "x => d"), Limits{}, ErrCorrupt, "x"},
		{"hard links in a circle", tarOf(t, "x => y", "y => x"), Limits{}, ErrCorrupt, "y"},
		{"root is a file", header(tar.Header{Name: "."}), Limits{}, ErrCorrupt, "."},
		{"empty link", header(tar.Header{Name: "l", Typeflag: tar.TypeSymlink}), Limits{}, ErrCorrupt, "l"},
		{"links in a circle", tarOf(t, "a -> b", "b -> a", "a/x"), Limits{}, ErrCorrupt, "a/x"},
		{"file as a folder", tarOf(t, "a", "a/x"), Limits{}, ErrCorrupt, "a/x"},
		{"whiteout of everything", header(tar.Header{Name: ".wh."}), Limits{}, ErrCorrupt, ".wh."},
		{"whiteout of the parent", header(tar.Header{Name: "a/.wh..."}), Limits{}, ErrCorrupt, "a/.wh..."},
		{"unknown type", header(tar.Header{Name: "x", Typeflag: 'Z'}), Limits{}, ErrCorrupt, "x"},
		{"owner", header(tar.Header{Name: "x", Uid: 1 << 40, Format: tar.FormatPAX}), Limits{}, ErrCorrupt, "x"},
		{"cut tar", good[:len(good)-1024-510], Limits{}, ErrCorrupt, "a/b"},
		{"no tar", bytes.Repeat([]byte("no tar "), 300), Limits{}, ErrCorrupt, ""},
		{"bomb", bomb, Limits{Bytes: 1 << 19}, ErrLimit, "zeros"},
		{"entries", good, Limits{Entries: 1}, ErrLimit, "a/b"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			_, err := flatten(t, Options{Limits: row.limit}, layerOf(t, row.data))
			if !errors.Is(err, row.want) {
				t.Fatalf("got %v, want %v", err, row.want)
			}
			var e *LayerError
			if !errors.As(err, &e) || e.Entry != row.entry || !strings.HasPrefix(e.Layer, "sha256:") {
				t.Errorf("got %v, want entry %q", err, row.entry)
			}
		})
	}
}

func TestDamagedCompression(t *testing.T) {
	plain := tarOf(t, item("a="+strings.Repeat("hello ", 10000)))
	zip := func(b []byte) []byte {
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		w.Write(b)
		w.Close()
		return z.Bytes()
	}
	zipped := zip(plain)
	flipped := bytes.Clone(zipped)
	flipped[len(flipped)/2] ^= 0x55
	rows := []struct {
		name       string
		compressed []byte
	}{
		{"cut", zipped[:len(zipped)-20]},
		{"flipped", flipped},
		{"other content", zip(tarOf(t, "b"))},
		{"zstd rubbish", []byte("\x28\xb5\x2f\xfdrubbish rubbish")},
		{"bzip2", []byte("BZh9rubbish")},
		{"empty", nil},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			_, err := flatten(t, Options{}, &rawLayer{row.compressed, plain, types.OCILayer})
			var e *LayerError
			if !errors.As(err, &e) || !errors.Is(err, ErrCorrupt) && row.name != "bzip2" {
				t.Errorf("got %v, want a LayerError with ErrCorrupt", err)
			}
		})
	}
}

func TestUncompressedLayer(t *testing.T) {
	plain := tarOf(t, "a", "b")
	got, err := flatten(t, Options{}, &rawLayer{plain, plain, types.OCIUncompressedLayer})
	if err != nil || len(got.nodes) != 2 {
		t.Errorf("got %v, %v", got.list(), err)
	}
}

// failing is a sink that fails at its n-th entry.
type failing struct{ n int }

var errSink = errors.New("no space left")

func (f *failing) Add(e tree.Entry, body io.Reader) error {
	if f.n--; f.n < 0 {
		return errSink
	}
	return nil
}

func TestSinkErrorNamesTheEntry(t *testing.T) {
	m := open(t, push(t, serve(t), imageOf(t, layerOf(t, tarOf(t, "a/", "a/b", "c")))), Options{})
	err := m.WriteTo(t.Context(), &failing{n: 1})
	var e *LayerError
	if !errors.Is(err, errSink) || !errors.As(err, &e) || e.Entry != "a/b" || errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}

// A download that stands still does not hold up the end of a failed or cancelled unpacking.
func TestStalledDownload(t *testing.T) {
	random := make([]byte, 4<<20) // does not compress
	rand.NewChaCha8([32]byte{}).Read(random)
	ref := push(t, serve(t), imageOf(t, layerOf(t, tarOf(t, "a", item("big="+string(random))))))
	stall := func(n int, r *http.Response) {
		if n > 1 { // 1 is the configuration
			r.Body = &stalling{io.LimitReader(r.Body, 2<<20), r.Request.Context()}
		}
	}
	m := open(t, ref, Options{Transport: &recorder{spoil: stall}})
	if err := m.WriteTo(t.Context(), &failing{}); !errors.Is(err, errSink) {
		t.Errorf("failing sink: got %v", err)
	}
	m = open(t, ref, Options{Transport: &recorder{spoil: stall}}) // without what has come, which would be completed first
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := m.WriteTo(ctx, cancelling{cancel}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}

type stalling struct {
	io.Reader
	ctx context.Context
}

func (s *stalling) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	if err == io.EOF {
		<-s.ctx.Done()
		return n, s.ctx.Err()
	}
	return n, err
}

func (s *stalling) Close() error { return nil }

// cancelling cancels at its first entry.
type cancelling struct{ cancel context.CancelFunc }

func (c cancelling) Add(tree.Entry, io.Reader) error { c.cancel(); return nil }

func TestCancel(t *testing.T) {
	big := item("big=" + strings.Repeat("x", 8<<20))
	m := open(t, push(t, serve(t), imageOf(t, layerOf(t, tarOf(t, "a")), layerOf(t, tarOf(t, "b", big, "c")))), Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := m.WriteTo(ctx, cancelling{cancel}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func FuzzLayer(f *testing.F) {
	f.Add(tarOf(f, "a/", "a/b=1", "l -> a", "l/c", "h => a/b"), tarOf(f, "a/.wh.b", "a/.wh..wh..opq", "l/d", "x => h"))
	f.Add(tarOf(f, "t=1", "h => t", "i => h"), tarOf(f, ".wh.t", ".wh.h"))
	f.Fuzz(func(t *testing.T, lower, upper []byte) {
		m := &Image{Ref: "fuzz", opts: Options{Limits: Limits{Bytes: 1 << 24, Entries: 1000}}, store: folderStore(t.TempDir())}
		for _, b := range [][]byte{lower, upper} {
			id, _ := (&rawLayer{plain: b}).DiffID()
			m.Layers = append(m.Layers, Layer{DiffID: id.String(), Size: int64(len(b)),
				open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }})
		}
		sink := newMemory()
		if err := m.WriteTo(context.Background(), sink); err != nil {
			return
		}
		for p, n := range sink.nodes {
			if p != "." && hasDotDot(p) {
				t.Errorf("path %q", p)
			}
			if n.entry.Path != "" && hasDotDot(n.entry.Path) {
				t.Errorf("entry %+v", n.entry)
			}
		}
	})
}

func TestManyEntriesInBoundedMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("missing: time (not run by -short)")
	}
	const n = 200_000
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := range n {
		w.WriteHeader(&tar.Header{Name: fmt.Sprintf("directory-%03d/file-%06d", i/1000, i), Mode: 0o644})
	}
	w.Close()
	count := &counting{}
	m := open(t, push(t, serve(t), imageOf(t, layerOf(t, b.Bytes()))), Options{})
	if err := m.WriteTo(t.Context(), count); err != nil {
		t.Fatal(err)
	}
	if count.n != n {
		t.Errorf("got %d entries, want %d", count.n, n)
	}
}

// TestUsualLimits: what an image may unpack to grows with what was downloaded.
func TestUsualLimits(t *testing.T) {
	for _, tt := range []struct{ stored, limit, want int64 }{
		{1000, 0, 10 << 30}, {100 << 20, 0, 100_000 << 20}, {1 << 62, 0, 1 << 40}, {1000, 5, 5},
	} {
		b := newBudget(Limits{Bytes: tt.limit}, tt.stored)
		if err := b.take(tt.want); err != nil {
			t.Errorf("%+v: %v", tt, err)
		}
		if err := b.take(1); !errors.Is(err, ErrLimit) || hintOf(&Error{"unpack", "x", err}) == "" {
			t.Errorf("%+v: one more gives %v", tt, err)
		}
	}
}

type counting struct{ n int }

func (c *counting) Add(tree.Entry, io.Reader) error { c.n++; return nil }
