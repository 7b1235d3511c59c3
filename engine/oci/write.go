package oci

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"carrel/engine/tree"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Output says what an image that is written says about itself.
type Output struct {
	Config  Config    // how it is run; JSON and Created are not used
	Arch    string    // as Go names it; empty for this machine's
	Created time.Time // also the same in all documents, so that equal trees give equal images
	Name    string    // by which programs list it, "name:tag"; empty for none
	Comment string    // of the only entry of its history
}

// WriteLayout makes a folder an OCI image layout (OCI image specification, "image-layout.md") with one image of one
// layer, compressed with gzip, which all programs read. The folder must not exist or be empty; what was begun stays there
// after an error, and is the caller's to remove.
func WriteLayout(ctx context.Context, folder string, source tree.Source, o Output) error {
	blobs := filepath.Join(folder, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return err
	}
	layer, err := os.CreateTemp(blobs, "layer-")
	if err != nil {
		return err
	}
	defer layer.Close()
	sum, err := writeLayer(ctx, layer, source, true)
	if err != nil {
		return fmt.Errorf("write layer: %w", err)
	}
	name := filepath.Join(blobs, strings.TrimPrefix(sum.digest, "sha256:"))
	if err := errors.Join(layer.Chmod(0o644), layer.Close(), os.Rename(layer.Name(), name)); err != nil {
		return err
	}
	documents, err := o.layout(sum)
	if err != nil {
		return err
	}
	for _, d := range documents {
		if err := os.WriteFile(filepath.Join(folder, filepath.FromSlash(d.name)), d.data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// document is a small file of an image.
type document struct {
	name string
	data []byte
}

// layoutMark is the file by which an OCI layout is recognised.
var layoutMark = document{"oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)}

// layout are the files of an OCI layout beside its layer.
func (o *Output) layout(sum layerSum) ([]document, error) {
	out := []document{layoutMark}
	put := func(v any) (v1.Hash, int64, error) {
		b, err := json.Marshal(v)
		h := hashOf(b)
		out = append(out, document{blobPath(h), b})
		return h, int64(len(b)), err
	}
	config, configSize, err := put(o.file(sum.diffID))
	if err != nil {
		return nil, err
	}
	digest, err := v1.NewHash(sum.digest)
	if err != nil {
		return nil, err
	}
	manifest, manifestSize, err := put(v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1,
		Config: v1.Descriptor{MediaType: types.OCIConfigJSON, Size: configSize, Digest: config},
		Layers: []v1.Descriptor{{MediaType: types.OCILayer, Size: sum.size, Digest: digest}},
	})
	if err != nil {
		return nil, err
	}
	d := v1.Descriptor{
		MediaType: types.OCIManifestSchema1, Size: manifestSize, Digest: manifest,
		Platform: &v1.Platform{OS: "linux", Architecture: o.arch()},
	}
	if o.Name != "" {
		d.Annotations = map[string]string{refNameAnnotation: o.Name[strings.LastIndexByte(o.Name, ':')+1:]}
	}
	index, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{d}})
	return append(out, document{"index.json", index}), err
}

// WriteArchive writes an OCI image layout as one tar file to f, from its beginning, as `skopeo copy … oci-archive:` does. On
// failure the file is incomplete.
func WriteArchive(ctx context.Context, f io.WriteSeeker, source tree.Source, o Output) error {
	sum, err := writeFirst(ctx, f, source, true, o.Created, func(sum layerSum) string {
		return "blobs/sha256/" + strings.TrimPrefix(sum.digest, "sha256:")
	})
	if err != nil {
		return err
	}
	documents, err := o.layout(sum)
	if err != nil {
		return err
	}
	return writeMembers(f, documents, o.Created)
}

// writeFirst writes a layer as the first member of a tar file, straight from its source: its name and length are known
// only afterwards. f is then where the next member begins.
func writeFirst(ctx context.Context, f io.WriteSeeker, source tree.Source, compress bool, at time.Time, name func(layerSum) string) (layerSum, error) {
	if _, err := f.Write(make([]byte, tarBlock)); err != nil {
		return layerSum{}, err
	}
	sum, err := writeLayer(ctx, f, source, compress)
	if err != nil {
		return sum, fmt.Errorf("write layer: %w", err)
	}
	if rest := sum.size % tarBlock; rest > 0 {
		if _, err := f.Write(make([]byte, tarBlock-rest)); err != nil {
			return sum, err
		}
	}
	head, err := memberHeader(name(sum), sum.size, at)
	if err != nil {
		return sum, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return sum, err
	}
	if _, err := f.Write(head); err != nil {
		return sum, err
	}
	_, err = f.Seek((sum.size+tarBlock-1)/tarBlock*tarBlock, io.SeekCurrent)
	return sum, err
}

// writeMembers writes the rest of a tar file, and its end.
func writeMembers(f io.Writer, documents []document, at time.Time) error {
	t := tar.NewWriter(f)
	for _, m := range documents {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: m.name, Size: int64(len(m.data)), Mode: 0o644, ModTime: at.Truncate(time.Second)}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		if _, err := t.Write(m.data); err != nil {
			return err
		}
	}
	return t.Close()
}

