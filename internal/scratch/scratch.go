// Package scratch makes folders for a piece of work that are removed in any case: at its end, or, when it was killed, by the
// next piece of work in the same place.
package scratch

import (
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"carrel/internal/filelock"
	"carrel/internal/rmtree"
)

// Beside is the prefix of folders beside what they are to become.
const Beside = ".carrel-"

// abandoned is the age at which something is taken for left where no locks tell whether it is in use.
const abandoned = 24 * time.Hour

// host tells computers apart that share a folder: on some network file systems locks are seen by one computer only.
var host = sync.OnceValue(func() string {
	name, err := os.Hostname()
	if err != nil {
		name = "unknown"
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // never fails
	return fmt.Sprintf("%08x", h.Sum32())
})

// Folder makes a folder whose name begins with prefix, and removes those of earlier pieces of work of this computer that
// nobody holds any more. release removes it, if it is there still under this name. It is held by a lock (flock(2)), which
// goes with the process.
func Folder(in, prefix string) (dir string, release func(), err error) {
	Sweep(in, prefix)
	pattern := prefix + host() + "-"
	// Another process that sweeps may take the new folder for one that was left, in the moment before it is locked.
	for range 100 {
		dir, err := os.MkdirTemp(in, pattern)
		if err != nil {
			return "", nil, err
		}
		f, err := os.Open(dir)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", nil, errors.Join(err, os.Remove(dir))
		}
		if err := filelock.Lock(f, unix.LOCK_EX|unix.LOCK_NB); err != nil || !same(f, dir) {
			f.Close()
			_ = os.Remove(dir) // whoever took it removes it, too
			continue
		}
		return dir, func() {
			_ = rmtree.Remove(dir) // what cannot be removed is tried again by the next
			f.Close()
		}, nil
	}
	return "", nil, fmt.Errorf("make folder in %s: others remove it at once", in)
}

// Sweep removes what earlier pieces of work of this computer left in a folder, under names that begin with prefix; under any
// when it is empty. What cannot be removed stays for the next time.
func Sweep(in, prefix string) {
	left, _ := filepath.Glob(filepath.Join(escape(in), prefix+"*"+host()+"-*"))
	for _, path := range left {
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
		case errors.Is(err, unix.EWOULDBLOCK):
		case err == nil, old(f):
			_ = rmtree.Remove(path)
		}
		f.Close()
	}
}

// old tells whether something was left alone for long: it is asked where there are no locks.
func old(f *os.File) bool {
	st, err := f.Stat()
	return err == nil && time.Since(st.ModTime()) > abandoned
}

func same(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Lstat(path)
	return err == nil && os.SameFile(a, b)
}

// escape makes the name of a folder a pattern that means it (filepath.Match).
func escape(dir string) string {
	var out []byte
	for i := range len(dir) {
		switch dir[i] {
		case '*', '?', '[', '\\':
			out = append(out, '\\')
		}
		out = append(out, dir[i])
	}
	return string(out)
}
