package sif

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func hexString(b []byte) string { return hex.EncodeToString(b) }

func TestDetect(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	archive := func(names ...string) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, name := range names {
			w.WriteHeader(&tar.Header{Name: name, Size: 3, Mode: 0o644})
			w.Write([]byte("abc"))
		}
		w.Close()
		return b.Bytes()
	}
	zipped := func(data []byte) []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		w.Write(data)
		w.Close()
		return b.Bytes()
	}
	ext3 := make([]byte, 2048)
	ext3[1024+56], ext3[1024+57] = 0x53, 0xEF

	file("layout/oci-layout", nil)
	file("layout/index.json", nil)
	file("sandbox/.singularity.d/runscript", nil)
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	rows := []struct {
		path   string
		kind   Kind
		offset int64
	}{
		{create(t, contents()), KindSIF, 0},
		{file("a.sqfs", system(100)), KindSquashFS, 0},
		{file("b.img", append([]byte(LaunchLine), system(100)...)), KindSquashFS, 31},
		{file("c.img", append([]byte(LaunchLine), ext3...)), KindExt3, 31},
		{file("d.img", ext3), KindExt3, 0},
		{filepath.Join(dir, "sandbox"), KindSandbox, 0},
		{filepath.Join(dir, "layout"), KindOCILayout, 0},
		{t.TempDir(), KindUnknown, 0},
		{file("e.tar", archive("blobs/sha256/x", "manifest.json")), KindDockerArchive, 0},
		{file("f.tar", archive("./oci-layout", "index.json")), KindOCIArchive, 0},
		{file("g.tgz", zipped(archive("x", "manifest.json"))), KindDockerArchive, 0},
		{file("h.tar", archive("x", "y")), KindUnknown, 0},
		{file("i.txt", []byte("#!/bin/sh\nexit\n")), KindUnknown, 0},
		{file("j", nil), KindUnknown, 0},
		{"/dev/null", KindUnknown, 0},
		{fifo, KindUnknown, 0},
	}
	for _, row := range rows {
		kind, offset, err := Detect(row.path)
		if kind != row.kind || offset != row.offset || err != nil {
			t.Errorf("%s: got %s at %d (%v), want %s at %d", filepath.Base(row.path), kind, offset, err, row.kind, row.offset)
		}
	}
	if _, _, err := Detect(filepath.Join(dir, "none")); !os.IsNotExist(err) {
		t.Errorf("missing: got %v", err)
	}
}
