package source_test

import (
	"context"
	"debug/elf"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"carrel/engine/source"
	"carrel/engine/source/arch"
	"carrel/engine/source/busybox"
	"carrel/engine/source/yum"
	"carrel/engine/source/zypper"
)

func TestExpand(t *testing.T) {
	for _, tt := range []struct{ url, version, want string }{
		{"http://a/%{OSVERSION}/%{osversion}/os", "7", "http://a/7/7/os"},
		{"http://a/$releasever/", "", "http://a/$releasever/"},
		{"http://a/%{OSVersion}/", "$1", "http://a/$1/"},
		{"http://a/%{OSVersion}/", "", ""},
	} {
		got, err := source.Expand(tt.url, tt.version)
		if got != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("%s with %q: got %q, %v", tt.url, tt.version, got, err)
		}
	}
}

func TestPath(t *testing.T) {
	for address, want := range map[string]string{
		"file:///srv/mirror/": "/srv/mirror/", "/srv/x": "/srv/x", "file:///srv/$repo/os/$arch": "/srv",
	} {
		if !source.Local(address) || source.Path(address) != want {
			t.Errorf("%s: %v, %q", address, source.Local(address), source.Path(address))
		}
	}
	if source.Local("https://example.org/") {
		t.Error("a web server is not this computer")
	}
}

// place is one whose programs are noted instead of run.
func place(t *testing.T, ran *[][]string, missing ...string) *source.Place {
	t.Helper()
	return &source.Place{
		Root: t.TempDir(), Temp: t.TempDir(), Warn: func(string) {},
		Find: func(name string) string {
			if slices.Contains(missing, name) {
				return ""
			}
			return "/usr/bin/" + name
		},
		Run: func(_ context.Context, c source.Command) (int, error) {
			*ran = append(*ran, c.Args)
			return 0, nil
		},
		Fetch: func(_ context.Context, url string) ([]byte, error) { return []byte("contents of " + url), nil },
	}
}

func TestMissingTools(t *testing.T) {
	var ran [][]string
	for _, tt := range []struct {
		want string
		err  error
	}{
		{"dnf", yum.Install(t.Context(), yum.Spec{}, place(t, &ran, "dnf", "yum"))},
		{"zypper", zypper.Install(t.Context(), zypper.Spec{}, place(t, &ran, "zypper"))},
		{"pacman", arch.Install(t.Context(), arch.Spec{}, place(t, &ran, "pacman"))},
	} {
		var missing *source.MissingToolError
		if !errors.As(tt.err, &missing) || !strings.Contains(missing.Error(), tt.want) || !strings.Contains(missing.Hint(), "docker") {
			t.Errorf("%s: got %v", tt.want, tt.err)
		}
	}
	if len(ran) > 0 {
		t.Errorf("ran %q", ran)
	}
}

// TestYumKey has packages checked by a key.
func TestYumKey(t *testing.T) {
	s, err := yum.Spec{MirrorURL: "http://m/%{OSVERSION}/", UpdateURL: "http://u/", OSVersion: "9", GPG: "https://k/key", SetOpt: "a=b", Include: []string{"vim"}}.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	conf := s.Config()
	for _, want := range []string{"baseurl=http://m/9/\n", "baseurl=http://u/\n", "gpgcheck=1\n"} {
		if !strings.Contains(conf, want) {
			t.Errorf("no %q in %s", want, conf)
		}
	}
	var ran [][]string
	if err := yum.Install(t.Context(), s, place(t, &ran, "dnf")); err != nil {
		t.Fatal(err)
	}
	if len(ran) != 3 || ran[1][3] != "--import" || ran[2][0] != "/usr/bin/yum" || !slices.Contains(ran[2], "--releasever=9") || ran[2][len(ran[2])-1] != "vim" {
		t.Errorf("ran %q", ran)
	}
	if _, err := (yum.Spec{MirrorURL: "http://m/", GPG: "http://k"}).Resolve(); err == nil {
		t.Error("a key without https is taken")
	}
}

func TestEnterprise(t *testing.T) {
	s, err := zypper.Spec{
		Product: "SLES/%{OSVERSION}", User: "me@example.org", RegCode: "code", OSVersion: "15.6", MirrorURL: "http://m/%{OSVERSION}",
		Modules: []string{"sle-module-desktop-applications"}, Machine: "x86_64", OtherURLs: []string{"http://o/"}, ProductPGP: "KEY",
	}.Resolve()
	if err != nil || s.MirrorURL != "http://m/15.6" {
		t.Fatal(s, err)
	}
	var ran [][]string
	p := place(t, &ran)
	if err := zypper.Install(t.Context(), s, p); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, args := range ran {
		all = append(all, strings.Join(args, " "))
	}
	text := strings.Join(all, "\n")
	for _, want := range []string{
		"rpmkeys --root /tmp/root --import", "SUSEConnect --root /tmp/root --product SLES/15.6/x86_64 --email me@example.org --regcode code",
		"--product sle-module-desktop-applications/15.6/x86_64", "addrepo --refresh http://o/ repo-0", "aaa_base SUSEConnect",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if to, err := os.Readlink(filepath.Join(p.Root, "var/lib/rpm")); to != "../../usr/lib/sysimage/rpm" || err != nil {
		t.Errorf("database: %q, %v", to, err)
	}
}

func TestSettleRPM(t *testing.T) {
	for _, tt := range []struct{ macros, want string }{
		{"%_dbpath\t\t%{_usr}/lib/sysimage/rpm\n", "usr/lib/sysimage/rpm/db"},
		{"%_dbpath\t\t%{_var}/lib/rpm\n", "var/lib/rpm/db"},
		{"", "var/lib/rpm/db"},
	} {
		p := &source.Place{Root: t.TempDir()}
		for name, text := range map[string]string{"var/lib/rpm/db": "x", "usr/lib/rpm/macros": tt.macros, "usr/lib/sysimage/rpm/.keep": ""} {
			file := filepath.Join(p.Root, name)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.SettleRPM(); err != nil {
			t.Error(err)
		}
		for _, name := range []string{tt.want, "var/lib/rpm/db"} { // by the link, too
			if data, err := os.ReadFile(filepath.Join(p.Root, name)); string(data) != "x" {
				t.Errorf("%q: %s: %q, %v", tt.macros, name, data, err)
			}
		}
	}
}

func TestArchConfig(t *testing.T) {
	for _, tt := range []struct {
		spec arch.Spec
		want string
	}{
		{arch.Spec{}, "Server = https://geo.mirror.pkgbuild.com/$repo/os/$arch\n"},
		{arch.Spec{}, "SigLevel = Required DatabaseOptional\n"},
		{arch.Spec{MirrorURL: "file:///srv/arch/"}, "SigLevel = Never\n"},
		{arch.Spec{MirrorURL: "https://m/$repo/x"}, "[extra]\nServer = https://m/$repo/x\n"},
	} {
		if conf := tt.spec.Config(); !strings.Contains(conf, tt.want) {
			t.Errorf("%+v: no %q in\n%s", tt.spec, tt.want, conf)
		}
	}
}

func TestBusyboxCheck(t *testing.T) {
	if err := busybox.Check("page", []byte("<html>")); err == nil {
		t.Error("a page is taken for a program")
	}
	sh, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	libraries := slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
	var dynamic *busybox.NotStaticError
	if err := busybox.Check("/bin/sh", sh); errors.As(err, &dynamic) != libraries {
		t.Errorf("/bin/sh needs libraries: %v, and is %v", libraries, err)
	}
}
