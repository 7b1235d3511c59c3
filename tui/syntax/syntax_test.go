package syntax

import (
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"

	"carrel/tui/theme"
	"carrel/tui/widget"
)

var th = theme.New(theme.Options{Background: theme.Dark})

// marked writes the pieces that are not ordinary with their kind: "k[if]".
func marked(lines [][]Span) string {
	var b strings.Builder
	for i, l := range lines {
		if i > 0 {
			b.WriteByte('\n')
		}
		for _, s := range l {
			if s.Kind == Ordinary {
				b.WriteString(s.Text)
			} else {
				b.WriteString(string(" cqkn.h"[s.Kind]) + "[" + s.Text + "]")
			}
		}
	}
	return b.String()
}

func TestHighlight(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"a.sh", "#!/bin/sh\nif [ \"$1\" = 'x' ]; then # why\necho a#b ${HOME} $X 12\nfi", "c[#!/bin/sh]\nk[if] k[[] q[\"$1\"] = q['x'] k[]]; k[then] c[# why]\necho a#b .[${HOME}] .[$X] n[12]\nk[fi]"},
		{"b.sh", "test -r /usr/local/x --test=local local/y; local x", "k[test] -r /usr/local/x --test=local local/y; k[local] x"},
		{"a.py", "def f(x): # no\n    '''long\n    import''' + 'a\\'b'\n    return 0.5e3, x2", "k[def] f(x): c[# no]\n    q['''long]\nq[    import'''] + q['a\\'b']\n    k[return] n[0.5e3], x2"},
		{"a.R", "x <- c(1, NA) # y\n`odd name` <- TRUE", "x <- c(n[1], k[NA]) c[# y]\nq[`odd name`] <- k[TRUE]"},
		{"a.json", `{"a": "b: c", "n": 12, "t": true}`, `{.["a"]: q["b: c"], .["n"]: n[12], .["t"]: k[true]}`},
		{"a.yml", "# c\nname: \"x\" # y\n- on: push\nurl: http://a", "c[# c]\n.[name]: q[\"x\"] c[# y]\nk[-] .[on]: push\n.[url]: http://a"},
		{"a.toml", "[part]\nkey = 'v' # c", "h[[part]]\n.[key] = q['v'] c[# c]"},
		{"a.html", "<p class=\"x>y\">5 < 6</p><!-- a\nb --><b>", ".[<p] class=q[\"x>y\"].[>]5 .[<] 6</p.[>]c[<!-- a]\nc[b -->].[<b].[>]"},
		{"a.c", "int x = 1; /* a\nb */ // c\n#include \"x.h\"", "k[int] x = n[1]; c[/* a]\nc[b */] c[// c]\nk[#include] q[\"x.h\"]"},
		{"a.js", "const s = `a\n${b}`; // don't", "k[const] s = q[`a]\nq[${b}`]; c[// don't]"},
		{"Singularity", "Bootstrap: docker\n# c\n%labels\n    a.b  it is\n%post\n    if true; then\n%help\n    if", ".[Bootstrap:] docker\nc[# c]\nh[%labels]\n    .[a.b ] it is\nh[%post]\n    k[if] k[true]; k[then]\nh[%help]\n    if"},
		{"a.txt", "if # x", "if # x"},
		{"run", "x", "x"},
		{"q.sql", "SELECT 'a' FROM t -- c", "k[SELECT] q['a'] k[FROM] t c[-- c]"},
	}
	for _, tt := range tests {
		if got := marked(Highlight(Language(tt.name, tt.text), strings.Split(tt.text, "\n"))); got != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.name, got, tt.want)
		}
	}
	if got := Language("run", "#!/usr/bin/env python3\n"); got != "Python" {
		t.Errorf("a script of Python is %q", got)
	}
}

// Colours never change what is read.
func FuzzHighlight(f *testing.F) {
	for _, s := range []string{"if [ \"$1\" ]; then # x", "'''a\nb", "<a b='", "{\"a\":", "%post\n $", "${", "\\"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var lines []string
		for l := range strings.SplitSeq(text, "\n") {
			lines = append(lines, widget.Clean(l))
		}
		for _, name := range []string{"x.sh", "x.py", "x.html", "x.json", "x.yml", "x.toml", "x.c", "x.js", "x.sql", "x.css", "x.tex", "Makefile", "x.def", "x.jl", "x.r"} {
			for i, spans := range Highlight(Language(name, text), lines) {
				if got := ansi.Strip(Draw(th, spans)); got != ansi.Strip(lines[i]) {
					t.Fatalf("%s: %q became %q", name, lines[i], got)
				}
			}
		}
	})
}

// BenchmarkHighlight colours a program of ten thousand lines.
func BenchmarkHighlight(b *testing.B) {
	lines := strings.Split(strings.Repeat("def mean(values): # of all\n    return sum(values) / len(values) + 0.5 * 'a string'.count(\"s\")\n", 5000), "\n")
	for b.Loop() {
		Highlight("Python", lines)
	}
}
