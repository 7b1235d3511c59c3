package oci

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"carrel/engine/tree"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// entries is a source in memory.
type entries []struct {
	tree.Entry
	body string
}

func (l entries) WriteTo(_ context.Context, sink tree.Sink) error {
	for _, e := range l {
		var body io.Reader
		if e.IsRegular() {
			e.Size, body = int64(len(e.body)), strings.NewReader(e.body)
		}
		if err := sink.Add(e.Entry, body); err != nil {
			return err
		}
	}
	return nil
}

var everyKind = entries{
	{tree.Entry{Path: ".", Mode: tree.TypeDir | 0o755, ModTime: testTime}, ""},
	{tree.Entry{Path: "bin", Mode: tree.TypeDir | 0o1777, UID: 5, GID: 70_000, ModTime: testTime}, ""},
	{tree.Entry{Path: "bin/sh", Mode: tree.TypeRegular | 0o4755, ModTime: testTime, Xattrs: map[string][]byte{"user.x": []byte("a\nb\x00")}}, "text"},
	{tree.Entry{Path: "bin/other", HardLink: "bin/sh"}, ""},
	{tree.Entry{Path: "link", Mode: tree.TypeSymlink | 0o777, Link: "/bin/" + strings.Repeat("x", 300), ModTime: testTime}, ""},
	{tree.Entry{Path: strings.Repeat("long/", 60) + "ä", Mode: tree.TypeRegular | 0o600, ModTime: testTime}, ""},
	{tree.Entry{Path: "null", Mode: tree.TypeChar | 0o666, Major: 1, Minor: 3, ModTime: testTime}, ""},
	{tree.Entry{Path: "fifo", Mode: tree.TypeFifo | 0o644, ModTime: testTime}, ""},
	{tree.Entry{Path: "removed", Mode: tree.TypeChar}, ""},
	{tree.Entry{Path: "socket", Mode: tree.TypeSocket | 0o755}, ""},
}

var output = Output{
	Arch: "arm64", Created: testTime, Name: "example.org/app:v1", Comment: "made of a test",
	Config: Config{
		Env: []string{"A=b"}, Entrypoint: []string{"/bin/sh"}, Cmd: []string{"-c", "true"}, Labels: map[string]string{"l": "v"},
		WorkingDir: "/w", User: "me", ExposedPorts: []string{"80/tcp"}, Volumes: []string{"/data"}, StopSignal: "SIGINT",
		Healthcheck: &Healthcheck{Test: []string{"CMD", "true"}, Interval: time.Second},
	},
}

func writeArchive(t *testing.T, source tree.Source) string {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "image.tar"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(WriteDockerArchive(t.Context(), f, source, output), f.Close()); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// TestWrittenImages reads back what is written, by this package and by go-containerregistry.
func TestWrittenImages(t *testing.T) {
	folder, archive := filepath.Join(t.TempDir(), "layout"), writeArchive(t, everyKind)
	if err := WriteLayout(t.Context(), folder, everyKind, output); err != nil {
		t.Fatal(err)
	}
	want := newMemory()
	for _, e := range everyKind {
		if e.Path == "removed" || e.Path == "socket" {
			continue
		}
		if err := (entries{e}).WriteTo(t.Context(), want); err != nil {
			t.Fatal(err)
		}
	}
	for _, ref := range []string{"oci:" + folder, "oci:" + folder + ":v1", "docker-archive:" + archive, "docker-archive:" + archive + ":example.org/app:v1"} {
		m := open(t, ref, Options{Platform: "linux/arm64"})
		if d := cmp.Diff(output.Config, m.Config, cmpopts.IgnoreFields(Config{}, "JSON", "Created")); d != "" {
			t.Errorf("%s: %s", ref, d)
		}
		if m.Platform != "linux/arm64" || !m.Config.Created.Equal(testTime) {
			t.Errorf("%s: %s, %s", ref, m.Platform, m.Config.Created)
		}
		got := newMemory()
		if err := m.WriteTo(t.Context(), got); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want.list(), got.list()); d != "" {
			t.Errorf("%s: %s", ref, d)
		}
	}
	image, err := tarball.ImageFromPath(archive, nil)
	if err == nil {
		err = validate.Image(image)
	}
	if err != nil {
		t.Errorf("docker-archive: %v", err)
	}
	index, err := layout.ImageIndexFromPath(folder)
	if err == nil {
		err = validate.Index(index)
	}
	if err != nil {
		t.Errorf("layout: %v", err)
	}
	again, err := os.ReadFile(writeArchive(t, everyKind))
	if err != nil {
		t.Fatal(err)
	}
	if first, err := os.ReadFile(archive); err != nil || !bytes.Equal(first, again) {
		t.Errorf("equal trees gave different archives (%v)", err)
	}
}

func TestWritersRefuse(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		name   string
		source tree.Source
		want   string
	}{
		{"a name that means a removed file", entries{{tree.Entry{Path: "etc/.wh.hosts", Mode: tree.TypeRegular}, ""}}, "etc/.wh.hosts"},
		{"a broken source", brokenSource{broken}, "broken"},
		{"a file that ends early", short{}, "file: 1 of 5 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := WriteLayout(t.Context(), filepath.Join(t.TempDir(), "layout"), tt.source, Output{}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

type brokenSource struct{ err error }

func (f brokenSource) WriteTo(context.Context, tree.Sink) error { return f.err }

type short struct{}

func (short) WriteTo(_ context.Context, sink tree.Sink) error {
	return sink.Add(tree.Entry{Path: "file", Mode: tree.TypeRegular, Size: 5}, strings.NewReader("1"))
}

// TestMemberHeader checks the form of sizes that eleven octal digits do not hold.
func TestMemberHeader(t *testing.T) {
	for _, size := range []int64{0, 8<<30 - 512, 8 << 30, 5 << 40} {
		b, err := memberHeader(strings.Repeat("a", 64)+"/layer.tar", size, testTime)
		if err != nil {
			t.Fatal(err)
		}
		h, err := tar.NewReader(bytes.NewReader(append(b, make([]byte, 1024)...))).Next()
		if err != nil || h.Size != size {
			t.Errorf("%d: %+v, %v", size, h, err)
		}
	}
}

// TestArchive: an OCI archive is a layout in a tar file, for other programs too, and is read back as what was written.
func TestArchive(t *testing.T) {
	name := filepath.Join(t.TempDir(), "image.oci.tar")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(WriteArchive(t.Context(), f, everyKind, output), f.Close()); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	r, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	members := tar.NewReader(r)
	for {
		h, err := members.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(members)
		if err := errors.Join(err, os.MkdirAll(filepath.Dir(filepath.Join(folder, h.Name)), 0o755), os.WriteFile(filepath.Join(folder, h.Name), b, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	index, err := layout.ImageIndexFromPath(folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	for _, ref := range []string{"oci-archive:" + name, "oci-archive:" + name + ":v1"} {
		m, err := Open(t.Context(), ref, Options{Platform: "linux/arm64"})
		if err != nil {
			t.Errorf("%s: %v", ref, err)
			continue
		}
		if m.Config.User != "me" || m.Arch() != "arm64" || len(m.Layers) != 1 {
			t.Errorf("%s: %+v", ref, m.Config)
		}
		m.Close()
	}
}
