package tuitest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"carrel/engine"
)

// Inside is what images hold: the same in each.
var Inside = map[string][]byte{
	"/README.md":                    []byte("# Stroop\n\nColour words, and how long naming their colour takes.\n\n## Data\n\nOne line per answer in `trials.csv`.\n"),
	"/Singularity":                  []byte("Bootstrap: debootstrap\n# a comment\n%post\n    apt-get install -y python3\n"),
	"/data/trials.csv":              []byte("subject,condition,rt,\"correct, or not\"\n1,congruent,512.5,yes\n1,incongruent,734.0,no\n2,congruent,498.25,yes\n2,neutral,NA,yes\n"),
	"/data/semicolons.csv":          []byte("Versuchsperson;Zeit\n1;0,52\n2;0,61\n"),
	"/data/settings.json":           []byte(`{"title":"Stroop","trials":{"practice":12,"real":96},"colours":["red","green","blue"]}`),
	"/data/broken.json":             []byte(`{"title":`),
	"/data/analysis.ipynb":          []byte(`{"cells":[{"cell_type":"markdown","source":["# Reaction times\n","Mean by condition."]},{"cell_type":"code","execution_count":3,"source":["import pandas as pd\n","pd.read_csv('trials.csv').groupby('condition').rt.mean()"],"outputs":[{"output_type":"execute_result","data":{"text/plain":["congruent    505.4\n","incongruent  734.0"],"image/png":"iVBOR"}}]},{"cell_type":"code","execution_count":null,"source":"1/0","outputs":[{"output_type":"error","ename":"ZeroDivisionError","evalue":"division by zero"}]}]}`),
	"/data/stripes.png":             stripes(),
	"/data/empty.txt":               nil,
	"/data/no.png":                  []byte("\x89PNG\r\n\x1a\nthis is no picture"),
	"/data/\x1b[31mevil\u202e宽.txt": []byte("\x1b]0;owned\x07\x1b[2Jclean\r\n\ttab\n"),
	"/usr/bin/python3":              append([]byte("\x7fELF\x02\x01\x01\x00"), bytes.Repeat([]byte{0, 1, 2, 250}, 300)...),
	"/usr/share/doc/python3":        []byte("Python 3\n"),
	"/usr/lib/large.bin":            make([]byte, 2_000_000),
	"/etc/os-release":               []byte("PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n# comment\n"),
}

