package shelf

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"carrel/catalog"
)

const recipe = "Bootstrap: docker\nFrom: debian:12\n%labels\norg.opencontainers.image.title "

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// repo is a git repository with files, and git run in it.
type repo struct {
	t   *testing.T
	dir string
}

func newRepo(t *testing.T) repo {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("missing: git")
	}
	r := repo{t, t.TempDir()}
	r.git("init", "--quiet", "--initial-branch=main")
	return r
}

func (r repo) git(args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", append([]string{"-C", r.dir, "-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "commit.gpgsign=false"}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (r repo) commit() string {
	r.t.Helper()
	r.git("add", "-A")
	r.git("commit", "--quiet", "-m", "state")
	return r.git("rev-parse", "HEAD")
}

func newShelf(t *testing.T) *Shelf {
	git, _ := exec.LookPath("git")
	return &Shelf{Dir: filepath.Join(t.TempDir(), "shelf"), Git: git, Env: os.Environ(), Cwd: t.TempDir(), Home: t.TempDir()}
}

func ids(t *testing.T, s *Shelf) string {
	t.Helper()
	sources, err := s.Sources()
	if err != nil {
		t.Fatal(err)
	}
	c, err := catalog.Load(context.Background(), sources...)
	if err != nil || len(c.Problems) > 0 {
		t.Fatal(err, c.Problems)
	}
	var all []string
	for _, e := range c.List() {
		if e.Err != nil {
			t.Errorf("%s: %v", e.ID(), e.Err)
		}
		all = append(all, e.ID())
	}
	return strings.Join(all, " ")
}

func leftovers(t *testing.T, s *Shelf, name string, want int) {
	t.Helper()
	copies, _ := filepath.Glob(filepath.Join(s.Dir, name, "*"))
	if len(copies) != want {
		t.Errorf("left in the shelf: %v, want %d", copies, want)
	}
}

func TestGit(t *testing.T) {
	ctx := context.Background()
	r := newRepo(t)
	write(t, r.dir, "Singularity", recipe+"Root")
	write(t, r.dir, "deep/down/Singularity.v1", recipe+"Deep")
	write(t, r.dir, "recipes/jupyter.def", recipe+"Def")
	write(t, r.dir, "not/this.def", "LIBRARY x\nEXPORTS")
	first := r.commit()
	r.git("tag", "v1.0")
	s := newShelf(t)
	address := "file://" + r.dir
	a, err := s.Add(ctx, Request{Address: address, Name: "lab"})
	if err != nil {
		t.Fatal(err)
	}
	if a.Commit != first || a.Kind != catalog.Git {
		t.Errorf("added %+v", a)
	}
	if got, want := ids(t, s), "deep/down:v1 jupyter lab"; got != want {
		t.Errorf("entries %q, want %q", got, want)
	}
	leftovers(t, s, "lab", 2)
	if _, err := s.Add(ctx, Request{Address: address, Name: "lab"}); !errors.Is(err, ErrExists) {
		t.Errorf("added twice: %v", err)
	}
	if c, err := s.Update(ctx, "lab"); err != nil || !c.Same() {
		t.Errorf("update of nothing: %+v, %v", c, err)
	}

	write(t, r.dir, "Singularity", recipe+"Root 2")
	write(t, r.dir, "fresh/Singularity", recipe+"Fresh")
	r.git("rm", "--quiet", "-r", "deep")
	second := r.commit()
	c, err := s.Update(ctx, "lab")
	if err != nil || c.After.Commit != second || fmt.Sprint(c.New, c.Gone, c.Different) != "[fresh] [deep/down:v1] [lab]" {
		t.Errorf("update: %+v, %v", c, err)
	}
	leftovers(t, s, "lab", 2)

	// A commit, a tag and a branch that is none.
	if a, err = s.Add(ctx, Request{Address: address + "@" + first, Name: "pinned"}); err != nil || a.Commit != first {
		t.Errorf("pinned: %+v, %v", a, err)
	}
	if c, err := s.Update(ctx, "pinned"); err != nil || c.After.Commit != first {
		t.Errorf("a pinned commit moved: %+v, %v", c, err)
	}
	if a, err = s.Add(ctx, Request{Address: address + "#v1.0", Name: "tagged"}); err != nil || a.Commit != first {
		t.Errorf("tagged: %+v, %v", a, err)
	}
	var ge *GitError
	if _, err = s.Add(ctx, Request{Address: address, Ref: "nowhere", Name: "x"}); !errors.As(err, &ge) || ge.Hint() == "" {
		t.Errorf("a missing branch: %v", err)
	}
	if _, err := os.Stat(filepath.Join(s.Dir, "x")); err == nil {
		t.Error("a failed add left its folder")
	}

	// An update that fails leaves what was there.
	if err := os.Rename(r.dir, r.dir+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Update(ctx, "lab"); err == nil {
		t.Error("updated from nowhere")
	}
	if got := ids(t, s); !strings.Contains(got, "fresh") {
		t.Errorf("the copy has gone: %s", got)
	}
	leftovers(t, s, "lab", 2)
	if err := s.Remove("lab"); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(s.Dir, "lab")); err == nil {
		t.Error("removed, but there")
	}
	if err := s.Remove("lab"); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	if _, err := s.Update(ctx, "lab"); !errors.Is(err, ErrNotFound) {
		t.Errorf("updated what was removed: %v", err)
	}
}

