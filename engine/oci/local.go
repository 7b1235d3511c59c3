package oci

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
)

// store is a set of named files: a folder, or an archive read in place.
type store interface {
	// open returns a file and its size; errors.Is(err, fs.ErrNotExist) where there is none.
	open(name string) (io.ReadCloser, int64, error)
	Close() error
}

type folderStore string

func (dir folderStore) open(name string) (io.ReadCloser, int64, error) {
	f, err := os.Open(filepath.Join(string(dir), filepath.FromSlash(name)))
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", name)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

func (folderStore) Close() error { return nil }

// archiveStore is a tar file with an index of its members.
type archiveStore struct {
	f       *os.File
	members map[string]member
}

type member struct{ offset, size int64 }

// maxMembers bounds the index of an archive; images have a few hundred members.
const maxMembers = 100_000

// openArchive indexes a tar file. One that is compressed as a whole is first decompressed into a file in tempDir that
// has no name any more.
func openArchive(ctx context.Context, name, tempDir string) (store, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	s := &archiveStore{f: f, members: map[string]member{}}
	if err := s.index(ctx, tempDir); err != nil {
		s.f.Close()
		return nil, err
	}
	return s, nil
}

func (s *archiveStore) index(ctx context.Context, tempDir string) error {
	head := make([]byte, 2)
	if _, err := s.f.ReadAt(head, 0); err == nil && head[0] == 0x1f && head[1] == 0x8b {
		if err := s.decompress(ctx, tempDir); err != nil {
			return err
		}
	}
	links := map[string]string{}
	t := tar.NewReader(s.f) // seeks over the contents
	for {
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		if len(s.members)+len(links) >= maxMembers {
			return fmt.Errorf("%w: more than %d files in the archive", ErrLimit, maxMembers)
		}
		name := path.Clean(h.Name)
		switch h.Typeflag {
		case tar.TypeReg:
			offset, err := s.f.Seek(0, io.SeekCurrent)
			if err != nil {
				return err
			}
			s.members[name] = member{offset, h.Size}
		case tar.TypeSymlink: // old docker save: a layer that two images share
			links[name] = path.Join(path.Dir(name), h.Linkname)
		case tar.TypeLink:
			links[name] = path.Clean(h.Linkname)
		}
	}
	for name, target := range links {
		if m, ok := s.members[target]; ok {
			s.members[name] = m
		}
	}
	return nil
}

func (s *archiveStore) decompress(ctx context.Context, tempDir string) error {
	z, err := gzip.NewReader(s.f)
	if err != nil {
		return err
	}
	plain, err := os.CreateTemp(tempDir, "archive-")
	if err != nil {
		return err
	}
	os.Remove(plain.Name())
	if _, err = io.Copy(plain, &contextReader{ctx, z}); err == nil {
		_, err = plain.Seek(0, io.SeekStart)
	}
	if err != nil {
		plain.Close()
		return err
	}
	s.f.Close()
	s.f = plain
	return nil
}

func (s *archiveStore) open(name string) (io.ReadCloser, int64, error) {
	m, ok := s.members[path.Clean(name)]
	if !ok {
		return nil, 0, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return io.NopCloser(io.NewSectionReader(s.f, m.offset, m.size)), m.size, nil
}

func (s *archiveStore) Close() error { return s.f.Close() }

// contextReader ends with the context's error.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(b []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(b)
}

// maxDocument bounds manifests and configurations.
const maxDocument = 8 << 20

func readDocument(s store, name string) ([]byte, error) {
	f, size, err := s.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > maxDocument {
		return nil, fmt.Errorf("%w: %s has %d bytes", ErrLimit, name, size)
	}
	return io.ReadAll(f)
}

func blobPath(h v1.Hash) string { return "blobs/" + h.Algorithm + "/" + h.Hex }

// readBlob reads a document by its digest and verifies it.
func readBlob(s store, h v1.Hash) ([]byte, error) {
	if h.Algorithm != "sha256" || len(h.Hex) != 64 {
		return nil, fmt.Errorf("%w: digest %q", ErrCorrupt, h)
	}
	b, err := readDocument(s, blobPath(h))
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != h.Hex {
		return nil, fmt.Errorf("%w: blob %s has other content", ErrCorrupt, h)
	}
	return b, nil
}

const refNameAnnotation = "org.opencontainers.image.ref.name"

// openLayout finds a manifest in an OCI layout: by tag, and by platform where an index offers several.
func (m *Image) openLayout(r Reference, platform v1.Platform) error {
	raw, err := readDocument(m.store, "index.json")
	if err != nil {
		return err
	}
	index, err := v1.ParseIndexManifest(strings.NewReader(string(raw)))
	if err != nil {
		return fmt.Errorf("%w: index.json: %w", ErrCorrupt, err)
	}
	list := index.Manifests
	if r.Tag != "" {
		list = slices.DeleteFunc(slices.Clone(list), func(d v1.Descriptor) bool {
			name := d.Annotations[refNameAnnotation]
			return name != r.Tag && !strings.HasSuffix(name, ":"+r.Tag)
		})
	}
	if len(list) == 0 {
		return fmt.Errorf("%w: no tag %q among %d images", ErrNotFound, r.Tag, len(index.Manifests))
	}
	d, err := m.choose(list, platform, 0)
	if err != nil {
		return err
	}
	raw, err = readBlob(m.store, d.Digest)
	if err != nil {
		return err
	}
	manifest, err := v1.ParseManifest(strings.NewReader(string(raw)))
	if err != nil {
		return fmt.Errorf("%w: manifest: %w", ErrCorrupt, err)
	}
	m.Digest, m.RawManifest = d.Digest.String(), raw
	if err := m.setManifest(manifest); err != nil {
		return err
	}
	for i, l := range manifest.Layers {
		m.Layers[i].open = m.openMember(blobPath(l.Digest))
	}
	if raw, err = readBlob(m.store, manifest.Config.Digest); err != nil {
		return err
	}
	return m.setConfig(raw)
}

// choose picks the manifest for a platform, going into nested indexes.
func (m *Image) choose(list []v1.Descriptor, platform v1.Platform, depth int) (v1.Descriptor, error) {
	if depth > 4 {
		return v1.Descriptor{}, fmt.Errorf("%w: indexes within indexes", ErrCorrupt)
	}
	var found []v1.Descriptor
	for _, d := range list {
		switch {
		case d.MediaType == types.OCIImageIndex || d.MediaType == types.DockerManifestList:
			raw, err := readBlob(m.store, d.Digest)
			if err != nil {
				return d, err
			}
			index, err := v1.ParseIndexManifest(strings.NewReader(string(raw)))
			if err != nil {
				return d, fmt.Errorf("%w: index %s: %w", ErrCorrupt, d.Digest, err)
			}
			inner, err := m.choose(index.Manifests, platform, depth+1)
			if errors.Is(err, ErrNoPlatform) {
				continue
			}
			if err != nil {
				return d, err
			}
			found = append(found, inner)
		case d.Platform == nil || d.Platform.Satisfies(platform):
			found = append(found, d)
		}
	}
	switch {
	case len(found) == 0:
		return v1.Descriptor{}, fmt.Errorf("%w: %s", ErrNoPlatform, platform.String())
	case len(found) > 1 && depth == 0:
		return v1.Descriptor{}, fmt.Errorf("%w: it holds %d images; add the tag of one", ErrReference, len(found))
	}
	return found[0], nil
}

func (m *Image) openMember(name string) opener {
	return func(context.Context) (io.ReadCloser, error) {
		f, _, err := m.store.open(name)
		return f, err
	}
}

// openDockerArchive reads manifest.json, which names a configuration and layers for each image (moby, image/tarexport).
func (m *Image) openDockerArchive(r Reference) error {
	raw, err := readDocument(m.store, "manifest.json")
	if err != nil {
		return err
	}
	var images []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	if err := json.Unmarshal(raw, &images); err != nil {
		return fmt.Errorf("%w: manifest.json: %w", ErrCorrupt, err)
	}
	which := -1
	for i, image := range images {
		matches := r.Tag == "" || slices.ContainsFunc(image.RepoTags, func(t string) bool {
			return t == r.Tag || strings.HasSuffix(t, "/"+r.Tag) || t == r.Tag+":latest"
		})
		if !matches {
			continue
		}
		if which >= 0 {
			return fmt.Errorf("%w: it holds %d images; add the name of one", ErrReference, len(images))
		}
		which = i
	}
	if which < 0 {
		return fmt.Errorf("%w: no %q among %d images", ErrNotFound, r.Tag, len(images))
	}
	for _, name := range images[which].Layers {
		f, size, err := m.store.open(name)
		if err != nil {
			return fmt.Errorf("%w: layer %s: %w", ErrCorrupt, name, err)
		}
		f.Close()
		m.Layers = append(m.Layers, Layer{Size: size, open: m.openMember(name)})
	}
	if raw, err = readDocument(m.store, images[which].Config); err != nil {
		return err
	}
	sum := sha256.Sum256(raw)
	m.Digest = "sha256:" + hex.EncodeToString(sum[:])
	return m.setConfig(raw)
}
