package debian

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// realOptions reads this machine's own sources, and skips where their mirror cannot be reached.
func realOptions(t testing.TB, suite string) Options {
	t.Helper()
	if testing.Short() {
		t.Skip("missing: time (-short)")
	}
	host, err := HostSources(os.DirFS("/etc/apt"))
	if err != nil {
		t.Log(err)
	}
	sources, err := ChooseSources(Choice{Suite: suite, Arch: hostArch, Host: host})
	if err != nil {
		t.Skip("missing: debian mirror")
	}
	client := http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	res, err := client.Head(sources[0].URI + "/dists/" + suite + "/InRelease")
	if err != nil {
		t.Skip("missing: debian mirror")
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Skip("missing: debian mirror")
	}
	cache := os.Getenv("CARREL_TEST_CACHE")
	if cache == "" {
		if cache, err = os.UserCacheDir(); err != nil {
			t.Skip("missing: cache folder")
		}
		cache = filepath.Join(cache, "carrel-test")
	}
	return Options{Cache: filepath.Join(cache, "debian"), Host: host}
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("missing: root")
	}
}

// bootstrap makes a root of a real suite in a folder and returns what was done.
func bootstrap(t testing.TB, opts Options, spec Spec, runner func(root string) *chrootRunner) (string, *Report) {
	t.Helper()
	start := time.Now()
	opts.Events = func(e Event) {
		switch e.Kind {
		case EventWarning:
			t.Log("warning: " + e.Text)
		case EventResolved, EventConfigure:
			t.Logf("%s after %v", e.Kind, time.Since(start).Round(time.Millisecond))
		}
	}
	p, err := Prepare(t.Context(), opts, spec)
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(t.TempDir(), "root")
	r := runner(root)
	report, err := p.Install(t.Context(), root, r)
	if err != nil {
		t.Fatalf("%v\n%s", err, r.log.String())
	}
	t.Logf("%d packages of %d bytes in %v", len(report.Packages), report.Size, time.Since(start).Round(time.Millisecond))
	return root, report
}

func asRoot(root string) *chrootRunner { return &chrootRunner{root: root} }

// different are files in which two bootstraps of the same suite may differ: they hold a date, an order that does not
// matter, a secret, or something of the machine that mmdebstrap copies in.
var different = []string{
	"dev/*", "etc/apt/sources.list", "etc/hostname", "etc/resolv.conf", "etc/shadow", "etc/shadow-", "etc/shells",
	"run/lock/subsys", "var/cache/apt/archives/lock", "var/cache/apt/archives/partial", "var/cache/debconf/*-old",
	"var/lib/apt/extended_states", "var/lib/apt/lists/lock", "var/lib/apt/lists/partial", "var/lib/dpkg/status-old",
	"var/lib/dpkg/triggers/File",
}

// inventory describes every object of a root in a line of its own: type, mode, owner, link and content.
func inventory(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		for _, pattern := range different {
			if ok, _ := filepath.Match(pattern, name); ok {
				return nil
			}
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		text := fmt.Sprintf("%v %d:%d", info.Mode(), st.Uid, st.Gid)
		switch {
		case info.Mode().IsRegular():
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			text += fmt.Sprintf(" %d bytes %x", len(b), sum(b))
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}
			text += " -> " + target
		}
		all[name] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestAsMmdebstrap makes the same root with mmdebstrap and compares packages and files.
func TestAsMmdebstrap(t *testing.T) {
	needRoot(t)
	tool, err := exec.LookPath("mmdebstrap")
	if err != nil {
		t.Skip("missing: mmdebstrap")
	}
	opts := realOptions(t, "bookworm")
	ours, report := bootstrap(t, opts, Spec{Suite: "bookworm"}, asRoot)
	theirs := filepath.Join(t.TempDir(), "mm")
	cmd := exec.CommandContext(t.Context(), tool, "--quiet", "--variant=minbase", "bookworm", theirs, "-")
	cmd.Stdin = strings.NewReader(report.SourcesList)
	start := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("mmdebstrap: %v\n%s", err, out)
	}
	t.Logf("mmdebstrap: %v", time.Since(start).Round(time.Millisecond))
	if a, b := read(t, ours, statusFile), read(t, theirs, statusFile); a != b {
		t.Errorf("the status files differ, in %d and %d bytes", len(a), len(b))
	}
	states := func(root string) []string {
		lines := strings.Split(read(t, root, "var/lib/apt/extended_states"), "\n\n")
		slices.Sort(lines)
		return lines
	}
	if a, b := states(ours), states(theirs); !slices.Equal(a, b) {
		t.Errorf("got states %q, want %q", a, b)
	}
	got, want := inventory(t, ours), inventory(t, theirs)
	for name, text := range want {
		if got[name] != text {
			t.Errorf("%s: got %q, mmdebstrap %q", name, got[name], text)
		}
	}
	for name, text := range got {
		if want[name] == "" {
			t.Errorf("%s: got %q, mmdebstrap nothing", name, text)
		}
	}
}

