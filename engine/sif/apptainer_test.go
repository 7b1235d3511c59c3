package sif

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"carrel/internal/apptainertest"
)

// squash packs files (name → content) by mksquashfs.
func squash(t *testing.T, files map[string]string) []byte {
	t.Helper()
	if _, err := exec.LookPath("mksquashfs"); err != nil {
		t.Skip("missing: mksquashfs")
	}
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, "root", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	image := filepath.Join(dir, "image")
	if out, err := exec.Command("mksquashfs", filepath.Join(dir, "root"), image, "-quiet", "-no-progress", "-all-root").CombinedOutput(); err != nil {
		t.Fatalf("mksquashfs: %v\n%s", err, out)
	}
	b, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestApptainerListsAndInspectsOurs(t *testing.T) {
	apptainertest.Command(t)
	c := contents()
	c.Arch = ""
	c.Metadata = []byte(`{"data":{"attributes":{"apps":{},"environment":{},"labels":{"colour":"blue"},"runscript":"#!/bin/sh\n\necho hello\n","test":"","helpfile":"","deffile":"","startscript":""}},"type":"container"}`)
	c.System = writeAll(squash(t, map[string]string{"hello": "hi\n", ".singularity.d/labels.json": `{"colour":"blue"}`}))
	path := create(t, c)
	appendOverlay(t, path, squash(t, map[string]string{"more": "x\n"}))

	list := apptainertest.Run(t, "sif", "list", path)
	for _, want := range []string{`1 +\|1 +\|NONE +\|32176-.*\|Def.FILE`, `2 +\|1.*\|JSON.Generic`, `3 +\|1.*\|JSON.Generic`,
		`4 +\|1.*\|FS \(Squashfs/\*System/amd64\)`, `5 +\|1.*\|FS \(Squashfs/Overlay/amd64\)`} {
		if !regexp.MustCompile(want).MatchString(list) {
			t.Errorf("sif list has no %s:\n%s", want, list)
		}
	}
	if out := apptainertest.Run(t, "inspect", "--labels", path); !strings.Contains(out, "colour: blue") {
		t.Errorf("labels: %s", out)
	}
	if out := apptainertest.Run(t, "sif", "dump", "1", path); !strings.Contains(out, "echo hello") {
		t.Errorf("definition: %s", out)
	}
}

func TestReadsWhatApptainerBuilt(t *testing.T) {
	apptainertest.Command(t)
	dir := t.TempDir()
	def, image := filepath.Join(dir, "Singularity"), filepath.Join(dir, "x.sif")
	text := "Bootstrap: scratch\n\n%labels\n    colour blue\n\n%runscript\n    echo hello\n"
	if err := os.WriteFile(def, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	apptainertest.Run(t, "build", image, def)
	m, err := Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if b, _ := m.Definition(); !bytes.Contains(b, []byte("echo hello")) {
		t.Errorf("definition: %q", b)
	}
	if b, _ := m.JSON(MetadataName); !bytes.Contains(b, []byte(`"colour": "blue"`)) && !bytes.Contains(b, []byte(`"colour":"blue"`)) {
		t.Errorf("metadata: %s", b)
	}
	sys, err := m.System()
	if err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 4)
	if _, err := io.ReadFull(m.Reader(sys), head); err != nil || string(head) != squashMagic {
		t.Errorf("system begins with %q, %v", head, err)
	}
	appendOverlay(t, image, squash(t, map[string]string{"more": "x\n"}))
	if list := apptainertest.Run(t, "sif", "list", image); !strings.Contains(list, "Squashfs/Overlay") {
		t.Errorf("sif list after appending:\n%s", list)
	}
}
