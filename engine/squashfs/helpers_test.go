package squashfs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"carrel/engine/tree"
)

// object is an entry with its contents, for tests.
type object struct {
	tree.Entry
	data []byte
}

// objects is a tree.Source over a list.
type objects []object

func (o objects) WriteTo(ctx context.Context, sink tree.Sink) error {
	for _, x := range o {
		var body io.Reader
		if x.IsRegular() {
			x.Size = int64(len(x.data))
			body = bytes.NewReader(x.data)
		}
		if err := sink.Add(x.Entry, body); err != nil {
			return err
		}
	}
	return nil
}

func dir(p string, mode uint32) object {
	return object{Entry: tree.Entry{Path: p, Mode: tree.TypeDir | mode, ModTime: time.Unix(1e9, 0)}}
}

func regular(p string, data []byte) object {
	return object{Entry: tree.Entry{Path: p, Mode: tree.TypeRegular | 0o644, ModTime: time.Unix(1e9+1, 0)}, data: data}
}

// listing is a sink that notes what it gets in a comparable form.
type listing struct {
	lines map[string]string
	group map[string][]string // first name → all names
	first map[string]string
}

func list(t testing.TB, src tree.Source) map[string]string {
	t.Helper()
	l := &listing{map[string]string{}, map[string][]string{}, map[string]string{}}
	if err := src.WriteTo(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	for first, names := range l.group {
		names = append(names, first)
		slices.Sort(names)
		line := l.lines[first] + " names " + strings.Join(names, ",")
		for _, n := range names {
			l.lines[n] = line
		}
	}
	return l.lines
}

func (l *listing) Add(e tree.Entry, body io.Reader) error {
	if e.HardLink != "" {
		first := e.HardLink
		if f, ok := l.first[first]; ok {
			first = f
		}
		l.first[e.Path] = first
		l.group[first] = append(l.group[first], e.Path)
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%o %d:%d %d", e.Mode, e.UID, e.GID, e.ModTime.Unix())
	switch e.Type() {
	case tree.TypeRegular:
		h := sha256.New()
		n, err := io.Copy(h, body)
		if err != nil {
			return err
		}
		if n != e.Size {
			return fmt.Errorf("%s: %d bytes instead of %d", e.Path, n, e.Size)
		}
		fmt.Fprintf(&b, " %d %x", e.Size, h.Sum(nil)[:8])
	case tree.TypeSymlink:
		fmt.Fprintf(&b, " -> %s", e.Link)
	case tree.TypeChar, tree.TypeBlock:
		fmt.Fprintf(&b, " %d:%d", e.Major, e.Minor)
	}
	for _, name := range slices.Sorted(maps.Keys(e.Xattrs)) {
		if name == "security.selinux" {
			continue
		}
		fmt.Fprintf(&b, " %s=%x", name, sha256.Sum256(e.Xattrs[name]))
	}
	l.lines[e.Path] = b.String()
	return nil
}

func same(t testing.TB, what string, want, got map[string]string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		if len(diff) > 4000 {
			diff = diff[:4000]
		}
		t.Fatalf("%s differs (-want +got):\n%s", what, diff)
	}
}

// memory is an io.WriterAt and io.ReaderAt.
type memory struct{ b []byte }

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	if need := int(off) + len(p); need > len(m.b) {
		m.b = append(m.b, make([]byte, need-len(m.b))...)
	}
	return copy(m.b[off:], p), nil
}

