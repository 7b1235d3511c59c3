package debian

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// realOptions reads this machine's own sources, and skips where their mirror cannot be reached.
func realOptions(t *testing.T) Options {
	t.Helper()
	if testing.Short() {
		t.Skip("missing: time (-short)")
	}
	host, err := HostSources(os.DirFS("/etc/apt"))
	if err != nil {
		t.Log(err)
	}
	sources, err := ChooseSources(Choice{Suite: "bookworm", Arch: hostArch, Host: host})
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Timeout: 10 * time.Second}
	res, err := client.Head(sources[0].URI + "/dists/bookworm/InRelease")
	if err != nil || res.StatusCode != http.StatusOK {
		t.Skip("missing: debian mirror")
	}
	res.Body.Close()
	cache := os.Getenv("CARREL_TEST_CACHE")
	if cache == "" {
		if cache, err = os.UserCacheDir(); err != nil {
			t.Skip("missing: cache folder")
		}
		cache = filepath.Join(cache, "carrel-test")
	}
	return Options{
		Cache: filepath.Join(cache, "debian"), Host: host,
		Events: func(e Event) {
			if e.Kind == EventWarning {
				t.Log("warning: " + e.Text)
			}
		},
	}
}

func TestBootstrapRealSuite(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("missing: root")
	}
	opts := realOptions(t)
	start := time.Now()
	step := func(name string) {
		t.Logf("%-10s %v", name, time.Since(start).Round(time.Millisecond))
		start = time.Now()
	}
	var resolved time.Time
	next := opts.Events
	opts.Events = func(e Event) {
		switch e.Kind {
		case EventResolved:
			resolved = time.Now()
			t.Logf("resolved: %d packages, %d bytes, after %v", e.Total, e.TotalBytes, resolved.Sub(start))
		case EventConfigure:
			t.Logf("configure begins after %v", time.Since(start))
		}
		next(e)
	}
	spec := Spec{Suite: "bookworm"}
	if v := os.Getenv("X_SUITE"); v != "" {
		spec.Suite = v
	}
	spec.MirrorURL = os.Getenv("X_MIRROR")
	spec.AllowUnsigned = spec.MirrorURL != ""
	spec.Include = strings.Fields(os.Getenv("X_INC"))
	p, err := Prepare(t.Context(), opts, spec)
	if err != nil {
		t.Fatal(err)
	}
	step("prepare")
	root := filepath.Join(t.TempDir(), "root")
	runner := &chrootRunner{root: root}
	report, err := p.Install(t.Context(), root, runner)
	if err != nil {
		t.Fatalf("%v\n%s", err, runner.log.String())
	}
	step("install")
	if os.Getenv("X_LOG") != "" {
		t.Log(runner.log.String())
	}
	t.Logf("%d packages, %d bytes, %d owners ignored, sources:\n%s", len(report.Packages), report.Size, report.IgnoredOwners, report.SourcesList)
	if keep := os.Getenv("CARREL_TEST_KEEP"); keep != "" {
		if err := os.Rename(root, keep); err != nil {
			t.Fatal(err)
		}
	}
}
