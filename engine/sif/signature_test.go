package sif

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	reference "github.com/sylabs/sif/v2/pkg/sif"

	"carrel/internal/apptainertest"
)

// signBy adds a signature to an image, with the reference library for all that is not the signature itself.
func signBy(t *testing.T, path string, fingerprint []byte, sign func(text []byte) []byte) {
	t.Helper()
	f, err := reference.LoadContainerFromPath(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.UnloadContainer()
	sum := func(r io.Reader) string {
		h := sha256.New()
		if _, err := io.Copy(h, r); err != nil {
			t.Fatal(err)
		}
		return "sha256:" + hex.EncodeToString(h.Sum(nil))
	}
	type object map[string]any
	var objects []object
	descriptors, err := f.GetDescriptors(reference.WithGroupID(1))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range descriptors {
		objects = append(objects, object{"relativeId": d.ID() - descriptors[0].ID(), "descriptorDigest": sum(d.GetIntegrityReader()), "objectDigest": sum(d.GetReader())})
	}
	text, err := json.Marshal(object{"version": 1, "header": object{"digest": sum(f.GetHeaderIntegrityReader())}, "objects": objects})
	if err != nil {
		t.Fatal(err)
	}
	in, err := reference.NewDescriptorInput(reference.DataSignature, bytes.NewReader(sign(text)),
		reference.OptNoGroup(), reference.OptLinkedGroupID(1), reference.OptSignatureMetadata(crypto.SHA256, fingerprint))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.AddObject(in); err != nil {
		t.Fatal(err)
	}
}

// inEnvelope signs as DSSE says.
func inEnvelope(t *testing.T, key crypto.Signer) func([]byte) []byte {
	return func(text []byte) []byte {
		message := fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(mediaType), mediaType, len(text), text)
		sum := sha256.Sum256(message)
		digest, opts := sum[:], crypto.SignerOpts(crypto.SHA256)
		if _, ed := key.(ed25519.PrivateKey); ed {
			digest, opts = message, crypto.Hash(0)
		}
		sig, err := key.Sign(rand.Reader, digest, opts)
		if err != nil {
			t.Fatal(err)
		}
		out, err := json.Marshal(map[string]any{"payloadType": mediaType, "payload": text, "signatures": []any{map[string]any{"sig": sig}}})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

func pemKey(t *testing.T, key crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// signers sign an image in each way; keys are the public keys that go with them, as files hold them.
func signers(t *testing.T) (sign map[string]func(path string), keys map[string][]byte) {
	t.Helper()
	sign, keys = map[string]func(string){}, map[string][]byte{}
	person, err := openpgp.NewEntity("Grace Hopper", "", "g@example.org", nil)
	if err != nil {
		t.Fatal(err)
	}
	var ring, armored bytes.Buffer
	if err := person.Serialize(&ring); err != nil {
		t.Fatal(err)
	}
	w, err := armor.Encode(&armored, openpgp.PublicKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(person.Serialize(w), w.Close()); err != nil {
		t.Fatal(err)
	}
	pgp := func(path string) {
		signBy(t, path, person.PrimaryKey.Fingerprint, func(text []byte) []byte {
			var b bytes.Buffer
			w, err := clearsign.Encode(&b, person.PrivateKey, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(text); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			return b.Bytes()
		})
	}
	sign["PGP"], keys["PGP"], sign["PGP, armored"], keys["PGP, armored"] = pgp, ring.Bytes(), pgp, armored.Bytes()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"ECDSA": ec, "RSA": rs, "Ed25519": ed} {
		sign[name] = func(path string) { signBy(t, path, nil, inEnvelope(t, key)) }
		keys[name] = pemKey(t, key.Public())
	}
	return sign, keys
}

func verifyWith(t *testing.T, path string, key []byte) ([]Signature, error) {
	t.Helper()
	k, err := ReadKeys(bytes.NewReader(key))
	if err != nil {
		t.Fatal(err)
	}
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	return m.VerifySignatures(context.Background(), k)
}

// TestVerifySignatures: a signature is right with its key, and with no other; whatever is changed afterwards is refused.
func TestVerifySignatures(t *testing.T) {
	sign, keys := signers(t)
	for name, do := range sign {
		t.Run(name, func(t *testing.T) {
			plain := create(t, contents())
			if _, err := verifyWith(t, plain, keys[name]); !errors.Is(err, ErrNotSigned) {
				t.Errorf("before: %v", err)
			}
			do(plain)
			got, err := verifyWith(t, plain, keys[name])
			if err != nil || len(got) != 1 || len(got[0].Objects) != 4 || got[0].Key == "" {
				t.Fatalf("got %+v, %v", got, err)
			}
			if strings.HasPrefix(name, "PGP") && (got[0].Form != FormPGP || got[0].Key != "Grace Hopper <g@example.org>" || len(got[0].Signer) != 40) {
				t.Errorf("got %+v", got[0])
			}
			for other, key := range keys {
				if bytes.Equal(key, keys[name]) || strings.HasPrefix(other, "PGP") && strings.HasPrefix(name, "PGP") {
					continue
				}
				if _, err := verifyWith(t, plain, key); !errors.Is(err, ErrOtherKey) {
					t.Errorf("with a key of %s: %v", other, err)
				}
			}
			m, err := Open(plain)
			if err != nil {
				t.Fatal(err)
			}
			last := m.Objects[3]
			signature := m.Objects[4]
			m.Close()
			good, err := os.ReadFile(plain)
			if err != nil {
				t.Fatal(err)
			}
			for what, at := range map[string]int64{
				"the launch line": 5, "the name of a part": tableOffset + 2*descriptorSize + 75, "the role of the system": tableOffset + 3*descriptorSize + 201 + 4,
				"the content": last.Offset + 100, "the signature": signature.Offset + signature.Size/2,
			} {
				bad := bytes.Clone(good)
				bad[at] ^= 1
				file := filepath.Join(t.TempDir(), "bad.sif")
				if err := os.WriteFile(file, bad, 0o644); err != nil {
					t.Fatal(err)
				}
				if _, err := verifyWith(t, file, keys[name]); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrOtherKey) {
					t.Errorf("%s altered: %v", what, err)
				}
			}
			f, err := reference.LoadContainerFromPath(plain)
			if err != nil {
				t.Fatal(err)
			}
			more, err := reference.NewDescriptorInput(reference.DataGeneric, strings.NewReader("more"), reference.OptGroupID(1))
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(f.AddObject(more), f.UnloadContainer()); err != nil {
				t.Fatal(err)
			}
			if _, err := verifyWith(t, plain, keys[name]); !errors.Is(err, ErrNotSigned) || !strings.Contains(err.Error(), "added after the signing") {
				t.Errorf("with a part more: %v", err)
			}
		})
	}
}

func TestReadKeys(t *testing.T) {
	for name, text := range map[string]string{
		"nothing": "", "text": "hello\n", "a private key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "damaged": "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
		"damaged PGP": "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----\n", "an image": LaunchLine + magic,
	} {
		if _, err := ReadKeys(strings.NewReader(text)); !errors.Is(err, ErrNoKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzKeys reads files that are given as keys.
func FuzzKeys(f *testing.F) {
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n"))
	f.Add([]byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n-----END PGP PUBLIC KEY BLOCK-----\n"))
	f.Add([]byte{0xc6, 0x33, 4, 0, 0, 0, 0, 22})
	f.Fuzz(func(t *testing.T, text []byte) {
		if k, err := ReadKeys(bytes.NewReader(text)); err == nil && k.Empty() {
			t.Error("neither a key nor an error")
		}
	})
}

// TestSignedByApptainer: what a real Apptainer signs is found right with its key, in both forms.
func TestSignedByApptainer(t *testing.T) {
	apptainertest.Command(t)
	dir := t.TempDir()
	t.Setenv("APPTAINER_KEYSDIR", dir)
	c := contents()
	c.Arch = ""
	apptainertest.Run(t, "key", "newpair", "--name", "Grace Hopper", "--email", "g@example.org", "--comment", "", "--password", "", "--push=false")
	ring, err := os.ReadFile(filepath.Join(dir, "pgp-public"))
	if err != nil {
		t.Fatal(err)
	}
	path := create(t, c)
	apptainertest.Run(t, "sign", path)
	if got, err := verifyWith(t, path, ring); err != nil || len(got) != 1 || !strings.HasPrefix(got[0].Key, "Grace Hopper") {
		t.Errorf("PGP: %+v, %v", got, err)
	}
	private := filepath.Join(dir, "private.pem")
	if out, err := exec.Command("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", private).CombinedOutput(); err != nil {
		t.Fatalf("openssl: %v\n%s", err, out)
	}
	public, err := exec.Command("openssl", "pkey", "-in", private, "-pubout").Output()
	if err != nil {
		t.Fatal(err)
	}
	path = create(t, c)
	apptainertest.Run(t, "sign", "--key", private, path)
	if got, err := verifyWith(t, path, public); err != nil || len(got) != 1 || got[0].Form != FormDSSE {
		t.Errorf("DSSE: %+v, %v", got, err)
	}
}
