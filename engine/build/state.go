package build

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// statDigest names the state of a file, or of a folder with all in it, by what changes whenever they do: size, times and
// inode, without reading them. The state of a folder is a digest of those of what it holds, which are found in parallel.
func statDigest(path string) (string, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return "", &os.PathError{Op: "lstat", Path: path, Err: err}
	}
	sum := sha256.Sum256(appendState(nil, "", &st))
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		w := stateWalk{more: make(chan struct{}, runtime.GOMAXPROCS(0)-1)}
		root := &stateFolder{path: path}
		w.read(root, sum[:])
		w.group.Wait()
		if err := w.err.Load(); err != nil {
			return "", *err
		}
		sum = root.sum
	}
	return hex.EncodeToString(sum[:digestSize]), nil
}

// appendState appends all of an object that changes with it.
func appendState(b []byte, name string, st *unix.Stat_t) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(b, uint32(len(name)))
	b = append(b, name...)
	b = le.AppendUint64(b, st.Dev)
	b = le.AppendUint64(b, st.Ino)
	b = le.AppendUint32(b, st.Mode)
	b = le.AppendUint32(b, st.Uid)
	b = le.AppendUint32(b, st.Gid)
	b = le.AppendUint64(b, uint64(st.Size))
	for _, t := range []unix.Timespec{st.Mtim, st.Ctim} {
		b = le.AppendUint64(b, uint64(t.Nano()))
	}
	return b
}

// stateWalk reads folders on as many goroutines as there are processors.
type stateWalk struct {
	group sync.WaitGroup
	more  chan struct{} // takes an element for each goroutine but the first
	err   atomic.Pointer[error]
}

// stateFolder is a folder whose digest is made when those of all in it are.
type stateFolder struct {
	path   string
	above  *stateFolder
	inside []*stateFolder
	own    []byte
	wait   atomic.Int32 // folders in it without a digest, and one for itself while it is read
	sum    [sha256.Size]byte
}

// read lists a folder and what is below it; own is what is known of it already.
func (w *stateWalk) read(d *stateFolder, own []byte) {
	d.own = own
	d.wait.Store(1)
	defer d.done()
	if w.err.Load() != nil {
		return
	}
	if err := w.list(d); err != nil {
		w.err.CompareAndSwap(nil, &err)
	}
}

func (w *stateWalk) list(d *stateFolder) error {
	f, err := os.Open(d.path)
	if err != nil {
		return err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return err
	}
	slices.SortFunc(names, strings.Compare)
	for _, name := range names {
		var st unix.Stat_t
		if err := unix.Fstatat(int(f.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return &os.PathError{Op: "lstat", Path: d.path + "/" + name, Err: err}
		}
		d.own = appendState(d.own, name, &st)
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			d.inside = append(d.inside, &stateFolder{path: d.path + "/" + name, above: d})
		}
	}
	f.Close()
	d.wait.Add(int32(len(d.inside)))
	for _, c := range d.inside {
		select {
		case w.more <- struct{}{}:
			w.group.Go(func() {
				w.read(c, nil)
				<-w.more
			})
		default:
			w.read(c, nil)
		}
	}
	return nil
}

// done makes the digest when nothing is missing any more.
func (d *stateFolder) done() {
	for ; d != nil && d.wait.Add(-1) == 0; d = d.above {
		h := sha256.New()
		h.Write(d.own)
		for _, c := range d.inside {
			h.Write(c.sum[:])
		}
		h.Sum(d.sum[:0])
		d.own, d.inside = nil, nil
	}
}
