package definition

import (
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func lint(t *testing.T, text string) Report {
	t.Helper()
	r, err := Lint(strings.NewReader(text), Options{Name: "x.def"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestLintRules(t *testing.T) {
	const head = "Bootstrap: docker\nFrom: debian:12\n%labels\n A b\n" // four lines
	for _, tc := range []struct {
		name, text string
		want       string // rule:line …
	}{
		{"nothing", head + "%post\n apt-get update && apt-get -y install x\n", ""},
		{"unpinned", "Bootstrap: docker\nFrom: host:5000/debian\n%labels\n A b\n", "base-unpinned:2"},
		{"latest", "Bootstrap: docker\nFrom: debian:latest\n%labels\n A b\n", "base-unpinned:2"},
		{"digest", "Bootstrap: docker\nFrom: debian@sha256:00\n%labels\n A b\n", ""},
		{"unknown agent", "Bootstrap: dokcer\nFrom: debian:12\n%labels\n A b\n", "bootstrap-unknown:1"},
		{"no From", "Bootstrap: docker\n%labels\n A b\n", "base-missing:1"},
		{"no release", "Bootstrap: debootstrap\n%labels\n A b\n", "base-missing:1"},
		{"gone", "Bootstrap: shub\nFrom: a/b\n%labels\n A b\n", "bootstrap-gone:1"},
		{"no mirror", "Bootstrap: yum\nOSVersion: 7\n%labels\n A b\n", "base-missing:1"},
		{"no release for the mirror", "Bootstrap: yum\nMirrorURL: http://x/%{OSVERSION}/os\n%labels\n A b\n", "base-missing:1"},
		{"files by number", head + "%post\n true\n" + strings.ReplaceAll(head, "%labels\n A b\n", "") + "%labels\n A b\n%files from 0\n a b\n", ""},
		{"no header", "%post\n true\n%labels\n A b\n", "no-bootstrap:1"},
		{"install", head + "%post\n apt-get update && \\\n   apt-get install -q x # -y\n", "install-asks:6"},
		{"install forms", head + "%post\n yum install x\n zypper -n in x\n conda create -n e python\n DEBIAN_FRONTEND=noninteractive apt-get -qq install x\n apt-get install -qy x\n yes | apt install x\n echo apt install x\n apt-get clean\n", "install-asks:6 install-asks:8"},
		{"app install", head + "%appinstall a\n dnf install x\n", "install-asks:6"},
		{"here-document", head + "%post\n cat <<E\napt-get install x\nE\n", ""},
		{"sudo", head + "%post\n sudo make install\n", "post-sudo:6"},
		{"secrets", head + "%environment\n export DB_PASSWORD=hunter22\n TOKEN=$X\n%post\n git clone https://me:abc123@host/x\n git clone https://${U}:${P}@host/x\n", "secret:6 secret:9"},
		{"cd with arguments", head + "%runscript\n cd /opt/app\n exec python3 app.py \"$@\"\n", "runscript-cd:6"},
		{"cd without", head + "%runscript\n cd /data\n exec python3 -m serve\n", "runscript-cd:6"},
		{"cd again", head + "%runscript\n cd /data\n cd /opt\n exec python3 x \"$1\"\n", "runscript-cd:6 runscript-cd:7"},
		{"cd in a subshell", head + "%runscript\n (cd /opt/app && make)\n exec x \"$@\"\n", ""},
		{"no labels", "Bootstrap: docker\nFrom: debian:12\n%post\n true\n", "labels-none:1"},
		{"port", head + "%runscript\n exec python3 -m http.server 9999\n%startscript\n x --port=8080 --bind 0.0.0.0:9999\n", "port-undeclared:6 port-undeclared:8"},
		{"port declared", "Bootstrap: docker\nFrom: debian:12\n%labels\n carrel.port.9999 http\n%runscript\n exec python3 -m http.server 9999\n", ""},
		{"server", head + "%runscript\n export A=1\n A=b exec /usr/bin/jupyter lab --no-browser\n", "port-undeclared:7"},
		{"server with an argument", head + "%runscript\n exec nginx -g 'daemon off;'\n%startscript\n x --port=8080\n", "port-undeclared:6 port-undeclared:8"},
		{"a server is named", head + "%runscript\n echo jupyter lab\n test -x /usr/sbin/nginx\n", ""},
		{"pip", head + "%post\n pip3 install numpy==2.1 'scipy>=1' -r req.txt .\n python3 -m pip install --no-cache-dir -U pip pandas -i https://x xarray[io]\n pip install -c c.txt a\n", "pip-unpinned:7"},
		{"files of a person", head + "%files\n ~/data /data\n /home/me/x\n home/x\n%setup\n cp -r $HOME/tool $APPTAINER_ROOTFS/opt\n", "files-home:6 files-home:7 files-home:10"},
		{"keys", head + "%files\n deploy/id_rsa /root/.ssh/\n .netrc\n id_rsa.pub\n%labels\n k ghp_0123456789012345678901234567890123456789\n", "secret:6 secret:7 secret:10"},
		{"argument", "Bootstrap: docker\nFrom: debian:{{ V }}\n%labels\n A b\n", "build-arg-missing:2"},
		{"files from nowhere", head + "%files from x\n a b\n", "stage-unknown:6"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := lint(t, tc.text)
			if !r.Valid {
				t.Error("not valid")
			}
			refused := slices.ContainsFunc([]string{"unknown agent", "no From", "no release", "no header", "files from nowhere", "gone", "no mirror", "no release for the mirror"}, func(n string) bool { return n == tc.name })
			if r.Builds == refused {
				t.Errorf("builds: %v", r.Builds)
			}
			var got []string
			for _, f := range r.Findings {
				got = append(got, f.Rule+":"+strconv.Itoa(f.Line))
				if f.Message == "" || f.Fix == "" {
					t.Errorf("%+v", f)
				}
			}
			if diff := cmp.Diff(tc.want, strings.Join(got, " ")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLintInvalid(t *testing.T) {
	r := lint(t, "\ufeffBootstrap: docker\nName: x\n%psot\n true\n")
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"file":"x.def","valid":false,"builds":false,"findings":[` +
		`{"rule":"bom","line":1,"section":"","message":"the file begins with a byte order mark, which Apptainer refuses","fix":"save the file as UTF-8 without a byte order mark","edit":[{"line":1,"column":1,"end_line":1,"end_column":4,"text":""}]},` +
		`{"rule":"header-unknown","line":2,"section":"header","message":"unknown header key \"Name\"","fix":"make it a line of %labels: org.opencontainers.image.title NAME"},` +
		`{"rule":"section-unknown","line":3,"section":"psot","message":"unknown section %psot, did you mean %post?","fix":"write %post in line 3"}]}`
	if diff := cmp.Diff(want, string(data)); diff != "" {
		t.Error(diff)
	}
	if r := lint(t, ""); r.Valid || len(r.Findings) != 1 || r.Findings[0].Rule != "empty" {
		t.Errorf("%+v", r)
	}
	if _, err := Lint(iotest.ErrReader(io.ErrUnexpectedEOF), Options{}); err == nil {
		t.Error("no read error")
	}
}

// TestLintAgreesWithParse holds the verdict to what Parse does with the same file.
func TestLintAgreesWithParse(t *testing.T) {
	texts := []string{stages, "", "%x\n", "Bootstrap: docker\n%post\n true\n"}
	for _, text := range texts {
		_, err := ParseString(text, Options{AllowUndefined: true})
		if got := lint(t, text).Valid; got != (err == nil) {
			t.Errorf("%q: valid %v, error %v", text, got, err)
		}
	}
}

func TestTokens(t *testing.T) {
	text := `# comment
Bootstrap: docker  # c
Nonsense: x
From: a:{{ V }}
%files from one # c
  "a b" c # d
%labels
  A  b c
%arguments
  V = 1
%apprun foo
  if [ "$X" = 'a
b' ]; then echo ${Y}x <<E # c
 text {{ V }}
E
  fi
%psot
  text
%help
  if`
	var got strings.Builder
	lines := strings.Split(text, "\n")
	for i, tok := range Tokens(text) {
		if i > 0 {
			got.WriteByte('\n')
		}
		got.WriteString(strconv.Itoa(tok.Line) + " " + tok.Kind.String() + " " + lines[tok.Line-1][tok.Col-1:tok.Col-1+tok.Len])
	}
	want := `1 comment # comment
2 key Bootstrap:
2 value docker
2 comment # c
3 invalid Nonsense:
3 value x
4 key From:
4 value a:
4 template {{ V }}
5 section %files
5 args from one
5 comment # c
6 path "a b"
6 path c
6 comment # d
7 section %labels
8 name A
8 value b c
9 section %arguments
10 name V 
10 value 1
11 section %apprun
11 name foo
12 keyword if
12 string "
12 variable $X
12 string "
12 string 'a
13 string b'
13 keyword then
13 variable ${Y}
13 comment # c
14 string  text 
14 template {{ V }}
15 string E
16 keyword fi
17 invalid %psot
19 section %help`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Error(diff)
	}
}

func TestTokensAreInOrder(t *testing.T) {
	for _, text := range []string{stages, "\ufeffA\r\n%post\n echo \"a\\", "%files\n\"\n'a\n%labels\n=\n\t\n%\n % \n", "A: \\\n\n#\nB"} {
		lines := strings.Split(text, "\n")
		tokens := Tokens(text)
		if !slices.IsSortedFunc(tokens, func(a, b Token) int {
			if a.Line != b.Line {
				return a.Line - b.Line
			}
			return a.Col + a.Len - b.Col
		}) {
			t.Errorf("%q: overlapping or out of order: %v", text, tokens)
		}
		for _, tok := range tokens {
			if tok.Len < 1 || tok.Col < 1 || tok.Col-1+tok.Len > len(lines[tok.Line-1]) {
				t.Errorf("%q: outside of its line: %v", text, tok)
			}
		}
	}
}
