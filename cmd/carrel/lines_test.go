package main

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"mvdan.cc/sh/v3/syntax"
)

// TestCommandLines holds every line that the documents and the examples of the verbs tell somebody to type to the program: its
// verbs, options and numbers of arguments are there.
func TestCommandLines(t *testing.T) {
	lines := map[string]string{} // line to where it is
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, "../../README.md") {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			text := strings.TrimSpace(line)
			if code := strings.TrimPrefix(text, "$ "); strings.HasPrefix(code, "carrel ") && (code != text || strings.HasPrefix(line, "    ") || strings.HasPrefix(line, "  ") || line[0] == 'c') {
				lines[code] = filepath.Base(file)
			}
		}
	}
	var verbs func(*cobra.Command)
	verbs = func(c *cobra.Command) {
		for line := range strings.Lines(c.Example) {
			lines[strings.TrimSpace(line)] = c.CommandPath() + " --help"
		}
		for _, sub := range c.Commands() {
			verbs(sub)
		}
	}
	verbs(rootCommand(newApp()))
	tried := 0
	for line, where := range lines {
		for _, args := range calls(line) {
			tried++
			if err := understood(args); err != nil {
				t.Errorf("%s: %s: %v", where, line, err)
			}
		}
	}
	if tried < 150 {
		t.Errorf("only %d lines were found", tried)
	}
}

// prose is what follows a command in a table of the documents: two spaces, or a word that is no argument.
var prose = regexp.MustCompile(`(\s{2,}[^-\s#].*| → .*| … .*)$`)

// calls are the arguments of each call of carrel in a line of a shell. A line that is none has none.
func calls(line string) [][]string {
	line = prose.ReplaceAllString(line, "")
	parsed, err := syntax.NewParser().Parse(strings.NewReader(line), "")
	if err != nil {
		return nil
	}
	var out [][]string
	syntax.Walk(parsed, func(n syntax.Node) bool {
		call, ok := n.(*syntax.CallExpr)
		if !ok || len(call.Args) == 0 || call.Args[0].Lit() != "carrel" {
			return true
		}
		var args []string
		for _, w := range call.Args[1:] {
			text := w.Lit()
			if text == "" { // quotes and variables: something
				text = "x"
			}
			args = append(args, text)
		}
		out = append(out, args)
		return true
	})
	return out
}

// understood is nil when the program takes arguments.
func understood(args []string) error {
	for _, a := range args {
		if strings.ContainsAny(a, "…|[") || strings.HasSuffix(a, ",") || a == "VERB" || a == "TOPIC" {
			return nil // a form or a sentence, not a line to type
		}
	}
	root := rootCommand(newApp(), args...)
	c, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	if err := c.ParseFlags(rest); err != nil {
		return err
	}
	return c.ValidateArgs(c.Flags().Args())
}

func TestUnderstood(t *testing.T) {
	for line, want := range map[string]bool{
		"carrel ls": true, "carrel run -p 8888 -B ~/x:/data nginx-jupyter": true, "carrel cache prune && carrel ls --json": true,
		"carrel rnu x": false, "carrel run --no-such x": false, "carrel exec": false, "carrel cp a": false, "carrel ls; carrel ps --jsno": false,
	} {
		bad := 0
		all := calls(line)
		for _, args := range all {
			if understood(args) != nil {
				bad++
			}
		}
		if len(all) == 0 || (bad == 0) != want {
			t.Errorf("%q: %d of %q are bad", line, bad, all)
		}
	}
}

var linkTargets = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// TestLinks: what the documents link to in this tree is there, headings too.
func TestLinks(t *testing.T) {
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("../../*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, more...) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range linkTargets.FindAllStringSubmatch(string(data), -1) {
			u, err := url.Parse(m[1])
			if err != nil || u.Scheme != "" {
				continue // somewhere else
			}
			target := file
			if u.Path != "" {
				target = filepath.Join(filepath.Dir(file), u.Path)
			}
			text, err := os.ReadFile(target)
			if st, serr := os.Stat(target); serr == nil && st.IsDir() {
				err = nil
			}
			if err != nil {
				t.Errorf("%s links to %s, which is not there", filepath.Base(file), m[1])
			} else if u.Fragment != "" && !headings(string(text))[u.Fragment] {
				t.Errorf("%s links to %s: there is no such heading", filepath.Base(file), m[1])
			}
		}
	}
}

// headings are the anchors that a Markdown page gets for its headings on the usual hosts.
func headings(text string) map[string]bool {
	out := map[string]bool{}
	for line := range strings.Lines(text) {
		title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " ")
		if !ok || line[0] != '#' {
			continue
		}
		anchor := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r > 0x7f:
				return r
			}
			return -1
		}, strings.ToLower(strings.TrimSpace(title)))
		out[anchor] = true
	}
	return out
}
