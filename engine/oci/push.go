package oci

import (
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
	"strings"
	"sync/atomic"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Pushed is what was put into a registry.
type Pushed struct {
	Ref      string
	Digest   string // of the manifest
	Size     int64  // of all blobs, bytes
	Uploaded int64  // bytes that were sent, because the registry did not have them
}

// Push puts an image of a local form (an OCI layout, an archive) into a registry as it is, layer by layer: Open has opened
// it, ref is docker://NAME[:TAG]. A docker-archive, which has no manifest, cannot be pushed so.
func (m *Image) Push(ctx context.Context, ref string, o Options) (Pushed, error) {
	if m.store == nil || m.RawManifest == nil {
		return Pushed{}, &Error{"push", ref, fmt.Errorf("%s is not in a form that can be pushed", m.Ref)}
	}
	manifest, err := v1.ParseManifest(bytes.NewReader(m.RawManifest))
	if err != nil {
		return Pushed{}, &Error{"push", ref, fmt.Errorf("%w: manifest: %w", ErrCorrupt, err)}
	}
	p := &pushing{manifest: manifest, raw: m.RawManifest, config: m.RawConfig}
	for i, d := range manifest.Layers {
		p.add(d, m.Layers[i].open)
	}
	return p.push(ctx, ref, "docker:", o)
}

// PushSIF puts a SIF file into a registry as Apptainer does: an artifact of one layer, which is the file. ref is
// oras://NAME[:TAG]. The file is read twice, for its digest and to send it, and must not change meanwhile.
func PushSIF(ctx context.Context, path, ref string, o Options) (Pushed, error) {
	fail := func(err error) (Pushed, error) { return Pushed{}, &Error{"push", ref, err} }
	f, err := os.Open(path)
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.CopyBuffer(onlyWriter{h}, &contextReader{ctx, f}, make([]byte, 1<<20))
	if err != nil {
		return fail(err)
	}
	config := []byte("{}")
	layer := v1.Descriptor{
		MediaType: sifLayerType, Size: n, Digest: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))},
		Annotations: map[string]string{titleAnnotation: filepath.Base(path)},
	}
	manifest := &v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1,
		Config: v1.Descriptor{MediaType: sifConfigType, Size: int64(len(config)), Digest: hashOf(config)},
		Layers: []v1.Descriptor{layer},
	}
	raw, err := json.Marshal(manifest)
	if err != nil {
		return fail(err)
	}
	p := &pushing{manifest: manifest, raw: raw, config: config}
	p.add(layer, func(context.Context) (io.ReadCloser, error) { return os.Open(path) })
	return p.push(ctx, ref, "oras:", o)
}

// pushing is an image that is being pushed, in the form in which go-containerregistry takes one.
type pushing struct {
	manifest    *v1.Manifest
	raw, config []byte
	layers      []v1.Layer
	sent        atomic.Int64
}

func (p *pushing) add(d v1.Descriptor, open opener) {
	p.layers = append(p.layers, &pushedLayer{d, open, &p.sent})
}

func (p *pushing) push(ctx context.Context, ref, scheme string, o Options) (Pushed, error) {
	fail := func(err error) (Pushed, error) {
		if ctx.Err() != nil {
			return Pushed{}, context.Cause(ctx)
		}
		return Pushed{}, &Error{"push", ref, classify(err)}
	}
	rest, ok := strings.CutPrefix(ref, scheme)
	if rest = strings.TrimPrefix(rest, "//"); !ok || rest == "" {
		return fail(fmt.Errorf("%w: %s//NAME:TAG is wanted", ErrReference, scheme))
	}
	at, err := o.Access.parse(rest)
	if err != nil {
		return fail(err)
	}
	if strings.Contains(rest, "@") {
		return fail(fmt.Errorf("%w: what is pushed gets a tag, its digest follows from its contents", ErrReference))
	}
	platform, err := parsePlatform("")
	if err != nil {
		return fail(err)
	}
	c, err := connect(ctx, endpoint{ref: at}, transport.PushScope, platform, &o)
	if err != nil {
		return fail(err)
	}
	defer c.close()
	updates := make(chan v1.Update, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for u := range updates {
			if o.Progress != nil && u.Error == nil {
				o.Progress(Event{Complete: u.Complete, Total: u.Total})
			}
		}
	}()
	err = remote.Write(at, p, append(c.options, remote.WithProgress(updates))...) // closes the channel
	<-done
	if err != nil {
		return fail(err)
	}
	out := Pushed{Ref: ref, Digest: hashOf(p.raw).String(), Size: p.manifest.Config.Size, Uploaded: p.sent.Load()}
	for _, l := range p.manifest.Layers {
		out.Size += l.Size
	}
	return out, nil
}

// What follows makes pushing a v1.Image, of a manifest and blobs that are there already.

func (p *pushing) Layers() ([]v1.Layer, error)         { return p.layers, nil }
func (p *pushing) MediaType() (types.MediaType, error) { return p.manifest.MediaType, nil }
func (p *pushing) Size() (int64, error)                { return int64(len(p.raw)), nil }
func (p *pushing) ConfigName() (v1.Hash, error)        { return p.manifest.Config.Digest, nil }
func (p *pushing) ConfigFile() (*v1.ConfigFile, error) {
	return v1.ParseConfigFile(bytes.NewReader(p.config))
}
func (p *pushing) RawConfigFile() ([]byte, error)          { return p.config, nil }
func (p *pushing) Digest() (v1.Hash, error)                { return hashOf(p.raw), nil }
func (p *pushing) Manifest() (*v1.Manifest, error)         { return p.manifest, nil }
func (p *pushing) RawManifest() ([]byte, error)            { return p.raw, nil }
func (p *pushing) LayerByDiffID(v1.Hash) (v1.Layer, error) { return nil, errors.ErrUnsupported }
func (p *pushing) LayerByDigest(h v1.Hash) (v1.Layer, error) {
	for i, d := range p.manifest.Layers {
		if d.Digest == h {
			return p.layers[i], nil
		}
	}
	if h == p.manifest.Config.Digest {
		d := p.manifest.Config
		return &pushedLayer{d, func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(p.config)), nil }, &p.sent}, nil
	}
	return nil, fmt.Errorf("no blob %s", h)
}

// pushedLayer is a blob that is sent as it is.
type pushedLayer struct {
	descriptor v1.Descriptor
	open       opener
	sent       *atomic.Int64
}

func (l *pushedLayer) Digest() (v1.Hash, error)             { return l.descriptor.Digest, nil }
func (l *pushedLayer) DiffID() (v1.Hash, error)             { return v1.Hash{}, errors.ErrUnsupported }
func (l *pushedLayer) Size() (int64, error)                 { return l.descriptor.Size, nil }
func (l *pushedLayer) MediaType() (types.MediaType, error)  { return l.descriptor.MediaType, nil }
func (l *pushedLayer) Uncompressed() (io.ReadCloser, error) { return nil, errors.ErrUnsupported }

// Descriptor keeps the annotations of the manifest.
func (l *pushedLayer) Descriptor() (*v1.Descriptor, error) { return &l.descriptor, nil }

func (l *pushedLayer) Compressed() (io.ReadCloser, error) {
	r, err := l.open(context.Background()) // a file: nothing waits
	if err != nil {
		return nil, err
	}
	return &sending{r, l.sent}, nil
}

// sending counts what is sent.
type sending struct {
	io.ReadCloser
	n *atomic.Int64
}

func (s *sending) Read(b []byte) (int, error) {
	n, err := s.ReadCloser.Read(b)
	s.n.Add(int64(n))
	return n, err
}
