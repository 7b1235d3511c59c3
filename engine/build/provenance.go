package build

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"carrel/engine/sif"
	"carrel/engine/source"
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
		buildFormat, b.spec.Version, b.idKind(), b.file.Raw, b.spec.Compression, fmt.Sprint(b.spec.Level, b.spec.Reproducible, b.spec.NoTest, b.spec.Convert),
		strings.Join(b.spec.Sections, ","),
	}, b.inputs...)
	if b.spec.Reproducible {
		texts = append(texts, b.spec.Time.UTC().String())
	}
	return digest(texts...)
}

func (b *builder) provenance(s *stage) ([]byte, error) {
	p := Provenance{Format: 1, Version: b.spec.Version, Time: b.spec.Time.UTC(), Key: b.key(), Tree: b.treeKey(s), Inputs: b.allInputs()}
	if b.spec.Reproducible { // it does not tell in which folder it was made
		p.Bases = slices.Clone(p.Bases)
		for i := range p.Bases {
			p.Bases[i].From = withoutFolders(p.Bases[i].From)
		}
	}
	return json.Marshal(p)
}

// withoutFolders leaves of the files of this computer that a reference names only their names.
func withoutFolders(reference string) string {
	words := strings.Fields(reference)
	for i, w := range words {
		agent, at := "", w
		for _, a := range []string{"oci:", "oci-archive:", "docker-archive:"} {
			if rest, ok := strings.CutPrefix(w, a); ok {
				agent, at = a, rest
			}
		}
		if agent != "" || source.Local(at) {
			words[i] = agent + path.Base(at)
		}
	}
	return strings.Join(words, " ")
}

// idKind is who built, as far as an image tells of it: a reproducible one is the same whoever makes it.
func (b *builder) idKind() string {
	if b.spec.Reproducible {
		return ""
	}
	return b.spec.IDKind
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