// TestGitHostile: what a repository brings is neither run nor followed.
func TestGitHostile(t *testing.T) {
	ctx := context.Background()
	r := newRepo(t)
	secret := filepath.Join(t.TempDir(), "secret")
	write(t, filepath.Dir(secret), "secret", recipe+"Secret")
	if err := os.MkdirAll(filepath.Join(r.dir, "linked"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(r.dir, "linked", "Singularity")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Dir(secret), filepath.Join(r.dir, "folder")); err != nil {
		t.Fatal(err)
	}
	write(t, r.dir, ".gitattributes", "* filter=evil\n")
	write(t, r.dir, ".githooks/post-checkout", "#!/bin/sh\ntouch "+secret+".run\n")
	write(t, r.dir, "esc/Singularity", recipe+"\x1b]0;owned\x07")
	r.commit()
	s := newShelf(t)
	// The filter is one that the person has for files of their own.
	config := filepath.Join(filepath.Dir(secret), "gitconfig")
	write(t, filepath.Dir(config), "gitconfig", "[filter \"evil\"]\n\tsmudge = touch "+secret+".smudge; cat\n\tprocess = touch "+secret+".smudge\n\trequired = true\n")
	s.Env = append(s.Env, "GIT_CONFIG_GLOBAL="+config) // the last counts
	if _, err := s.Add(ctx, Request{Address: "file://" + r.dir, Name: "evil"}); err != nil {
		t.Fatal(err)
	}
	for ending, what := range map[string]string{".run": "hook", ".smudge": "filter"} {
		if _, err := os.Stat(secret + ending); err == nil {
			t.Error("a " + what + " was run")
		}
	}
	sources, _ := s.Sources()
	c, err := catalog.Load(ctx, sources...)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range c.List() {
		if strings.Contains(e.Raw, "Secret") {
			t.Errorf("%s reads a file outside", e.ID())
		}
		if e.Name == "linked" && e.Err == nil {
			t.Error("a link out of the copy was followed")
		}
		if e.Effects() != nil && e.Name == "esc" && strings.ContainsRune(e.Card.Title, 0x1b) {
			t.Error("the title holds an escape sequence")
		}
	}
	for _, bad := range []string{"ext::sh -c true", "-u", "--upload-pack=x", "ftp://host/x", "https://user:secret@host/x.git", "", "https:///x.git", "nowhere", "a\nb"} {
		if _, err := s.Add(ctx, Request{Address: bad, Name: "x"}); !errors.Is(err, ErrAddress) {
			t.Errorf("address %q: %v", bad, err)
		}
	}
	for _, name := range []string{"../x", ".", "a/b", "-x", "built-in", strings.Repeat("x", 80)} {
		if _, err := s.Add(ctx, Request{Address: "file://" + r.dir, Name: name}); err == nil {
			t.Errorf("name %q was taken", name)
		}
	}
	none := newShelf(t)
	none.Git = ""
	if _, err := none.Add(ctx, Request{Address: "https://example.org/x.git"}); !errors.Is(err, ErrNoGit) {
		t.Errorf("without git: %v", err)
	}
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "one/Singularity", recipe+"One")
	s := newShelf(t)
	a, err := s.Add(context.Background(), Request{Address: dir, Name: "mine"})
	if err != nil || a.Kind != catalog.Folder {
		t.Fatal(a, err)
	}
	write(t, dir, "two/Singularity", recipe+"Two")
	if got := ids(t, s); got != "one two" {
		t.Errorf("entries %q", got)
	}
	if err := s.Remove("mine"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "one", "Singularity")); err != nil {
		t.Error("removing the catalog removed the person's folder")
	}
}

