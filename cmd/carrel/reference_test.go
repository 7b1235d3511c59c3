package main

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"carrel/cmd/carrel/topics"
)

// TestReference holds docs/reference.md to the program: go test ./cmd/carrel -run Reference -update.
func TestReference(t *testing.T) {
	got := reference()
	const file = "../../docs/reference.md"
	if f := flag.Lookup("update"); f != nil && f.Value.String() == "true" { // the flag of package golden
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(data), got); diff != "" {
		t.Errorf("docs/reference.md is not what the program says; go test ./cmd/carrel -run Reference -update\n%s", diff)
	}
}

// reference is every verb and option, and the topics that are reference, as Markdown.
func reference() string {
	root := rootCommand(newApp())
	var b strings.Builder
	b.WriteString("# Reference\n\nWritten by the program itself (`go test ./cmd/carrel -run Reference -update`), and checked by a test. " +
		"`carrel VERB --help`\nand `carrel help TOPIC` show the same on a terminal; the command lines of Singularity and Apptainer are in\n[compatibility.md](compatibility.md).\n\n## Verbs\n")
	for _, g := range root.Groups() {
		b.WriteString("\n" + g.Title + ":")
		sep := " "
		for _, c := range root.Commands() {
			if c.GroupID == g.ID && c.IsAvailableCommand() {
				fmt.Fprintf(&b, "%s[%s](#%s)", sep, c.Name(), strings.ReplaceAll(c.CommandPath(), " ", "-"))
				sep = ", "
			}
		}
		b.WriteString("\n")
	}
	var verb func(c *cobra.Command)
	verb = func(c *cobra.Command) {
		if c.HasParent() && !c.IsAvailableCommand() {
			return
		}
		fmt.Fprintf(&b, "\n### %s\n\n%s.\n", c.CommandPath(), c.Short)
		if c.Runnable() && c.HasParent() {
			fmt.Fprintf(&b, "\n```\n%s\n```\n", c.UseLine())
		}
		if c.Long != "" {
			long := strings.TrimSpace(c.Long)
			if strings.Contains(long, "\n  ") { // a table or a list
				long = "```\n" + long + "\n```"
			}
			b.WriteString("\n" + long + "\n")
		}
		options := ""
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Hidden || f.Name == "help" {
				return
			}
			name := "--" + f.Name
			if f.Shorthand != "" {
				name = "-" + f.Shorthand + " " + name
			}
			value, text := pflag.UnquoteUsage(f)
			if value != "" && f.Value.Type() != "bool" {
				name += " " + value
			}
			options += fmt.Sprintf("| `%s` | %s |\n", name, strings.ReplaceAll(text, "|", `\|`))
		})
		if options != "" {
			b.WriteString("\n| option | |\n|---|---|\n" + options)
		}
		if c.Example != "" {
			b.WriteString("\n```\n" + c.Example + "\n```\n")
		}
		for _, sub := range c.Commands() {
			verb(sub)
		}
	}
	verb(root)
	for _, name := range []string{"files", "labels", "environment", "settings", "json", "exit-status"} {
		topic, _ := topics.Find(name)
		fmt.Fprintf(&b, "\n## %s\n\n```\n%s```\n", topic.Title, topic.Text)
	}
	return b.String()
}

// literals are the strings that a function of a file compares with in its switches, or all that are arguments of the calls named.
func literals(t *testing.T, file, function string, calls ...string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	text := func(e ast.Expr) {
		if l, ok := e.(*ast.BasicLit); ok && l.Kind == token.STRING {
			if s, err := strconv.Unquote(l.Value); err == nil {
				found = append(found, s)
			}
		}
	}
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || function != "" && fn.Name.Name != function {
			continue
		}
		ast.Inspect(fn, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CaseClause:
				if len(calls) == 0 {
					for _, e := range n.List {
						text(e)
					}
				}
			case *ast.CallExpr:
				name := ""
				switch fun := n.Fun.(type) {
				case *ast.Ident:
					name = fun.Name
				case *ast.SelectorExpr:
					name = fun.Sel.Name
				}
				for _, c := range calls {
					if name == c && len(n.Args) == 1 {
						text(n.Args[0])
					}
				}
			}
			return true
		})
	}
	return found
}

