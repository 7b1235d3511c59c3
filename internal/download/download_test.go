package download

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

var (
	content = bytes.Repeat([]byte("0123456789abcdef"), 200_000) // 3.2 MB
	sum     = sha256.Sum256(content)
	digest  = hex.EncodeToString(sum[:])
	quick   = Limits{Idle: 200 * time.Millisecond, Backoff: time.Millisecond, Attempts: 3, Patience: 50 * time.Millisecond}
)

// server answers as the function says, which gets the number of the request, from 1.
func server(t *testing.T, answer func(n int, w http.ResponseWriter, r *http.Request)) (string, *atomic.Int32) {
	t.Helper()
	var asked atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(int(asked.Add(1)), w, r) }))
	t.Cleanup(s.Close)
	return s.URL, &asked
}

func serveContent(w http.ResponseWriter, r *http.Request) {
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// cut sends a part of what is asked for and breaks the connection.
func cut(w http.ResponseWriter, n int) {
	w.Header().Set("Content-Length", fmt.Sprint(len(content)))
	_, _ = w.Write(content[:n])
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

// ranges are the first and the last byte that are asked for.
func ranges(t *testing.T, r *http.Request) (from, to int) {
	to = len(content) - 1
	if text := r.Header.Get("Range"); text != "" {
		if _, err := fmt.Sscanf(text, "bytes=%d-%d", &from, &to); err != nil {
			t.Error(err)
		}
	}
	return from, to
}

// part answers with the bytes from one to another, and breaks off at the end of those that it sends.
func part(w http.ResponseWriter, from, to, end int) {
	w.Header().Set("Content-Length", fmt.Sprint(to-from+1))
	if from > 0 {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, len(content)))
		w.WriteHeader(http.StatusPartialContent)
	}
	_, _ = w.Write(content[from:end])
	w.(http.Flusher).Flush()
	if end <= to {
		panic(http.ErrAbortHandler)
	}
}

func client(t *testing.T) *http.Client {
	transport := NewTransport(quick)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: Guard(transport, quick)}
}

func target(t *testing.T) *os.File {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestFile(t *testing.T) {
	size := int64(len(content))
	for _, row := range []struct {
		name   string
		answer func(n int, w http.ResponseWriter, r *http.Request)
		size   int64
		digest string
		asked  int
		want   error
	}{
		{"as it should be", func(_ int, w http.ResponseWriter, r *http.Request) { serveContent(w, r) }, size, digest, 1, nil},
		{"nothing known", func(_ int, w http.ResponseWriter, r *http.Request) { serveContent(w, r) }, -1, "", 1, nil},
		{"cut once", func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				cut(w, 1<<20+5)
			}
			if want := fmt.Sprintf("bytes=%d-%d", 1<<20+5, size-1); r.Header.Get("Range") != want {
				t.Errorf("asked for %q, want %q", r.Header.Get("Range"), want)
			}
			serveContent(w, r)
		}, size, digest, 2, nil},
		{"cut again and again, but it goes on", func(n int, w http.ResponseWriter, r *http.Request) {
			from, to := ranges(t, r)
			part(w, from, to, min(from+1<<20, to+1))
		}, size, digest, 4, nil},
		{"another part than asked for", func(n int, w http.ResponseWriter, r *http.Request) {
			from, to := ranges(t, r)
			part(w, max(0, from-1), to, min(from+1<<20, to+1))
		}, size, digest, 2, errOther},
		{"always cut at once", func(_ int, w http.ResponseWriter, r *http.Request) { cut(w, 0) }, size, digest, 0, io.ErrUnexpectedEOF},
		{"no ranges", func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				cut(w, 1000)
			}
			_, _ = w.Write(content)
		}, size, digest, 2, nil},
		{"not found", func(_ int, w http.ResponseWriter, _ *http.Request) { http.Error(w, "gone fishing", 404) }, size, digest, 1, errStatus},
		{"busy once", func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			serveContent(w, r)
		}, size, digest, 2, nil},
		{"come back tomorrow", func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "86400")
			w.WriteHeader(http.StatusTooManyRequests)
		}, size, digest, 0, errStatus},
		{"other content", func(_ int, w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(bytes.Repeat([]byte("x"), len(content)))
		}, size, digest, 1, ErrDigest},
		{"larger", func(_ int, w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(append(content, 'x')) }, size, digest, 1, ErrSize},
		{"without end", func(_ int, w http.ResponseWriter, _ *http.Request) {
			for range 100 {
				if _, err := w.Write(content); err != nil {
					return
				}
			}
		}, -1, "", 1, ErrSize},
		{"stands still", func(n int, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(size))
			_, _ = w.Write(content[:10])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, size, digest, 0, ErrStalled},
		{"says nothing", func(n int, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, size, digest, 0, ErrStalled},
		{"sends itself in a circle", func(_ int, w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) }, size, digest, 0, errOther},
		{"a megabyte of header", func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 1<<20))
		}, size, digest, 1, errOther},
	} {
		t.Run(row.name, func(t *testing.T) {
			url, asked := server(t, row.answer)
			f := target(t)
			var followed bytes.Buffer
			watcher := Watcher{Begin: func() error { followed.Reset(); return nil }, Wrote: func(b []byte) { followed.Write(b) }}
			res, err := File(t.Context(), Source{Client: client(t), URL: url, Size: row.size, Digest: row.digest, Most: 8 << 20}, f, 0, quick, watcher)
			_, isStatus := errors.AsType[*StatusError](err)
			switch {
			case row.want == errStatus && !isStatus, row.want == errOther && err == nil, row.want == nil && err != nil,
				row.want != nil && row.want != errStatus && row.want != errOther && !errors.Is(err, row.want):
				t.Fatalf("got %v, want %v", err, row.want)
			}
			if n := int(asked.Load()); row.asked > 0 && n != row.asked {
				t.Errorf("asked %d times, want %d", n, row.asked)
			}
			if err != nil {
				return
			}
			got, err := os.ReadFile(f.Name())
			if err != nil || !bytes.Equal(got, content) || !bytes.Equal(followed.Bytes(), content) || res.Digest != digest || res.Size != size {
				t.Errorf("%d bytes, followed %d, %+v, %v", len(got), followed.Len(), res, err)
			}
		})
	}
}