// stripes is a picture whose right half can be seen through.
func stripes() []byte {
	img := image.NewNRGBA(image.Rect(0, 0, 64, 24))
	for y := range 24 {
		for x := range 64 {
			img.Set(x, y, color.NRGBA{uint8(x * 4), uint8(y * 10), uint8(255 - x*4), uint8(255 * ((95 - x) / 32))})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// Inspect is what an image says of itself.
func (e *Engine) Inspect(ctx context.Context, name string) (engine.Inspection, error) {
	t, err := e.Resolve(ctx, name)
	if err != nil {
		return engine.Inspection{}, err
	}
	in := engine.Inspection{
		Labels: map[string]string{"org.label-schema.build-date": "Friday_20_November_2026"}, Definition: e.Defs[name],
		Runscript:   "#!/bin/sh\n# serves the folder\ncd /data\nexec python3 -m http.server 9999 \"$@\"\n",
		Environment: map[string]string{"/.singularity.d/env/90-environment.sh": "export LC_ALL=C.UTF-8\n"}, Apps: []string{"plot"},
	}
	list, _ := e.Images(ctx)
	for _, i := range list {
		if i.Path == t.Path {
			in.ImageInfo = i
		}
	}
	return in, nil
}

// Files lists a folder.
func (e *Engine) Files(_ context.Context, _, at string) ([]engine.ImageFile, error) {
	at = path.Clean("/" + at)
	if data, ok := Inside[at]; ok {
		return []engine.ImageFile{{Name: path.Base(at), Type: "file", Mode: "-rw-r--r--", Size: int64(len(data))}}, nil
	}
	seen := map[string]engine.ImageFile{}
	for p, data := range Inside {
		rest, ok := strings.CutPrefix(p, strings.TrimSuffix(at, "/")+"/")
		if !ok {
			continue
		}
		name, _, deeper := strings.Cut(rest, "/")
		f := engine.ImageFile{Name: name, Type: "file", Mode: "-rw-r--r--", Size: int64(len(data)), ModTime: Noon.Add(-72 * time.Hour)}
		if deeper {
			f = engine.ImageFile{Name: name, Type: "dir", Mode: "drwxr-xr-x", ModTime: Noon.Add(-72 * time.Hour)}
		}
		seen[name] = f
	}
	if len(seen) == 0 {
		return nil, fmt.Errorf("list %s: %w", at, fs.ErrNotExist)
	}
	if at == "/" {
		seen["results"] = engine.ImageFile{Name: "results", Type: "link", Mode: "lrwxrwxrwx", Link: "data"}
		seen["notes"] = engine.ImageFile{Name: "notes", Type: "link", Mode: "lrwxrwxrwx", Link: "missing"}
		seen["pipe"] = engine.ImageFile{Name: "pipe", Type: "fifo", Mode: "prw-r--r--"}
	}
	var out []engine.ImageFile
	for _, f := range seen {
		out = append(out, f)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out, nil
}

// Find lists files whose names hold the words.
func (e *Engine) Find(_ context.Context, _, _, words string, limit int) (found []engine.ImageFile, more bool, err error) {
	for p, data := range Inside {
		fits := true
		for w := range strings.FieldsSeq(strings.ToLower(words)) {
			fits = fits && strings.Contains(strings.ToLower(path.Base(p)), w)
		}
		if fits {
			found = append(found, engine.ImageFile{Name: strings.TrimPrefix(p, "/"), Type: "file", Mode: "-rw-r--r--", Size: int64(len(data))})
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].Name < found[j].Name })
	if limit > 0 && len(found) > limit {
		found, more = found[:limit], true
	}
	return found, more, nil
}

// ReadFile is a file's content.
func (e *Engine) ReadFile(_ context.Context, _, at string, limit int64) ([]byte, error) {
	data, ok := Inside[path.Clean("/"+at)]
	if !ok {
		return nil, fmt.Errorf("read %s: %w", at, fs.ErrNotExist)
	}
	if limit > 0 && int64(len(data)) > limit {
		return nil, &engine.FileTooLargeError{Path: at, Size: int64(len(data)), Max: limit}
	}
	return data, nil
}

// Packages are a few.
func (e *Engine) Packages(context.Context, string) (engine.Installed, error) {
	var out engine.Installed
	for i, n := range []string{"bash", "coreutils", "libc6", "python3", "python3-numpy", "tzdata", "zlib1g"} {
		out.Packages = append(out.Packages, engine.ImagePackage{Manager: "dpkg", Name: n, Version: fmt.Sprintf("%d.%d-1+deb12u1", i+1, 3*i), Arch: "amd64"})
	}
	for i, n := range []string{"numpy", "pandas", "scikit-learn"} {
		out.Packages = append(out.Packages, engine.ImagePackage{Manager: "pip", Name: n, Version: fmt.Sprintf("%d.26.4", i+1), Path: "/usr/lib/python3/dist-packages/" + n})
	}
	return out, nil
}

// Sizes adds up.
func (e *Engine) Sizes(_ context.Context, _, at string) (engine.Sizes, error) {
	at = path.Clean("/" + at)
	out := engine.Sizes{Path: at, Total: engine.SpaceUsage{Name: path.Base(at), Dir: true}}
	list, err := e.Files(context.Background(), "", at)
	if err != nil {
		return out, err
	}
	for _, f := range list {
		u := engine.SpaceUsage{Name: f.Name, Dir: f.Type == "dir"}
		for p, data := range Inside {
			if full := path.Join(at, f.Name); p == full || strings.HasPrefix(p, full+"/") {
				u.Size, u.Stored, u.Files = u.Size+int64(len(data)), u.Stored+int64(len(data)/3), u.Files+1
			}
		}
		out.Total.Size, out.Total.Stored, out.Total.Files = out.Total.Size+u.Size, out.Total.Stored+u.Stored, out.Total.Files+u.Files
		out.Entries = append(out.Entries, u)
	}
	sort.SliceStable(out.Entries, func(i, j int) bool { return out.Entries[i].Size > out.Entries[j].Size })
	return out, nil
}

// CopyOut copies a file of the image for true.
func (e *Engine) CopyOut(_ context.Context, name, at, dest string) (engine.Copied, error) {
	e.called("copy", at)
	data, ok := Inside[path.Clean("/"+at)]
	if !ok {
		return engine.Copied{}, fmt.Errorf("copy %s: %w", at, fs.ErrNotExist)
	}
	if st, err := os.Stat(dest); err == nil && st.IsDir() {
		dest = filepath.Join(dest, path.Base(at))
	}
	return engine.Copied{Path: dest, Files: 1, Bytes: int64(len(data))}, os.WriteFile(dest, data, 0o600)
}

// Diff is always the same.
func (e *Engine) Diff(_ context.Context, before, _ string) (engine.Difference, error) {
	e.called("diff", before)
	return engine.Difference{
		Packages: []engine.PackageChange{{Manager: "dpkg", Name: "python3-numpy", Old: "1.24", New: "1.26"}, {Manager: "pip", Name: "pandas", New: "2.2"}},
		Files: []engine.FileChange{
			{Path: "/data", Kind: "added", NewSize: 4200, Files: 7},
			{Path: "/etc/os-release", Kind: "changed", What: []string{"content"}, OldSize: 60, NewSize: 64},
			{Path: "/usr/share/man/man1/a-very-long-name-of-a-manual-page-that-does-not-fit.1.gz", Kind: "removed", OldSize: 9000},
		},
	}, nil
}

// Changes are as many as it was told.
func (e *Engine) Changes(ctx context.Context, name string) (engine.Changes, error) {
	if e.Layers == 0 {
		return engine.Changes{}, nil
	}
	d, err := e.Diff(ctx, "as it was built", name)
	return engine.Changes{Difference: d, Layers: e.Layers}, err
}

// ErrNoSIF is a file whose parts cannot be listed.
var ErrNoSIF = errors.New("not a SIF image")

// Parts are those of a small SIF image.
func (e *Engine) Parts(_ context.Context, name string, verify bool) (engine.Parts, error) {
	if !strings.HasSuffix(name, ".sif") {
		return engine.Parts{}, ErrNoSIF
	}
	p := engine.Parts{Path: name, LaunchLine: "#!/usr/bin/env run-singularity", Arch: "amd64", ID: "6ecc76b7-a497-4f7f-9ebd-8da2a04c6be1", Created: Noon, Modified: Noon,
		Parts: []engine.Part{{ID: 1, Type: "Def.FILE", Size: 820, Created: Noon}, {ID: 2, Type: "JSON.Generic", Name: "metadata", Size: 1400}, {ID: 3, Type: "FS (Squashfs/*System/amd64)", Size: 243_000_000}}}
	if verify {
		e.called("verify", name)
		for i := range p.Parts {
			p.Parts[i].Checked = "digest"
		}
	}
	return p, nil
}
