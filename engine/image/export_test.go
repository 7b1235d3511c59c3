package image

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"carrel/engine/oci"
	"carrel/internal/apptainertest"

	"github.com/google/go-cmp/cmp"
)

func TestAssignments(t *testing.T) {
	text := "# comment\nexport A=b\nC='d e'\nexport C\nexport PATH=/opt/bin:$PATH\nexport H=\"$(hostname)\"\nif true; then export I=1; fi\n" +
		"export L=\"$A ${M:-default}\"\nexport N=`id` O=p\nexport Q=$((1+1))\nR=${S:=x}\nexport R\nT=1\nrm -rf /\nexport 'odd name'=1\n"
	got := map[string]string{}
	assignments(text, func(name string) string { return map[string]string{"PATH": "/bin"}[name] }, func(name, value string) { got[name] = value })
	want := map[string]string{"A": "b", "C": "d e", "PATH": "/opt/bin:/bin", "L": "b default", "O": "p"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	assignments("if then (", nil, func(string, string) { t.Error("a script with an error gave a variable") })
}

// TestExportAndBack makes an OCI image of a SIF and looks whether what it says of itself is still the same.
func TestExportAndBack(t *testing.T) {
	root := t.TempDir()
	write(t, root, map[string]string{"bin/sh": "shell"})
	m := full()
	m.Labels["carrel.port.8888"] = "http /"
	scaffolded(t, root, m)
	image := open(t, sifOf(t, root, m.Definition))
	want, err := image.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	source, config, err := image.Export(testTime)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(config.Entrypoint, []string{"/.singularity.d/entrypoint"}) || !slices.Equal(config.ExposedPorts, []string{"8888/tcp"}) {
		t.Errorf("%+v", config)
	}
	if !slices.Contains(config.Env, "FOO=bar") {
		t.Errorf("environment: %q", config.Env)
	}
	folder := filepath.Join(t.TempDir(), "layout")
	if err := oci.WriteLayout(t.Context(), folder, source, oci.Output{Config: config, Created: testTime}); err != nil {
		t.Fatal(err)
	}
	back := open(t, folder)
	got, err := back.Metadata()
	if err != nil {
		t.Fatal(err)
	}
	wanted, err := want.Document(Everything)
	if err != nil {
		t.Fatal(err)
	}
	if is, err := got.Document(Everything); err != nil || string(is) != string(wanted) {
		t.Errorf("%v: %s", err, cmp.Diff(string(wanted), string(is)))
	}
	if labels, err := back.Labels(); err != nil || labels["carrel.port.8888"] != "http /" {
		t.Errorf("labels: %v, %v", labels, err)
	}
	fsys, err := back.Contents(t.Context(), IndexOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := fs.ReadFile(fsys, "bin/sh"); err != nil || string(b) != "shell" {
		t.Errorf("%q, %v", b, err)
	}
}

// TestApptainerRunsWhatIsExported lets Apptainer make a SIF of a docker archive that was made of ours.
func TestApptainerRunsWhatIsExported(t *testing.T) {
	apptainertest.Command(t)
	root := shellRoot(t)
	scaffolded(t, root, full())
	source, config, err := open(t, sifOf(t, root, "")).Export(testTime)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "image.tar"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(oci.WriteDockerArchive(t.Context(), f, source, oci.Output{Config: config, Created: testTime}), f.Close()); err != nil {
		t.Fatal(err)
	}
	made := filepath.Join(dir, "image.sif")
	apptainertest.Run(t, "build", made, "docker-archive:"+f.Name())
	if got := apptainertest.Run(t, "run", made, "a", "b c"); got != "run bar a b c\n" {
		t.Errorf("got %q", got)
	}
	// And back once more: what Apptainer made starts the same.
	_, again, err := open(t, made).Export(testTime)
	if err != nil || !slices.Equal(again.Entrypoint, config.Entrypoint) {
		t.Errorf("%q, %v", again.Entrypoint, err)
	}
}
