package build_test

import (
	"archive/tar"
	"bytes"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"carrel/engine"
	"carrel/engine/progress"
	"carrel/engine/squashfs"
)

// layer is a layer of tar entries.
func layer(t *testing.T, write func(*tar.Writer)) v1.Layer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	write(w)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// ociImage is an image of two layers, with the base folder below, as docker build would make it.
func ociImage(t *testing.T) v1.Image {
	t.Helper()
	put := func(w *tar.Writer, h tar.Header, text string) {
		h.Size = int64(len(text))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	below := layer(t, func(w *tar.Writer) {
		if err := w.AddFS(os.DirFS(baseFolder(t))); err != nil {
			t.Fatal(err)
		}
		put(w, tar.Header{Name: "srv/removed", Mode: 0o644}, "gone")
	})
	above := layer(t, func(w *tar.Writer) {
		put(w, tar.Header{Name: "srv/.wh.removed", Mode: 0o644}, "")
		put(w, tar.Header{Name: "srv/owned", Mode: 0o4750, Uid: 33, Gid: 44}, "x")
		put(w, tar.Header{Name: "opt/bin/serve", Mode: 0o755}, "#!/bin/sh\necho \"serving $GREETING: $*\"\n")
	})
	img, err := mutate.AppendLayers(empty.Image, below, above)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture = "linux", "amd64"
	cfg.Config.Env = []string{"PATH=/opt/bin:/usr/bin:/bin", "GREETING=hello you"}
	cfg.Config.Entrypoint, cfg.Config.Cmd = []string{"serve"}, []string{"a b", "c"}
	cfg.Config.Labels = map[string]string{"org.opencontainers.image.title": "From a registry"}
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		t.Fatal(err)
	}
	return img
}

// push serves an image from a registry of this process and returns its name there.
func push(t *testing.T, img v1.Image) string {
	t.Helper()
	srv := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(srv.Close)
	ref := strings.TrimPrefix(srv.URL, "http://") + "/lab/tool:1.0"
	tag, err := name.NewTag(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, img); err != nil {
		t.Fatal(err)
	}
	return ref
}

func TestFromRegistry(t *testing.T) {
	k := newKit(t)
	ref := push(t, ociImage(t))
	for _, tt := range []struct {
		name, definition string
	}{
		{"without a definition", "docker://" + ref},
		{"header and metadata only", k.write("plain.def", "Bootstrap: docker\nFrom: "+ref+"\n%labels\n    Own label\n%apprun side\n    echo side\n")},
		{"registry apart", k.write("apart.def", "Bootstrap: docker\nRegistry: "+ref[:strings.Index(ref, "/")]+"\nNamespace: lab\nFrom: tool:1.0\n")},
		{"with %post", k.write("post.def", "Bootstrap: docker\nFrom: "+ref+"\n%post\n    serve from post > /post\n    test ! -e /srv/removed\n")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k.t = t
			ev := &events{}
			info, err := k.Build(t.Context(), engine.BuildSpec{Definition: tt.definition, Target: strings.ReplaceAll(tt.name, " ", "-") + ".sif"}, ev.sink)
			if err != nil {
				t.Fatalf("%v\n%s", err, ev.log(""))
			}
			img := k.open(info.Path)
			for _, step := range []progress.Step{progress.StepFetch, progress.StepPack} {
				if !ev.started(step) {
					t.Errorf("step %s is not told of", step)
				}
			}
			if has(t, img, "/srv/removed") || info.Title != "From a registry" {
				t.Errorf("title %q, or a whiteout was not honoured", info.Title)
			}
			if out, status := k.out(engine.RunSpec{Image: info.Path}); out != "serving hello you: a b c\n" || status != 0 {
				t.Errorf("run: %q, %d", out, status)
			}
			if out, _ := k.out(engine.RunSpec{Image: info.Path, Args: []string{"x"}}); out != "serving hello you: x\n" {
				t.Errorf("run with an argument: %q", out)
			}
			meta, err := img.Metadata()
			if err != nil || !strings.Contains(meta.Runscript, "serve") || meta.Environment["/.singularity.d/env/10-docker2singularity.sh"] == "" {
				t.Errorf("metadata %+v, %v", meta, err)
			}
			if data, err := img.SIF().JSON("oci-config.json"); err != nil || !bytes.Contains(data, []byte("serve")) {
				t.Errorf("oci-config.json: %s, %v", data, err)
			}
			if strings.HasSuffix(tt.definition, "post.def") {
				if got := read(t, img, "/post"); got != "serving hello you: from post\n" {
					t.Errorf("%%post wrote %q", got)
				}
				return
			}
			// Nothing is executed: owners and modes are kept, whoever builds.
			f, err := img.FS()
			if err != nil {
				t.Fatal(err)
			}
			st, err := f.(interface {
				Stat(string) (os.FileInfo, error)
			}).Stat("srv/owned")
			if err != nil {
				t.Fatal(err)
			}
			if in := st.Sys().(*squashfs.Inode); in.UID != 33 || in.GID != 44 || in.Mode&0o7777 != 0o4750 {
				t.Errorf("srv/owned belongs to %d:%d, mode %o", in.UID, in.GID, in.Mode)
			}
			bases, _ := filepath.Glob(filepath.Join(k.config.CacheDir, "bases", "*"))
			if len(bases) > 0 {
				t.Errorf("the image was unpacked: %q", bases)
			}
			if strings.HasSuffix(tt.definition, "plain.def") {
				if out, _ := k.out(engine.RunSpec{Image: info.Path, App: "side"}); out != "side\n" {
					t.Errorf("app: %q", out)
				}
				if labels, _ := img.Labels(); labels["Own"] != "label" {
					t.Errorf("labels %v", labels)
				}
			}
		})
	}
	k.workEmpty()
}

