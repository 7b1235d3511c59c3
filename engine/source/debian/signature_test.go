package debian

import (
	"bytes"
	"crypto"
	"errors"
	"testing"
	"time"

	"carrel/internal/debtest"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

func newKey(t *testing.T, config packet.Config) *openpgp.Entity {
	t.Helper()
	config.Algorithm = packet.PubKeyAlgoEdDSA
	config.Time = func() time.Time { return debtest.Date.Add(-time.Hour) }
	e, err := openpgp.NewEntity("Test", "", "test@example.org", &config)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func signText(t *testing.T, text string, config packet.Config, keys ...*openpgp.Entity) []byte {
	t.Helper()
	var all bytes.Buffer
	config.Time = func() time.Time { return debtest.Date }
	for _, key := range keys {
		if err := openpgp.DetachSign(&all, key, bytes.NewReader([]byte(text)), &config); err != nil {
			t.Fatal(err)
		}
	}
	return all.Bytes()
}

func TestVerify(t *testing.T) {
	const text = "Suite: test\n"
	known, other := newKey(t, packet.Config{}), newKey(t, packet.Config{})
	short := newKey(t, packet.Config{KeyLifetimeSecs: 24 * 3600})
	revoked := newKey(t, packet.Config{})
	byRevoked := signText(t, text, packet.Config{}, revoked)
	if err := revoked.RevokeKey(packet.KeyCompromised, "lost", &packet.Config{Time: func() time.Time { return debtest.Date.Add(-time.Minute) }}); err != nil {
		t.Fatal(err)
	}
	ring := openpgp.EntityList{known, short, revoked}
	for _, test := range []struct {
		name       string
		signatures []byte
		signed     string
		after      time.Duration
		want       error
	}{
		{"good", signText(t, text, packet.Config{}, known), text, time.Hour, nil},
		{"one good of several", signText(t, text, packet.Config{}, other, known), text, time.Hour, nil},
		{"good after rubbish of an unknown kind", append([]byte{0xcd, 3, 'a', 'b', 'c'}, signText(t, text, packet.Config{}, known)...), text, time.Hour, nil},
		{"nobody known", signText(t, text, packet.Config{}, other), text, time.Hour, ErrNoKey},
		{"other text", signText(t, text, packet.Config{}, known), text + " ", time.Hour, ErrBadSignature},
		{"key valid still", signText(t, text, packet.Config{}, short), text, time.Hour, nil},
		{"key expired", signText(t, text, packet.Config{}, short), text, 48 * time.Hour, ErrKeyExpired},
		{"key revoked", byRevoked, text, time.Hour, ErrKeyRevoked},
		{"signature expired", signText(t, text, packet.Config{SigLifetimeSecs: 3600}, known), text, 48 * time.Hour, ErrSignatureExpired},
		{"no signature", nil, text, time.Hour, ErrUnsigned},
		{"no packets", []byte("hello"), text, time.Hour, ErrUnsigned},
		{"worst reason of several", signText(t, text, packet.Config{}, other, short), text, 48 * time.Hour, ErrKeyExpired},
	} {
		signer, err := verify(ring, []byte(test.signed), test.signatures, debtest.Date.Add(test.after), "http://x.example.org")
		if !errors.Is(err, test.want) || (err == nil) != (signer != nil) {
			t.Errorf("%s: got %v, want %v", test.name, err, test.want)
		}
		var typed *SignatureError
		if err != nil && (!errors.As(err, &typed) || typed.Hint() == "") {
			t.Errorf("%s: no hint in %v", test.name, err)
		}
	}
}

func TestVerifyRefusesWeakHash(t *testing.T) {
	// A signature of version 4 (RFC 9580 section 5.2.3): binary document, EdDSA, SHA-1, the time it was made, two numbers.
	weak := []byte{0xc2, 22, 4, 0, 22, 2, 0, 6, 5, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1, 0, 1, 1}
	p, err := packet.Read(bytes.NewReader(weak))
	if err != nil {
		t.Fatal(err)
	}
	if sig, ok := p.(*packet.Signature); !ok || sig.Hash != crypto.SHA1 {
		t.Fatalf("got %+v", p)
	}
	_, err = verify(openpgp.EntityList{newKey(t, packet.Config{})}, []byte("x"), weak, debtest.Date, "x")
	if !errors.Is(err, ErrWeakSignature) {
		t.Errorf("got %v", err)
	}
}

func TestEmbeddedKeyring(t *testing.T) {
	keys, err := parseKeyring(debianArchiveKeyring)
	if err != nil {
		t.Fatal(err)
	}
	// Debian's archive signing key of release 12, from the release's own announcement.
	id := uint64(0x6ED0E7B82643E131)
	if found := keys.KeysByIdUsage(id, packet.KeyFlagSign); len(found) == 0 {
		t.Errorf("key %016X is not among %d", id, len(keys))
	}
}

func FuzzInRelease(f *testing.F) {
	f.Add([]byte("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nSuite: x\n-----BEGIN PGP SIGNATURE-----\n\niQ==\n=abcd\n-----END PGP SIGNATURE-----\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		text, signed, signatures, err := openInRelease(b)
		if err != nil {
			return
		}
		if _, err := verify(nil, signed, signatures, debtest.Date, "x"); err == nil {
			t.Fatalf("%q is trusted without any key", text)
		}
	})
}