func pack(t testing.TB, src tree.Source, opt Options) ([]byte, Stats) {
	t.Helper()
	m := new(memory)
	w, err := NewWriter(m, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if err := src.WriteTo(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	stats, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return m.b, stats
}

func openBytes(t testing.TB, b []byte) *Reader {
	t.Helper()
	r, err := Open(bytes.NewReader(b), int64(len(b)), ReaderOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("missing: root")
	}
}

func needTool(t testing.TB, name string) string {
	t.Helper()
	p, err := exec.LookPath(name)
	if err != nil {
		t.Skip("missing: " + name)
	}
	return p
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func writeFile(t testing.TB, b []byte) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), "image.sqfs")
	if err := os.WriteFile(p, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}

// text is n bytes that compress somewhat.
func text(rng *rand.Rand, n int) []byte {
	words := []string{"carrel ", "notebook ", "experiment ", "image ", "data", "\n", "0", "1", "container ", "x"}
	var b []byte
	for len(b) < n {
		b = append(b, words[rng.IntN(len(words))]...)
	}
	return b[:n]
}

func noise(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// randomTree is a tree of all kinds of entries; the same for the same seed. Owners, devices and names of trusted and security
// attributes are only in it for root, as an unprivileged user cannot make them on disk.
func randomTree(seed uint64, blockSize int, asRoot bool) objects {
	rng := rand.New(rand.NewPCG(seed, 1))
	ids := []uint32{0}
	if asRoot {
		ids = []uint32{0, 1, 1000, 65534, 65535, 65536, 1 << 31, 1<<32 - 2}
	}
	dirs := []string{"."}
	var files []string
	var contents [][]byte
	all := objects{dir(".", 0o755)}
	for i := range 300 {
		parent := dirs[rng.IntN(len(dirs))]
		name := fmt.Sprintf("n%d-%s", i, strings.Repeat("é", rng.IntN(10)))
		if rng.IntN(20) == 0 {
			name += strings.Repeat("x", maxNameLen-len(name))
		}
		p := name
		if parent != "." {
			p = parent + "/" + name
		}
		o := object{Entry: tree.Entry{
			Path: p, Mode: 0o400 | uint32(rng.IntN(0o1000)), UID: ids[rng.IntN(len(ids))], GID: ids[rng.IntN(len(ids))],
			ModTime: time.Unix(rng.Int64N(1<<32), 0),
		}}
		switch kind := rng.IntN(20); {
		case kind < 4:
			if len(p) > 1000 {
				continue
			}
			o.Mode |= tree.TypeDir | 0o700
			if asRoot {
				o.Mode |= uint32(rng.IntN(8)) << 9
			}
			dirs = append(dirs, p)
		case kind < 6:
			o.Mode = tree.TypeSymlink | 0o777
			o.Link = "../" + strings.Repeat("target/", rng.IntN(30)) + "end"
		case kind == 6:
			o.Mode |= tree.TypeFifo
		case kind == 7:
			o.Mode |= tree.TypeSocket
		case kind == 8 && asRoot:
			o.Mode |= tree.TypeChar
			o.Major, o.Minor = uint32(rng.IntN(4096)), uint32(rng.IntN(1<<20))
		case kind == 9 && asRoot:
			o.Mode |= tree.TypeBlock
			o.Major, o.Minor = uint32(rng.IntN(4096)), uint32(rng.IntN(1<<20))
		case kind == 10 && len(files) > 0:
			all = append(all, object{Entry: tree.Entry{Path: p, HardLink: files[rng.IntN(len(files))]}})
			continue
		default:
			o.Mode |= tree.TypeRegular
			if asRoot {
				o.Mode |= uint32(rng.IntN(8)) << 9
			}
			switch rng.IntN(8) {
			case 0:
			case 1:
				o.data = noise(rng, rng.IntN(3*blockSize))
			case 2: // holes
				o.data = make([]byte, (rng.IntN(6)+1)*blockSize+rng.IntN(3))
				copy(o.data[rng.IntN(len(o.data)):], text(rng, blockSize))
			case 3:
				o.data = make([]byte, rng.IntN(4)*blockSize)
			case 4:
				o.data = text(rng, blockSize*(1+rng.IntN(4)))
			case 5:
				if len(contents) > 0 {
					o.data = contents[rng.IntN(len(contents))]
				}
			default:
				o.data = text(rng, rng.IntN(2*blockSize))
			}
			contents = append(contents, o.data)
			files = append(files, p)
		}
		if t := o.Type(); rng.IntN(5) == 0 && (t == tree.TypeDir || t == tree.TypeRegular) || asRoot && rng.IntN(8) == 0 {
			o.Xattrs = map[string][]byte{}
			o.Mode |= 0o200 // or unsquashfs could not set them as a user
			names := []string{"user.carrel", "user.overlay.opaque", "user.empty"}
			if asRoot {
				names = []string{"trusted.overlay.opaque", "trusted.x", "security.carrel"}
				if t == tree.TypeDir || t == tree.TypeRegular {
					names = append(names, "user.carrel", "user.overlay.redirect")
				}
			}
			for range 1 + rng.IntN(3) {
				value := text(rng, []int{0, 1, 20, 500}[rng.IntN(4)])
				if rng.IntN(3) == 0 {
					value = []byte("the same longer value in several places")
				}
				o.Xattrs[names[rng.IntN(len(names))]] = value
			}
		}
		all = append(all, o)
	}
	return all
}

func testRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, seed)) }
