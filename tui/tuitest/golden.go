package tuitest

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

var (
	goldenMu sync.Mutex
	goldens  = map[string]bool{}
)

// Golden compares text with testdata/NAME.golden of the package under test, or writes it with -update.
func Golden(t testing.TB, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	goldenMu.Lock()
	goldens[path] = true
	goldenMu.Unlock()
	got = strings.TrimRight(trimLines(got), "\n") + "\n"
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (write it with -update)", err)
	}
	if got != string(want) {
		t.Errorf("%s differs; look at it, then -update\n%s", path, diff(string(want), got))
	}
}

// trimLines takes the spaces off the ends of lines, which no person sees.
func trimLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " ")
	}
	return strings.Join(lines, "\n")
}

// diff shows the lines that differ.
func diff(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	var out strings.Builder
	for i := range max(len(a), len(b)) {
		x, y := "", ""
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			fmt.Fprintf(&out, "%3d - %s\n    + %s\n", i+1, x, y)
		}
	}
	return out.String()
}

// Main runs the tests of a package and fails when golden files are left that no test asked for. It is for TestMain, and
// returns the exit status.
func Main(m *testing.M) int {
	code := m.Run()
	if code != 0 || flag.Lookup("test.run").Value.String() != "" || flag.Lookup("test.list").Value.String() != "" || flag.Lookup("test.fuzz").Value.String() != "" {
		return code
	}
	files, _ := filepath.Glob(filepath.Join("testdata", "*.golden"))
	sort.Strings(files)
	for _, f := range files {
		if goldens[f] {
			continue
		}
		if *update {
			_ = os.Remove(f)
			continue
		}
		fmt.Fprintf(os.Stderr, "orphan: no test asks for %s\n", f)
		code = 1
	}
	return code
}