// TestIncludeWithPreinst installs packages of which some must be unpacked after others are configured.
func TestIncludeWithPreinst(t *testing.T) {
	needRoot(t)
	opts := realOptions(t, "trixie")
	root, report := bootstrap(t, opts, Spec{Suite: "trixie", Include: []string{"python3", "nginx-light", "ucf"}}, asRoot)
	if !slices.ContainsFunc(report.Packages, func(p InstalledPackage) bool { return p.Name == "python3-minimal" }) {
		t.Errorf("got packages %v", report.Packages)
	}
	r := asRoot(root)
	if err := r.Run(t.Context(), Command{Args: []string{"/usr/bin/python3", "-c", "import sys; print(sys.version_info[0])"}}); err != nil || r.log.String() != "3\n" {
		t.Errorf("python3: %v\n%s", err, r.log.String())
	}
	r.log.Reset()
	if err := r.Run(t.Context(), Command{Args: []string{"/usr/bin/dpkg", "--audit"}, Env: []string{"PATH=/usr/sbin:/usr/bin"}}); err != nil || r.log.Len() != 0 {
		t.Errorf("dpkg --audit: %v\n%s", err, r.log.String())
	}
}

// TestInNamespace makes a root as the root of a user namespace with many ids, and unpacks in one with a single id.
func TestInNamespace(t *testing.T) {
	opts := realOptions(t, "bookworm")
	p, err := Prepare(t.Context(), opts, Spec{Suite: "bookworm"})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		ids  int
	}{{"one id", 1}, {"many ids", 65536}} {
		t.Run(test.name, func(t *testing.T) {
			if test.ids > 1 {
				needRoot(t) // to map them without newuidmap
			}
			folder := t.TempDir()
			hostID, cache := os.Geteuid(), filepath.Dir(opts.Cache)
			if test.ids > 1 {
				// These ids cannot read this user's cache: they get one of their own.
				hostID, cache = 100000, filepath.Join(folder, "cache")
				if err := os.Chown(folder, hostID, hostID); err != nil {
					t.Fatal(err)
				}
				for dir := filepath.Dir(folder); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
					if err := os.Chmod(dir, 0o755); err != nil {
						t.Fatal(err)
					}
				}
			}
			cmd := exec.CommandContext(t.Context(), selfPath, "-test.run=^TestNamespaceHelper$", "-test.v")
			cmd.Env = append(os.Environ(), helperVariable+"="+folder, fmt.Sprintf("%sIDS=%d", helperVariable, test.ids), "CARREL_TEST_CACHE="+cache)
			cmd.SysProcAttr = &syscall.SysProcAttr{
				Cloneflags:  syscall.CLONE_NEWUSER,
				UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: hostID, Size: test.ids}},
				GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: hostID, Size: test.ids}},
				Credential:  &syscall.Credential{NoSetGroups: test.ids == 1},
			}
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			switch err := cmd.Start(); {
			case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EINVAL):
				t.Skip("missing: user namespaces")
			case err != nil:
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil || !strings.Contains(out.String(), "--- PASS: TestNamespaceHelper") {
				t.Errorf("%v\n%s", err, out.String())
			}
			t.Log(out.String())
		})
	}
}

const helperVariable = "DEBIAN_TEST_NAMESPACE"

// TestNamespaceHelper is the part of TestInNamespace that runs inside; by itself it is none.
func TestNamespaceHelper(t *testing.T) {
	folder := os.Getenv(helperVariable)
	if folder == "" {
		return
	}
	opts := realOptions(t, "bookworm")
	root := filepath.Join(folder, "root")
	p, err := Prepare(t.Context(), opts, Spec{Suite: "bookworm"})
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv(helperVariable+"IDS") != "1" {
		r := asRoot(root)
		report, err := p.Install(t.Context(), root, r)
		if err != nil {
			t.Fatalf("%v\n%s", err, r.log.String())
		}
		if report.IgnoredOwners != 0 {
			t.Errorf("%d owners were ignored", report.IgnoredOwners)
		}
		return
	}
	// With one id the scripts need a container that answers chown for them: here only the unpacking is asked.
	report, err := p.Install(t.Context(), root, unpackedOnly{root})
	if err != nil {
		t.Fatal(err)
	}
	if report.IgnoredOwners == 0 {
		t.Error("no owner was ignored")
	}
	if info, err := os.Stat(filepath.Join(root, "usr/bin/passwd")); err != nil || info.Mode() != 0o755|fs.ModeSetuid {
		t.Errorf("passwd: %v, %v", info, err)
	}
}

type unpackedOnly struct{ root string }

func (u unpackedOnly) Run(ctx context.Context, c Command) error {
	return (&stateRunner{root: u.root}).Run(ctx, c)
}

// BenchmarkBootstrap makes a minbase root of bookworm, with the packages in the cache already, and with mmdebstrap, which
// fetches them each time.
func BenchmarkBootstrap(b *testing.B) {
	needRoot(b)
	opts := realOptions(b, "bookworm")
	b.Run("carrel", func(b *testing.B) {
		for b.Loop() {
			bootstrap(b, opts, Spec{Suite: "bookworm"}, asRoot)
		}
	})
	b.Run("carrel-nothing-cached", func(b *testing.B) {
		for b.Loop() {
			empty := opts
			empty.Cache = b.TempDir()
			bootstrap(b, empty, Spec{Suite: "bookworm"}, asRoot)
		}
	})
	b.Run("mmdebstrap", func(b *testing.B) {
		if _, err := exec.LookPath("mmdebstrap"); err != nil {
			b.Skip("missing: mmdebstrap")
		}
		for b.Loop() {
			cmd := exec.CommandContext(b.Context(), "mmdebstrap", "--quiet", "--variant=minbase", "bookworm", filepath.Join(b.TempDir(), "mm"))
			if out, err := cmd.CombinedOutput(); err != nil {
				b.Fatalf("%v\n%s", err, out)
			}
		}
	})
	b.Run("prepare", func(b *testing.B) {
		for b.Loop() {
			if _, err := Prepare(b.Context(), opts, Spec{Suite: "bookworm"}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
