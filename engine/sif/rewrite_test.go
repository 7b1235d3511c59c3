package sif

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	reference "github.com/sylabs/sif/v2/pkg/sif"
)

// TestRewrite: everything but overlays and signatures is in the new image, in its place.
func TestRewrite(t *testing.T) {
	c := contents()
	c.JSON = map[string][]byte{"provenance.json": []byte(`{"made":"of this"}`)}
	path := create(t, c)
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	func() {
		u := openForUpdate(t, path)
		defer u.Close()
		sys, err := u.Image().System()
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range []NewObject{
			{Type: TypePartition, Group: 1, FS: FSSquash, Role: PartOverlay, Arch: "arm64", Write: writeAll(system(700))},
			{Type: TypeSBOM, Name: "sbom.json", Group: 1, Link: sys.ID, Write: writeAll([]byte("packages"))},
			{Type: TypeSignature, Name: "signature", Write: writeAll([]byte("signed"))},
			{Type: TypePartition, Group: 1, FS: FSSquash, Role: PartOverlay, Arch: "arm64", Write: writeAll(system(900))},
			{Type: TypePartition, Name: "data", Group: 2, FS: FSRaw, Role: PartData, Arch: "arm64", Write: writeAll([]byte("numbers"))},
			{Type: TypeGeneric, Name: "note", Link: 1, LinkIsGroup: true, Write: writeAll([]byte("read me"))},
		} {
			o.Time, o.BreakSignature = testTime, true
			if _, err := u.Add(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
	}()
	list := func() (m *Image, text []string) {
		m, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { m.Close() })
		for _, o := range m.Objects {
			b, err := io.ReadAll(m.Reader(o))
			if err != nil {
				t.Fatal(err)
			}
			text = append(text, fmt.Sprintf("%s %q group %d link %d %v fs %d role %d %s %x", o.Type, o.Name, o.Group, o.Link, o.LinkIsGroup, o.FS, o.Role, o.Arch, b[:min(len(b), 40)]))
		}
		return m, text
	}
	before, want := list()
	want = slices.DeleteFunc(want, func(s string) bool {
		return bytes.Contains([]byte(s), []byte(fmt.Sprintf("role %d", PartOverlay))) || bytes.HasPrefix([]byte(s), []byte(TypeSignature.String()))
	})
	merged := system(4321)
	later := testTime.Add(time.Hour)
	dropped, err := before.Rewrite(t.Context(), path, Rewrite{System: writeAll(merged), Metadata: metadata, Time: later})
	if err != nil || len(dropped) != 1 || dropped[0].Name != "signature" {
		t.Fatalf("dropped %+v, %v", dropped, err)
	}
	after, got := list()
	if !slices.Equal(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
	if after.ID != before.ID || !after.Created.Equal(before.Created) || !after.Modified.Equal(later) || after.LaunchLine != before.LaunchLine {
		t.Errorf("header: %+v, before %+v", after, before)
	}
	if checks, err := after.Verify(t.Context()); err != nil || len(checks) != len(want) {
		t.Errorf("verify: %d parts, %v", len(checks), err)
	}
	sys, err := after.System()
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(after.Reader(sys)); err != nil || !bytes.Equal(b, merged) || sys.Offset%4096 != 0 {
		t.Errorf("system: %d bytes at %d, %v", len(b), sys.Offset, err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	f, err := reference.LoadContainerFromPath(path, reference.OptLoadWithFlag(os.O_RDONLY))
	if err != nil {
		t.Fatal(err)
	}
	defer f.UnloadContainer()
	if f.DescriptorsFree() != f.DescriptorsTotal()-int64(len(want)) {
		t.Errorf("reference library: %d free", f.DescriptorsFree())
	}
	// After an error nothing has changed.
	failing := func(Target, int64) (int64, error) { return 0, io.ErrShortWrite }
	if _, err := after.Rewrite(t.Context(), path, Rewrite{System: failing, Time: later}); err == nil {
		t.Error("an image without a system was written")
	}
	if _, again := list(); !slices.Equal(again, got) {
		t.Error("a rewrite that failed changed the image")
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
