package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// lab makes a catalog of an app that takes files along, and adds it under the name lab.
func lab(t *testing.T) {
	t.Helper()
	t.Setenv("CARREL_HOME", t.TempDir())
	folder := t.TempDir()
	for name, text := range map[string]string{
		"app/Singularity":       "Bootstrap: docker\nFrom: debian:12\n%files\n    start /usr/bin/start\n",
		"app/Singularity.other": "Bootstrap: docker\nFrom: debian:12\n",
		"app/start":             "#!/bin/sh\n",
		"app/more/data.csv":     "1\n",
	} {
		full := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if status, _, errs := call(t, "catalog", "add", "--name", "lab", folder); status != 0 || !strings.Contains(errs, "carrel catalog search lab") {
		t.Fatalf("add: status %d, %s", status, errs)
	}
}

func TestCatalogCopy(t *testing.T) {
	lab(t)
	to := filepath.Join(t.TempDir(), "new", "mine")
	status, out, errs := call(t, "catalog", "copy", "app:other", to)
	if status != 0 || out != "" || !strings.Contains(errs, "carrel build mine.sif "+to+"/Singularity") {
		t.Fatalf("status %d, %q, %s", status, out, errs)
	}
	files := map[string]bool{}
	_ = filepath.WalkDir(to, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(to, path)
			files[name] = true
		}
		return err
	})
	if len(files) != 3 || !files["Singularity"] || !files["start"] || !files["more/data.csv"] {
		t.Errorf("the copy has %v", files)
	}
	// The one that was asked for, not the one that bears the name already.
	if text, err := os.ReadFile(filepath.Join(to, "Singularity")); err != nil || strings.Contains(string(text), "%files") {
		t.Errorf("the definition is %q, %v", text, err)
	}
	if status, _, errs := call(t, "catalog", "copy", "app", to); status != exitFailure || !strings.Contains(errs, "there are files in it") {
		t.Errorf("onto files: status %d, %s", status, errs)
	}
	if status, _, _ := call(t, "catalog", "copy", "app"); status != exitUsage {
		t.Errorf("without a folder: status %d", status)
	}
	empty := t.TempDir()
	status, out, _ = call(t, "catalog", "copy", "--json", "nginx-jupyter:course", empty)
	var got struct{ Name, Folder, Definition string }
	if err := json.Unmarshal([]byte(out), &got); status != 0 || err != nil || got.Name != "nginx-jupyter:course" || got.Definition != filepath.Join(empty, "Singularity") {
		t.Errorf("status %d, %v, %q", status, err, out)
	}
	for _, name := range []string{"Singularity", "start-notebook", "machine-learning/1-data.ipynb"} {
		if _, err := os.Stat(filepath.Join(empty, name)); err != nil {
			t.Error(err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(empty), ".carrel-copy-*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	// Whoever prints the definition alone is told.
	if _, _, errs := call(t, "catalog", "show", "--deffile", "nginx-jupyter"); !strings.Contains(errs, "carrel catalog copy nginx-jupyter FOLDER") {
		t.Errorf("show --deffile: %s", errs)
	}
	if _, _, errs := call(t, "catalog", "show", "--deffile", "nginx-basic"); strings.Contains(errs, "copy") {
		t.Errorf("show --deffile of one without files: %s", errs)
	}
}

func TestCatalogAdded(t *testing.T) {
	t.Setenv("CARREL_HOME", t.TempDir())
	if _, out, _ := call(t, "catalog"); strings.Contains(out, "FROM") {
		t.Errorf("all from one place, and a column for it:\n%s", out)
	}
	lab(t)
	if _, out, _ := call(t, "catalog"); !strings.Contains(out, "FROM") || !strings.Contains(out, " built-in ") || !strings.Contains(out, " lab\n") {
		t.Errorf("where they come from:\n%s", out)
	}
	status, out, errs := call(t, "catalog", "search", "lab")
	if rows := strings.Split(out, "\n"); status != 0 || len(rows) < 3 || !strings.HasPrefix(rows[1], "app ") || !strings.HasPrefix(rows[2], "app:other ") {
		t.Errorf("search by the source: %d\n%s%s", status, out, errs)
	}
	status, out, errs = call(t, "catalog", "allow", "app")
	if status != 0 || out != "" || !strings.Contains(errs, "needs no consent") {
		t.Errorf("allow: %d\n%s%s", status, out, errs)
	}
	status, out, _ = call(t, "catalog", "allow", "--json", "app")
	var allowed []struct{ Name, Source string }
	if err := json.Unmarshal([]byte(out), &allowed); status != 0 || err != nil || len(allowed) != 1 || allowed[0].Source != "lab" {
		t.Errorf("allow --json: %d, %v, %q", status, err, out)
	}
	status, out, _ = call(t, "catalog", "show", "--deffile", "--json", "app:other")
	var shown struct{ Name, Deffile string }
	if err := json.Unmarshal([]byte(out), &shown); status != 0 || err != nil || shown.Name != "app:other" || !strings.Contains(shown.Deffile, "debian:12") {
		t.Errorf("show --deffile --json: %d, %v, %q", status, err, out)
	}
	if status, _, errs := call(t, "catalog", "update", "nosuch"); status != exitFailure || !strings.Contains(errs, "nosuch") {
		t.Errorf("update nosuch: %d, %s", status, errs)
	}
	if found, _ := filepath.Glob(filepath.Join(os.Getenv("CARREL_HOME"), "*", "catalogs", "nosuch")); len(found) > 0 {
		t.Errorf("update nosuch made %v", found)
	}
	status, out, errs = call(t, "catalog", "rm", "--json", "lab", "nosuch")
	var removed struct{ Removed []string }
	if err := json.Unmarshal([]byte(out), &removed); status != exitFailure || err != nil || len(removed.Removed) != 1 || !strings.Contains(errs, "nosuch") {
		t.Errorf("rm --json: %d, %v, %q %s", status, err, out, errs)
	}
}

// The screens copy an app of the catalog and check what became of it.
func TestDefinitionsOfTheScreens(t *testing.T) {
	t.Setenv("CARREL_HOME", t.TempDir())
	d := definitions{newApp()}
	folder := filepath.Join(t.TempDir(), "mine")
	file, err := d.Copy(t.Context(), "nginx-basic", folder)
	if err != nil || file != filepath.Join(folder, "Singularity") {
		t.Fatalf("%q, %v", file, err)
	}
	if _, builds, err := d.Check(t.Context(), file); err != nil || !builds {
		t.Errorf("the copy as it is: builds %v, %v", builds, err)
	}
	if _, err := d.Copy(t.Context(), "nginx-basic", folder); err == nil {
		t.Error("a folder with files in it was copied over")
	}
	if err := os.WriteFile(file, []byte("Bootstrap: docker\n\n%pots\n\tx\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	remarks, builds, err := d.Check(t.Context(), file)
	if err != nil || builds || len(remarks) == 0 || !strings.Contains(strings.Join(remarks, "\n"), "Line 3: ") {
		t.Errorf("spoilt: %q, builds %v, %v", remarks, builds, err)
	}
}
