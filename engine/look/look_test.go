package look

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"carrel/engine/image"
	"carrel/engine/squashfs"
	"carrel/engine/tree"

	"github.com/google/go-cmp/cmp"
)

// installation is a root with packages of every manager whose records are files of text.
var installation = map[string]string{
	"var/lib/dpkg/status": "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36-9\nDescription: x\n Package: not-this\n\n" +
		"Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n",
	"var/lib/dpkg/status.d/tzdata":                                        "Package: tzdata\nVersion: 2024a\nArchitecture: all\n",
	"lib/apk/db/installed":                                                "C:Q1\nP:musl\nV:1.2.5-r0\nA:x86_64\nF:lib\nR:x\n\nP:zlib\nV:1.3.1-r1\n",
	"usr/lib/python3/dist-packages/numpy-1.26.4.dist-info/METADATA":       "Metadata-Version: 2.1\nName: numpy\nVersion: 1.26.4\n\nName: not-this\n",
	"usr/lib/python3/dist-packages/old.egg-info":                          "Name: old\nVersion: 0.1\n",
	"usr/lib/python3/dist-packages/older.egg-info/PKG-INFO":               "Name: older\nVersion: 0.2\n",
	"opt/conda/conda-meta/scikit-learn-1.4.0-py312_0.json":                "{",
	"opt/conda/conda-meta/history":                                        "",
	"opt/conda/lib/site-packages/scikit_learn-1.4.0.dist-info/METADATA":   "Name: scikit-learn\nVersion: 1.4.0\n",
	"opt/conda/lib/site-packages/scikit_learn-1.4.0.dist-info/INSTALLER":  "conda\n",
	"usr/lib/R/library/ggplot2/DESCRIPTION":                               "Package: ggplot2\nVersion: 3.5.1\nBuilt: R 4.3.1\n",
	"usr/lib/R/library/ggplot2/Meta/package.rds":                          "",
	"home/me/source/DESCRIPTION":                                          "Package: mine\nVersion: 1\n",
	"home/me/source/INDEX":                                                "",
	"app/node_modules/left-pad/package.json":                              `{"name":"left-pad","version":"1.3.0"}`,
	"app/node_modules/@types/node/package.json":                           `{"name":"@types/node","version":"20.1.0"}`,
	"app/node_modules/left-pad/node_modules/left-pad/package.json":        `{"name":"left-pad","version":"1.2.0"}`,
	"app/node_modules/left-pad/test/package.json":                         `{"name":"a-test","version":"0"}`,
	"app/node_modules/odd/package.json":                                   `{"name":7}`,
	"app/node_modules/hostile/package.json":                               `{"name":"\u001b[2J","version":"1"}`,
	"usr/lib/python3/dist-packages/hostile.dist-info/METADATA":            "\xff\xfe",
	"usr/lib/python3/dist-packages/without-metadata-1.0.dist-info/RECORD": "",
}

var installed = []string{
	"apk musl 1.2.5-r0", "apk zlib 1.3.1-r1", "conda scikit-learn 1.4.0", "dpkg libc6 2.36-9", "dpkg tzdata 2024a",
	"npm @types/node 20.1.0", "npm left-pad 1.2.0", "npm left-pad 1.3.0", "pip numpy 1.26.4", "pip old 0.1", "pip older 0.2", "r ggplot2 3.5.1",
}

func memory(files map[string]string) fstest.MapFS {
	m := fstest.MapFS{}
	for name, text := range files {
		m[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644, ModTime: time.Unix(1, 0)}
	}
	return m
}

func names(list []Package) []string {
	var out []string
	for _, p := range list {
		out = append(out, p.Manager+" "+p.Name+" "+p.Version)
	}
	return out
}

func TestPackages(t *testing.T) {
	got, err := Packages(t.Context(), memory(installation))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(installed, names(got.Packages)); d != "" {
		t.Error(d)
	}
	if len(got.Notes) != 0 {
		t.Errorf("notes: %v", got.Notes)
	}
}

