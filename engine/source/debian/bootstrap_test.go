package debian

import (
	"archive/tar"
	"cmp"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"carrel/internal/debtest"
)

// base is a package every test archive has.
func base(version string) debtest.Package {
	return debtest.Package{
		Name: "base-files", Version: version, Fields: map[string]string{"Essential": "yes", "Priority": "required"},
		Files:   []tar.Header{debtest.Dir("./"), debtest.Dir("./etc/"), debtest.Dir("./usr/"), debtest.Dir("./usr/bin/"), debtest.File("./etc/issue"), debtest.File("./usr/bin/true")},
		Content: map[string]string{"./etc/issue": "Test 1\n", "./usr/bin/true": strings.Repeat("true ", 2000)},
		Members: map[string]string{"conffiles": "/etc/issue\nremove-on-upgrade /etc/gone\n"},
	}
}

func apt() debtest.Package {
	return debtest.Package{
		Name: "apt", Version: "2.6", Fields: map[string]string{"Depends": "libapt (>= 2)", "Architecture": "amd64"}, Compression: "zst",
		Files: []tar.Header{debtest.Dir("./"), debtest.Dir("./usr"), debtest.Dir("./usr/bin"), debtest.File("./usr/bin/apt")},
	}
}

func libapt() debtest.Package {
	return debtest.Package{
		Name: "libapt", Version: "2:2.6", Fields: map[string]string{"Multi-Arch": "same", "Architecture": "amd64"}, Compression: "gz",
		Files:   []tar.Header{debtest.Dir("./usr/lib/"), debtest.File("./usr/lib/libapt.so.6"), debtest.Symlink("./usr/lib/libapt.so", "libapt.so.6"), debtest.Link("./usr/lib/libapt.a", "./usr/lib/libapt.so.6")},
		Members: map[string]string{"triggers": "# comment\ninterest-noawait /usr/lib\ninterest ldconfig\nactivate other\n"},
	}
}

// setup is one bootstrap from a test archive.
type setup struct {
	mirror *debtest.Mirror
	opts   Options
	spec   Spec
	runner *stateRunner

	mu     sync.Mutex
	events []Event
}

func newSetup(t *testing.T, packages ...debtest.Package) *setup {
	t.Helper()
	if packages == nil {
		packages = []debtest.Package{base("12"), apt(), libapt()}
	}
	s := &setup{mirror: debtest.NewMirror(t, "test", "amd64", packages...)}
	s.opts = Options{
		Cache: t.TempDir(), Mirror: s.mirror.URL, Keyrings: []string{s.mirror.Keyring},
		Transport: &http.Transport{}, Now: func() time.Time { return debtest.Date.Add(time.Hour) },
		Events: func(e Event) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.events = append(s.events, e)
		},
	}
	s.spec = Spec{Suite: "test", Arch: "amd64"}
	t.Cleanup(s.opts.Transport.(*http.Transport).CloseIdleConnections)
	return s
}

func (s *setup) warnings() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, e := range s.events {
		if e.Kind == EventWarning {
			b.WriteString(e.Text + "\n")
		}
	}
	return b.String()
}

// install makes the root and returns its folder.
func (s *setup) install(t *testing.T) (string, *Report, error) {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	s.runner = &stateRunner{root: root}
	p, err := Prepare(t.Context(), s.opts, s.spec)
	if err != nil {
		return root, nil, err
	}
	p.fetch.backOff = func(int) time.Duration { return 0 }
	report, err := p.Install(t.Context(), root, s.runner)
	return root, report, err
}

// stateRunner stands for a container in which every script succeeds: it sets the state dpkg would set.
type stateRunner struct {
	root   string
	script string
	env    []string
	fail   error
}

func (r *stateRunner) Run(_ context.Context, c Command) error {
	b, err := io.ReadAll(c.Stdin)
	if err != nil {
		return err
	}
	r.script, r.env = string(b), c.Env
	if _, err := os.Stat(filepath.Join(r.root, policyFile)); err != nil {
		return err
	}
	if r.fail != nil {
		return r.fail
	}
	status := filepath.Join(r.root, statusFile)
	text, err := os.ReadFile(status)
	if err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(r.root, archivesDir, "*.deb"))
	if err != nil {
		return err
	}
	for _, deb := range debs {
		name, _, _ := strings.Cut(filepath.Base(deb), "_")
		text = append(text, "Package: "+name+"\nStatus: install ok unpacked\n\n"...)
	}
	return os.WriteFile(status, []byte(strings.ReplaceAll(string(text), "install ok unpacked", "install ok installed")), 0o644)
}

