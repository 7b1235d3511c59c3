package oci

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// configured is an image with everything a configuration may say.
func configured(t testing.TB) v1.Image {
	image := imageOf(t, layerOf(t, tarOf(t, "a=1", "b=1")), layerOf(t, tarOf(t, "a=2")))
	c, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c = c.DeepCopy()
	c.Config = v1.Config{
		Env: []string{"PATH=/bin", "LANG=C"}, Entrypoint: []string{"/bin/sh", "-c"}, Cmd: []string{"echo hello"},
		WorkingDir: "/srv", User: "1000:1000", Labels: map[string]string{"a": "b"},
		ExposedPorts: map[string]struct{}{"8888/tcp": {}, "80/tcp": {}}, Volumes: map[string]struct{}{"/data": {}},
		Healthcheck: &v1.HealthConfig{Test: []string{"CMD", "true"}, Interval: time.Second},
	}
	image, err = mutate.ConfigFile(image, c)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// places writes one image in every form that is read, and returns the references.
func places(t *testing.T, image v1.Image) map[string]string {
	dir := t.TempDir()
	refs := map[string]string{"registry": push(t, serve(t), image)}

	folder := filepath.Join(dir, "layout")
	p, err := layout.Write(folder, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.AppendImage(image, layout.WithAnnotations(map[string]string{refNameAnnotation: "1"}),
		layout.WithPlatform(v1.Platform{OS: "linux", Architecture: "amd64"})); err != nil {
		t.Fatal(err)
	}
	refs["layout"] = "oci:" + folder
	refs["layout with tag"] = "oci:" + folder + ":1"

	archive := filepath.Join(dir, "layout.tar")
	if err := tarFolder(folder, archive); err != nil {
		t.Fatal(err)
	}
	refs["layout archive"] = "oci-archive:" + archive

	tag, err := name.NewTag("example/image:1")
	if err != nil {
		t.Fatal(err)
	}
	saved := filepath.Join(dir, "docker.tar")
	if err := tarball.WriteToFile(saved, tag, image); err != nil {
		t.Fatal(err)
	}
	refs["docker archive"] = "docker-archive:" + saved
	refs["docker archive with name"] = "docker-archive:" + saved + ":example/image:1"
	refs["compressed docker archive"] = "docker-archive:" + gzipFile(t, saved)
	return refs
}

func TestOpenEveryForm(t *testing.T) {
	image := configured(t)
	digest, _ := image.Digest()
	for name, ref := range places(t, image) {
		t.Run(name, func(t *testing.T) {
			m := open(t, ref, Options{CacheDir: t.TempDir()})
			want := Config{
				Env: []string{"PATH=/bin", "LANG=C"}, Entrypoint: []string{"/bin/sh", "-c"}, Cmd: []string{"echo hello"},
				WorkingDir: "/srv", User: "1000:1000", Labels: map[string]string{"a": "b"},
				ExposedPorts: []string{"80/tcp", "8888/tcp"}, Volumes: []string{"/data"},
				Healthcheck: &Healthcheck{Test: []string{"CMD", "true"}, Interval: time.Second},
			}
			got := m.Config
			if !strings.Contains(string(got.JSON), `"WorkingDir":"/srv"`) {
				t.Errorf("config JSON: %s", got.JSON)
			}
			got.JSON = nil
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if m.Arch() != "amd64" || len(m.Layers) != 2 || m.Size == 0 {
				t.Errorf("arch %q, %d layers, %d bytes", m.Arch(), len(m.Layers), m.Size)
			}
			if !strings.Contains(name, "docker") && m.Digest != digest.String() {
				t.Errorf("digest %s, want %s", m.Digest, digest)
			}
			for range 2 { // a source gives the same again
				sink := newMemory()
				if err := m.WriteTo(t.Context(), sink); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff([]string{"a=2", "b=1"}, sink.list()); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestPlatformIsChosen(t *testing.T) {
	ref, err := name.ParseReference(serve(t) + "/test/index:1")
	if err != nil {
		t.Fatal(err)
	}
	var index v1.ImageIndex = empty.Index
	for _, arch := range []string{"amd64", "arm64"} {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        imageOf(t, layerOf(t, tarOf(t, item("arch="+arch)))),
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	if err := remote.WriteIndex(ref, index); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(t.TempDir(), "layout")
	p, err := layout.Write(folder, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.AppendIndex(index); err != nil {
		t.Fatal(err)
	}
	for _, where := range []string{"docker://" + ref.String(), "oci:" + folder} {
		sink := newMemory()
		if err := open(t, where, Options{Platform: "linux/arm64"}).WriteTo(t.Context(), sink); err != nil {
			t.Fatal(err)
		}
		if got := sink.list(); len(got) != 1 || got[0] != "arch=arm64" {
			t.Errorf("%s: got %v", where, got)
		}
		if _, err := Open(t.Context(), where, Options{Platform: "linux/s390x"}); !errors.Is(err, ErrNoPlatform) {
			t.Errorf("%s: got %v, want ErrNoPlatform", where, err)
		}
	}
}

// recorder counts the blobs that are asked for and may spoil answers.
type recorder struct {
	mu    sync.Mutex
	blobs int
	spoil func(n int, r *http.Response)
}

func (c *recorder) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
		c.mu.Lock()
		c.blobs++
		n := c.blobs
		c.mu.Unlock()
		if c.spoil != nil {
			c.spoil(n, resp)
		}
	}
	return resp, err
}

func TestCacheIsUsedVerifiedAndRepaired(t *testing.T) {
	ref := push(t, serve(t), configured(t))
	cache := t.TempDir()
	pull := func() (int, []Event) {
		c := &recorder{}
		var events []Event
		m := open(t, ref, Options{CacheDir: cache, Transport: c, Progress: func(e Event) { events = append(events, e) }})
		before := c.blobs // the configuration
		if err := m.WriteTo(t.Context(), newMemory()); err != nil {
			t.Fatal(err)
		}
		return c.blobs - before, events
	}
	if n, events := pull(); n != 2 || len(events) != 2 || events[0].Complete != events[0].Total || events[0].Cached {
		t.Errorf("first: %d blobs, %+v", n, events)
	}
	if n, events := pull(); n != 0 || len(events) != 2 || !events[0].Cached {
		t.Errorf("second: %d blobs, %+v", n, events)
	}
	blobs, _ := filepath.Glob(filepath.Join(cache, "blobs", "sha256", "*"))
	if len(blobs) != 2 {
		t.Fatalf("cache holds %v", blobs)
	}
	b, _ := os.ReadFile(blobs[0])
	b[len(b)/2] ^= 1
	if err := os.WriteFile(blobs[0], b, 0o644); err != nil {
		t.Fatal(err)
	}
	if n, _ := pull(); n != 1 {
		t.Errorf("after damage: %d blobs", n)
	}
}

func TestBrokenTransfers(t *testing.T) {
	ref := push(t, serve(t), configured(t))
	cut := func(resp *http.Response) { resp.Body = io.NopCloser(io.LimitReader(resp.Body, 30)) }
	rows := []struct {
		name  string
		spoil func(n int, r *http.Response)
		want  error
	}{
		{"once", func(n int, r *http.Response) {
			if n == 2 { // 1 is the configuration
				cut(r)
			}
		}, nil},
		{"always other bytes", func(n int, r *http.Response) {
			if n > 1 {
				r.Body = io.NopCloser(strings.NewReader(strings.Repeat("x", int(r.ContentLength))))
			}
		}, ErrCorrupt},
	}
	ways := map[string]func(*Image) error{
		" at once": func(m *Image) error { return m.Fetch(t.Context()) },
		" while reading": func(m *Image) error {
			sink := newMemory()
			err := m.WriteTo(t.Context(), sink)
			if err == nil && len(sink.nodes) != 2 {
				t.Errorf("got %v", sink.list())
			}
			return err
		},
	}
	for _, row := range rows {
		for way, fetch := range ways {
			t.Run(row.name+way, func(t *testing.T) {
				cache := t.TempDir()
				m := open(t, ref, Options{CacheDir: cache, Transport: &recorder{spoil: row.spoil}})
				if err := fetch(m); !errors.Is(err, row.want) {
					t.Fatalf("got %v, want %v", err, row.want)
				}
				blobs, _ := filepath.Glob(filepath.Join(cache, "blobs", "sha256", "*"))
				if row.want != nil && len(blobs) != 0 {
					t.Errorf("cache holds %v", blobs)
				}
			})
		}
	}
}

func TestErrorsAreClassified(t *testing.T) {
	host := serve(t)
	status := func(code int) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/v2/" {
				w.WriteHeader(code)
			}
		}))
		t.Cleanup(s.Close)
		return "docker://" + strings.TrimPrefix(s.URL, "http://") + "/a/b:1"
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	dir := t.TempDir()
	rows := []struct {
		ref  string
		want error
	}{
		{"docker://" + host + "/none:1", ErrNotFound},
		{status(http.StatusUnauthorized), ErrUnauthorized},
		{status(http.StatusForbidden), ErrUnauthorized},
		{"docker://" + strings.TrimPrefix(gone.URL, "http://") + "/a:1", ErrUnreachable},
		{"docker://UPPER/Case", ErrReference},
		{"docker://", ErrReference},
		{"ftp://x", ErrReference},
		{"alpine", ErrReference},
		{"oci:", ErrReference},
		{"oci:" + dir + "/none", os.ErrNotExist},
		{"docker-archive:" + dir + "/none.tar", os.ErrNotExist},
	}
	for _, row := range rows {
		_, err := Open(t.Context(), row.ref, Options{})
		if !errors.Is(err, row.want) {
			t.Errorf("%s: got %v, want %v", row.ref, err, row.want)
			continue
		}
		var h interface{ Hint() string }
		if row.want != os.ErrNotExist && (!errors.As(err, &h) || h.Hint() == "") {
			t.Errorf("%s: no hint", row.ref)
		}
	}
}

func TestHostileLocalImages(t *testing.T) {
	image := configured(t)
	manifest, _ := image.Manifest()
	damage := func(which v1.Hash, change func([]byte) []byte) string {
		folder := filepath.Join(t.TempDir(), "layout")
		p, err := layout.Write(folder, empty.Index)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.AppendImage(image); err != nil {
			t.Fatal(err)
		}
		blob := filepath.Join(folder, "blobs", "sha256", which.Hex)
		b, err := os.ReadFile(blob)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(blob, change(b), 0o644); err != nil {
			t.Fatal(err)
		}
		return "oci:" + folder
	}
	digest, _ := image.Digest()
	longer := func(b []byte) []byte { return append(b, ' ') }
	rows := map[string]string{
		"manifest":      damage(digest, longer),
		"configuration": damage(manifest.Config.Digest, longer),
		"layer longer":  damage(manifest.Layers[0].Digest, longer),
		"layer shorter": damage(manifest.Layers[1].Digest, func(b []byte) []byte { return b[:len(b)-9] }),
	}
	for name, ref := range rows {
		t.Run(name, func(t *testing.T) {
			m, err := Open(t.Context(), ref, Options{Platform: "linux/amd64"})
			if err == nil {
				defer m.Close()
				err = m.WriteTo(t.Context(), newMemory())
			}
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("got %v, want ErrCorrupt", err)
			}
		})
	}
}

func TestParseReference(t *testing.T) {
	rows := map[string]Reference{
		"docker://alpine:3.20":      {Transport: Docker, Name: "alpine:3.20"},
		"docker:alpine":             {Transport: Docker, Name: "alpine"},
		"oci:dir":                   {Transport: Layout, Path: "dir"},
		"oci:/a/dir:tag":            {Transport: Layout, Path: "/a/dir", Tag: "tag"},
		"oci-archive:f.tar:1":       {Transport: LayoutArchive, Path: "f.tar", Tag: "1"},
		"docker-archive:f.tar:a:1":  {Transport: DockerArchive, Path: "f.tar", Tag: "a:1"},
		"docker-archive://f.tar":    {Transport: DockerArchive, Path: "f.tar"},
		"docker://h:5000/a@sha256:": {Transport: Docker, Name: "h:5000/a@sha256:"},
	}
	for s, want := range rows {
		if got, err := ParseReference(s); err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", s, got, err, want)
		}
	}
	hex := strings.Repeat("0", 64)
	if n, err := parseName("localhost:5000/a/b:tag@sha256:"+hex, nil); err != nil || n.String() != "localhost:5000/a/b@sha256:"+hex {
		t.Errorf("tag and digest: %v, %v", n, err)
	}
}
