// Package apptainertest runs a real Apptainer in tests that check compatibility with it.
package apptainertest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Command is the program to call: the one that the variable CARREL_APPTAINER names, or the tool beside the repository
// that sets one up. The test is skipped where there is none, or where it cannot work because the test is not root.
func Command(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("missing: apptainer (not used by -short)")
	}
	if path := os.Getenv("CARREL_APPTAINER"); path != "" {
		return path
	}
	path := filepath.Join(repository(t), "..", "shared", "tools", "apptainer")
	if _, err := os.Stat(path); err != nil || os.Getuid() != 0 {
		t.Skip("missing: apptainer")
	}
	return path
}

// Run calls Apptainer, lets the test fail when it does, and returns what it wrote to its standard output.
func Run(t testing.TB, args ...string) string {
	t.Helper()
	cmd := exec.Command(Command(t), args...)
	cmd.Dir = "/tmp"
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("apptainer %q: %v\n%s%s", args, err, out.String(), errs.String())
	}
	return out.String()
}

// repository is the folder that holds go.mod.
func repository(t testing.TB) string {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == "/" {
			t.Fatal("no go.mod above the test's folder")
		}
		dir = filepath.Dir(dir)
	}
}
