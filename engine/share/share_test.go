package share

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var loopback = netip.MustParseAddr("127.0.0.1")

func image(t *testing.T, name string, n int) (string, []byte) {
	t.Helper()
	data := make([]byte, n)
	rand.Read(data)
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, data
}

func get(t *testing.T, url, ranges string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if ranges != "" {
		req.Header.Set("Range", ranges)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, data
}

func TestShare(t *testing.T) {
	path, data := image(t, "it's <b>ours.sif", 3_000_000)
	var mu sync.Mutex
	events := map[EventKind]int{}
	h, err := Start(context.Background(), Spec{Path: path, Title: "<script>x</script>", Address: loopback, Event: func(e Event) {
		mu.Lock()
		events[e.Kind]++
		mu.Unlock()
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	sum := sha256.Sum256(data)
	if h.SHA256 != hex.EncodeToString(sum[:]) || h.Size != int64(len(data)) {
		t.Errorf("%+v", h)
	}
	if code, got := get(t, h.URL, ""); code != 200 || !bytes.Equal(got, data) {
		t.Errorf("status %d, %d bytes", code, len(got))
	}
	if code, got := get(t, h.URL, "bytes=2000000-"); code != 206 || !bytes.Equal(got, data[2_000_000:]) {
		t.Errorf("the rest: status %d, %d bytes", code, len(got))
	}
	if code, got := get(t, h.URL, "bytes=0-1999999"); code != 206 || !bytes.Equal(got, data[:2_000_000]) {
		t.Errorf("the beginning: status %d, %d bytes", code, len(got))
	}
	code, text := get(t, h.Page, "")
	if code != 200 || !bytes.Contains(text, []byte(h.SHA256)) || bytes.Contains(text, []byte("<script>x")) || bytes.Contains(text, []byte("<b>ours")) || !bytes.Contains(text, []byte("carrel run &#39;it&#39;\\&#39;&#39;s")) {
		t.Errorf("status %d, page %s", code, text)
	}
	base := strings.TrimSuffix(h.Page, h.word+"/")
	for _, bad := range []string{base, base + h.word, base + "x" + h.word[1:] + "/", h.Page + "../etc/passwd", h.Page + "other.sif", base + "AAAA/" + h.Name} {
		if code, _ := get(t, bad, ""); code != 404 {
			t.Errorf("%s: status %d", bad, code)
		}
	}
	mu.Lock()
	if events[Begun] != 3 || events[Taken] != 2 || events[Left] != 1 {
		t.Errorf("events %v", events)
	}
	mu.Unlock()
	h.Close()
	<-h.Done()
	if h.Taken() != 2 || h.Err() != nil {
		t.Errorf("taken %d, %v", h.Taken(), h.Err())
	}
}

// TestShareEnds: after the number of downloads asked for, after the time, and with the context; nobody can connect then.
func TestShareEnds(t *testing.T) {
	path, _ := image(t, "a.sif", 1000)
	for name, tt := range map[string]struct {
		spec Spec
		do   func(cancel func(), h *Sharing)
	}{
		"once": {Spec{Times: 1}, func(_ func(), h *Sharing) { get(t, h.URL, "") }},
		"once, after a part": {Spec{Times: 1}, func(_ func(), h *Sharing) {
			for range 3 {
				get(t, h.URL, "bytes=-1")
			}
			select {
			case <-h.Done():
				t.Error("the last byte counted as all of it")
			default:
			}
			if h.Taken() != 0 {
				t.Error("the last byte was counted")
			}
			get(t, h.URL, "")
		}},
		"time":    {Spec{For: time.Millisecond}, func(func(), *Sharing) {}},
		"context": {Spec{}, func(cancel func(), _ *Sharing) { cancel() }},
		"close":   {Spec{}, func(_ func(), h *Sharing) { h.Close() }},
	} {
		ctx, cancel := context.WithCancel(context.Background())
		tt.spec.Path, tt.spec.Address = path, loopback
		h, err := Start(ctx, tt.spec)
		if err != nil {
			t.Fatal(err)
		}
		tt.do(cancel, h)
		select {
		case <-h.Done():
		case <-time.After(20 * time.Second):
			t.Errorf("%s: it goes on", name)
		}
		cancel()
		h.Close()
	}
}

func TestShareErrors(t *testing.T) {
	path, _ := image(t, "a.sif", 10)
	h, err := Start(t.Context(), Spec{Path: path, Address: loopback})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	port := netip.MustParseAddrPort(strings.Split(strings.TrimPrefix(h.Page, "http://"), "/")[0]).Port()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tt := range map[string]struct {
		ctx  context.Context
		spec Spec
	}{
		"nothing":   {t.Context(), Spec{Path: path + "x", Address: loopback}},
		"a folder":  {t.Context(), Spec{Path: filepath.Dir(path), Address: loopback}},
		"taken":     {t.Context(), Spec{Path: path, Address: loopback, Port: port}},
		"not ours":  {t.Context(), Spec{Path: path, Address: netip.MustParseAddr("192.0.2.7")}},
		"cancelled": {ended, Spec{Path: path, Address: loopback}},
	} {
		if h, err := Start(tt.ctx, tt.spec); err == nil {
			h.Close()
			t.Errorf("%s: shared", name)
		}
	}
	if a, err := Local(); err == nil && (a.IsLoopback() || !a.IsValid()) {
		t.Errorf("others reach this computer by %v", a)
	}
}