// TestPackagesOfAnIndex finds the same through an index that keeps the records and nothing else.
func TestPackagesOfAnIndex(t *testing.T) {
	folder := onDisk(t, installation)
	x, err := image.NewIndex(t.Context(), onlyOnce(t, tree.Dir(folder, tree.DirOptions{})), image.IndexOptions{Keep: IsRecord})
	if err != nil {
		t.Fatal(err)
	}
	got, err := Packages(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(installed, names(got.Packages)); d != "" {
		t.Error(d)
	}
}

// once is a source that must not be read twice.
type once struct {
	tree.Source
	t    *testing.T
	read bool
}

func onlyOnce(t *testing.T, s tree.Source) tree.Source { return &once{Source: s, t: t} }

func (o *once) WriteTo(ctx context.Context, sink tree.Sink) error {
	if o.read {
		o.t.Error("the source was read a second time: a record was not kept")
	}
	o.read = true
	return o.Source.WriteTo(ctx, sink)
}

func onDisk(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		p := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o644), os.Chmod(p, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestDamagedDatabases(t *testing.T) {
	for _, name := range []string{"var/lib/rpm/rpmdb.sqlite", "var/lib/rpm/Packages.db", "usr/lib/sysimage/rpm/Packages"} {
		for _, text := range []string{"x", strings.Repeat("x", 100_000), "SQLite format 3\x00" + strings.Repeat("\x01", 2000), "RpmP" + strings.Repeat("\x01", 9000)} {
			got, err := Packages(t.Context(), memory(map[string]string{name: text}))
			if err != nil || len(got.Notes) != 1 || !strings.Contains(got.Notes[0], name) {
				t.Errorf("%s: notes %q, %v", name, got.Notes, err)
			}
		}
	}
}

func TestListAndRead(t *testing.T) {
	dir := onDisk(t, map[string]string{"etc/hosts": "127.0.0.1\n", "big": strings.Repeat("b", 100)})
	if err := errors.Join(os.Symlink("etc", filepath.Join(dir, "link")), os.Chmod(filepath.Join(dir, "big"), 0o755|fs.ModeSetuid)); err != nil {
		t.Fatal(err)
	}
	m, err := image.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	fsys, err := m.FS()
	if err != nil {
		t.Fatal(err)
	}
	list, err := List(fsys, "/")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range list {
		got = append(got, fmt.Sprint(f.Mode, " ", f.Type, " ", f.Size, " ", f.Name, f.Link))
	}
	want := []string{"-rwsr-xr-x file 100 big", "drwxr-xr-x dir 0 etc", "lrwxrwxrwx link 0 linketc"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for name, n := range map[string]int{"/link/": 1, "etc/hosts": 1, "link": 1} {
		if list, err := List(fsys, name); err != nil || len(list) != n || list[0].Name != "hosts" {
			t.Errorf("%s: %v, %v", name, list, err)
		}
	}
	if b, err := Read(fsys, "/link/../link/hosts", 0); err != nil || string(b) != "127.0.0.1\n" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := Read(fsys, "big", 99); !errors.As(err, new(*TooLargeError)) {
		t.Errorf("got %v, want a TooLargeError", err)
	}
	if _, err := Read(fsys, "etc", 0); err == nil {
		t.Error("a folder was read")
	}
	if _, err := Read(fsys, "../../etc/nothing-of-that-name", 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestFind(t *testing.T) {
	fsys := memory(map[string]string{"data/trials.csv": "", "data/old/Trials-2.CSV": "", "usr/lib/csv.py": "", "trial/notes.txt": ""})
	tests := []struct {
		below, words string
		limit        int
		want         string
		more         bool
	}{
		{"/", "trial csv", 0, "data/old/Trials-2.CSV data/trials.csv", false},
		{"/", "trial", 2, "data/old/Trials-2.CSV data/trials.csv", true},
		{"/", "TRIAL", 0, "data/old/Trials-2.CSV data/trials.csv trial", false},
		{"/data/old", "csv", 0, "data/old/Trials-2.CSV", false},
		{"/", "nothing", 0, "", false},
	}
	for _, tt := range tests {
		list, more, err := Find(t.Context(), fsys, tt.below, tt.words, tt.limit)
		var names []string
		for _, f := range list {
			names = append(names, f.Name)
		}
		if got := strings.Join(names, " "); err != nil || got != tt.want || more != tt.more {
			t.Errorf("Find(%q, %q, %d) = %q, %v, %v, want %q, %v", tt.below, tt.words, tt.limit, got, more, err, tt.want, tt.more)
		}
	}
	if _, _, err := Find(t.Context(), fsys, "/missing", "x", 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("in a folder that is not there: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := Find(ctx, fsys, "/", "x", 0); !errors.Is(err, context.Canceled) {
		t.Errorf("after it was ended: %v", err)
	}
}

func TestMeasure(t *testing.T) {
	dir := onDisk(t, map[string]string{"usr/lib/a": strings.Repeat("a", 1<<20), "usr/b": strings.Repeat("b", 1000), "etc/c": "c"})
	if err := os.Link(filepath.Join(dir, "usr/lib/a"), filepath.Join(dir, "usr/other")); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "image"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w, err := squashfs.NewWriter(file, squashfs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := tree.Dir(dir, tree.DirOptions{}).WriteTo(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{dir, file.Name()} {
		m, err := image.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		fsys, err := m.FS()
		if err != nil {
			t.Fatal(err)
		}
		got, err := Measure(t.Context(), fsys, "/", m.Stored)
		if err != nil {
			t.Fatal(err)
		}
		if stored := got.Entries[0].Stored; m.Kind == image.SquashFS && (stored < 20 || stored > 10_000) {
			t.Errorf("stored: %d", stored)
		}
		for i := range got.Entries {
			got.Entries[i].Stored = 0
		}
		got.Total.Stored = 0
		want := Sizes{"/", Usage{"/", true, 1<<20 + 1001, 0, 4}, []Usage{{"usr", true, 1<<20 + 1000, 0, 3}, {"etc", true, 1, 0, 1}}, nil}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", m.Kind, d)
		}
		if got, err = Measure(t.Context(), fsys, "usr", nil); err != nil || len(got.Entries) != 3 || got.Path != "/usr" {
			t.Errorf("%+v, %v", got, err)
		}
	}
}

func TestDiff(t *testing.T) {
	before := memory(map[string]string{
		"etc/same": "same", "etc/changed": "old!", "etc/longer": "1", "old/a": "aa", "old/b/c": "ccc",
		"var/lib/dpkg/status": "Package: a\nStatus: install ok installed\nVersion: 1\n\nPackage: b\nStatus: install ok installed\nVersion: 1\n",
	})
	after := memory(map[string]string{
		"etc/same": "same", "etc/changed": "new!", "etc/longer": "22", "new": "n",
		"var/lib/dpkg/status": "Package: a\nStatus: install ok installed\nVersion: 2\n\nPackage: c\nStatus: install ok installed\nVersion: 1\n",
	})
	after["etc/same"].Mode = 0o600
	got, err := Diff(t.Context(), before, after)
	if err != nil {
		t.Fatal(err)
	}
	got.Files = slices.DeleteFunc(got.Files, func(c Change) bool { return strings.HasPrefix(c.Path, "/var") })
	want := Difference{
		Files: []Change{
			{Path: "/etc/changed", Kind: "changed", What: []string{"content"}, OldSize: 4, NewSize: 4},
			{Path: "/etc/longer", Kind: "changed", What: []string{"content"}, OldSize: 1, NewSize: 2},
			{Path: "/etc/same", Kind: "changed", What: []string{"mode"}, OldSize: 4, NewSize: 4},
			{Path: "/new", Kind: "added", NewSize: 1},
			{Path: "/old", Kind: "removed", OldSize: 5, Files: 2},
		},
		Packages: []PackageChange{{"dpkg", "a", "1", "2"}, {"dpkg", "b", "1", ""}, {"dpkg", "c", "", "1"}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	same, err := Diff(t.Context(), before, before)
	if err != nil || len(same.Files)+len(same.Packages) != 0 {
		t.Errorf("%+v, %v", same, err)
	}
	x, err := image.NewIndex(t.Context(), tree.Dir(onDisk(t, map[string]string{"a": "1"}), tree.DirOptions{}), image.IndexOptions{Digest: true})
	if err != nil {
		t.Fatal(err)
	}
	d, err := Diff(t.Context(), x, memory(map[string]string{"a": "2"}))
	if err != nil || len(d.Files) != 1 || !slices.Contains(d.Files[0].What, "content") {
		t.Errorf("%+v, %v", d, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Diff(ctx, before, after); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func FuzzRPM(f *testing.F) {
	f.Add([]byte("SQLite format 3\x00"), uint8(0))
	f.Add([]byte("RpmP\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00"), uint8(1))
	f.Add(bytes.Repeat([]byte{0x61, 0x15, 0x06, 0}, 200), uint8(2))
	for i, name := range rpmSamples {
		f.Add(sample(f, name), uint8(i))
	}
	f.Fuzz(func(_ *testing.T, data []byte, form uint8) {
		for i, read := range []func([]byte) ([]Package, error){readRPMSQLite, readRPMNdb, readRPMBerkeley} {
			if i == int(form)%3 {
				_, _ = read(data)
			}
		}
	})
}

var rpmSamples = []string{"rpmdb.sqlite", "Packages.db", "Packages"}

// sample is a database of testdata: one that rpm made, its rows in a hash that Berkeley DB's tools made (and rpm reads),
// and the same laid out as rpm's ndb.
func sample(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name+".gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRPM(t *testing.T) {
	want := []string{"rpm another 0.9-3", "rpm filler1 0.9-3", "rpm filler2 0.9-3", "rpm filler3 0.9-3", "rpm sample 4:1.2-3"}
	for _, name := range rpmSamples {
		got, err := Packages(t.Context(), memory(map[string]string{"var/lib/rpm/" + name: string(sample(t, name))}))
		if err != nil || len(got.Notes) > 0 {
			t.Fatalf("%s: %v, %v", name, err, got.Notes)
		}
		if d := cmp.Diff(want, names(got.Packages)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		if len(got.Packages) > 0 && got.Packages[0].Arch != "noarch" {
			t.Errorf("%s: %+v", name, got.Packages[0])
		}
	}
}
