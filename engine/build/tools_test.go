package build_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/elf"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"carrel/engine"
	"carrel/engine/progress"
)

// need skips a test that a program of this computer is missing for.
func need(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip("missing: " + name)
		}
	}
}

// staticBusybox is a program that needs nothing else.
func staticBusybox(t testing.TB) string {
	t.Helper()
	p, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("missing: busybox-static")
	}
	f, err := elf.Open(p)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, prog := range f.Progs {
		if prog.Type == elf.PT_INTERP {
			t.Skip("missing: busybox-static")
		}
	}
	return p
}

// rpmRepository makes a repository of one package, with a script of its own, from which a base can be made.
func (k *kit) rpmRepository(release string) string {
	k.t.Helper()
	dir := filepath.Join(k.dir, "rpm")
	repo := filepath.Join(dir, "repo")
	spec := filepath.Join(dir, "base.spec")
	if err := os.MkdirAll(repo, 0o755); err != nil {
		k.t.Fatal(err)
	}
	text := fmt.Sprintf(`
Name: lab-base
Version: 1
Release: %s
Summary: smallest base
License: Public Domain
Provides: coreutils = 1, aaa_base = 1, /bin/sh
AutoReqProv: no
%%global __os_install_post %%{nil}
%%global debug_package %%{nil}
%%description
The smallest base.
%%package -n lab-extra
Summary: more
%%description -n lab-extra
More.
%%install
mkdir -p %%{buildroot}/etc %%{buildroot}/bin %%{buildroot}/var/lib/lab
cp %s %%{buildroot}/bin/busybox
for p in sh cat id ls test; do ln -s busybox %%{buildroot}/bin/$p; done
echo 'Lab Linux %s' > %%{buildroot}/etc/redhat-release
echo more > %%{buildroot}/etc/extra
%%post
echo "scriptlet as $(id -u)" > /etc/scriptlet
%%files
/bin/*
/etc/redhat-release
%%attr(0750, daemon, daemon) /var/lib/lab
%%files -n lab-extra
/etc/extra
`, release, staticBusybox(k.t), release)
	if err := os.WriteFile(spec, []byte(text), 0o644); err != nil {
		k.t.Fatal(err)
	}
	for _, args := range [][]string{
		{"rpmbuild", "-bb", "--define", "_topdir " + dir + "/top", "--define", "_rpmdir " + repo, spec},
		{"createrepo_c", "-q", "--revision", release, repo}, // dnf tells states apart by it, else by the second
	} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "HOME="+dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			k.t.Fatalf("%s: %v\n%s", args[0], err, out)
		}
	}
	return repo
}

