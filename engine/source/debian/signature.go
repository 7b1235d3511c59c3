package debian

import (
	"bytes"
	"crypto"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

//go:embed keys/debian-archive-keyring.gpg
var debianArchiveKeyring []byte

// DefaultKeyrings are the files and folders in which Debian and Ubuntu keep the keys their archives are signed with.
// Those that do not exist are passed over when keys are read.
func DefaultKeyrings() []string {
	return []string{
		"/usr/share/keyrings/debian-archive-keyring.gpg",
		"/usr/share/keyrings/ubuntu-archive-keyring.gpg",
		"/etc/apt/trusted.gpg.d",
	}
}

// readKeyring reads a keyring file, binary or armored.
func readKeyring(path string) (openpgp.EntityList, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read keyring: %w", err)
	}
	keys, err := parseKeyring(b)
	if err != nil {
		return nil, fmt.Errorf("read keyring %s: %w", path, err)
	}
	return keys, nil
}

// parseKeyring reads OpenPGP public keys, armored or not.
func parseKeyring(b []byte) (openpgp.EntityList, error) {
	if bytes.HasPrefix(bytes.TrimSpace(b), []byte("-----BEGIN PGP")) {
		return openpgp.ReadArmoredKeyRing(bytes.NewReader(b))
	}
	return openpgp.ReadKeyRing(bytes.NewReader(b))
}

// openInRelease takes the text and the signatures out of an InRelease file (RFC 9580 section 7).
func openInRelease(b []byte) (text, signed, signatures []byte, err error) {
	block, rest := clearsign.Decode(b)
	if block == nil {
		return nil, nil, nil, ErrUnsigned
	}
	if len(bytes.TrimSpace(rest)) > 0 || !bytes.HasPrefix(b, []byte("-----BEGIN PGP SIGNED MESSAGE-----")) {
		return nil, nil, nil, errors.New("text outside of the signed part")
	}
	signatures, err = io.ReadAll(block.ArmoredSignature.Body)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("read signature: %w", err)
	}
	return block.Plaintext, block.Bytes, signatures, nil
}

// openReleaseGPG takes the signatures out of a Release.gpg file, armored or not.
func openReleaseGPG(b []byte) ([]byte, error) {
	if !bytes.HasPrefix(bytes.TrimSpace(b), []byte("-----BEGIN")) {
		return b, nil
	}
	block, err := armor.Decode(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("read signature: %w", err)
	}
	return io.ReadAll(block.Body)
}

// verify checks signed against signatures, of which one good one by a key of the keyring is enough, as gpgv does for
// apt. At says which moment keys and signatures must be valid at. It returns the signer.
func verify(keys openpgp.EntityList, signed, signatures []byte, at time.Time, url string) (*openpgp.Entity, error) {
	refused := &SignatureError{URL: url, Reason: ErrUnsigned}
	packets := packet.NewOpaqueReader(bytes.NewReader(signatures))
	for {
		opaque, err := packets.Next()
		if err != nil {
			break // io.EOF, or rubbish after the signatures, which proves nothing
		}
		var one bytes.Buffer
		if err := opaque.Serialize(&one); err != nil {
			return nil, err
		}
		p, err := packet.Read(bytes.NewReader(one.Bytes()))
		if err != nil {
			continue // a signature of a kind unknown here; another one may do
		}
		sig, ok := p.(*packet.Signature)
		if !ok {
			continue
		}
		if sig.IssuerKeyId != nil {
			refused.Keys = append(refused.Keys, fmt.Sprintf("%016X", *sig.IssuerKeyId))
		}
		if sig.Hash == crypto.SHA1 || sig.Hash == crypto.MD5 || sig.Hash == crypto.RIPEMD160 {
			refused.worse(ErrWeakSignature)
			continue
		}
		signer, err := openpgp.CheckDetachedSignature(keys, bytes.NewReader(signed), bytes.NewReader(one.Bytes()),
			&packet.Config{Time: func() time.Time { return at }})
		switch {
		case err == nil:
			return signer, nil
		case errors.Is(err, pgperrors.ErrUnknownIssuer):
			refused.worse(ErrNoKey)
		case errors.Is(err, pgperrors.ErrKeyExpired):
			refused.worse(ErrKeyExpired)
		case errors.Is(err, pgperrors.ErrKeyRevoked):
			refused.worse(ErrKeyRevoked)
		case errors.Is(err, pgperrors.ErrSignatureExpired):
			refused.worse(ErrSignatureExpired)
		default:
			refused.worse(ErrBadSignature)
		}
	}
	return nil, refused
}

// worse keeps the reason that says most: a signature that does not match over one that is out of date, that over one
// by a key nobody knows.
func (e *SignatureError) worse(reason error) {
	rank := func(r error) int {
		for i, known := range []error{ErrUnsigned, ErrNoKey, ErrWeakSignature, ErrSignatureExpired, ErrKeyExpired, ErrKeyRevoked, ErrBadSignature} {
			if errors.Is(r, known) {
				return i
			}
		}
		return 0
	}
	if rank(reason) > rank(e.Reason) {
		e.Reason = reason
	}
}

// isArchiveKeyring tells whether a keyring is one that the distribution's own keyring package brings, so that a root
// made from the archive has it too.
func isArchiveKeyring(path string) bool {
	base := filepath.Base(path)
	return strings.HasPrefix(base, "debian-archive-") || strings.HasPrefix(base, "ubuntu-archive-") || strings.HasPrefix(base, "ubuntu-keyring-")
}
