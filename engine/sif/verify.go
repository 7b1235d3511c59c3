package sif

import (
	"bytes"
	"context"
	"crypto"
	_ "crypto/sha256" // hashes that signatures use
	_ "crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
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
	// Unsigned: others of its group are signed, but it is not among them, such as what was added since.
	Unsigned bool
}

// Verify reads the whole image and compares every object with the digests that the image carries, both its own and
// those in signatures. It returns one Check for each object, and an error wrapping ErrCorrupt that names the first
// altered one. Where there are signatures, header and descriptors are compared with them too, and a part that was signed
// and is gone is such an error as well. Digests tell accidents and careless changes; who made a signature is not examined here.
func (m *Image) Verify(ctx context.Context) ([]Check, error) {
	signed, err := m.signatures()
	if err != nil {
		return nil, err
	}
	var checks []Check
	wrong := ""
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
		for _, s := range signed {
			if o.Type == TypeSignature || o.Group != s.group {
				continue
			}
			part, ok := s.objects[o.ID]
			if !ok {
				c.Unsigned = true
				continue
			}
			for _, d := range part.content {
				ok, err := d.matches(ctx, m, o)
				if err != nil {
					return checks, &Error{Op: "verify", Path: m.Path, Err: err}
				}
				c.OK = ok && (c.OK || c.By == "")
				c.By = "signature"
			}
			if wrong == "" && !allMatch(part.descriptor, o.raw.integrity(o.ID-s.first)) {
				wrong = fmt.Sprintf("what it says of object %d (%s) is not what was signed", o.ID, o.Type)
			}
		}
		if c.By != "" && !c.OK && wrong == "" {
			wrong = fmt.Sprintf("object %d (%s) is not what was written", o.ID, o.Type)
		}
		checks = append(checks, c)
	}
	for _, s := range signed {
		if wrong == "" {
			wrong = s.contradiction(m)
		}
	}
	if wrong != "" {
		return checks, &Error{"verify", m.Path, ErrCorrupt, wrong}
	}
	return checks, nil
}

// signedDigest is a digest out of a signature.
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

// allMatch tells that bytes have all of some digests; true for none.
func allMatch(digests []signedDigest, b []byte) bool {
	for _, d := range digests {
		h := d.hash.New()
		h.Write(b)
		if !bytes.Equal(h.Sum(nil), d.sum) {
			return false
		}
	}
	return true
}

// signature is what one signature says, its objects by their ids.
type signature struct {
	group, first uint32
	signedText
}

// contradiction is how the image as a whole differs from what was signed, "" when it does not.
func (s *signature) contradiction(m *Image) string {
	if !allMatch(s.header, m.h.integrity()) {
		return "its header is not what was signed"
	}
	for _, id := range slices.Sorted(maps.Keys(s.objects)) {
		if !slices.ContainsFunc(m.Objects, func(o Object) bool { return o.ID == id && o.Group == s.group }) {
			return fmt.Sprintf("object %d was signed and is gone", id)
		}
	}
	return ""
}

// signatures collects what the image's signatures of groups say. The text of a signature is a JSON document, clear-signed or in an envelope
// (pkg/integrity/metadata.go of the reference library) in which objects are numbered from the lowest id of the group the
// signature is linked to.
func (m *Image) signatures() ([]signature, error) {
	var all []signature
	for _, o := range m.Objects {
		if o.Type != TypeSignature || !o.LinkIsGroup || o.Size > maxText {
			continue
		}
		text, err := io.ReadAll(m.Reader(o))
		if err != nil {
			return nil, &Error{Op: "verify", Path: m.Path, Err: err}
		}
		said, err := parseSigned(text)
		if err != nil {
			return nil, &Error{"verify", m.Path, ErrCorrupt, fmt.Sprintf("the text of signature %d: %v", o.ID, err)}
		}
		if len(said.objects) == 0 {
			continue
		}
		s := signature{o.Link, m.firstID(o.Link), signedText{said.header, map[uint32]signedObject{}}}
		for id, d := range said.objects {
			s.objects[s.first+id] = d
		}
		if all = append(all, s); len(all) > maxSignatures {
			return nil, &Error{"verify", m.Path, ErrCorrupt, fmt.Sprintf("more than %d signatures", maxSignatures)}
		}
	}
	return all, nil
}

const (
	// maxSigned is how many different digests of one object a signature may name: each is work of the size of the object.
	maxSigned = 3
	// maxSignatures bounds the same work over all signatures.
	maxSignatures = 64
)

// signedText is what a signature says: digests of the header, and of objects by their numbers.
type signedText struct {
	header  []signedDigest
	objects map[uint32]signedObject
}

// signedObject is what a signature says of one object: of its content, and of what its descriptor says.
type signedObject struct{ content, descriptor []signedDigest }

// parseSigned reads the text of a signature. One of another form says nothing, as do digests of unknown methods.
func parseSigned(text []byte) (signedText, error) {
	var out signedText
	var payload []byte
	var e envelope
	if block, _ := clearsign.Decode(text); block != nil {
		payload = block.Plaintext
	} else if json.Unmarshal(bytes.TrimRight(text, "\x00"), &e) == nil && e.PayloadType == mediaType {
		payload = e.Payload
	}
	if payload == nil {
		return out, nil
	}
	var doc statement
	if err := json.Unmarshal(payload, &doc); err != nil {
		return out, err
	}
	out.header = appendDigest(nil, doc.Header.Digest)
	out.objects = map[uint32]signedObject{}
	for _, d := range doc.Objects {
		o := out.objects[d.RelativeID]
		o.content, o.descriptor = appendDigest(o.content, d.ObjectDigest), appendDigest(o.descriptor, d.DescriptorDigest)
		if len(o.content) > maxSigned || len(o.descriptor) > maxSigned {
			return signedText{}, fmt.Errorf("more than %d digests of one object", maxSigned)
		}
		out.objects[d.RelativeID] = o
	}
	return out, nil
}

var hashNames = map[string]crypto.Hash{"sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512}

// appendDigest adds a digest of the form METHOD:HEX, when it is one.
func appendDigest(list []signedDigest, text string) []signedDigest {
	name, hexSum, _ := strings.Cut(text, ":")
	sum, err := hex.DecodeString(hexSum)
	if hash, known := hashNames[name]; known && err == nil {
		return append(list, signedDigest{hash, sum})
	}
	return list
}

// integrity are the bytes of the header that a signature covers (GetIntegrityReader in pkg/sif/sif.go of the reference library).
func (h *header) integrity() []byte {
	return slices.Concat(h.Launch[:], h.Magic[:], h.Version[:], h.ID[:])
}

// integrity are the bytes of the descriptor that a signature covers, with the object's number in its group (GetIntegrityReader
// in pkg/sif/descriptor.go of the reference library).
func (d *descriptor) integrity(relativeID uint32) []byte {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, uint32(d.Type))
	b = append(b, 0)
	if d.Used {
		b[4] = 1
	}
	b = le.AppendUint32(b, relativeID)
	b = le.AppendUint32(b, d.Link)
	for _, v := range []int64{d.Size, d.Created, d.UID, d.GID} {
		b = le.AppendUint64(b, uint64(v))
	}
	return slices.Concat(b, d.Name[:], d.Extra[:])
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
