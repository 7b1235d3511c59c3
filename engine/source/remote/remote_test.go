package remote

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"carrel/engine/oci"
	"carrel/engine/sif"
	"carrel/internal/download"
)

var impatient = download.Limits{Idle: 20 * time.Second, Backoff: time.Millisecond, Attempts: 2, Patience: time.Millisecond}

// sifFile writes a SIF whose partition is of random bytes, and returns its path, bytes and digest in hexadecimal.
func sifFile(t *testing.T, size int) (path string, data []byte, digest string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "tool.sif")
	body := make([]byte, size)
	rand.Read(body)
	err := sif.Create(t.Context(), path, sif.Contents{
		Definition: []byte("Bootstrap: scratch\n"), Metadata: []byte(`{"data":{"attributes":{"labels":{"Place":"far away"}}}}`), Arch: "amd64", Time: time.Unix(0, 0),
		System: func(w sif.Target, offset int64) (int64, error) {
			_, err := w.WriteAt(body, offset)
			return int64(size), err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if data, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	return path, data, hex.EncodeToString(sum[:])
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// fetch finds and gets a reference, and returns the bytes at the target.
func fetch(t *testing.T, ref string, o Options) (*File, []byte, error) {
	t.Helper()
	if o.Cache == "" {
		o.Cache = t.TempDir()
	}
	o.Net = impatient
	f, err := Find(t.Context(), ref, o)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	target := filepath.Join(t.TempDir(), "got.sif")
	if err := f.To(t.Context(), target); err != nil {
		if _, e := os.Lstat(target); e == nil {
			t.Error("a target was left by a pull that failed")
		}
		return f, nil, err
	}
	data, err := os.ReadFile(target)
	return f, data, err
}

func TestLibraryNames(t *testing.T) {
	for ref, want := range map[string]string{
		"library://alpine":                           "- alpine latest",
		"library://alpine:3.1":                       "- alpine 3.1",
		"library://lab/tools/r:4,latest":             "- lab/tools/r 4",
		"library://host.org/lab/tools/r:4":           "host.org lab/tools/r 4",
		"library:///lab/tools/r":                     "- lab/tools/r latest",
		"library:lab/tools/r":                        "- lab/tools/r latest",
		"library://lab/tools/r:sha256.00ff":          "- lab/tools/r sha256.00ff",
		"library://":                                 "",
		"library://a/../b":                           "",
		"library://a/b/c?x=1":                        "",
		"library://ho st/a/b/c":                      "",
		"library://alpine:":                          "",
		"library://user:password@host.org/lab/t/r:1": "",
	} {
		r, err := parseLibrary(ref)
		host := r.host
		if host == "" {
			host = "-"
		}
		got := host + " " + r.path + " " + r.tag
		switch {
		case want == "" && (err == nil || !errors.Is(err, oci.ErrReference)):
			t.Errorf("%s: taken as %q, %v", ref, got, err)
		case want != "" && (err != nil || got != want):
			t.Errorf("%s: %q, %v, want %q", ref, got, err, want)
		}
	}
}

func TestLibrary(t *testing.T) {
	_, data, digest := sifFile(t, 300_000)
	answer := fmt.Sprintf(`{"data":{"hash":"sha256.%s","size":%d,"uploaded":true}}`, digest, len(data))
	library := func(info string, body []byte) string {
		return serve(t, func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Query().Get("arch") != "amd64":
				http.NotFound(w, r)
			case r.URL.Path == "/v1/images/lab/tools/r:4":
				io.WriteString(w, info)
			case r.URL.Path == "/v1/imagefile/lab/tools/r:4":
				http.ServeContent(w, r, "x", time.Time{}, bytes.NewReader(body))
			default:
				http.NotFound(w, r)
			}
		})
	}
	amd64 := func(address string) Options { return Options{Library: address, Platform: "linux/amd64"} }
	f, got, err := fetch(t, "library://lab/tools/r:4", amd64(library(answer, data)))
	if err != nil || !bytes.Equal(got, data) || f.Digest != "sha256:"+digest || f.Name != "r" {
		t.Errorf("%d bytes of %d, %+v, %v", len(got), len(data), f, err)
	}
	// An answer without a digest, as those of 2018 are.
	if _, got, err := fetch(t, "library://lab/tools/r:4", amd64(library(`{"data":{"hash":"sif.abc","uploaded":true}}`, data))); err != nil || !bytes.Equal(got, data) {
		t.Errorf("without a digest: %d bytes, %v", len(got), err)
	}
	other := append([]byte{}, data...)
	other[len(other)-1] ^= 1
	for name, tt := range map[string]struct {
		ref  string
		o    Options
		want error
	}{
		"other bytes":        {"library://lab/tools/r:4", amd64(library(answer, other)), oci.ErrCorrupt},
		"fewer bytes":        {"library://lab/tools/r:4", amd64(library(answer, data[:1000])), ErrLibrary},
		"no such image":      {"library://lab/tools/x:4", amd64(library(answer, data)), oci.ErrNotFound},
		"another processor":  {"library://lab/tools/r:4", Options{Library: library(answer, data), Platform: "linux/arm64"}, oci.ErrNotFound},
		"not a library":      {"library://lab/tools/r:4", amd64(library("<html>", data)), ErrLibrary},
		"an empty answer":    {"library://lab/tools/r:4", amd64(library(`{"data":null}`, data)), ErrLibrary},
		"never uploaded":     {"library://lab/tools/r:4", amd64(library(`{"data":{"hash":"","uploaded":false}}`, data)), oci.ErrNotFound},
		"nobody there":       {"library://lab/tools/r:4", amd64("http://127.0.0.1:1"), ErrLibrary},
		"an endless answer":  {"library://lab/tools/r:4", amd64(library(strings.Repeat(" ", maxAnswer+10), data)), ErrLibrary},
		"a page as an image": {"library://lab/tools/r:4", amd64(library(`{"data":{"hash":"sif.abc","uploaded":true}}`, []byte("<html>log in</html>"))), ErrNoImage},
	} {
		_, _, err := fetch(t, tt.ref, tt.o)
		h, ok := err.(interface{ Hint() string })
		if !errors.Is(err, tt.want) || !ok || h.Hint() == "" {
			t.Errorf("%s: %v, want %v with a hint", name, err, tt.want)
		}
	}
}

func TestWeb(t *testing.T) {
	_, data, _ := sifFile(t, 2_000_000)
	cut := 0
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/tool.sif":
			http.ServeContent(w, r, "x", time.Time{}, bytes.NewReader(data))
		case "/cut.sif": // the first answer breaks off
			if cut++; cut == 1 {
				w.Header().Set("Content-Length", fmt.Sprint(len(data)))
				w.Write(data[:len(data)/2])
				panic(http.ErrAbortHandler)
			}
			http.ServeContent(w, r, "x", time.Time{}, bytes.NewReader(data))
		case "/page.sif":
			io.WriteString(w, "<html>")
		case "/private.sif":
			w.WriteHeader(http.StatusForbidden)
		default:
			http.NotFound(w, r)
		}
	})
	for name, want := range map[string]error{"tool": nil, "cut": nil, "page": ErrNoImage, "private": nil, "none": nil} {
		f, got, err := fetch(t, address+"/"+name+".sif?token=secret", Options{})
		good := name == "tool" || name == "cut"
		if good != (err == nil) || good && !bytes.Equal(got, data) || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		if err != nil {
			if h, ok := err.(interface{ Hint() string }); !ok || h.Hint() == "" || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: %v: without a hint, or with the secret", name, err)
			}
		} else if strings.Contains(f.Ref, "secret") {
			t.Errorf("%s shows %s", name, f.Ref)
		}
	}
}

