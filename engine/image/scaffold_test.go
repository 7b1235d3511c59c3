package image

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPrepareRoot(t *testing.T) {
	root := t.TempDir()
	for range 2 { // the second time changes nothing
		if err := PrepareRoot(root); err != nil {
			t.Fatal(err)
		}
	}
	modes := map[string]os.FileMode{}
	links := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode()&os.ModeSymlink != 0 {
			links[name], err = os.Readlink(path)
			return err
		}
		modes[name] = info.Mode()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := os.ModeDir | 0o755
	delete(modes, ".")
	wantModes := map[string]os.FileMode{
		"dev": dir, "proc": dir, "sys": dir, "root": os.ModeDir | 0o700, "home": dir, "etc": dir, "var": dir,
		"tmp": os.ModeDir | os.ModeSticky | 0o777, "var/tmp": os.ModeDir | os.ModeSticky | 0o777,
		"etc/hosts": 0o644, "etc/resolv.conf": 0o644,
		".singularity.d": dir, ".singularity.d/actions": dir, ".singularity.d/env": dir, ".singularity.d/libs": dir,
		".singularity.d/actions/exec": 0o755, ".singularity.d/actions/run": 0o755, ".singularity.d/actions/shell": 0o755,
		".singularity.d/actions/start": 0o755, ".singularity.d/actions/test": 0o755,
		".singularity.d/env/01-base.sh": 0o755, ".singularity.d/env/90-environment.sh": 0o755, ".singularity.d/env/95-apps.sh": 0o755,
		".singularity.d/env/99-base.sh": 0o755, ".singularity.d/env/99-runtimevars.sh": 0o755,
	}
	if diff := cmp.Diff(wantModes, modes); diff != "" {
		t.Error(diff)
	}
	wantLinks := map[string]string{
		".run": ".singularity.d/actions/run", ".exec": ".singularity.d/actions/exec", ".shell": ".singularity.d/actions/shell",
		".test": ".singularity.d/actions/test", "singularity": ".singularity.d/runscript",
		"environment": ".singularity.d/env/90-environment.sh",
	}
	if diff := cmp.Diff(wantLinks, links); diff != "" {
		t.Error(diff)
	}
}

func TestWritingStaysInTheRoot(t *testing.T) {
	outside := t.TempDir()
	write(t, outside, map[string]string{"file": "untouched"})
	file := filepath.Join(outside, "file")
	hostile := []map[string]string{
		{".singularity.d": "-> " + outside},
		{".singularity.d": "-> ../../../.." + outside},
		{".singularity.d/env": "-> " + outside, ".singularity.d/actions": "-> " + outside},
		{".singularity.d/runscript": "-> " + file, ".singularity.d/labels.json": "-> " + file, ".singularity.d/Singularity": "-> " + file},
		{".singularity.d/env/90-environment.sh": "-> " + file, ".singularity.d/actions/run": "-> " + file},
		{"singularity": "-> " + file, ".run": "-> " + file, "environment": "-> " + file},
		{"etc": "-> " + outside, "tmp": "-> " + outside, "var": "-> " + outside, "dev": "-> " + outside},
		{"scif": "-> " + outside},
		{"scif/apps/one/scif/runscript": "-> " + file},
		{".singularity.d/bootstrap_history": "-> " + outside, ".singularity.d/Singularity": "old"},
	}
	for _, files := range hostile {
		root := t.TempDir()
		write(t, root, files)
		err := PrepareRoot(root)
		if err == nil {
			err = WriteMetadata(root, full())
		}
		if err != nil && !strings.Contains(err.Error(), "escapes") {
			t.Errorf("%v: %v", files, err)
		}
		list, _ := os.ReadDir(outside)
		if b, _ := os.ReadFile(file); len(list) != 1 || string(b) != "untouched" {
			t.Fatalf("%v: outside holds %v, %q", files, list, b)
		}
	}
}

