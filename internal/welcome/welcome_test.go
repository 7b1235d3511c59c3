package welcome

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestFileAppears(t *testing.T) {
	dir := t.TempDir()
	srv := httptest.NewServer(Handler(dir, []byte("<h1>page</h1>")))
	defer srv.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+"/events", nil)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	sc := bufio.NewScanner(resp.Body)
	next := func() state {
		t.Helper()
		for sc.Scan() {
			if data, ok := strings.CutPrefix(sc.Text(), "data: "); ok {
				var s state
				if err := json.Unmarshal([]byte(data), &s); err != nil {
					t.Fatal(err)
				}
				return s
			}
		}
		t.Fatal("the events ended: ", sc.Err())
		return state{}
	}
	if s := next(); len(s.Files) != 0 || !s.Writable {
		t.Errorf("empty folder: %+v", s)
	}
	if err := os.WriteFile(filepath.Join(dir, "new.txt"), []byte("12345"), 0o644); err != nil {
		t.Fatal(err)
	}
	for {
		s := next()
		if len(s.Files) == 1 && s.Files[0].Size == 5 { // it may have been seen while it was empty
			if s.Files[0].Name != "new.txt" {
				t.Errorf("files %+v", s.Files)
			}
			return
		}
	}
}

func TestServesOnlyTheFolder(t *testing.T) {
	dir := t.TempDir()
	shared := filepath.Join(dir, "shared")
	if err := os.Mkdir(shared, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"secret": "s", "shared/file": "content"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../secret", filepath.Join(shared, "link")); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(Handler(shared, []byte("page")))
	defer srv.Close()
	for _, tc := range []struct {
		path   string
		status int
		body   string
	}{
		{"/", 200, "page"},
		{"/files/file", 200, "content"},
		{"/files/link", 404, ""},
		{"/files/..%2Fsecret", 404, ""},
		{"/files/nothing", 404, ""},
		{"/other", 404, ""},
	} {
		resp, err := http.Get(srv.URL + tc.path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != tc.status || (tc.body != "" && string(body) != tc.body) {
			t.Errorf("%s: %d %q", tc.path, resp.StatusCode, body)
		}
	}
}
