package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

func (m *Image) openRegistry(ctx context.Context, r Reference, platform v1.Platform) error {
	var nameOptions []name.Option
	if m.opts.Insecure {
		nameOptions = append(nameOptions, name.Insecure)
	}
	ref, err := parseName(r.Name, nameOptions)
	if err != nil {
		return err
	}
	puller, err := remote.NewPuller(m.remoteOptions(platform)...)
	if err != nil {
		return err
	}
	descriptor, err := puller.Get(ctx, ref)
	if err != nil {
		return err
	}
	image, err := descriptor.Image()
	if err != nil {
		if strings.Contains(err.Error(), "no child with platform") {
			return fmt.Errorf("%w: %s", ErrNoPlatform, platform.String())
		}
		return err
	}
	digest, err := image.Digest()
	if err != nil {
		return err
	}
	manifest, err := image.Manifest()
	if err != nil {
		return err
	}
	m.Digest = digest.String()
	if err := m.setManifest(manifest); err != nil {
		return err
	}
	for i := range m.Layers {
		blob := ref.Context().Digest(m.Layers[i].Digest)
		m.Layers[i].open = func(ctx context.Context) (io.ReadCloser, error) {
			layer, err := puller.Layer(ctx, blob)
			if err != nil {
				return nil, err
			}
			return layer.Compressed()
		}
	}
	raw, err := image.RawConfigFile()
	if err != nil {
		return err
	}
	return m.setConfig(raw)
}

func (m *Image) remoteOptions(platform v1.Platform) []remote.Option {
	options := []remote.Option{
		remote.WithPlatform(platform),
		remote.WithUserAgent("carrel"),
		remote.WithJobs(m.concurrency()),
	}
	if m.opts.Keychain != nil {
		options = append(options, remote.WithAuthFromKeychain(m.opts.Keychain))
	}
	if m.opts.Transport != nil {
		options = append(options, remote.WithTransport(m.opts.Transport))
	}
	return options
}

// parseName reads NAME[:TAG][@DIGEST]; with both the digest decides, as with docker.
func parseName(s string, options []name.Option) (name.Reference, error) {
	if repository, digest, ok := strings.Cut(s, "@"); ok {
		if i := strings.LastIndexByte(repository, ':'); i > strings.LastIndexByte(repository, '/') {
			repository = repository[:i]
		}
		s = repository + "@" + digest
	}
	ref, err := name.ParseReference(s, options...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReference, err)
	}
	return ref, nil
}

// setManifest takes over the layers of a manifest, without a way to open them yet.
func (m *Image) setManifest(manifest *v1.Manifest) error {
	if manifest == nil || len(manifest.Layers) == 0 {
		return fmt.Errorf("%w: the manifest has no layers", ErrCorrupt)
	}
	for _, d := range manifest.Layers {
		if d.Digest.Algorithm != "sha256" || len(d.Digest.Hex) != 64 {
			return fmt.Errorf("%w: digest %q", ErrCorrupt, d.Digest)
		}
		if !d.MediaType.IsLayer() {
			return errors.New("not a container image but an artifact of type " + string(d.MediaType))
		}
		m.Layers = append(m.Layers, Layer{Digest: d.Digest.String(), Size: d.Size})
	}
	return nil
}
