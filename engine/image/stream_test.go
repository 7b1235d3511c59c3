package image

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"carrel/engine/tree"

	"github.com/google/go-cmp/cmp"
)

// A stream gets the same files as a folder does.
func TestScaffoldedIsWhatAFolderGets(t *testing.T) {
	rows := map[string]map[string]string{
		"empty":       {},
		"usual":       {"etc/hosts": "own", "etc/resolv.conf": "-> /run/resolv.conf", "tmp/x": "1", "var/tmp/": "", "bin/sh": "x"},
		"moved":       {"var": "-> srv/var", "srv/var/": "", "etc": "-> srv", "home": "-> /srv"},
		"2016":        {"singularity": "#!/bin/sh\necho old\n", "environment": "OLD=1\n", ".run": "old"},
		"a base":      {".singularity.d/Singularity": "base\n", ".singularity.d/env/90-environment.sh": "#!/bin/sh\nexport BASE=1\n", ".singularity.d/runscript": "base", ".singularity.d/env/91-environment.sh": "x"},
		"odd":         {".singularity.d": "-> etc", "etc/": ""},
		"odder":       {".singularity.d/runscript/x": "1", ".singularity.d/env": "file"},
		"an app":      {"scif/apps/two/bin/x": "1"},
		"large":       {".singularity.d/libs/large": strings.Repeat("x", maxText+1)},
		"own folders": {"singularity/x": "1", ".run/": ""},
	}
	for name, files := range rows {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			write(t, folder, files)
			var before, after = unpacked(t, Scaffolded(packed(folder), full(), testTime)), map[string]string{}
			scaffolded(t, folder, full())
			after = unpacked(t, packed(folder))
			if diff := cmp.Diff(after, before); diff != "" {
				t.Errorf("- in a folder, + in a stream: %s", diff)
			}
		})
	}
}

// unpacked shows a tree as mode, link and content by path.
func unpacked(t *testing.T, s tree.Source) map[string]string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "unpacked")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	u, err := tree.Unpack(dir, tree.UnpackOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.WriteTo(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Close(); err != nil {
		t.Fatal(err)
	}
	list := map[string]string{}
	err = packed(dir).WriteTo(t.Context(), sinkFunc(func(e tree.Entry, body io.Reader) error {
		text := e.FileMode().String() + " " + e.Link
		if body != nil {
			b, err := io.ReadAll(body)
			if err != nil {
				return err
			}
			text += string(b)
		}
		list[e.Path] = text
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

type sinkFunc func(tree.Entry, io.Reader) error

func (f sinkFunc) Add(e tree.Entry, body io.Reader) error { return f(e, body) }

func TestHardLinksToHeldFiles(t *testing.T) {
	source := sourceFunc(func(sink tree.Sink) error {
		if err := sink.Add(tree.Entry{Path: ".singularity.d/runscript", Mode: tree.TypeRegular | 0o755, Size: 3}, strings.NewReader("abc")); err != nil {
			return err
		}
		return sink.Add(tree.Entry{Path: "link", HardLink: ".singularity.d/runscript"}, nil)
	})
	got := unpacked(t, Scaffolded(source, Metadata{}, testTime))
	if got["link"] != "-rwxr-xr-x abc" || got[".singularity.d/runscript"] != "-rwxr-xr-x abc" {
		t.Errorf("got %q and %q", got["link"], got[".singularity.d/runscript"])
	}
}
