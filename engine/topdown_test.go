package engine

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	none "github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// TestReadFromTheTop: of a registry's image no more layers are fetched than it takes to know what a file is, from the topmost
// down.
func TestReadFromTheTop(t *testing.T) {
	// From the lowest to the topmost; NAME/ is a folder, NAME>TARGET a link, NAME=TEXT a file.
	layers := [][]string{
		{"etc/", "etc/base=b", "etc/gone=g", "etc/over=old", "usr/", "usr/bin/", "usr/bin/x=x", "bin>usr/bin", "usr/lib/", "usr/lib/os-release=os"},
		{"etc/", "etc/mid=m", "etc/os-release>../usr/lib/os-release", "etc/.wh.gone="},
		{"etc/", "etc/top=t", "etc/over=new", "etc/also>top"},
	}
	img := none.Image
	number := map[string]int{} // of a layer, by its digest
	for i, files := range layers {
		text := archive(t, files)
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil })
		if err != nil {
			t.Fatal(err)
		}
		digest, err := layer.Digest()
		if err != nil {
			t.Fatal(err)
		}
		number[digest.String()] = i
		if img, err = mutate.AppendLayers(img, layer); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	var fetched []int
	answer := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if i, ok := number[r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]]; ok && r.Method == http.MethodGet {
			mu.Lock()
			fetched = append(fetched, i)
			mu.Unlock()
		}
		answer.ServeHTTP(w, r)
	}))
	defer server.Close()
	ref, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://") + "/app:v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		file, want string
		layers     []int
	}{
		{"/etc/top", "t", []int{2}},
		{"/etc/over", "new", []int{2}},
		{"/etc/also", "t", []int{2}},
		{"/etc/mid", "m", []int{1, 2}},
		{"/etc/os-release", "os", []int{0, 1, 2}},
		{"/etc/base", "b", []int{0, 1, 2}},
		{"/bin/x", "x", []int{0, 1, 2}},
		{"/etc/gone", "", []int{0, 1, 2}},
	} {
		e := newEngine(t, nil) // with an empty cache
		mu.Lock()
		fetched = nil
		mu.Unlock()
		var out bytes.Buffer
		err := e.CatFile(t.Context(), "docker://"+ref.String(), tt.file, &out)
		if tt.want == "" && !errors.Is(err, fs.ErrNotExist) || tt.want != "" && (err != nil || out.String() != tt.want) {
			t.Errorf("%s: %q, %v", tt.file, out.String(), err)
		}
		mu.Lock()
		slices.Sort(fetched)
		if !slices.Equal(fetched, tt.layers) {
			t.Errorf("%s: layers %v were fetched, want %v", tt.file, fetched, tt.layers)
		}
		mu.Unlock()
	}
}

func archive(t *testing.T, files []string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := tar.Header{Name: f, Mode: 0o755, Typeflag: tar.TypeDir}
		text := ""
		if at, body, ok := strings.Cut(f, "="); ok {
			h.Name, text, h.Typeflag, h.Size = at, body, tar.TypeReg, int64(len(body))
		} else if at, target, ok := strings.Cut(f, ">"); ok {
			h.Name, h.Linkname, h.Typeflag = at, target, tar.TypeSymlink
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
