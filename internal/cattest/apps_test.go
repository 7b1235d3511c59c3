package cattest

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"carrel/assets"
	"carrel/catalog"
	"carrel/internal/browser"
	"carrel/internal/e2e"
)

func TestMain(m *testing.M) { e2e.Main(m) }

// The variables by which make test hands in what outlives a test: a folder of this user's for the next time, and one of all
// users for this time, into which root puts the images it built.
const (
	cacheVariable  = "CARREL_TEST_CACHE"
	imagesVariable = "CARREL_TEST_IMAGES"
)

// npmFails is how npm says that its registry cannot be reached.
var npmFails = regexp.MustCompile(`npm (?:ERR!|error) (?:code|network|errno) ?(?:ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH)`)

// images builds apps of the catalog, or finds them built from the same files.
type images struct {
	t *testing.T
	h *e2e.Home
}

func newImages(t *testing.T) *images {
	t.Helper()
	return &images{t, e2e.NewHome(t)}
}

// of is the image of an app.
func (i *images) of(id string) string {
	i.t.Helper()
	c, err := catalog.Load(i.t.Context(), catalog.Internal())
	if err != nil {
		i.t.Fatal(err)
	}
	e, err := c.Find(id)
	if err != nil {
		i.t.Fatal(err)
	}
	stem := strings.ReplaceAll(id, ":", "-") + "-"
	name := stem + state(i.t, e) + ".sif"
	shared := os.Getenv(imagesVariable)
	if path := filepath.Join(shared, name); shared != "" && exists(path) {
		return path
	}
	folder := os.Getenv(cacheVariable)
	if folder == "" {
		if folder, err = os.UserCacheDir(); err != nil {
			folder = i.t.TempDir()
		}
		folder = filepath.Join(folder, "carrel-test")
	}
	folder = filepath.Join(folder, "apps")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		i.t.Fatal(err)
	}
	path := filepath.Join(folder, name)
	if !exists(path) {
		e2e.Mirror(i.t)
		old, _ := filepath.Glob(filepath.Join(folder, stem+"????????????.sif")) // the pattern is well formed
		for _, o := range old {
			_ = os.Remove(o) // of another state of the app
		}
		start := time.Now()
		if out, err := i.h.Command(i.t.Context(), "build", path, id).CombinedOutput(); err != nil {
			if npmFails.Match(out) {
				i.t.Skip("missing: npm's registry")
			}
			i.t.Fatalf("build %s: %v\n%s", id, err, out[max(0, len(out)-3000):])
		}
		i.t.Logf("%s was built in %v", id, time.Since(start).Round(1e8))
	}
	if shared != "" && os.Getuid() == 0 {
		to := filepath.Join(shared, name)
		if os.Link(path, to) != nil {
			r := Runner{}
			if err := r.copy(path, to); err != nil {
				i.t.Error(err)
			}
		}
	}
	return path
}