// TestOutline reads what an image says about itself out of a registry and off a web server, without its file system.
func TestOutline(t *testing.T) {
	path, data, _ := sifFile(t, 9<<20)
	reg := registry.New(registry.Logger(stdlog.New(io.Discard, "", 0)))
	var sent int
	var page = []byte(strings.Repeat("<html>", 100_000))
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		c := &cutting{ResponseWriter: w, sent: &sent}
		switch r.URL.Path {
		case "/tool.sif":
			http.ServeContent(c, r, "", time.Time{}, bytes.NewReader(data))
		case "/page.sif":
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(page))
		case "/noranges.sif": // not counted: it goes on for a while after everybody has left
			w.Write(data)
		default:
			reg.ServeHTTP(c, r)
		}
	})
	ref := "oras://" + strings.TrimPrefix(address, "http://") + "/lab/tool:1"
	if _, err := oci.PushSIF(t.Context(), path, ref, oci.Options{Net: impatient}); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]bool{ref: true, address + "/tool.sif": true, address + "/page.sif": false, address + "/noranges.sif": false} {
		sent = 0
		o := Options{Cache: t.TempDir(), Net: impatient}
		f, err := Find(t.Context(), at, o)
		if err != nil {
			t.Fatal(err)
		}
		out, release, ok, err := f.Outline(t.Context())
		f.Close()
		if err != nil || ok != want {
			t.Errorf("%s: %v, %v", at, ok, err)
		}
		if ok {
			m, err := sif.Open(out)
			if err != nil {
				t.Fatal(err)
			}
			text, derr := m.Definition()
			about, jerr := m.JSON(sif.MetadataName)
			if derr != nil || jerr != nil || string(text) != "Bootstrap: scratch\n" || !strings.Contains(string(about), "far away") || m.Size != int64(len(data)) || sent > 200_000 {
				t.Errorf("%s: %q, %.80q, %v %v; %d bytes were sent", at, text, about, derr, jerr, sent)
			}
			m.Close()
			release()
		}
		if left, _ := os.ReadDir(o.Cache); len(left) > 0 {
			t.Errorf("%s: left behind %v", at, left)
		}
	}
}

