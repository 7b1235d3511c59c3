package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLintFix(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "Singularity")
	const text = "Bootstrap: docker\nFrom: debian:12\n# why\n%psot\n sudo apt-get install \\\n   a # b\n%labels\n A\tb\n"
	const want = "Bootstrap: docker\nFrom: debian:12\n# why\n%post\n apt-get install -y \\\n   a # b\n%labels\n A b\n"
	write := func(perm os.FileMode) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), perm); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, perm); err != nil {
			t.Fatal(err)
		}
	}
	write(0o640)
	link := filepath.Join(dir, "link")
	if err := os.Symlink("Singularity", link); err != nil {
		t.Fatal(err)
	}
	if status, out, _ := call(t, "lint", dir); status != 1 || !strings.Contains(out, "--fix puts right") {
		t.Errorf("status %d\n%s", status, out)
	}
	status, out, errs := call(t, "lint", "--fix", link)
	if status != 0 {
		t.Fatalf("status %d: %s%s", status, out, errs)
	}
	for _, line := range []string{"-%psot", "+%post", " # why", "- sudo apt-get install \\", "+ apt-get install -y \\", "- A→b", "(section-unknown)", "nothing else to remark"} {
		if !strings.Contains(out, line+"\n") && !strings.Contains(out, line) {
			t.Errorf("%q is missing in\n%s", line, out)
		}
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != want {
		t.Errorf("%v\n%s", err, got)
	}
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o640 {
		t.Errorf("%v, permissions %v", err, st.Mode())
	}
	if st, err := os.Lstat(link); err != nil || st.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link became a file: %v, %v", err, st.Mode())
	}
	// Again, there is nothing to do, and nothing is written.
	before, _ := os.Stat(file)
	if status, out, _ := call(t, "lint", "--fix", file); status != 0 || !strings.Contains(out, "nothing to remark") {
		t.Errorf("status %d\n%s", status, out)
	}
	if after, _ := os.Stat(file); !os.SameFile(before, after) {
		t.Error("the file was written anew without a change")
	}

	write(0o640)
	status, out, _ = call(t, "lint", "--fix", "--json", file)
	var report struct {
		Valid    bool
		Findings []any
		Fixed    []struct {
			Rule string
			Edit []map[string]any
		}
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || status != 0 {
		t.Fatalf("status %d, %v\n%s", status, err, out)
	}
	if !report.Valid || len(report.Findings) > 0 || len(report.Fixed) != 4 || len(report.Fixed[0].Edit) == 0 {
		t.Errorf("%+v", report)
	}
	if list, _ := os.ReadDir(dir); len(list) != 2 {
		t.Errorf("left behind: %v", list)
	}
}

func TestLintFixRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "x.def")
	const text = "Bootstrap: docker\nFrom: debian:12\n%post\tx\n"
	if err := os.WriteFile(file, []byte(text), 0o444); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() != 0 { // root may write what is read-only
		if status, _, errs := call(t, "lint", "--fix", file); status != exitFailure || !strings.Contains(errs, "permission denied") {
			t.Errorf("status %d: %s", status, errs)
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != text {
			t.Errorf("%v: %q", err, got)
		}
	}
	// What cannot be put right by a machine is left to the person.
	other := filepath.Join(dir, "other.def")
	if err := os.WriteFile(other, []byte("Bootstrap: docker\nFrom: debian\n%install\n x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if status, out, _ := call(t, "lint", "--fix", other); status != 1 || !strings.Contains(out, "did you mean %post?") {
		t.Errorf("status %d\n%s", status, out)
	}
}

// TestLintAll: a file that cannot be read says nothing of the others, labels are read as apps read them, and what build
// refuses is an error.
func TestLintAll(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for name, text := range map[string]string{
		"a":   "Bootstrap: docker\nFrom: debian:12\n%labels\n    carrel.port.abc http\n",
		"b":   "Bootstrap: docker\nFrom: debian:12\n%labels\n    A b\n",
		"hub": "Bootstrap: shub\nFrom: a/b\n%labels\n    A b\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	status, out, errs := call(t, "lint", "a", "missing", "b")
	if status != exitFailure || !strings.Contains(out, "a:4: warning") || !strings.Contains(out, "carrel.port.abc") || !strings.Contains(out, "b: ✓") {
		t.Errorf("%d, %q", status, out)
	}
	if !strings.Contains(errs, "missing: no such file") || !strings.Contains(errs, "on this computer") || strings.Contains(errs, "nside") {
		t.Errorf("errors %q", errs)
	}
	status, out, _ = call(t, "lint", "--json", "b", "hub")
	if status != 1 || !strings.Contains(out, `{"file":"b","valid":true,"builds":true,"findings":[]}`+"\n"+`{"file":"hub","valid":true,"builds":false,"findings":[{"rule":"bootstrap-gone"`) {
		t.Errorf("%d, %q", status, out)
	}
	for _, args := range [][]string{{"convert", "none.sif", "x"}, {"verify", "none.sif"}, {"build", "x.sif", "./none.def"}, {"cp", "none.sif:/x", "."}} {
		if _, _, errs := call(t, args...); strings.Contains(errs, "Inside it sees") {
			t.Errorf("%q: %q", args, errs)
		}
	}
}
