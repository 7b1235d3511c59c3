package instance

import (
	"fmt"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestGuarded goes the way of a person: the link of the state lets in once, and the state has another one then.
func TestGuarded(t *testing.T) {
	w := newWorld(t)
	o := w.order("web", w.app, "app", "http", "127.0.0.1:8888", "http://127.0.0.1:8888/tree?token=abc123")
	o.Spec.Guard = true
	dir := w.start(o)
	in := w.until(dir, isReady)
	a := in.Addresses[0]
	page, _, _ := strings.Cut(a.URL, "&carrel=")
	if !a.Guarded || page == a.URL || !strings.HasSuffix(page, "/tree?token=abc123") {
		t.Fatalf("got %+v", a)
	}
	if text, err := fetch(page); err != nil || !strings.Contains(text, "carrel open web") {
		t.Errorf("without the code: %q, %v", text, err)
	}
	jar, _ := cookiejar.New(nil)
	c := http.Client{Jar: jar, Timeout: 20 * time.Second}
	r, err := c.Get(a.URL)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusOK {
		t.Errorf("by the link: %d", r.StatusCode)
	}
	next := w.until(dir, func(in Instance) bool { return in.Addresses[0].URL != a.URL })
	jar, _ = cookiejar.New(nil)
	another := http.Client{Jar: jar, Timeout: 20 * time.Second}
	if r, err = another.Get(next.Addresses[0].URL); err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusOK {
		t.Errorf("another browser, by the next link: %d", r.StatusCode)
	}
	for _, line := range w.log(dir, "carrel") {
		if strings.Contains(line, "carrel=") {
			t.Errorf("the log has the code: %q", line)
		}
	}
	err = filepath.WalkDir(w.root, func(path string, d os.DirEntry, err error) error {
		info, infoErr := d.Info()
		if err == nil && infoErr == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("others can read %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestElsewhere serves another port than the one that was spoken of.
func TestElsewhere(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func(*wireSpec){
		"published": func(s *wireSpec) { s.Ports = []PortSpec{{Container: 8888, Text: "Notebook"}} },
		"ready":     func(s *wireSpec) { s.Ready = &Ready{Port: 8888, Path: "/api"} },
	} {
		o := w.order(name, w.app, "app", "http", "127.0.0.1:9999")
		change(&o.Spec)
		dir := w.start(o)
		in := w.until(dir, func(in Instance) bool {
			return in.State == StateReady && len(in.Addresses) == 1 && in.Addresses[0].Ready
		})
		if in.ReadyIn > DefaultWait/2 {
			t.Errorf("%s: ready after %s", name, in.ReadyIn)
		}
		a := in.Addresses[0]
		if want := fmt.Sprintf("path / host 127.0.0.1:%d", a.Host); w.page(a.URL) != want {
			t.Errorf("%s: the page says %q, want %q", name, w.page(a.URL), want)
		}
		if name == "published" && (a.Container != 8888 || a.Text != "Notebook") {
			t.Errorf("%s: got %+v", name, a)
		}
		if !slices.ContainsFunc(w.log(dir, "carrel"), func(line string) bool { return strings.Contains(line, "8888") && strings.Contains(line, "9999") }) {
			t.Errorf("%s: the log says nothing of it: %q", name, w.log(dir, "carrel"))
		}
	}
}

// askUDP sends datagrams until one comes back.
func askUDP(t *testing.T, port int) string {
	t.Helper()
	c, err := net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	buf := make([]byte, 100)
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		_, _ = c.Write([]byte("echo"))
		_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if n, err := c.Read(buf); err == nil {
			return string(buf[:n])
		}
	}
	return ""
}

func TestPublishedUDP(t *testing.T) {
	w := newWorld(t)
	o := w.order("dns", w.app, "app", "udp", "127.0.0.1:5353")
	o.Spec.Ports, o.Spec.Guard = []PortSpec{{Container: 5353, Proto: "udp"}}, true
	dir := w.start(o)
	in := w.until(dir, func(in Instance) bool { return len(in.Addresses) == 1 })
	if got, want := in.Addresses[0].URL, fmt.Sprintf("udp://127.0.0.1:%d", in.Addresses[0].Host); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := askUDP(t, in.Addresses[0].Host); got != "echo" {
		t.Errorf("got %q", got)
	}
	if remarks := w.log(dir, "carrel"); in.Addresses[0].Guarded || !slices.ContainsFunc(remarks, func(line string) bool { return strings.Contains(line, "nothing can guard") }) {
		t.Errorf("it is not said that datagrams pass the gate: %q", remarks)
	}
}