// TestWebVersions gets a file again that has not changed, that has, and whose transfer broke off, by ETag and by date.
func TestWebVersions(t *testing.T) {
	for _, kind := range []string{"tag", "date", "neither"} {
		t.Run(kind, func(t *testing.T) {
			_, first, _ := sifFile(t, 3<<20)
			_, second, digest := sifFile(t, 3<<20)
			now, changed, breaks := first, time.Unix(1_600_000_000, 0), 0
			var sent int
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				at := time.Time{}
				switch kind {
				case "tag":
					w.Header().Set("ETag", fmt.Sprintf(`"v%d"`, changed.Unix()))
				case "date":
					at = changed
				}
				counting := &cutting{ResponseWriter: w, sent: &sent}
				if breaks > 0 {
					breaks--
					counting.most = 1 << 20
				}
				http.ServeContent(counting, r, "", at, bytes.NewReader(now))
			}))
			defer server.Close()
			o := Options{Cache: t.TempDir(), Net: impatient}
			get := func(how func(*File) ([]byte, error)) ([]byte, int, error) {
				t.Helper()
				sent = 0
				f, err := Find(t.Context(), server.URL+"/tool.sif?key=1", o)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				data, err := how(f)
				return data, sent, err
			}
			cached := func(f *File) ([]byte, error) {
				path, err := f.Cached(t.Context())
				if err != nil {
					return nil, err
				}
				return os.ReadFile(path)
			}
			to := func(f *File) ([]byte, error) {
				path := filepath.Join(t.TempDir(), "pulled.sif")
				if err := f.To(t.Context(), path); err != nil {
					return nil, err
				}
				return os.ReadFile(path)
			}
			for _, step := range []struct {
				name  string
				do    func()
				how   func(*File) ([]byte, error)
				want  []byte
				bytes map[string]int // sent, by kind
			}{
				{"at first", nil, cached, first, map[string]int{"tag": len(first), "date": len(first), "neither": len(first)}},
				{"again", nil, cached, first, map[string]int{"neither": len(first)}},
				{"to a file", nil, to, first, map[string]int{"neither": len(first)}},
				{"changed", func() { now, changed = second, changed.Add(time.Hour) }, cached, second,
					map[string]int{"tag": len(second), "date": len(second), "neither": len(second)}},
				{"changed, again", nil, cached, second, map[string]int{"neither": len(second)}},
			} {
				if step.do != nil {
					step.do()
				}
				data, n, err := get(step.how)
				if err != nil || !bytes.Equal(data, step.want) || n != step.bytes[kind] {
					t.Errorf("%s: %v, right bytes %v, %d were sent, want %d", step.name, err, bytes.Equal(data, step.want), n, step.bytes[kind])
				}
			}
			// Broken off as often as is tried; the next process goes on, unless the file is another one by then.
			for _, another := range []bool{false, true} {
				o.Cache, now, changed = t.TempDir(), first, changed.Add(time.Hour)
				breaks = impatient.Attempts
				o.Net.Attempts = 1
				if _, _, err := get(cached); err == nil {
					t.Fatal("a broken transfer is no error")
				}
				breaks = 0
				want := len(first) - 1<<20
				if another {
					now, changed, want = second, changed.Add(time.Hour), len(second)
				}
				if kind == "neither" {
					want = len(now)
				}
				data, n, err := get(cached)
				if err != nil || !bytes.Equal(data, now) || n != want {
					t.Errorf("after a break, another %v: %v, right bytes %v, %d were sent, want %d", another, err, bytes.Equal(data, now), n, want)
				}
			}
			if sum, _, _ := get(func(f *File) ([]byte, error) { _, err := f.Cached(t.Context()); return []byte(f.Digest), err }); string(sum) != "sha256:"+digest {
				t.Errorf("digest %s", sum)
			}
		})
	}
}

