package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"carrel/cmd/carrel/topics"
)

func TestManPages(t *testing.T) {
	dir := t.TempDir()
	if status, _, errs := call(t, "man-pages", dir); status != 0 {
		t.Fatal(errs)
	}
	pages, err := filepath.Glob(filepath.Join(dir, "man?", "*"))
	if err != nil {
		t.Fatal(err)
	}
	verbs := 1
	for _, c := range rootCommand(newApp()).Commands() {
		if c.IsAvailableCommand() {
			verbs++
			if _, err := os.Stat(filepath.Join(dir, "man1", "carrel-"+c.Name()+".1")); err != nil {
				t.Error(err)
			}
		}
	}
	if len(pages) < verbs+len(topics.List()) {
		t.Errorf("%d pages for %d verbs and %d topics", len(pages), verbs, len(topics.List()))
	}
	groff, err := exec.LookPath("groff")
	for _, page := range pages {
		data, readErr := os.ReadFile(page)
		if readErr != nil {
			t.Fatal(readErr)
		}
		text := string(data)
		name, section := strings.TrimSuffix(filepath.Base(page), filepath.Ext(page)), page[len(page)-1:]
		if !strings.HasPrefix(text, ".TH "+roff(strings.ToUpper(name))+" "+section+" ") || !strings.Contains(text, "\n.SH NAME\n"+roff(name)+` \- `) {
			t.Errorf("%s begins with\n%.200s", page, text)
		}
		if err == nil {
			if out, err := exec.Command(groff, "-k", "-man", "-Tutf8", "-wall", "-z", page).CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("groff %s: %v\n%s", filepath.Base(page), err, out)
			}
		}
	}
	run, err := os.ReadFile(filepath.Join(dir, "man1", "carrel-run.1"))
	if err != nil || !strings.Contains(string(run), `\fB\-p, \-\-publish\fR`) {
		t.Errorf("%v\n%s", err, run)
	}
}

func TestVersion(t *testing.T) {
	defer func(v, c, d string) { buildVersion, buildCommit, buildDate = v, c, d }(buildVersion, buildCommit, buildDate)
	buildVersion, buildCommit, buildDate = "v1.2.3", "0123456789abcdef0123", "2026-11-22T10:00:00Z"
	if status, out, _ := call(t, "version"); status != 0 || !strings.HasPrefix(out, "carrel v1.2.3 (linux/") || !strings.HasSuffix(out, "commit 0123456789ab of 2026-11-22 10:00:00Z\n") {
		t.Errorf("status %d\n%s", status, out)
	}
	if status, out, _ := call(t, "version", "--json"); status != 0 || !strings.Contains(out, `"commit": "0123456789abcdef0123"`) {
		t.Errorf("status %d\n%s", status, out)
	}
}
