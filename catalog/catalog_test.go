package catalog

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"carrel/engine/card"
	"carrel/engine/definition"
)

func text(labels string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte("Bootstrap: docker\nFrom: debian:12\n%labels\n" + labels)}
}

func source(name string, files fstest.MapFS) Source {
	return Source{Kind: Folder, Name: name, FS: files}
}

func mustLoad(t *testing.T, sources ...Source) *Catalog {
	t.Helper()
	c, err := Load(context.Background(), sources...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func ids(entries []*Entry) string {
	var all []string
	for _, e := range entries {
		all = append(all, e.ID())
	}
	return strings.Join(all, " ")
}

var lab = fstest.MapFS{
	"jupyter/Singularity":        text("org.opencontainers.image.title Jupyter notebook\norg.opencontainers.image.description Python in the browser\ncarrel.category notebook\ncarrel.keywords python, numpy\n"),
	"jupyter/Singularity.2024":   text("org.opencontainers.image.title Jupyter 2024\ncarrel.category notebook\n"),
	"jupyter/notes.txt":          {Data: []byte("x")},
	"stroop/Singularity.v1":      text("org.opencontainers.image.title Stroop task\ncarrel.category experiment\ncarrel.port.x http\n"),
	"stroop/Singularity.v2":      text("org.opencontainers.image.title Stroop task\ncarrel.category experiment\n"),
	"python-report/Singularity":  text("org.opencontainers.image.description A report\n"),
	"broken/Singularity":         {Data: []byte("Bootstrap: docker\n%psot\n")},
	"args/Singularity":           {Data: []byte("Bootstrap: docker\nFrom: debian:{{ TAG }}\n")},
	".git/Singularity":           text(""),
	"empty/README":               {Data: []byte("x")},
	"backup/Singularity.old~":    text(""),
	"folder/Singularity/a":       {Data: []byte("x")},
	"Singularity":                text(""),
	"big/Singularity":            {Data: []byte("Bootstrap: docker\n#" + strings.Repeat("x", MaxDefinition))},
	"just-fits/Singularity":      {Data: []byte("Bootstrap: docker\n#" + strings.Repeat("x", MaxDefinition-19))},
	"no-definition/Dockerfile":   {Data: []byte("FROM debian")},
	"no-definition/singularity":  text(""),
	"not-a-tag/Singularity.":     text(""),
	"not-a-tag/Singularity-1.0":  text(""),
	"not-a-tag/Singularityfile":  text(""),
	"dotted/Singularity.1.0.rc1": text(""),
}

func TestLoad(t *testing.T) {
	c := mustLoad(t, source("lab", lab))
	if len(c.Problems) > 0 {
		t.Error(c.Problems)
	}
	want := "args big broken dotted:1.0.rc1 folder jupyter jupyter:2024 just-fits lab python-report stroop:v1 stroop:v2"
	if got := ids(c.List()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for name, fails := range map[string]string{"big": "too large", "broken": "did you mean %post", "folder": "not a regular file", "args": "", "jupyter": "", "just-fits": ""} {
		e, err := c.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		if (e.Err != nil) != (fails != "") || e.Err != nil && !strings.Contains(e.Err.Error(), fails) {
			t.Errorf("%s: error %v, want %q", name, e.Err, fails)
		}
		if (e.Definition == nil) != (e.Err != nil) || e.Title() == "" {
			t.Errorf("%s: %+v", name, e)
		}
	}
	e, _ := c.Find("jupyter")
	if data, err := fs.ReadFile(e.Dir, "notes.txt"); err != nil || string(data) != "x" {
		t.Errorf("folder of the entry: %q, %v", data, err)
	}
	if e.Title() != "Jupyter notebook" || e.Card.Keywords[1] != "numpy" || e.File != "Singularity" || !strings.Contains(e.Raw, "numpy") {
		t.Errorf("%+v", e)
	}
	if e, _ := c.Find("stroop:v1"); len(e.Warnings) != 1 {
		t.Errorf("warnings %v", e.Warnings)
	}
}

func TestLoadProblems(t *testing.T) {
	missing := Dir(filepath.Join(t.TempDir(), "none"))
	c := mustLoad(t, missing, source("lab", lab))
	if len(c.Problems) != 1 || !errors.Is(c.Problems[0], fs.ErrNotExist) || len(c.List()) == 0 {
		t.Errorf("problems %v", c.Problems)
	}
	many := fstest.MapFS{}
	for i := range MaxEntries + 5 {
		many["a/Singularity."+strconv.Itoa(i)] = &fstest.MapFile{Data: []byte("Bootstrap: docker\n")}
	}
	c = mustLoad(t, source("many", many))
	if len(c.Problems) != 1 || !errors.Is(c.Problems[0], ErrTooMany) || len(c.List()) != MaxEntries {
		t.Errorf("%d entries, problems %v", len(c.List()), c.Problems)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Load(ctx, source("lab", lab)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestDir(t *testing.T) {
	root := t.TempDir()
	write := func(name, body string) {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("good/Singularity", "Bootstrap: docker\nFrom: debian:12\n")
	write("pipe/x", "")
	if err := syscall.Mkfifo(filepath.Join(root, "pipe", "Singularity"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("good", filepath.Join(root, "linked")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", filepath.Join(root, "dangling")); err != nil {
		t.Fatal(err)
	}
	c := mustLoad(t, Dir(root))
	if got := ids(c.List()); got != "good linked pipe" {
		t.Errorf("entries %s", got)
	}
	if e, _ := c.Find("good"); e.Path != filepath.Join(root, "good", "Singularity") || e.Err != nil {
		t.Errorf("%+v", e)
	}
	if e, _ := c.Find("pipe"); e.Err == nil || e.Validate()[0].Rule != "entry-unreadable" {
		t.Errorf("a pipe was read: %+v", e)
	}
}

func TestFind(t *testing.T) {
	other := fstest.MapFS{"jupyter/Singularity.latest": text("carrel.category tool\n"), "jupyter/Singularity.zz": text(""), "own/Singularity": text(""), "Stroop/Singularity": text("")}
	c := mustLoad(t, source("lab", lab), source("other", other))
	for name, want := range map[string]string{
		"jupyter": "lab jupyter", "jupyter:2024": "lab jupyter:2024", "Jupyter": "lab jupyter", "jupyter:zz": "other jupyter:zz",
		"jupyter:latest": "lab jupyter", "stroop": "lab stroop:v2", "Stroop": "other Stroop", "own:latest": "other own",
		"nothing": "", "jupyter:none": "", "": "",
	} {
		e, err := c.Find(name)
		got := ""
		if err == nil {
			got = e.Source.Name + " " + e.ID()
		} else if !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", name, err)
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
	c = mustLoad(t, source("other", other))
	if e, err := c.Find("jupyter"); err != nil || e.Tag != "latest" {
		t.Errorf("got %v, %v", e, err)
	}
	_, err := c.Find("jupy")
	var missing *NotFoundError
	if !errors.As(err, &missing) || !strings.Contains(missing.Hint(), "jupyter:latest") {
		t.Errorf("got %v", err)
	}
}

func TestSearch(t *testing.T) {
	c := mustLoad(t, source("lab", lab))
	for query, want := range map[string]string{
		"jupyter":             "jupyter jupyter:2024",
		"PYTHON":              "python-report jupyter",
		"stroop task":         "stroop:v1 stroop:v2",
		"experiment":          "stroop:v1 stroop:v2",
		"note":                "jupyter jupyter:2024",
		"numpy browser":       "jupyter",
		"numpy stroop":        "",
		"2024":                "jupyter:2024",
		"brok":                "broken",
		"\xff":                "",
		"report python-repor": "python-report",
	} {
		if got := ids(c.Search(query)); got != want {
			t.Errorf("%q: got %q, want %q", query, got, want)
		}
	}
	if got, want := ids(c.Search(" ")), ids(c.List()); got != want {
		t.Errorf("got %s", got)
	}
	want := []Category{{"notebook", 2}, {"experiment", 2}, {"", 8}}
	if diff := cmp.Diff(want, c.Categories()); diff != "" {
		t.Error(diff)
	}
}

func TestValidate(t *testing.T) {
	c := mustLoad(t, source("lab", lab))
	rules := func(name string) string {
		e, err := c.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, f := range e.Validate() {
			all = append(all, f.Rule+":"+strconv.Itoa(f.Line))
		}
		return strings.Join(all, " ")
	}
	for name, want := range map[string]string{
		"jupyter": "", "stroop:v1": "label-missing:1 label-value:6", "broken": "section-unknown:2", "big": "entry-unreadable:0",
		"args": "labels-none:1 label-missing:1 label-missing:1 label-missing:1 build-arg-missing:2",
	} {
		if got := rules(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

// TestInternal holds every built-in app to what is asked of others'.
func TestInternal(t *testing.T) {
	c := mustLoad(t, Internal())
	if len(c.Problems) > 0 || len(c.List()) == 0 {
		t.Fatal(c.Problems)
	}
	for _, e := range c.List() {
		if e.Err != nil {
			t.Errorf("%s: %v", e.ID(), e.Err)
			continue
		}
		if err := e.Definition.Check(); err != nil {
			t.Error(err)
		}
		for _, f := range e.Validate() {
			if f.Rule == "runscript-cd" && f.Severity == definition.Note { // it is meant: the app works in its folder
				continue
			}
			t.Errorf("%s, line %d: %s: %s", e.ID(), f.Line, f.Rule, f.Message)
		}
		for _, missing := range lacking(e) {
			t.Errorf("%s does not say %s", e.ID(), missing)
		}
	}
}

// lacking is what an entry of the built-in catalog has to say of itself, and does not.
func lacking(e *Entry) []string {
	var all []string
	want := func(what string, is bool) {
		if !is {
			all = append(all, what)
		}
	}
	c := e.Card
	want("what it is about: carrel.keywords", len(c.Keywords) >= 3)
	want("its licence", c.Licenses != "")
	want("where it serves, and that it is ready there", c.PrimaryPort() != nil && c.Ready != nil && c.Ready.Port == c.PrimaryPort().Container && c.Ready.Path != "")
	want("how it is started: carrel.example", c.Example != "" || e.Name == "welcome")
	want("which folders it works with", len(c.Binds) > 0)
	want("how to cite it: carrel.cite", strings.HasPrefix(c.Cite, "doi:10.") || strings.HasPrefix(c.Cite, "https://"))
	return all
}

func TestLacking(t *testing.T) {
	e := &Entry{Name: "x"}
	if n := len(lacking(e)); n != 6 {
		t.Errorf("of an entry without labels %d are missing: %q", n, lacking(e))
	}
	for cite, want := range map[string]bool{"": true, "tool": true, "https://tool.org/": false, "doi:10.1/x": false} {
		e.Card.Cite = cite
		if got := strings.Contains(strings.Join(lacking(e), " "), "how to cite"); got != want {
			t.Errorf("cite %q: missing %t", cite, got)
		}
	}
}

func TestNginxBasic(t *testing.T) {
	e, err := mustLoad(t, Internal()).Find("nginx-basic")
	if err != nil {
		t.Fatal(err)
	}
	s := e.Definition.Final()
	if s.Bootstrap() != "debootstrap" || s.Header.Get("OSVersion") != "bookworm" || s.Header.Get("MirrorURL") != "" {
		t.Errorf("header %v", s.Header)
	}
	if p := e.Card.PrimaryPort(); p == nil || p.Container != 9999 || p.Proto != card.HTTP || e.Card.Ready == nil || e.Card.Ready.Port != 9999 {
		t.Errorf("card %+v", e.Card)
	}
	if len(e.Card.Binds) != 1 || e.Card.Binds[0].Dest != "/data" || e.Card.Binds[0].Required || e.Card.Category != "page" {
		t.Errorf("card %+v", e.Card)
	}
	for _, name := range []string{"post", "runscript", "help", "test"} {
		if s.Section(name).IsEmpty() {
			t.Errorf("no %%%s", name)
		}
	}
	if e.Definition.Raw != e.Raw || e.Source.Kind != BuiltIn || e.Path != "" {
		t.Error("the text is not as it was written")
	}
	if _, err := definition.ParseString(e.Definition.Format(), definition.Options{}); err != nil {
		t.Error(err)
	}
}