func TestFromLocalOCI(t *testing.T) {
	k := newKit(t)
	img := ociImage(t)
	archive := filepath.Join(k.cwd, "saved.tar")
	tag, err := name.NewTag("lab/tool:1.0")
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.WriteToFile(archive, tag, img); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(k.cwd, "layout")
	l, err := layout.Write(folder, empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.AppendImage(img); err != nil {
		t.Fatal(err)
	}
	for _, def := range []string{
		"docker-archive:" + archive, "oci:" + folder, archive, folder,
		k.write("archive.def", "Bootstrap: docker-archive\nFrom: "+archive+"\n%post\n    true\n"),
		k.write("oci.def", "Bootstrap: oci\nFrom: "+folder+"\n%post\n    true\n"),
		k.write("local.def", "Bootstrap: localimage\nFrom: "+archive+"\n%post\n    true\n"),
	} {
		ev := &events{}
		info, err := k.Build(t.Context(), engine.BuildSpec{Definition: def, Target: "image.sif", Force: true, NoCache: true}, ev.sink)
		if err != nil {
			t.Errorf("%s: %v\n%s", def, err, ev.log(""))
			continue
		}
		if out, status := k.out(engine.RunSpec{Image: info.Path}); out != "serving hello you: a b c\n" || status != 0 {
			t.Errorf("%s: run: %q, %d", def, out, status)
		}
	}
}

// TestToFolder unpacks straight into the folder.
func TestToFolder(t *testing.T) {
	k := newKit(t)
	ref := push(t, ociImage(t))
	ev := &events{}
	info, err := k.Build(t.Context(), engine.BuildSpec{Definition: "docker://" + ref, Target: "folder", Sandbox: true}, ev.sink)
	if err != nil {
		t.Fatalf("%v\n%s", err, ev.log(""))
	}
	if out, _ := k.out(engine.RunSpec{Image: info.Path}); out != "serving hello you: a b c\n" {
		t.Errorf("run: %q", out)
	}
	// %post changes it in place.
	update := k.write("update.def", "Bootstrap: scratch\n%post\n    echo updated > /srv/new\n%labels\n    Own label\n")
	if _, err := k.Build(t.Context(), engine.BuildSpec{Definition: update, Target: "folder", Sandbox: true, Update: true}, ev.sink); err != nil {
		t.Fatalf("update: %v\n%s", err, ev.log(""))
	}
	img := k.open(info.Path)
	if read(t, img, "/srv/new") != "updated\n" || !has(t, img, "/opt/bin/serve") {
		t.Error("the folder was not updated")
	}
	if labels, _ := img.Labels(); labels["Own"] != "label" || labels["org.opencontainers.image.title"] != "From a registry" {
		t.Errorf("labels %v", labels)
	}
	k.workEmpty()
}

func TestRegistryWithoutTheImage(t *testing.T) {
	k := newKit(t)
	ref := push(t, ociImage(t))
	ev := &events{}
	_, err := k.Build(t.Context(), engine.BuildSpec{Definition: "docker://" + strings.Replace(ref, ":1.0", ":2.0", 1), Target: "x.sif"}, ev.sink)
	if err == nil || engine.Hint(err) == "" {
		t.Errorf("got %v, hint %q", err, engine.Hint(err))
	}
	k.workEmpty()
}