// TestTopicsAreComplete compares the topics that are reference with what the program reads.
func TestTopicsAreComplete(t *testing.T) {
	text := func(name string) string {
		topic, ok := topics.Find(name)
		if !ok {
			t.Fatalf("there is no topic %s", name)
		}
		return topic.Text
	}
	settings := text("settings")
	keys := literals(t, "config.go", "parseConfig")
	if len(keys) < 5 {
		t.Fatalf("only %d settings were found", len(keys))
	}
	for _, key := range keys {
		if !strings.Contains(settings, "\n  "+key+" ") {
			t.Errorf("the topic settings is silent about %s", key)
		}
	}
	// And what stands there is taken.
	for l := range strings.Lines(settings) {
		key, value, ok := strings.Cut(l, " = ")
		if !ok || !strings.HasPrefix(l, "  ") {
			continue
		}
		value, _, _ = strings.Cut(value, "  ")
		if _, err := parseConfig("config", strings.TrimSpace(key)+" = "+value+"\n"); err != nil {
			t.Error(err)
		}
	}

	labels := text("labels")
	for function, prefix := range map[string]string{"carrel": "carrel.", "oci": "."} {
		kinds := literals(t, "../../engine/card/parse.go", function)
		if len(kinds) < 5 {
			t.Fatalf("only %d labels were found", len(kinds))
		}
		for _, kind := range kinds {
			if !strings.Contains(labels, prefix+kind) {
				t.Errorf("the topic labels is silent about %s%s", prefix, kind)
			}
		}
	}

	// Of every folder and file that is kept.
	where := text("files")
	var names []string
	for _, k := range cacheKinds {
		names = append(names, k.kind)
	}
	for _, pattern := range []string{"*.go", "../../engine/*.go"} {
		sources, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range sources {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range kept.FindAllSubmatch(data, -1) {
				names = append(names, string(m[1]))
			}
		}
	}
	if len(names) < 15 {
		t.Fatalf("only %q were found", names)
	}
	for _, name := range names {
		if !strings.Contains(where, name) {
			t.Errorf("the topic files is silent about %s", name)
		}
	}

	environment := text("environment")
	var files []string
	for _, dir := range []string{".", "../../internal/xdg", "../../internal/remote"} {
		more, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, more...)
	}
	variables := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, name := range literals(t, file, "", "getenv", "Getenv", "LookupEnv") {
			variables++
			if !strings.Contains(environment, name) {
				t.Errorf("%s reads %s, of which the topic environment is silent", file, name)
			}
		}
	}
	if variables < 15 {
		t.Errorf("only %d variables were found", variables)
	}
}

func TestHelpTopics(t *testing.T) {
	list := topics.List()
	if files, err := filepath.Glob("topics/*.txt"); err != nil || len(files) != len(list) {
		t.Errorf("%v: %d files, %d in the list", err, len(files), len(list))
	}
	root := rootCommand(newApp())
	for _, topic := range list {
		if c, _, err := root.Find([]string{topic.Name}); err == nil && c != root {
			t.Errorf("%s is a verb as well", topic.Name)
		}
		status, out, _ := call(t, "help", strings.ToUpper(topic.Name))
		if status != 0 || !strings.HasPrefix(out, topic.Title+"\n\n") || !strings.HasSuffix(out, "\n") {
			t.Errorf("help %s: status %d\n%s", topic.Name, status, out)
		}
		for l := range strings.Lines(topic.Title + "\n" + topic.Text) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(l, "\n")); n > 88 || strings.ContainsAny(l, "\t\r") {
				t.Errorf("%s: %d columns, or tabs: %s", topic.Name, n, l)
			}
		}
		// The command lines in it are there.
		for l := range strings.Lines(topic.Text) {
			rest, ok := strings.CutPrefix(l, "  carrel ")
			words := strings.Fields(rest)
			if !ok || len(words) == 0 || strings.HasPrefix(rest, " ") || words[0] == "VERB" {
				continue
			}
			if c, _, err := root.Find(words[:1]); err != nil || c == root {
				t.Errorf("%s speaks of carrel %s, which is no verb", topic.Name, words[0])
			}
		}
	}
	if status, _, errs := call(t, "help", "defin"); status != exitUsage || !strings.Contains(errs, "did you mean carrel help definition-files?") {
		t.Errorf("status %d: %s", status, errs)
	}
	if status, _, errs := call(t, "help", "nothing-of-it"); status != exitUsage || !strings.Contains(errs, "quickstart") {
		t.Errorf("status %d: %s", status, errs)
	}
	if status, out, _ := call(t, "help", "run"); status != 0 || !strings.Contains(out, "carrel run [OPTION …] IMAGE") {
		t.Errorf("status %d: %s", status, out)
	}
}

// kept finds what is put into the person's folders.
var kept = regexp.MustCompile(`(?:StateDir|DataDir|CacheDir|dirs\.(?:State|Data|Cache|Config)), "([a-z.-]+)"`)
