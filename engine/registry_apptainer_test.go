package engine

import (
	"bytes"
	"io"
	stdlog "log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"

	"carrel/internal/apptainertest"
)

// TestRegistryWithApptainer: what one of the two pushes, the other one pulls, as SIFs and as images in layers.
func TestRegistryWithApptainer(t *testing.T) {
	apptainertest.Command(t)
	s := httptest.NewServer(registry.New(registry.Logger(stdlog.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	host := strings.TrimPrefix(s.URL, "http://")
	e := newEngine(t, nil)
	image := small(t, e, "%environment\n    export COLOUR=blue\n%labels\n    lab ours\n%runscript\n    echo \"ran with $COLOUR $*\"\n", "sh", "cat")
	want, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	dir := e.c.User.Cwd

	if _, err := e.Push(t.Context(), image, "oras://"+host+"/lab/ours:1", nil); err != nil {
		t.Fatal(err)
	}
	theirs := filepath.Join(dir, "theirs.sif")
	apptainertest.Run(t, "pull", "--no-https", theirs, "oras://"+host+"/lab/ours:1")
	if got, err := os.ReadFile(theirs); err != nil || !bytes.Equal(got, want) {
		t.Errorf("Apptainer pulled %d bytes of %d, %v", len(got), len(want), err)
	}

	apptainertest.Run(t, "push", "--no-https", image, "oras://"+host+"/lab/theirs:1")
	p, err := e.Pull(t.Context(), PullSpec{Ref: "oras://" + host + "/lab/theirs:1", Target: filepath.Join(dir, "back.sif")}, nil)
	if err != nil {
		t.Fatal(err, Hint(err))
	}
	if got, err := os.ReadFile(p.Path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("pulled %d bytes of %d, %v", len(got), len(want), err)
	}

	// In layers: what it runs, its environment and its labels come along.
	if _, err := e.Push(t.Context(), image, "docker://"+host+"/lab/layers:1", nil); err != nil {
		t.Fatal(err)
	}
	layers := filepath.Join(dir, "layers.sif")
	apptainertest.Run(t, "pull", "--no-https", layers, "docker://"+host+"/lab/layers:1")
	if got := apptainertest.Run(t, "run", layers, "one", "two"); got != "ran with blue one two\n" {
		t.Errorf("in Apptainer it says %q", got)
	}
	if got := apptainertest.Run(t, "inspect", "--labels", layers); !strings.Contains(got, "lab: ours") {
		t.Errorf("its labels in Apptainer are %s", got)
	}
	p, err = e.Pull(t.Context(), PullSpec{Ref: "docker://" + host + "/lab/layers:1", Target: filepath.Join(dir, "again.sif")}, nil)
	if err != nil {
		t.Fatal(err, Hint(err))
	}
	if status, out, err := output(t, e, RunSpec{Image: p.Path, Action: ActionRun, Args: []string{"one"}}); status != 0 || out != "ran with blue one\n" || err != nil {
		t.Errorf("pulled again it says %q, status %d, %v", out, status, err)
	}
}
