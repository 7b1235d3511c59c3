package debian

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

const deb822 = `# a comment
Types: deb deb-src
# one in a stanza
URIs: http://mirror.example.org/debian/
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example.org/debian-security
Suites: bookworm-security
Components: main
Check-Valid-Until: no

Enabled: no
Types: deb
URIs: http://off.example.org/debian
Suites: bookworm

Types: deb
URIs: https://own.example.org/deb
Suites: ./
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc=
 -----END PGP PUBLIC KEY BLOCK-----
`

const oneLine = `deb [arch=amd64,arm64 signed-by=/k.gpg,ABCDEF12! trusted=yes] https://u.example.org/ubuntu noble main universe # tail
deb-src https://u.example.org/ubuntu noble main

deb http://u.example.org/ubuntu noble-security main
deb cdrom:[Debian]/ bookworm main
deb mirror://m.example.org/list bookworm main
`

func TestHostSources(t *testing.T) {
	got, err := HostSources(fstest.MapFS{
		"sources.list":                   {Data: []byte("deb file:///srv/debian sid main\n")},
		"sources.list.d/debian.sources":  {Data: []byte(deb822)},
		"sources.list.d/ubuntu.list":     {Data: []byte(oneLine)},
		"sources.list.d/x.list.disabled": {Data: []byte("deb http://no.example.org/debian sid main\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []Source{
		{URI: "file:///srv/debian", Suite: "sid", Components: []string{"main"}},
		{URI: "https://u.example.org/ubuntu", Suite: "noble", Components: []string{"main", "universe"}, Architectures: []string{"amd64", "arm64"},
			SignedBy: []string{"/k.gpg"}, SignedByKeys: []string{"ABCDEF12"}, Trusted: true},
		{URI: "http://u.example.org/ubuntu", Suite: "noble-security", Components: []string{"main"}},
		{URI: "http://mirror.example.org/debian", Suite: "bookworm", Components: []string{"main", "contrib"}, SignedBy: []string{"/usr/share/keyrings/debian-archive-keyring.gpg"}},
		{URI: "http://mirror.example.org/debian", Suite: "bookworm-updates", Components: []string{"main", "contrib"}, SignedBy: []string{"/usr/share/keyrings/debian-archive-keyring.gpg"}},
		{URI: "http://mirror.example.org/debian-security", Suite: "bookworm-security", Components: []string{"main"}, IgnoreDates: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestHostSourcesIgnoreDates(t *testing.T) {
	for conf, want := range map[string]bool{
		"": false,
		"Acquire::Check-Valid-Until \"false\";\n":                                   true,
		"// Acquire::Check-Valid-Until \"false\";\n":                                false,
		"APT::Get::x \"1\";\n  acquire::check-valid-until no;\n":                    true,
		"Acquire::Check-Valid-Until \"0\";\nAcquire::Check-Valid-Until \"true\";\n": false,
	} {
		got, err := HostSources(fstest.MapFS{
			"sources.list":         {Data: []byte("deb http://a.example.org/debian sid main\n")},
			"apt.conf.d/99x":       {Data: []byte(conf)},
			"apt.conf.d/folder/99": {Data: nil},
		})
		if err != nil || len(got) != 1 || got[0].IgnoreDates != want {
			t.Errorf("%q: got %+v, %v", conf, got, err)
		}
	}
}

func TestHostSourcesBadFile(t *testing.T) {
	got, err := HostSources(fstest.MapFS{
		"sources.list":          {Data: []byte("deb http://a.example.org/debian sid main\nrpm x y\n")},
		"sources.list.d/b.list": {Data: []byte("deb [arch=amd64 http://b.example.org/debian sid main\n")},
		"sources.list.d/c.list": {Data: []byte("deb http://c.example.org/debian sid main\n")},
	})
	if len(got) != 2 || err == nil || !strings.Contains(err.Error(), "sources.list: line 2") || !strings.Contains(err.Error(), "b.list: line 1") {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestEmbeddedKey(t *testing.T) {
	got, err := ParseSources(strings.NewReader(strings.Replace(deb822, "./\n", "sid\n", 1)))
	if err != nil {
		t.Fatal(err)
	}
	want := "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabc=\n-----END PGP PUBLIC KEY BLOCK-----\n"
	if key := string(got[len(got)-1].Keys); key != want {
		t.Errorf("got %q, want %q", key, want)
	}
}

func TestChooseSources(t *testing.T) {
	host, err := ParseSources(strings.NewReader(deb822))
	if err != nil {
		t.Fatal(err)
	}
	more, err := ParseSourcesList(strings.NewReader(oneLine))
	if err != nil {
		t.Fatal(err)
	}
	both := append(host, more...)
	for _, test := range []struct {
		name   string
		choice Choice
		want   []string
	}{
		{"the definition's mirror", Choice{Suite: "sid", MirrorURL: "http://d.example.org/debian/", Configured: "http://c.example.org", Host: host},
			[]string{"http://d.example.org/debian sid"}},
		{"the configuration's", Choice{Suite: "sid", Configured: "file:///srv/debian", Host: host},
			[]string{"file:///srv/debian sid"}},
		{"the host's, same release", Choice{Suite: "bookworm", Host: both},
			[]string{"http://mirror.example.org/debian bookworm", "http://mirror.example.org/debian bookworm-updates?", "http://mirror.example.org/debian-security bookworm-security?"}},
		{"the host's, other release", Choice{Suite: "trixie", Host: both},
			[]string{"http://mirror.example.org/debian trixie", "http://mirror.example.org/debian trixie-updates?", "http://mirror.example.org/debian-security trixie-security?"}},
		{"the host's, other distribution", Choice{Suite: "jammy", Arch: "amd64", Host: both},
			[]string{"https://u.example.org/ubuntu jammy", "http://u.example.org/ubuntu jammy-security?"}},
		{"not for this architecture", Choice{Suite: "noble", Arch: "riscv64", Host: both},
			[]string{ubuntuPorts + " noble", ubuntuPorts + " noble-updates?", ubuntuPorts + " noble-security?"}},
		{"nothing known", Choice{Suite: "bookworm", Host: more},
			[]string{defaultMirror + " bookworm", defaultMirror + " bookworm-updates?"}},
		{"nothing known of Ubuntu", Choice{Suite: "noble", Arch: "amd64", Configured: "http://debian.example.org"},
			[]string{ubuntuMirror + " noble", ubuntuMirror + " noble-updates?", ubuntuMirror + " noble-security?"}},
		{"no suite", Choice{}, nil},
		{"a suite out of the mirror", Choice{Suite: "../../x"}, nil},
		{"a mirror of no use", Choice{Suite: "sid", MirrorURL: "ftp://x.example.org/debian"}, nil},
	} {
		got, err := ChooseSources(test.choice)
		if (err != nil) != (test.want == nil) {
			t.Errorf("%s: got error %v", test.name, err)
		}
		var texts []string
		for _, s := range got {
			text := s.URI + " " + s.Suite
			if s.Optional {
				text += "?"
			}
			texts = append(texts, text)
		}
		if diff := cmp.Diff(test.want, texts); diff != "" {
			t.Errorf("%s: %s", test.name, diff)
		}
	}
	if !IsArchive("http://archive.debian.org/debian/") || IsArchive("http://mirror.example.org/debian") || IsArchive("http://archive.debian.org.example.org/") {
		t.Error("the wrong mirrors are archives")
	}
}

func FuzzParseSources(f *testing.F) {
	f.Add(deb822)
	f.Add(oneLine)
	f.Fuzz(func(t *testing.T, text string) {
		for _, parse := range []func() ([]Source, error){
			func() ([]Source, error) { return ParseSources(strings.NewReader(text)) },
			func() ([]Source, error) { return ParseSourcesList(strings.NewReader(text)) },
		} {
			sources, _ := parse() // sources that were read before an error count too
			for _, s := range sources {
				if checkMirror(s.URI) != nil || s.Suite == "" {
					t.Fatalf("got source %+v", s)
				}
			}
		}
	})
}