func sum(b []byte) [32]byte { return sha256.Sum256(b) }

func read(t *testing.T, parts ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestInstall(t *testing.T) {
	s := newSetup(t)
	root, report, err := s.install(t)
	if err != nil {
		t.Fatal(err)
	}
	if w := s.warnings(); w != "" {
		t.Error(w)
	}
	var names []string
	for _, p := range report.Packages {
		names = append(names, p.Name+" "+p.Version+" "+p.Arch)
	}
	if got := strings.Join(names, ", "); got != "apt 2.6 amd64, base-files 12 all, libapt 2:2.6 amd64" {
		t.Errorf("got packages %s", got)
	}
	for name, want := range map[string]string{
		"etc/issue":                           "Test 1\n",
		"usr/bin/true":                        strings.Repeat("true ", 2000),
		"var/lib/dpkg/info/base-files.list":   "/.\n/etc\n/usr\n/usr/bin\n/etc/issue\n/usr/bin/true\n",
		"var/lib/dpkg/info/libapt:amd64.list": "/usr/lib\n/usr/lib/libapt.so.6\n/usr/lib/libapt.so\n/usr/lib/libapt.a\n",
		"var/lib/dpkg/triggers/File":          "/usr/lib libapt:amd64/noawait\n",
		"var/lib/dpkg/triggers/ldconfig":      "libapt:amd64\n",
		"var/lib/dpkg/arch":                   "amd64\n",
		"var/lib/apt/extended_states":         "Package: libapt\nArchitecture: amd64\nAuto-Installed: 1\n\n",
		"etc/apt/sources.list":                "deb [signed-by=/etc/apt/keyrings/archive-1.gpg] " + s.mirror.URL + " test main\n",
		"etc/apt/keyrings/archive-1.gpg":      read(t, s.mirror.Keyring),
	} {
		if got := read(t, root, name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	status := read(t, root, statusFile)
	if want := fmt.Sprintf("Conffiles:\n /etc/issue %x\n /etc/gone newconffile remove-on-upgrade\n", md5.Sum([]byte("Test 1\n"))); !strings.Contains(status, want) {
		t.Errorf("got status\n%s", status)
	}
	if _, err := os.Lstat(filepath.Join(root, policyFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("policy-rc.d remains: %v", err)
	}
	a, errA := os.Stat(filepath.Join(root, "usr/lib/libapt.so.6"))
	b, errB := os.Stat(filepath.Join(root, "usr/lib/libapt.a"))
	if errA != nil || errB != nil || !os.SameFile(a, b) || !a.ModTime().Equal(debtest.Date) {
		t.Errorf("hard link and time: %v %v %v", a, errA, errB)
	}
	if !slices.Contains(s.runner.env, "DEBIAN_FRONTEND=noninteractive") {
		t.Errorf("got environment %v", s.runner.env)
	}
	assertNothingPartial(t, s.opts.Cache)
}

// assertNothingPartial checks that every file of a cache is whole.
func assertNothingPartial(t *testing.T, cache string) {
	t.Helper()
	err := filepath.WalkDir(cache, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		switch name := d.Name(); {
		case isSHA256(name):
			info, err := d.Info()
			if err != nil {
				return err
			}
			return checkFile(p, indexFile{size: info.Size(), sha256: name})
		case strings.HasSuffix(name, ".json"):
		default:
			t.Errorf("the cache holds %s", p)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestInstallRefuses(t *testing.T) {
	deb := "pool/main/apt/apt_2.6_amd64.deb"
	release := "dists/test/InRelease"
	for _, test := range []struct {
		name   string
		damage func(t *testing.T, s *setup)
		want   func(err error) bool
		text   string
	}{
		{"an altered index", func(t *testing.T, s *setup) {
			s.mirror.Set(release, []byte(strings.Replace(string(s.mirror.Get(release)), "Origin: Test", "Origin: Tost", 1)))
		}, is(ErrBadSignature), "signature does not match"},
		{"text after the signature", func(t *testing.T, s *setup) {
			s.mirror.Set(release, append(s.mirror.Get(release), "Origin: Evil\n"...))
		}, is(ErrBadSignature), "outside"},
		{"text before the signature", func(t *testing.T, s *setup) {
			s.mirror.Set(release, append([]byte("Origin: Evil\n\n"), s.mirror.Get(release)...))
		}, is(ErrBadSignature), "outside"},
		{"a key nobody knows", func(t *testing.T, s *setup) { s.opts.Keyrings = []string{} }, is(ErrNoKey), "none of the keyrings"},
		{"no signature", func(t *testing.T, s *setup) {
			s.mirror.DetachSignature()
			s.mirror.Set("dists/test/Release.gpg", nil)
		}, is(ErrUnsigned), "not signed"},
		{"an index out of date", func(t *testing.T, s *setup) {
			s.mirror.Publish("amd64", "Valid-Until: Sun, 12 Jul 2026 10:16:37 UTC\n", base("12"), apt(), libapt())
			s.opts.Now = func() time.Time { return debtest.Date.Add(48 * time.Hour) }
		}, as[*ExpiredError], "valid until"},
		{"no such suite", func(t *testing.T, s *setup) { s.spec.Suite = "tset" }, is(ErrNotFound), "find suite tset"},
		{"no such component", func(t *testing.T, s *setup) { s.spec.Components = []string{"universe"} }, nil, "no component universe, only main"},
		{"no such architecture", func(t *testing.T, s *setup) { s.spec.Arch = "riscv64" }, nil, "no packages for riscv64, only for amd64"},
		{"a changed package", func(t *testing.T, s *setup) {
			b := s.mirror.Get(deb)
			b[len(b)/2] ^= 1
			s.mirror.Set(deb, b)
		}, as[*HashError], "sha256"},
		{"a truncated package", func(t *testing.T, s *setup) {
			b := s.mirror.Get(deb)
			s.mirror.Set(deb, b[:len(b)-10])
		}, as[*HashError], "bytes"},
		{"a package too long", func(t *testing.T, s *setup) { s.mirror.Set(deb, append(s.mirror.Get(deb), 0)) }, as[*HashError], "bytes"},
		{"a package that is gone", func(t *testing.T, s *setup) { s.mirror.Set(deb, nil) }, is(ErrNotFound), "status 404"},
		{"a server in trouble", func(t *testing.T, s *setup) { s.mirror.Refuse(deb, 500, 502, 503, 504, 500) }, as[*StatusError], "status 500"},
		{"a missing package", func(t *testing.T, s *setup) { s.spec.Include = []string{"libpat"} }, as[*MissingError], "libpat is not in test"},
		{"a name that is no package", func(t *testing.T, s *setup) { s.spec.Include = []string{"../x"} }, nil, "no package name"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newSetup(t)
			test.damage(t, s)
			_, _, err := s.install(t)
			if err == nil || test.want != nil && !test.want(err) || !strings.Contains(err.Error(), test.text) {
				t.Fatalf("got %v, want %s", err, test.text)
			}
			if hint, ok := errorHint(err); test.want != nil && test.text[:3] != "sta" && (!ok || hint == "") {
				t.Errorf("%v: no hint", err)
			}
			assertNothingPartial(t, s.opts.Cache)
		})
	}
}

func errorHint(err error) (string, bool) {
	var h interface{ Hint() string }
	if !errors.As(err, &h) {
		return "", false
	}
	return h.Hint(), true
}

func is(target error) func(error) bool { return func(err error) bool { return errors.Is(err, target) } }

func as[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

func TestInstallAllows(t *testing.T) {
	for _, test := range []struct {
		name    string
		prepare func(s *setup)
		sources string // options in sources.list
		warning string
	}{
		{"Release.gpg", func(s *setup) { s.mirror.DetachSignature() }, "[signed-by=/etc/apt/keyrings/archive-1.gpg] ", ""},
		{"unsigned when asked to", func(s *setup) {
			s.mirror.DetachSignature()
			s.mirror.Set("dists/test/Release.gpg", nil)
			s.spec.AllowUnsigned = true
		}, "[trusted=yes] ", "not signed"},
		{"an unknown key when asked to", func(s *setup) { s.opts.Keyrings, s.spec.AllowUnsigned = []string{}, true }, "[trusted=yes] ", "none of the keyrings"},
		{"an expired index when asked to", func(s *setup) {
			s.mirror.Publish("amd64", "Valid-Until: Sun, 12 Jul 2026 10:16:37 UTC\n", base("12"), apt(), libapt())
			s.opts.Now = func() time.Time { return debtest.Date.Add(480 * time.Hour) }
			s.spec.AllowExpired = true
		}, "[signed-by=/etc/apt/keyrings/archive-1.gpg check-valid-until=no] ", ""},
		{"a keyring the host names for the source", func(s *setup) {
			s.opts.Mirror, s.opts.Keyrings = "", []string{}
			s.opts.Host = []Source{{URI: s.mirror.URL, Suite: "test", SignedBy: []string{s.mirror.Keyring}}, {URI: s.mirror.URL, Suite: "test-updates"}}
		}, "[signed-by=/etc/apt/keyrings/archive-1.gpg] ", ""},
		{"a server in trouble for a while", func(s *setup) { s.mirror.Refuse("pool/main/apt/apt_2.6_amd64.deb", 503, 429) }, "[signed-by=/etc/apt/keyrings/archive-1.gpg] ", ""},
		{"a connection that breaks", func(s *setup) { s.mirror.Cut("pool/main/apt/apt_2.6_amd64.deb", 100) }, "[signed-by=/etc/apt/keyrings/archive-1.gpg] ", ""},
		{"a mirror that is a folder", func(s *setup) { s.opts.Mirror = s.mirror.Folder() }, "[signed-by=/etc/apt/keyrings/archive-1.gpg] ", ""},
		{"another suite's name", func(s *setup) {
			text, _, _, _ := openInRelease(s.mirror.Get("dists/test/InRelease"))
			s.mirror.SignRelease(strings.ReplaceAll(string(text), ": test\n", ": other\n"))
		}, "[signed-by=/etc/apt/keyrings/archive-1.gpg] ", "says it is suite other"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newSetup(t)
			test.prepare(s)
			_, report, err := s.install(t)
			if err != nil {
				t.Fatal(err)
			}
			if want := "deb " + test.sources + cmp.Or(s.opts.Mirror, s.mirror.URL) + " test main\n"; report.SourcesList != want {
				t.Errorf("got sources %q, want %q", report.SourcesList, want)
			}
			if w := s.warnings(); (w == "") != (test.warning == "") || !strings.Contains(w, test.warning) {
				t.Errorf("got warnings %q, want %q", w, test.warning)
			}
		})
	}
}

func TestKey(t *testing.T) {
	s := newSetup(t)
	key := func() string {
		t.Helper()
		p, err := Prepare(t.Context(), s.opts, s.spec)
		if err != nil {
			t.Fatal(err)
		}
		return p.Key()
	}
	first := key()
	if again := key(); again != first {
		t.Errorf("an unchanged archive gives %s, then %s", first, again)
	}
	if n := s.mirror.Asked("dists/test/main"); n != 0 {
		t.Errorf("%d package indexes were read for a key", n)
	}
	s.spec.Include = []string{"libapt", "apt"}
	both := key()
	s.spec.Include = []string{"apt", "libapt", "apt"}
	if got := key(); got != both || got == first {
		t.Errorf("included packages: got %s, %s, %s", first, both, got)
	}
	s.spec.Include = nil
	s.mirror.Publish("amd64", "", base("13"), apt(), libapt())
	if got := key(); got == first {
		t.Error("a changed archive gives the same key")
	}
}

func TestOffline(t *testing.T) {
	s := newSetup(t)
	p, err := Prepare(t.Context(), s.opts, s.spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.opts.Transport = roundTripper(func(*http.Request) (*http.Response, error) { return nil, errors.New("no network") })
	again, err := Prepare(t.Context(), s.opts, s.spec)
	if err != nil {
		t.Fatal(err)
	}
	if again.Key() != p.Key() {
		t.Errorf("got key %s, want %s", again.Key(), p.Key())
	}
	if w := s.warnings(); !strings.Contains(w, "no network; its last index is used") {
		t.Errorf("got warnings %q", w)
	}
	root := filepath.Join(t.TempDir(), "root")
	if _, err := again.Install(t.Context(), root, &stateRunner{root: root}); err != nil {
		t.Errorf("install from the cache: %v", err)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestDamagedCache(t *testing.T) {
	s := newSetup(t)
	if _, _, err := s.install(t); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(s.opts.Cache, "sha256/*/*"))
	if err != nil || len(files) < 4 {
		t.Fatalf("got %v, %v", files, err)
	}
	for _, f := range files {
		if err := os.WriteFile(f, []byte("damaged"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := s.install(t); err != nil {
		t.Fatal(err)
	}
	if w := s.warnings(); strings.Count(w, "is damaged") != len(files) {
		t.Errorf("got warnings %q", w)
	}
	assertNothingPartial(t, s.opts.Cache)
}

func TestCancel(t *testing.T) {
	for _, kind := range []EventKind{EventIndex, EventResolved, EventFetched, EventUnpacked, EventConfigure} {
		s := newSetup(t)
		ctx, cancel := context.WithCancel(t.Context())
		s.opts.Events = func(e Event) {
			if e.Kind == kind {
				cancel()
			}
		}
		p, err := Prepare(ctx, s.opts, s.spec)
		if err == nil {
			root := filepath.Join(t.TempDir(), "root")
			_, err = p.Install(ctx, root, &stateRunner{root: root})
		}
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled at %s: got %v", kind, err)
		}
		assertNothingPartial(t, s.opts.Cache)
	}
}

func TestConfigureFailure(t *testing.T) {
	s := newSetup(t)
	p, err := Prepare(t.Context(), s.opts, s.spec)
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(t.TempDir(), "root")
	cause := errors.New("exit status 1")
	_, err = p.Install(t.Context(), root, &stateRunner{root: root, fail: cause})
	var configure *ConfigureError
	if !errors.As(err, &configure) || !errors.Is(err, cause) || len(configure.Packages) != 3 || configure.Hint() == "" {
		t.Errorf("got %v", err)
	}
}

func TestScript(t *testing.T) {
	pkg := func(name, depends, preinst string) debtest.Package {
		p := debtest.Package{Name: name, Version: "1:1", Fields: map[string]string{"Depends": depends}}
		if preinst != "" {
			p.Members = map[string]string{"preinst": preinst}
		}
		return p
	}
	trivial := "#!/bin/sh\nset -e\n# Automatically added\ndpkg-maintscript-helper rm_conffile /etc/x 1~ x -- \"$@\"\n\nexit 0\n"
	b := base("12")
	b.Members["preinst"] = "#!/bin/sh\ntrue\n"
	s := newSetup(t, b, apt(), libapt(), pkg("plain", "", trivial), pkg("late", "below", "#!/bin/sh\nadduser late\n"), pkg("below", "", "#!/bin/sh\ntrue\n"), pkg("above", "late", ""))
	s.spec.Include = []string{"plain", "above"}
	root, _, err := s.install(t)
	if err != nil {
		t.Fatal(err)
	}
	var commands []string
	for line := range strings.Lines(s.runner.script) {
		for _, word := range []string{"base-files.preinst' install", "--configure ", "--unpack "} {
			if i := strings.Index(line, word); i >= 0 {
				commands = append(commands, strings.TrimSpace(strings.TrimSuffix(line[i:], "</dev/null\n")))
			}
		}
	}
	want := []string{
		"base-files.preinst' install",
		"--configure base-files libapt apt",
		"--configure plain",
		"--unpack '/var/cache/apt/archives/late_1%3a1_all.deb' '/var/cache/apt/archives/below_1%3a1_all.deb'",
		"--configure below late above",
		"--configure -a",
	}
	if !slices.Equal(commands, want) {
		t.Errorf("got %q from script\n%s", commands, s.runner.script)
	}
	if _, err := os.Stat(filepath.Join(root, "var/lib/dpkg/info/late.list")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a deferred package was unpacked: %v", err)
	}
	if debs, _ := filepath.Glob(filepath.Join(root, archivesDir, "*")); len(debs) != 0 {
		t.Errorf("package files remain: %v", debs)
	}
}

func TestEvents(t *testing.T) {
	s := newSetup(t)
	if _, _, err := s.install(t); err != nil {
		t.Fatal(err)
	}
	count := map[EventKind]int{}
	var last Event
	for _, e := range s.events {
		count[e.Kind]++
		if e.Kind == EventFetched && e.N == e.Total {
			last = e
		}
	}
	want := map[EventKind]int{EventIndex: 1, EventResolved: 1, EventFetched: 3, EventUnpacked: 3, EventConfigure: 1}
	if !maps.Equal(count, want) {
		t.Errorf("got events %v, want %v", count, want)
	}
	if last.Total != 3 || last.TotalBytes == 0 {
		t.Errorf("got last event %+v", last)
	}
}
