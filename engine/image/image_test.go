package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"carrel/engine/ext"
	"carrel/engine/sif"
	"carrel/engine/squashfs"
	"carrel/engine/tree"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// full is metadata with something in every field.
func full() Metadata {
	return Metadata{
		Labels:      map[string]string{"org.opencontainers.image.title": "Test", "colour": "blue"},
		Definition:  "Bootstrap: scratch\n",
		Help:        "How to use it.\n",
		Runscript:   "#!/bin/sh\n\necho \"run $FOO $*\"\n",
		Startscript: "#!/bin/sh\n\necho start\n",
		Test:        "#!/bin/sh\n\ntrue\n",
		Environment: map[string]string{"/.singularity.d/env/90-environment.sh": "#!/bin/sh\n\nexport FOO=bar\n"},
		Apps: map[string]App{"one": {
			Labels: map[string]string{"x": "y"}, Help: "Help of one\n", Runscript: "#!/bin/sh\n\necho \"one $ONE $SCIF_APPNAME\"\n",
			Environment: map[string]string{"/scif/apps/one/scif/env/90-environment.sh": "export ONE=1\n"},
		}},
	}
}

func scaffolded(t testing.TB, root string, m Metadata) {
	t.Helper()
	if err := PrepareRoot(root); err != nil {
		t.Fatal(err)
	}
	if err := WriteMetadata(root, m); err != nil {
		t.Fatal(err)
	}
}

