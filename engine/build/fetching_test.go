package build_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"carrel/engine"
)

// TestCancelFetch interrupts a build in the middle of a layer that a registry sends, with and without something to run.
func TestCancelFetch(t *testing.T) {
	k := newKit(t)
	var mu sync.Mutex
	halfway := func() {} // called when half a layer is sent
	reg := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		then := halfway
		mu.Unlock()
		rec := httptest.NewRecorder()
		reg.ServeHTTP(rec, r)
		for name, values := range rec.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(rec.Code)
		body := rec.Body.Bytes()
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") && len(body) > 1<<16 {
			_, _ = w.Write(body[:len(body)/2]) // the other side may be gone
			_ = http.NewResponseController(w).Flush()
			then()
			<-r.Context().Done()
			return
		}
		_, _ = w.Write(body)
	}))
	defer srv.Close()
	tag, err := name.NewTag(strings.TrimPrefix(srv.URL, "http://") + "/lab/tool:1.0")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, ociImage(t)); err != nil {
		t.Fatal(err)
	}
	for _, sections := range []string{"", "%post\n    true\n"} {
		ctx, cancel := context.WithCancel(t.Context())
		mu.Lock()
		halfway = cancel
		mu.Unlock()
		definition := k.write("Singularity", "Bootstrap: docker\nFrom: "+tag.String()+"\n"+sections)
		_, err := k.Build(ctx, engine.BuildSpec{Definition: definition, Target: "image.sif"}, func(engine.Event) {})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%q: got %v", sections, err)
		}
		if _, err := os.Stat(filepath.Join(k.cwd, "image.sif")); err == nil {
			t.Errorf("%q: there is an image", sections)
		}
		k.workEmpty()
	}
	if bases, _ := filepath.Glob(filepath.Join(k.config.CacheDir, "bases", "*")); len(bases) > 0 {
		t.Errorf("half a base is in the cache: %q", bases)
	}
}

// TestReproducibleLeavesOut builds twice what tells in its tree when it was installed.
func TestReproducibleLeavesOut(t *testing.T) {
	k := newKit(t)
	text := header + `
%post
    mkdir -p /var/log/apt /var/cache/ldconfig /var/cache/apt /var/cache/man/de /etc
    for f in /var/log/dpkg.log /var/log/apt/history.log /etc/machine-id /var/cache/ldconfig/aux-cache /var/cache/apt/pkgcache.bin /var/cache/man/de/index.db; do
        cat /proc/sys/kernel/random/uuid > $f
    done
    echo $SOURCE_DATE_EPOCH > /epoch
`
	var sums [][]byte
	for _, target := range []string{"1.sif", "2.sif"} {
		img, _ := k.build(text, engine.BuildSpec{Target: target, NoCache: true, Reproducible: true})
		data, err := os.ReadFile(img.Path)
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, data)
		if got := read(t, img, "/var/log/dpkg.log") + read(t, img, "/var/log/apt/history.log") + read(t, img, "/etc/machine-id"); got != "" {
			t.Errorf("logs: %q", got)
		}
		if has(t, img, "/var/cache/ldconfig/aux-cache") || has(t, img, "/var/cache/apt/pkgcache.bin") || has(t, img, "/var/cache/man/de/index.db") {
			t.Error("a cache is in the image")
		}
		if got, want := read(t, img, "/epoch"), time.Date(1980, 1, 1, 12, 0, 0, 0, time.UTC).Unix(); strings.TrimSpace(got) != "315576000" || want != 315576000 {
			t.Errorf("the section saw the time %q, not %d", got, want)
		}
	}
	if !bytes.Equal(sums[0], sums[1]) {
		t.Errorf("two builds differ (%d and %d bytes)", len(sums[0]), len(sums[1]))
	}
	// Without being asked nothing of it is touched.
	if img, _ := k.build(text, engine.BuildSpec{Target: "3.sif"}); read(t, img, "/etc/machine-id") == "" {
		t.Error("an image that is not to be reproducible was changed")
	}
}

// TestReproducibleElsewhere builds the same in two folders and, where that can be tried, as two kinds of root.
func TestReproducibleElsewhere(t *testing.T) {
	first := newKit(t)
	first.write("note.txt", "noted")
	first.build(header+"%post\n    mkdir /made; echo base > /made/base\n", engine.BuildSpec{Target: "base.sif"})
	base, err := os.ReadFile(filepath.Join(first.cwd, "base.sif"))
	if err != nil {
		t.Fatal(err)
	}
	var kits []*kit
	for i := range 3 {
		k := newKit(t)
		if i == 2 && os.Getuid() == 0 {
			k.config.User.UID = 1 // one that is root of a user namespace only
			k.start()
		}
		k.write("base.sif", string(base))
		k.write("note.txt", "noted")
		kits = append(kits, k)
	}
	for name, text := range map[string]string{
		"built":    "Bootstrap: localimage\nFrom: base.sif\n%files\n    note.txt /made/\n%post\n    cat /made/* > /made/all; rm /made/base; mkdir -p /a/b /made/base\n%labels\n    A b\n",
		"streamed": "Bootstrap: localimage\nFrom: base.sif\n%labels\n    A b\n",
	} {
		var sums [][]byte
		for i, k := range kits {
			img, _ := k.build(text, engine.BuildSpec{Target: name + ".sif", Reproducible: true})
			data, err := os.ReadFile(img.Path)
			if err != nil {
				t.Fatal(err)
			}
			p, err := k.Provenance(t.Context(), img.Path)
			if err != nil || bytes.Contains(p, []byte(k.dir)) || !bytes.Contains(p, []byte("base.sif")) {
				t.Errorf("%s %d: provenance %s, %v", name, i, p, err)
			}
			if sums = append(sums, data); !bytes.Equal(sums[0], data) {
				t.Errorf("%s %d: the image is not the same as the first (%d and %d bytes)", name, i, len(data), len(sums[0]))
			}
		}
	}
}
