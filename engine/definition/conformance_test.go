package definition

import (
	"encoding/csv"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// lenient are inputs that Apptainer's parser refuses, or dies of, and this one takes; each has a finding that says so, but
// for the last, which is only long.
var lenient = map[string]bool{
	"bom": true, "blank_after_cont": true, "comment_after_cont": true, "tab_after_name": true, "tab_then_args": true,
	"token_hdr": true, "from_first": true, "section_name_colon": true, "big_section": true,
}

// TestConformance compares the verdicts with those of Apptainer's parser: of the folder that CARREL_CONFORMANCE names, the
// cases of edge-cases.tsv, which lie in edge/NAME, and of definitions.tsv those that lie in definitions/OWNER/REPO/PATH.
func TestConformance(t *testing.T) {
	dir := os.Getenv("CARREL_CONFORMANCE")
	if dir == "" {
		t.Skip("missing: CARREL_CONFORMANCE")
	}
	compare := func(name, path, verdict, reason string) (compared bool) {
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return false
		}
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r, err := Lint(f, Options{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		switch want := verdict == "accept" || strings.HasPrefix(verdict, "needs"); {
		case r.Valid == want:
		case r.Valid && lenient[name]:
			if len(r.Findings) == 0 && name != "big_section" {
				t.Errorf("%s: nothing tells that Apptainer refuses it (%s)", name, reason)
			}
		default:
			t.Errorf("%s: valid %v, and Apptainer says %s (%s)\n%+v", name, r.Valid, verdict, reason, r.Findings)
		}
		return true
	}
	edges := 0
	for _, row := range table(t, filepath.Join(dir, "edge-cases.tsv")) {
		if !compare(row[0], filepath.Join(dir, "edge", row[0]), row[2], row[3]) {
			t.Errorf("%s is not there", row[0])
		}
		edges++
	}
	found := 0
	for _, row := range table(t, filepath.Join(dir, "definitions.tsv")) {
		if compare(row[0]+" "+row[2], filepath.Join(dir, "definitions", row[0], row[2]), row[4], row[5]) {
			found++
		}
	}
	t.Logf("%d edge cases and %d definition files compared", edges, found)
}

// table reads a table of columns apart by tabs, without its heading.
func table(t *testing.T, path string) [][]string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma, r.LazyQuotes, r.FieldsPerRecord = '\t', true, -1
	rows, err := r.ReadAll()
	if err != nil || len(rows) < 2 {
		t.Fatalf("%s: %d rows, %v", path, len(rows), err)
	}
	return rows[1:]
}
