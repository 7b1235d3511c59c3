package main

import (
	"encoding/json"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"carrel/engine"
	"carrel/engine/image"
	"carrel/engine/progress"
	"carrel/internal/testroot"
)

// streamed is what a verb printed with --json: the events, and the last line.
type streamed struct {
	events []engine.Event
	Result json.RawMessage
	Error  *streamError
}

func readStream(t *testing.T, out string) streamed {
	t.Helper()
	var s streamed
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	for i, l := range lines {
		if i == len(lines)-1 {
			if err := json.Unmarshal([]byte(l), &s); err != nil {
				t.Errorf("last line %q: %v", l, err)
			}
			break
		}
		var e engine.Event
		if err := json.Unmarshal([]byte(l), &e); err != nil || e.Kind == "" || e.Time.IsZero() {
			t.Errorf("line %q: %v", l, err)
		}
		s.events = append(s.events, e)
	}
	return s
}

func (s streamed) has(kind progress.Kind, step progress.Step, text string) bool {
	for _, e := range s.events {
		if e.Kind == kind && e.Step == step && strings.Contains(e.Text, text) {
			return true
		}
	}
	return false
}

// TestBuildStream reads what build --json prints, of a build that ends well, one that fails, and one that cannot begin.
func TestBuildStream(t *testing.T) {
	t.Setenv("CARREL_HOME", t.TempDir())
	dir := t.TempDir()
	definition := filepath.Join(dir, "Singularity")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(definition, []byte("Bootstrap: localimage\nFrom: "+testroot.Make(t)+"\n"+text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	target := filepath.Join(dir, "image.sif")
	write("%post\n    echo said\n")
	status, out, errs := call(t, "build", "--json", target, definition)
	s := readStream(t, out)
	var info engine.ImageInfo
	if err := json.Unmarshal(s.Result, &info); err != nil || info.Path != target || status != 0 || s.Error != nil {
		t.Errorf("status %d, result %s, %v", status, s.Result, err)
	}
	if !s.has(progress.Plan, "", "") || !s.has(progress.Start, progress.StepInstall, "") || !s.has(progress.Line, progress.StepInstall, "said") || !s.has(progress.Done, progress.StepPack, "MB") {
		t.Errorf("events are missing:\n%s", out)
	}
	if errs != "" {
		t.Errorf("the same is told on standard error: %q", errs)
	}

	write("%post\n    echo before\n    exit 3\n")
	status, out, errs = call(t, "build", "--json", target, definition)
	s = readStream(t, out)
	if status != exitFailure || s.Result != nil || s.Error == nil {
		t.Fatalf("status %d\n%s", status, out)
	}
	e := *s.Error
	if e.Step != "install" || e.Section != "%post" || e.Line != 5 || !e.Kept || e.Log == "" || !strings.Contains(e.Message, "exit status 3") ||
		!strings.Contains(e.Hint, "carrel debug") || !strings.Contains(strings.Join(e.Lines, "\n"), "\nbefore\n") {
		t.Errorf("error %+v", e)
	}
	if !s.has(progress.Failed, progress.StepInstall, "exit status 3") || !strings.Contains(errs, "exit status 3") {
		t.Errorf("the failure is not told\n%s\n%s", out, errs)
	}

	status, out, _ = call(t, "build", "--json", target, filepath.Join(dir, "none"))
	if s = readStream(t, out); status != exitFailure || s.Error == nil || s.Error.Message == "" {
		t.Errorf("status %d\n%s", status, out)
	}
}

// TestPushAndPull sends an image to a registry in both forms and gets it back.
func TestPushAndPull(t *testing.T) {
	t.Setenv("CARREL_HOME", t.TempDir())
	srv := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.WriteFile("Singularity", []byte("Bootstrap: scratch\n%labels\n    A b\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if status, _, errs := call(t, "build", "-q", "tool.sif", "Singularity"); status != 0 || errs != "" {
		t.Fatalf("build: %d, %q", status, errs)
	}
	original, err := os.ReadFile("tool.sif")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		scheme, file string
		same         bool // byte for byte
	}{{"docker", "tool_1.0.sif", false}, {"oras", "tool_sif.sif", true}} {
		ref := tt.scheme + "://" + host + "/lab/tool:" + strings.TrimSuffix(strings.TrimPrefix(tt.file, "tool_"), ".sif")
		status, out, errs := call(t, "push", "tool.sif", ref)
		exactly := strings.TrimSpace(out)
		if status != 0 || !strings.Contains(exactly, "@sha256:") || !strings.Contains(errs, "carrel pull "+ref) {
			t.Fatalf("push to %s: %d, %q, %q", ref, status, out, errs)
		}
		_, digest, _ := strings.Cut(exactly, "@")
		status, out, errs = call(t, "pull", ref)
		if status != 0 || out != digest+"  "+tt.file+"\n" || !strings.Contains(errs, "carrel run "+tt.file) {
			t.Errorf("pull %s: %d, %q, %q", ref, status, out, errs)
		}
		if status, _, errs := call(t, "pull", ref); status != exitFailure || !strings.Contains(errs, "--force") {
			t.Errorf("pull %s again: %d, %q", ref, status, errs)
		}
		if got, err := os.ReadFile(tt.file); err != nil || tt.same && string(got) != string(original) {
			t.Errorf("%s: %d bytes of %d, %v", tt.file, len(got), len(original), err)
		}
		status, out, _ = call(t, "pull", "--json", "again.sif", exactly)
		var got engine.Pulled
		s := readStream(t, out)
		if err := json.Unmarshal(s.Result, &got); err != nil || status != 0 || got.Digest != digest || got.Ref != exactly || got.Path != filepath.Join(dir, "again.sif") {
			t.Errorf("pull --json: %d, %v\n%s", status, err, out)
		}
		status, out, _ = call(t, "push", "--json", "again.sif", ref)
		var sent engine.Pushed
		s = readStream(t, out)
		if err := json.Unmarshal(s.Result, &sent); err != nil || status != 0 || sent.Ref != ref || !strings.HasPrefix(sent.Digest, "sha256:") || !s.has(progress.Done, progress.StepPush, "sent") {
			t.Errorf("push --json: %d, %v\n%s", status, err, out)
		}
		if err := os.Remove("again.sif"); err != nil {
			t.Error(err)
		}
	}
	status, out, errs := call(t, "pull", "--json", "docker://"+host+"/lab/none:1")
	if s := readStream(t, out); status != exitFailure || s.Error == nil || s.Error.Hint == "" || !strings.Contains(errs, "not found") {
		t.Errorf("pull of nothing: %d, %q, %q", status, out, errs)
	}
	for _, args := range [][]string{{"push", "tool.sif", "https://" + host + "/x"}, {"push", "none.sif", "docker://" + host + "/x:1"}} {
		if status, _, errs := call(t, args...); status != exitFailure || !strings.Contains(errs, "→") {
			t.Errorf("%q: %d, %q", args, status, errs)
		}
	}
}

// TestPlatform builds of a registry's image for two platforms, into both kinds of form.
func TestPlatform(t *testing.T) {
	t.Setenv("CARREL_HOME", t.TempDir())
	srv := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	index := v1.ImageIndex(empty.Index)
	for _, arch := range []string{"amd64", "arm64"} {
		layer, err := random.Layer(1000, types.OCILayer)
		if err != nil {
			t.Fatal(err)
		}
		img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: arch, RootFS: v1.RootFS{Type: "layers"}})
		if err == nil {
			img, err = mutate.AppendLayers(img, layer)
		}
		if err != nil {
			t.Fatal(err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
	}
	tag, err := name.NewTag(host + "/lab/tool:1")
	if err == nil {
		err = remote.WriteIndex(tag, index)
	}
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, arch := range []string{"amd64", "arm64"} {
		for _, form := range []string{"sif", "oci-archive"} {
			target := filepath.Join(dir, arch+"."+form)
			if status, _, errs := call(t, "build", "-q", "--platform", "linux/"+arch, "--format", form, target, "docker://"+tag.String()); status != 0 {
				t.Errorf("%s %s: %d, %s", arch, form, status, errs)
				continue
			}
			if form != "sif" { // whose images for others are not opened
				if data, err := os.ReadFile(target); err != nil || !strings.Contains(string(data), `"architecture":"`+arch+`"`) {
					t.Errorf("%s: the archive is of another one, %v", arch, err)
				}
				continue
			}
			img, err := image.Open(target)
			if err != nil || img.Arch != arch {
				t.Errorf("%s: %+v, %v", arch, img, err)
				continue
			}
			img.Close()
		}
	}
	status, _, errs := call(t, "build", "--platform", "linux/s390x", filepath.Join(dir, "x.sif"), "docker://"+tag.String())
	if status != exitFailure || !strings.Contains(errs, "not available for this platform") {
		t.Errorf("a platform that there is not: %d, %q", status, errs)
	}
}

func TestSectionNames(t *testing.T) {
	for _, args := range [][]string{{"build", "--section", "psot"}, {"build", "--section", "post,lables"}} {
		status, _, errs := call(t, append(args, "x.sif", "nowhere.def")...)
		if status != exitUsage || !strings.Contains(errs, "is not known") || !strings.Contains(errs, "runscript") {
			t.Errorf("%q: %d, %q", args, status, errs)
		}
	}
}
