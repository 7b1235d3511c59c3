package sif

import (
	"bytes"
	"context"
	"crypto"
	_ "crypto/sha256" // hashes that signatures use
	_ "crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
)

// Check is what Verify found out about one object.
type Check struct {
	Object Object
	// By says what vouches for the object: "digest" written by this package into the image, "signature" for a digest in
	// a signature's text; empty when nothing does, which is usual for images of others that nobody signed.
	By string
	// OK tells that the object's bytes match.
	OK bool
}

// Verify reads the whole image and compares every object with the digests that the image carries, both its own and
// those in signatures. It returns one Check for each object, and an error wrapping ErrCorrupt that names the first
// altered one. Digests tell accidents and careless changes; who made a signature is not examined here.
func (m *Image) Verify(ctx context.Context) ([]Check, error) {
	signed, err := m.signedDigests()
	if err != nil {
		return nil, err
	}
	var checks []Check
	var broken *Object
	for i := range m.Objects {
		o := m.Objects[i]
		c := Check{Object: o}
		sum, err := digestRange(ctx, m.f, o.Offset, o.Size)
		if err != nil {
			return checks, &Error{Op: "verify", Path: m.Path, Err: err}
		}
		if o.Digest != nil {
			c.By, c.OK = "digest", bytes.Equal(sum[:], o.Digest)
		}
		for _, s := range signed[o.ID] {
			ok, err := s.matches(ctx, m, o)
			if err != nil {
				return checks, &Error{Op: "verify", Path: m.Path, Err: err}
			}
			c.OK = ok && (c.OK || c.By == "")
			c.By = "signature"
		}
		if c.By != "" && !c.OK && broken == nil {
			broken = &m.Objects[i]
		}
		checks = append(checks, c)
	}
	if broken != nil {
		return checks, &Error{"verify", m.Path, ErrCorrupt, fmt.Sprintf("object %d (%s) is not what was written", broken.ID, broken.Type)}
	}
	return checks, nil
}

// signedDigest is one object's digest out of a signature.
type signedDigest struct {
	hash crypto.Hash
	sum  []byte
}

func (s signedDigest) matches(ctx context.Context, m *Image, o Object) (bool, error) {
	h := s.hash.New()
	if err := hashRange(ctx, h, m.f, o.Offset, o.Size); err != nil {
		return false, err
	}
	return bytes.Equal(h.Sum(nil), s.sum), nil
}

var hashNames = map[string]crypto.Hash{"sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512}

// signedDigests collects what the image's signatures say about its objects, by id. The text of a signature is a
// clear-signed JSON document (pkg/integrity/metadata.go of the reference library) in which objects are numbered from
// the lowest id of the group the signature is linked to.
func (m *Image) signedDigests() (map[uint32][]signedDigest, error) {
	all := map[uint32][]signedDigest{}
	for _, o := range m.Objects {
		if o.Type != TypeSignature || !o.LinkIsGroup || o.Size > maxText {
			continue
		}
		text, err := io.ReadAll(m.Reader(o))
		if err != nil {
			return nil, &Error{Op: "verify", Path: m.Path, Err: err}
		}
		digests, err := parseSigned(text)
		if err != nil {
			return nil, &Error{"verify", m.Path, ErrCorrupt, fmt.Sprintf("the text of signature %d: %v", o.ID, err)}
		}
		first := m.firstID(o.Link)
		for id, d := range digests {
			all[first+id] = append(all[first+id], d...)
		}
	}
	return all, nil
}

// maxSigned is how many different digests of one object a signature may name: each is work of the size of the object.
const maxSigned = 3

// parseSigned reads the text of a signature: digests by the number of their object. A signature of another form has none.
func parseSigned(text []byte) (map[uint32][]signedDigest, error) {
	block, _ := clearsign.Decode(text)
	if block == nil {
		return nil, nil
	}
	var doc struct {
		Objects []struct {
			RelativeID   uint32 `json:"relativeId"`
			ObjectDigest string `json:"objectDigest"`
		} `json:"objects"`
	}
	if err := json.Unmarshal(block.Plaintext, &doc); err != nil {
		return nil, err
	}
	out := map[uint32][]signedDigest{}
	for _, d := range doc.Objects {
		name, hexSum, _ := strings.Cut(d.ObjectDigest, ":")
		sum, err := hex.DecodeString(hexSum)
		if hash, known := hashNames[name]; known && err == nil {
			if out[d.RelativeID] = append(out[d.RelativeID], signedDigest{hash, sum}); len(out[d.RelativeID]) > maxSigned {
				return nil, fmt.Errorf("more than %d digests of one object", maxSigned)
			}
		}
	}
	return out, nil
}

// firstID is the lowest object id of a group.
func (m *Image) firstID(group uint32) uint32 {
	first := uint32(0)
	for _, o := range m.Objects {
		if o.Group == group && (first == 0 || o.ID < first) {
			first = o.ID
		}
	}
	return first
}
