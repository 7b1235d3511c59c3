package main

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/exp/golden"
	"github.com/sylabs/sif/v2/pkg/sif"
)

// boxes makes two sandbox folders that differ, with times that do not.
func boxes(t *testing.T) (before, after string) {
	t.Helper()
	base := t.TempDir()
	dpkg := "Package: libc6\nStatus: install ok installed\nVersion: 2.36\n\nPackage: zlib1g\nStatus: install ok installed\nVersion: 1.2\n"
	for name, files := range map[string]map[string]string{
		"before": {"etc/hosts": "127.0.0.1\n", "opt/old": strings.Repeat("o", 3000), "var/lib/dpkg/status": dpkg, ".singularity.d/runscript": "#!/bin/sh\n\x1b[2Jecho hello\n", ".singularity.d/labels.json": `{"Author": "Grace"}`},
		"after":  {"etc/hosts": "127.0.0.2\n", "opt/new": strings.Repeat("n", 5_000_000), "var/lib/dpkg/status": strings.Replace(dpkg, "1.2\n", "1.3\n", 1)},
	} {
		for file, text := range files {
			p := filepath.Join(base, name, file)
			if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o644), os.Chmod(p, 0o644)); err != nil {
				t.Fatal(err)
			}
		}
	}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	_ = filepath.Walk(base, func(p string, _ os.FileInfo, _ error) error { return os.Chtimes(p, at, at) })
	return filepath.Join(base, "before"), filepath.Join(base, "after")
}

func TestInspectOutputs(t *testing.T) {
	before, after := boxes(t)
	var all strings.Builder
	for _, args := range [][]string{
		{"--files", before}, {"--files", "--json", before, "/etc"}, {"--cat", "/etc/hosts", before}, {"--size", before}, {"--size", after, "opt"},
		{"--packages", before}, {"--diff", before, after}, {"--diff", before, before}, {"--diff", "--json", before, after},
		{"--labels", before}, {"--runscript", "--labels", before}, {"--json", before}, {"--all", before}, {"--list-apps", before}, {"--test", before},
	} {
		status, out, errs := call(t, append([]string{"inspect"}, args...)...)
		if status != 0 {
			t.Errorf("%q: status %d: %s", args, status, errs)
		}
		all.WriteString("$ carrel inspect " + strings.Join(args, " ") + "\n" + out + errs)
	}
	text := strings.NewReplacer(filepath.Dir(before)+"/", "", " "+owner()+" ", " 0:0 ", `"uid": `+uid(), `"uid": 0`, `"gid": `+gid(), `"gid": 0`).Replace(all.String())
	golden.RequireEqual(t, []byte(text))
}

func TestInspectRefuses(t *testing.T) {
	before, _ := boxes(t)
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--diff", before}, "OTHER is missing"},
		{[]string{"--files", "--size", before}, "exclude each other"},
		{[]string{"--files", "--labels", before}, "exclude each other"},
		{[]string{before, "/etc"}, "one argument too many"},
	} {
		if status, _, errs := call(t, append([]string{"inspect"}, tt.args...)...); status != exitUsage || !strings.Contains(errs, tt.want) {
			t.Errorf("%q: status %d: %s", tt.args, status, errs)
		}
	}
	if status, _, errs := call(t, "inspect", "--files", before, "/nothing"); status != exitFailure || !strings.Contains(errs, "/nothing") {
		t.Errorf("status %d: %s", status, errs)
	}
}

