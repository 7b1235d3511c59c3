package engine

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"carrel/engine/sif"
)

// Part is one object in a SIF image.
type Part struct {
	ID     uint32 `json:"id"`
	Group  uint32 `json:"group"` // 0: none
	Link   string `json:"link"`  // "NONE", a part's id, or "2 (G)" for a group
	Type   string `json:"type"`  // as tools for SIF show it: "FS (Squashfs/*System/amd64)"
	Name   string `json:"name,omitempty"`
	Offset int64  `json:"offset"` // in the file, bytes
	Size   int64  `json:"size"`   // bytes

	Created time.Time `json:"created"`
	// Checked says by what the part's content was found right: "digest" or "signature", "" when nothing vouches for it.
	Checked string `json:"checked,omitempty"`
	// Unsigned: others are signed together, and this part is not among them; it may have been added since.
	Unsigned bool `json:"unsigned,omitempty"`
	// Signer is the fingerprint of the key that a signature says it was made with; whose that is is not examined.
	Signer string `json:"signer,omitempty"`
}

// Parts describes a SIF image as a file.
type Parts struct {
	Path       string    `json:"path"`
	LaunchLine string    `json:"launch_line"`
	Arch       string    `json:"arch"`
	ID         string    `json:"id"`
	Created    time.Time `json:"created"`
	Modified   time.Time `json:"modified"`
	Signed     bool      `json:"signed"`
	Parts      []Part    `json:"parts"`
}

func (e *Engine) openSIF(ctx context.Context, name string) (*sif.Image, error) {
	t, err := e.Resolve(ctx, name)
	if err != nil {
		return nil, err
	}
	return sif.Open(t.Path)
}

// Parts lists what a SIF image consists of. With verify its whole content is read and compared with the digests that it
// carries, its own and those that somebody signed; a difference is an error, which the list accompanies. Who signed is not
// examined.
func (e *Engine) Parts(ctx context.Context, name string, verify bool) (Parts, error) {
	m, err := e.openSIF(ctx, name)
	if err != nil {
		return Parts{}, err
	}
	defer m.Close()
	out := Parts{Path: m.Path, LaunchLine: m.LaunchLine, Arch: m.Arch, ID: m.ID, Created: m.Created, Modified: m.Modified, Signed: m.Signed()}
	checked, unsigned := map[uint32]string{}, map[uint32]bool{}
	if verify {
		var checks []sif.Check
		checks, err = m.Verify(ctx)
		for _, c := range checks {
			if c.OK {
				checked[c.Object.ID] = c.By
			}
			unsigned[c.Object.ID] = c.Unsigned
		}
	}
	for _, o := range m.Objects {
		p := Part{ID: o.ID, Group: o.Group, Link: "NONE", Type: partType(o), Name: o.Name, Offset: o.Offset, Size: o.Size, Created: o.Created, Checked: checked[o.ID], Unsigned: unsigned[o.ID], Signer: o.Signer}
		switch {
		case o.LinkIsGroup:
			p.Link = fmt.Sprintf("%d (G)", o.Link)
		case o.Link != 0:
			p.Link = fmt.Sprint(o.Link)
		}
		out.Parts = append(out.Parts, p)
	}
	return out, err
}

// The words of `sif list` for what the format calls by numbers (pkg/sif/sif.go of the reference library).
var (
	typeWords = map[sif.DataType]string{
		sif.TypeDefinition: "Def.FILE", sif.TypeEnvironment: "Env.Vars", sif.TypeLabels: "JSON.Labels", sif.TypePartition: "FS",
		sif.TypeSignature: "Signature", sif.TypeJSON: "JSON.Generic", sif.TypeGeneric: "Generic/Raw", sif.TypeCryptoMessage: "Cryptographic Message",
		sif.TypeSBOM: "SBOM", sif.TypeOCIRootIndex: "OCI.RootIndex", sif.TypeOCIBlob: "OCI.Blob",
	}
	fsWords = map[sif.FSType]string{
		sif.FSSquash: "Squashfs", sif.FSExt3: "Ext3", sif.FSArchive: "Archive", sif.FSRaw: "Raw", sif.FSEncryptedSquash: "Encrypted squashfs",
		sif.FSGocryptSquash: "Gocryptfs squashfs",
	}
	roleWords = map[sif.PartType]string{sif.PartSystem: "System", sif.PartPrimSys: "*System", sif.PartData: "Data", sif.PartOverlay: "Overlay"}
)

func partType(o sif.Object) string {
	word, ok := typeWords[o.Type]
	switch {
	case !ok:
		return o.Type.String()
	case o.Type == sif.TypePartition:
		return fmt.Sprintf("FS (%s/%s/%s)", fsWords[o.FS], roleWords[o.Role], o.Arch)
	}
	return word
}

// IsSignature tells that the part is a signature, which nothing vouches for but whoever made it.
func (p *Part) IsSignature() bool { return p.Type == typeWords[sif.TypeSignature] }

// Signers are the fingerprints of the keys that the signatures say they were made with, each once.
func (p *Parts) Signers() []string {
	var list []string
	for _, part := range p.Parts {
		if part.Signer != "" && !slices.Contains(list, part.Signer) {
			list = append(list, part.Signer)
		}
	}
	return list
}

// CopyPart writes the content of one part of a SIF image. ErrNotFound: there is none of that id.
func (e *Engine) CopyPart(ctx context.Context, name string, id uint32, w io.Writer) error {
	m, err := e.openSIF(ctx, name)
	if err != nil {
		return err
	}
	defer m.Close()
	for _, o := range m.Objects {
		if o.ID == id {
			_, err := io.Copy(w, m.Reader(o))
			return err
		}
	}
	return fmt.Errorf("part %d of %s: %w", id, m.Path, ErrNotFound)
}
