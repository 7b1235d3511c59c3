package sif

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	reference "github.com/sylabs/sif/v2/pkg/sif"
)

const clearsigned = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n" +
	`{"version":1,"objects":[{"relativeId":0,"objectDigest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}]}` +
	"\n-----BEGIN PGP SIGNATURE-----\n\nwnUEARYIAB0FAmAAAAAWIQQ=\n=AAAA\n-----END PGP SIGNATURE-----\n"

// FuzzSigned reads the texts of signatures, which are in images of others.
func FuzzSigned(f *testing.F) {
	f.Add([]byte(clearsigned))
	f.Add([]byte(`{"payloadType":"application/vnd.sylabs.sif-metadata+json","payload":"eyJ2ZXJzaW9uIjoxLCJvYmplY3RzIjpbXX0=","signatures":[{"sig":"AAAA"}]}`))
	f.Add([]byte("-----BEGIN PGP SIGNED MESSAGE-----\n\n{}\n-----BEGIN PGP SIGNATURE-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		said, err := parseSigned(text)
		if err != nil {
			return
		}
		all := said.header
		for id, o := range said.objects {
			if len(o.content) > maxSigned || len(o.descriptor) > maxSigned {
				t.Errorf("%d and %d digests of object %d", len(o.content), len(o.descriptor), id)
			}
			all = slices.Concat(all, o.content, o.descriptor)
		}
		for _, d := range all {
			if !d.hash.Available() {
				t.Errorf("hash %v cannot be computed", d.hash)
			}
		}
	})
}

// TestWhatSignaturesCover: header, descriptors and contents are compared with what was signed, and what is missing or
// was added since is found.
func TestWhatSignaturesCover(t *testing.T) {
	signed := create(t, contents())
	signAll(t, signed)
	good, err := os.ReadFile(signed)
	if err != nil {
		t.Fatal(err)
	}
	second := tableOffset + descriptorSize
	for _, row := range []struct {
		name  string
		alter func(b []byte)
		want  string // part of the error; "" for none
	}{
		{"untouched", func([]byte) {}, ""},
		{"the times in the header", func(b []byte) { b[64]++ }, ""},
		{"the launch line", func(b []byte) { b[2] = 'X' }, "its header is not what was signed"},
		{"the id", func(b []byte) { b[50]++ }, "its header is not what was signed"},
		{"a name", func(b []byte) { b[second+73]++ }, "what it says of object 2 (JSON) is not what was signed"},
		{"an architecture", func(b []byte) { b[tableOffset+3*descriptorSize+201+8] ^= 1 }, "what it says of object 4 (partition)"},
		{"a part that is gone", func(b []byte) { b[second+4] = 0 }, "object 2 was signed and is gone"},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := bytes.Clone(good)
			row.alter(b)
			path := filepath.Join(t.TempDir(), "altered.sif")
			if err := os.WriteFile(path, b, 0o755); err != nil {
				t.Fatal(err)
			}
			m, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			checks, err := m.Verify(t.Context())
			if row.want == "" && err != nil || row.want != "" && (!errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), row.want)) {
				t.Fatalf("got %v, want %q", err, row.want)
			}
			for _, c := range checks {
				if c.Unsigned || c.Object.Type != TypeSignature && c.By != "signature" {
					t.Errorf("%+v", c)
				}
			}
		})
	}
	u := openForUpdate(t, signed)
	if _, err := u.Append(t.Context(), Overlay{Write: writeAll(system(64)), BreakSignature: true}); err != nil {
		t.Fatal(err)
	}
	checks, err := u.Image().Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		if c.Unsigned != (c.Object.Role == PartOverlay) {
			t.Errorf("%s: unsigned %v", c.Object.Type, c.Unsigned)
		}
	}
}

// signAll signs header and all objects as Apptainer does: the library tells what of them is covered.
func signAll(t *testing.T, path string) {
	t.Helper()
	f, err := reference.LoadContainerFromPath(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := func(r io.Reader) string {
		h := sha256.New()
		if _, err := io.Copy(h, r); err != nil {
			t.Fatal(err)
		}
		return "sha256:" + hexString(h.Sum(nil))
	}
	type object struct {
		RelativeID       uint32 `json:"relativeId"`
		DescriptorDigest string `json:"descriptorDigest"`
		ObjectDigest     string `json:"objectDigest"`
	}
	doc := map[string]any{"version": 1, "header": map[string]string{"digest": sum(f.GetHeaderIntegrityReader())}}
	list, err := f.GetDescriptors()
	if err != nil {
		t.Fatal(err)
	}
	var objects []object
	for i, d := range list {
		objects = append(objects, object{uint32(i), sum(d.GetIntegrityReader()), sum(d.GetReader())})
	}
	doc["objects"] = objects
	entity, err := openpgp.NewEntity("Test", "", "test@example.org", nil)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	w, err := clearsign.Encode(&text, entity.PrivateKey, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewEncoder(w).Encode(doc); err != nil {
		t.Fatal(err)
	}
	w.Close()
	in, err := reference.NewDescriptorInput(reference.DataSignature, &text, reference.OptNoGroup(), reference.OptLinkedGroupID(1),
		reference.OptSignatureMetadata(crypto.SHA256, entity.PrimaryKey.Fingerprint))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.AddObject(in); err != nil {
		t.Fatal(err)
	}
	if err := f.UnloadContainer(); err != nil {
		t.Fatal(err)
	}
}
