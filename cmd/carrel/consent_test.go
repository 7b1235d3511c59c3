package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestConsent: what somebody else wrote is not built before a person was told what it does and agreed, and has to be looked
// at again when it has changed. What it is called cannot write to the terminal.
func TestConsent(t *testing.T) {
	served, made := t.TempDir(), filepath.Join(t.TempDir(), "made")
	t.Setenv("CARREL_HOME", t.TempDir())
	server := httptest.NewServer(http.FileServer(http.Dir(served)))
	defer server.Close()
	write := func(text string) {
		if err := os.MkdirAll(filepath.Join(served, "app"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(served, "app", "Singularity"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		status, index, errs := call(t, "catalog", "index", served)
		if status != 0 {
			t.Fatal(errs)
		}
		if err := os.WriteFile(filepath.Join(served, "index.json"), []byte(index), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// The last line of each fails, so that nothing is ever built here.
	const recipe = "Bootstrap: scratch\n%labels\n org.opencontainers.image.title \x1b]0;owned\x07Title\n%setup\n touch "
	write(recipe + made + "\n false\n")
	if status, _, errs := call(t, "catalog", "add", "--name", "lab", server.URL+"/index.json"); status != 0 {
		t.Fatal(errs)
	}
	refused := func(when string) {
		t.Helper()
		status, out, errs := call(t, "build", "lab/app")
		if status != exitFailure || !strings.Contains(errs, "nobody has looked at it yet") || !strings.Contains(errs, "outside of the container, and can do all that you can") {
			t.Errorf("%s: status %d\n%s", when, status, errs)
		}
		if strings.Contains(out+errs, "\x1b") {
			t.Errorf("%s: it writes to the terminal: %q", when, out+errs)
		}
		if _, err := os.Lstat(made); !os.IsNotExist(err) {
			t.Fatalf("%s: it ran", when)
		}
	}
	refused("new")
	for _, args := range [][]string{{"catalog"}, {"catalog", "search", "app"}, {"catalog", "show", "lab/app"}, {"catalog", "sources"}} {
		if _, out, errs := call(t, args...); strings.Contains(out+errs, "\x1b") {
			t.Errorf("%q writes to the terminal: %q", args, out+errs)
		}
	}
	if status, _, errs := call(t, "catalog", "allow", "lab/app"); status != 0 {
		t.Fatal(errs)
	}
	if _, _, errs := call(t, "catalog", "show", "lab/app"); strings.Contains(errs, "nobody has looked") {
		t.Errorf("allowed: %s", errs)
	}
	write(recipe + made + "\n # changed\n false\n")
	if status, _, errs := call(t, "catalog", "update", "lab"); status != 0 {
		t.Fatal(errs)
	}
	refused("changed")
}