func tarball(t *testing.T, files map[string]string, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for name, text := range files {
		headers = append(headers, tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(text))})
	}
	for i := range headers {
		if err := w.WriteHeader(&headers[i]); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, files[headers[i].Name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestArchive(t *testing.T) {
	ctx := context.Background()
	files := map[string]string{"lab-main/page/Singularity": recipe + "Page", "lab-main/page/index.html": "hi", "lab-main/README": "x"}
	var zipped bytes.Buffer
	z := zip.NewWriter(&zipped)
	for name, text := range files {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, text)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	answers := map[string][]byte{
		"/o/lab/archive/main.tar.gz": tarball(t, files),
		"/lab.zip":                   zipped.Bytes(),
		"/evil.tar.gz":               tarball(t, map[string]string{"../../evil/Singularity": "x"}),
		"/abs.tar.gz":                tarball(t, map[string]string{"/etc/evil": "x"}),
		"/links.tar.gz":              tarball(t, map[string]string{"a/Singularity": recipe + "A"}, tar.Header{Name: "a/passwd", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}),
		"/cut.tar.gz":                tarball(t, files)[:60],
		"/empty.tar.gz":              {},
		"/text.tar.gz":               []byte(strings.Repeat("not a tar", 200)),
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch data, ok := answers[r.URL.Path]; {
		case ok:
			w.Write(data)
		case r.URL.Path == "/loop.tar.gz":
			http.Redirect(w, r, r.URL.String(), http.StatusFound)
		case r.URL.Path == "/head.tar.gz":
			w.Header().Set("X-Long", strings.Repeat("x", 1<<20))
		default:
			http.NotFound(w, r)
		}
	}))
	defer srv.Close()
	s := newShelf(t)
	for path, want := range map[string]string{"/o/lab/archive/main.tar.gz": "lab", "/lab.zip": "lab", "/links.tar.gz": "links"} {
		a, err := s.Add(ctx, Request{Address: srv.URL + path})
		if err != nil || a.Name != want || a.Kind != catalog.Archive || !strings.HasPrefix(a.Commit, "sha256:") {
			t.Fatalf("%s: %+v, %v", path, a, err)
		}
		if got := ids(t, s); got != "page" && got != "links" {
			t.Errorf("%s: entries %q", path, got)
		}
		if err := s.Remove(a.Name); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"/evil.tar.gz", "/abs.tar.gz", "/cut.tar.gz", "/empty.tar.gz", "/text.tar.gz", "/none.tar.gz", "/loop.tar.gz", "/head.tar.gz"} {
		if a, err := s.Add(ctx, Request{Address: srv.URL + path, Name: "bad"}); err == nil {
			t.Errorf("%s: %+v", path, a)
		}
		if _, err := os.Stat(filepath.Join(s.Dir, "bad")); err == nil {
			t.Fatalf("%s left something", path)
		}
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(s.Dir), "evil")); err == nil {
		t.Error("an archive wrote outside of its folder")
	}
}