// A second build on an image inherits what the definition does not replace.
func TestInheritance(t *testing.T) {
	root := t.TempDir()
	scaffolded(t, root, full())
	second := Metadata{
		Definition: "Bootstrap: localimage\n", Help: "Newer help\n", Labels: map[string]string{"only": "this"},
		Environment: map[string]string{ownEnvironmentPath: "#!/bin/sh\n\nexport MORE=1\n"},
	}
	scaffolded(t, root, second)
	got, err := open(t, root).Metadata()
	if err != nil {
		t.Fatal(err)
	}
	if got.Runscript != full().Runscript || got.Help != "Newer help\n" || got.Definition != second.Definition || len(got.Labels) != 1 {
		t.Errorf("%+v", got)
	}
	env := got.Environment[ownEnvironmentPath]
	if !strings.Contains(env, "FOO=bar") || !strings.Contains(env, "MORE=1") || strings.Count(env, "#!") != 1 {
		t.Errorf("environment: %s", env)
	}
	if b, err := os.ReadFile(filepath.Join(root, ".singularity.d/bootstrap_history/Apptainer0")); err != nil || string(b) != full().Definition {
		t.Errorf("history: %q, %v", b, err)
	}
}

func TestBadNamesAreRefused(t *testing.T) {
	for _, m := range []Metadata{
		{Apps: map[string]App{"../x": {}}},
		{Apps: map[string]App{"a/b": {}}},
		{Apps: map[string]App{"..": {}}},
		{Environment: map[string]string{"/etc/profile": "x"}},
		{Environment: map[string]string{"/.singularity.d/env/../../etc/x": "x"}},
	} {
		root := t.TempDir()
		if err := PrepareRoot(root); err != nil {
			t.Fatal(err)
		}
		if err := WriteMetadata(root, m); err == nil {
			t.Errorf("%+v: no error", m)
		}
	}
}

// sh runs a script text with arguments by the machine's shell.
func sh(t *testing.T, env []string, text string, args ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", append([]string{file}, args...)...)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, text)
	}
	return string(out)
}

func TestOCIRunscript(t *testing.T) {
	show := []string{"printf", "<%s>"}
	odd := `it's "odd" $HOME \n` + "`x`"
	rows := []struct {
		entrypoint, cmd, args []string
		want                  string
	}{
		{show, nil, nil, "<>"},
		{show, nil, []string{"a b", odd}, "<a b><" + odd + ">"},
		{show, []string{"default", odd}, nil, "<default><" + odd + ">"},
		{show, []string{"default"}, []string{"mine"}, "<mine>"},
		{nil, append(show, "c"), nil, "<c>"},
		{nil, append(show, "c"), []string{"echo", "x"}, "x\n"},
	}
	for _, row := range rows {
		if got := sh(t, nil, OCIRunscript(row.entrypoint, row.cmd), row.args...); got != row.want {
			t.Errorf("%q %q with %q: got %q, want %q", row.entrypoint, row.cmd, row.args, got, row.want)
		}
	}
}

func TestOCIEnvironment(t *testing.T) {
	odd := `a "b" 'c' $d \e` + "`f`"
	text := OCIEnvironment([]string{"PATH=/opt/bin:/bin:/usr/bin", "A=" + odd, "B=image", "EMPTY=", "bad-name=1", "x;rm -rf=1", "nothing"})
	got := sh(t, []string{"B=caller", "PATH=/caller"}, text+"printf '%s\\n' \"$A|$B|$EMPTY|$PATH\"\n")
	if want := odd + "|caller||/opt/bin:/bin:/usr/bin\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if strings.Contains(text, "bad-name") || strings.Contains(text, "rm -rf") {
		t.Errorf("text: %s", text)
	}
}

func TestScriptsAreShell(t *testing.T) {
	root := t.TempDir()
	scaffolded(t, root, full())
	for _, pattern := range []string{"actions/*", "env/*.sh"} {
		files, _ := filepath.Glob(filepath.Join(root, ".singularity.d", pattern))
		for _, file := range files {
			if out, err := exec.Command("/bin/sh", "-n", file).CombinedOutput(); err != nil {
				t.Errorf("%s: %s", file, out)
			}
		}
	}
}

func TestAutomaticLabels(t *testing.T) {
	got := Build{Time: testTime, Arch: "amd64", Version: "1.0", Header: map[string]string{"Bootstrap": "docker", "from": "alpine"}, Help: true}.Labels()
	want := map[string]string{
		"org.label-schema.schema-version":                      "1.0",
		"org.label-schema.build-date":                          "Sunday_22_November_2026_10:57:19_UTC",
		"org.label-schema.build-arch":                          "amd64",
		"org.label-schema.usage":                               "/.singularity.d/runscript.help",
		"org.label-schema.usage.singularity.runscript.help":    "/.singularity.d/runscript.help",
		"org.label-schema.usage.carrel.version":                "1.0",
		"org.label-schema.usage.singularity.deffile.bootstrap": "docker",
		"org.label-schema.usage.singularity.deffile.from":      "alpine",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