// Every kind gives back the metadata that was written, through the same files and documents.
func TestEveryKindTellsTheSame(t *testing.T) {
	root := t.TempDir()
	scaffolded(t, root, full())
	squash := filepath.Join(t.TempDir(), "image.sqfs")
	f, err := os.Create(squash)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(f, sif.LaunchLine)
	if _, err := partitionOf(t.Context(), packed(root))(f, int64(len(sif.LaunchLine))); err != nil {
		t.Fatal(err)
	}
	f.Close()
	want := full()
	want.Environment = map[string]string{ownEnvironmentPath: script("environment") + "\nexport FOO=bar\n"}
	app := want.Apps["one"]
	app.Labels["SCIF_APP_NAME"] = "one"
	rows := map[Kind]string{Sandbox: root, SquashFS: squash, SIF: sifOf(t, root, want.Definition)}
	for kind, path := range rows {
		t.Run(string(kind), func(t *testing.T) {
			m := open(t, path)
			if m.Kind != kind || Detect(path) != kind {
				t.Errorf("kind %s, detected %s", m.Kind, Detect(path))
			}
			got, err := m.Metadata()
			if err != nil {
				t.Fatal(err)
			}
			want := want
			if kind == SIF { // the document has its texts without the last newline
				want.Environment = trimmed(want.Environment)
				want.Help, want.Runscript, want.Startscript = trim(want.Help), trim(want.Runscript), trim(want.Startscript)
				want.Test, want.Definition = trim(want.Test), trim(want.Definition)
				a := want.Apps["one"]
				a.Help, a.Runscript, a.Environment = trim(a.Help), trim(a.Runscript), trimmed(a.Environment)
				want.Apps = map[string]App{"one": a}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if m.Definition() != "Bootstrap: scratch\n" {
				t.Errorf("definition %q", m.Definition())
			}
			contents, err := m.FS()
			if err != nil {
				t.Fatal(err)
			}
			if b, err := fs.ReadFile(contents, "singularity"); err != nil || !strings.Contains(string(b), "run $FOO") {
				t.Errorf("/singularity: %q, %v", b, err)
			}
			if target, err := fs.ReadLink(contents, "environment"); err != nil || target != ".singularity.d/env/90-environment.sh" {
				t.Errorf("/environment -> %q, %v", target, err)
			}
			system, err := m.System()
			if (err == nil) != (kind != Sandbox) || err == nil && system.FS != "squashfs" {
				t.Errorf("system: %+v, %v", system, err)
			}
			entries := &collector{entries: map[string]tree.Entry{}}
			if err := m.WriteTo(t.Context(), entries); err != nil {
				t.Fatal(err)
			}
			if e := entries.entries[".singularity.d/runscript"]; e.Mode != tree.TypeRegular|0o755 {
				t.Errorf("runscript in the stream: %+v", e)
			}
		})
	}
}

const ownEnvironmentPath = "/.singularity.d/env/90-environment.sh"

type collector struct {
	entries map[string]tree.Entry
	bodies  map[string]string
}

func (c *collector) Add(e tree.Entry, body io.Reader) error {
	c.entries[e.Path] = e
	if body != nil && c.bodies != nil {
		b, err := io.ReadAll(body)
		c.bodies[e.Path] = string(b)
		return err
	}
	return nil
}

func TestOverlaysAreMerged(t *testing.T) {
	base, upper, top := t.TempDir(), t.TempDir(), t.TempDir()
	write(t, base, map[string]string{"a": "1", "d/x": "x", "d/y": "y", "gone/z": "z", "link": "-> /d/x", "was/dir": "1", "op/low": "1"})
	write(t, upper, map[string]string{"a": "2", "d/new": "n", "was": "file", "op/high": "2"})
	write(t, top, map[string]string{"d/x": "3"})
	path := sifOf(t, base, "")
	u, err := sif.OpenForUpdate(path)
	if err != nil {
		t.Fatal(err)
	}
	marked := func(dir string, more ...tree.Entry) sif.WritePartition {
		return partitionOf(t.Context(), sourceWith{packed(dir), more})
	}
	whiteout := func(p string) tree.Entry { return tree.Entry{Path: p, Mode: tree.TypeChar} }
	opaque := tree.Entry{Path: "op", Mode: tree.TypeDir | 0o755, Xattrs: map[string][]byte{"user.overlay.opaque": []byte("y")}}
	for _, w := range []sif.WritePartition{marked(upper, whiteout("gone"), whiteout("d/y"), opaque), marked(top)} {
		if _, err := u.Append(t.Context(), sif.Overlay{Write: w, Time: testTime}); err != nil {
			t.Fatal(err)
		}
	}
	u.Close()

	m := open(t, path)
	if n := len(m.Overlays()); n != 2 {
		t.Fatalf("%d overlays", n)
	}
	contents, err := m.FS()
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(contents, "a", "d/x", "d/new", "was", "op/high"); err != nil {
		t.Error(err)
	}
	want := map[string]string{"a": "2", "d/x": "3", "d/new": "n", "was": "file", "op/high": "2"}
	built, err := m.Built()
	if err != nil {
		t.Fatal(err)
	}
	for name, same := range map[string]bool{"a": false, "d": false, "d/x": false, "op": false, "link": true} {
		x, err1 := fs.Lstat(built, name)
		y, err2 := fs.Lstat(contents, name)
		if err1 != nil || err2 != nil || SameFile(x, y) != same || !SameFile(x, x) && !x.IsDir() {
			t.Errorf("%s: the same is %v, want %v (%v, %v)", name, SameFile(x, y), same, err1, err2)
		}
	}
	if b, err := fs.ReadFile(built, "gone/z"); err != nil || string(b) != "z" {
		t.Errorf("as it was built: %q, %v", b, err)
	}
	got := &collector{entries: map[string]tree.Entry{}, bodies: map[string]string{}}
	if err := m.WriteTo(t.Context(), got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.bodies); diff != "" {
		t.Error(diff)
	}
	if e := got.entries["op"]; len(e.Xattrs) != 0 {
		t.Errorf("overlay marks are in the stream: %+v", e)
	}
	for name, content := range want {
		if b, err := fs.ReadFile(contents, name); err != nil || string(b) != content {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	if b, err := fs.ReadFile(contents, "link"); err != nil || string(b) != "3" {
		t.Errorf("through a link: %q, %v", b, err)
	}
	for _, name := range []string{"gone", "gone/z", "d/y", "was/dir", "op/low"} {
		if _, err := fs.Stat(contents, name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got %v, want fs.ErrNotExist", name, err)
		}
	}
}

// sourceWith is a source with more entries behind it.
type sourceWith struct {
	tree.Source
	more []tree.Entry
}

func (s sourceWith) WriteTo(ctx context.Context, sink tree.Sink) error {
	if err := s.Source.WriteTo(ctx, sink); err != nil {
		return err
	}
	for _, e := range s.more {
		if err := sink.Add(e, nil); err != nil {
			return err
		}
	}
	return nil
}

func TestSandboxLinksStayInside(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	write(t, root, map[string]string{
		"etc/os-release": "-> ../usr/lib/os-release", "usr/lib/os-release": "inside", "abs": "-> /usr/lib", "up": "-> ../../../../usr/lib/os-release",
		"out": "-> " + outside, "loop": "-> loop", ".singularity.d/labels.json": `{"a":"b"}`, ".singularity.d/runscript": "-> " + outside,
	})
	m := open(t, root)
	contents, err := m.FS()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"etc/os-release", "abs/os-release", "up"} {
		if b, err := fs.ReadFile(contents, name); err != nil || string(b) != "inside" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	for _, name := range []string{"out", "loop", "../etc/passwd", ".singularity.d/runscript"} {
		if b, err := fs.ReadFile(contents, name); err == nil {
			t.Errorf("%s: read %q", name, b)
		}
	}
	if meta, err := m.Metadata(); err != nil || meta.Runscript != "" || meta.Labels["a"] != "b" {
		t.Errorf("%+v, %v", meta, err)
	}
}

func TestLegacyImage(t *testing.T) {
	root := t.TempDir()
	write(t, root, map[string]string{"singularity": "#!/bin/sh\necho 2016\n", "environment": "FOO=bar\n", ".test": "true\n", "bin/": ""})
	meta, err := open(t, root).Metadata()
	if err != nil {
		t.Fatal(err)
	}
	want := Metadata{Labels: map[string]string{}, Runscript: "#!/bin/sh\necho 2016\n", Test: "true\n",
		Environment: map[string]string{"/environment": "FOO=bar\n"}, Apps: map[string]App{}}
	if diff := cmp.Diff(want, meta); diff != "" {
		t.Error(diff)
	}
	if err := PrepareRoot(root); err != nil {
		t.Fatal(err)
	}
	meta, err = open(t, root).Metadata()
	if err != nil || meta.Runscript != want.Runscript || meta.Environment[ownEnvironmentPath] != "FOO=bar\n" {
		t.Errorf("after PrepareRoot: %+v, %v", meta, err)
	}
}

func TestHostileMetadata(t *testing.T) {
	huge := strings.Repeat("x", maxText+1)
	root := fstest.MapFS{
		".singularity.d/labels.json":    {Data: []byte("{\"a\":\"red\\u001b[31m\\u202e\\u0000 end\", \"n\": 3, \"o\": {\"k\": 1}, \"long\": \"" + strings.Repeat("y", maxLabel+9) + "\"}")},
		".singularity.d/runscript":      {Data: []byte(huge)},
		".singularity.d/test":           {Mode: fs.ModeDir},
		".singularity.d/startscript":    {Data: []byte("\xff\xfe#!/bin/sh\r\n")},
		"scif/apps/good/scif/runscript": {Data: []byte("x")},
		"scif/apps/b\x1bd/scif/test":    {Data: []byte("x")},
	}
	m, err := ReadMetadata(root)
	if err != nil {
		t.Fatal(err)
	}
	if m.Labels["a"] != "red[31m end" || m.Labels["n"] != "3" || m.Labels["o"] != `{"k": 1}` || len(m.Labels["long"]) != maxLabel {
		t.Errorf("labels: %q", m.Labels)
	}
	if m.Runscript != "" || m.Test != "" || m.Startscript != "\ufffd#!/bin/sh\n" {
		t.Errorf("texts: %d bytes, %q, %q", len(m.Runscript), m.Test, m.Startscript)
	}
	if len(m.Apps) != 1 {
		t.Errorf("apps: %v", m.Apps)
	}
	root[".singularity.d/labels.json"] = &fstest.MapFile{Data: []byte("{not json")}
	if m, err := ReadMetadata(root); err != nil || len(m.Labels) != 0 {
		t.Errorf("broken labels: %v, %v", m.Labels, err)
	}
}

func TestOpenOtherKinds(t *testing.T) {
	dir := t.TempDir()
	ext3 := make([]byte, 4096)
	ext3[1024+56], ext3[1024+57] = 0x53, 0xEF
	write(t, dir, map[string]string{"text": "hello", "old.img": sif.LaunchLine + string(ext3)})
	for name, kind := range map[string]Kind{"text": "", "old.img": Ext3, "none": ""} {
		path := filepath.Join(dir, name)
		if got := Detect(path); got != kind {
			t.Errorf("%s: detected %q, want %q", name, got, kind)
		}
		m, err := Open(path)
		if kind == Ext3 {
			if err != nil {
				t.Fatal(err)
			}
			if _, err := m.FS(); !errors.Is(err, ext.ErrCorrupt) {
				t.Errorf("%s: got %v, want %v", name, err, ext.ErrCorrupt)
			}
			m.Close()
			continue
		}
		var h interface{ Hint() string }
		if err == nil || name != "none" && (!errors.As(err, &h) || h.Hint() == "") {
			t.Errorf("%s: got %v, want an error with a hint", name, err)
		}
	}
}

func TestOCIArchive(t *testing.T) {
	root := t.TempDir()
	write(t, root, map[string]string{"hello": "hi"})
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	if err := w.AddFS(os.DirFS(root)); err != nil {
		t.Fatal(err)
	}
	w.Close()
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	made, err := mutate.AppendLayers(empty.Image, l)
	if err != nil {
		t.Fatal(err)
	}
	made, err = mutate.Config(made, v1.Config{Entrypoint: []string{"/hello"}, Env: []string{"A=b"}, Labels: map[string]string{"k": "v\x1b"}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "image.tar")
	if err := tarball.WriteToFile(path, name.MustParseReference("a/b:1"), made); err != nil {
		t.Fatal(err)
	}
	m := open(t, path)
	meta, err := m.Metadata()
	if err != nil || m.Kind != DockerArchive || meta.Labels["k"] != "v" || !strings.Contains(meta.Runscript, "exec '/hello'") {
		t.Errorf("%s: %+v, %v", m.Kind, meta, err)
	}
	got := &collector{entries: map[string]tree.Entry{}, bodies: map[string]string{}}
	if err := m.WriteTo(t.Context(), got); err != nil || got.bodies["hello"] != "hi" {
		t.Errorf("contents: %v, %v", got.bodies, err)
	}
	var h interface{ Hint() string }
	if _, err := m.FS(); !errors.As(err, &h) {
		t.Errorf("FS: got %v", err)
	}
	if _, err := m.System(); !errors.As(err, &h) {
		t.Errorf("System: got %v", err)
	}
}

func TestUnusableSIFIsOpenedForInspection(t *testing.T) {
	root := t.TempDir()
	scaffolded(t, root, full())
	b, err := os.ReadFile(sifOf(t, root, "Bootstrap: scratch\n"))
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b, []byte{1, 0, 0, 0, 2, 0, 0, 0, '0'}) // the system partition's file system and role
	b[at] = 5
	path := filepath.Join(t.TempDir(), "encrypted.sif")
	if err := os.WriteFile(path, b, 0o755); err != nil {
		t.Fatal(err)
	}
	m := open(t, path)
	if labels, err := m.Labels(); err != nil || labels["colour"] != "blue" {
		t.Errorf("labels: %v, %v", labels, err)
	}
	if _, err := m.System(); !errors.Is(err, sif.ErrEncrypted) {
		t.Errorf("system: got %v", err)
	}
	if _, err := m.FS(); !errors.Is(err, sif.ErrEncrypted) {
		t.Errorf("contents: got %v", err)
	}
}

// TestPartitionOfAnotherKind: whoever meets an image that cannot be read is told what to do.
func TestPartitionOfAnotherKind(t *testing.T) {
	root := t.TempDir()
	scaffolded(t, root, full())
	good, err := os.ReadFile(sifOf(t, root, "Bootstrap: scratch\n"))
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(good, []byte{1, 0, 0, 0, 2, 0, 0, 0, '0'}) // the system partition's file system and role
	start := bytes.Index(good, []byte("hsqs"))
	for _, row := range []struct {
		name  string
		alter func(b []byte)
		fs    string
		cause error
		hint  string
	}{
		{"raw", func(b []byte) { b[at] = 4 }, "raw", nil, "build it again from its definition file"},
		{"archive", func(b []byte) { b[at] = 3 }, "archive", nil, "build it again from its definition file"},
		{"ext3 that is none", func(b []byte) { b[at] = 2 }, "ext3", ext.ErrNotExt, "fetch or build it again"},
		{"no SquashFS", func(b []byte) { b[start] = 'x' }, "squashfs", squashfs.ErrNotSquashFS, "fetch or build it again"},
		{"LZO", func(b []byte) { b[start+20] = 3 }, "squashfs", squashfs.ErrCompression, "unsquashfs"},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := bytes.Clone(good)
			row.alter(b)
			path := filepath.Join(t.TempDir(), "other.sif")
			if err := os.WriteFile(path, b, 0o755); err != nil {
				t.Fatal(err)
			}
			_, err := open(t, path).FS()
			var e *PartitionError
			if !errors.As(err, &e) || e.FS != row.fs || e.Path != path || row.cause != nil && !errors.Is(err, row.cause) {
				t.Fatalf("got %v", err)
			}
			if !strings.Contains(e.Hint(), row.hint) {
				t.Errorf("hint %q", e.Hint())
			}
		})
	}
}

func FuzzParseMetadata(f *testing.F) {
	m := full()
	b, err := m.JSON()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"data":{"attributes":{"labels":{"a":1}}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseMetadata(b)
		if err != nil {
			return
		}
		for k, v := range m.Labels {
			if strings.ContainsAny(k+v, "\x1b\x00\x7f") || len(v) > maxLabel*3 {
				t.Errorf("label %q %q", k, v)
			}
		}
	})
}
