package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "carrel"

// order is the order of the engine: a package may import those of earlier rows only.
var order = [][]string{
	// values that everybody may speak of
	{"progress", "tree", "card", "definition", "causes", "sandbox/plan", "seccomp", "instance/inotify", "network/relay", "oom"},
	// formats, and the network as seen from inside a namespace
	{"squashfs", "sif", "ext", "network/netns", "instance/logfile", "instance/terminal"},
	{"fuse", "oci"},
	{"image"},
	{"look", "changes"},
	// the process inside, and who starts it
	{"sandbox/derive", "sandbox/forked"},
	{"sandbox/again"},
	{"sandbox/inside"},
	{"sandbox"},
	{"network/usernet", "network/guard"},
	{"network", "share"},
	{"launch"},
	{"source"},
	{"source/debian", "source/remote", "source/yum", "source/zypper", "source/arch", "source/busybox"},
	{"build"},
	{"instance"},
	{"doctor/probe"},
	{"doctor"},
	{""}, // the facade
}

// A rule says what a set of packages may not import. Patterns are import paths below the module, "a/*" for a and
// everything below it, or, when they have a dot in their first part, foreign paths. The first rule that matches both sides
// decides, so exceptions come before what they are exceptions of.
type rule struct {
	from, to string
	allow    bool
	indirect bool // also through other packages
	reason   string
}

var rules = []rule{
	{from: "engine/*", to: "charm.land/*", indirect: true, reason: "the engine serves scripts as well as screens"},
	{from: "engine/*", to: "github.com/charmbracelet/*", indirect: true, reason: "the engine serves scripts as well as screens"},
	{from: "catalog/*", to: "charm.land/*", indirect: true, reason: "the catalog serves scripts as well as screens"},
	{from: "catalog/*", to: "github.com/charmbracelet/*", indirect: true, reason: "the catalog serves scripts as well as screens"},
	{from: "engine/*", to: "github.com/spf13/*", indirect: true, reason: "flags are read by cmd and passed in"},

	{from: "cmd/*", to: "cmd/*", allow: true, reason: "its own parts"},
	{from: "*", to: "cmd/*", reason: "cmd is the wiring; nothing hangs on it"},

	{from: "assets/*", to: "*", reason: "assets are files, without logic"},
	{from: "engine/*", to: "engine/*", allow: true, reason: "their order is in the table above"},
	{from: "engine/*", to: "internal/*", allow: true, reason: "helpers without domain nouns are for all"},
	{from: "engine/*", to: "*", reason: "the engine knows neither screens nor the catalog: the catalog's entries are given to it"},

	{from: "catalog/*", to: "engine/card", allow: true, reason: "an entry is explained by its labels"},
	{from: "catalog/*", to: "engine/definition", allow: true, reason: "an entry is a definition file"},
	{from: "catalog/*", to: "catalog/*", allow: true, reason: "its own parts"},
	{from: "catalog/*", to: "assets", allow: true, reason: "the built-in catalog"},
	{from: "catalog/*", to: "internal/*", allow: true, reason: "helpers without domain nouns are for all"},
	{from: "catalog/*", to: "*", reason: "the catalog knows neither screens nor containers"},

	{from: "tui/theme", to: "*", reason: "colours and borders depend on nothing"},
	{from: "tui/widget", to: "tui/theme", allow: true, reason: "widgets are drawn in a theme"},
	{from: "tui/widget", to: "internal/amount", allow: true, reason: "a length of time reads the same on screens, in logs and on the command line"},
	{from: "tui/widget", to: "internal/pattern", allow: true, reason: "expressions that are compiled when they are needed"},
	{from: "tui/widget", to: "*", reason: "widgets are dumb: size in, string out"},
	{from: "tui/*", to: "engine", allow: true, reason: "the facade is what screens see of the engine"},
	{from: "tui/*", to: "engine/card", allow: true, reason: "types that forms show"},
	{from: "tui/*", to: "engine/definition", allow: true, reason: "definitions are shown in colours"},
	{from: "tui/*", to: "engine/progress", allow: true, reason: "steps of a build are shown"},
	{from: "tui/*", to: "engine/*", reason: "screens use the facade only, so that the command line can do what they do"},

	{from: "internal/*", to: "internal/*", allow: true, reason: "helpers may use each other"},
	{from: "internal/*", to: "*", reason: "helpers have no domain nouns"},

	{from: "cmd/*", to: "engine", allow: true, reason: "the facade"},
	{from: "cmd/*", to: "engine/card", allow: true, reason: "types that are printed"},
	{from: "cmd/*", to: "engine/definition", allow: true, reason: "lint prints what the parser says"},
	{from: "cmd/*", to: "engine/progress", allow: true, reason: "steps of a build are printed"},
	{from: "cmd/*", to: "engine/sandbox", allow: true, reason: "main is where a re-executed worker begins"},
	{from: "cmd/*", to: "engine/network", allow: true, reason: "-p is read by the one parser of port texts"},
	{from: "cmd/carrel/quick", to: "engine/sandbox/again", allow: true, reason: "a launch is repeated before most packages, the facade included, are initialized"},
	{from: "cmd/carrel/quick", to: "engine/oom", allow: true, reason: "it looks after what it starts"},
	{from: "cmd/*", to: "engine/*", reason: "the command line uses the facade only, so that screens can do what it does"},
}

