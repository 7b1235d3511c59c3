package oci

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// openRegistry reads manifest and configuration from the first place that has the image. Where none can be reached, an
// image that was pulled before is opened as it was then.
func (m *Image) openRegistry(ctx context.Context, r Reference, platform v1.Platform) error {
	places, err := m.opts.Access.endpoints(r.Name)
	if err != nil {
		return err
	}
	for _, at := range places {
		err = m.openAt(ctx, at, platform)
		if err == nil {
			m.remember(r.Name, platform)
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err = classify(err); at.mirror {
			m.notice(fmt.Sprintf("the mirror %s is of no use: %v", at.ref.Context().RegistryStr(), err))
		}
	}
	if !unavailable(err) {
		return err
	}
	when, ok := m.recall(r.Name, platform)
	if !ok {
		return err
	}
	m.unreached = err
	m.notice(fmt.Sprintf("%s is used as it was fetched on %s, because the registry cannot be asked: %v", r.Name, when.Local().Format("2006-01-02 15:04"), err))
	return nil
}

func (m *Image) openAt(ctx context.Context, at endpoint, platform v1.Platform) error {
	c, err := connect(ctx, at, transport.PullScope, platform, &m.opts)
	if err != nil {
		return err
	}
	if err := m.openWith(c, at.ref); err != nil {
		c.close()
		return err
	}
	m.connection = c
	return nil
}

func (m *Image) openWith(c *connection, ref name.Reference) error {
	image, err := c.image(ref)
	if err != nil {
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
	if err := m.setManifest(manifest); err != nil {
		return err
	}
	if manifest.Config.Size > maxDocument {
		return fmt.Errorf("%w: a configuration of %d bytes", ErrLimit, manifest.Config.Size)
	}
	config, err := image.RawConfigFile()
	if err != nil {
		return err
	}
	m.Digest = digest.String()
	if m.RawManifest, err = image.RawManifest(); err != nil {
		return err
	}
	return m.setConfig(config)
}

// image finds the manifest of a reference, for a platform where there are several.
func (c *connection) image(ref name.Reference) (v1.Image, error) {
	descriptor, err := remote.Get(ref, c.options...)
	if err != nil {
		return nil, err
	}
	if m := descriptor.MediaType; m == types.DockerManifestSchema1 || m == types.DockerManifestSchema1Signed {
		return nil, ErrSchema1
	}
	image, err := descriptor.Image()
	if err != nil && strings.Contains(err.Error(), "no child with platform") {
		return nil, noPlatform(c.platform, descriptor)
	}
	return image, err
}

// noPlatform is the error for an image of several platforms, of which none is the one that is wanted.
func noPlatform(wanted v1.Platform, d *remote.Descriptor) error {
	var there []string
	if index, err := d.ImageIndex(); err == nil {
		if manifest, err := index.IndexManifest(); err == nil {
			for _, m := range manifest.Manifests {
				// Attestations have the platform unknown/unknown (BuildKit, "Attestation storage").
				if m.Platform != nil && m.Platform.OS != "" && m.Platform.OS != "unknown" && !slices.Contains(there, m.Platform.String()) {
					there = append(there, m.Platform.String())
				}
			}
		}
	}
	if len(there) == 0 {
		return fmt.Errorf("%w: %s", ErrNoPlatform, wanted.String())
	}
	return fmt.Errorf("%w: %s; there is %s", ErrNoPlatform, wanted.String(), strings.Join(there, ", "))
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
	m.Layers = nil
	if manifest == nil || len(manifest.Layers) == 0 {
		return fmt.Errorf("%w: the manifest has no layers", ErrCorrupt)
	}
	for _, d := range manifest.Layers {
		if err := checkDigest(d.Digest); err != nil {
			return err
		}
		if isSIFLayer(d.MediaType) {
			return ErrIsSIF
		}
		if !d.MediaType.IsLayer() {
			return errors.New("not a container image but an artifact of type " + string(d.MediaType))
		}
		if d.Size < 0 {
			return fmt.Errorf("%w: a layer of %d bytes", ErrCorrupt, d.Size)
		}
		m.Layers = append(m.Layers, Layer{Digest: d.Digest.String(), Size: d.Size})
	}
	return nil
}

// checkDigest accepts the one algorithm that images use (OCI image specification, "descriptor.md").
func checkDigest(h v1.Hash) error {
	if h.Algorithm != "sha256" || len(h.Hex) != 64 || strings.Trim(h.Hex, "0123456789abcdef") != "" {
		return fmt.Errorf("%w: digest %q", ErrCorrupt, h)
	}
	return nil
}