// cutting breaks a transfer off after some bytes; 0 means never.
type cutting struct {
	http.ResponseWriter
	sent *int
	most int
}

func (c *cutting) Write(b []byte) (int, error) {
	if c.most > 0 && *c.sent+len(b) > c.most {
		n, _ := c.ResponseWriter.Write(b[:c.most-*c.sent])
		*c.sent += n
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	n, err := c.ResponseWriter.Write(b)
	*c.sent += n
	return n, err
}

// TestRegistry: a SIF that was pushed comes back byte for byte, from the cache when it is there.
func TestRegistry(t *testing.T) {
	path, data, digest := sifFile(t, 500_000)
	handler := registry.New(registry.Logger(stdlog.New(io.Discard, "", 0)))
	blobs := 0
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/sha256:"+digest) {
			blobs++
		}
		handler.ServeHTTP(w, r)
	})
	ref := "oras://" + strings.TrimPrefix(address, "http://") + "/lab/tool:1"
	if _, err := oci.PushSIF(t.Context(), path, ref, oci.Options{Net: impatient}); err != nil {
		t.Fatal(err)
	}
	o := Options{Cache: t.TempDir(), Net: impatient}
	f, got, err := fetch(t, ref, o)
	if err != nil || !bytes.Equal(got, data) || f.Digest != "sha256:"+digest || f.Name != "tool.sif" {
		t.Fatalf("%d bytes, %+v, %v", len(got), f, err)
	}
	for range 2 {
		f, err := Find(t.Context(), ref, o)
		if err != nil {
			t.Fatal(err)
		}
		cached, err := f.Cached(t.Context())
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		if b, _ := os.ReadFile(cached); !bytes.Equal(b, data) {
			t.Error("the cache holds something else")
		}
	}
	if blobs != 2 {
		t.Errorf("got %d times; once for the target and once for the cache are enough", blobs)
	}
}