func hashOf(b []byte) v1.Hash {
	sum := sha256.Sum256(b)
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
}

func (o *Output) arch() string {
	if o.Arch == "" || o.Arch == "unknown" {
		return runtime.GOARCH
	}
	return o.Arch
}

// file is the configuration document.
func (o *Output) file(diffID string) v1.ConfigFile {
	c := &o.Config
	id, _ := v1.NewHash(diffID) // made here a moment ago
	f := v1.ConfigFile{
		Architecture: o.arch(), OS: "linux", Author: c.Author, Created: v1.Time{Time: o.Created.UTC()},
		History: []v1.History{{Created: v1.Time{Time: o.Created.UTC()}, CreatedBy: "carrel", Comment: o.Comment}},
		RootFS:  v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{id}},
		Config: v1.Config{
			Env: c.Env, Entrypoint: c.Entrypoint, Cmd: c.Cmd, WorkingDir: c.WorkingDir, User: c.User, Labels: c.Labels,
			ExposedPorts: set(c.ExposedPorts), Volumes: set(c.Volumes), StopSignal: c.StopSignal,
		},
	}
	if h := c.Healthcheck; h != nil {
		f.Config.Healthcheck = &v1.HealthConfig{Test: h.Test, Interval: h.Interval, Timeout: h.Timeout, StartPeriod: h.StartPeriod, Retries: h.Retries}
	}
	return f
}

func set(list []string) map[string]struct{} {
	if len(list) == 0 {
		return nil
	}
	m := make(map[string]struct{}, len(list))
	for _, s := range list {
		m[s] = struct{}{}
	}
	return m
}

// WriteDockerArchive writes what `docker load` reads (moby, image/tarexport) to f, from its beginning: one image with one
// layer that is not compressed. On failure the file is incomplete.
func WriteDockerArchive(ctx context.Context, f io.WriteSeeker, source tree.Source, o Output) error {
	layerName := func(sum layerSum) string { return strings.TrimPrefix(sum.diffID, "sha256:") + "/layer.tar" }
	sum, err := writeFirst(ctx, f, source, false, o.Created, layerName)
	if err != nil {
		return err
	}
	config, err := json.Marshal(o.file(sum.diffID))
	if err != nil {
		return err
	}
	name := hashOf(config).Hex + ".json"
	tags := []string{}
	if o.Name != "" {
		tags = append(tags, o.Name)
	}
	manifest, err := json.Marshal([]struct {
		Config   string
		RepoTags []string
		Layers   []string
	}{{name, tags, []string{layerName(sum)}}})
	if err != nil {
		return err
	}
	return writeMembers(f, []document{{name, config}, {"manifest.json", manifest}}, o.Created)
}

const tarBlock = 512

// memberHeader is the one block that stands before a member of a tar file; sizes beyond 8 GiB are written as GNU tar does.
func memberHeader(name string, size int64, at time.Time) ([]byte, error) {
	var b bytes.Buffer
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: at.Truncate(time.Second), Format: tar.FormatGNU}
	if err := tar.NewWriter(&b).WriteHeader(h); err != nil {
		return nil, err
	}
	if b.Len() != tarBlock {
		return nil, fmt.Errorf("the header of %s has %d bytes", name, b.Len())
	}
	return b.Bytes(), nil
}
