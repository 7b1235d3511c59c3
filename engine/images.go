package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"carrel/engine/image"
)

// Images lists the images of the store and those run lately from elsewhere, newest first.
func (e *Engine) Images(ctx context.Context) ([]ImageInfo, error) { return e.ListImages(ctx, nil) }

// listEvery is how often ListImages tells of what it knows.
const listEvery = 100 * time.Millisecond

// ListImages is Images, which tells what it knows before it knows all: first what the file system says of every image, then
// again every tenth of a second while the images themselves are read, the newest first. What an image says of itself (kind,
// architecture, title, whether it can be used) is not there until it was read; the order and the number stay. Each list is the
// caller's. soon may be nil.
func (e *Engine) ListImages(ctx context.Context, soon func([]ImageInfo)) ([]ImageInfo, error) {
	names, err := os.ReadDir(e.imageDir())
	if err != nil {
		return nil, err
	}
	recorded := e.recorded()
	out := []ImageInfo{}
	var unread []int
	add := func(path string, inStore bool) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		st, err := os.Stat(path)
		if err != nil {
			return nil // gone meanwhile
		}
		info := ImageInfo{Name: filepath.Base(path), Path: path, Size: st.Size(), ModTime: st.ModTime(), InStore: inStore}
		if recorded[filepath.Base(e.recordPath(path))] {
			r := e.record(path)
			info.Catalog, info.LastRun = r.Catalog, r.LastRun
		}
		out = append(out, info)
		return nil
	}
	for _, n := range names {
		if strings.HasPrefix(n.Name(), ".") {
			continue
		}
		if err := add(filepath.Join(e.imageDir(), n.Name()), true); err != nil {
			return nil, err
		}
	}
	for _, path := range e.imagesElsewhere(recorded) {
		if err := add(path, false); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(out, func(a, b ImageInfo) int { return cmp.Compare(b.ModTime.UnixNano(), a.ModTime.UnixNano()) })
	for i := range out {
		if !e.heads.known(&out[i]) {
			unread = append(unread, i)
		}
	}
	last := time.Time{}
	for _, i := range unread {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if now := time.Now(); soon != nil && now.Sub(last) >= listEvery {
			soon(slices.Clone(out))
			last = now
		}
		e.heads.read(&out[i])
	}
	return out, nil
}

// recorded are the names of the records of images.
func (e *Engine) recorded() map[string]bool {
	names, _ := os.ReadDir(filepath.Join(e.c.StateDir, "images"))
	out := make(map[string]bool, len(names))
	for _, n := range names {
		out[n.Name()] = true
	}
	return out
}

// imagesElsewhere are the paths of the images outside of the store that were run from here.
func (e *Engine) imagesElsewhere(recorded map[string]bool) []string {
	var out []string
	for f := range recorded {
		var r record
		data, err := os.ReadFile(filepath.Join(e.c.StateDir, "images", f))
		if err != nil || json.Unmarshal(data, &r) != nil || r.Path == "" || filepath.Dir(r.Path) == e.imageDir() {
			continue
		}
		out = append(out, r.Path)
	}
	slices.Sort(out)
	return out
}

// describe reads an image's head.
func (e *Engine) describe(path string) (ImageInfo, error) {
	st, err := os.Stat(path)
	if err != nil {
		return ImageInfo{}, err
	}
	r := e.record(path)
	info := ImageInfo{Name: filepath.Base(path), Path: path, Size: st.Size(), ModTime: st.ModTime(), Catalog: r.Catalog, LastRun: r.LastRun}
	if !e.heads.known(&info) {
		e.heads.read(&info)
	}
	return info, nil
}

// heads are what images said of themselves when they were read, by their paths, so that a list is not read anew from ten
// thousand files because an app was started. A file that was changed since is read again; of folders nothing is kept.
type heads struct {
	mu sync.Mutex
	of map[string]head
}

type head struct {
	file              fileID
	kind, arch, title string
}

// fileID is a file in one state.
type fileID struct {
	dev, ino uint64
	size     int64
	changed  syscall.Timespec
}

// idOf is the state of a file; false for what is no file.
func idOf(path string) (fileID, bool) {
	var st syscall.Stat_t
	if err := syscall.Stat(path, &st); err != nil || st.Mode&syscall.S_IFMT != syscall.S_IFREG {
		return fileID{}, false
	}
	return fileID{uint64(st.Dev), st.Ino, st.Size, st.Ctim}, true
}

// known fills in what is known of an image already.
func (h *heads) known(info *ImageInfo) bool {
	h.mu.Lock()
	got, ok := h.of[info.Path]
	h.mu.Unlock()
	if !ok {
		return false
	}
	if id, file := idOf(info.Path); !file || id != got.file {
		return false
	}
	info.Kind, info.Arch, info.Title = got.kind, got.arch, got.title
	return true
}

// read reads an image's head, and keeps it.
func (h *heads) read(info *ImageInfo) {
	id, file := idOf(info.Path)
	img, err := image.Open(info.Path)
	if err != nil {
		info.Problem = err.Error()
		return // it may be being written
	}
	defer img.Close()
	info.Kind, info.Arch = string(img.Kind), img.Arch
	if labels, err := img.Labels(); err == nil {
		info.Title = labels["org.opencontainers.image.title"]
	}
	if !file {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.of == nil {
		h.of = map[string]head{}
	}
	h.of[info.Path] = head{id, info.Kind, info.Arch, info.Title}
}
