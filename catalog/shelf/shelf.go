package shelf

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"carrel/catalog"
	"carrel/internal/atomicfile"
	"carrel/internal/filelock"
	"carrel/internal/rmtree"
)

// What a shelf answers with.
var (
	ErrExists   = errors.New("a catalog of that name is there already")
	ErrNotFound = errors.New("no catalog of that name was added")
	ErrBusy     = errors.New("another program is changing it")
	ErrTooLarge = errors.New("too large for a catalog")
)

// Bounds of what is fetched.
const (
	MaxSize  = 512 << 20 // bytes of a copy
	MaxFiles = 200_000   // files of a copy
)

// Shelf is where added catalogs are kept. Its methods may be called from several processes at once.
type Shelf struct {
	// Dir is the shelf's folder; it is made when something is added.
	Dir string
	// Git is the program of that name, empty where there is none; Env its environment ("K=V").
	Git string
	Env []string
	// Client speaks HTTP; nil is one that gives up after a minute of silence.
	Client *http.Client
	// Cwd and Home are what relative paths and ~ mean.
	Cwd, Home string
	// Say is told what is being done, in a few words; nil for nobody.
	Say func(text string)
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// Added is a catalog on the shelf.
type Added struct {
	Name    string       `json:"name"`
	Kind    catalog.Kind `json:"kind"`
	Address string       `json:"address"`
	// Ref is the branch, tag or commit that is followed; empty for the repository's own choice.
	Ref string `json:"ref,omitempty"`
	// Commit is the state that was copied: a commit, or the digest of what was downloaded. Empty for folders.
	Commit  string    `json:"commit,omitempty"`
	Added   time.Time `json:"added"`
	Updated time.Time `json:"updated"`

	Copy string `json:"copy,omitempty"` // the copy's folder below the catalog's
}

// Request is what to add.
type Request struct {
	// Address is a folder, a repository, a packed folder or an index; "#REF" or "@COMMIT" at the end of a repository's pins it.
	Address string
	// Name is what to call it; empty for the last part of the address.
	Name string
	// Ref is a branch, a tag or a commit of a repository; empty for what the address says.
	Ref string
}

// Change is what an update brought.
type Change struct {
	Before, After Added
	// Entries that are new, gone, and different, by ID.
	New, Gone, Different []string
}

// Same tells whether nothing changed.
func (c Change) Same() bool { return len(c.New)+len(c.Gone)+len(c.Different) == 0 }

// List is what was added, by name. Unreadable records are left out with an error that names them.
func (s *Shelf) List() ([]Added, error) {
	folders, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read added catalogs: %w", err)
	}
	var all []Added
	var errs []error
	for _, f := range folders {
		if !f.IsDir() || strings.HasPrefix(f.Name(), ".") {
			continue
		}
		a, err := s.read(f.Name())
		if errors.Is(err, ErrNotFound) {
			continue // being added, or left by an add that was killed: the next one takes the folder
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, a)
	}
	return all, errors.Join(errs...)
}

