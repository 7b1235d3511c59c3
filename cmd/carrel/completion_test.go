package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestCompletion asks as the shells do. Every verb that takes the name of something knows such names.
func TestCompletion(t *testing.T) {
	home := t.TempDir()
	t.Setenv("CARREL_HOME", home)
	t.Setenv("HOME", home)
	t.Chdir(t.TempDir())
	recipes := filepath.Join(home, "recipes")
	if err := os.MkdirAll(recipes, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("stroop.txt", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	store := filepath.Join(home, "images")
	if err := os.MkdirAll(store, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(store, "study.sif"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _, errs := call(t, "catalog", "add", "--name", "lab", recipes); status != 0 {
		t.Fatal(errs)
	}
	for line, want := range map[string]string{
		"run ngi":              "nginx-basic",
		"run st":               "stroop.txt",
		"inspect st":           "study",
		"build exp":            "expfactory",
		"cp st":                "study",
		"share st":             "study",
		"push st":              "study",
		"verify st":            "study",
		"catalog show nginx-b": "nginx-basic",
		"catalog allow exp":    "expfactory",
		"catalog update l":     "lab",
		"catalog rm l":         "lab",
		"cache prune ":         "oci",
		"run --net p":          "private",
		"help ":                "ports",
		"sto":                  "stop",
	} {
		var names []string
		for l := range strings.Lines(complete(t, line)) {
			name, _, _ := strings.Cut(strings.TrimSuffix(l, "\n"), "\t")
			names = append(names, name)
		}
		if !slices.Contains(names, want) {
			t.Errorf("%q: %q is not among %q", line, want, names)
		}
	}
	for _, line := range []string{"version ", "doctor ", "logout "} { // they take nothing, and nothing is stored
		if out := complete(t, line); !strings.HasPrefix(out, ":") {
			t.Errorf("%q is completed: %q", line, out)
		}
	}
}

// complete is what the program answers a shell about the last word of a line.
func complete(t *testing.T, line string) string {
	t.Helper()
	a := newApp()
	root := rootCommand(a)
	var out, remarks strings.Builder
	root.SetOut(&out)
	root.SetErr(&remarks)
	root.SetArgs(append([]string{"__complete"}, strings.Split(line, " ")...))
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Errorf("%q: %v\n%s", line, err, remarks.String())
	}
	return out.String()
}

// TestCompletionScripts has each shell that is there read what it would load.
func TestCompletionScripts(t *testing.T) {
	for _, shell := range shells {
		status, out, errs := call(t, "completion", shell)
		if status != 0 || !strings.Contains(out, "carrel") {
			t.Errorf("%s: status %d, %s", shell, status, errs)
		}
		if _, err := exec.LookPath(shell); err != nil {
			continue // bash is everywhere
		}
		check := exec.Command(shell, "-n")
		check.Stdin = strings.NewReader(out)
		if text, err := check.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", shell, err, text)
		}
	}
}
