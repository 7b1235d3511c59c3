package sif

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	reference "github.com/sylabs/sif/v2/pkg/sif"
)

var (
	testTime   = time.Unix(1700000000, 0)
	definition = []byte("Bootstrap: scratch\n\n%runscript\n    echo hello\n")
	metadata   = []byte(`{"data":{"attributes":{"labels":{"a":"b"}}},"type":"container"}`)
)

// system stands for a SquashFS: the magic, then n bytes.
func system(n int) []byte {
	return append([]byte(squashMagic), bytes.Repeat([]byte("carrel"), n/6+1)[:n-4]...)
}

// writeAll writes b out of order, as a SquashFS writer does, which knows its superblock last.
func writeAll(b []byte) WritePartition {
	return func(w Target, offset int64) (int64, error) {
		half := len(b) / 2
		if _, err := w.WriteAt(b[half:], offset+int64(half)); err != nil {
			return 0, err
		}
		_, err := w.WriteAt(b[:half], offset)
		return int64(len(b)), err
	}
}

func create(t *testing.T, c Contents) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.sif")
	if err := Create(t.Context(), path, c); err != nil {
		t.Fatal(err)
	}
	return path
}

func contents() Contents {
	return Contents{Definition: definition, Metadata: metadata, OCIConfig: []byte("{}"), Arch: "arm64",
		System: writeAll(system(10000)), Time: testTime}
}

func TestCreateIsReadByTheReferenceLibrary(t *testing.T) {
	path := create(t, contents())
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o755 {
		t.Errorf("mode: got %v, want 0755", info.Mode().Perm())
	}
	f, err := reference.LoadContainerFromPath(path, reference.OptLoadWithFlag(os.O_RDONLY))
	if err != nil {
		t.Fatal(err)
	}
	defer f.UnloadContainer()
	if f.LaunchScript() != LaunchLine || f.PrimaryArch() != "arm64" || f.DescriptorsFree() != 44 || !f.CreatedAt().Equal(testTime) {
		t.Errorf("header: %q %s %d free, %v", f.LaunchScript(), f.PrimaryArch(), f.DescriptorsFree(), f.CreatedAt())
	}
	type object struct {
		ID, Group uint32
		Type      reference.DataType
		Name      string
		Offset    int64
		Data      string
	}
	var got []object
	f.WithDescriptors(func(d reference.Descriptor) bool {
		b, err := d.GetData()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, object{d.ID(), d.GroupID(), d.DataType(), d.Name(), d.Offset(), string(b)})
		return false
	})
	meta := 32176 + int64(len(definition))
	want := []object{
		{1, 1, reference.DataDeffile, "", 32176, string(definition)},
		{2, 1, reference.DataGenericJSON, "inspect-metadata.json", meta, string(metadata)},
		{3, 1, reference.DataGenericJSON, "oci-config.json", meta + int64(len(metadata)), "{}"},
		{4, 1, reference.DataPartition, "", 32768, string(system(10000))},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	d, err := f.GetDescriptor(reference.WithPartitionType(reference.PartPrimSys))
	if err != nil {
		t.Fatal(err)
	}
	if fs, _, arch, _ := d.PartitionMetadata(); fs != reference.FsSquash || arch != "arm64" {
		t.Errorf("partition: %v %s", fs, arch)
	}
	if f.DataOffset()+f.DataSize() != 32768+10000 {
		t.Errorf("data ends at %d", f.DataOffset()+f.DataSize())
	}
}

// The same image from the reference library differs from ours in nothing but the digests we add.
func TestBytesAreThoseOfTheReferenceLibrary(t *testing.T) {
	c := contents()
	c.Deterministic = true
	ours, err := os.ReadFile(create(t, c))
	if err != nil {
		t.Fatal(err)
	}
	input := func(kind reference.DataType, data []byte, opts ...reference.DescriptorInputOpt) reference.DescriptorInput {
		in, err := reference.NewDescriptorInput(kind, bytes.NewReader(data), opts...)
		if err != nil {
			t.Fatal(err)
		}
		return in
	}
	path := filepath.Join(t.TempDir(), "reference.sif")
	f, err := reference.CreateContainerAtPath(path,
		reference.OptCreateWithLaunchScript(LaunchLine),
		reference.OptCreateWithID("00000000-0000-0000-0000-000000000000"),
		reference.OptCreateWithTime(testTime),
		reference.OptCreateWithDescriptors(
			input(reference.DataDeffile, definition),
			input(reference.DataGenericJSON, metadata, reference.OptObjectName("inspect-metadata.json")),
			input(reference.DataGenericJSON, []byte("{}"), reference.OptObjectName("oci-config.json")),
			input(reference.DataPartition, system(10000),
				reference.OptPartitionMetadata(reference.FsSquash, reference.PartPrimSys, "arm64")),
		))
	if err != nil {
		t.Fatal(err)
	}
	f.UnloadContainer()
	theirs, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		clear(ours[tableOffset+i*descriptorSize+201+digestOffset : tableOffset+(i+1)*descriptorSize])
	}
	if !bytes.Equal(ours, theirs) {
		for i := range ours {
			if ours[i] != theirs[i] {
				t.Fatalf("%d and %d bytes, first difference at %d", len(ours), len(theirs), i)
			}
		}
	}
}