// forbidden are calls that packages must leave to main, with the exceptions that there are.
var forbidden = []struct {
	packages string
	call     string
	reason   string
	except   map[string]string // package → why
}{
	{"engine/*", "os.Exit", "cleanup must run, and callers decide", map[string]string{
		"engine/sandbox/inside":          "it is the init of a container, a process of its own",
		"engine/doctor/probe":            "it tries things in a process of its own",
		"engine/network/internal/nstest": "a test kit whose helpers are processes of their own",
	}},
	{"catalog/*", "os.Exit", "cleanup must run, and callers decide", nil},
	{"tui/*", "os.Exit", "the terminal must be put right first", map[string]string{"tui/tuitest/demo": "a program of its own"}},
	{"engine/*", "fmt.Print*", "the screen belongs to the caller", nil},
	{"catalog/*", "fmt.Print*", "the screen belongs to the caller", nil},
	{"tui/*", "fmt.Print*", "the screen is drawn by the program's loop only", map[string]string{"tui/tuitest/demo": "a program of its own"}},
	{"engine/*", "log.*", "the engine returns errors", nil},
	{"engine/*", "os.Getenv", "configuration is passed in", nil},
	{"engine/*", "os.LookupEnv", "configuration is passed in", map[string]string{
		"engine/network/internal/nstest": "a test kit finds its helper's name there",
	}},
	{"engine/*", "os.Environ", "configuration is passed in", map[string]string{
		"engine/network/internal/nstest": "a test kit passes it on to its helpers",
		"engine/sandbox":                 "a worker is this process again and gets its environment whole",
		"engine/build":                   "%pre and %setup run on the host, with the caller's environment as in Apptainer",
	}},
	{"tui/*", "os.Getenv", "configuration is passed in", nil},
	{"tui/*", "os.LookupEnv", "configuration is passed in", nil},
	{"tui/*", "os.Environ", "configuration is passed in", nil},
	{"catalog/*", "os.Getenv", "configuration is passed in", nil},
}

type pkg struct {
	ImportPath string
	Dir        string
	Doc        string
	GoFiles    []string
	Imports    []string
	Deps       []string
}

// name is the import path below the module: "" for the module's own folder.
func (p pkg) name() string { return below(p.ImportPath) }

func below(path string) string {
	return strings.TrimPrefix(strings.TrimPrefix(path, module), "/")
}

func ours(path string) bool { return path == module || strings.HasPrefix(path, module+"/") }

// packages lists the module's packages that have Go files beside their tests.
func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Dir,Doc,GoFiles,Imports,Deps", module+"/...")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("missing: go")
	}
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, errs.String())
	}
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		if len(p.GoFiles) > 0 {
			all = append(all, p)
		}
	}
}

func matches(pattern, path string) bool {
	prefix, tree := strings.CutSuffix(pattern, "*")
	if !tree {
		return path == pattern
	}
	return prefix == "" || path == strings.TrimSuffix(prefix, "/") || strings.HasPrefix(path, prefix)
}

// foreign tells whether a pattern is of import paths outside of the module.
func foreign(pattern string) bool {
	first, _, _ := strings.Cut(pattern, "/")
	return strings.Contains(first, ".")
}

// target is the side of an import that a pattern speaks of, and whether it can speak of it at all.
func target(pattern, path string) (string, bool) {
	if foreign(pattern) {
		return path, true
	}
	return below(path), ours(path)
}

// verdict finds the rule that an import breaks.
func verdict(rules []rule, from, to string, indirect bool) (rule, bool) {
	for _, r := range rules {
		name, speaks := target(r.to, to)
		if !speaks || indirect && !r.indirect || !matches(r.from, from) || !matches(r.to, name) {
			continue
		}
		return r, !r.allow
	}
	return rule{}, false
}

func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		for _, to := range p.Deps {
			direct := slices.Contains(p.Imports, to)
			if r, broken := verdict(rules, p.name(), to, !direct); broken {
				t.Errorf("%s imports %s: %s (rule %s → %s)", p.ImportPath, to, r.reason, r.from, r.to)
			}
		}
	}
}

