package dockerfile

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"carrel/catalog"
	"carrel/engine/definition"
)

var folder = fstest.MapFS{
	"app.py":        {Data: []byte("x")},
	"src/main.c":    {Data: []byte("x")},
	"data.tar.gz":   {Data: []byte("x")},
	".dockerignore": {Data: []byte("x")},
	"Dockerfile":    {Data: []byte("x")},
}

func TestToDefinition(t *testing.T) {
	for _, tt := range []struct {
		name, in   string
		want, lack []string
		remarks    int
	}{
		{"plain", "FROM debian:12\nRUN true\nCMD [\"sh\", \"-c\", \"echo it's\"]\n",
			[]string{"Bootstrap: docker\nFrom: debian:12\n", "%post\n    true\n", "exec sh -c 'echo it'\\''s'", `if [ $# -gt 0 ]; then exec "$@"; fi`}, []string{"Stage:", ".copied"}, 0},
		{"file before the first command", "FROM a\nCOPY app.py /srv/\nCOPY app.py /opt/x.py\n",
			[]string{"    app.py /srv/app.py\n    app.py /opt/x.py\n"}, []string{".copied", "%post"}, 0},
		{"file after it", "FROM a\nWORKDIR /w\nRUN x\nCOPY app.py .\n",
			[]string{"app.py /.copied/4/app.py", "mkdir -p /w && cp -a /.copied/4/app.py /w/", "rm -rf /.copied"}, nil, 0},
		{"folder", "FROM a\nCOPY src /w\n", []string{"src /.copied/2/src", "cp -a /.copied/2/src/. /w/"}, nil, 0},
		{"all", "FROM a\nCOPY . /w\n", []string{". /.copied/2/all", "cp -a /.copied/2/all/. /w/"}, nil, 1},
		{"pattern", "FROM a\nCOPY *.py /w/\n", []string{"*.py /.copied/2/\n", "cp -a /.copied/2/. /w/"}, nil, 0},
		{"outside of the folder", "FROM a\nCOPY ../../etc/passwd /etc/shadow /w/\n", []string{"    etc/passwd ", "    etc/shadow "}, []string{"../"}, 0},
		{"archive", "FROM a\nADD data.tar.gz /w\n", []string{"tar -xf /.copied/2/data.tar.gz -C /w"}, nil, 0},
		{"address", "FROM a\nADD https://h/x.bin /w/\n", []string{"curl -fsSL -o /w/x.bin https://h/x.bin"}, nil, 0},
		{"owner", "FROM a\nCOPY --chown=1:2 --chmod=755 app.py /w/\n", []string{"chown -R 1:2 /w", "chmod -R 755 /w"}, nil, 0},
		{"arguments", "ARG V=1\nFROM a:$V\nARG V\nARG W=x\nLABEL v=$W\nRUN echo $V\n",
			[]string{"From: a:{{ V }}", "V=1", "W=x", "v {{ W }}", "V=\"{{ V }}\"; export V", "echo $V"}, nil, 0},
		{"stages", "FROM a AS one\nRUN x\nFROM b AS unused\nRUN y\nFROM one AS two\nRUN z\nFROM c\nCOPY --from=two /o /o\nCOPY --from=d:1 /p /p\n",
			[]string{"From: a\nStage: two", "    x\n", "    z\n", "%files from two", "From: d:1\nStage: image4", "%files from image4"}, []string{"Stage: one", "unused", "Stage: \n"}, 0},
		{"by number", "FROM a\nRUN x\nFROM b\nCOPY --from=0 /o /o\n", []string{"Stage: 0", "%files from 0"}, nil, 0},
		{"chain", "FROM a\nRUN x && y\nRUN cd /z\nRUN p; q\nRUN echo \"a;b\"\n", []string{"(x && y)", "(cd /z)", "(set +e\n    p; q\n    )", "    echo \"a;b\"\n"}, nil, 0},
		{"a remark at the end", "FROM a\nRUN x && y # note\nRUN z # note\n", []string{"(x && y # note\n    )\n", "    z # note\n"}, []string{"note)"}, 0},
		{"all, with a slash", "FROM a\nCOPY ./ /w\n", []string{"./ /.copied/2/all"}, nil, 1},
		{"continuation", "FROM a\nRUN x \\\n  # remark\n\n  && y\n", []string{"(x \\\n      && y)"}, []string{"remark"}, 0},
		{"document", "FROM a\nRUN <<E\na\nb\nE\nRUN <<'E'\n#!/usr/bin/python3\nprint(1)\nE\n", []string{"(set +e\n    a\n    b\n    )", "cat > /tmp/.run-6 <<'E'\n#!/usr/bin/python3\nprint(1)\nE\n", "/tmp/.run-6"}, nil, 0},
		{"document with a section's name", "FROM a\nCOPY <<'E' /x\n%post\nit's\nE\n", []string{"'%post' \\\n", `'it'\''s' > /x`}, nil, 0},
		{"environment", "FROM a\nENV A=1 B=\"x y\"\nENV C the rest $A\nENV D=\\$no\n", []string{`export A="1"`, `export B="x y"`, `export C="the rest $A"`, `export D="\$no"`}, nil, 0},
		{"shell", "FROM a\nSHELL [\"/bin/bash\", \"-o\", \"pipefail\", \"-c\"]\nRUN x | y\n", []string{"%post -c /bin/bash", "set -o pipefail", "(x | y)"}, nil, 0},
		{"entry in shell form", "FROM a\nENTRYPOINT run $X\nCMD y\n", []string{"exec /bin/sh -c 'run $X'"}, []string{"y\n"}, 0},
		{"ports", "FROM a\nEXPOSE 8080 443/tcp 5432 53/udp\n", []string{"carrel.port.8080 http /", "carrel.port.443 https /", "carrel.port.5432 tcp"}, []string{"carrel.port.53"}, 1},
		{"ready", "FROM a\nHEALTHCHECK --interval=5s CMD curl -f http://localhost:3000/live || exit 1\n", []string{"carrel.ready 3000 /live 60s"}, nil, 0},
		{"user, stop, volume", "FROM a\nUSER app\nSTOPSIGNAL SIGINT\nVOLUME [\"/d e\", \"/f\"]\n", []string{"carrel.stop SIGINT", "carrel.bind./f rw", "carrel.bind./d-e rw"}, nil, 1},
		{"backquote", "# escape=`\nFROM a\nRUN x `\n && y\n", []string{"x \\\n"}, nil, 0},
		{"windows line ends", "FROM a\r\nRUN x \\\r\n && y\r\n", []string{"(x \\\n     && y)"}, []string{"\r"}, 0},
		{"scratch", "FROM scratch\nCOPY app.py /\n", []string{"Bootstrap: scratch", "app.py /app.py"}, []string{"From:"}, 0},
		{"mounts", "FROM a\nRUN --mount=type=cache,target=/x --mount=type=secret,id=k --network=none pip install y\n", []string{"    pip install y"}, nil, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := ToDefinition(tt.in, folder)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range tt.want {
				if !strings.Contains(r.Text, w) {
					t.Errorf("lacks %q:\n%s", w, r.Text)
				}
			}
			for _, w := range tt.lack {
				if strings.Contains(r.Text, w) {
					t.Errorf("holds %q:\n%s", w, r.Text)
				}
			}
			if len(r.Remarks) != tt.remarks {
				t.Errorf("remarks %v, want %d", r.Remarks, tt.remarks)
			}
			f, err := definition.ParseString(r.Text, definition.Options{})
			if err != nil || f.Check() != nil {
				t.Errorf("the definition cannot be read: %v, %v\n%s", err, f.Check(), r.Text)
			}
		})
	}
}