func TestOpen(t *testing.T) {
	path := create(t, contents())
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if m.Arch != "arm64" || m.LaunchLine != LaunchLine || !m.Created.Equal(testTime) || len(m.ID) != 36 || m.ID[14] != '4' {
		t.Errorf("header: %+v", m)
	}
	sys, err := m.System()
	if err != nil {
		t.Fatal(err)
	}
	got, _ := io.ReadAll(m.Reader(sys))
	if sys.FS != FSSquash || sys.Role != PartPrimSys || sys.Arch != "arm64" || sys.Group != 1 || !bytes.Equal(got, system(10000)) {
		t.Errorf("system: %+v", sys)
	}
	if b, err := m.Definition(); err != nil || !bytes.Equal(b, definition) {
		t.Errorf("definition: %q, %v", b, err)
	}
	if b, err := m.JSON(MetadataName); err != nil || !bytes.Equal(b, metadata) {
		t.Errorf("metadata: %q, %v", b, err)
	}
	if b, err := m.JSON("none"); err != nil || b != nil {
		t.Errorf("missing JSON: %q, %v", b, err)
	}
	if err := m.CheckArch("arm64"); err != nil {
		t.Error(err)
	}
	if err := m.CheckArch("amd64"); !errors.Is(err, ErrWrongArch) || !strings.Contains(err.Error(), "it is for arm64, this machine is amd64") {
		t.Errorf("wrong arch: got %v", err)
	}
	checks, err := m.Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		if !c.OK || c.By != "digest" {
			t.Errorf("object %d: %+v", c.Object.ID, c)
		}
	}
}

func TestDeterministic(t *testing.T) {
	c := contents()
	c.Deterministic = true
	a, _ := os.ReadFile(create(t, c))
	b, _ := os.ReadFile(create(t, c))
	if !bytes.Equal(a, b) {
		t.Error("two images of the same contents differ")
	}
	c.Deterministic = false
	if b, _ = os.ReadFile(create(t, c)); bytes.Equal(a, b) {
		t.Error("ids are not random")
	}
}

func TestFailedCreateLeavesTheTarget(t *testing.T) {
	boom := errors.New("boom")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	rows := []struct {
		name string
		ctx  context.Context
		sys  WritePartition
		want error
	}{
		{"writer fails", t.Context(), func(w Target, at int64) (int64, error) { w.WriteAt([]byte("x"), at); return 0, boom }, boom},
		{"cancelled", cancelled, writeAll(system(100)), context.Canceled},
		{"no system", t.Context(), nil, ErrNoSystem},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "x.sif")
			if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := Create(row.ctx, path, Contents{System: row.sys}); !errors.Is(err, row.want) {
				t.Errorf("got %v, want %v", err, row.want)
			}
			list, _ := os.ReadDir(dir)
			if b, _ := os.ReadFile(path); len(list) != 1 || string(b) != "old" {
				t.Errorf("folder holds %v, file %q", list, b)
			}
		})
	}
}

func TestBadImages(t *testing.T) {
	good, err := os.ReadFile(create(t, contents()))
	if err != nil {
		t.Fatal(err)
	}
	patch := func(at int, b ...byte) []byte { c := bytes.Clone(good); copy(c[at:], b); return c }
	const sys = tableOffset + 3*descriptorSize // the system partition's descriptor
	rows := []struct {
		name string
		data []byte
		want error // of Open, System or Verify, whichever fails first
	}{
		{"empty", nil, ErrNotSIF},
		{"text", []byte("#!/bin/sh\necho hello, this is no image at all\n"), ErrNotSIF},
		{"only magic", good[:50], ErrTruncated},
		{"cut in table", good[:5000], ErrTruncated},
		{"cut in definition", good[:32200], ErrTruncated},
		{"last byte missing", good[:len(good)-1], ErrTruncated},
		{"version 02", patch(43, '2'), ErrNotSIF},
		{"huge table", patch(88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f), ErrCorrupt},
		{"negative table", patch(96, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), ErrCorrupt},
		{"offset overflow", patch(sys+17, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f), ErrCorrupt},
		{"negative size", patch(sys+25, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), ErrCorrupt},
		{"no system", patch(sys+4, 0), ErrNoSystem},
		{"encrypted", patch(sys+201, 5), ErrEncrypted},
		{"OCI-SIF", patch(sys, 0x0a, 0x40), ErrOCISIF},
		{"altered definition", patch(32176+20, '!'), ErrCorrupt},
		{"altered system", patch(len(good)-1, '!'), ErrCorrupt},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.sif")
			if err := os.WriteFile(path, row.data, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := openAndVerify(t.Context(), path); !errors.Is(err, row.want) {
				t.Errorf("got %v, want %v", err, row.want)
			}
		})
	}
}

func openAndVerify(ctx context.Context, path string) error {
	m, err := Open(path)
	if err != nil {
		return err
	}
	defer m.Close()
	if _, err := m.System(); err != nil {
		return err
	}
	_, err = m.Verify(ctx)
	return err
}

func TestOpenOfAFolderAndOfNothing(t *testing.T) {
	if _, err := Open(t.TempDir()); !errors.Is(err, ErrNotSIF) {
		t.Errorf("folder: got %v, want ErrNotSIF", err)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing: got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	path := filepath.Join(f.TempDir(), "x.sif")
	if err := Create(f.Context(), path, contents()); err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good[:40000])
	f.Add(good[:4096+600])
	f.Add([]byte(LaunchLine + "\x00" + magic + version))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parse(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		for _, o := range m.Objects {
			if o.Offset < headerSize || o.end() > int64(len(b)) {
				t.Errorf("object %d lies outside: %d+%d of %d", o.ID, o.Offset, o.Size, len(b))
			}
		}
		m.System()
		m.Overlays()
		m.CheckArch("amd64")
	})
}

func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "x.sif")
	if err := Create(b.Context(), path, contents()); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		m, err := Open(path)
		if err != nil {
			b.Fatal(err)
		}
		m.Close()
	}
}
