package catalog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"carrel/assets"
	"carrel/engine/card"
	"carrel/engine/definition"
)

// Bounds of what is read.
const (
	MaxDefinition = 1 << 20 // bytes of a definition file
	MaxEntries    = 10_000  // entries of a source
)

// ErrTooMany is a source with more than MaxEntries entries.
var ErrTooMany = errors.New("too many entries")

// Kind says where a source is.
type Kind string

// The kinds of sources.
const (
	BuiltIn Kind = "built-in"
	Folder  Kind = "folder"  // a folder of this computer, read as it is
	Git     Kind = "git"     // a repository that was cloned
	Archive Kind = "archive" // a packed folder that was downloaded
	Index   Kind = "index"   // an index served over HTTP that was downloaded with what it names
)

// Foreign tells whether entries of this kind were written by somebody else: they are shown with what they do before
// anything of them is built.
func (k Kind) Foreign() bool { return k == Git || k == Archive || k == Index }

// Source is a place entries come from.
type Source struct {
	Kind Kind
	// Name is how people see it: "built-in", a folder's path, or the name an added one has.
	Name string
	// Address is where it was taken from and Commit which state of it; empty for those that are read as they are.
	Address, Commit string
	// Path is the folder on disk; empty for the built-in one.
	Path string
	// FS is its contents.
	FS fs.FS
}

// Internal is the catalog inside the binary.
func Internal() Source {
	return Source{Kind: BuiltIn, Name: string(BuiltIn), FS: assets.Catalog()}
}

// Dir is a folder on disk. Nothing is read yet.
func Dir(folder string) Source {
	return Source{Kind: Folder, Name: folder, Path: folder, FS: os.DirFS(folder)}
}

// Entry is an app of a catalog.
type Entry struct {
	// Name is its folder below the source, Tag what follows "Singularity." in the file's, or empty.
	Name, Tag string
	Source    Source
	// Dir is the entry's folder, for what %files brings in.
	Dir fs.FS
	// Path is the definition file on disk; empty when it is built in.
	Path string
	// File is the definition file's name in Dir.
	File string
	// Raw is its text; empty when it could not be read.
	Raw string
	// Definition is the text, read; templates without a value are left in. nil with Err.
	Definition *definition.File
	// Card is how the entry explains itself, and Warnings what of that was skipped.
	Card     card.Card
	Warnings []card.Warning
	// Versions are the versions to choose from, the newest first, where an entry stands for several: NAME:VERSION.
	Versions []string
	// Err says why the entry cannot be used; nil for a good one.
	Err error

	container *container
}

// ID is NAME, or NAME:TAG.
func (e *Entry) ID() string {
	if e.Tag == "" {
		return e.Name
	}
	return e.Name + ":" + e.Tag
}

// Title is what its labels call it, or its ID.
func (e *Entry) Title() string { return cmp.Or(e.Card.Title, e.ID()) }

// Problem is a source that could not be read, or not to its end.
type Problem struct {
	Source Source
	Err    error
}

// Error names the source.
func (p Problem) Error() string { return "read catalog " + p.Source.Name + ": " + p.Err.Error() }

// Unwrap is the cause.
func (p Problem) Unwrap() error { return p.Err }

// Catalog is what its sources held when they were read. It does not change and may be used from several goroutines.
type Catalog struct {
	Sources []Source
	// Problems are the sources that could not be read; the entries of the others are there.
	Problems []Problem
	entries  []*Entry
}

// Load reads sources, of which the first has the first word when a name is in several. It fails only with ctx's error.
func Load(ctx context.Context, sources ...Source) (*Catalog, error) {
	c := &Catalog{Sources: slices.Clone(sources)}
	for _, s := range sources {
		entries, err := load(ctx, s)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			c.Problems = append(c.Problems, Problem{s, err})
		}
		c.entries = append(c.entries, entries...)
	}
	slices.SortStableFunc(c.entries, func(a, b *Entry) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), compareVersions(a.Tag, b.Tag))
	})
	return c, nil
}

// newEntry is the entry of a file, not read yet.
func newEntry(s Source, f found) *Entry {
	e := &Entry{Name: f.name, Tag: f.tag, Source: s, File: f.file}
	if s.Path != "" {
		e.Path = filepath.Join(s.Path, filepath.FromSlash(f.folder), f.file)
	}
	e.Dir, e.Err = sub(s.FS, f.folder)
	return e
}

// read makes an entry of a definition file, whatever is wrong with it.
func read(s Source, f found) *Entry {
	e := newEntry(s, f)
	if e.Err != nil {
		return e
	}
	if e.Raw, e.Err = readText(s.FS, path.Join(f.folder, f.file)); e.Err != nil {
		return e
	}
	e.Definition, e.Err = definition.ParseString(e.Raw, definition.Options{Name: path.Join(f.folder, f.file), AllowUndefined: true})
	if e.Err == nil {
		e.Card, e.Warnings = card.Parse(e.Definition.Final().LabelMap())
	}
	return e
}

// readText reads a regular file of at most MaxDefinition bytes. The file system must be one with a Stat of its own (an
// fs.Sub has none): opening a named pipe to ask what it is would wait for a writer.
func readText(fsys fs.FS, name string) (string, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("read %s: not a regular file", name)
	}
	f, err := fsys.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxDefinition+1))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	if len(data) > MaxDefinition {
		return "", fmt.Errorf("read %s: %w: over %d bytes", name, definition.ErrTooLarge, MaxDefinition)
	}
	return string(data), nil
}
