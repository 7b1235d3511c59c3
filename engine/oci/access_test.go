package oci

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"carrel/internal/download"
)

// impatient is how tests wait for registries.
var impatient = download.Limits{Idle: 20 * time.Second, Backoff: time.Millisecond, Attempts: 2, Patience: time.Millisecond}

// hinter is an error that says what to do.
type hinter interface{ Hint() string }

func hintOf(err error) string {
	var h hinter
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}

// guarded is a registry that wants a name and password, by itself or by tokens.
func guarded(t *testing.T, tokens bool) string {
	t.Helper()
	inner := registry.New(registry.Logger(stdlog.New(io.Discard, "", 0)))
	known := func(r *http.Request) bool {
		user, password, _ := r.BasicAuth()
		return user == "ada" && password == "secret:1"
	}
	var s *httptest.Server
	s = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/token" && known(r):
			fmt.Fprint(w, `{"token":"let-me-in"}`)
		case r.URL.Path == "/token":
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"details":"incorrect username or password"}`)
		case tokens && r.Header.Get("Authorization") == "Bearer let-me-in", !tokens && known(r):
			inner.ServeHTTP(w, r)
		case tokens:
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+s.URL+`/token",service="test"`)
			w.WriteHeader(http.StatusUnauthorized)
		default:
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// sifFile is a file for a registry; that it is a SIF is of no interest here.
func sifFile(t *testing.T, size int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tool.sif")
	b := make([]byte, size)
	rand.Read(b)
	if err := os.WriteFile(path, b, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLogin(t *testing.T) {
	for name, tokens := range map[string]bool{"password": false, "tokens": true} {
		t.Run(name, func(t *testing.T) {
			host := guarded(t, tokens)
			path := filepath.Join(t.TempDir(), "new", "credentials.json")
			o := Options{Access: Access{Credentials: []string{filepath.Join(t.TempDir(), "none"), path}}, Net: impatient}
			file := sifFile(t, 1000)
			if _, err := PushSIF(t.Context(), file, "oras://"+host+"/lab/tool:1", o); !errors.Is(err, ErrUnauthorized) || !strings.Contains(hintOf(err), "carrel login "+host) {
				t.Errorf("nobody: %v, %q", err, hintOf(err))
			}
			err := CheckLogin(t.Context(), host, Login{"ada", "wrong"}, o)
			if !errors.Is(err, ErrUnauthorized) || strings.Contains(err.Error(), "wrong") || hintOf(err) == "" {
				t.Errorf("wrong password: %v", err)
			}
			login := Login{"ada", "secret:1"}
			if err := CheckLogin(t.Context(), host, login, o); err != nil {
				t.Fatal(err)
			}
			if err := StoreLogin(path, host, login); err != nil {
				t.Fatal(err)
			}
			if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
				t.Errorf("mode %v, %v", st.Mode(), err)
			}
			if st, err := os.Stat(filepath.Dir(path)); err != nil || st.Mode().Perm() != 0o700 {
				t.Errorf("folder %v, %v", st.Mode(), err)
			}
			if _, err := PushSIF(t.Context(), file, "oras://"+host+"/lab/tool:1", o); err != nil {
				t.Errorf("somebody: %v", err)
			}
			if l, err := Logins(o.Access.Credentials); err != nil || len(l) != 1 || l[0] != (StoredLogin{host, "ada", path}) {
				t.Errorf("list: %+v, %v", l, err)
			}
			if found, err := RemoveLogin(path, host); !found || err != nil {
				t.Errorf("logout: %v, %v", found, err)
			}
			if found, err := RemoveLogin(path, host); found || err != nil {
				t.Errorf("logout again: %v, %v", found, err)
			}
			if _, err := OpenSIF(t.Context(), "oras://"+host+"/lab/tool:1", o); !errors.Is(err, ErrUnauthorized) {
				t.Errorf("nobody again: %v", err)
			}
			o.Access.Login = &login
			s, err := OpenSIF(t.Context(), "oras://"+host+"/lab/tool:1", o)
			if err != nil {
				t.Fatalf("by variables: %v", err)
			}
			s.Close()
		})
	}
	if text := fmt.Sprintf("%v %+v %#v", &Login{"ada", "secret"}, &Login{"ada", "secret"}, &Login{"ada", "secret"}); strings.Contains(text, "secret") {
		t.Errorf("a password is printed: %s", text)
	}
}

// Files of other programs are read and, when something is stored in them, kept.
func TestCredentialFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	auth := func(user string) string { return base64.StdEncoding.EncodeToString([]byte(user + ":p")) }
	helper := filepath.Join(dir, "docker-credential-desk")
	if err := os.WriteFile(helper, []byte("#!/bin/sh\necho '{\"Username\":\"helped\",\"Secret\":\"p\"}'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	docker := write("config.json", `{"auths":{"https://index.docker.io/v1/":{"auth":"`+auth("hub")+`"},"https://lab.example/v2/":{"auth":"`+auth("lab")+`"}},
		"credHelpers":{"help.example":"desk"},"psFormat":"x"}`)
	helpless := write("helpless.json", `{"credHelpers":{"lab.example":"not-there"}}`)
	damaged := write("damaged.json", `{"auths":`)
	for _, row := range []struct {
		files []string
		image string
		want  string
	}{
		{[]string{docker}, "alpine", "hub"},
		{[]string{docker}, "registry-1.docker.io/library/alpine", "hub"},
		{[]string{docker}, "lab.example/a/b:1", "lab"},
		{[]string{docker}, "help.example/a", "helped"},
		{[]string{docker}, "other.example/a", ""},
		{[]string{damaged, helpless, docker}, "lab.example/a", "lab"},
		{[]string{damaged}, "lab.example/a", ""},
		{nil, "alpine", ""},
	} {
		a := Access{Credentials: row.files}
		ref, err := a.parse(row.image)
		if err != nil {
			t.Fatal(err)
		}
		who, trouble := a.authenticator(ref.Context(), false)
		c, err := who.Authorization()
		if err != nil || c.Username != row.want && !strings.HasPrefix(decode(c.Auth), row.want+":") {
			t.Errorf("%s by %v: %+v, %v, want %s", row.image, row.files, c, err, row.want)
		}
		if row.want == "" && len(row.files) > 0 && row.files[0] == damaged && (trouble == nil || hintOf(trouble) == "") {
			t.Errorf("%s: the damaged file is not told of", row.image)
		}
	}
	if err := StoreLogin(docker, "docker.io", Login{"new", "p"}); err != nil {
		t.Fatal(err)
	}
	got, _ := os.ReadFile(docker)
	for _, want := range []string{`"psFormat": "x"`, auth("new"), auth("lab"), "help.example"} {
		if !strings.Contains(string(got), want) {
			t.Errorf("%s is lost:\n%s", want, got)
		}
	}
	if strings.Contains(string(got), auth("hub")) {
		t.Error("the old password stays")
	}
	if st, _ := os.Stat(docker); st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", st.Mode())
	}
	if err := StoreLogin(damaged, "docker.io", Login{"new", "p"}); hintOf(err) == "" {
		t.Errorf("damaged: %v", err)
	}
}

func decode(s string) string {
	b, _ := base64.StdEncoding.DecodeString(s)
	return string(b)
}

func TestRegistryName(t *testing.T) {
	for text, want := range map[string]string{
		"docker.io": "index.docker.io", "docker://docker.io": "index.docker.io", "https://index.docker.io/v1/": "index.docker.io",
		"ghcr.io": "ghcr.io", "oras://lab.example:5000/x": "lab.example:5000", "localhost:5000": "localhost:5000",
	} {
		if got, err := RegistryName(text); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", text, got, err, want)
		}
	}
	for _, bad := range []string{"", "docker://", "a b", "x y.z"} {
		if _, err := RegistryName(bad); err == nil || hintOf(err) == "" {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestPushAndPull(t *testing.T) {
	host := serve(t)
	image := configured(t)
	folder := layoutOf(t, image)
	m := open(t, "oci:"+folder, Options{})
	var events atomic.Int64
	o := Options{Net: impatient, Progress: func(e Event) { events.Add(1) }}
	ref := "docker://" + host + "/lab/tool:1"
	p, err := m.Push(t.Context(), ref, o)
	if err != nil {
		t.Fatal(err)
	}
	if digest, _ := image.Digest(); p.Digest != digest.String() || p.Uploaded == 0 || p.Size < p.Uploaded || events.Load() == 0 {
		t.Errorf("got %+v, %d events", p, events.Load())
	}
	again, err := m.Push(t.Context(), ref, o)
	if err != nil || again.Uploaded != 0 || again.Digest != p.Digest {
		t.Errorf("again: %+v, %v", again, err)
	}
	back, want := newMemory(), newMemory()
	if err := open(t, ref, Options{}).WriteTo(t.Context(), back); err != nil {
		t.Fatal(err)
	}
	if err := m.WriteTo(t.Context(), want); err != nil || fmt.Sprint(back.list()) != fmt.Sprint(want.list()) {
		t.Errorf("got %v, want %v, %v", back.list(), want.list(), err)
	}
	for _, bad := range []string{"docker://", "oras://" + host + "/x:1", "docker://" + host + "/lab/tool@" + p.Digest, "docker://" + host + "/UPPER"} {
		if _, err := m.Push(t.Context(), bad, o); !errors.Is(err, ErrReference) || hintOf(err) == "" {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if _, err := open(t, ref, Options{}).Push(t.Context(), ref, o); err == nil {
		t.Error("an image that is not here was pushed")
	}
}

func TestSIFInRegistry(t *testing.T) {
	host := serve(t)
	file := sifFile(t, 3<<20)
	ref := "oras://" + host + "/lab/tool:1"
	o := Options{Net: impatient}
	p, err := PushSIF(t.Context(), file, ref, o)
	if err != nil || p.Uploaded != 3<<20 {
		t.Fatalf("%+v, %v", p, err)
	}
	if p, err = PushSIF(t.Context(), file, ref, o); err != nil || p.Uploaded != 0 {
		t.Errorf("again: %+v, %v", p, err)
	}
	for _, name := range []string{ref, "oras://" + host + "/lab/tool@" + p.Digest, "oras:" + host + "/lab/tool:1"} {
		s, err := OpenSIF(t.Context(), name, o)
		if err != nil {
			t.Fatal(err)
		}
		if s.Size != 3<<20 || s.Title != "tool.sif" || s.Manifest != p.Digest {
			t.Errorf("got %+v", s)
		}
		out, err := os.Create(filepath.Join(t.TempDir(), "out"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := download.File(t.Context(), s.Source(), out, 0, impatient, download.Watcher{}); err != nil {
			t.Error(err)
		}
		got, _ := os.ReadFile(out.Name())
		want, _ := os.ReadFile(file)
		if !bytes.Equal(got, want) {
			t.Error("the file came back as another")
		}
		out.Close()
		s.Close()
	}
	image := push(t, host, configured(t))
	if _, err := OpenSIF(t.Context(), strings.Replace(image, "docker:", "oras:", 1), o); !errors.Is(err, ErrNotSIF) || hintOf(err) == "" {
		t.Errorf("a container image: %v", err)
	}
	if _, err := Open(t.Context(), strings.Replace(ref, "oras:", "docker:", 1), o); !errors.Is(err, ErrIsSIF) || hintOf(err) == "" {
		t.Errorf("a SIF: %v", err)
	}
	for _, bad := range []string{"oras://", "docker://x/y", "oras://UPPER/x"} {
		if _, err := OpenSIF(t.Context(), bad, o); !errors.Is(err, ErrReference) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestMirrors(t *testing.T) {
	host := serve(t)
	ref := push(t, host, imageOf(t, layerOf(t, tarOf(t, "a=mirrored")))) // HOST/test/image:1
	gone := httptest.NewServer(nil)
	gone.Close()
	dead := strings.TrimPrefix(gone.URL, "http://")
	var notices []string
	o := Options{Net: impatient, Access: Access{Mirrors: map[string][]string{
		"registry.invalid": {dead, host}, "docker.io": {"http://" + host + "/"}, "bad.invalid": {"nodothere"}, "sub.invalid": {host + "/test"},
	}}, Notice: func(s string) { notices = append(notices, s) }}
	digest := open(t, ref, Options{}).Digest
	for _, name := range []string{"registry.invalid/test/image:1", "docker.io/test/image:1", "test/image:1", "sub.invalid/image:1", "registry.invalid/test/image@" + digest} {
		sink := newMemory()
		if err := open(t, "docker://"+name, o).WriteTo(t.Context(), sink); err != nil || len(sink.list()) != 1 || sink.list()[0] != "a=mirrored" {
			t.Errorf("%s: %v, %v", name, sink.list(), err)
		}
	}
	if len(notices) == 0 || !strings.Contains(notices[0], dead) {
		t.Errorf("the dead mirror is not told of: %q", notices)
	}
	if _, err := Open(t.Context(), "docker://bad.invalid/x:1", o); !errors.Is(err, ErrReference) {
		t.Errorf("a mirror without a host: %v", err)
	}
}

// Without its registry an image is what it was the last time.
func TestWithoutTheRegistry(t *testing.T) {
	s := httptest.NewServer(registry.New(registry.Logger(stdlog.New(io.Discard, "", 0))))
	ref := push(t, strings.TrimPrefix(s.URL, "http://"), configured(t))
	cache := t.TempDir()
	first := open(t, ref, Options{CacheDir: cache})
	want := newMemory()
	if err := first.WriteTo(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	s.Close()
	var notices []string
	o := Options{CacheDir: cache, Net: impatient, Notice: func(s string) { notices = append(notices, s) }}
	m := open(t, ref, o)
	got := newMemory()
	if err := m.WriteTo(t.Context(), got); err != nil || fmt.Sprint(got.list()) != fmt.Sprint(want.list()) || m.Digest != first.Digest {
		t.Errorf("got %v, %s, %v", got.list(), m.Digest, err)
	}
	if len(notices) != 1 || !strings.Contains(notices[0], "as it was fetched on") {
		t.Errorf("notices %q", notices)
	}
	if _, err := Open(t.Context(), ref, Options{CacheDir: cache, Net: impatient, Platform: "linux/arm64"}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("another platform: %v", err)
	}
	if err := os.RemoveAll(filepath.Join(cache, "blobs")); err != nil {
		t.Fatal(err)
	}
	if err := open(t, ref, o).WriteTo(t.Context(), newMemory()); !errors.Is(err, ErrUnreachable) || hintOf(err) == "" {
		t.Errorf("without layers: %v", err)
	}
}

// A layer that broke off is completed by the next run.
func TestLayerIsCompleted(t *testing.T) {
	random := make([]byte, 4<<20)
	rand.Read(random)
	ref := push(t, serve(t), imageOf(t, layerOf(t, tarOf(t, item("big="+string(random))))))
	cache := t.TempDir()
	cut := func(n int, r *http.Response) {
		if n > 1 { // 1 is the configuration
			r.Body = io.NopCloser(io.LimitReader(r.Body, 300<<10))
		}
	}
	if err := open(t, ref, Options{CacheDir: cache, Net: impatient, Transport: &recorder{spoil: cut}}).Fetch(t.Context()); !errors.Is(err, ErrServer) {
		t.Fatalf("got %v", err)
	}
	var asked string
	look := &recorder{spoil: func(_ int, r *http.Response) { asked = r.Request.Header.Get("Range") }}
	sink := newMemory()
	if err := open(t, ref, Options{CacheDir: cache, Net: impatient, Transport: look}).WriteTo(t.Context(), sink); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(asked, "bytes=614400-") || sink.nodes["big"].body != string(random) {
		t.Errorf("asked for %q", asked)
	}
}

// layoutOf writes an image as an OCI layout and returns the folder.
func layoutOf(t *testing.T, image v1.Image) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "layout")
	l, err := layout.Write(folder, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.AppendImage(image); err != nil {
		t.Fatal(err)
	}
	return folder
}

// TestOwnCertificate speaks to a registry whose certificate nobody knows. It is on an address of this computer that is not
// taken for one, so that only what is configured counts.
func TestOwnCertificate(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(registry.New(registry.Logger(stdlog.New(io.Discard, "", 0))))
	s.Listener.Close()
	s.Listener, s.Config.ErrorLog = l, stdlog.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	host := strings.TrimPrefix(s.URL, "https://")
	file := sifFile(t, 1000)
	ref := "oras://" + host + "/lab/tool:1"
	if _, err := PushSIF(t.Context(), file, ref, Options{Net: impatient}); !errors.Is(err, ErrTLS) || !strings.Contains(hintOf(err), "insecure_registries = "+host) {
		t.Errorf("without asking: %v, %q", err, hintOf(err))
	}
	if _, err := PushSIF(t.Context(), file, ref, Options{Net: impatient, Access: Access{Insecure: []string{"other.example.org"}}}); !errors.Is(err, ErrTLS) {
		t.Errorf("another one is named: %v", err)
	}
	o := Options{Net: impatient, Access: Access{Insecure: []string{host}}}
	if _, err := PushSIF(t.Context(), file, ref, o); err != nil {
		t.Fatal(err)
	}
	m, err := OpenSIF(t.Context(), ref, o)
	if err != nil || m.Size != 1000 {
		t.Fatalf("%+v, %v", m, err)
	}
	m.Close()
	if err := CheckLogin(t.Context(), host, Login{"ada", "x"}, o); err != nil {
		t.Errorf("log in: %v", err)
	}
	// Where it leads to has to show who it is.
	elsewhere := httptest.NewUnstartedServer(http.RedirectHandler("https://"+host+"/v2/", http.StatusTemporaryRedirect))
	elsewhere.Start()
	defer elsewhere.Close()
	err = CheckLogin(t.Context(), strings.TrimPrefix(elsewhere.URL, "http://"), Login{"ada", "x"}, Options{Net: impatient})
	if !errors.Is(err, ErrTLS) {
		t.Errorf("sent on to it by another: %v", err)
	}
}

func TestLoginsOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	auth := base64.StdEncoding.EncodeToString([]byte("ada:x"))
	text := `{"auths": {"https://index.docker.io/v1/": {"auth": "` + auth + `"}, "docker.io": {}, "ghcr.io": {}}, "credHelpers": {"ghcr.io": "none", "quay.io": "none"}}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Logins([]string{path})
	want := []StoredLogin{{"docker.io", "ada", path}, {"ghcr.io", "", path}, {"quay.io", "", path}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}
