package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"carrel/internal/download"
)

// Options say how images are got. The zero value works for public images.
type Options struct {
	// Platform is "OS/ARCH[/VARIANT]"; empty for linux on the processor this program runs on.
	Platform string
	// Access says how registries are reached, and who one is there.
	Access Access
	// Net bounds the patience with registries. Transport replaces the usual HTTP transport.
	Net       download.Limits
	Transport http.RoundTripper
	// CacheDir keeps layers, compressed as they came, as blobs/sha256/HEX. Empty: a temporary folder until Close.
	CacheDir string
	// Concurrency bounds the layers downloaded at the same time; 0 means 4.
	Concurrency int
	// Progress is told of every layer's download, from several goroutines but one at a time; it must return at once.
	Progress func(Event)
	// Notice is told sentences that a person should read; nil for nobody.
	Notice func(string)
	Limits Limits
}

// Event is the state of one layer's download.
type Event struct {
	Layer    string // digest
	Complete int64  // bytes of the compressed layer
	Total    int64
	Cached   bool // nothing needed to be downloaded
}

// Limits bound what an image may unpack to.
type Limits struct {
	Bytes   int64 // of all layers' tar streams, and of all files; 0 means 1 TiB, and beyond 10 GiB a thousand times what is stored
	Entries int64 // of all layers; 0 means 20 million
}

// Image is an image that can be written to a tree.Sink. Its fields are not changed after Open.
type Image struct {
	Ref      string
	Digest   string // of the manifest; of the configuration for a docker-archive
	Platform string
	Config   Config
	// RawConfig is the configuration blob, RawManifest the manifest, the whole JSON documents; a docker-archive has none.
	RawConfig, RawManifest []byte
	Layers                 []Layer // lowest first
	Size                   int64   // of all compressed layers, bytes

	opts       Options
	connection *connection // nil of a local image, and when the registry was not reached for the reason in unreached
	unreached  error
	store      store
	tempDir    string
	events     sync.Mutex
}

// Layer is one layer of an image.
type Layer struct {
	Digest string // of the compressed bytes; empty in a docker-archive
	DiffID string // of the tar
	Size   int64  // compressed, bytes

	open opener
}

// opener opens the compressed bytes from where they come from.
type opener func(ctx context.Context) (io.ReadCloser, error)

// name is how messages call a layer.
func (l *Layer) name() string {
	if l.Digest != "" {
		return l.Digest
	}
	return l.DiffID
}

// Config is the part of an image's configuration that says how it is run (OCI image specification, "config.md").
type Config struct {
	Created      time.Time
	Author       string
	Env          []string // KEY=VALUE
	Entrypoint   []string
	Cmd          []string
	WorkingDir   string
	User         string
	Labels       map[string]string
	ExposedPorts []string // "8888/tcp", sorted
	Volumes      []string // paths, sorted
	StopSignal   string
	Healthcheck  *Healthcheck
	// JSON is the "config" object as it was, which Apptainer keeps in a SIF as oci-config.json.
	JSON []byte
}

// Healthcheck is Docker's HEALTHCHECK.
type Healthcheck struct {
	Test        []string // "CMD" or "CMD-SHELL" first
	Interval    time.Duration
	Timeout     time.Duration
	StartPeriod time.Duration
	Retries     int
}

// Open finds an image and reads its manifest and configuration; layers are got when they are needed. The caller closes
// the image.
func Open(ctx context.Context, ref string, o Options) (*Image, error) {
	r, err := ParseReference(ref)
	if err != nil {
		return nil, err
	}
	m := &Image{Ref: ref, opts: o}
	if err := m.open(ctx, r); err != nil {
		op := "open"
		if r.Transport == Docker {
			op = "pull"
		}
		return nil, errors.Join(&Error{op, ref, classify(err)}, m.Close())
	}
	return m, nil
}

