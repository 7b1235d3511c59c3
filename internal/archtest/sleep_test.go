package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// sleepers are the test files, or folders whose test files, may call time.Sleep, with why. A test that sleeps to wait for something fails on a slow
// computer and wastes time on a fast one.
var sleepers = map[string]string{
	"tui/task/task_test.go":          "in a bubble of testing/synctest, whose clock is not ours",
	"tui":                            "the driver of its journeys runs them in a bubble of testing/synctest, whose clock is not ours",
	"engine/engine_test.go":          "asks again, until an end, for what another process does",
	"engine/build/interrupt_test.go": "asks again, until an end, whether processes of others are gone",
	"engine/instance/main_test.go":   "a process that is to do nothing until it is killed",
}

func TestNoSleep(t *testing.T) {
	root := filepath.Join("..", "..")
	used := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name == "testdata" || strings.HasPrefix(name, ".") && len(name) > 2 || name == "assets" {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		files := token.NewFileSet()
		f, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		below, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		for _, at := range sleeps(f) {
			name := below
			if sleepers[name] == "" {
				name = filepath.Dir(below)
			}
			if sleepers[name] == "" {
				t.Errorf("%s: a test sleeps: wait for what happens, or use testing/synctest", files.Position(at))
			}
			used[name] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for file := range sleepers {
		if !used[file] {
			t.Errorf("%s needs no exception any more", file)
		}
	}
}

// sleeps are the places at which a file names time.Sleep.
func sleeps(f *ast.File) []token.Pos {
	local := ""
	for _, i := range f.Imports {
		if i.Path.Value == `"time"` {
			local = "time"
			if i.Name != nil {
				local = i.Name.Name
			}
		}
	}
	var found []token.Pos
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "Sleep" {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == local && local != "" {
				found = append(found, s.Pos())
			}
		}
		return true
	})
	return found
}

func TestSleeps(t *testing.T) {
	for text, want := range map[string]int{
		"package a\nimport \"time\"\nfunc f() { time.Sleep(1); g := time.Sleep; g(2) }":  2,
		"package a\nimport clock \"time\"\nfunc f() { clock.Sleep(1) }":                  1,
		"package a\nimport time \"other\"\nfunc f() { time.Sleep(1) }":                   0,
		"package a\nimport \"time\"\nfunc f(time interface{ Wait() }) { _ = time.Wait }": 0,
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "", text, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(sleeps(f)); got != want {
			t.Errorf("%s\ngot %d, want %d", text, got, want)
		}
	}
}
