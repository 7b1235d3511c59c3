package build

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"carrel/internal/atomicfile"
	"carrel/internal/filelock"
	"carrel/internal/rmtree"
)

// The cache below Spec.Cache:
//
//	bases/ID/{info.json, root}      unpacked bases; overlays lie on them
//	layers/ID/{info.json, upper}    what %post and %appinstall changed
//	failed/ID/{info.json, upper}    the tree of a failed step, until it is built or pruned
//	downloads/IDKIND/…              what apt, pip, conda and others have fetched; mounted while sections run
//	oci/, debian/                   layers and packages as they came
//
// A build holds a shared lock (flock(2)) on the folders of bases, layers and failed that it uses; whoever removes one holds
// the lock alone and takes the folder out of its place first. Entries get their place by a rename when they are complete.
const (
	kindBases     = "bases"
	kindLayers    = "layers"
	kindFailed    = "failed"
	kindDownloads = "downloads"
	kindOCI       = "oci"
	kindDebian    = "debian"
)

// entryInfo is info.json of an entry. The file's time is that of the last use.
type entryInfo struct {
	Key      string    `json:"key"`
	Describe string    `json:"describe"` // for a person
	Made     time.Time `json:"made"`
	Size     int64     `json:"size"` // bytes on disk

	Layer  *layerInfo  `json:"layer,omitempty"`
	Failed *failedInfo `json:"failed,omitempty"`
}

// entry is a folder of the cache in use.
type entry struct {
	dir  string
	info entryInfo
	hold *os.File // with the shared lock
}

func (e *entry) path(name string) string { return filepath.Join(e.dir, name) }

func (e *entry) close() { e.hold.Close() }

// openEntry takes an entry into use; fs.ErrNotExist when there is none, or none any more.
func openEntry(dir string) (*entry, error) {
	e := &entry{dir: dir}
	var err error
	if e.hold, err = os.Open(dir); err != nil {
		return nil, err
	}
	if err = filelock.Lock(e.hold, unix.LOCK_SH|unix.LOCK_NB); err == nil {
		err = e.load()
	} else if errors.Is(err, unix.EWOULDBLOCK) { // being removed
		err = fs.ErrNotExist
	}
	if err != nil {
		e.hold.Close()
		return nil, err
	}
	now := time.Now()
	_ = os.Chtimes(e.path("info.json"), now, now) // only the order of pruning depends on it
	return e, nil
}

// load reads info.json, of the folder that is locked and no other that has come to its place.
func (e *entry) load() error {
	mine, err := e.hold.Stat()
	if err != nil {
		return err
	}
	if now, err := os.Stat(e.dir); err != nil || !os.SameFile(mine, now) {
		return fs.ErrNotExist
	}
	return readInfo(e.dir, &e.info)
}

func readInfo(dir string, info *entryInfo) error {
	data, err := os.ReadFile(filepath.Join(dir, "info.json"))
	if err != nil {
		return err
	}
	if json.Unmarshal(data, info) != nil {
		return fs.ErrNotExist // damaged: to be made again
	}
	return nil
}

// putEntry gives a complete folder its place in the cache and takes it into use. When another build was quicker its entry
// is used instead, and the folder is removed.
func putEntry(part, dir string, info entryInfo) (*entry, error) {
	data, err := json.Marshal(info)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(part, "info.json"), data, 0o600); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, err
	}
	for range 3 {
		e := &entry{dir: dir, info: info}
		if e.hold, err = os.Open(part); err != nil {
			return nil, err
		}
		if err = filelock.Lock(e.hold, unix.LOCK_SH); err == nil {
			if err = os.Rename(part, dir); err == nil {
				return e, nil
			}
		}
		e.hold.Close()
		if !errors.Is(err, syscall.ENOTEMPTY) && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		other, oerr := openEntry(dir)
		if oerr == nil && other.info.Key == info.Key {
			return other, rmtree.Remove(part)
		}
		if oerr == nil {
			other.close()
		}
		_, _ = removeEntry(dir) // damaged, or of another key with the same hash; if it stays the rename says so again
	}
	return nil, fmt.Errorf("add to cache: %w", err)
}

// rewrite changes what an entry says of itself.
func (e *entry) rewrite(info entryInfo) error {
	data, err := json.Marshal(info)
	if err != nil {
		return err
	}
	if err := atomicfile.WriteFile(e.path("info.json"), data, 0o600); err != nil {
		return err
	}
	e.info = info
	return nil
}

// removeEntry removes an entry that nobody uses and tells whether it did.
func removeEntry(dir string) (bool, error) {
	f, err := os.Open(dir)
	if err != nil {
		return false, ignoreMissing(err)
	}
	defer f.Close()
	if !filelock.Free(f) {
		return false, nil
	}
	away := fmt.Sprintf("%s.gone-%d", dir, time.Now().UnixNano())
	if err := os.Rename(dir, away); err != nil {
		return false, ignoreMissing(err)
	}
	return true, rmtree.Remove(away)
}

// diskUsage is what a folder takes on disk in bytes; what cannot be read counts nothing.
func diskUsage(dir string) int64 {
	var sum int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := d.Info(); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				sum += st.Blocks * 512
			}
		}
		return nil
	})
	return sum
}
