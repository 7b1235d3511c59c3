package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestDebianPackage: twice the same bytes; what is installed is there, names nothing that is not, and goes with the package.
func TestDebianPackage(t *testing.T) {
	for _, program := range []string{"dpkg-deb", "dpkg"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("missing: " + program)
		}
	}
	t.Chdir("../..")
	dir := t.TempDir()
	binary, companions := filepath.Join(dir, "carrel-linux-amd64"), filepath.Join(dir, "companions")
	for name, text := range map[string]string{
		binary: "#!/bin/sh\necho carrel\n", filepath.Join(companions, "man/man1/carrel.1"): ".TH carrel 1\n",
		filepath.Join(companions, "bash-completion/completions/carrel"): "# bash\n",
	} {
		if err := write(name, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	o := origin{version: "v1.2.3", commit: strings.Repeat("a", 40), time: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)}
	var packages [2][]byte
	var deb string
	for i := range packages {
		out := filepath.Join(dir, "out"+string(rune('0'+i)))
		if err := os.Mkdir(out, 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if deb, err = debianPackage(o, binary, companions, "none", out); err != nil {
			t.Fatal(err)
		}
		if packages[i], err = os.ReadFile(deb); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(packages[0], packages[1]) {
		t.Error("the package has other bytes the second time")
	}
	root := filepath.Join(dir, "root")
	if os.Getuid() != 0 {
		run(t, "dpkg-deb", "-x", deb, root)
		checkInstalled(t, root)
		return
	}
	for _, folder := range []string{"info", "updates", "triggers", "parts"} {
		if err := os.MkdirAll(filepath.Join(root, "var/lib/dpkg", folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "var/lib/dpkg/status"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, "dpkg", "--root="+root, "--log=/dev/null", "--force-architecture", "--force-not-root", "-i", deb)
	checkInstalled(t, root)
	run(t, "dpkg", "--root="+root, "--log=/dev/null", "-r", "carrel")
	if left, err := filepath.Glob(filepath.Join(root, "usr/*")); err != nil || len(left) > 0 {
		t.Errorf("removing it left %v (%v)", left, err)
	}
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

var links = regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)

func checkInstalled(t *testing.T, root string) {
	t.Helper()
	for _, file := range []string{"usr/bin/carrel", "usr/share/man/man1/carrel.1.gz", "usr/share/bash-completion/completions/carrel", "usr/share/doc/carrel/copyright", "usr/share/doc/carrel/docs/tutorial.md"} {
		if st, err := os.Stat(filepath.Join(root, file)); err != nil || !st.Mode().IsRegular() {
			t.Errorf("%s: %v", file, err)
		}
	}
	doc := filepath.Join(root, "usr/share/doc/carrel")
	count := 0
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		files, err := filepath.Glob(filepath.Join(doc, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range links.FindAllSubmatch(data, -1) {
				count++
				if _, err := os.Stat(filepath.Join(filepath.Dir(file), string(m[1]))); err != nil {
					t.Errorf("%s names %s, which is not installed", filepath.Base(file), m[1])
				}
			}
		}
	}
	if count < 20 {
		t.Errorf("only %d links were found in the documents", count)
	}
}
