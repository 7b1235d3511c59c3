package sif

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
)

// Form is how a signature is written.
type Form string

// The forms of signatures: an OpenPGP message in clear text, or an envelope (DSSE, https://github.com/secure-systems-lab/dsse)
// for keys without names.
const (
	FormPGP  Form = "PGP"
	FormDSSE Form = "DSSE"
)

// Signature is what a signature in an image says.
type Signature struct {
	ID     uint32 `json:"id"`               // of the object that holds it
	Form   Form   `json:"form,omitempty"`   // empty: one that cannot be read
	Signer string `json:"signer,omitempty"` // fingerprint of the key that it says it was made with; empty where it says none
	// Objects are the ids of those that it covers.
	Objects []uint32 `json:"objects"`
	// Key is the key that it was made with, of those given: its name, or fingerprint. Of VerifySignatures only.
	Key string `json:"key,omitempty"`
}

var (
	// ErrNotSigned: the image has no signature, or a part of it is covered by none.
	ErrNotSigned = errors.New("it is not signed")
	// ErrOtherKey: it is signed, but with none of the keys given.
	ErrOtherKey = errors.New("it is not signed with that key")
	// ErrNoKey: a file that was given as a key holds none.
	ErrNoKey = errors.New("it holds no public key")
)

// Keys are public keys that signatures are compared with.
type Keys struct {
	pgp   openpgp.EntityList
	plain []crypto.PublicKey
}

// maxKeys bounds what is read of a file of keys, bytes.
const maxKeys = 16 << 20

// ReadKeys reads public keys: those of OpenPGP, armored or not, as a keyring has them, or one in PEM (RFC 7468, PUBLIC KEY). The
// error is ErrNoKey, or says why they cannot be read.
func ReadKeys(r io.Reader) (Keys, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxKeys))
	if err != nil {
		return Keys{}, err
	}
	var k Keys
	if bytes.Contains(text, []byte("-----BEGIN PGP ")) {
		if k.pgp, err = openpgp.ReadArmoredKeyRing(bytes.NewReader(text)); err != nil {
			return k, fmt.Errorf("%w: %w", ErrNoKey, err)
		}
		return k, nil
	}
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		var key crypto.PublicKey
		switch block.Type {
		case "PUBLIC KEY":
			key, err = x509.ParsePKIXPublicKey(block.Bytes)
		case "RSA PUBLIC KEY":
			key, err = x509.ParsePKCS1PublicKey(block.Bytes)
		default:
			continue
		}
		if err != nil {
			return k, fmt.Errorf("%w: %w", ErrNoKey, err)
		}
		k.plain = append(k.plain, key)
	}
	if len(k.plain) == 0 {
		k.pgp, _ = openpgp.ReadKeyRing(bytes.NewReader(text)) // what is none has no keys
	}
	if k.Empty() {
		return k, ErrNoKey
	}
	return k, nil
}

// Empty tells whether there is no key.
func (k Keys) Empty() bool { return len(k.pgp)+len(k.plain) == 0 }

// statement is what a signature is made over (pkg/integrity/metadata.go of the reference library): digests of the header, and of
// descriptors and objects, numbered from the lowest id of the group.
type statement struct {
	Version int `json:"version"`
	Header  struct {
		Digest string `json:"digest"`
	} `json:"header"`
	Objects []struct {
		RelativeID       uint32 `json:"relativeId"`
		DescriptorDigest string `json:"descriptorDigest"`
		ObjectDigest     string `json:"objectDigest"`
	} `json:"objects"`
}

// mediaType is the payload type of envelopes (pkg/integrity/dsse.go of the reference library).
const mediaType = "application/vnd.sylabs.sif-metadata+json"

// envelope is a DSSE envelope (protocol.md, envelope.md).
type envelope struct {
	PayloadType string `json:"payloadType"`
	Payload     []byte `json:"payload"` // base64
	Signatures  []struct {
		Sig []byte `json:"sig"`
	} `json:"signatures"`
}

// signed is a signature's text, taken apart.
type signed struct {
	Signature
	hash  crypto.Hash // of an envelope
	group uint32
	block *clearsign.Block
	env   envelope
	meta  statement
}

// Signatures tells what the image's signatures say, unexamined.
func (m *Image) Signatures() ([]Signature, error) {
	list, err := m.readSignatures()
	out := make([]Signature, 0, len(list))
	for _, s := range list {
		out = append(out, s.Signature)
	}
	return out, err
}

func (m *Image) readSignatures() ([]signed, error) {
	var out []signed
	for _, o := range m.Objects {
		if o.Type != TypeSignature {
			continue
		}
		s := signed{Signature: Signature{ID: o.ID, Signer: o.Signer}, group: o.Link}
		if o.Size <= maxText && o.LinkIsGroup {
			text, err := io.ReadAll(m.Reader(o))
			if err != nil {
				return nil, &Error{Op: "verify", Path: m.Path, Err: err}
			}
			s.read(text, littleUint32(o.raw.Extra[0:]))
		}
		first := m.firstID(s.group)
		for _, d := range s.meta.Objects {
			s.Objects = append(s.Objects, first+d.RelativeID)
		}
		out = append(out, s)
	}
	return out, nil
}

// hashKinds are the digests by the numbers that the extra field of a signature has (pkg/sif/sif.go of the reference library).
var hashKinds = map[uint32]crypto.Hash{1: crypto.SHA256, 2: crypto.SHA384, 3: crypto.SHA512}

