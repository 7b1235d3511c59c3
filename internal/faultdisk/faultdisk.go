// Package faultdisk is a test kit: a disk that fails in the middle of work, as one does that breaks, that is full, over a quota,
// or on a server that went away.
package faultdisk

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Name is what the kernel's list of mounts says of such a disk.
const Name = "torture"

// The operations that can fail.
const (
	Write    = "write"
	Short    = "short write" // a part is written, which is no error
	Read     = "read"
	Close    = "close" // NFS says here that a quota is exceeded (close(2))
	Sync     = "sync"
	Create   = "create"
	Open     = "open"
	MakeDir  = "make a folder"
	Rename   = "rename"
	Link     = "link"
	Symlink  = "make a symbolic link"
	Change   = "change size, mode or times"
	Allocate = "reserve space"
	List     = "list a folder"
	Look     = "look up"
)

// A Disk stands before folders: a file system of this process (FUSE) for each of them. It has no unnamed files (O_TMPFILE),
// as NFS has none, and fails when it is asked to. The zero value works.
type Disk struct {
	mu    sync.Mutex
	op    string // the operation that is to fail; "" for none
	nth   int    // which one, counted from 1
	again bool   // those after it fail as well
	errno syscall.Errno
	count map[string]int // how often each was asked for
	hits  int
}

// On puts a disk before folders, which may have something in them, until the test ends. Without root and /dev/fuse the test is
// skipped.
func (d *Disk) On(t testing.TB, dirs ...string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("missing: root")
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skip("missing: /dev/fuse")
	}
	for _, dir := range dirs {
		behind := dir + ".disk"
		if err := os.Rename(dir, behind); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for _, p := range []string{dir, behind} {
			if err := os.MkdirAll(p, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		root, err := fs.NewLoopbackRoot(behind)
		if err != nil {
			t.Fatal(err)
		}
		server, err := fuse.NewServer(side{fs.NewNodeFS(root, &fs.Options{}), d}, dir, &fuse.MountOptions{
			AllowOther: true, DirectMountStrict: true, FsName: Name, Name: "disk", DisableSplice: true,
			DisabledCapabilities: fuse.CAP_PASSTHROUGH, // else reading and writing does not come here
		})
		if err != nil {
			t.Fatalf("mount a disk: %v", err)
		}
		served := make(chan struct{})
		go func() {
			server.Serve()
			close(served)
		}()
		if err := server.WaitMount(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			err := unix.Unmount(dir, 0)
			for i := 0; err == unix.EBUSY && i < 50; i++ { // some files are closed by the garbage collector (os.Root)
				runtime.GC()
				time.Sleep(20 * time.Millisecond)
				err = unix.Unmount(dir, 0)
			}
			if err != nil {
				t.Errorf("unmount the disk: %v; open: %q", err, open(dir))
				_ = unix.Unmount(dir, unix.MNT_DETACH) // told
			}
			<-served
		})
	}
}

// open are the files below a folder that this process has open.
func open(dir string) []string {
	var out []string
	all, _ := filepath.Glob("/proc/self/fd/*")
	for _, fd := range all {
		if to, err := os.Readlink(fd); err == nil && strings.HasPrefix(to, dir+"/") {
			out = append(out, to)
		}
	}
	return out
}

// Fail makes the nth operation of a kind fail from now on, and those after it if again; the empty operation makes all well. What was
// counted is forgotten.
func (d *Disk) Fail(op string, nth int, again bool, errno syscall.Errno) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.op, d.nth, d.again, d.errno, d.count, d.hits = op, nth, again, errno, map[string]int{}, 0
}

// Counts are how often each operation was asked for, and how often one failed, since Fail.
func (d *Disk) Counts() (map[string]int, int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.count, d.hits
}

// status counts an operation and says how it ends, if it is one that fails.
func (d *Disk) status(op string) fuse.Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.count == nil {
		d.count = map[string]int{}
	}
	d.count[op]++
	if op == d.op && (d.count[op] == d.nth || d.again && d.count[op] > d.nth) {
		d.hits++
		return fuse.Status(d.errno)
	}
	return fuse.OK
}

// side is what the kernel sees of a disk at one folder.
type side struct {
	fuse.RawFileSystem
	disk *Disk
}

func (s side) Write(cancel <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	if st := s.disk.status(Write); !st.Ok() {
		return 0, st
	}
	if len(data) > 1 && !s.disk.status(Short).Ok() {
		data = data[:len(data)/2]
		in.Size = uint32(len(data))
	}
	return s.RawFileSystem.Write(cancel, in, data)
}

func (s side) Writev(cancel <-chan struct{}, in *fuse.WriteIn, data [][]byte) (uint32, fuse.Status) {
	return s.Write(cancel, in, slices.Concat(data...))
}

func (s side) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	if st := s.disk.status(Read); !st.Ok() {
		return nil, st
	}
	return s.RawFileSystem.Read(cancel, in, buf)
}

func (s side) Flush(cancel <-chan struct{}, in *fuse.FlushIn) fuse.Status {
	st := s.RawFileSystem.Flush(cancel, in)
	if failed := s.disk.status(Close); !failed.Ok() {
		return failed
	}
	return st
}

func (s side) Fsync(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	if st := s.disk.status(Sync); !st.Ok() {
		return st
	}
	return s.RawFileSystem.Fsync(cancel, in)
}

func (s side) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	if st := s.disk.status(Create); !st.Ok() {
		return st
	}
	return s.RawFileSystem.Create(cancel, in, name, out)
}

func (s side) Tmpfile(<-chan struct{}, *fuse.CreateIn, *fuse.CreateOut) fuse.Status {
	return fuse.ENOSYS
}

func (s side) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if st := s.disk.status(Open); !st.Ok() {
		return st
	}
	return s.RawFileSystem.Open(cancel, in, out)
}

func (s side) Mkdir(cancel <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	if st := s.disk.status(MakeDir); !st.Ok() {
		return st
	}
	return s.RawFileSystem.Mkdir(cancel, in, name, out)
}

func (s side) Rename(cancel <-chan struct{}, in *fuse.RenameIn, from, to string) fuse.Status {
	if st := s.disk.status(Rename); !st.Ok() {
		return st
	}
	return s.RawFileSystem.Rename(cancel, in, from, to)
}

func (s side) Link(cancel <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	if st := s.disk.status(Link); !st.Ok() {
		return st
	}
	return s.RawFileSystem.Link(cancel, in, name, out)
}

func (s side) Symlink(cancel <-chan struct{}, in *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	if st := s.disk.status(Symlink); !st.Ok() {
		return st
	}
	return s.RawFileSystem.Symlink(cancel, in, target, name, out)
}

func (s side) SetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	if st := s.disk.status(Change); !st.Ok() {
		return st
	}
	return s.RawFileSystem.SetAttr(cancel, in, out)
}

func (s side) Fallocate(cancel <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	if st := s.disk.status(Allocate); !st.Ok() {
		return st
	}
	return s.RawFileSystem.Fallocate(cancel, in)
}

func (s side) OpenDir(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if st := s.disk.status(List); !st.Ok() {
		return st
	}
	return s.RawFileSystem.OpenDir(cancel, in, out)
}

func (s side) Lookup(cancel <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	if st := s.disk.status(Look); !st.Ok() {
		return st
	}
	return s.RawFileSystem.Lookup(cancel, in, name, out)
}

func (s side) String() string { return fmt.Sprintf(Name+"(%s)", s.RawFileSystem.String()) }
