package oci

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"carrel/internal/download"
)

// The media types by which Singularity and Apptainer keep SIF files in registries (internal/pkg/client/oras of Apptainer).
const (
	sifConfigType types.MediaType = "application/vnd.sylabs.sif.config.v1+json"
	sifLayerType  types.MediaType = "application/vnd.sylabs.sif.layer.v1.sif"
	sifLayerOld   types.MediaType = "appliciation/vnd.sylabs.sif.layer.tar" // sic, of 2019
)

func isSIFLayer(t types.MediaType) bool { return t == sifLayerType || t == sifLayerOld }

const titleAnnotation = "org.opencontainers.image.title"

// StoredSIF is a SIF file that a registry keeps, an "ORAS" artifact.
type StoredSIF struct {
	Ref      string
	Manifest string // its digest, sha256:…
	Digest   string // of the file, sha256:…
	Size     int64  // of the file, bytes
	Title    string // the file's name when it was pushed; may be empty

	connection *connection
}

// OpenSIF finds a SIF file by its reference, oras://NAME[:TAG][@DIGEST]. The caller closes it.
func OpenSIF(ctx context.Context, ref string, o Options) (*StoredSIF, error) {
	fail := func(err error) (*StoredSIF, error) { return nil, &Error{"pull", ref, classify(err)} }
	rest, ok := strings.CutPrefix(ref, "oras:")
	if rest = strings.TrimPrefix(rest, "//"); !ok || rest == "" {
		return fail(fmt.Errorf("%w: oras://NAME:TAG is wanted", ErrReference))
	}
	platform, err := parsePlatform(o.Platform)
	if err != nil {
		return fail(err)
	}
	places, err := o.Access.endpoints(rest)
	if err != nil {
		return fail(err)
	}
	for _, at := range places {
		var s *StoredSIF
		if s, err = openSIFAt(ctx, at, func() (*connection, error) { return connect(ctx, at, transport.PullScope, platform, &o) }); err == nil {
			s.Ref = ref
			return s, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	return fail(err)
}

func openSIFAt(ctx context.Context, at endpoint, dial func() (*connection, error)) (*StoredSIF, error) {
	c, err := dial()
	if err != nil {
		return nil, err
	}
	s := &StoredSIF{connection: c}
	if err := s.read(ctx, at); err != nil {
		c.close()
		return nil, err
	}
	return s, nil
}

func (s *StoredSIF) read(ctx context.Context, at endpoint) error {
	image, err := s.connection.image(at.ref)
	if err != nil {
		return err
	}
	manifest, err := image.Manifest()
	if err != nil {
		return err
	}
	digest, err := image.Digest()
	if err != nil {
		return err
	}
	if len(manifest.Layers) != 1 || !isSIFLayer(manifest.Layers[0].MediaType) {
		kind := "nothing"
		if len(manifest.Layers) > 0 {
			kind = fmt.Sprintf("%d layers of type %s", len(manifest.Layers), manifest.Layers[0].MediaType)
		}
		return fmt.Errorf("%w: it has %s", ErrNotSIF, kind)
	}
	layer := manifest.Layers[0]
	if err := checkDigest(layer.Digest); err != nil {
		return err
	}
	if layer.Size <= 0 {
		return fmt.Errorf("%w: a file of %d bytes", ErrCorrupt, layer.Size)
	}
	s.Manifest, s.Digest, s.Size = digest.String(), layer.Digest.String(), layer.Size
	if title := layer.Annotations[titleAnnotation]; title != "" {
		s.Title = path.Base(title)
	}
	return ctx.Err()
}

// Source is what gets the file.
func (s *StoredSIF) Source() download.Source {
	return download.Source{
		Client: s.connection.client, URL: s.connection.blob(s.Digest), Size: s.Size, Digest: strings.TrimPrefix(s.Digest, "sha256:"),
	}
}

// Failed is the error of a download of Source, explained.
func (s *StoredSIF) Failed(err error) error { return &Error{"pull", s.Ref, classify(err)} }

// Close ends the connection.
func (s *StoredSIF) Close() { s.connection.close() }