// read takes a signature's text apart; one of another form stays without any.
func (s *signed) read(text []byte, kind uint32) {
	var payload []byte
	form := FormPGP
	if s.block, _ = clearsign.Decode(text); s.block != nil {
		payload = s.block.Plaintext
	} else if json.Unmarshal(bytes.TrimRight(text, "\x00"), &s.env) == nil && s.env.PayloadType == mediaType {
		form, payload, s.hash = FormDSSE, s.env.Payload, hashKinds[kind]
	}
	if json.Unmarshal(payload, &s.meta) == nil && s.meta.Version == 1 {
		s.Form = form
	} else {
		s.meta = statement{} // of before 2020: nothing of the header or of descriptors is in it
	}
}

// by finds out whose key a signature was made with; empty: none of those.
func (s *signed) by(k Keys) string {
	switch s.Form {
	case FormPGP:
		e, err := s.block.VerifySignature(k.pgp, nil)
		if err != nil || e == nil {
			return ""
		}
		print := strings.ToUpper(hex.EncodeToString(e.PrimaryKey.Fingerprint))
		if s.Signer != "" && s.Signer != print {
			return ""
		}
		if id := e.PrimaryIdentity(); id != nil {
			return id.Name
		}
		return print
	case FormDSSE:
		message := fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(s.env.PayloadType), s.env.PayloadType, len(s.env.Payload), s.env.Payload)
		for _, key := range k.plain {
			for _, sig := range s.env.Signatures {
				if s.hash != 0 && fits(key, s.hash, message, sig.Sig) {
					der, _ := x509.MarshalPKIXPublicKey(key) // it was read as one
					return fmt.Sprintf("SHA256:%x", sha256.Sum256(der))
				}
			}
		}
	}
	return ""
}

// fits tells whether a plain key made a signature of a message.
func fits(key crypto.PublicKey, hash crypto.Hash, message, sig []byte) bool {
	h := hash.New()
	h.Write(message)
	sum := h.Sum(nil)
	switch key := key.(type) {
	case *ecdsa.PublicKey:
		return ecdsa.VerifyASN1(key, sum, sig)
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, hash, sum, sig) == nil
	case ed25519.PublicKey:
		return ed25519.Verify(key, message, sig)
	}
	return false
}

// VerifySignatures finds the signatures that were made with one of the keys and compares what they cover, header and
// descriptors included, with what is in the file. Every part of the image has to be covered by one. The error wraps ErrNotSigned,
// ErrOtherKey, or ErrCorrupt when something was altered or added since.
func (m *Image) VerifySignatures(ctx context.Context, k Keys) ([]Signature, error) {
	all, err := m.readSignatures()
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, &Error{Op: "verify", Path: m.Path, Err: ErrNotSigned}
	}
	var good []Signature
	covered := map[uint32]bool{}
	for _, s := range all {
		if s.Key = s.by(k); s.Key == "" {
			continue
		}
		if err := m.agrees(ctx, &s); err != nil {
			return nil, err
		}
		for _, id := range s.Objects {
			covered[id] = true
		}
		good = append(good, s.Signature)
	}
	if len(good) == 0 {
		var signers []string
		for _, s := range all {
			if s.Signer != "" && !slices.Contains(signers, s.Signer) {
				signers = append(signers, s.Signer)
			}
		}
		detail := ""
		if len(signers) > 0 {
			detail = "it says that it was made with the key " + strings.Join(signers, ", ")
		}
		return nil, &Error{"verify", m.Path, ErrOtherKey, detail}
	}
	for _, o := range m.Objects {
		if o.Type != TypeSignature && !covered[o.ID] {
			return nil, &Error{"verify", m.Path, ErrNotSigned, fmt.Sprintf("part %d (%s) was added after the signing", o.ID, o.Type)}
		}
	}
	return good, nil
}

// agrees compares what a signature says with the file.
func (m *Image) agrees(ctx context.Context, s *signed) error {
	altered := func(what string) error { return &Error{"verify", m.Path, ErrCorrupt, what + " is not what was signed"} }
	if !is(s.meta.Header.Digest, m.h.integrity()) {
		return altered("the header")
	}
	first := m.firstID(s.group)
	for _, d := range s.meta.Objects {
		i := slices.IndexFunc(m.Objects, func(o Object) bool { return o.ID == first+d.RelativeID })
		if i < 0 {
			return altered(fmt.Sprintf("that there is no part %d", first+d.RelativeID))
		}
		o := m.Objects[i]
		if !is(d.DescriptorDigest, o.raw.integrity(d.RelativeID)) {
			return altered(fmt.Sprintf("the description of part %d (%s)", o.ID, o.Type))
		}
		sums := appendDigest(nil, d.ObjectDigest)
		for _, sum := range sums {
			ok, err := sum.matches(ctx, m, o)
			if err != nil {
				return &Error{Op: "verify", Path: m.Path, Err: err}
			}
			if !ok {
				return altered(fmt.Sprintf("part %d (%s)", o.ID, o.Type))
			}
		}
		if len(sums) == 0 { // made by a method that is not known
			return altered(fmt.Sprintf("part %d (%s)", o.ID, o.Type))
		}
	}
	return nil
}

// is tells that bytes have a digest; none have one whose method is not known.
func is(digest string, b []byte) bool {
	sums := appendDigest(nil, digest)
	return len(sums) > 0 && allMatch(sums, b)
}
