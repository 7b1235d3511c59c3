package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"carrel/internal/atomicfile"
	"carrel/internal/near"
)

// remotes are the prefixes by which a name is a reference to somewhere else.
var remotes = []string{"docker://", "oras://", "library://", "shub://", "http://", "https://", "oci:", "oci-archive:", "docker-archive:", "docker-daemon:"}

// NameError is a name that stands for nothing.
type NameError struct {
	Name  string
	Close []string // names like it
}

func (e *NameError) Error() string {
	return fmt.Sprintf("%s: no file, image or catalog entry of that name", e.Name)
}

func (e *NameError) Unwrap() error { return ErrNotFound }

// Hint suggests names.
func (e *NameError) Hint() string {
	if len(e.Close) > 0 {
		return "did you mean " + strings.Join(e.Close, " or ") + "?"
	}
	return "`carrel ls` lists images, `carrel catalog` what can be built"
}

// Resolve finds what a name stands for: a path (one with a slash, or that exists), else an image of the store, with or
// without its ending, else a catalog entry, else a reference to a registry. ErrNotFound when it is none of these.
func (e *Engine) Resolve(_ context.Context, name string) (Target, error) {
	if name == "" {
		return Target{}, &NameError{Name: name}
	}
	for _, p := range remotes {
		if strings.HasPrefix(name, p) {
			base := name[strings.LastIndexAny(name, "/:")+1:]
			if p == "docker://" || p == "oras://" || p == "library://" {
				ref, _, _ := strings.Cut(strings.TrimPrefix(name, p), "@")
				base = strings.NewReplacer(":", "_").Replace(ref[strings.LastIndex(ref, "/")+1:])
			}
			base = strings.TrimSuffix(base, ".sif")
			path := filepath.Join(e.imageDir(), base+".sif")
			return Target{Kind: TargetRemote, Name: base, Path: path, Ref: name, Built: e.builtFrom(path) == name}, nil
		}
	}
	path := e.expand(name)
	if _, err := os.Stat(path); err == nil {
		return Target{Kind: TargetImage, Name: shortName(path), Path: path, Built: true}, nil
	} else if strings.Contains(name, "/") && (e.c.Catalog == nil || !entryName(name)) {
		return Target{}, &NameError{Name: name}
	}
	for _, n := range []string{name, name + ".sif", name + ".img"} {
		p := filepath.Join(e.imageDir(), n)
		if _, err := os.Stat(p); err == nil && e.record(p).Catalog == "" {
			return Target{Kind: TargetImage, Name: shortName(p), Path: p, Built: true}, nil
		}
	}
	var missing error
	if e.c.Catalog != nil {
		entry, err := e.c.Catalog.Lookup(strings.TrimSuffix(name, ".sif"))
		if err == nil {
			p := e.entryImage(entry)
			t := Target{Kind: TargetCatalog, Name: entry.Name, Path: p}
			if _, err := os.Stat(p); err == nil {
				// What is made from nothing takes a second and carries this program inside; what is downloaded stays until asked.
				t.Built = e.record(p).Hash == e.entryHash(entry) || !fromScratch(entry.Text)
			}
			return t, nil
		}
		if !errors.Is(err, ErrNotFound) {
			return Target{}, err
		}
		missing = err
	}
	for _, n := range []string{name, name + ".sif"} {
		p := filepath.Join(e.imageDir(), n)
		if _, err := os.Stat(p); err == nil {
			return Target{Kind: TargetImage, Name: shortName(p), Path: p, Built: true}, nil
		}
	}
	return Target{}, &NameError{Name: name, Close: e.similar(name, missing)}
}

// entryName tells whether a name with slashes may be one of a catalog's, OWNER/NAME, rather than a path.
func entryName(name string) bool {
	return filepath.IsLocal(name) && !strings.HasPrefix(name, "./") && !strings.HasPrefix(name, "~") && !strings.HasSuffix(name, "/")
}

// entryImage is where the image of a catalog entry is or will be. A name with slashes lies flat, and keeps out of the way of
// an image of another entry.
func (e *Engine) entryImage(entry CatalogEntry) string {
	p := filepath.Join(e.imageDir(), strings.ReplaceAll(entry.Name, "/", "_")+".sif")
	if !strings.Contains(entry.Name, "/") {
		return p
	}
	if r := e.record(p); r.Catalog != entry.Name {
		if _, err := os.Stat(p); err == nil {
			sum := sha256.Sum256([]byte(entry.Name))
			return strings.TrimSuffix(p, ".sif") + "_" + hex.EncodeToString(sum[:3]) + ".sif"
		}
	}
	return p
}

