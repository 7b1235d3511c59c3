package sif

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Kind is what sort of image a path holds.
type Kind string

// The kinds that Detect knows.
const (
	KindUnknown       Kind = "unknown"
	KindSIF           Kind = "sif"
	KindSquashFS      Kind = "squashfs"       // alone in a file, as Singularity 2.4 and 2.5 wrote it or as mksquashfs does
	KindExt3          Kind = "ext3"           // Singularity before 2.4
	KindSandbox       Kind = "sandbox"        // a folder with a root file system
	KindOCILayout     Kind = "oci"            // a folder in the form of the OCI image layout
	KindOCIArchive    Kind = "oci-archive"    // the same in a tar file
	KindDockerArchive Kind = "docker-archive" // what docker save writes
)

// Detect tells what path holds by its first bytes, or by the names in it when it is a folder or a tar file, and at
// which byte a bare file system begins (after the launch line, if there is one). A path that holds something else is
// KindUnknown without an error.
func Detect(path string) (kind Kind, offset int64, err error) {
	f, err := openFile(path)
	if err != nil {
		return KindUnknown, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return KindUnknown, 0, err
	case info.IsDir():
		return detectFolder(path), 0, nil
	case !info.Mode().IsRegular():
		return KindUnknown, 0, nil
	}
	kind, offset, err = detectFile(f)
	if err != nil {
		return KindUnknown, 0, fmt.Errorf("read %s: %w", path, err)
	}
	return kind, offset, nil
}

func detectFolder(path string) Kind {
	has := func(name string) bool {
		_, err := os.Lstat(filepath.Join(path, name))
		return err == nil
	}
	if has("oci-layout") && has("index.json") {
		return KindOCILayout
	}
	for _, name := range []string{".singularity.d", "singularity", "bin", "usr", "etc"} {
		if has(name) {
			return KindSandbox
		}
	}
	return KindUnknown
}

const (
	squashMagic = "hsqs"
	ext3Magic   = 0xEF53 // at byte 56 of the superblock, which is at byte 1024 (ext4 on-disk layout, kernel documentation)
	maxLaunch   = 256
)

func detectFile(f *os.File) (Kind, int64, error) {
	head := make([]byte, 4096)
	n, err := f.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return KindUnknown, 0, err
	}
	head = head[:n]
	if len(head) >= 42 && string(head[32:42]) == magic {
		return KindSIF, 0, nil
	}
	offset := 0
	if bytes.HasPrefix(head, []byte("#!")) {
		if end := bytes.IndexByte(head[:min(len(head), maxLaunch)], '\n'); end >= 0 {
			offset = end + 1
		}
	}
	fs := head[offset:]
	if bytes.HasPrefix(fs, []byte(squashMagic)) {
		return KindSquashFS, int64(offset), nil
	}
	if len(fs) >= 1024+58 && binary.LittleEndian.Uint16(fs[1024+56:]) == ext3Magic {
		return KindExt3, int64(offset), nil
	}
	return detectTar(f, head), 0, nil
}

// maxScan bounds how many entries of a tar file are looked at for the one that tells its kind.
const maxScan = 20000

func detectTar(f *os.File, head []byte) Kind {
	var r io.Reader = f // a file, so that the tar reader seeks over the contents
	if bytes.HasPrefix(head, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(io.LimitReader(f, 1<<30))
		if err != nil {
			return KindUnknown
		}
		r = z
	} else if len(head) < 512 || string(head[257:262]) != "ustar" {
		return KindUnknown
	}
	t := tar.NewReader(r)
	for range maxScan {
		e, err := t.Next()
		if err != nil {
			break
		}
		switch filepath.Clean(e.Name) {
		case "oci-layout":
			return KindOCIArchive
		case "manifest.json":
			return KindDockerArchive
		}
	}
	return KindUnknown
}

var errKind = errors.New("not an image this program knows")

// Explain is the error for an image of a kind that cannot be used where it was given, with a hint.
func Explain(path string, kind Kind) error {
	if kind == KindExt3 {
		return &kindError{path, "an ext3 image of Singularity before 2.4", "convert it: carrel build new.sif " + path}
	}
	if kind == KindUnknown {
		return &kindError{path, errKind.Error(), "images are SIF or SquashFS files, sandbox folders and OCI archives"}
	}
	return &kindError{path, "an image of kind " + string(kind), "convert it: carrel build new.sif " + path}
}

type kindError struct{ path, what, hint string }

func (e *kindError) Error() string { return fmt.Sprintf("open %s: %s", e.path, e.what) }
func (e *kindError) Hint() string  { return e.hint }
