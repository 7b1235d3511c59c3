package definition

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// edgeText is a small input of testdata/edge, or one of the two long ones.
func edgeText(t *testing.T, name string) string {
	t.Helper()
	line := "echo " + strings.Repeat("x", 100) + "\n"
	switch name {
	case "big_header_ok":
		return "Bootstrap: docker\nFrom: ubuntu:20.04\n\n%post\n" + strings.Repeat(line, 500)
	case "big_section":
		return "Bootstrap: docker\nFrom: ubuntu:20.04\n\n%post\n" + strings.Repeat(line, 800)
	}
	data, err := os.ReadFile(filepath.Join("testdata", "edge", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// shape is what a stage comes to, for comparison.
type shape struct {
	Header   map[string]string
	Sections map[string]string
	Args     map[string]string
	Apps     []string
	Files    []string
	Labels   []string
}

func shapeOf(s *Stage) shape {
	var sh shape
	set := func(m *map[string]string, k, v string) {
		if *m == nil {
			*m = map[string]string{}
		}
		(*m)[k] = v
	}
	for _, f := range s.Header {
		set(&sh.Header, strings.ToLower(f.Key), f.Value)
	}
	for name, sec := range s.Sections {
		if sec.Args != "" {
			set(&sh.Args, name, sec.Args)
		}
		if name != "files" && name != "labels" {
			set(&sh.Sections, name, sec.Body)
		}
	}
	for _, a := range s.Apps {
		names := []string{}
		for n := range a.Sections {
			names = append(names, n)
		}
		slices.Sort(names)
		sh.Apps = append(sh.Apps, a.Name+" "+strings.Join(names, ","))
	}
	for _, f := range s.Files {
		sh.Files = append(sh.Files, f.From+"|"+f.Src+"|"+f.Dst)
	}
	for _, l := range s.Labels {
		sh.Labels = append(sh.Labels, l.Key+"|"+l.Value)
	}
	return sh
}

type kv = map[string]string

var ubuntu = kv{"bootstrap": "docker", "from": "ubuntu:20.04"}

// TestEdgeCases holds every edge case of the grammar to Apptainer's verdict, or to the better one doc.go names.
func TestEdgeCases(t *testing.T) {
	for _, tc := range []struct {
		name string
		// apptainer is the verdict of its parser: accept, reject, needs-args or panic.
		apptainer string
		rules     []string // of the warnings
		fails     string   // part of the error's text; empty for accept
		line      int      // of the error
		hint      string   // part of the error's hint
		want      []shape
	}{
		{name: "app_noname", apptainer: "reject", fails: "%apprun without the name of its app", line: 4, hint: "%apprun NAME"},
		{name: "app_two", apptainer: "accept", want: []shape{{Header: ubuntu, Apps: []string{"foo env,run"}}}},
		{name: "args_comment", apptainer: "accept", want: []shape{{Header: kv{"bootstrap": "docker", "from": "ubuntu"}, Sections: kv{"post": " echo # {{ NOPE2 }}\n"}}}},
		{name: "args_in_2ndstage", apptainer: "needs-args", fails: "build argument V (line 8) has no value", hint: "--build-arg V="},
		{name: "args_jinja_dot", apptainer: "needs-args", fails: "build argument range (line 4)"},
		{name: "args_missing", apptainer: "needs-args", fails: "build argument V (line 2)"},
		{name: "args_ok", apptainer: "accept", want: []shape{{Header: ubuntu, Sections: kv{"arguments": " V=20.04\n", "post": " echo 20.04 20.04 $20.04\n"}}}},
		{name: "big_header_ok", apptainer: "accept"},
		{name: "big_section", apptainer: "reject", rules: []string{"section-long"}},
		{name: "blank_after_cont", apptainer: "panic", rules: []string{"header-continuation"}, want: []shape{{Header: kv{"bootstrap": "zypper", "productpgp": "AAA", "include": "x"}}}},
		{name: "bom", apptainer: "reject", rules: []string{"bom"}, want: []shape{{Header: ubuntu}}},
		{name: "bootstrap_in_heredoc", apptainer: "reject", fails: `"EOF" is not "Key: value"`, line: 8, hint: "line 6 begins a stage, also in the here-document begun in line 5"},
		{name: "bootstrap_indented_heredoc", apptainer: "accept", want: []shape{{Header: ubuntu, Sections: kv{"post": " cat > /x <<EOF\n Bootstrap: library\nEOF\n"}}}},
		{name: "comment_after_cont", apptainer: "panic", rules: []string{"header-continuation"}, want: []shape{{Header: kv{"bootstrap": "zypper", "productpgp": "AAA", "include": "x"}}}},
		{name: "crlf", apptainer: "accept", want: []shape{{Header: ubuntu, Sections: kv{"post": " echo hi\n"}}}},
		{name: "double_percent", apptainer: "accept", want: []shape{{Header: ubuntu, Sections: kv{"post": " echo hi\n"}}}},
		{name: "dup_header", apptainer: "accept", rules: []string{"header-duplicate"}, want: []shape{{Header: kv{"bootstrap": "docker", "from": "alpine"}}}},
		{name: "empty_val", apptainer: "accept", want: []shape{{Header: kv{"bootstrap": "docker", "from": ""}}}},
		{name: "env_ws_in_bootstrap", apptainer: "accept", want: []shape{{Header: kv{"bootstrap": "docker", "from": "x"}, Sections: kv{"post": " echo\n"}}}},
		{name: "files_comment", apptainer: "accept", want: []shape{{Header: ubuntu, Args: kv{"files": "# c"}, Files: []string{"|a|b"}}}},
		{name: "files_from", apptainer: "accept", want: []shape{{Header: ubuntu, Args: kv{"files": "from one"}, Files: []string{"one|a|b"}}}},
		{name: "files_variants", apptainer: "accept", rules: []string{"files-quotes", "files-words"}, want: []shape{{Header: ubuntu,
			Files: []string{"|a|b", "|x y|z", "|x y|z w", "|a|b", "|a|b", "|a|b"}}}},
		{name: "from5", apptainer: "reject", fails: `unknown header key "From5", did you mean From:?`, line: 2},
		{name: "from_first", apptainer: "accept", rules: []string{"header-order"}, want: []shape{{Header: kv{"bootstrap": "docker", "from": "ubuntu"}, Sections: kv{"post": " echo\n"}}}},
		{name: "hash_in_from", apptainer: "accept", rules: []string{"header-comment"}, want: []shape{{Header: kv{"bootstrap": "docker", "from": "foo/bar"}}}},
		{name: "header_only_comments", apptainer: "reject", fails: "no stages found in definition file"},
		{name: "indented_section", apptainer: "reject", fails: "white space before or after the %", line: 4, hint: "begin line 4 with %post"},
		{name: "labels_dup", apptainer: "accept", rules: []string{"label-duplicate"}, want: []shape{{Header: ubuntu, Labels: []string{"A|2"}}}},
		{name: "labels_eq", apptainer: "accept", rules: []string{"label-equals", "label-tab"}, want: []shape{{Header: ubuntu,
			Labels: []string{"A=b|", "KEY|value", "K|two  spaces", `"q|k" v`}}}},
		{name: "last_line_no_nl", apptainer: "accept", want: []shape{{Header: ubuntu, Sections: kv{"runscript": "exec x\n"}}}},
		{name: "no_header", apptainer: "accept", want: []shape{{Sections: kv{"post": " echo hi\n"}}}},
		{name: "nospace", apptainer: "accept", want: []shape{{Header: kv{"bootstrap": "docker", "from": "ubuntu"}}}},
		{name: "nul", apptainer: "accept", rules: []string{"nul"}, want: []shape{{Header: ubuntu, Sections: kv{"post": " echo \x00 hi\n"}}}},
		{name: "otherurl12", apptainer: "accept", want: []shape{{Header: kv{"bootstrap": "zypper", "otherurl12": "x"}}}},
		{name: "percent_indented_in_post", apptainer: "reject", fails: "in the here-document begun in line 5", line: 6, hint: "echo"},
		{name: "percent_line_in_post", apptainer: "reject", fails: "unknown section %sudo (in the here-document begun in line 5)", line: 6, hint: "echo"},
		{name: "post_twice_args", apptainer: "accept", want: []shape{{Header: ubuntu, Sections: kv{"post": " echo 1\n echo 2\n"}, Args: kv{"post": "-c /bin/bash"}}}},
		{name: "runscript_args", apptainer: "accept", want: []shape{{Header: ubuntu, Sections: kv{"runscript": " echo\n"}, Args: kv{"runscript": "-e"}}}},
		{name: "section_name_colon", apptainer: "reject", rules: []string{"section-name"}, want: []shape{{Header: ubuntu, Labels: []string{"A|b"}}}},
		{name: "section_no_body", apptainer: "accept", want: []shape{{Header: ubuntu, Sections: kv{"help": ""}}}},
		{name: "space_percent", apptainer: "reject", fails: "did you mean %post?", line: 4},
		{name: "tab_after_name", apptainer: "reject", rules: []string{"section-tab"}, want: []shape{{Header: ubuntu, Sections: kv{"post": "    echo hi\n"}}}},
		{name: "tab_then_args", apptainer: "reject", rules: []string{"section-tab"}, want: []shape{{Header: ubuntu, Sections: kv{"post": "    echo hi\n"}, Args: kv{"post": "-c /bin/bash"}}}},
		{name: "token_hdr", apptainer: "reject", rules: []string{"header-legacy"}, want: []shape{{Header: kv{"bootstrap": "docker", "from": "x", "token": "no"}}}},
		{name: "trailing_space_name", apptainer: "accept", want: []shape{{Header: ubuntu, Sections: kv{"post": " echo\n"}}}},
		{name: "unknown_header", apptainer: "reject", fails: `unknown header key "Maintainer"`, line: 3, hint: "%labels"},
		{name: "uppercase", apptainer: "accept", want: []shape{{Header: ubuntu, Sections: kv{"post": " echo hi\n", "runscript": " echo x\n"}}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file, err := ParseString(edgeText(t, tc.name), Options{Name: tc.name})
			if tc.apptainer == "accept" && tc.fails != "" {
				t.Fatal("stricter than Apptainer")
			}
			if tc.fails != "" {
				checkError(t, err, tc.fails, tc.line, tc.hint)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var rules []string
			for _, w := range file.Warnings {
				if w.Line == 0 || w.Message == "" {
					t.Errorf("warning without line or message: %+v", w)
				}
				rules = append(rules, w.Rule)
			}
			slices.Sort(rules)
			if diff := cmp.Diff(tc.rules, rules); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
			if tc.want == nil {
				return
			}
			var got []shape
			for _, s := range file.Stages {
				got = append(got, shapeOf(s))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("stages (-want +got):\n%s", diff)
			}
		})
	}
}

func checkError(t *testing.T, err error, text string, line int, hint string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %q", text)
	}
	if !strings.Contains(err.Error(), text) {
		t.Errorf("error %q does not contain %q", err, text)
	}
	var e *Error
	if errors.As(err, &e) && e.Line != line {
		t.Errorf("error in line %d, want %d", e.Line, line)
	}
	if !strings.Contains(hintOf(err), hint) {
		t.Errorf("hint %q does not contain %q", hintOf(err), hint)
	}
}

func hintOf(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	return ""
}