// TestRPM builds upon bases that dnf and zypper make of a repository in a folder, and of one on a web server.
func TestRPM(t *testing.T) {
	need(t, "rpmbuild", "createrepo_c")
	for _, tt := range []struct{ agent, tool, database string }{
		{"yum", "dnf", "/var/lib/rpm/rpmdb.sqlite"},
		{"zypper", "zypper", "/usr/lib/sysimage/rpm/rpmdb.sqlite"},
	} {
		t.Run(tt.agent, func(t *testing.T) {
			need(t, tt.tool)
			k := newKit(t)
			repo := k.rpmRepository("1")
			text := "Bootstrap: " + tt.agent + "\nOSVersion: repo\nMirrorURL: file://" + filepath.Dir(repo) + "/%{OSVersion}/\nInclude: lab-extra\n%post\n    cat /etc/redhat-release > /seen\n"
			img, ev := k.build(text, engine.BuildSpec{})
			for name, want := range map[string]string{"/seen": "Lab Linux 1\n", "/etc/scriptlet": "scriptlet as 0\n", "/etc/extra": "more\n"} {
				if got := read(t, img, name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if !has(t, img, tt.database) || has(t, img, "/var/cache/yum-bootstrap") || has(t, img, "/dev/null") {
				t.Errorf("the database is missing, or something of the build is left\n%s", ev.log(""))
			}
			out, status := k.out(engine.RunSpec{Image: img.Path, Action: engine.ActionExec, Args: []string{"cat", "/etc/extra"}})
			if out != "more\n" || status != 0 {
				t.Errorf("run: %q, %d", out, status)
			}
			// The same again comes from the cache; a repository that has changed does not.
			if _, ev = k.build(text, engine.BuildSpec{Target: "2.sif"}); strings.Contains(ev.log(progress.StepFetch), "lab-base") {
				t.Errorf("the base was made again:\n%s", ev.log(progress.StepFetch))
			}
			k.rpmRepository("2")
			if img, ev = k.build(text, engine.BuildSpec{Target: "3.sif"}); read(t, img, "/seen") != "Lab Linux 2\n" {
				t.Errorf("the base is that of the repository as it was\n%s", ev.log(""))
			}
			k.workEmpty()
		})
	}
	t.Run("web", func(t *testing.T) {
		need(t, "dnf")
		k := newKit(t)
		var asked atomic.Int32
		files := http.FileServer(http.Dir(k.rpmRepository("1")))
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, ".rpm") {
				asked.Add(1)
			}
			files.ServeHTTP(w, r)
		}))
		defer server.Close()
		text := "Bootstrap: dnf\nMirrorURL: " + server.URL + "\n%post\n    true\n"
		k.build(text, engine.BuildSpec{})
		was := asked.Load()
		if _, err := k.Prune(t.Context(), engine.CacheBases); err != nil {
			t.Fatal(err)
		}
		k.build(text, engine.BuildSpec{Target: "2.sif"})
		if now := asked.Load(); was != 1 || now != 1 {
			t.Errorf("the package was fetched %d times, then %d", was, now)
		}
		_, _, err := k.try("Bootstrap: yum\nMirrorURL: "+server.URL+"/gone/\n", engine.BuildSpec{Target: "4.sif"})
		if err == nil || !strings.Contains(err.Error(), "404") || !strings.Contains(engine.Hint(err), "repodata") {
			t.Errorf("got %v, hint %q", err, engine.Hint(err))
		}
	})
}

// pacmanRepository makes a mirror with one package in core and none in extra.
func (k *kit) pacmanRepository() string {
	k.t.Helper()
	dir := filepath.Join(k.dir, "pacman")
	program, err := os.ReadFile(staticBusybox(k.t))
	if err != nil {
		k.t.Fatal(err)
	}
	pkg := archive(k.t, []file{
		{".PKGINFO", "pkgname = base\npkgbase = base\npkgver = 1-1\npkgdesc = smallest base\nurl = http://localhost\nbuilddate = 1700000000\npackager = test\nsize = 1000\narch = any\nlicense = custom\n", 0o644},
		{".INSTALL", "post_install() {\n    echo hook as $(id -u) > /etc/hook\n}\n", 0o644},
		{"usr/bin/busybox", string(program), 0o755},
		{"usr/bin/sh", "", 0}, {"usr/bin/cat", "", 0}, {"usr/bin/id", "", 0},
		{"bin", "usr/bin", 0},
		{"etc/arch-release", "arch\n", 0o644},
	})
	desc := fmt.Sprintf("%%FILENAME%%\nbase-1-1-any.pkg.tar.gz\n\n%%NAME%%\nbase\n\n%%VERSION%%\n1-1\n\n%%CSIZE%%\n%d\n\n%%ISIZE%%\n1000\n\n%%SHA256SUM%%\n%x\n\n%%ARCH%%\nany\n", len(pkg), sha256.Sum256(pkg))
	for name, data := range map[string][]byte{
		"core/os/x86_64/base-1-1-any.pkg.tar.gz": pkg,
		"core/os/x86_64/core.db":                 archive(k.t, []file{{"base-1-1/desc", desc, 0o644}}),
		"extra/os/x86_64/extra.db":               archive(k.t, nil),
	} {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			k.t.Fatal(err)
		}
		if err := os.WriteFile(p, data, 0o644); err != nil {
			k.t.Fatal(err)
		}
	}
	return dir
}

