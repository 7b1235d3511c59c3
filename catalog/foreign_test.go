package catalog

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
)

const samtools = `docker: quay.io/biocontainers/samtools
url: https://example.org/samtools
maintainer: "@someone"
description: Reads and writes SAM files
latest:
  "1.15--h3": "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
tags:
  "1.15--h3": "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
  "1.10--h2": "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
env:
  SAM_DIR: it's here
  "bad name": x
aliases:
  samtools: /usr/local/bin/samtools
  bgzip: /usr/local/bin/bgzip
`

func TestContainers(t *testing.T) {
	c := mustLoad(t, source("shpc", fstest.MapFS{
		"quay.io/biocontainers/samtools/container.yaml": {Data: []byte(samtools)},
		"registry/ghcr.io/lab/tool/container.yaml":      {Data: []byte("docker: ghcr.io/lab/tool\naliases:\n - name: tool\n   command: /bin/tool\nlatest: {\"1\": \"\"}\n")},
		"registry/lab/release/container.yaml":           {Data: []byte("gh: lab/release\n")},
		"broken/container.yaml":                         {Data: []byte("docker: [\n")},
		"bomb/container.yaml":                           {Data: []byte("a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c]\nurl: [*d,*d,*d,*d,*d,*d,*d,*d]\n")},
	}))
	if got, want := ids(c.List()), "bomb broken ghcr.io/lab/tool lab/release quay.io/biocontainers/samtools"; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	for _, broken := range []string{"broken", "bomb", "release"} {
		if e, err := c.Find(broken); err != nil || e.Err == nil {
			t.Errorf("%s: %v, %v", broken, e, err)
		}
	}
	for name, from := range map[string]string{
		"samtools": "quay.io/biocontainers/samtools:1.15--h3@sha256:aaaa",
		"quay.io/biocontainers/samtools:1.10--h2": "quay.io/biocontainers/samtools:1.10--h2@sha256:bbbb",
		"shpc/quay.io/biocontainers/samtools":     "quay.io/biocontainers/samtools:1.15--h3@sha256:aaaa",
		"tool":                                    "ghcr.io/lab/tool:1",
	} {
		e, err := c.Find(name)
		if err != nil || e.Err != nil {
			t.Fatal(name, err, e)
		}
		if got := e.Definition.Final().From(); !strings.HasPrefix(got, from) || e.Definition.Final().Bootstrap() != "docker" {
			t.Errorf("%s: from %q, want %q", name, got, from)
		}
	}
	e, _ := c.Find("samtools")
	s := e.Definition.Final()
	if !strings.Contains(s.Environment(), `export SAM_DIR='it'\''s here'`) || strings.Contains(s.Environment(), "bad") ||
		!strings.Contains(s.Section("runscript").Body, `exec /usr/local/bin/samtools "$@"`) || e.Card.Version != "1.15--h3" || fmt.Sprint(e.Versions) != "[1.15--h3 1.10--h2]" {
		t.Errorf("definition:\n%s\n%+v", e.Raw, e.Card)
	}
	if _, err := c.Find("samtools:9"); err == nil {
		t.Error("a version that is not there was found")
	}
}

func TestEffects(t *testing.T) {
	c := mustLoad(t, source("lab", fstest.MapFS{
		"app/Singularity": {Data: []byte("Bootstrap: docker\nFrom: debian:12\nStage: one\n%post\n# remark\nmake\n\nmake install\n" +
			"Bootstrap: debootstrap\nOSVersion: bookworm\nMirrorURL: http://example.org/debian\n%setup\nrm -rf $HOME\n%files\ndata.csv /\n/etc/passwd /x\n../up /y\n%files from one\n/bin/x /bin/x\n%test\ntrue\n")},
		"broken/Singularity": {Data: []byte("%nothing\n")},
	}))
	e, err := c.Find("app")
	if err != nil || e.Err != nil {
		t.Fatal(e, err)
	}
	x := e.Effects()
	if got, want := fmt.Sprintf("%q %q %q %q", x.Bases, x.Inside, x.Outside, x.Takes),
		`["docker://debian:12" "debootstrap bookworm from http://example.org/debian"] ["%post, 2 lines" "%test, 1 line"] ["%setup, 1 line"] ["/etc/passwd" "../up"]`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if e, _ := c.Find("broken"); e.Effects() != nil {
		t.Error("effects of a definition that cannot be read")
	}
}

// TestNames: names are folders below what groups them; the last part is enough where it is the only one.
func TestNames(t *testing.T) {
	c := mustLoad(t, source("/home/anna/recipes.git", fstest.MapFS{
		"Singularity":                       text(""),
		"recipes/vsoch/hello/Singularity":   text(""),
		"recipes/other/hello/Singularity.x": text(""),
		"recipes/other/world/Singularity":   text(""),
		"defs/model.def":                    text(""),
		"model/model.def":                   text(""),
		"a/b/c/d/e/f/g/h/Singularity":       text(""),
		"a/b/c/d/e/f/g/h/i/Singularity":     text(""),
		"node_modules/x/Singularity":        text(""),
	}))
	if got, want := ids(c.List()), "a/b/c/d/e/f/g/h defs/model model other/hello:x other/world recipes vsoch/hello"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if e, err := c.Find("world"); err != nil || e.Name != "other/world" {
		t.Error(e, err)
	}
	if e, err := c.Find("hello"); err == nil || !strings.Contains(err.(*NotFoundError).Hint(), "vsoch/hello") {
		t.Error(e, err)
	}
}
