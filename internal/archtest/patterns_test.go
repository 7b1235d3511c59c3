package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestPatterns: the program compiles no regular expression when it starts, but when it needs it (package pattern); and all of
// them can be compiled.
func TestPatterns(t *testing.T) {
	found := 0
	for _, dir := range []string{"cmd", "tui", "engine", "catalog", "internal"} {
		err := filepath.WalkDir(filepath.Join("..", "..", dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ofTheProgram := dir != "internal" // which has tools as well
			for _, decl := range file.Decls {
				_, isFunc := decl.(*ast.FuncDecl)
				ast.Inspect(decl, func(n ast.Node) bool {
					call, ok := n.(*ast.CallExpr)
					if !ok {
						_, lit := n.(*ast.FuncLit)
						return !lit || isFunc
					}
					switch name := called(call); {
					case name == "regexp.MustCompile" && !isFunc && ofTheProgram:
						t.Errorf("%s: compiled at every start; use package pattern", set.Position(call.Pos()))
					case name == "pattern.New":
						found++
						text, ok := literal(call.Args[0])
						if !ok {
							t.Errorf("%s: not a literal", set.Position(call.Pos()))
						} else if _, err := regexp.Compile(text); err != nil {
							t.Errorf("%s: %v", set.Position(call.Pos()), err)
						}
					}
					return true
				})
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found == 0 {
		t.Error("no pattern was found")
	}
}

// called is the name of a function of a package that is called, such as "regexp.MustCompile".
func called(call *ast.CallExpr) string {
	if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
		if pkg, ok := sel.X.(*ast.Ident); ok {
			return pkg.Name + "." + sel.Sel.Name
		}
	}
	return ""
}

// literal is the text of a string literal, or of several that are added.
func literal(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil
	case *ast.BinaryExpr:
		a, ok1 := literal(e.X)
		b, ok2 := literal(e.Y)
		return a + b, ok1 && ok2 && e.Op == token.ADD
	}
	return "", false
}
