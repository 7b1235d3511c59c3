package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

var address = regexp.MustCompile(`https?://127\.0\.0\.1:[0-9]+[^\s"│]*`)

// FindAddress finds the first address of this computer in a text.
func FindAddress(text string) (string, bool) {
	a := address.FindString(text)
	return a, a != ""
}

// Get fetches a page and returns its text; anything but success is an error of the test.
func Get(t testing.TB, url string) string {
	t.Helper()
	text, err := get(url)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func get(url string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	// No connection is kept: a server that ends waits for those.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("GET %s: %s", url, resp.Status)
	}
	return string(text), nil
}

// Answers tells whether an address gives a page.
func Answers(url string) bool {
	_, err := get(url)
	return err == nil
}

// listening are the TCP ports at which somebody listens on this computer, in IPv4 (proc_pid_net(5)).
func listening() map[string]bool {
	const listen = "0A" // TCP_LISTEN
	ports := map[string]bool{}
	table, _ := os.ReadFile("/proc/net/tcp") // without it nothing is known to be taken
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if len(f) < 4 || f[3] != listen {
			continue
		}
		_, port, _ := strings.Cut(f[1], ":")
		if n, err := strconv.ParseUint(port, 16, 16); err == nil {
			ports[strconv.FormatUint(n, 10)] = true
		}
	}
	return ports
}

// Mirror skips the test where no Debian mirror can be reached: the first that this computer's own apt names.
func Mirror(t testing.TB) {
	t.Helper()
	var files []string
	for _, pattern := range []string{"/etc/apt/sources.list", "/etc/apt/sources.list.d/*.list", "/etc/apt/sources.list.d/*.sources"} {
		found, _ := filepath.Glob(pattern) // the patterns are well formed
		files = append(files, found...)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(strings.TrimSpace(line), "#") {
				continue
			}
			for _, word := range strings.Fields(line) {
				if strings.HasPrefix(word, "http") && Answers(strings.TrimSuffix(word, "/")+"/dists/bookworm/Release") {
					return
				}
			}
		}
	}
	t.Skip("missing: debian mirror")
}
