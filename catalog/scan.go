package catalog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Bounds of the walk through a source.
const (
	maxDepth   = 8      // folders below each other
	maxFolders = 50_000 // folders of a source
)

// errEnough ends a walk that reached a bound.
var errEnough = errors.New("enough")

// found is a file that an entry is read from.
type found struct {
	folder, file string // folder is "." for the source's own
	name, tag    string
	container    bool // a container.yaml as registries of containers have them
}

// roots are first folders that group a tree and are no part of an entry's name: recipes as singularity-catalog has them,
// registry as shpc has it.
var roots = []string{"recipes", "registry"}

// scan lists the files of a source that describe apps, at any depth, in the order of their names. An error other than
// ctx's comes with what was found until then.
func scan(ctx context.Context, s Source) ([]found, error) {
	var all []found
	var errs []error
	folders := 0
	var walk func(folder string, depth int) error
	walk = func(folder string, depth int) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if folders++; folders > maxFolders {
			errs = append(errs, fmt.Errorf("%w: only the first %d folders are read", ErrTooMany, maxFolders))
			return errEnough
		}
		files, err := fs.ReadDir(s.FS, folder)
		if err != nil {
			if folder == "." {
				return err
			}
			errs = append(errs, err)
			return nil
		}
		for _, f := range files {
			name := f.Name()
			if tag, ok := tagOf(name); ok {
				all = append(all, found{folder: folder, file: name, name: s.nameOf(folder, ""), tag: tag})
			} else if base, ok := strings.CutSuffix(name, ".def"); ok && base != "" && base[0] != '.' && describes(s.FS, path.Join(folder, name)) {
				all = append(all, found{folder: folder, file: name, name: s.nameOf(folder, base)})
			} else if name == "container.yaml" {
				all = append(all, found{folder: folder, file: name, name: s.nameOf(folder, ""), container: true})
			} else {
				continue
			}
			if len(all) > MaxEntries {
				all = all[:MaxEntries]
				errs = append(errs, fmt.Errorf("%w: only the first %d are shown", ErrTooMany, MaxEntries))
				return errEnough
			}
		}
		if depth == maxDepth {
			return nil
		}
		for _, f := range files {
			if _, isEntry := tagOf(f.Name()); isEntry || strings.HasPrefix(f.Name(), ".") || f.Name() == "node_modules" || !isDir(s.FS, folder, f, depth) {
				continue
			}
			if err := walk(path.Join(folder, f.Name()), depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	if err := walk(".", 0); err != nil && !errors.Is(err, errEnough) {
		return nil, err
	}
	return all, errors.Join(errs...)
}

// isDir tells whether an entry is a folder, or at the top a link to one; further down a link could lead round in a circle.
func isDir(fsys fs.FS, folder string, e fs.DirEntry, depth int) bool {
	if e.Type()&fs.ModeSymlink == 0 {
		return e.IsDir()
	}
	if depth > 0 {
		return false
	}
	info, err := fs.Stat(fsys, path.Join(folder, e.Name()))
	return err == nil && info.IsDir()
}

// nameOf is the name of an entry in a folder of the source: the folder below the source and what groups it, or the
// source's own short name. A definition NAME.def adds its name, as a folder may hold several.
func (s Source) nameOf(folder, base string) string {
	name := folder
	if first, rest, ok := strings.Cut(name, "/"); ok && slices.Contains(roots, first) {
		name = rest
	} else if slices.Contains(roots, name) {
		name = "."
	}
	switch {
	case base == "" && name == ".":
		return s.Short()
	case base == "":
		return name
	case name == ".":
		return base
	case path.Base(name) == base:
		return name
	}
	return name + "/" + base
}

// Short is the source's name as the first part of an entry's: the last part of its path or address.
func (s Source) Short() string {
	return cmp.Or(strings.TrimSuffix(path.Base(strings.ReplaceAll(s.Name, "\\", "/")), ".git"), s.Name)
}

// describes tells whether a .def file is a definition file: several other formats have that ending.
func describes(fsys fs.FS, name string) bool {
	text, err := readText(fsys, name)
	return err == nil && strings.Contains(strings.ToLower(text), "bootstrap")
}

// load reads one source, as far as it goes.
func load(ctx context.Context, s Source) ([]*Entry, error) {
	files, err := scan(ctx, s)
	if len(files) == 0 {
		return nil, err
	}
	entries := make([]*Entry, len(files))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	const batch = 64
	for start := 0; start < len(files); start += batch {
		g.Go(func() error {
			for i := start; i < min(start+batch, len(files)); i++ {
				if gctx.Err() != nil {
					return gctx.Err()
				}
				if files[i].container {
					entries[i] = readContainer(s, files[i])
				} else {
					entries[i] = read(s, files[i])
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return entries, err
}

// tagOf is the tag of a definition file's name, and whether it is one.
func tagOf(name string) (string, bool) {
	if name == "Singularity" {
		return "", true
	}
	tag, ok := strings.CutPrefix(name, "Singularity.")
	return tag, ok && tag != "" && !strings.HasSuffix(tag, "~")
}