func (m *Image) open(ctx context.Context, r Reference) error {
	platform, err := parsePlatform(m.opts.Platform)
	if err != nil {
		return err
	}
	if m.opts.CacheDir == "" {
		if m.tempDir, err = os.MkdirTemp("", "carrel-layers-"); err != nil {
			return err
		}
		m.opts.CacheDir = m.tempDir
	}
	switch r.Transport {
	case Docker:
		err = m.openRegistry(ctx, r, platform)
	case Layout:
		m.store = folderStore(r.Path)
		err = m.openLayout(r, platform)
	case LayoutArchive:
		if m.store, err = openArchive(ctx, r.Path, m.opts.CacheDir); err == nil {
			err = m.openLayout(r, platform)
		}
	case DockerArchive:
		if m.store, err = openArchive(ctx, r.Path, m.opts.CacheDir); err == nil {
			err = m.openDockerArchive(r)
		}
	}
	if err != nil {
		return err
	}
	for _, l := range m.Layers {
		m.Size += max(l.Size, 0)
	}
	return nil
}

// Close removes what was kept only for this image.
func (m *Image) Close() error {
	var err error
	if m.connection != nil {
		m.connection.close()
	}
	if m.store != nil {
		err = m.store.Close()
	}
	if m.tempDir != "" {
		err = errors.Join(err, os.RemoveAll(m.tempDir))
	}
	return err
}

// maxLayers is far above what engines make (127) and keeps layer numbers within 16 bits.
const maxLayers = 4096

// setConfig takes over the configuration blob; diffIDs come from it.
func (m *Image) setConfig(raw []byte) error {
	c, err := v1.ParseConfigFile(strings.NewReader(string(raw)))
	if err != nil {
		return fmt.Errorf("%w: configuration: %w", ErrCorrupt, err)
	}
	if len(c.RootFS.DiffIDs) != len(m.Layers) || len(m.Layers) > maxLayers {
		return fmt.Errorf("%w: %d layers with %d diffIDs", ErrCorrupt, len(m.Layers), len(c.RootFS.DiffIDs))
	}
	for i, id := range c.RootFS.DiffIDs {
		if id.Algorithm != "sha256" {
			return fmt.Errorf("%w: digest algorithm %q", ErrCorrupt, id.Algorithm)
		}
		m.Layers[i].DiffID = id.String()
	}
	var document struct {
		Config json.RawMessage `json:"config"`
	}
	if err := json.Unmarshal(raw, &document); err != nil {
		return fmt.Errorf("%w: configuration: %w", ErrCorrupt, err)
	}
	if p := c.Platform(); p != nil {
		m.Platform = p.String()
	}
	m.RawConfig = raw
	m.Config = Config{
		Created: c.Created.Time, Author: c.Author,
		Env: c.Config.Env, Entrypoint: c.Config.Entrypoint, Cmd: c.Config.Cmd,
		WorkingDir: c.Config.WorkingDir, User: c.Config.User, Labels: c.Config.Labels,
		ExposedPorts: sortedKeys(c.Config.ExposedPorts), Volumes: sortedKeys(c.Config.Volumes),
		StopSignal: c.Config.StopSignal, JSON: document.Config,
	}
	if h := c.Config.Healthcheck; h != nil {
		m.Config.Healthcheck = &Healthcheck{h.Test, h.Interval, h.Timeout, h.StartPeriod, h.Retries}
	}
	return nil
}

// Arch is the processor as Go names it, from the image's platform; empty when the image does not say.
func (m *Image) Arch() string {
	parts := strings.Split(m.Platform, "/")
	if len(parts) < 2 {
		return ""
	}
	return parts[1]
}

func parsePlatform(s string) (v1.Platform, error) {
	if s == "" {
		return v1.Platform{OS: "linux", Architecture: runtime.GOARCH}, nil
	}
	p, err := v1.ParsePlatform(s)
	if err != nil || p.OS == "" || p.Architecture == "" {
		return v1.Platform{}, fmt.Errorf("platform %q is not OS/ARCH", s)
	}
	return *p, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