func (s *Shelf) read(name string) (Added, error) {
	var a Added
	data, err := os.ReadFile(filepath.Join(s.Dir, name, "source.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return a, fmt.Errorf("catalog %s: %w", name, ErrNotFound)
	}
	if err == nil {
		err = json.Unmarshal(data, &a)
	}
	if err == nil && (a.Name != name || a.Copy != filepath.Base(filepath.Clean("/"+a.Copy)) && a.Copy != "") {
		err = errors.New("it is damaged")
	}
	if err != nil {
		return a, fmt.Errorf("read catalog %s: %w", name, err)
	}
	return a, nil
}

// Sources are the catalogs as package catalog reads them, by name.
func (s *Shelf) Sources() ([]catalog.Source, error) {
	all, err := s.List()
	sources := make([]catalog.Source, 0, len(all))
	for _, a := range all {
		sources = append(sources, s.source(a))
	}
	return sources, err
}

// source is a catalog as it is read. Links in a copy lead nowhere outside of it.
func (s *Shelf) source(a Added) catalog.Source {
	src := catalog.Source{Kind: a.Kind, Name: a.Name, Address: a.Address, Commit: a.Commit}
	if a.Kind == catalog.Folder {
		src.Path, src.FS = a.Address, os.DirFS(a.Address)
		return src
	}
	src.Path = filepath.Join(s.Dir, a.Name, a.Copy)
	root, err := os.OpenRoot(src.Path)
	if err != nil {
		src.FS = missing{err}
		return src
	}
	src.FS = root.FS()
	return src
}

// missing is a file system that cannot be read, so that the reader tells why.
type missing struct{ err error }

func (m missing) Open(string) (fs.File, error) { return nil, m.err }

// Add fetches a catalog and puts it on the shelf. ErrExists when the name is taken; *AddressError; nothing is left behind
// when it fails.
func (s *Shelf) Add(ctx context.Context, r Request) (Added, error) {
	address, ref := r.Address, r.Ref
	if at := strings.LastIndexByte(address, '#'); at > 0 && ref == "" {
		address, ref = address[:at], address[at+1:]
	} else if at := strings.LastIndexByte(address, '@'); at > 0 && ref == "" && isCommit(address[at+1:]) {
		address, ref = address[:at], address[at+1:]
	}
	if strings.HasPrefix(ref, "-") || strings.ContainsAny(ref, " \t\n:~^?*[\\") {
		return Added{}, &AddressError{r.Address, fmt.Sprintf("%q names no branch, tag or commit", ref)}
	}
	p, err := parse(address, s.Cwd, s.Home, func(path string) bool {
		st, err := os.Stat(path)
		return err == nil && st.IsDir()
	})
	if err != nil {
		return Added{}, err
	}
	if ref != "" && p.kind != catalog.Git {
		return Added{}, &AddressError{r.Address, "only a git repository has branches and commits"}
	}
	a := Added{Name: r.Name, Kind: p.kind, Address: p.address, Ref: ref, Added: s.now(), Updated: s.now()}
	if a.Name == "" {
		a.Name = tidy(p.name)
	}
	if !nameRule.MatchString(a.Name) || a.Name == string(catalog.BuiltIn) {
		return Added{}, fmt.Errorf("catalog name %q: use letters, digits, dots and dashes, at most 64", a.Name)
	}
	unlock, err := s.lock(a.Name)
	if err != nil {
		return Added{}, err
	}
	defer unlock()
	if _, err := s.read(a.Name); !errors.Is(err, ErrNotFound) {
		return Added{}, fmt.Errorf("catalog %s: %w", a.Name, ErrExists)
	}
	if err := s.fetch(ctx, &a, nil); err != nil {
		s.sweep(a.Name, "")
		_ = os.Remove(filepath.Join(s.Dir, a.Name)) // empty unless something went wrong before
		return Added{}, err
	}
	if err := s.save(a); err != nil {
		s.sweep(a.Name, "")
		return Added{}, err
	}
	s.sweep(a.Name, a.Copy)
	return a, nil
}

// Update fetches the newest state of a catalog and says what it changes. A pinned commit stays as it is; so does a folder,
// which is read as it is anyway. When it fails the copy there was remains.
func (s *Shelf) Update(ctx context.Context, name string) (Change, error) {
	if err := s.exists(name); err != nil {
		return Change{}, err
	}
	unlock, err := s.lock(name)
	if err != nil {
		return Change{}, err
	}
	defer unlock()
	before, err := s.read(name)
	if err != nil {
		return Change{}, err
	}
	c := Change{Before: before, After: before}
	if before.Kind == catalog.Folder || before.Kind == catalog.Git && isCommit(before.Ref) && before.Ref == before.Commit {
		return c, nil
	}
	old, err := catalog.Load(ctx, s.source(before))
	if err != nil {
		return c, err
	}
	c.After.Updated = s.now()
	if err := s.fetch(ctx, &c.After, &before); err != nil {
		s.sweep(name, before.Copy)
		return c, err
	}
	fresh, err := catalog.Load(ctx, s.source(c.After))
	if err == nil {
		err = s.save(c.After)
	}
	if err != nil {
		s.sweep(name, before.Copy)
		return c, err
	}
	c.compare(old, fresh)
	s.sweep(name, c.After.Copy)
	return c, nil
}

// compare lists what differs.
func (c *Change) compare(old, fresh *catalog.Catalog) {
	was := map[string]string{}
	for _, e := range old.List() {
		was[e.ID()] = e.Raw
	}
	for _, e := range fresh.List() {
		raw, ok := was[e.ID()]
		switch {
		case !ok:
			c.New = append(c.New, e.ID())
		case raw != e.Raw:
			c.Different = append(c.Different, e.ID())
		}
		delete(was, e.ID())
	}
	for id := range was {
		c.Gone = append(c.Gone, id)
	}
	slices.Sort(c.Gone)
}

// exists is ErrNotFound where nothing of that name has been added: to lock it would make a folder.
func (s *Shelf) exists(name string) error {
	if !nameRule.MatchString(name) {
		return fmt.Errorf("catalog %s: %w", name, ErrNotFound)
	}
	if _, err := os.Stat(filepath.Join(s.Dir, name)); err != nil {
		return fmt.Errorf("catalog %s: %w", name, ErrNotFound)
	}
	return nil
}

// Remove takes a catalog off the shelf, with its copy; a folder itself is left alone.
func (s *Shelf) Remove(name string) error {
	if err := s.exists(name); err != nil {
		return err
	}
	unlock, err := s.lock(name)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := s.read(name); errors.Is(err, ErrNotFound) {
		return err
	}
	if err := os.Remove(filepath.Join(s.Dir, name, "source.json")); err != nil {
		return fmt.Errorf("remove catalog %s: %w", name, err)
	}
	return rmtree.Remove(filepath.Join(s.Dir, name))
}

// fetch makes the copy; before is what there was, nil for nothing. It fills in Copy and Commit.
func (s *Shelf) fetch(ctx context.Context, a *Added, before *Added) error {
	if a.Kind == catalog.Folder {
		return nil
	}
	dir, err := os.MkdirTemp(filepath.Join(s.Dir, a.Name), "copy-")
	if err != nil {
		return fmt.Errorf("copy catalog: %w", err)
	}
	a.Copy = filepath.Base(dir)
	old := ""
	if before != nil {
		old = filepath.Join(s.Dir, a.Name, before.Copy)
	}
	switch a.Kind {
	case catalog.Git:
		a.Commit, err = s.clone(ctx, a.Address, a.Ref, dir)
	case catalog.Archive:
		a.Commit, err = s.download(ctx, a.Address, dir)
	case catalog.Index:
		a.Commit, err = s.readIndex(ctx, a.Address, dir, old)
	default:
		err = fmt.Errorf("catalog of kind %q", a.Kind)
	}
	if err != nil {
		return fmt.Errorf("fetch catalog %s: %w", a.Name, err)
	}
	return nil
}

// save writes the record, which makes the new copy the current one.
func (s *Shelf) save(a Added) error {
	data, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return err
	}
	if err := atomicfile.WriteFile(filepath.Join(s.Dir, a.Name, "source.json"), append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("keep catalog %s: %w", a.Name, err)
	}
	return nil
}

// sweep removes copies that are not current. What cannot be removed now is removed the next time.
func (s *Shelf) sweep(name, current string) {
	copies, _ := filepath.Glob(filepath.Join(s.Dir, name, "copy-*"))
	for _, c := range copies {
		if filepath.Base(c) != current {
			_ = rmtree.Remove(c)
		}
	}
}

// lock makes the folder of a catalog and keeps others from changing it.
func (s *Shelf) lock(name string) (func(), error) {
	if !nameRule.MatchString(name) {
		return nil, fmt.Errorf("catalog %s: %w", name, ErrNotFound)
	}
	dir := filepath.Join(s.Dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("keep catalog %s: %w", name, err)
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("keep catalog %s: %w", name, err)
	}
	if err := filelock.Lock(f, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrBusy
		}
		return nil, fmt.Errorf("catalog %s: %w", name, err)
	}
	return func() { f.Close() }, nil
}

func (s *Shelf) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

func (s *Shelf) say(format string, args ...any) {
	if s.Say != nil {
		s.Say(fmt.Sprintf(format, args...))
	}
}