// state names what an app is made of: its definition and the files beside it.
func state(t *testing.T, e *catalog.Entry) string {
	t.Helper()
	h := sha256.New()
	h.Write([]byte(e.Raw))
	files, err := fs.Sub(assets.Catalog(), e.Name)
	if err == nil {
		err = fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := fs.ReadFile(files, path)
			fmt.Fprintf(h, "\x00%s\x00%d\x00%s", path, len(text), text)
			return err
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// browserThere skips where there is no Chromium.
func browserThere(t *testing.T) {
	t.Helper()
	b, err := browser.Start(t.Context(), browser.Options{})
	if errors.Is(err, browser.ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestApps does what make catalog does, for the seed's apps and two more: each is built, started, and used in a browser.
func TestApps(t *testing.T) {
	browserThere(t)
	c, err := catalog.Load(t.Context(), catalog.Internal())
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"nginx-basic", "nginx-jupyter", "expfactory", "nginx-pages", "data-browser"} {
		t.Run(id, func(t *testing.T) {
			e, err := c.Find(id)
			if err != nil {
				t.Fatal(err)
			}
			i := newImages(t)
			r := &Runner{Command: i.h.Command, Images: t.TempDir(), Work: t.TempDir(), Apptainer: os.Getenv("CARREL_APPTAINER")}
			if err := os.Symlink(i.of(id), r.Path(id)); err != nil {
				t.Fatal(err)
			}
			checks := For(id)
			if id == "expfactory" { // all of its twelve experiments, in two languages, take minutes
				checks = []Check{brief}
			}
			for _, check := range checks {
				row := r.Try(t.Context(), id, e.Card.PrimaryPort().Container, check)
				if row.Err != nil {
					t.Errorf("%s: %v", row.Name, row.Err)
				}
				t.Logf("%s: ready after %v, used for %v", row.Name, row.Ready.Round(1e7), row.Used.Round(1e7))
			}
		})
	}
}

// TestCopied: an app that takes files along can be copied, changed, and built.
func TestCopied(t *testing.T) {
	i := newImages(t)
	base := i.of("nginx-pages")
	i.h.Must("catalog", "copy", "nginx-pages", "mine")
	file := i.h.Path("mine", "Singularity")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// What it installs is there already: it is about the files beside it.
	changed := strings.Replace(string(text), "Bootstrap: debootstrap\nOSVersion: bookworm\n", "Bootstrap: localimage\nFrom: "+base+"\n", 1)
	changed = regexp.MustCompile(`(?m)^ +(apt-get|rm -rf /var/lib/apt).*\n`).ReplaceAllString(changed, "")
	if changed == string(text) || strings.Contains(changed, "apt-get") {
		t.Fatalf("the definition is another one:\n%s", text)
	}
	i.h.Write("mine/Singularity", changed)
	i.h.Write("mine/index.html", "<p>Hello World, from me</p>")
	i.h.Must("build", "mine.sif", "mine/Singularity")
	if r := i.h.Must("exec", "mine.sif", "cat", "/data/index.html"); r.Out != "<p>Hello World, from me</p>" {
		t.Errorf("the page is %q", r.Out)
	}
	// The definition alone is not enough, which is why there is copy.
	i.h.Write("alone/Singularity", changed)
	if r := i.h.Run("build", "alone.sif", "alone/Singularity"); r.Status == 0 || !strings.Contains(r.Err, "nginx.conf is not there") {
		t.Errorf("without its files: status %d\n%s", r.Status, r.Err)
	}
}

// TestPip: what requirements.txt of a folder of notebooks names can be imported in a notebook.
func TestPip(t *testing.T) {
	i := newImages(t)
	base := i.of("nginx-jupyter") // it has the notebook server and its kernel, as Debian packages them
	index := httptest.NewServer(packages(t))
	defer index.Close()
	i.h.Write("books/a.ipynb", `{"cells": [{"cell_type": "code", "source": "import carrelpip"}], "metadata": {"kernelspec": {"language": "python"}}}`)
	i.h.Write("books/requirements.txt", "--index-url "+index.URL+"/simple/\ncarrelpip==1.0\n")
	i.h.Must("new", "--yes", "books")
	text, err := os.ReadFile(i.h.Path("books", "Singularity"))
	if err != nil {
		t.Fatal(err)
	}
	i.h.Write("books/Singularity", strings.Replace(string(text), "Bootstrap: debootstrap\nOSVersion: bookworm\n", "Bootstrap: localimage\nFrom: "+base+"\n", 1))
	e2e.Mirror(t)
	i.h.Must("build", "books.sif", "books/Singularity")
	i.h.Write("kernel.py", `
import sys
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(kernel_name="python3")
try:
    print(client.execute_interactive("import carrelpip; print(carrelpip.answer)", timeout=60)["content"]["status"])
finally:
    manager.shutdown_kernel(now=True)
`)
	if r := i.h.Must("exec", "books.sif", "python3", i.h.Path("kernel.py")); r.Out != "42\nok\n" {
		t.Errorf("the kernel says %q\n%s", r.Out, r.Err)
	}
}

// packages is an index of one package for pip (PEP 503), a wheel (PEP 427).
func packages(t *testing.T) http.Handler {
	t.Helper()
	var wheel bytes.Buffer
	w := zip.NewWriter(&wheel)
	for name, text := range map[string]string{
		"carrelpip.py":                     "answer = 42\n",
		"carrelpip-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: carrelpip\nVersion: 1.0\n",
		"carrelpip-1.0.dist-info/WHEEL":    "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
		"carrelpip-1.0.dist-info/RECORD":   "carrelpip.py,,\ncarrelpip-1.0.dist-info/METADATA,,\ncarrelpip-1.0.dist-info/WHEEL,,\ncarrelpip-1.0.dist-info/RECORD,,\n",
	} {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	const file = "carrelpip-1.0-py3-none-any.whl"
	mux := http.NewServeMux()
	mux.HandleFunc("/simple/carrelpip/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><a href="/%s">%s</a>`, file, file)
	})
	mux.HandleFunc("/"+file, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(wheel.Bytes()) })
	return mux
}
