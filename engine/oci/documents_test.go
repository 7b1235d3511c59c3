package oci

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// documents is a store of three documents, which name each other by placeholders.
type documents map[string][]byte

func (d documents) open(name string) (io.ReadCloser, int64, error) {
	b, ok := d[name]
	if !ok {
		return nil, 0, fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(b)), int64(len(b)), nil
}

func (d documents) Close() error { return nil }

// FuzzDocuments opens images by their index, manifest and configuration. In the index MANIFEST stands for the digest of the
// manifest, and there CONFIG for that of the configuration.
func FuzzDocuments(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"MANIFEST","size":1,"platform":{"os":"linux","architecture":"amd64"}}]}`),
		[]byte(`{"schemaVersion":2,"config":{"digest":"CONFIG","size":1,"mediaType":"application/vnd.oci.image.config.v1+json"},"layers":[{"digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0,"mediaType":"application/vnd.oci.image.layer.v1.tar"}]}`),
		[]byte(`{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]},"config":{"Env":["A=b"],"ExposedPorts":{"80/tcp":{}}}}`))
	f.Add([]byte(`{"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"MANIFEST"}]}`), []byte(`{"manifests":[{"digest":"CONFIG"}]}`), []byte(`{}`))
	f.Fuzz(func(t *testing.T, index, manifest, config []byte) {
		name := func(b []byte) string {
			sum := sha256.Sum256(b)
			return hex.EncodeToString(sum[:])
		}
		manifest = bytes.ReplaceAll(manifest, []byte("CONFIG"), []byte("sha256:"+name(config)))
		index = bytes.ReplaceAll(index, []byte("MANIFEST"), []byte("sha256:"+name(manifest)))
		m := &Image{Ref: "fuzz", store: documents{
			"index.json": index, "manifest.json": index, "blobs/sha256/" + name(manifest): manifest, "blobs/sha256/" + name(config): config,
		}}
		platform, err := parsePlatform("linux/amd64")
		if err != nil {
			t.Fatal(err)
		}
		if m.openLayout(Reference{Transport: Layout}, platform) == nil && len(m.Layers) > 0 && m.Digest == "" {
			t.Error("an image without a digest")
		}
		d := &Image{Ref: "fuzz", store: m.store}
		_ = d.openDockerArchive(Reference{Transport: DockerArchive}) // most are refused
	})
}

// FuzzReference reads references, as they stand in definition files.
func FuzzReference(f *testing.F) {
	for _, s := range []string{"docker://debian:12", "oci:dir:tag", "oci-archive:/a.tar:tag", "docker-archive:a.tar", "docker://h:5000/a/b@sha256:" + strings.Repeat("a", 64)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseReference(text)
		if err == nil && r.Transport != Docker && r.Path == "" {
			t.Errorf("%q: %+v", text, r)
		}
	})
}

// FuzzCredentials reads files of passwords, of Docker's form.
func FuzzCredentials(f *testing.F) {
	f.Add([]byte(`{"auths":{"ghcr.io":{"auth":"YTpi"}},"credHelpers":{"x":"y"}}`))
	path := filepath.Join(f.TempDir(), "config.json")
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if c, err := readCredentials(path); err == nil && c == nil {
			t.Error("neither passwords nor an error")
		}
	})
}
