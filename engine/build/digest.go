package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"
	"strings"

	"carrel/engine/tree"
)

// digestSize is how many bytes of a SHA-256 name things in the cache.
const digestSize = 16

// digest names what a list of texts says.
func digest(texts ...string) string {
	h := sha256.New()
	for _, t := range texts {
		fmt.Fprintf(h, "%d:%s", len(t), t)
	}
	return hex.EncodeToString(h.Sum(nil)[:digestSize])
}

// treeDigest names the contents of a folder without its times.
type treeDigest struct {
	shape string            // of everything but the bytes of regular files: their number is part of it, as stat(2) tells it
	files map[string]string // digest of each regular file by path
}

// all names everything.
func (d *treeDigest) all() string {
	texts := []string{d.shape}
	for _, p := range slices.Sorted(maps.Keys(d.files)) {
		texts = append(texts, p, d.files[p])
	}
	return digest(texts...)
}

// digestTree reads an upper folder of an overlay.
func digestTree(ctx context.Context, dir string) (*treeDigest, error) {
	s := digestSink{shape: sha256.New(), files: map[string]string{}}
	if err := tree.Dir(dir, tree.DirOptions{}).WriteTo(ctx, &s); err != nil {
		return nil, err
	}
	return &treeDigest{shape: hex.EncodeToString(s.shape.Sum(nil)[:digestSize]), files: s.files}, nil
}

type digestSink struct {
	shape hash.Hash
	files map[string]string
}

func (s *digestSink) Add(e tree.Entry, body io.Reader) error {
	fmt.Fprintf(s.shape, "%q %o %d %d %q %q %d %d\n", e.Path, e.Mode, e.UID, e.GID, e.Link, e.HardLink, e.Major, e.Minor)
	for _, name := range slices.Sorted(maps.Keys(e.Xattrs)) {
		value := e.Xattrs[name]
		// "origin" and its like tell inodes of this disk (Documentation/filesystems/overlayfs.rst)
		if strings.Contains(name, ".overlay.") && !strings.HasSuffix(name, ".opaque") {
			continue
		}
		if i := strings.Index(name, "overlay."); i >= 0 { // "trusted." or "user.", by who mounted it
			name = name[i:]
		}
		fmt.Fprintf(s.shape, " %q %x\n", name, value)
	}
	if !e.IsRegular() {
		return nil
	}
	fmt.Fprintf(s.shape, " %d\n", e.Size)
	h := sha256.New()
	if _, err := io.Copy(h, body); err != nil {
		return err
	}
	s.files[e.Path] = hex.EncodeToString(h.Sum(nil)[:digestSize])
	return nil
}
