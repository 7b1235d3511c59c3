package oci

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"carrel/engine/tree"

	"github.com/klauspost/compress/gzip"
)

// layerSum is what a written layer is known by.
type layerSum struct {
	digest string // of the bytes written, "sha256:…"
	diffID string // of the tar
	size   int64  // bytes written
}

// writeLayer writes a tree as one layer. Names are sorted as the source gives them; owners are numbers only, so that the
// same tree gives the same bytes.
func writeLayer(ctx context.Context, w io.Writer, source tree.Source, compress bool) (layerSum, error) {
	blob := &hashWriter{w: w, h: sha256.New()}
	diff := sha256.New()
	var to io.Writer = io.MultiWriter(blob, diff)
	finish := func() error { return nil }
	if compress {
		z, err := gzip.NewWriterLevel(blob, gzip.DefaultCompression)
		if err != nil {
			return layerSum{}, err
		}
		to, finish = io.MultiWriter(z, diff), z.Close
	}
	t := tar.NewWriter(to)
	if err := source.WriteTo(ctx, &tarSink{t: t, buf: make([]byte, 256<<10)}); err != nil {
		return layerSum{}, err
	}
	if err := t.Close(); err != nil {
		return layerSum{}, err
	}
	if err := finish(); err != nil {
		return layerSum{}, err
	}
	return layerSum{digestText(blob.h), digestText(diff), blob.n}, nil
}

func digestText(h hash.Hash) string { return "sha256:" + hex.EncodeToString(h.Sum(nil)) }

// hashWriter hashes and counts what is written.
type hashWriter struct {
	w io.Writer
	h hash.Hash
	n int64
}

func (w *hashWriter) Write(b []byte) (int, error) {
	n, err := w.w.Write(b)
	w.h.Write(b[:n])
	w.n += int64(n)
	return n, err
}

// tarSink writes entries as an OCI layer has them (OCI image specification, "layer.md").
type tarSink struct {
	t   *tar.Writer
	buf []byte
}

// Add implements tree.Sink. Sockets, which tar cannot hold, are left out, as are whiteouts, which a single layer does
// not need.
func (s *tarSink) Add(e tree.Entry, body io.Reader) error {
	h := &tar.Header{Name: e.Path, ModTime: e.ModTime.Truncate(time.Second)}
	if e.ModTime.IsZero() || e.ModTime.Unix() < 0 {
		h.ModTime = time.Unix(0, 0)
	}
	if e.HardLink != "" {
		h.Typeflag, h.Linkname, h.ModTime = tar.TypeLink, e.HardLink, time.Unix(0, 0)
		return s.header(e.Path, h)
	}
	h.Mode, h.Uid, h.Gid = int64(e.Perm()), int(e.UID), int(e.GID)
	switch e.Type() {
	case tree.TypeDir:
		h.Typeflag, h.Name = tar.TypeDir, strings.TrimSuffix(e.Path, "/")+"/"
		if e.Path == "." {
			h.Name = "./"
		}
	case tree.TypeRegular:
		h.Typeflag, h.Size = tar.TypeReg, e.Size
	case tree.TypeSymlink:
		h.Typeflag, h.Linkname = tar.TypeSymlink, e.Link
	case tree.TypeFifo:
		h.Typeflag = tar.TypeFifo
	case tree.TypeChar, tree.TypeBlock:
		if e.Major == 0 && e.Minor == 0 {
			return nil
		}
		h.Typeflag, h.Devmajor, h.Devminor = tar.TypeChar, int64(e.Major), int64(e.Minor)
		if e.Type() == tree.TypeBlock {
			h.Typeflag = tar.TypeBlock
		}
	default:
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(e.Xattrs)) {
		if strings.HasPrefix(name, "trusted.overlay.") || strings.HasPrefix(name, "user.overlay.") || strings.Contains(name, "=") {
			continue
		}
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords["SCHILY.xattr."+name] = string(e.Xattrs[name])
	}
	if err := s.header(e.Path, h); err != nil || body == nil || h.Typeflag != tar.TypeReg {
		return err
	}
	if n, err := io.CopyBuffer(onlyWriter{s.t}, body, s.buf); err != nil || n != e.Size {
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("%s: %d of %d bytes: %w", e.Path, n, e.Size, err)
	}
	return nil
}

func (s *tarSink) header(name string, h *tar.Header) error {
	if strings.HasPrefix(name[strings.LastIndexByte(name, '/')+1:], whiteoutPrefix) {
		return fmt.Errorf("%s: a layer cannot hold a file of that name, which means a removed one", name)
	}
	if err := s.t.WriteHeader(h); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