var (
	errStatus = errors.New("a status")
	errOther  = errors.New("some error")
)

// A second run goes on where the first was, unless what the first left is wrong.
func TestPartial(t *testing.T) {
	for name, spoil := range map[string]bool{"kept": false, "spoilt": true} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "blob")
			var sent atomic.Int64
			url, _ := server(t, func(n int, w http.ResponseWriter, r *http.Request) {
				if n <= quick.Attempts {
					cut(w, 1000*n)
				}
				http.ServeContent(&counting{w, &sent}, r, "", time.Time{}, bytes.NewReader(content))
			})
			source := Source{Client: client(t), URL: url, Size: int64(len(content)), Digest: digest}
			p, err := Begin(path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := File(t.Context(), source, p.File, p.Have, quick, Watcher{}); err == nil {
				t.Fatal("the broken transfer is no error")
			}
			other, err := Begin(path) // of another process, at the same time
			if err != nil || other.Have != 0 {
				t.Fatalf("second: %v", err)
			}
			if spoil {
				if _, err := p.WriteAt([]byte("x"), 5); err != nil {
					t.Fatal(err)
				}
			}
			other.Close()
			p.Close()
			if p, err = Begin(path); err != nil || p.Have == 0 {
				t.Fatalf("again: %+v, %v", p, err)
			}
			defer p.Close()
			have := p.Have
			if _, err := File(t.Context(), source, p.File, have, quick, Watcher{}); err != nil {
				t.Fatal(err)
			}
			if want := int64(len(content)) - have; !spoil && sent.Load() != want {
				t.Errorf("%d bytes were sent, want %d", sent.Load(), want)
			}
			if err := p.Commit(); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if rest, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(rest) > 0 {
				t.Errorf("left: %v", rest)
			}
		})
	}
}

type counting struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c *counting) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b)
	c.n.Add(int64(n))
	return n, err
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	url, _ := server(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(content[:10])
		w.(http.Flusher).Flush()
		cancel()
		<-r.Context().Done()
	})
	if _, err := File(ctx, Source{Client: client(t), URL: url, Size: int64(len(content))}, target(t), 0, quick, Watcher{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// What a server says of itself is shortened, and the query of the address, which may hold a key, is not repeated.
func TestStatusError(t *testing.T) {
	url, _ := server(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(403)
		_, _ = io.WriteString(w, strings.Repeat("no \n", 1000))
	})
	_, err := File(t.Context(), Source{Client: client(t), URL: url + "/a?key=secret", Size: -1}, target(t), 0, quick, Watcher{})
	if err == nil || strings.Contains(err.Error(), "secret") || len(err.Error()) > 400 || !strings.Contains(err.Error(), "403") {
		t.Errorf("got %v", err)
	}
}

func TestRetryAfter(t *testing.T) {
	for text, want := range map[string]bool{"3": true, "0": true, "": false, "-1": false, "x": false, "99999999999": true, "Sun, 06 Nov 1994 08:49:37 GMT": true} {
		d, ok := retryAfter(text)
		if ok != want || d < 0 {
			t.Errorf("%q: %v, %v", text, d, ok)
		}
	}
}

func FuzzRangeStart(f *testing.F) {
	f.Add("bytes 5-9/10")
	f.Fuzz(func(t *testing.T, s string) {
		if n, ok := rangeStart(s); ok && !strings.HasPrefix(s, "bytes ") {
			t.Errorf("%q: %d", s, n)
		}
	})
}
