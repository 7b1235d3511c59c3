package oci

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"carrel/internal/atomicfile"
)

// remembered is what a reference meant when its registry was last asked.
type remembered struct {
	Reference string    `json:"reference"`
	Digest    string    `json:"digest"`
	Time      time.Time `json:"time"`
	Manifest  []byte    `json:"manifest"`
	Config    []byte    `json:"config"`
}

func (m *Image) memory(reference string, platform v1.Platform) string {
	sum := sha256.Sum256([]byte(reference + "\n" + platform.String()))
	return filepath.Join(m.opts.CacheDir, "refs", hex.EncodeToString(sum[:16])+".json")
}

// remember writes down what a reference means now. It is for a day without a network: trouble with it is none.
func (m *Image) remember(reference string, platform v1.Platform) {
	if m.tempDir != "" {
		return
	}
	path := m.memory(reference, platform)
	data, err := json.Marshal(remembered{reference, m.Digest, time.Now(), m.RawManifest, m.RawConfig})
	if err != nil || os.MkdirAll(filepath.Dir(path), 0o755) != nil {
		return
	}
	_ = atomicfile.WriteFile(path, data, 0o644)
}

// recall opens an image as it was when its registry was last asked.
func (m *Image) recall(reference string, platform v1.Platform) (time.Time, bool) {
	data, err := os.ReadFile(m.memory(reference, platform))
	if err != nil {
		return time.Time{}, false
	}
	var r remembered
	if json.Unmarshal(data, &r) != nil || r.Reference != reference || hashOf(r.Manifest).String() != r.Digest {
		return time.Time{}, false
	}
	manifest, err := v1.ParseManifest(strings.NewReader(string(r.Manifest)))
	if err != nil || m.setManifest(manifest) != nil || hashOf(r.Config) != manifest.Config.Digest {
		return time.Time{}, false
	}
	m.Digest, m.RawManifest = r.Digest, r.Manifest
	return r.Time, m.setConfig(r.Config) == nil
}

// unavailable tells whether an error is about the way to a registry, or its state, rather than about the image.
func unavailable(err error) bool {
	return errors.Is(err, ErrUnreachable) || errors.Is(err, ErrServer) || errors.Is(err, ErrRateLimited)
}

func (m *Image) notice(text string) {
	if m.opts.Notice != nil {
		m.opts.Notice(text)
	}
}