func TestToDefinitionErrors(t *testing.T) {
	for in, want := range map[string]string{
		"":                        "no instructions",
		"RUN x":                   "before the first FROM",
		"FROM a b":                "IMAGE AS NAME",
		"FROM a\nRUM x":           `no instruction "RUM"`,
		"FROM a\nRUN <<E\nx\n":    "has no end",
		"#!/bin/sh\necho hello\n": "no instruction",
		"FROM a\n" + strings.Repeat("x", MaxSize): "bytes",
	} {
		_, err := ToDefinition(in, nil)
		if err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, ErrNotDockerfile) {
			t.Errorf("%.20q: %v, want %q", in, err, want)
		}
	}
}

// TestFromDefinition: every definition of the built-in catalog becomes a Dockerfile that says the same.
func TestFromDefinition(t *testing.T) {
	c, err := catalog.Load(context.Background(), catalog.Internal())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range c.List() {
		r := FromDefinition(e.Definition)
		all, err := parse(r.Text)
		if err != nil {
			t.Errorf("%s: %v\n%s", e.ID(), err, r.Text)
			continue
		}
		count := map[string]int{}
		for _, in := range all {
			count[in.Name]++
		}
		s := e.Definition.Final()
		if count["FROM"] != len(e.Definition.Stages) || count["LABEL"] != len(s.LabelMap()) || !s.Section("runscript").IsEmpty() && count["ENTRYPOINT"] != 1 || count["EXPOSE"] != len(e.Card.Ports) {
			t.Errorf("%s: %v\n%s", e.ID(), count, r.Text)
		}
	}
	f, err := definition.ParseString("Bootstrap: docker\nFrom: debian:{{ TAG }}{{ MORE }}\nStage: one\n%arguments\nTAG=12\n%setup\nrm x\n%files\na b\n\"c d\" /e\n/abs /f\n%post -c /bin/bash\necho POST\nPOST\n"+
		"Bootstrap: localimage\nFrom: x.sif\n%files from one\n/o /o\n%environment\nexport A=1\nB=2\nexport B\n%runscript\n#!/usr/bin/env python3\nprint('{{ TAG }} {{ MORE }}')\n%appinstall x\ntrue\n", definition.Options{AllowUndefined: true})
	if err != nil {
		t.Fatal(err)
	}
	r := FromDefinition(f)
	for _, w := range []string{"ARG MORE\nFROM debian:12${MORE} AS one", "COPY a /b", `COPY ["c d", "/e"]`, "COPY abs /f", "RUN <<'POSTX'\n#!/bin/bash -ex", "COPY --from=one /o /o", `ENV A="1"`, `ENV B="2"`, "#!/usr/bin/env python3\nprint('{{ TAG }} {{ MORE }}')", `"$MORE" | sed`, `"s|{{ *TAG *}}|$value|g" /.runscript`, "%setup ran on", "SCIF app x"} {
		if !strings.Contains(r.Text, w) {
			t.Errorf("lacks %q:\n%s", w, r.Text)
		}
	}
	if _, err := parse(r.Text); err != nil {
		t.Error(err)
	}
	if len(r.Remarks) < 4 {
		t.Errorf("remarks %v", r.Remarks)
	}
}

