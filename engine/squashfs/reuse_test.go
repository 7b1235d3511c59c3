package squashfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"carrel/engine/tree"
)

// software is a tree of all kinds of entries; about is what an image says of itself, in another part.
func software() objects {
	random := rand.New(rand.NewPCG(1, 2))
	noise := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.Uint32() % 50)
		}
		return b
	}
	es := objects{dir(".", 0o755), dir("bin", 0o755)}
	for i := range 60 {
		x := regular(fmt.Sprintf("bin/%02d", i), noise(random.IntN(3*MinBlockSize)))
		x.UID, x.GID = uint32(100-i%7), uint32(i%5)
		if i%9 == 0 {
			x.Xattrs = map[string][]byte{"user.number": fmt.Append(nil, 50-i/18)}
		}
		es = append(es, x)
	}
	holes := append(make([]byte, 5*MinBlockSize), noise(MinBlockSize+5)...)
	es = append(es,
		regular("again", es[40].data), regular("again2", es[41].data), regular("empty", nil), regular("holes", holes), regular("only holes", make([]byte, 3*MinBlockSize)),
		object{Entry: tree.Entry{Path: "hard", HardLink: "holes"}}, object{Entry: tree.Entry{Path: "hard2", HardLink: "bin/03"}},
		object{Entry: tree.Entry{Path: "symlink", Mode: tree.TypeSymlink | 0o777, Link: "bin/01", ModTime: time.Unix(7, 0)}},
		object{Entry: tree.Entry{Path: "whiteout", Mode: tree.TypeChar, ModTime: time.Unix(2e9, 0)}},
		dir("usr/share/empty", 0o700),
	)
	return es
}

func about(es objects, text string) objects {
	first := dir(".about", 0o755)
	first.Part = true
	label := regular(".about/labels", []byte(text))
	label.UID = uint32(len(text))
	return slices.Concat(objects{first}, objects{
		label, regular(".about/copy", es[20].data), regular(".about/copy2", es[41].data), regular(".about/long", bytes.Repeat([]byte(text+"\n"), 5000)),
		{Entry: tree.Entry{Path: ".about/hard", HardLink: "bin/05"}},
	})
}

func notAbout(p string) bool { return p != ".about" }

// reused makes an image that takes over what another one holds.
func reused(t *testing.T, old *Reader, keep func(string) bool, then tree.Source, opt Options) ([]byte, Stats) {
	t.Helper()
	m := new(memory)
	w, err := NewWriter(m, opt)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Reuse(t.Context(), old, keep); err != nil {
		t.Fatal(err)
	}
	if err := then.WriteTo(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	stats, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return m.b, stats
}

// TestReuse: an image that takes over the stored contents of another one is the same, byte for byte, as one packed anew.
func TestReuse(t *testing.T) {
	es := software()
	for _, opt := range []Options{{BlockSize: MinBlockSize}, {}, {Compression: Gzip, Level: 1, BlockSize: 2 * MinBlockSize}, {BlockSize: MinBlockSize, ClampTime: time.Unix(1e9, 0), ModTime: time.Unix(1e9, 0)}} {
		for _, texts := range [][2]string{{"a short text", "another"}, {"short", strings.Repeat("a long text", 100)}} {
			opt.Workers = 3
			first, _ := pack(t, slices.Concat(es, about(es, texts[0])), opt)
			fresh, want := pack(t, slices.Concat(es, about(es, texts[1])), opt)
			opt.Workers = 1
			again, got := reused(t, openBytes(t, first), notAbout, about(es, texts[1]), opt)
			if !bytes.Equal(fresh, again) {
				t.Fatalf("%+v: %d bytes packed anew, %d taken over: not the same", opt, len(fresh), len(again))
			}
			if got.Files != want.Files || got.DataSize != want.DataSize || got.Fragments != want.Fragments {
				t.Errorf("statistics %+v instead of %+v", got, want)
			}
			same(t, "taken over", list(t, openBytes(t, fresh)), list(t, openBytes(t, again)))
			third, _ := reused(t, openBytes(t, again), notAbout, about(es, texts[0]), opt)
			if !bytes.Equal(first, third) {
				t.Error("there and back is not the same")
			}
		}
	}
}

func TestReuseAll(t *testing.T) {
	es := software()
	want, _ := pack(t, es, Options{BlockSize: MinBlockSize})
	got, _ := reused(t, openBytes(t, want), func(string) bool { return true }, objects{}, Options{BlockSize: MinBlockSize})
	if !bytes.Equal(want, got) {
		t.Error("a copy is not the same")
	}
}

func TestNotReusable(t *testing.T) {
	es := software()
	image, _ := pack(t, es, Options{BlockSize: MinBlockSize})
	plain, _ := pack(t, es, Options{BlockSize: MinBlockSize, Compression: None})
	all := func(string) bool { return true }
	for name, tt := range map[string]struct {
		image []byte
		opt   Options
		begin objects
	}{
		"another block size": {image, Options{}, nil},
		"another compressor": {image, Options{BlockSize: MinBlockSize, Compression: Gzip}, nil},
		"no compressor":      {plain, Options{BlockSize: MinBlockSize, Compression: None}, nil},
		"begun":              {image, Options{BlockSize: MinBlockSize}, objects{regular("x", []byte("y"))}},
	} {
		m := new(memory)
		w, err := NewWriter(m, tt.opt)
		if err != nil {
			t.Fatal(err)
		}
		if err := tt.begin.WriteTo(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		if err := w.Reuse(t.Context(), openBytes(t, tt.image), all); !errors.Is(err, ErrNotReusable) {
			t.Errorf("%s: got %v", name, err)
		}
		w.Abort()
	}
	// the writer goes on as if it had not been asked
	m := new(memory)
	w, err := NewWriter(m, Options{Level: 5, BlockSize: 2 * MinBlockSize})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Reuse(t.Context(), openBytes(t, image), all); !errors.Is(err, ErrNotReusable) {
		t.Fatal(err)
	}
	if err := es.WriteTo(context.Background(), w); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if want, _ := pack(t, es, Options{Level: 5, BlockSize: 2 * MinBlockSize}); !bytes.Equal(want, m.b) {
		t.Error("after a refusal the image is not the same")
	}
	// interrupted
	w, err = NewWriter(new(memory), Options{BlockSize: MinBlockSize})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Reuse(ctx, openBytes(t, image), all); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// TestParts: contents are not shared between parts, so that the stored bytes of the first do not depend on the second.
func TestParts(t *testing.T) {
	es := software()
	alone, _ := pack(t, es, Options{BlockSize: MinBlockSize})
	both, _ := pack(t, slices.Concat(es, about(es, "text")), Options{BlockSize: MinBlockSize})
	one, two := openBytes(t, alone), openBytes(t, both)
	end := int(one.sb.inodeTable)
	if !bytes.Equal(alone[superblockSize:end], both[superblockSize:end]) {
		t.Error("the contents of the first part are stored in another way when a second follows")
	}
	same(t, "both", list(t, slices.Concat(es, about(es, "text"))), func() map[string]string {
		m := list(t, two)
		for _, p := range []string{"usr", "usr/share"} {
			delete(m, p)
		}
		return m
	}())
}
