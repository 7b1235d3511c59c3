package sif

import (
	"bytes"
	"crypto"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	reference "github.com/sylabs/sif/v2/pkg/sif"
)

func openForUpdate(t *testing.T, path string) *Update {
	t.Helper()
	u, err := OpenForUpdate(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.Close() })
	return u
}

func appendOverlay(t *testing.T, path string, data []byte) Object {
	t.Helper()
	u := openForUpdate(t, path)
	defer u.Close()
	o, err := u.Append(t.Context(), Overlay{Write: writeAll(data), Time: testTime})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func overlayData(t *testing.T, path string) []string {
	t.Helper()
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := m.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	list := []string{}
	for _, o := range m.Overlays() {
		b, err := io.ReadAll(m.Reader(o))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, string(b))
	}
	return list
}

func TestAppendAndRemove(t *testing.T) {
	path := create(t, contents())
	before, _ := os.ReadFile(path)
	first, second := system(5000), system(777)
	appendOverlay(t, path, first)
	o := appendOverlay(t, path, second)
	if o.Offset%4096 != 0 || o.ID != 6 || o.Group != 1 || o.Role != PartOverlay || o.FS != FSSquash || o.Arch != "arm64" {
		t.Errorf("overlay: %+v", o)
	}
	if got := overlayData(t, path); len(got) != 2 || got[0] != string(first) || got[1] != string(second) {
		t.Errorf("got %d overlays", len(got))
	}
	f, err := reference.LoadContainerFromPath(path, reference.OptLoadWithFlag(os.O_RDONLY))
	if err != nil {
		t.Fatal(err)
	}
	if list, err := f.GetDescriptors(reference.WithPartitionType(reference.PartOverlay)); err != nil || len(list) != 2 || f.DescriptorsFree() != 42 {
		t.Errorf("reference library: %d overlays, %d free, %v", len(list), f.DescriptorsFree(), err)
	}
	f.UnloadContainer()

	u := openForUpdate(t, path)
	for range 2 {
		if _, err := u.RemoveLast(t.Context(), testTime); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := u.RemoveLast(t.Context(), testTime); !errors.Is(err, ErrNoOverlay) {
		t.Errorf("got %v, want ErrNoOverlay", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(after, before) {
		t.Error("the image is not what it was before the overlays")
	}
}

func TestFailedAppendLeavesTheImage(t *testing.T) {
	path := create(t, contents())
	before, _ := os.ReadFile(path)
	boom := errors.New("boom")
	u := openForUpdate(t, path)
	_, err := u.Append(t.Context(), Overlay{Write: func(w Target, at int64) (int64, error) {
		w.WriteAt(make([]byte, 9999), at)
		return 0, boom
	}})
	if !errors.Is(err, boom) {
		t.Errorf("got %v, want boom", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(after, before) {
		t.Error("the image was changed")
	}
}

func TestSecondWriterIsToldWhoHoldsIt(t *testing.T) {
	path := create(t, contents())
	openForUpdate(t, path)
	_, err := OpenForUpdate(path)
	if !errors.Is(err, ErrLocked) {
		t.Fatalf("got %v, want ErrLocked", err)
	}
	if !strings.Contains(err.Error(), "process ") {
		t.Logf("the holder is not named: %v", err) // /proc/locks may show other device numbers
	}
}

func TestFullTable(t *testing.T) {
	path := create(t, contents())
	u := openForUpdate(t, path)
	var err error
	for i := 4; i < tableCapacity && err == nil; i++ {
		_, err = u.Append(t.Context(), Overlay{Write: writeAll(system(10))})
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err = u.Append(t.Context(), Overlay{Write: writeAll(system(10))}); !errors.Is(err, ErrFull) {
		t.Errorf("got %v, want ErrFull", err)
	}
}

// crashing is a device that records every change, to replay any beginning of them.
type crashing struct {
	*os.File
	log []change
}

type change struct {
	at   int64
	data []byte
	size int64 // of a truncation, when data is nil
}

func (c *crashing) WriteAt(b []byte, at int64) (int, error) {
	c.log = append(c.log, change{at: at, data: bytes.Clone(b)})
	return c.File.WriteAt(b, at)
}

func (c *crashing) Truncate(size int64) error {
	c.log = append(c.log, change{size: size})
	return c.File.Truncate(size)
}

// A process that is killed leaves the changes before some point, the last of them perhaps in part.
func TestCrashAtAnyPointLeavesOldOrNew(t *testing.T) {
	rows := map[string]func(u *Update) error{
		"append": func(u *Update) error {
			_, err := u.Append(t.Context(), Overlay{Write: writeAll(system(5000)), Time: testTime})
			return err
		},
		"remove": func(u *Update) error { _, err := u.RemoveLast(t.Context(), testTime); return err },
	}
	for name, act := range rows {
		t.Run(name, func(t *testing.T) {
			path := create(t, contents())
			appendOverlay(t, path, system(300))
			before, _ := os.ReadFile(path)
			old := overlayData(t, path)

			u := openForUpdate(t, path)
			device := &crashing{File: u.f}
			u.device = device
			if err := act(u); err != nil {
				t.Fatal(err)
			}
			changed := overlayData(t, path)

			seen := map[int]bool{}
			crashed := filepath.Join(t.TempDir(), "crashed.sif")
			for i := range device.log {
				for _, part := range []int{0, 1, 2, 3} { // none, a third, two thirds, all of step i
					b := bytes.Clone(before)
					for _, c := range device.log[:i] {
						b = c.apply(b, 3)
					}
					b = device.log[i].apply(b, part)
					if err := os.WriteFile(crashed, b, 0o755); err != nil {
						t.Fatal(err)
					}
					got := overlayData(t, crashed)
					if n := len(got); n != len(old) && n != len(changed) {
						t.Fatalf("step %d, part %d: %d overlays", i, part, n)
					}
					seen[len(got)] = true
					// whatever it was, it can be changed again
					appendOverlay(t, crashed, system(64))
					if again := overlayData(t, crashed); len(again) != len(got)+1 {
						t.Fatalf("step %d, part %d: %d overlays after another change of %d", i, part, len(again), len(got))
					}
				}
			}
			if len(seen) != 2 {
				t.Errorf("saw %v, want both the old and the new image", seen)
			}
		})
	}
}

func (c change) apply(b []byte, part int) []byte {
	if c.data == nil {
		if part < 3 {
			return b
		}
		if c.size <= int64(len(b)) {
			return b[:c.size]
		}
		return append(b, make([]byte, c.size-int64(len(b)))...)
	}
	data := c.data[:len(c.data)*part/3]
	if end := int(c.at) + len(data); len(data) > 0 && end > len(b) {
		b = append(b, make([]byte, end-len(b))...)
	}
	copy(b[min(int(c.at), len(b)):], data)
	return b
}

func TestSignedImage(t *testing.T) {
	path := create(t, contents())
	signWith(t, path)
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	checks, err := m.Verify(t.Context())
	m.Close()
	if err != nil {
		t.Fatal(err)
	}
	if c := checks[3]; c.By != "signature" || !c.OK {
		t.Errorf("system: %+v", c)
	}
	u := openForUpdate(t, path)
	if _, err := u.Append(t.Context(), Overlay{Write: writeAll(system(64))}); !errors.Is(err, ErrSigned) {
		t.Errorf("append: got %v, want ErrSigned", err)
	}
	if _, err := u.Append(t.Context(), Overlay{Write: writeAll(system(64)), BreakSignature: true}); err != nil {
		t.Errorf("append with permission: %v", err)
	}
	// without our own digest the signature alone tells
	b, _ := os.ReadFile(path)
	clear(b[tableOffset+3*descriptorSize+201+digestOffset : tableOffset+4*descriptorSize])
	b[40000]++
	altered := filepath.Join(t.TempDir(), "altered.sif")
	if err := os.WriteFile(altered, b, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := openAndVerify(t.Context(), altered); !errors.Is(err, ErrCorrupt) {
		t.Errorf("altered: got %v, want ErrCorrupt", err)
	}
}

// signWith adds a signature of the system partition in the reference library's form.
func signWith(t *testing.T, path string) {
	t.Helper()
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	sys, _ := m.System()
	sum, _ := digestRange(t.Context(), m.f, sys.Offset, sys.Size)
	m.Close()
	entity, err := openpgp.NewEntity("Test", "", "test@example.org", nil)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	w, err := clearsign.Encode(&text, entity.PrivateKey, nil)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, `{"version":1,"objects":[{"relativeId":3,"objectDigest":"sha256:`+hexString(sum[:])+`"}]}`)
	w.Close()
	in, err := reference.NewDescriptorInput(reference.DataSignature, &text, reference.OptNoGroup(), reference.OptLinkedGroupID(1),
		reference.OptSignatureMetadata(crypto.SHA256, entity.PrimaryKey.Fingerprint))
	if err != nil {
		t.Fatal(err)
	}
	f, err := reference.LoadContainerFromPath(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.AddObject(in); err != nil {
		t.Fatal(err)
	}
	f.UnloadContainer()
	if m, err = Open(path); err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if got, want := m.Objects[len(m.Objects)-1].Signer, strings.ToUpper(hexString(entity.PrimaryKey.Fingerprint)); got != want || sys.Signer != "" {
		t.Errorf("signed by %q, want %q; the system by %q", got, want, sys.Signer)
	}
}
