package definition

import (
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func mustParse(t *testing.T, text string, opts Options) *File {
	t.Helper()
	f, err := ParseString(text, opts)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestParseErrors(t *testing.T) {
	const head = "Bootstrap: docker\nFrom: debian\n"
	for _, tc := range []struct {
		name, text string
		fails      string
		line       int
		hint       string
	}{
		{"misspelt section", head + "\n%psot\n echo\n", "line 4: unknown section %psot, did you mean %post?", 4, "write %post in line 4"},
		{"swapped letters", head + "%runscritp\n", "did you mean %runscript?", 3, ""},
		{"word of another tool", head + "%entrypoint\n", "did you mean %runscript?", 3, ""},
		{"nothing near", head + "%quux\n", "unknown section %quux", 3, "%post"},
		{"percent alone", head + "%\n", "a section without a name", 3, ""},
		{"indented text in a script", head + "%post\n echo 1\n %wheel x\n", "white space before or after the %", 5, "echo"},
		{"key near", "Bootstrap: docker\nForm: x\n", "did you mean From:?", 2, ""},
		{"key without colon", "Bootstrap: docker\nFrom debian\n", `"From debian" is not "Key: value", did you mean From: debian?`, 2, ""},
		{"section without percent", "Bootstrap: docker\npost\n", "did you mean %post?", 2, ""},
		{"Dockerfile", "# x\nFROM debian:12\nRUN true\n", "this is a Dockerfile", 2, "Bootstrap: docker"},
		{"recipe of 2.1", "RELEASE=7\nDistType \"redhat\"\nBootstrap\n", "Singularity 2.0 or 2.1", 2, "Bootstrap: debootstrap"},
		{"JSON", "{\"a\": 1}", "this is JSON", 1, ""},
		{"empty", "", "no stages found", 0, "Bootstrap"},
		{"white space", " \n\t\r\n", "no stages found", 0, ""},
		{"empty sections", "%post\n\n%test\n", "no stages found", 0, ""},
		{"app without name", head + "%apphelp   # c\n", "%apphelp without the name of its app", 3, "%apphelp NAME"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := ParseString(tc.text, Options{Name: "Singularity"})
			checkError(t, err, tc.fails, tc.line, tc.hint)
		})
	}
}

func TestParseReportsEveryError(t *testing.T) {
	_, err := ParseString("Bootstrap: docker\nMaintainer: me\n%psot\n echo\n%labelz\nA b\n", Options{Name: "x.def"})
	var all Errors
	if !errors.As(err, &all) || len(all) != 3 {
		t.Fatalf("got %v, want three errors", err)
	}
	var first *Error
	if !errors.As(err, &first) || first.Line != 2 || first.File != "x.def" || first.Section != "header" {
		t.Errorf("first error %+v", first)
	}
	if !errors.As(all[2], &first) || first.Suggestion != "%labels" || first.Section != "labelz" {
		t.Errorf("third error %+v", all[2])
	}
}

func TestParseReadErrors(t *testing.T) {
	if _, err := Parse(iotest.ErrReader(io.ErrClosedPipe), Options{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v", err)
	}
	if _, err := ParseString("Bootstrap: docker\n", Options{MaxSize: 8}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	if _, err := ParseString("#\n", Options{}); !errors.Is(err, ErrEmpty) {
		t.Errorf("got %v", err)
	}
}

func TestHeader(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       kv
	}{
		{"continuation", "Bootstrap: yum\nInclude: a \\\n   b\\\nc\n", kv{"Bootstrap": "yum", "Include": "a bc"}},
		{"continuation from nothing", "Bootstrap: yum\nInclude: \\\n a b\n", kv{"Bootstrap": "yum", "Include": "a b"}},
		{"line end in the value", "Bootstrap: zypper\nProductPGP: a\\n\\\nb\\n\\\nc\n", kv{"Bootstrap": "zypper", "ProductPGP": "a\nb\nc"}},
		{"comment within", "Bootstrap: yum\nInclude: a \\\n# two more\n  b \\\n  c\n", kv{"Bootstrap": "yum", "Include": "a b c"}},
		{"open at the end", "Bootstrap: yum\nInclude: a \\", kv{"Bootstrap": "yum", "Include": "a"}},
		{"open at the first section", "Bootstrap: yum\nInclude: a \\\n%post\n true\n", kv{"Bootstrap": "yum", "Include": "a"}},
		{"colons in the value", "Bootstrap: docker\nFrom: host:5000/a/b:c@sha256:0\n", kv{"Bootstrap": "docker", "From": "host:5000/a/b:c@sha256:0"}},
		{"as in 2016", "BootStrap: debootstrap\nOSVersion: xenial\nMirrorURL: mirror\nInclude: bash\n", kv{"BootStrap": "debootstrap", "OSVersion": "xenial", "MirrorURL": "mirror", "Include": "bash"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := mustParse(t, tc.text, Options{})
			got := kv{}
			for _, field := range f.Final().Header {
				got[field.Key] = field.Value
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	h := mustParse(t, "Bootstrap: zypper\nOtherURL10: j\nOtherURL2: b\nOtherURL1: a\n", Options{}).Final().Header
	if diff := cmp.Diff([]string{"a", "b", "j"}, h.Numbered("OtherURL")); diff != "" {
		t.Error(diff)
	}
	if h.Get("BOOTSTRAP") != "zypper" || h.Line("otherurl2") != 3 || h.Line("from") != 0 {
		t.Errorf("header %v", h)
	}
}

const stages = `# a comment above
Bootstrap: docker
From: golang:{{ GO }}
Stage: build

%arguments
    GO=1.26
    # a comment
    BASE = {{ GO }}-x

%post
    go version {{ GO }} {{ BASE }}

Bootstrap: docker
From: debian:{{ TAG }}
Stage: final

%arguments
    TAG=12

%files from build
    /go/bin /usr/local/bin
%files
    "my data" /data
    notes.txt

%appinstall one
    make
%apprun two args
    exec two "$@"
%applabels one
    A 1
%appfiles one
    bin/x
%apprun one
    exec one
`

func TestStages(t *testing.T) {
	f := mustParse(t, stages, Options{BuildArgs: map[string]string{"TAG": "13", "LEFT": "x"}})
	if len(f.Stages) != 2 {
		t.Fatalf("%d stages", len(f.Stages))
	}
	build, final := f.Stage("build"), f.Final()
	if build.From() != "golang:1.26" || final.From() != "debian:13" {
		t.Errorf("from %q and %q", build.From(), final.From())
	}
	if got := build.Section("post").Text(); got != "    go version 1.26 {{ GO }}-x\n\n" && got != "    go version 1.26 1.26-x\n\n" {
		t.Errorf("post %q", got)
	}
	wantArgs := []Argument{{"GO", "1.26", 7}, {"BASE", "1.26-x", 9}}
	if diff := cmp.Diff(wantArgs, build.Arguments); diff != "" {
		t.Error(diff)
	}
	wantFiles := []FileCopy{{"build", "/go/bin", "/usr/local/bin", 22}, {"", "my data", "/data", 24}, {"", "notes.txt", "", 25}}
	if diff := cmp.Diff(wantFiles, final.Files); diff != "" {
		t.Error(diff)
	}
	if len(final.Apps) != 2 || final.Apps[0].Name != "one" || final.Apps[1].Name != "two" {
		t.Fatalf("apps %v", final.Apps)
	}
	one := final.App("one")
	if diff := cmp.Diff(map[string]string{"A": "1"}, one.LabelMap()); diff != "" {
		t.Error(diff)
	}
	if one.Section("run").Text() != "    exec one\n" || final.App("two").Section("run").Args != "args" || one.Files[0].Src != "bin/x" {
		t.Errorf("app one %+v", one)
	}
	if diff := cmp.Diff([]string{"LEFT"}, f.UnusedArgs); diff != "" {
		t.Error(diff)
	}
	if err := f.Check(); err != nil {
		t.Error(err)
	}
	if strings.Contains(f.Raw, "{{ TAG }}") || !strings.Contains(f.Raw, "From: debian:13\n") || !strings.HasPrefix(f.Raw, "# a comment above\n") {
		t.Errorf("raw text\n%s", f.Raw)
	}
	if f.Source != stages {
		t.Error("source is not what was read")
	}
}

func TestSourceLine(t *testing.T) {
	text := "Bootstrap: docker\nFrom: {{ X }}\n%post\n one\n%test\n t\n%post\n two {{ Y }}\n three\n"
	f := mustParse(t, text, Options{BuildArgs: map[string]string{"X": "a", "Y": "v\nw"}})
	post := f.Final().Section("post")
	if post.Body != " one\n two v\nw\n three\n" {
		t.Fatalf("body %q", post.Body)
	}
	for n, want := range map[int]int{1: 4, 2: 8, 3: 8, 4: 9, 5: 3, 0: 3} {
		if got := post.SourceLine(n); got != want {
			t.Errorf("line %d of %%post: got %d, want %d", n, got, want)
		}
	}
}

func TestTemplates(t *testing.T) {
	args := map[string]string{"V": "1", "W": "{{ V }}+"}
	for _, tc := range []struct{ name, in, want, missing, rules string }{
		{name: "several", in: "{{V}}{{ V }} {{\tV\n}}.", want: "11 1."},
		{name: "value with a template", in: "{{ W }}", want: "1+"},
		{name: "comment", in: "a # {{ V }} {{ NO }}\n#{{ V }}", want: "a # {{ V }} {{ NO }}\n#1"},
		{name: "undefined behind a bare hash", in: "#{{ NO }} {{ NO2 }}", want: "#{{ NO }} {{ NO2 }}"},
		{name: "interpreter line", in: "#!/bin/{{ V }}", want: "#!/bin/1"},
		{name: "hash in a word", in: "s#a#{{ V }}#", want: "s#a#{{ V }}#", rules: "template-comment"},
		{name: "fragment", in: "repo#{{ V }}", want: "repo#1"},
		{name: "no template", in: "{{ a.b }} {{}} {V} {{ V }", want: "{{ a.b }} {{}} {V} {{ V }"},
		{name: "all undefined", in: "{{ A }}\n{{ B }} {{ A }}", want: "{{ A }}\n{{ B }} {{ A }}", missing: "A B"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out := fill(tc.in, 1, values{build: args, used: map[string]bool{}})
			if out.text != tc.want {
				t.Errorf("got %q, want %q", out.text, tc.want)
			}
			var missing, rules []string
			for _, u := range out.undefined {
				missing = append(missing, u.Name)
			}
			for _, f := range out.findings {
				rules = append(rules, f.Rule)
			}
			if got := strings.Join(missing, " "); got != tc.missing {
				t.Errorf("undefined %q, want %q", got, tc.missing)
			}
			if got := strings.Join(rules, " "); got != tc.rules {
				t.Errorf("findings %q, want %q", got, tc.rules)
			}
			if len(out.lines) != strings.Count(out.text, "\n")+1 {
				t.Errorf("%d line numbers for %q", len(out.lines), out.text)
			}
		})
	}
}

func TestUndefinedListsAll(t *testing.T) {
	text := "Bootstrap: docker\nFrom: {{ A }}\nStage: one\n%post\n {{ B }} {{ A }}\n%files\n {{ C }} x\n"
	_, err := ParseString(text, Options{Name: "S"})
	var u *UndefinedError
	if !errors.As(err, &u) {
		t.Fatal(err)
	}
	want := []Undefined{{"A", "one", 2, 7}, {"B", "one", 5, 2}, {"C", "one", 7, 2}}
	if diff := cmp.Diff(want, u.Names); diff != "" {
		t.Error(diff)
	}
	if got := u.Error(); got != "parse S: build arguments A (line 2), B (line 5), C (line 7) have no values" {
		t.Error(got)
	}
	f := mustParse(t, text, Options{AllowUndefined: true})
	if len(f.Undefined) != 3 || f.Final().Files[0].Src != "{{ C }}" {
		t.Errorf("undefined %v, files %v", f.Undefined, f.Final().Files)
	}
}

func TestLeniencies(t *testing.T) {
	const head = "Bootstrap: docker\nFrom: debian\n"
	for _, tc := range []struct {
		name, text, rule string
		line             int
		fix              string
	}{
		{"plural", head + "%environments\n A=1\n", "section-name", 3, "%environment"},
		{"short", head + "%env\n A=1\n", "section-name", 3, "%environment"},
		{"singular", head + "%label\n A 1\n", "section-name", 3, "%labels"},
		{"app label", head + "%applabel x\n A 1\n", "section-name", 3, "%applabels"},
		{"app in capitals", head + "%AppRun x\n true\n", "section-case", 3, "%apprun"},
		{"section in a here-document", head + "%post\ncat <<X\n%test\nX\n", "section-in-heredoc", 5, "write the line so that it does not begin with %, for instance with echo '%test'"},
		{"stage in a here-document", head + "%post\ncat <<'X'\nBootstrap: docker\nFrom: a\n%post\nX\n", "stage-in-heredoc", 5, "put white space before it"},
		{"app name", head + "%apprun ../x\n true\n", "app-name", 3, "use letters, digits, - and _"},
		{"arguments", head + "%arguments\n A 1\n%post\n true\n", "argument-form", 4, "write NAME=DEFAULT"},
		{"files", head + "%files form x\n a b\n", "files-args", 3, "write %files or %files from STAGE"},
		{"comment behind a file", head + "%files\n a # b\n", "files-comment", 4, "put the comment into a line of its own"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := mustParse(t, tc.text, Options{})
			if len(f.Warnings) != 1 {
				t.Fatalf("warnings %+v", f.Warnings)
			}
			if w := f.Warnings[0]; w.Rule != tc.rule || w.Line != tc.line || w.Fix != tc.fix {
				t.Errorf("got %s, line %d, fix %q; want %s, line %d, fix %q", w.Rule, w.Line, w.Fix, tc.rule, tc.line, tc.fix)
			}
		})
	}
}

func TestHeredocs(t *testing.T) {
	for text, inside := range map[string]bool{
		"cat <<EOF": true, "cat <<-'A B'": true, "cat << \\EOF > x": true, "a <<A; b <<B": true, "echo '<<EOF'": false, `echo "<<EOF"`: false,
		"x=$((1<<2))": false, "cat <<<word": false, "# <<EOF": false, "echo \\<<EOF": false, "cat <<": false, "cat <<EOF\nEOF": false,
		"cat <<-EOF\n\tEOF": false, "cat <<EOF\n\tEOF": true, "a <<A <<B\nA": true, "a <<A <<B\nA\nB": false,
	} {
		var h heredocs
		for i, l := range strings.Split(text, "\n") {
			h.next(l, i+1)
		}
		if h.inside() != inside {
			t.Errorf("%q: got %v, want %v", text, h.inside(), inside)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, tc := range []struct {
		name, text, fails string
		line              int
	}{
		{"no header", "%post\n true\n", "names no base", 1},
		{"unknown stage", "Bootstrap: docker\nStage: build\nBootstrap: docker\n%files from biuld\n a b\n", `no stage before this one is named "biuld", did you mean build?`, 5},
		{"later stage", "Bootstrap: docker\n%files from b\n a b\nBootstrap: docker\nStage: b\n", "no stage before", 3},
		{"same name", "Bootstrap: docker\nStage: a\nBootstrap: docker\nStage: a\n", "the stage of line 1 has the name", 4},
	} {
		t.Run(tc.name, func(t *testing.T) {
			checkError(t, mustParse(t, tc.text, Options{}).Check(), tc.fails, tc.line, "")
		})
	}
}

// TestParseIsLinear reads a quarter of a megabyte of each thing there can be many of; a quadratic step would show.
func TestParseIsLinear(t *testing.T) {
	for name, line := range map[string]string{
		"sections": "%post\n a\n", "labels": "%labels\n # b\n", "apps": "%apprun a#\n", "unknown": "%a\n", "templates": "{{ a }} # {{ b }}\n",
		"stages": "Bootstrap: a\n", "one line": "{{ a }}", "percent lines in a document": " %x\n", "header": "OtherURL#: x\n", "quotes": "' \"a ",
	} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			b.WriteString("Bootstrap: x\nInclude: y\n")
			switch name {
			case "percent lines in a document":
				b.WriteString("%post\ncat <<E\n")
			case "quotes":
				b.WriteString("%files\n")
			case "labels":
				b.WriteString("%labels\n")
			}
			for i := 0; b.Len() < 1<<18; i++ {
				b.WriteString(strings.ReplaceAll(line, "#", strconv.Itoa(i)))
				if name == "labels" {
					b.WriteString("l" + strconv.Itoa(i) + " v\n")
				}
			}
			b.WriteString("\nE\n")
			_, _ = ParseString(b.String(), Options{AllowUndefined: true})
			_, _ = Lint(strings.NewReader(b.String()), Options{})
			Tokens(b.String())
		})
	}
}

func TestScript(t *testing.T) {
	for _, tc := range []struct{ name, section, want string }{
		{"plain", "%runscript\n exec x\n", "#!/bin/sh\n\n exec x\n\n"},
		{"arguments", "%runscript -e # c\nx\n", "#!/bin/sh -e\n\nx\n\n"},
		{"interpreter", "%runscript\n#!/usr/bin/env python3\nprint(1)\n", "#!/usr/bin/env python3\n\nprint(1)\n\n"},
		{"indented interpreter", "%runscript\n\n  #!/bin/bash \n x\n", "#!/bin/bash\n\n x\n\n"},
		{"empty", "%runscript\n%post\n true\n", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := mustParse(t, "Bootstrap: docker\n"+tc.section, Options{})
			if got := f.Final().Section("runscript").Script(); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	f := mustParse(t, "Bootstrap: docker\n%environment\nA=1\n%help\nH\n", Options{}).Final()
	if f.Environment() != "#!/bin/sh\n\nA=1\n\n" || f.Help() != "H\n\n" || f.Section("none").Script() != "" || !f.Section("none").IsEmpty() {
		t.Errorf("environment %q, help %q", f.Environment(), f.Help())
	}
}

func TestCommand(t *testing.T) {
	for _, tc := range []struct {
		args string
		want string
	}{
		{"", "/bin/sh|-ex|/s"},
		{"-u # c", "/bin/sh|-ex|-u|/s"},
		{"-c /bin/bash", "/bin/sh|-ex|-c|/bin/bash /s"},
		{"-u -c /bin/bash -l", "/bin/sh|-ex|-u|-c|/bin/bash -l /s"},
	} {
		got, err := (&Section{Name: "post", Args: tc.args}).Command("/s")
		if err != nil || strings.Join(got, "|") != tc.want {
			t.Errorf("%q: got %q, %v, want %q", tc.args, got, err, tc.want)
		}
	}
	_, err := (&Section{Name: "post", Args: "-c", Line: 7}).Command("/s")
	checkError(t, err, "%post -c names no shell", 7, "%post -c /bin/bash")
}

func FuzzParse(f *testing.F) {
	f.Add(stages)
	f.Add("\ufeffBootstrap: x\r\n%post\t-c a\r\n cat <<E\n %x\nE\n%files\n 'a b' \"c\n%labels\nA=b\nB\tc\n")
	f.Add("From: a\nBootstrap: b\nInclude: a \\\n# c\nb\n%AppRun x\n{{ A }}\n%environments\n")
	f.Fuzz(func(t *testing.T, text string) {
		args := map[string]string{"A": "1", "B": "x y"}
		Tokens(text)
		Lint(strings.NewReader(text), Options{})
		file, err := ParseString(text, Options{BuildArgs: args, AllowUndefined: true})
		if err != nil {
			if file != nil || err.Error() == "" {
				t.Fatalf("file %v with error %v", file, err)
			}
			return
		}
		lines := strings.Count(text, "\n") + 1
		for _, w := range file.Warnings {
			if w.Line < 1 || w.Line > lines {
				t.Fatalf("finding outside of the file: %+v", w)
			}
		}
		// What is written anew means the same.
		if strings.Contains(text, `\`) || strings.ContainsAny(text, "\"'") || strings.Contains(text, "{{") || file.Format() == "" {
			return
		}
		again, err := ParseString(file.Format(), Options{AllowUndefined: true})
		if err != nil {
			t.Fatalf("%v\nof\n%s", err, file.Format())
		}
		if len(again.Stages) != len(file.Stages) {
			t.Fatalf("%d stages became %d:\n%s", len(file.Stages), len(again.Stages), file.Format())
		}
		for i := range file.Stages {
			a, b := shapeOf(file.Stages[i]), shapeOf(again.Stages[i])
			delete(a.Header, "token")
			delete(a.Args, "files")
			delete(b.Args, "files")
			if len(a.Args) == 0 {
				a.Args, b.Args = nil, nil
			}
			if diff := cmp.Diff(a, b); diff != "" {
				t.Fatalf("%s\n%s", diff, file.Format())
			}
		}
	})
}
