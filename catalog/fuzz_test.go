package catalog

import (
	"testing"
	"testing/fstest"
)

// FuzzContainer makes definitions of container.yaml files, in which nothing but what they are for may appear: a file that
// describes an image cannot have commands run while it is built.
func FuzzContainer(f *testing.F) {
	f.Add(samtools)
	f.Add("docker: a/b\nlatest: {\"1\\n%post\\n touch /x\": \"sha256:1\\n%setup\\n touch /y\"}\nenv: {A: \"b\\n%post\\n touch /z\"}\n")
	f.Add("oras: ghcr.io/a/b\naliases:\n - name: t\n   command: /bin/t\n")
	f.Fuzz(func(t *testing.T, text string) {
		fsys := fstest.MapFS{"a/container.yaml": {Data: []byte(text)}}
		e := readContainer(Source{Kind: Folder, Name: "f", FS: fsys}, found{folder: "a", file: "container.yaml", name: "a"})
		if e.Err != nil {
			return
		}
		s := e.Definition.Final()
		for name := range s.Sections {
			if name != "labels" && name != "environment" && name != "runscript" {
				t.Errorf("a section %%%s in\n%s", name, e.Raw)
			}
		}
		if len(e.Definition.Stages) != 1 || len(s.Apps) > 0 || len(s.Files) > 0 {
			t.Errorf("more than an image in\n%s", e.Raw)
		}
	})
}
