package engine

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"carrel/engine/image"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// box is a sandbox folder with a runscript, labels, a package, links and a name that leads out.
func box(t *testing.T, e *Engine) string {
	t.Helper()
	dir := filepath.Join(e.c.User.Cwd, "box")
	for name, text := range map[string]string{
		"etc/hosts": "127.0.0.1\n", "opt/notebooks/a.ipynb": "{}", "opt/notebooks/deep/b": "bbb",
		"var/lib/dpkg/status": "Package: libc6\nStatus: install ok installed\nVersion: 2.36\n",
	} {
		p := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	err := errors.Join(
		image.PrepareRoot(dir),
		image.WriteMetadata(dir, image.Metadata{
			Labels: map[string]string{"Author": "Grace"}, Runscript: "#!/bin/sh\necho hello\n", Definition: "Bootstrap: scratch\n",
			Environment: map[string]string{"/.singularity.d/env/90-environment.sh": "export FOO=bar\n"},
		}),
		os.Symlink("/opt/notebooks", filepath.Join(dir, "notebooks")),
		os.Symlink("../../../../etc/passwd", filepath.Join(dir, "opt/notebooks/out")),
		os.Link(filepath.Join(dir, "opt/notebooks/a.ipynb"), filepath.Join(dir, "opt/notebooks/same")),
		os.Link(filepath.Join(dir, "opt/notebooks/a.ipynb"), filepath.Join(dir, "etc/same")),
	)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// forms are the same image in every form: a sandbox, and what Convert makes of it.
func forms(t *testing.T, e *Engine) map[string]string {
	t.Helper()
	dir := box(t, e)
	all := map[string]string{"sandbox": dir}
	for _, f := range []Format{FormatSquashFS, FormatOCI, FormatOCIArchive, FormatDockerArchive} {
		target := filepath.Join(e.c.User.Cwd, "made."+string(f))
		info, err := e.Convert(t.Context(), BuildSpec{Definition: dir, Target: target}, f, nil)
		if err != nil {
			t.Fatal(err)
		}
		if info.Kind != string(f) || info.Size == 0 {
			t.Errorf("%+v", info)
		}
		all[string(f)] = target
	}
	if _, err := exec.LookPath("mke2fs"); err == nil {
		old := filepath.Join(e.c.User.Cwd, "old.img")
		if err := os.WriteFile(old, append([]byte("#!/usr/bin/env run-singularity\n"), make([]byte, 8<<20)...), 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("mke2fs", "-q", "-F", "-t", "ext3", "-d", dir, "-E", "offset=31", old, "8192").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		all["ext3"] = old
	}
	return all
}

func TestLookInside(t *testing.T) {
	e := newEngine(t, nil)
	ctx := t.Context()
	images := forms(t, e)
	for kind, path := range images {
		t.Run(kind, func(t *testing.T) {
			in, err := e.Inspect(ctx, path)
			if err != nil {
				t.Fatal(err)
			}
			if in.Kind != kind || in.Labels["Author"] != "Grace" || !strings.Contains(in.Runscript, "echo hello") || in.Definition != "Bootstrap: scratch\n" {
				t.Errorf("%+v", in)
			}
			list, err := e.Files(ctx, path, "/notebooks")
			var names []string
			for _, f := range list {
				names = append(names, f.Mode[:1]+f.Name)
			}
			if want := []string{"-a.ipynb", "ddeep", "lout", "-same"}; err != nil || !slices.Equal(names, want) {
				t.Errorf("got %q, %v, want %q", names, err, want)
			}
			if b, err := e.ReadFile(ctx, path, "notebooks/deep/b", 100); err != nil || string(b) != "bbb" {
				t.Errorf("%q, %v", b, err)
			}
			if _, err := e.ReadFile(ctx, path, "/etc/hosts", 3); !errors.As(err, new(*FileTooLargeError)) {
				t.Errorf("got %v", err)
			}
			if _, err := e.Files(ctx, path, "/nothing"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v", err)
			}
			var text bytes.Buffer
			if err := e.CatFile(ctx, path, "etc/same", &text); err != nil || text.String() != "{}" {
				t.Errorf("%q, %v", text.String(), err)
			}
			found, err := e.Packages(ctx, path)
			if err != nil || len(found.Packages) != 1 || found.Packages[0].Name != "libc6" {
				t.Errorf("%+v, %v", found, err)
			}
			s, err := e.Sizes(ctx, path, "/opt")
			if err != nil || s.Total.Size != 5 || s.Total.Files != 4 || len(s.Entries) != 1 {
				t.Errorf("%+v, %v", s, err)
			}
			d, err := e.Diff(ctx, images["sandbox"], path)
			for _, c := range d.Files {
				if os.Getuid() == 0 || !slices.Equal(c.What, []string{"owner"}) { // an ordinary user's files become root's
					if c.Path != "/lost+found" && !strings.HasPrefix(c.Path, "/.singularity.d/entrypoint") {
						t.Errorf("%+v", c)
					}
				}
			}
			if err != nil || len(d.Packages) > 0 {
				t.Errorf("%+v, %v", d.Packages, err)
			}
			copyOut(t, e, path)
		})
	}
}

func copyOut(t *testing.T, e *Engine, path string) {
	t.Helper()
	dest := t.TempDir()
	done, err := e.CopyOut(t.Context(), path, "/notebooks", dest)
	if err != nil || done.Files != 4 || done.Path != filepath.Join(dest, "notebooks") {
		t.Fatalf("%+v, %v", done, err)
	}
	a, err := os.Stat(filepath.Join(done.Path, "a.ipynb"))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.Stat(filepath.Join(done.Path, "same")); err != nil || !os.SameFile(a, b) {
		t.Errorf("two names of a file are not one any more (%v)", err)
	}
	if link, err := os.Readlink(filepath.Join(done.Path, "out")); err != nil || link != "../../../../etc/passwd" {
		t.Errorf("link: %q, %v", link, err)
	}
	if b, err := os.ReadFile(filepath.Join(done.Path, "deep/b")); err != nil || string(b) != "bbb" {
		t.Errorf("%q, %v", b, err)
	}
	// A file, under another name, in the place of an older one.
	file := filepath.Join(dest, "copy")
	if err := os.WriteFile(file, []byte("a longer text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := e.CopyOut(t.Context(), path, "etc/same", file); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "{}" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := e.CopyOut(t.Context(), path, "/nothing", dest); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, err := e.CopyOut(t.Context(), path, "/etc/hosts", filepath.Join(dest, "no", "folder")); err == nil {
		t.Error("a missing folder was made")
	}
}

// TestInspectARegistry counts what is fetched for the metadata of an image: no layer.
func TestInspectARegistry(t *testing.T) {
	e := newEngine(t, nil)
	images := forms(t, e)
	made, err := tarball.ImageFromPath(images["docker-archive"], nil)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := made.Layers()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := layers[0].Digest()
	if err != nil {
		t.Fatal(err)
	}
	var fetched atomic.Int32
	server := httptest.NewServer(count(registry.New(registry.Logger(log.New(io.Discard, "", 0))), digest.String(), &fetched))
	defer server.Close()
	ref, err := name.ParseReference(strings.TrimPrefix(server.URL, "http://") + "/app:v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, made); err != nil {
		t.Fatal(err)
	}
	image := "docker://" + ref.String()
	in, err := e.Inspect(t.Context(), image)
	if err != nil || in.Labels["Author"] != "Grace" || in.Kind != "registry" || in.Path != image {
		t.Errorf("%+v, %v", in, err)
	}
	if n := fetched.Load(); n != 0 {
		t.Errorf("the layer was fetched %d times for the labels", n)
	}
	for range 2 {
		if b, err := e.ReadFile(t.Context(), image, "/etc/hosts", 0); err != nil || string(b) != "127.0.0.1\n" {
			t.Errorf("%q, %v", b, err)
		}
	}
	if n := fetched.Load(); n != 1 {
		t.Errorf("the layer was fetched %d times", n)
	}
}

// count counts the downloads of a blob.
func count(h http.Handler, blob string, n *atomic.Int32) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/blobs/"+blob) {
			n.Add(1)
		}
		h.ServeHTTP(w, r)
	})
}

