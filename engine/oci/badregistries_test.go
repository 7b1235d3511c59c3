package oci

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// What is wrong with a registry is told in words, with what to do, in bounded time and memory.
func TestBadRegistries(t *testing.T) {
	for _, row := range []struct {
		name   string
		answer http.HandlerFunc
		want   error
		words  string
	}{
		{"rate limit", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusTooManyRequests)
			fmt.Fprint(w, `{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}`)
		}, ErrRateLimited, "pull rate limit"},
		{"broken", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, ErrServer, "502"},
		{"silent", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, ErrServer, "stopped sending"},
		{"header", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 1<<20)) }, ErrServer, "header"},
		{"circle", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }, ErrServer, "circle"},
		{"page", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			fmt.Fprint(w, "<html>")
		}, ErrServer, "not that of a registry"},
		{"schema 1", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/vnd.docker.distribution.manifest.v1+prettyjws")
			fmt.Fprint(w, `{"schemaVersion":1,"name":"a/b","tag":"1","architecture":"amd64","fsLayers":[],"history":[]}`)
		}, ErrSchema1, "2016"},
		{"other platforms", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
			one := `{"mediaType":"application/vnd.oci.image.manifest.v1+json","size":10,"digest":"sha256:` + strings.Repeat("0", 64) + `","platform":{"os":"%s","architecture":"%s"}}`
			fmt.Fprintf(w, `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[`+one+`,`+one+`,`+one+`]}`,
				"linux", "s390x", "windows", "amd64", "unknown", "unknown")
		}, ErrNoPlatform, "; there is linux/s390x, windows/amd64"},
		{"endless manifest", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			for range 20 {
				if _, err := w.Write(bytes.Repeat([]byte(" "), 1<<20)); err != nil {
					return
				}
			}
		}, nil, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/v2/" {
					row.answer(w, r)
				}
			}))
			t.Cleanup(s.Close)
			o := Options{Net: impatient}
			if row.name == "silent" {
				o.Net.Idle = 500 * time.Millisecond
			}
			_, err := Open(t.Context(), "docker://"+strings.TrimPrefix(s.URL, "http://")+"/a/b:1", o)
			if err == nil || row.want != nil && (!errors.Is(err, row.want) || hintOf(err) == "") || !strings.Contains(err.Error(), row.words) || len(err.Error()) > 1000 {
				t.Errorf("got %v (%q), want %v", err, hintOf(err), row.want)
			}
		})
	}
	t.Run("certificate", func(t *testing.T) {
		s := httptest.NewUnstartedServer(http.NotFoundHandler())
		s.Config.ErrorLog = stdlog.New(io.Discard, "", 0)
		s.StartTLS()
		t.Cleanup(s.Close)
		_, port, _ := strings.Cut(strings.TrimPrefix(s.URL, "https://"), ":")
		_, err := Open(t.Context(), "docker://127.0.0.2:"+port+"/a:1", Options{Net: impatient})
		if !errors.Is(err, ErrTLS) && !errors.Is(err, ErrUnreachable) || hintOf(err) == "" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("name", func(t *testing.T) {
		_, err := Open(t.Context(), "docker://registry.invalid/a:1", Options{Net: impatient})
		if !errors.Is(err, ErrUnreachable) || !strings.Contains(hintOf(err), "registry") {
			t.Errorf("got %v, %q", err, hintOf(err))
		}
	})
}
