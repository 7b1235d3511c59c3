package main

import (
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestLicences holds docs/licences.md to the modules that are linked; it fails as well when one has a licence that is not known.
func TestLicences(t *testing.T) {
	t.Chdir("../..")
	got, err := licencesPage()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("docs/licences.md")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(data), got); diff != "" {
		t.Errorf("go run ./scripts/release -licences > docs/licences.md\n%s", diff)
	}
}

func TestDebianVersion(t *testing.T) {
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for version, want := range map[string]string{
		"v1.2.3":              "1.2.3",
		"v1.2.3-4-g0123456":   "1.2.3+4+g0123456",
		"v1.2.3-dirty":        "1.2.3+dirty",
		"0123456":             "0+20261122100000+0123456",
		"abcdef0-dirty":       "0+20261122100000+abcdef0+dirty",
		"development":         "0+20261122100000+development",
		"v2.0.0-rc1-0-gabcde": "2.0.0+rc1+0+gabcde",
	} {
		if got := debianVersion(origin{version: version, time: at}); got != want {
			t.Errorf("%s: got %s, want %s", version, got, want)
		}
	}
}