// expand makes a path of what a person typed: ~ is the home folder, the rest is relative to the working directory.
func (e *Engine) expand(p string) string {
	if p == "~" || strings.HasPrefix(p, "~/") {
		p = filepath.Join(e.c.User.Home, strings.TrimPrefix(p[1:], "/"))
	}
	if !filepath.IsAbs(p) {
		p = filepath.Join(e.c.User.Cwd, p)
	}
	return filepath.Clean(p)
}

func shortName(path string) string {
	base := filepath.Base(path)
	for _, ext := range []string{".sif", ".img", ".sqsh", ".squashfs", ".simg"} {
		if s := strings.TrimSuffix(base, ext); s != base && s != "" {
			return s
		}
	}
	return base
}

func fromScratch(text string) bool {
	for _, line := range strings.Split(text, "\n") {
		k, v, ok := strings.Cut(line, ":")
		if ok && strings.EqualFold(strings.TrimSpace(k), "bootstrap") {
			return strings.TrimSpace(v) == "scratch"
		}
	}
	return false
}

// similar are names of images close to one that was not found, and those that the catalog's error has.
func (e *Engine) similar(name string, missing error) []string {
	var all []string
	names, _ := os.ReadDir(e.imageDir())
	for _, n := range names {
		all = append(all, shortName(n.Name()))
	}
	out := near.Names(name, all)
	if m, ok := errors.AsType[*NameError](missing); ok {
		for _, n := range m.Close {
			if !slices.Contains(out, n) {
				out = append(out, n)
			}
		}
	}
	return out[:min(3, len(out))]
}

// record is what the store remembers of an image beside the image itself.
type record struct {
	Path    string `json:"path"`
	Catalog string `json:"catalog,omitempty"` // entry it was built from
	Hash    string `json:"hash,omitempty"`    // of that entry
	From    string `json:"from,omitempty"`    // reference it was built from
	// Definition is the path of the file it was built from, State what the image was like then (fileState).
	Definition string    `json:"definition,omitempty"`
	State      string    `json:"state,omitempty"`
	LastRun    time.Time `json:"last_run,omitzero"`
}

// recordPath is where the record of an image lies: in the state folder, so that nothing is ever written beside images
// that belong to others.
func (e *Engine) recordPath(image string) string {
	sum := sha256.Sum256([]byte(image))
	return filepath.Join(e.c.StateDir, "images", hex.EncodeToString(sum[:12])+".json")
}

func (e *Engine) record(image string) record {
	var r record
	if data, err := os.ReadFile(e.recordPath(image)); err == nil {
		_ = json.Unmarshal(data, &r) // a damaged record is no record
	}
	return r
}

func (e *Engine) setRecord(image string, change func(*record)) error {
	r := e.record(image)
	r.Path = image
	change(&r)
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	p := e.recordPath(image)
	if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
		return err
	}
	return atomicfile.WriteFile(p, data, 0o600)
}

func (e *Engine) builtFrom(image string) string {
	if _, err := os.Stat(image); err != nil {
		return ""
	}
	return e.record(image).From
}

// entryHash names the content of a catalog entry, and of this program where the entry carries it.
func (e *Engine) entryHash(entry CatalogEntry) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n", entry.Text)
	if entry.Files != nil {
		_ = fs.WalkDir(entry.Files, ".", func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return nil
			}
			if data, err := fs.ReadFile(entry.Files, p); err == nil {
				fmt.Fprintf(h, "%s %d %x\n", p, len(data), sha256.Sum256(data))
			}
			return nil
		})
	}
	if strings.Contains(entry.Text, carrelArgument) {
		if st, err := os.Stat(e.c.Self); err == nil {
			fmt.Fprintf(h, "%d %d\n", st.Size(), st.ModTime().UnixNano())
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// RemoveImage deletes an image of the store, or the file or folder at a path.
func (e *Engine) RemoveImage(ctx context.Context, path string) error {
	t, err := e.Resolve(ctx, path)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(t.Path); err != nil {
		if !errors.Is(err, fs.ErrPermission) || e.removeAsRoot(ctx, t.Path) != nil {
			return fmt.Errorf("remove image: %w", err)
		}
	}
	if err := os.Remove(e.recordPath(t.Path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove image: %w", err)
	}
	return nil
}