func TestConvertRefuses(t *testing.T) {
	e := newEngine(t, nil)
	dir := box(t, e)
	there := filepath.Join(e.c.User.Cwd, "there")
	if err := os.WriteFile(there, []byte("keep"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Convert(t.Context(), BuildSpec{Definition: dir, Target: there}, FormatOCI, nil); !errors.Is(err, ErrExists) {
		t.Errorf("got %v", err)
	}
	if _, err := e.Convert(t.Context(), BuildSpec{Definition: dir, Target: there, Force: true}, "tar", nil); err == nil {
		t.Error("an unknown format was written")
	}
	if b, err := os.ReadFile(there); err != nil || string(b) != "keep" {
		t.Errorf("%q, %v", b, err)
	}
	for range 2 { // a folder in the place of a file, then of a folder
		if _, err := e.Convert(t.Context(), BuildSpec{Definition: dir, Target: there, Force: true}, FormatOCI, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.Convert(t.Context(), BuildSpec{Definition: "nothing", Target: filepath.Join(e.c.User.Cwd, "x")}, FormatOCI, nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(e.c.User.Cwd, ".carrel-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestForceSparesFolders: a folder that is no image stays, whatever is to take its place; one that is an image does not.
func TestForceSparesFolders(t *testing.T) {
	e := newEngine(t, nil)
	dir := box(t, e)
	def := filepath.Join(e.c.User.Cwd, "empty.def")
	if err := os.WriteFile(def, []byte("Bootstrap: scratch\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	precious := filepath.Join(e.c.User.Cwd, "precious")
	for _, name := range []string{"bin/tool", "results/thesis", "oci-layout", "index.json"} {
		p := filepath.Join(precious, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte("years"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range Formats {
		for _, from := range []string{dir, def} {
			_, err := e.Convert(t.Context(), BuildSpec{Definition: from, Target: precious, Force: true, Sandbox: f == FormatSandbox}, f, nil)
			if !errors.As(err, new(*image.NotImageError)) || Hint(err) == "" {
				t.Errorf("%s: got %v", f, err)
			}
		}
	}
	if _, err := e.Pull(t.Context(), PullSpec{Ref: "oci-archive:" + dir, Target: precious, Force: true, Sandbox: true}, nil); !errors.As(err, new(*image.NotImageError)) {
		t.Errorf("pull: got %v", err)
	}
	if b, err := os.ReadFile(filepath.Join(precious, "results/thesis")); err != nil || string(b) != "years" {
		t.Fatalf("%q, %v", b, err)
	}
	target := filepath.Join(e.c.User.Cwd, "image")
	if err := os.Mkdir(target, 0o755); err != nil { // an empty folder is nothing to lose
		t.Fatal(err)
	}
	for _, f := range append(slices.Clone(Formats), FormatSandbox, FormatOCI, FormatSquashFS) {
		if _, err := e.Convert(t.Context(), BuildSpec{Definition: dir, Target: target, Force: true}, f, nil); err != nil {
			t.Errorf("%s: %v", f, err)
		}
		if got := image.Detect(target); got != image.Kind(f) {
			t.Errorf("%s: it is %q", f, got)
		}
	}
}

// TestReproducibleForms: the same image and time give the same bytes, in every form of one file.
func TestReproducibleForms(t *testing.T) {
	e := newEngine(t, nil)
	dir := box(t, e)
	at := time.Unix(1_000_000_000, 0).UTC()
	for _, f := range []Format{FormatSquashFS, FormatOCIArchive, FormatDockerArchive} {
		var made [2][]byte
		for i := range made {
			if err := os.Chtimes(filepath.Join(dir, "etc/hosts"), time.Time{}, at.Add(time.Duration(i+1)*time.Hour)); err != nil {
				t.Fatal(err)
			}
			target := filepath.Join(e.c.User.Cwd, "again."+string(f))
			if _, err := e.Convert(t.Context(), BuildSpec{Definition: dir, Target: target, Force: true, Reproducible: true, Time: at}, f, nil); err != nil {
				t.Fatal(err)
			}
			var err error
			if made[i], err = os.ReadFile(target); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(made[0], made[1]) {
			t.Errorf("%s: two builds differ", f)
		}
	}
}

// TestCopyOutIntoAFolder: a folder that is there keeps its mode when an image's root is copied into it.
func TestCopyOutIntoAFolder(t *testing.T) {
	e := newEngine(t, nil)
	dest := filepath.Join(t.TempDir(), "dest")
	if err := os.Mkdir(dest, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := e.CopyOut(t.Context(), box(t, e), "/", dest); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(dest); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	if _, err := os.Stat(filepath.Join(dest, "etc/hosts")); err != nil {
		t.Error(err)
	}
}

// TestCopyOutNew: nothing that is there is replaced, and then nothing is copied at all; folders are merged.
func TestCopyOutNew(t *testing.T) {
	e := newEngine(t, nil)
	image := box(t, e)
	for _, row := range []struct {
		name  string
		there map[string]string // before; "" makes a folder, "->x" a link
		at    string
		want  error
	}{
		{"nothing there", nil, "/etc", nil},
		{"an empty folder", map[string]string{"etc": ""}, "/etc", nil},
		{"another file in it", map[string]string{"etc/mine": "mine"}, "/etc", nil},
		{"a file of the same name", map[string]string{"etc/hosts": "mine"}, "/etc", ErrExists},
		{"a link of the same name", map[string]string{"etc/hosts": "->nowhere"}, "/etc", ErrExists},
		{"a folder in the place of a file", map[string]string{"etc/hosts/x": "mine"}, "/etc", ErrExists},
		{"a file in the place of the folder", map[string]string{"etc": "mine"}, "/etc", ErrExists},
		{"one file", map[string]string{"hosts": "mine"}, "/etc/hosts", ErrExists},
		{"one file, a link there", map[string]string{"hosts": "->nowhere"}, "/etc/hosts", ErrExists},
		{"one file, another there", map[string]string{"host": "mine"}, "/etc/hosts", nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			dest := t.TempDir()
			for name, text := range row.there {
				p := filepath.Join(dest, name)
				err := os.MkdirAll(filepath.Dir(p), 0o755)
				switch to, link := strings.CutPrefix(text, "->"); {
				case link:
					err = errors.Join(err, os.Symlink(to, p))
				case text == "":
					err = errors.Join(err, os.Mkdir(p, 0o755))
				default:
					err = errors.Join(err, os.WriteFile(p, []byte(text), 0o644))
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			before, err := os.ReadDir(dest)
			if err != nil {
				t.Fatal(err)
			}
			_, err = e.CopyOutNew(t.Context(), image, row.at, dest)
			if !errors.Is(err, row.want) {
				t.Fatalf("got %v, want %v", err, row.want)
			}
			for name, text := range row.there {
				if b, err := os.ReadFile(filepath.Join(dest, name)); text == "mine" && (err != nil || string(b) != text) {
					t.Errorf("%s: %q, %v", name, b, err)
				}
			}
			after, err := os.ReadDir(dest)
			if err != nil {
				t.Fatal(err)
			}
			if row.want != nil && len(after) != len(before) {
				t.Errorf("there is %v where %v was", after, before)
			}
			if b, err := os.ReadFile(filepath.Join(dest, strings.TrimPrefix(row.at, "/"), "hosts")); row.want == nil && row.at == "/etc" && (err != nil || string(b) != "127.0.0.1\n") {
				t.Errorf("%q, %v", b, err)
			}
		})
	}
}
