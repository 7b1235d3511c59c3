package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// debianPackage makes a package of a binary and its companions, by dpkg-deb(1) with the commit's time everywhere, and returns
// its path. It has no scripts: to remove it is to remove its files.
func debianPackage(o origin, binary, companions, licences, out string) (string, error) {
	root, err := os.MkdirTemp("", "carrel-deb-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(root)
	if err := os.Chmod(root, 0o755); err != nil {
		return "", err
	}
	program, err := os.ReadFile(binary)
	if err != nil {
		return "", err
	}
	if err := write(filepath.Join(root, "usr/bin/carrel"), program, 0o755); err != nil {
		return "", err
	}
	share := filepath.Join(root, "usr/share")
	if err := filepath.WalkDir(companions, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		below, err := filepath.Rel(companions, path)
		if err != nil {
			return err
		}
		if strings.HasPrefix(below, "man/") {
			if data, err = compressed(data); err != nil {
				return err
			}
			below += ".gz"
		}
		return write(filepath.Join(share, below), data, 0o644)
	}); err != nil {
		return "", err
	}
	own, err := os.ReadFile("LICENSE")
	if err != nil {
		return "", err
	}
	if err := write(filepath.Join(share, "doc/carrel/copyright"), []byte("Carrel\n\n"+string(own)+"\n\nParts of others in the program:\n\n"+licences), 0o644); err != nil {
		return "", err
	}
	if err := copyDocuments(filepath.Join(share, "doc/carrel")); err != nil {
		return "", err
	}
	size := int64(0)
	if err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		st, err := d.Info()
		if err != nil {
			return err
		}
		if d.Type().IsRegular() {
			size += (st.Size() + 1023) / 1024
		}
		return os.Chtimes(path, o.time, o.time)
	}); err != nil {
		return "", err
	}
	arch := binary[strings.LastIndexByte(binary, '-')+1:]
	version := debianVersion(o)
	control := fmt.Sprintf(`Package: carrel
Version: %s
Architecture: %s
Maintainer: Carrel <carrel@localhost>
Installed-Size: %d
Section: science
Priority: optional
Recommends: uidmap
Description: private desk for every research app
 Carrel runs notebooks, experiments and result pages in containers, with your
 own folder in them, and shows you the address to open. It builds definition
 files and runs images of Singularity and Apptainer, without a daemon and
 without administrator rights.
`, version, arch, size)
	if err := write(filepath.Join(root, "DEBIAN/control"), []byte(control), 0o644); err != nil {
		return "", err
	}
	deb := filepath.Join(out, "carrel_"+version+"_"+arch+".deb")
	cmd := exec.Command("dpkg-deb", "--root-owner-group", "-Zxz", "--build", root, deb)
	cmd.Env = append(os.Environ(), fmt.Sprintf("SOURCE_DATE_EPOCH=%d", o.time.Unix()))
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("dpkg-deb: %w\n%s", err, text)
	}
	return deb, nil
}

var released = regexp.MustCompile(`^v?(\d+(?:\.\d+)*)(.*)$`)

// debianVersion is a version as deb-version(7) has them: that of the tag, or else 0 and the commit's time, which grows.
func debianVersion(o origin) string {
	plain := func(s string) string { return strings.ReplaceAll(strings.Trim(s, "-"), "-", "+") }
	if m := released.FindStringSubmatch(o.version); m != nil && strings.Contains(m[1], ".") {
		if rest := plain(m[2]); rest != "" {
			return m[1] + "+" + rest
		}
		return m[1]
	}
	return "0+" + o.time.Format("20060102150405") + "+" + plain(o.version)
}

// compressed is gzip without a time and a name in it.
func compressed(data []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// documents are what documentation consists of, below the project's folder; they name one another by these paths.
var documents = []string{"README.md", "LICENSE", "SECURITY.md", "ARCHITECTURE.md", "docs/*.md", "docs/pictures/*"}

// copyDocuments copies the documentation into a folder.
func copyDocuments(dir string) error {
	for _, pattern := range documents {
		files, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			if err := write(filepath.Join(dir, file), data, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}
