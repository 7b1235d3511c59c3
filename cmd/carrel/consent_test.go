package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
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
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	image := filepath.Join(t.TempDir(), "image.sif")
	ways := [][]string{{"carrel", "build", "lab/app"}, {"carrel", "run", "lab/app"}, {"carrel", "run", "-d", "lab/app"}, {"carrel", "exec", "lab/app", "true"},
		{"singularity", "build", image, "lab/app"}, {"apptainer", "exec", "lab/app", "true"}, {"singularity", "run", "lab/app"},
		{"apptainer", "shell", "lab/app"}, {"singularity", "bootstrap", image, "lab/app"}, {"apptainer", "instance", "start", "lab/app", "name"},
		{"run-singularity", "lab/app"}}
	refused := func(when string, ways ...[]string) {
		t.Helper()
		for _, args := range ways {
			c := exec.CommandContext(t.Context(), self)
			c.Args = args
			out, err := c.CombinedOutput()
			if c.ProcessState == nil || c.ProcessState.ExitCode() != exitFailure || !strings.Contains(string(out), "nobody has looked at it yet") ||
				!strings.Contains(string(out), "outside of the container, and can do all that you can") || !strings.Contains(string(out), "carrel catalog allow app") {
				t.Errorf("%s: %q: %v\n%s", when, args, err, out)
			}
			if strings.Contains(string(out), "\x1b") {
				t.Errorf("%s: %q writes to the terminal: %q", when, args, out)
			}
			if _, err := os.Lstat(made); !os.IsNotExist(err) {
				t.Fatalf("%s: %q: it ran", when, args)
			}
		}
	}
	refused("new", ways...)
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
	c := exec.CommandContext(t.Context(), self)
	c.Args = []string{"singularity", "build", image, "lab/app"}
	if out, err := c.CombinedOutput(); err == nil || strings.Contains(string(out), "nobody has looked") {
		t.Errorf("allowed, as singularity: %v\n%s", err, out)
	}
	if err := os.Remove(made); err != nil {
		t.Errorf("allowed, it did not run: %v", err)
	}
	write(recipe + made + "\n # changed\n false\n")
	if status, _, errs := call(t, "catalog", "update", "lab"); status != 0 {
		t.Fatal(errs)
	}
	refused("changed", ways[0], ways[4], ways[5])
}