func TestIndex(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	write(t, dir, "a b/Singularity", recipe+"A")
	write(t, dir, "a b/data.txt", "1,2")
	write(t, dir, "c/Singularity.v2", recipe+"C")
	write(t, dir, ".hidden/Singularity", recipe+"Hidden")
	index := func() []byte {
		x, err := MakeIndex(ctx, dir)
		if err != nil {
			t.Fatal(err)
		}
		data, _ := json.Marshal(x)
		return data
	}
	current := index()
	var asked []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/cats/index.json" {
			w.Write(current)
			return
		}
		asked = append(asked, r.URL.Path)
		http.StripPrefix("/cats/", http.FileServer(http.Dir(dir))).ServeHTTP(w, r)
	}))
	defer srv.Close()
	s := newShelf(t)
	a, err := s.Add(ctx, Request{Address: srv.URL + "/cats/"})
	if err != nil || a.Name != "cats" || a.Kind != catalog.Index {
		t.Fatal(a, err)
	}
	if got := ids(t, s); got != "a b c:v2" {
		t.Errorf("entries %q", got)
	}
	asked = nil
	write(t, dir, "c/Singularity.v2", recipe+"C2")
	current = index()
	if c, err := s.Update(ctx, "cats"); err != nil || fmt.Sprint(c.Different) != "[c:v2]" {
		t.Errorf("update: %+v, %v", c, err)
	}
	if fmt.Sprint(asked) != "[/cats/c/Singularity.v2]" {
		t.Errorf("fetched %v: what is there need not be", asked)
	}
	good := current
	for name, bad := range map[string]string{
		"digest":    strings.Replace(string(good), `"sha256":"`, `"sha256":"00`, 1),
		"leads out": `{"carrel-catalog":1,"files":[{"path":"../x","size":1,"sha256":"00"}]}`,
		"absolute":  `{"carrel-catalog":1,"files":[{"path":"/etc/passwd","size":1,"sha256":"00"}]}`,
		"huge":      `{"carrel-catalog":1,"files":[{"path":"x","size":9999999999,"sha256":"00"}]}`,
		"negative":  `{"carrel-catalog":1,"files":[{"path":"x","size":-1,"sha256":"00"}]}`,
		"form":      `{"carrel-catalog":9}`,
		"text":      `<html>`,
	} {
		current = []byte(bad)
		if _, err := s.Update(ctx, "cats"); err == nil {
			t.Errorf("%s: taken", name)
		}
		if got := ids(t, s); got != "a b c:v2" {
			t.Errorf("%s: entries %q", name, got)
		}
		leftovers(t, s, "cats", 2)
	}
}

func TestAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"git@host.org:lab/recipes.git":                      "git git@host.org:lab/recipes.git recipes",
		"github.com/lab/recipes":                            "git https://github.com/lab/recipes recipes",
		"https://github.com/lab/recipes":                    "git https://github.com/lab/recipes recipes",
		"https://github.com/lab/recipes/":                   "git https://github.com/lab/recipes recipes",
		"https://host.org/lab/recipes.git":                  "git https://host.org/lab/recipes.git recipes",
		"git+https://host.org/lab/recipes":                  "git https://host.org/lab/recipes recipes",
		"ssh://git@host.org/lab/recipes":                    "git ssh://git@host.org/lab/recipes recipes",
		"https://host.org/x/recipes.tar.gz":                 "archive https://host.org/x/recipes.tar.gz recipes",
		"https://github.com/lab/r/archive/refs/heads/m.zip": "archive https://github.com/lab/r/archive/refs/heads/m.zip r",
		"https://host.org/catalog/index.json":               "index https://host.org/catalog/index.json catalog",
		"https://host.org":                                  "index https://host.org/index.json host.org",
		"https://host.org/catalog?x=1":                      "index https://host.org/catalog/index.json?x=1 catalog",
	} {
		p, err := parse(address, "/", "/", func(string) bool { return false })
		if got := fmt.Sprint(p.kind, " ", p.address, " ", p.name); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", address, got, err, want)
		}
	}
}
