package build

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"carrel/engine/progress"
	"carrel/internal/filelock"
	"carrel/internal/rmtree"
)

// Kinds are what the cache holds, in the order in which a person thinks of them.
var Kinds = []string{kindBases, kindLayers, kindFailed, kindDownloads, kindOCI, kindDebian}

// Item is one thing in the cache that can be removed.
type Item struct {
	Kind string    `json:"kind"`
	Name string    `json:"name"` // for a person
	Size int64     `json:"size"` // bytes on disk
	Used time.Time `json:"used"` // last use

	path  string
	entry bool // a folder with a lock
}

// Items lists what the cache folder holds.
func Items(cache string) ([]Item, error) {
	var items []Item
	for _, kind := range []string{kindBases, kindLayers, kindFailed} {
		dirs, err := filepath.Glob(filepath.Join(cache, kind, "*"))
		if err != nil {
			return nil, err
		}
		for _, dir := range dirs {
			it := Item{Kind: kind, path: dir, entry: true, Name: filepath.Base(dir)}
			var info entryInfo
			st, err := os.Stat(filepath.Join(dir, "info.json"))
			if err == nil {
				err = readInfo(dir, &info)
			}
			if err == nil {
				it.Name, it.Size, it.Used = info.Describe, info.Size, st.ModTime()
			} // else: the rest of an entry that could not be removed, oldest of all
			items = append(items, it)
		}
	}
	for _, kind := range []string{kindOCI, kindDebian} {
		items = append(items, files(filepath.Join(cache, kind), kind)...)
	}
	return append(items, downloadItems(filepath.Join(cache, kindDownloads))...), nil
}

// files are the regular files below a folder, each an item of its own.
func files(dir, kind string) []Item {
	var items []Item
	_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // what cannot be read is another's
		}
		st, err := lstat(p)
		if err != nil {
			return nil
		}
		used := max(st.Atim.Sec, st.Mtim.Sec)
		items = append(items, Item{Kind: kind, Name: filepath.Base(p), Size: st.Blocks * 512, Used: time.Unix(used, 0), path: p})
		return nil
	})
	return items
}

// downloadItems are the packages of apt one by one, and the folder of each other package manager as a whole.
func downloadItems(dir string) []Item {
	var items []Item
	tools, _ := filepath.Glob(filepath.Join(dir, "*", "*")) // the pattern is well formed
	for _, p := range tools {
		if filepath.Base(p) == "apt" {
			items = append(items, files(filepath.Join(p, "keep"), kindDownloads)...)
			continue
		}
		it := Item{Kind: kindDownloads, Name: filepath.Base(p), path: p}
		_ = filepath.WalkDir(p, func(f string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil
			}
			if st, err := lstat(f); err == nil && d.Type().IsRegular() {
				it.Size += st.Blocks * 512
				if t := time.Unix(max(st.Atim.Sec, st.Mtim.Sec), 0); t.After(it.Used) {
					it.Used = t
				}
			}
			return nil
		})
		if it.Size > 0 {
			items = append(items, it)
		}
	}
	return items
}

// PruneSpec says what to remove from the cache.
type PruneSpec struct {
	Cache string   `json:"cache"`
	Kinds []string `json:"kinds,omitempty"` // empty: all
	// Limit is how many bytes may stay, of all kinds together; what was used least recently goes first. 0: nothing stays.
	Limit int64 `json:"limit,omitempty"`
	// Before spares what was used since then; zero: nothing.
	Before time.Time `json:"before,omitzero"`
}

// Pruned is what was removed.
type Pruned struct {
	Items int   `json:"items"`
	Size  int64 `json:"size"` // bytes freed
	InUse int   `json:"in_use,omitempty"`
}

// fresh is the age up to which downloads, which have no locks of their own, count as in use: when the cache is kept to a
// limit, and while anything is fetched.
const fresh = 10 * time.Minute

// Prune removes from the cache what no build uses. It is called as root of a namespace in which all ids of the files in
// the cache are mapped.
func Prune(ctx context.Context, s PruneSpec) (Pruned, error) {
	items, err := Items(s.Cache)
	if err != nil {
		return Pruned{}, err
	}
	var total int64
	for _, it := range items {
		total += it.Size
	}
	slices.SortStableFunc(items, func(a, b Item) int { return a.Used.Compare(b.Used) })
	fetching := map[string]bool{} // kinds that a build or a pull holds
	for _, kind := range []string{kindOCI, kindDebian} {
		dir := filepath.Join(s.Cache, kind)
		if f, free := unused(dir); free {
			defer f.Close()
		} else if isDir(dir) {
			fetching[kind] = true
		}
	}
	var done Pruned
	var errs []error
	for _, it := range items {
		if s.Limit > 0 && total <= s.Limit {
			break
		}
		if err := ctx.Err(); err != nil {
			return done, err
		}
		if len(s.Kinds) > 0 && !slices.Contains(s.Kinds, it.Kind) {
			continue
		}
		if !s.Before.IsZero() && !it.Used.Before(s.Before) {
			continue
		}
		if (s.Limit > 0 || fetching[it.Kind]) && !it.entry && time.Since(it.Used) < fresh {
			done.InUse++
			continue
		}
		removed, err := it.remove()
		switch {
		case err != nil:
			errs = append(errs, err)
		case removed:
			done.Items++
			done.Size += it.Size
			total -= it.Size
		default:
			done.InUse++
		}
	}
	return done, errors.Join(errs...)
}

func (it Item) remove() (bool, error) {
	switch {
	case it.entry && strings.Contains(filepath.Base(it.path), ".gone-"):
		return true, rmtree.Remove(it.path)
	case it.entry:
		return removeEntry(it.path)
	case it.Kind == kindDownloads && filepath.Base(filepath.Dir(it.path)) != "keep":
		f, ok := unused(filepath.Dir(it.path)) // builds that run hold it shared
		if !ok {
			return false, nil
		}
		defer f.Close()
		return true, rmtree.Remove(it.path)
	}
	err := os.Remove(it.path)
	return err == nil, ignoreMissing(err)
}

// HoldFetched keeps what is fetched into the cache (layers, image files, packages), and parts of it that are on their way,
// from being removed as a whole until release is called: while it is held, Prune leaves what was used lately.
func HoldFetched(cache string) (release func(), err error) {
	var held []*os.File
	release = func() {
		for _, f := range held {
			f.Close()
		}
	}
	for _, kind := range []string{kindOCI, kindDebian} {
		dir := filepath.Join(cache, kind)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			release()
			return nil, err
		}
		f, err := os.Open(dir)
		if err != nil {
			release()
			return nil, err
		}
		held = append(held, f)
		if err := filelock.Lock(f, unix.LOCK_SH); err != nil {
			release()
			return nil, &fs.PathError{Op: "lock", Path: dir, Err: err}
		}
	}
	return release, nil
}

// holdDownloads keeps the folders of package managers from being removed while this build runs.
func (b *builder) holdDownloads(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	if err := filelock.Lock(f, unix.LOCK_SH); err != nil {
		f.Close()
		return &fs.PathError{Op: "lock", Path: dir, Err: err}
	}
	b.atEnd(func() { f.Close() })
	return nil
}

// keepLimit prunes the cache to its limit, after a build, when what the build used counts as used last.
func (b *builder) keepLimit() {
	if b.spec.CacheLimit <= 0 {
		return
	}
	if _, err := Prune(context.Background(), PruneSpec{Cache: b.spec.Cache, Limit: b.spec.CacheLimit}); err != nil {
		b.sink.Notice(progress.StepPack, "the cache could not be kept to its limit: "+err.Error())
	}
}