func TestFromDefinitionParts(t *testing.T) {
	const head = "Bootstrap: docker\nFrom: debian:12\n"
	for _, tt := range []struct {
		name, in   string
		want, lack []string
	}{
		{"help", head + "%help\nUse it\n\n    so\n", []string{"%help, which nothing shows", "#   Use it\n#\n#       so\n"}, nil},
		{"packages of yum", "Bootstrap: yum\nOSVersion: 9\nInclude: dnf gcc,make\n", []string{"RUN dnf -y install gcc make && dnf clean all\n"}, []string{"install dnf"}},
		{"packages of zypper", "Bootstrap: zypper\nInclude: zypper vim\n", []string{"zypper --non-interactive install vim &&"}, nil},
		{"packages of debootstrap", "Bootstrap: debootstrap\nOSVersion: bookworm\nInclude: a b\n", []string{"--no-install-recommends a b\n"}, nil},
		{"packages of nobody", "Bootstrap: busybox\nInclude: a\n", []string{"Include: a is not installed"}, []string{"RUN"}},
		{"an interpreter", head + "%runscript -c /bin/python3\nprint(1)\n", []string{"/.runscript\n#!/bin/python3\nprint(1)\n"}, []string{"#!/bin/sh"}},
		{"an interpreter and variables", head + "%environment\nexport A=$(date)\n%runscript -c /usr/bin/env python3\nprint(1)\n",
			[]string{"/.runscript.own\n#!/usr/bin/env python3\nprint(1)\n", "/.runscript\n#!/bin/sh\n. /.environment.sh\nexec /.runscript.own \"$@\"\n"}, nil},
		{"an interpreter of %post", head + "%post -c /usr/bin/perl\nprint 1;\n", []string{"#!/usr/bin/perl\nprint 1;\n"}, []string{"umask", "-ex"}},
		{"a label with an argument", head + "%labels\nversion {{ V }}\nprice 5$\n", []string{"ARG V\n", "LABEL version=\"${V}\"\n", `LABEL price="5\$"`}, []string{`\${V}`}},
		{"an argument in %post", head + "%post\necho {{ V }}\n", []string{"ARG V\n", "RUN <<'POST'\n#!/bin/sh -ex\n", "echo ${V}\n"}, []string{"sed -i"}},
		{"an argument in %post, between quotes", head + "%post\necho '{{ V }}'\n", []string{"COPY --chmod=755 <<'POST' /.post\n#!/bin/sh -ex\n", "echo '{{ V }}'\n", "|$value|g\" /.post", "RUN /.post && rm /.post\n"}, []string{"${V}'"}},
		{"an argument in %post of another interpreter", head + "%post -c /usr/bin/python3\nprint({{ V }})\n", []string{"COPY --chmod=755 <<'POST' /.post\n#!/usr/bin/python3\nprint({{ V }})\n", "RUN /.post && rm /.post\n"}, []string{"${V})", "umask"}},
		{"variables of another interpreter", head + "%post -c /usr/bin/python3\nopen(os.environ['APPTAINER_ENVIRONMENT'])\n", []string{"are lost"}, []string{"export APPT"}},
		{"an argument in %runscript", head + "%runscript\necho '{{ V }}' $X\n", []string{"echo '{{ V }}' $X\n", `sed -i "s|{{ *V *}}|$value|g" /.runscript`}, []string{"'${V}'"}},
		{"quotes in variables", head + "%environment\nexport A='say \"hi\" for 5$'\nexport B=\"it's\"\nexport C=\"a\\$b\"\n", []string{`ENV A="say \"hi\" for 5\$"`, `ENV B="it's"`, `ENV C="a\$b"`}, nil},
		{"known variables", head + "%environment\nexport A=/opt\nexport PATH=$A/bin:${PATH}\n", []string{`ENV PATH="$A/bin:${PATH}"`}, []string{"environment.sh"}},
		{"variables of the start", head + "%environment\nexport A=$HOME/x\n%runscript\ntrue\n", []string{"/.environment.sh\nexport A=$HOME/x\n", "#!/bin/sh\n. /.environment.sh\ntrue\n"}, []string{"ENV A"}},
		{"tilde", head + "%environment\nexport A=~/x\n", []string{"/.environment.sh\n"}, []string{"ENV A"}},
		{"a folder into a folder", head + "%files\nscripts /opt/\nscripts /srv\nscripts /new\n*.py /w\n. /all\nx/ /opt\n",
			[]string{"COPY scripts /opt/scripts\n", "COPY scripts /srv/scripts\n", "COPY scripts /new\n", "COPY *.py /w/\n", "COPY . /all\n", "COPY x/ /opt/x\n"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := definition.ParseString(tt.in, definition.Options{AllowUndefined: true})
			if err != nil {
				t.Fatal(err)
			}
			r := FromDefinition(f)
			for _, w := range tt.want {
				if !strings.Contains(r.Text, w) {
					t.Errorf("lacks %q:\n%s", w, r.Text)
				}
			}
			for _, w := range tt.lack {
				if strings.Contains(r.Text, w) {
					t.Errorf("holds %q:\n%s", w, r.Text)
				}
			}
			if _, err := parse(r.Text); err != nil {
				t.Error(err)
			}
		})
	}
}

func FuzzToDefinition(f *testing.F) {
	f.Add("FROM a AS b\nRUN <<E\nx\nE\nCOPY --from=b . /x\nENV A=$B\n")
	f.Add("# escape=`\nFROM scratch\nADD [\"a b\", \"/\"]\nHEALTHCHECK CMD curl http://localhost\n")
	f.Fuzz(func(t *testing.T, in string) {
		r, err := ToDefinition(in, folder)
		if err == nil && !strings.HasPrefix(r.Text, "Bootstrap: ") {
			t.Errorf("%q", r.Text)
		}
	})
}
