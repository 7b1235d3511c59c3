package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"carrel/engine/sif"
)

// Unsaved are changes of an image that were not saved into it.
type Unsaved struct {
	Image   string    `json:"image"`   // path of the image
	Since   time.Time `json:"since"`   // start of the run that made them
	Files   int       `json:"files"`   // new or changed
	Folders int       `json:"folders"` // new, or of another mode or owner
	Deleted int       `json:"deleted"`
	Bytes   int64     `json:"bytes"`
	Names   []string  `json:"names"` // "+ /path" or "- /path"; of very many only the first
}

// UnsavedError is a run with Writable of an image that has unsaved changes.
type UnsavedError struct{ Unsaved }

func (e *UnsavedError) Error() string {
	return fmt.Sprintf("%s: changes of %s are not saved in it yet (%s)",
		filepath.Base(e.Image), e.Since.Local().Format("2 January 15:04"), changed(e.Files, e.Folders, e.Deleted))
}

// changed counts for a person. Folders that hold something changed are not worth a word.
func changed(files, folders, deleted int) string {
	if files+deleted == 0 && folders > 0 {
		return counted(folders, "folder", "folders") + " changed"
	}
	return fmt.Sprintf("%s changed, %d deleted", counted(files, "file", "files"), deleted)
}

func counted(n int, one, many string) string {
	if n == 1 {
		many = one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// Hint says how to go on.
func (e *UnsavedError) Hint() string {
	return "see them with --leftovers show; start it with --leftovers keep to go on with them, or --leftovers discard to delete them"
}

// identity tells a file that keeps changes from others, under whatever name.
type identity struct {
	Image string `json:"image"`        // its path, without links
	ID    string `json:"id,omitempty"` // of a SIF; "" where it says nothing
	Dev   uint64 `json:"dev,omitempty"`
	Ino   uint64 `json:"ino,omitempty"`
}

// noID is the id of images that are made to be the same again and again.
const noID = "00000000-0000-0000-0000-000000000000"

// identify looks at a file. What cannot be found out is left empty.
func identify(path string) identity {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	i := identity{Image: path}
	if st, err := os.Stat(path); err == nil {
		if sys, ok := st.Sys().(*syscall.Stat_t); ok {
			i.Dev, i.Ino = uint64(sys.Dev), sys.Ino //nolint:unconvert // its type differs by processor
		}
	}
	if m, err := sif.Open(path); err == nil {
		if m.ID != noID {
			i.ID = m.ID
		}
		m.Close()
	}
	return i
}

// same tells whether two looks were at one file, or at a copy of it in its place. Numbers of devices change from one start
// of the computer to the next, so at the same path that of the inode is enough.
func (i identity) same(j identity) bool {
	switch {
	case i.ID != "" && j.ID != "":
		return i.ID == j.ID
	case i.Ino == 0 || j.Ino == 0: // a note of earlier versions
		return i.Image == j.Image
	}
	return i.Ino == j.Ino && (i.Image == j.Image || i.Dev == j.Dev)
}

// holder is what is written beside the changes of a running app.
type holder struct {
	identity
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	Mounts  []string  `json:"mounts"`
}

// readHolder reads the note beside changes; one that is missing or damaged says nothing.
func readHolder(dir string) holder {
	var h holder
	if data, err := os.ReadFile(filepath.Join(dir, "holder.json")); err != nil || json.Unmarshal(data, &h) != nil {
		return holder{}
	}
	return h
}

// changesDir is where the changes of an image lie while they are not in it.
func (e *Engine) changesDir(image string) string {
	path := image
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	sum := sha256.Sum256([]byte(path))
	return filepath.Join(e.c.StateDir, "changes", shortName(path)+"-"+hex.EncodeToString(sum[:6]))
}

// findChanges is the folder in which changes of an image lie that are not in it yet, or "". They are found after the image
// was moved. other tells that in their place are those of another image, which once had this name.
func (e *Engine) findChanges(id identity) (dir string, other bool) {
	dir = e.changesDir(id.Image)
	if exists(filepath.Join(dir, "upper")) {
		if h := readHolder(dir); h.Image == "" || h.same(id) {
			return dir, false
		}
		other = true
	}
	all, _ := filepath.Glob(filepath.Join(e.c.StateDir, "changes", "*", "holder.json"))
	for _, f := range all {
		at := filepath.Dir(f)
		if h := readHolder(at); at == dir || h.Image == "" || !h.same(id) || !exists(filepath.Join(at, "upper")) {
			continue
		} else if now := identify(h.Image); now.Ino == 0 || !h.same(now) || now.Ino == id.Ino && now.Dev == id.Dev {
			return at, other // nobody else has a claim to them: id is no copy of an image that is there still
		}
	}
	return "", other
}

// claim makes the folder of an image's changes the keeper's: that in which some lie, else a new one. Changes of another image
// that lie in its place are put aside; where is then returned.
func (k *keeper) claim(id identity) (aside string, err error) {
	found, other := k.e.findChanges(id)
	own := k.e.changesDir(id.Image)
	if other {
		aside = own + "-" + readHolder(own).Started.UTC().Format("20060102T150405")
		if err := os.Rename(own, aside); err != nil {
			return "", fmt.Errorf("put unsaved changes of another image aside: %w", err)
		}
	}
	if found != "" && found != own {
		if err := os.Rename(found, own); err != nil {
			return "", fmt.Errorf("find unsaved changes again: %w", err)
		}
	}
	k.dir = own
	return aside, nil
}

// unsaved tells of changes that are still outside of what they were made to; nil for none.
func (k *keeper) unsaved() (*Unsaved, error) {
	if k.dir == "" || !exists(filepath.Join(k.dir, "upper")) {
		return nil, nil
	}
	h := readHolder(k.dir) // without it everything counts
	lower, closer, err := k.lower()
	if err != nil {
		return nil, fmt.Errorf("read unsaved changes: %w", err)
	}
	defer closer.Close()
	c, err := k.read(lower, h.Mounts)
	if err != nil {
		return nil, fmt.Errorf("read unsaved changes: %w", err)
	}
	if c.Empty() {
		return nil, nil
	}
	return &Unsaved{Image: k.path, Since: h.Started, Files: c.Files, Folders: c.Folders, Deleted: c.Deleted, Bytes: c.Bytes, Names: c.Names}, nil
}

// Unsaved tells of changes of an image that a killed run left outside of it; nil for none. While an app runs that keeps
// its changes they are reported too.
func (e *Engine) Unsaved(ctx context.Context, name string) (*Unsaved, error) {
	t, err := e.Resolve(ctx, name)
	if err != nil || !t.Built {
		return nil, err
	}
	dir, _ := e.findChanges(identify(t.Path))
	k := &keeper{e: e, path: t.Path, dir: dir, lower: imageLower(t.Path), owners: imageOwners(e.c.User.UID != 0)}
	return k.unsaved()
}

// holderOf says who keeps changes in an image, as far as that is known.
func (e *Engine) holderOf(image string) string {
	dir, _ := e.findChanges(identify(image))
	h := readHolder(dir)
	if dir == "" || h.PID == 0 {
		return ""
	}
	return fmt.Sprintf("process %d, since %s", h.PID, h.Started.Local().Format("2 January 15:04"))
}