func TestCp(t *testing.T) {
	before, _ := boxes(t)
	dest := t.TempDir()
	status, out, errs := call(t, "cp", before+":/etc/hosts", dest)
	if status != 0 || out != "" || !strings.Contains(errs, "copied 1 file (10 B) to") {
		t.Errorf("status %d: %q %q", status, out, errs)
	}
	if b, err := os.ReadFile(filepath.Join(dest, "hosts")); err != nil || string(b) != "127.0.0.1\n" {
		t.Errorf("%q, %v", b, err)
	}
	// A file that is there is replaced only when that is asked for.
	if err := os.WriteFile(filepath.Join(dest, "hosts"), []byte("mine\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{dest, filepath.Join(dest, "hosts")} {
		if status, _, errs := call(t, "cp", before+":/etc/hosts", to); status != exitFailure || !strings.Contains(errs, "hosts: exists already") || !strings.Contains(errs, "--force") {
			t.Errorf("status %d: %q", status, errs)
		}
	}
	if b, err := os.ReadFile(filepath.Join(dest, "hosts")); err != nil || string(b) != "mine\n" {
		t.Errorf("%q, %v", b, err)
	}
	if status, _, errs := call(t, "cp", "--force", before+":/etc/hosts", dest); status != 0 {
		t.Errorf("status %d: %q", status, errs)
	}
	if b, err := os.ReadFile(filepath.Join(dest, "hosts")); err != nil || string(b) != "127.0.0.1\n" {
		t.Errorf("%q, %v", b, err)
	}
	if status, _, errs := call(t, "cp", before, dest); status != exitUsage {
		t.Errorf("status %d: %s", status, errs)
	}
	for in, want := range map[string][2]string{
		"a.sif:/etc": {"a.sif", "/etc"}, "a.sif:etc": {"a.sif", "etc"}, "docker://alpine:/etc/x": {"docker://alpine", "/etc/x"},
		"docker://h:5000/a:v1:/etc": {"docker://h:5000/a:v1", "/etc"}, "oci:dir:tag:/x": {"oci:dir:tag", "/x"},
	} {
		if image, at, ok := cutInside(in); !ok || image != want[0] || at != want[1] {
			t.Errorf("%q: %q, %q, %v", in, image, at, ok)
		}
	}
	for _, in := range []string{"a.sif", ":/x", "a.sif:", "/a/b"} {
		if _, _, ok := cutInside(in); ok {
			t.Errorf("%q names a path in an image", in)
		}
	}
}

func TestBuildFormats(t *testing.T) {
	before, _ := boxes(t)
	target := filepath.Join(t.TempDir(), "image")
	if status, _, errs := call(t, "build", "--format", "zip", target, before); status != exitUsage || !strings.Contains(errs, "zip") {
		t.Errorf("status %d: %s", status, errs)
	}
	if status, _, errs := call(t, "build", "--format", "oci", before); status != exitUsage {
		t.Errorf("status %d: %s", status, errs)
	}
	if status, _, errs := call(t, "build", "-q", "--format", "docker-archive", target, before); status != 0 {
		t.Fatalf("status %d: %s", status, errs)
	}
	if status, out, errs := call(t, "inspect", "--labels", target); status != 0 || out != "Author: Grace\n" {
		t.Errorf("status %d: %q %s", status, out, errs)
	}
}

func uid() string   { return strconv.Itoa(os.Getuid()) }
func gid() string   { return strconv.Itoa(os.Getgid()) }
func owner() string { return uid() + ":" + gid() }

// TestVerify: what nothing vouches for is named, and does not pass for checked.
func TestVerify(t *testing.T) {
	box, _ := boxes(t)
	made := filepath.Join(t.TempDir(), "made.sif")
	if status, _, errs := call(t, "build", made, box); status != 0 {
		t.Fatal(errs)
	}
	if status, out, errs := call(t, "verify", made); status != 0 || out != "" || !strings.Contains(errs, "made.sif is as it was made: 4 of 4 parts match") {
		t.Errorf("status %d: %q %q", status, out, errs)
	}
	f, err := sif.LoadContainerFromPath(made)
	if err != nil {
		t.Fatal(err)
	}
	in, err := sif.NewDescriptorInput(sif.DataGeneric, strings.NewReader("abc"), sif.OptObjectName("notes.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.AddObject(in), f.UnloadContainer()); err != nil {
		t.Fatal(err)
	}
	status, out, errs := call(t, "verify", made)
	if status != 0 || !strings.Contains(errs, "4 of 5 parts match their digests; nothing vouches for") || !strings.Contains(out, "part 5  Generic/Raw  notes.txt  3 B") {
		t.Errorf("status %d: %q %q", status, out, errs)
	}
	b, err := os.ReadFile(made)
	if err != nil {
		t.Fatal(err)
	}
	b[37000]++ // in the file system
	if err := os.WriteFile(made, b, 0o755); err != nil {
		t.Fatal(err)
	}
	if status, _, errs := call(t, "verify", made); status != exitFailure || !strings.Contains(errs, "is not what was written") {
		t.Errorf("status %d: %q", status, errs)
	}
	if status, _, errs := call(t, "verify", box); status != exitFailure || !strings.Contains(errs, "only SIF files") {
		t.Errorf("status %d: %q", status, errs)
	}
}

// TestCacheTellsHotCopies: of which images there are unpacked copies, and how much of them is kept at most.
func TestCacheTellsHotCopies(t *testing.T) {
	home := t.TempDir()
	t.Setenv("CARREL_HOME", home)
	if status, out, errs := call(t, "cache"); status != 0 || strings.Contains(out, "Unpacked copies") {
		t.Errorf("status %d: %s%s", status, out, errs)
	}
	for name, note := range map[string]string{"one": "3000000 /data/jupyter.sif\n", "two": "2000000 /data/r.sif\n"} {
		dir := filepath.Join(home, "cache/hot", name)
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, "root"), 0o755), os.WriteFile(filepath.Join(dir, "used"), []byte(note), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	status, out, errs := call(t, "cache")
	for _, want := range []string{"Unpacked copies, 5 MB of at most 8.6 GB (hot_limit)", "/data/jupyter.sif", "/data/r.sif", "3 MB"} {
		if status != 0 || !strings.Contains(out, want) {
			t.Errorf("status %d: no %q in %s%s", status, want, out, errs)
		}
	}
}