// file is one of an archive; with mode 0 a link, to busybox or to what the text says.
type file struct {
	name, text string
	mode       int64
}

func archive(t testing.TB, files []file) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.text))}
		if f.mode == 0 {
			h.Typeflag, h.Size, h.Mode, h.Linkname = tar.TypeSymlink, 0, 0o777, f.text
			if h.Linkname == "" {
				h.Linkname = "busybox"
			}
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if f.mode != 0 {
			if _, err := w.Write([]byte(f.text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestArch(t *testing.T) {
	need(t, "pacman")
	k := newKit(t)
	img, ev := k.build("Bootstrap: arch\nMirrorURL: file://"+k.pacmanRepository()+"\n%post\n    cat /etc/arch-release > /seen\n", engine.BuildSpec{})
	if read(t, img, "/seen") != "arch\n" || read(t, img, "/etc/hook") != "hook as 0\n" || !has(t, img, "/var/lib/pacman/local/base-1-1/desc") {
		t.Errorf("the base is not complete\n%s", ev.log(""))
	}
	k.workEmpty()
}

func TestBusybox(t *testing.T) {
	k := newKit(t)
	program := staticBusybox(t)
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked == 1 { // a server may be busy for a moment
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if r.URL.Path == "/1/busybox" {
			http.ServeFile(w, r, program)
			return
		}
		if r.URL.Path == "/page" {
			fmt.Fprintln(w, "<html>no program</html>")
			return
		}
		http.NotFound(w, r)
	}))
	defer server.Close()
	for i, header := range []string{"", "MirrorURL: " + server.URL + "/%{OSVERSION}/busybox\nOSVersion: 1\n"} {
		img, ev := k.build("Bootstrap: busybox\n"+header+"%post\n    ls / > /seen\n%runscript\n    exec cat /etc/passwd\n", engine.BuildSpec{Target: fmt.Sprintf("%d.sif", i)})
		if !strings.Contains(read(t, img, "/seen"), "etc\n") {
			t.Errorf("the base is not complete\n%s", ev.log(""))
		}
		if out, status := k.out(engine.RunSpec{Image: img.Path}); !strings.Contains(out, "root:") || status != 0 {
			t.Errorf("run: %q, %d", out, status)
		}
	}
	for _, tt := range []struct{ url, want string }{
		{server.URL + "/page", "this is no program"},
		{server.URL + "/gone", "404"},
		{server.URL + "/%{OSVERSION}/busybox", "needs OSVersion"},
		{"file:///proc/self/exe.gone", "no such file"},
	} {
		_, _, err := k.try("Bootstrap: busybox\nMirrorURL: "+tt.url+"\n", engine.BuildSpec{Target: "bad.sif"})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.url, err, tt.want)
		}
	}
	k.workEmpty()
}

// TestHeadersOfTools are mistakes in headers that are told before anything is run.
func TestHeadersOfTools(t *testing.T) {
	k := newKit(t)
	for _, tt := range []struct{ header, want string }{
		{"Bootstrap: yum\n", "MirrorURL"},
		{"Bootstrap: yum\nMirrorURL: http://127.0.0.1:1/%{OSVERSION}/\n", "needs OSVersion"},
		{"Bootstrap: zypper\n", "MirrorURL"},
		{"Bootstrap: zypper\nProduct: SLES/15.6\nUser: a@example.org\n", "RegCode"},
		{"Bootstrap: zypper\nProduct: SLES\nUser: a@example.org\nRegCode: x\n", "OSVersion"},
		{"Bootstrap: zypper\nProduct: SLES\nUser: a@example.org\nRegCode: x\nOSVersion: 15.6\n", "MirrorURL"},
		{"Bootstrap: busybox\nMirrorURL: %{OSVERSION}\n", "needs OSVersion"},
	} {
		_, _, err := k.try(tt.header, engine.BuildSpec{})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: got %v, want %q", tt.header, err, tt.want)
		}
	}
	k.workEmpty()
}