func TestScreensAreApart(t *testing.T) {
	for _, p := range packages(t) {
		from, isScreen := strings.CutPrefix(p.name(), "tui/screen/")
		if !isScreen {
			continue
		}
		for _, to := range p.Imports {
			if other, ok := strings.CutPrefix(below(to), "tui/screen/"); ok && ours(to) && other != from && !strings.HasPrefix(other, from+"/") {
				t.Errorf("screen %s imports screen %s: screens speak through the program's root only", from, other)
			}
		}
	}
}

func TestEngineOrder(t *testing.T) {
	level := map[string]int{}
	for i, row := range order {
		for _, name := range row {
			level[name] = i
		}
	}
	for _, p := range packages(t) {
		from, isEngine := engineName(p.ImportPath)
		if !isEngine {
			continue
		}
		have, listed := level[from]
		if !listed {
			t.Errorf("%s has no place in the order of the engine", p.ImportPath)
			continue
		}
		for _, to := range p.Imports {
			name, isEngine := engineName(to)
			if !isEngine {
				continue
			}
			if l, listed := level[name]; listed && l >= have {
				t.Errorf("%s imports %s, which does not come before it in the order of the engine", p.ImportPath, to)
			}
		}
	}
}

// engineName is a path below engine; test kits have no place in the order.
func engineName(path string) (string, bool) {
	if strings.Contains(path, "/internal/") {
		return "", false
	}
	if path == module+"/engine" {
		return "", true
	}
	return strings.CutPrefix(path, module+"/engine/")
}

func TestCalls(t *testing.T) {
	used := map[string]bool{}
	for _, p := range packages(t) {
		for _, f := range forbidden {
			if !matches(f.packages, p.name()) {
				continue
			}
			for _, at := range calls(t, p, f.call) {
				if f.except[p.name()] != "" {
					used[f.call+p.name()] = true
					continue
				}
				t.Errorf("%s: %s: %s", at, f.call, f.reason)
			}
		}
	}
	for _, f := range forbidden {
		for name := range f.except {
			if !used[f.call+name] {
				t.Errorf("%s needs no exception for %s any more", name, f.call)
			}
		}
	}
}

// calls finds where a package calls what a pattern names, such as "os.Exit" or "fmt.Print*".
func calls(t *testing.T, p pkg, pattern string) []string {
	t.Helper()
	path, function, _ := strings.Cut(pattern, ".")
	var found []string
	for _, name := range p.GoFiles {
		files := token.NewFileSet()
		f, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		local := ""
		for _, i := range f.Imports {
			if strings.Trim(i.Path.Value, `"`) == path {
				local = path
				if i.Name != nil {
					local = i.Name.Name
				}
			}
		}
		if local == "" {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == local && matches(function, s.Sel.Name) {
					found = append(found, files.Position(s.Pos()).String())
				}
			}
			return true
		})
	}
	return found
}

func TestDocs(t *testing.T) {
	for _, p := range packages(t) {
		if p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

func TestFilesAreShort(t *testing.T) {
	for _, p := range packages(t) {
		for _, name := range p.GoFiles {
			data, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if n := bytes.Count(data, []byte("\n")); n > 600 {
				t.Errorf("%s/%s has %d lines; files have at most 600", p.ImportPath, name, n)
			}
		}
	}
}

// TestVerdict shows that the rules can be broken.
func TestVerdict(t *testing.T) {
	for _, tt := range []struct {
		from, to string
		indirect bool
		broken   bool
	}{
		{"engine/sandbox", "charm.land/lipgloss/v2", false, true},
		{"engine/sandbox", "charm.land/lipgloss/v2", true, true},
		{"engine", "carrel/tui", false, true},
		{"engine", "carrel/catalog", false, true},
		{"engine", "carrel/engine/build", false, false},
		{"engine/build", "carrel/cmd/carrel", false, true},
		{"catalog", "carrel/engine/sandbox", false, true},
		{"catalog", "carrel/engine/card", false, false},
		{"tui/screen/desk", "carrel/engine", false, false},
		{"tui/screen/desk", "carrel/engine/instance", false, true},
		{"tui/screen/desk", "carrel/engine/instance", true, false},
		{"tui/widget", "carrel/engine", false, true},
		{"tui/widget", "charm.land/bubbles/v2/key", false, false},
		{"cmd/carrel", "carrel/engine", false, false},
		{"cmd/carrel", "carrel/engine/instance", false, true},
		{"internal/xdg", "carrel/engine", false, true},
		{"engine/oci", "github.com/google/go-containerregistry/pkg/v1", false, false},
	} {
		r, broken := verdict(rules, tt.from, tt.to, tt.indirect)
		if broken != tt.broken {
			t.Errorf("%s → %s: broken %v, want %v (rule %s → %s)", tt.from, tt.to, broken, tt.broken, r.from, r.to)
		}
	}
}
