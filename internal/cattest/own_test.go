package cattest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"strings"
	"testing"
)

// TestOwnExperiment: an experiment in a folder that is bound is one of those to pick from, is served, and keeps its data.
func TestOwnExperiment(t *testing.T) {
	i := newImages(t)
	image := i.of("expfactory")
	i.h.Write("mine/blink/config.json", `[{"exp_id": "blink", "name": "Blink", "description": "Press when it blinks.", "time": 2}]`)
	i.h.Write("mine/blink/index.html", "<p>It blinks.</p>")
	i.h.Write("mine/half/config.json", "{")
	if err := os.Mkdir(i.h.Path("data"), 0o755); err != nil {
		t.Fatal(err)
	}
	if r := i.h.Must("run", "-B", i.h.Path("mine")+":/experiments:ro", image, "--list"); !strings.Contains(r.Out, "blink") || !strings.Contains(r.Out, "Press when it blinks.") || !strings.Contains(r.Err, "half: left out") {
		t.Errorf("--list says\n%s%s", r.Out, r.Err)
	}
	r := i.h.Must("run", "-d", "--name", "blink", "--wait", "120s", "-p", "9684", "-B", i.h.Path("data")+":/data", "-B", i.h.Path("mine")+":/experiments:ro", image, "blink")
	defer i.h.Run("stop", "blink")
	var url string
	for _, word := range strings.Fields(r.Out) {
		if strings.HasPrefix(word, "http://") {
			url = strings.TrimSuffix(word, "/")
		}
	}
	cookies, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: cookies}
	ask := func(method, path, body string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s %s: %s %v\n%s", method, path, resp.Status, err, text)
		}
		return string(text)
	}
	var setup struct{ Chosen []string }
	if err := json.Unmarshal([]byte(ask("GET", "/api/setup", "")), &setup); err != nil || strings.Join(setup.Chosen, " ") != "blink" {
		t.Errorf("chosen: %q %v", setup.Chosen, err)
	}
	ask("POST", "/api/sessions", `{"participant": "P9"}`)
	ask("POST", "/api/sessions/P9/1/blink", "{}")
	if page := ask("GET", "/experiments/blink/", ""); page != "<p>It blinks.</p>" {
		t.Errorf("the page is %q", page)
	}
	ask("POST", "/save", `[{"rt": 312, "key": "x"}]`)
	table, err := os.ReadFile(i.h.Path("data", "P9", "blink.csv"))
	if err != nil || !strings.Contains(string(table), "312") {
		t.Errorf("the table: %v\n%s", err, table)
	}
}
