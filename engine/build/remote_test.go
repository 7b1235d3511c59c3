package build_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"carrel/engine"
	"carrel/engine/build"
)

func TestFromWeb(t *testing.T) {
	k := newKit(t)
	img, _ := k.build(header+"%runscript\n    echo from afar\n", engine.BuildSpec{Target: "served.sif"})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/images/served.sif":
			http.ServeFile(w, r, img.Path)
		case "/images/page.sif":
			_, _ = w.Write([]byte("<html>sign in</html>"))
		case "/images/cut.sif":
			w.Header().Set("Content-Length", "1000000")
			_, _ = w.Write([]byte("short"))
		default:
			http.NotFound(w, r)
		}
	}))
	defer srv.Close()
	ev := &events{}
	info, err := k.Build(t.Context(), engine.BuildSpec{Definition: srv.URL + "/images/served.sif", Target: "got.sif"}, ev.sink)
	if err != nil {
		t.Fatalf("%v\n%s", err, ev.log(""))
	}
	if out, _ := k.out(engine.RunSpec{Image: info.Path}); out != "from afar\n" {
		t.Errorf("run: %q", out)
	}
	for path, want := range map[string]string{"/images/none.sif": "404", "/images/page.sif": "page.sif", "/images/cut.sif": "EOF"} {
		if _, err := k.Build(t.Context(), engine.BuildSpec{Definition: srv.URL + path, Target: "x.sif"}, ev.sink); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", path, err)
		}
	}
	k.workEmpty()
}

// TestFromDaemon has a daemon that answers as Docker's does.
func TestFromDaemon(t *testing.T) {
	k := newKit(t)
	archive := filepath.Join(k.dir, "saved.tar")
	tag, err := name.NewTag("lab/tool:1.0")
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.WriteToFile(archive, tag, ociImage(t)); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(k.dir, "docker.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/images/lab/tool:1.0/get" {
			http.NotFound(w, r)
			return
		}
		http.ServeFile(w, r, archive)
	})}
	go srv.Serve(l)
	defer srv.Close()
	run := func(from, host string) (build.Result, error) {
		t.Helper()
		spec := build.Spec{
			Text: "Bootstrap: docker-daemon\nFrom: " + from + "\n", Name: "daemon", Folders: []string{k.cwd}, Target: filepath.Join(k.cwd, "image.sif"),
			Cache: k.config.CacheDir, Work: filepath.Join(k.config.CacheDir, "work"), IDKind: "root", Force: true, DockerHost: host,
		}
		// Nothing is executed, so that neither a worker nor its rights are needed.
		return build.Run(context.Background(), spec, nil)
	}
	res, err := run("lab/tool:1.0", "unix://"+socket)
	if err != nil {
		t.Fatal(err)
	}
	if out, _ := k.out(engine.RunSpec{Image: res.Path}); out != "serving hello you: a b c\n" {
		t.Errorf("run: %q", out)
	}
	if _, err := run("lab/none:1.0", "unix://"+socket); err == nil || !strings.Contains(err.Error(), "not found") {
		t.Errorf("missing image: %v", err)
	}
	var de *build.DaemonError
	if _, err := run("lab/tool:1.0", "unix://"+filepath.Join(k.dir, "nowhere.sock")); !errors.As(err, &de) || de.Hint() == "" {
		t.Errorf("missing daemon: %v", err)
	}
	if _, err := run("lab/tool:1.0", "ssh://somewhere"); !errors.As(err, &de) || !strings.Contains(err.Error(), "ssh") {
		t.Errorf("a daemon far away: %v", err)
	}
	// Over the network, by the engine, and into another form.
	far := httptest.NewServer(srv.Handler)
	defer far.Close()
	k.config.DockerHost = strings.Replace(far.URL, "http:", "tcp:", 1)
	k.start()
	info, err := k.Convert(t.Context(), engine.BuildSpec{Definition: "docker-daemon:lab/tool:1.0", Target: "image.tar"}, engine.FormatOCIArchive, nil)
	if err != nil || k.open(info.Path).OCI() == nil {
		t.Errorf("converted: %+v, %v", info, err)
	}
	k.workEmpty()
}

func TestHubThatIsGone(t *testing.T) {
	k := newKit(t)
	ev := &events{}
	_, err := k.Build(t.Context(), engine.BuildSpec{Definition: "shub://lab/tool", Target: "x.sif"}, ev.sink)
	if err == nil || !strings.Contains(engine.Hint(err), "Singularity Hub") {
		t.Errorf("got %v, hint %q", err, engine.Hint(err))
	}
}

// TestProvenanceNamesDigests: what an image was made of can be told exactly.
func TestProvenanceNamesDigests(t *testing.T) {
	k := newKit(t)
	ref := push(t, ociImage(t))
	ev := &events{}
	info, err := k.Build(t.Context(), engine.BuildSpec{Definition: "docker://" + ref, Target: "x.sif"}, ev.sink)
	if err != nil {
		t.Fatal(err)
	}
	data, err := k.Provenance(t.Context(), info.Path)
	if err != nil {
		t.Fatal(err)
	}
	var p build.Provenance
	if err := json.Unmarshal(data, &p); err != nil || len(p.Bases) != 1 || !strings.Contains(p.Bases[0].From, "@sha256:") || p.Key == "" {
		t.Errorf("got %s, %v", data, err)
	}
}
