package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"carrel/engine/image"
	"carrel/engine/launch"
	"carrel/engine/tree"
	"carrel/internal/scratch"
)

// A hot image is one that is used again and again: an unpacked copy of it is kept in the cache, so that the next start
// reads plain files instead of decompressing through FUSE. Copies are made by a worker at the lowest priority (heating.go),
// used only by containers of a single id (to which all files belong anyway), and thrown away, the least recently used
// first, when they exceed the limit.
//
//	CACHE/hot/KEY/root    the copy
//	CACHE/hot/KEY/used    its time is the last use; locked (flock(2)) by those who use the copy
//	CACHE/hot/.not-KEY    no copy could be made, with the limit of then
//	CACHE/hot/.making     locked by the worker that makes a copy: one at a time
const (
	// defaultHotLimit is how many bytes of copies are kept unless the configuration says otherwise.
	defaultHotLimit = 8 << 30
	// hotReserve is how many bytes of the disk stay free whatever the limit.
	hotReserve = 2 << 30
	// hotPart is the prefix of what is being made, or thrown away.
	hotPart = ".part-"
	// hotNot is the prefix of notes that no copy could be made.
	hotNot = ".not-"
)

func (e *Engine) hotDir() string { return filepath.Join(e.c.CacheDir, "hot") }

func (e *Engine) hotLimit() int64 {
	if e.c.HotLimit == 0 {
		return defaultHotLimit
	}
	return e.c.HotLimit
}

// hotForm is raised when copies made before must not be used any more. 1: they had changed modes, and no attributes.
const hotForm = 2

// hotKey names the content of an image file as it is now.
func hotKey(path string) (string, error) {
	st, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return "", errors.ErrUnsupported
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %d %d %d", hotForm, sys.Dev, sys.Ino, st.Size(), st.ModTime().UnixNano()))
	return hex.EncodeToString(sum[:16]), nil
}

// useHot puts the unpacked copy of an image, when there is one, in the place of its layers, and tells whether it did. The
// copy is held until the container has ended.
func (e *Engine) useHot(p *prepared, o *launch.Options) bool {
	if e.hotLimit() < 0 || len(o.IDs.UID) != 1 || p.image.Kind == image.Sandbox {
		return false
	}
	key, err := hotKey(p.image.Path)
	if err != nil {
		return false
	}
	dir := filepath.Join(e.hotDir(), key)
	f, err := os.Open(filepath.Join(dir, "used"))
	if err != nil {
		return false
	}
	if unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) != nil {
		f.Close()
		return false
	}
	now := e.c.Now()
	if os.Chtimes(f.Name(), now, now) != nil || !isFolder(filepath.Join(dir, "root")) {
		f.Close() // it is being thrown away
		return false
	}
	p.hot, p.hold = true, f.Name()
	p.closers = append(p.closers, func() { f.Close() })
	o.Layers = []launch.Layer{{Folder: filepath.Join(dir, "root")}}
	return true
}

func isFolder(p string) bool {
	st, err := os.Stat(p)
	return err == nil && st.IsDir()
}

var errTooLarge = errors.New("the unpacked image exceeds the limit of the cache")

var errXattrs = errors.New("the file system of the cache does not keep extended attributes")

// sizer adds up what a tree takes on disk, and stops where it is too much.
type sizer struct {
	sink    tree.Sink
	dir     string
	limit   int64
	bytes   int64
	checked int64 // bytes at the last look at the disk
}

func (s *sizer) Add(e tree.Entry, body io.Reader) error {
	const block = 4096 // files take whole blocks, and a part of one for themselves
	s.bytes += (e.Size+block-1)/block*block + block/4
	if s.bytes > s.limit {
		return errTooLarge
	}
	if s.bytes-s.checked > hotReserve/8 {
		s.checked = s.bytes
		if freeBytes(s.dir) < hotReserve {
			return errTooLarge
		}
	}
	// Those of root and of security modules cannot be set by a user, who would not see them either.
	e.Xattrs = maps.Clone(e.Xattrs)
	maps.DeleteFunc(e.Xattrs, func(name string, _ []byte) bool { return !strings.HasPrefix(name, "user.") })
	return s.sink.Add(e, body)
}

func freeBytes(dir string) int64 {
	var fs unix.Statfs_t
	if unix.Statfs(dir, &fs) != nil {
		return 0
	}
	return int64(fs.Bavail) * fs.Bsize
}

// hotCopy is a copy in the cache.
type hotCopy struct {
	dir   string
	image string
	bytes int64
	used  time.Time
}

func hotCopies(dir string) []hotCopy {
	var out []hotCopy
	files, _ := filepath.Glob(filepath.Join(dir, "*", "used"))
	for _, f := range files {
		c := hotCopy{dir: filepath.Dir(f)}
		st, err := os.Stat(f)
		if err != nil {
			continue
		}
		data, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		size, image, _ := strings.Cut(strings.TrimSuffix(string(data), "\n"), " ")
		if n, err := strconv.ParseInt(size, 10, 64); err == nil { // a damaged note counts as nothing
			c.bytes, c.image = n, image
		}
		c.used = st.ModTime()
		out = append(out, c)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].used.Before(out[j].used) })
	return out
}

// coolDown throws away copies until those left have at most limit bytes, the least recently used first; copies in use stay.
// What was left half made by workers that were killed goes too.
func coolDown(dir string, limit int64) error {
	scratch.Sweep(dir, hotPart)
	notes, _ := filepath.Glob(filepath.Join(dir, hotNot+"*"))
	for _, n := range notes {
		if st, err := os.Stat(n); err == nil && time.Since(st.ModTime()) > hotRetry {
			_ = os.Remove(n) // it says nothing any more
		}
	}
	copies := hotCopies(dir)
	var sum int64
	for _, c := range copies {
		sum += c.bytes
	}
	for _, c := range copies {
		if sum <= limit {
			return nil
		}
		freed, err := throwAway(c)
		if err != nil {
			return err
		}
		if freed {
			sum -= c.bytes
		}
	}
	return nil
}

// throwAway removes a copy that nobody uses.
func throwAway(c hotCopy) (bool, error) {
	f, err := os.Open(filepath.Join(c.dir, "used"))
	if err != nil {
		return false, nil // gone
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return false, nil
	}
	// Out of the way first: a start that finds the name finds a whole copy.
	gone, release, err := scratch.Folder(filepath.Dir(c.dir), hotPart)
	if err != nil {
		return false, err
	}
	defer release()
	return true, os.Rename(c.dir, filepath.Join(gone, "copy"))
}
