package oci

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"io/fs"
	stdlog "log"
	"net/http/httptest"
	"os"
	"path"
	"sort"
	"strings"
	"testing"
	"time"

	"carrel/engine/tree"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
)

var testTime = time.Unix(1600000000, 0).UTC()

// item is one member of a layer: "dir/" a directory, "a -> b" a symbolic link, "a => b" a hard link, else a file with
// its own name or what follows "=" as content.
type item string

func (i item) header() (*tar.Header, []byte) {
	h := &tar.Header{Mode: 0o644, ModTime: testTime, Format: tar.FormatPAX}
	s := string(i)
	if name, target, ok := strings.Cut(s, " -> "); ok {
		h.Typeflag, h.Name, h.Linkname, h.Mode = tar.TypeSymlink, name, target, 0o777
		return h, nil
	}
	if name, target, ok := strings.Cut(s, " => "); ok {
		h.Typeflag, h.Name, h.Linkname = tar.TypeLink, name, target
		return h, nil
	}
	if strings.HasSuffix(s, "/") {
		h.Typeflag, h.Name, h.Mode = tar.TypeDir, s, 0o755
		return h, nil
	}
	name, body, ok := strings.Cut(s, "=")
	if !ok {
		body = name
	}
	h.Typeflag, h.Name, h.Size = tar.TypeReg, name, int64(len(body))
	return h, []byte(body)
}

func tarOf(t testing.TB, items ...item) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, i := range items {
		h, body := i.header()
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		w.Write(body)
	}
	w.Close()
	return b.Bytes()
}

// layerOf makes a gzip layer out of a tar.
func layerOf(t testing.TB, tarBytes []byte) v1.Layer {
	t.Helper()
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(tarBytes)), nil })
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func zstdLayer(t testing.TB, tarBytes []byte) v1.Layer {
	t.Helper()
	e, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	return &rawLayer{compressed: e.EncodeAll(tarBytes, nil), plain: tarBytes, mediaType: types.OCILayerZStd}
}

// rawLayer is a layer of any bytes, with digests as told or as they are.
type rawLayer struct {
	compressed, plain []byte
	mediaType         types.MediaType
}

func (l *rawLayer) Digest() (v1.Hash, error) {
	h, _, err := v1.SHA256(bytes.NewReader(l.compressed))
	return h, err
}
func (l *rawLayer) DiffID() (v1.Hash, error) {
	h, _, err := v1.SHA256(bytes.NewReader(l.plain))
	return h, err
}
func (l *rawLayer) Compressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(l.compressed)), nil
}
func (l *rawLayer) Uncompressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(l.plain)), nil
}
func (l *rawLayer) Size() (int64, error)                { return int64(len(l.compressed)), nil }
func (l *rawLayer) MediaType() (types.MediaType, error) { return l.mediaType, nil }

func imageOf(t testing.TB, layers ...v1.Layer) v1.Image {
	t.Helper()
	image, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		t.Fatal(err)
	}
	c, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c = c.DeepCopy()
	c.OS, c.Architecture = "linux", "amd64"
	image, err = mutate.ConfigFile(image, c)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// serve runs a registry on loopback and returns its host:port.
func serve(t testing.TB) string {
	t.Helper()
	s := httptest.NewServer(registry.New(registry.Logger(stdlog.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// push puts an image into a registry and returns its reference.
func push(t testing.TB, host string, image v1.Image) string {
	t.Helper()
	ref, err := name.ParseReference(host + "/test/image:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image); err != nil {
		t.Fatal(err)
	}
	return "docker://" + ref.String()
}

func open(t testing.TB, ref string, o Options) *Image {
	t.Helper()
	if o.Platform == "" {
		o.Platform = "linux/amd64"
	}
	m, err := Open(t.Context(), ref, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// memory is a tree.Sink that keeps the tree.
type memory struct {
	nodes map[string]*node
}

type node struct {
	entry tree.Entry
	body  string
}

func newMemory() *memory { return &memory{map[string]*node{}} }

func (m *memory) Add(e tree.Entry, body io.Reader) error {
	if e.Path != "." && (!fs.ValidPath(e.Path)) {
		return fmt.Errorf("path %q", e.Path)
	}
	for dir := path.Dir(e.Path); dir != "."; dir = path.Dir(dir) {
		if n := m.nodes[dir]; n == nil {
			m.nodes[dir] = &node{entry: tree.Entry{Path: dir, Mode: tree.TypeDir | 0o755}}
		} else if !n.entry.IsDir() {
			return fmt.Errorf("%s: parent %s is not a directory", e.Path, dir)
		}
	}
	if e.HardLink != "" {
		target := m.nodes[e.HardLink]
		if target == nil {
			return fmt.Errorf("hard link to %s, which is not there", e.HardLink)
		}
		m.remove(e.Path)
		m.nodes[e.Path] = target
		return nil
	}
	n := &node{entry: e}
	if e.IsRegular() {
		b, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		if int64(len(b)) != e.Size {
			return fmt.Errorf("%s: %d bytes of %d", e.Path, len(b), e.Size)
		}
		n.body = string(b)
	}
	if old := m.nodes[e.Path]; old == nil || !old.entry.IsDir() || !e.IsDir() {
		m.remove(e.Path)
	}
	m.nodes[e.Path] = n
	return nil
}

func (m *memory) remove(p string) {
	for q := range m.nodes {
		if q == p || strings.HasPrefix(q, p+"/") {
			delete(m.nodes, q)
		}
	}
}

// list shows the tree as items, sorted; hard links by the first of their names.
func (m *memory) list() []string {
	names := make([]string, 0, len(m.nodes))
	for p := range m.nodes {
		if p != "." {
			names = append(names, p)
		}
	}
	sort.Strings(names)
	first := map[*node]string{}
	var list []string
	for _, p := range names {
		n := m.nodes[p]
		if q, again := first[n]; again {
			list = append(list, p+" => "+q)
			continue
		}
		first[n] = p
		switch {
		case n.entry.IsDir():
			list = append(list, p+"/")
		case n.entry.Type() == tree.TypeSymlink:
			list = append(list, p+" -> "+n.entry.Link)
		case n.body != p:
			list = append(list, p+"="+n.body)
		default:
			list = append(list, p)
		}
	}
	return list
}

// flatten produces the tree of an image through a registry.
func flatten(t testing.TB, o Options, layers ...v1.Layer) (*memory, error) {
	t.Helper()
	m := open(t, push(t, serve(t), imageOf(t, layers...)), o)
	sink := newMemory()
	return sink, m.WriteTo(context.Background(), sink)
}

// tarFolder packs a folder as tar does.
func tarFolder(folder, target string) error {
	f, err := os.Create(target)
	if err != nil {
		return err
	}
	defer f.Close()
	w := tar.NewWriter(f)
	if err := w.AddFS(os.DirFS(folder)); err != nil {
		return err
	}
	return w.Close()
}

func gzipFile(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write(b)
	w.Close()
	if err := os.WriteFile(path+".gz", z.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path + ".gz"
}
