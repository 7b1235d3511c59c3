package build

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"carrel/engine/sif"
)

// ProvenanceName is the JSON object of a SIF that tells how the image was made, a Provenance.
const ProvenanceName = "carrel-provenance.json"

// Provenance tells what an image was made of.
type Provenance struct {
	Format  int       `json:"format"` // 1
	Version string    `json:"version"`
	Time    time.Time `json:"time"`
	// Key names everything that went into the image: a build with the same key would make the same one. It is empty where
	// that is not known.
	Key string `json:"key,omitempty"`
	// Tree names everything that went into the image's tree, but for what it says of itself below /.singularity.d.
	Tree string `json:"tree,omitempty"`
	Inputs
}

// buildFormat changes when images that were made before should be made again.
const buildFormat = "image 1"

// key names all inputs of the build. Labels with the build's time are no input.
func (b *builder) key() string {
	if len(b.inputs) == 0 || b.opaque {
		return ""
	}
	texts := append([]string{
		buildFormat, b.spec.Version, b.spec.IDKind, b.file.Raw, b.spec.Compression, fmt.Sprint(b.spec.Level, b.spec.Reproducible, b.spec.NoTest, b.spec.Convert),
		strings.Join(b.spec.Sections, ","),
	}, b.inputs...)
	if b.spec.Reproducible {
		texts = append(texts, b.spec.Time.UTC().String())
	}
	return digest(texts...)
}

func (b *builder) provenance(s *stage) ([]byte, error) {
	p := Provenance{Format: 1, Version: b.spec.Version, Time: b.spec.Time.UTC(), Key: b.key(), Tree: b.treeKey(s), Inputs: b.allInputs()}
	return json.Marshal(p)
}

// unchanged tells whether the target is the image that would be made, as a build before has left it.
func (b *builder) unchanged() bool {
	if b.spec.NoCache || b.spec.Sandbox || b.spec.Update || !b.spec.Force {
		return false
	}
	m, err := sif.Open(b.spec.Target)
	if err != nil {
		return false
	}
	defer m.Close()
	if len(m.Overlays()) > 0 { // changed by an app that ran
		return false
	}
	p, err := ReadProvenance(m)
	return err == nil && p.Key != "" && p.Key == b.key()
}

// ReadProvenance reads how an image was made; the zero value when it does not say.
func ReadProvenance(m *sif.Image) (Provenance, error) {
	var p Provenance
	data, err := m.JSON(ProvenanceName)
	if err != nil || data == nil {
		return p, err
	}
	if err := json.Unmarshal(data, &p); err != nil {
		return Provenance{}, fmt.Errorf("read provenance: %w", err)
	}
	return p, nil
}
