package again

import (
	"encoding/binary"
	"slices"
	"syscall"
	"time"
	"unsafe"
)

// Look is what was looked at for a launch.
type Look struct {
	// Folder becomes the root of the container; Inside are the paths in it that were looked at, from its root on. For each the
	// folders on the way are compared as well: a name that was not there is noticed by the change of its folder.
	Folder string
	Inside []string
	// Files are files of the host whose contents matter, Places those of which only matters which they are.
	Files, Places []string

	inside, files, places []seen
}

// seen is a path and what was there.
type seen struct{ path, is string }

// settled is how long a file must not have been changed before a launch for its time to tell changes from then on: the clock
// of file systems ticks (inode(7)), and a network's may be off.
const settled = 2 * time.Second

// whole is what changes with a file: which it is, its rights, its length, and the time of its last change (inode(7), ctime).
func whole(st *syscall.Stat_t) string {
	b := binary.AppendUvarint(make([]byte, 0, 48), uint64(st.Dev))
	for _, n := range []uint64{st.Ino, uint64(st.Mode), uint64(st.Uid), uint64(st.Gid), uint64(st.Size), uint64(st.Ctim.Sec), uint64(st.Ctim.Nsec)} {
		b = binary.AppendUvarint(b, n)
	}
	return string(b)
}

// place is what changes when another file takes the place of one, or its rights change.
func place(st *syscall.Stat_t) string {
	b := binary.AppendUvarint(make([]byte, 0, 32), uint64(st.Dev))
	for _, n := range []uint64{st.Ino, uint64(st.Mode), uint64(st.Uid), uint64(st.Gid)} {
		b = binary.AppendUvarint(b, n)
	}
	return string(b)
}

// failure is what is told of a path that cannot be looked at.
func failure(err error) string {
	if e, ok := err.(syscall.Errno); ok {
		return "-" + string(rune(e))
	}
	return "?"
}

// openHow is struct open_how (openat2(2)).
type openHow struct{ flags, mode, resolve uint64 }

const (
	sysOpenat2     = 437 // of all architectures
	oPath          = 0x200000
	atFdcwd        = -0x64
	noMagicLinks   = 0x02
	resolveInRoot  = 0x10
	folderOpenMode = oPath | syscall.O_DIRECTORY | syscall.O_CLOEXEC
)

// below opens a path in a folder as a process would that has the folder as its root.
func below(dir int, path string, st *syscall.Stat_t) error {
	name, err := syscall.BytePtrFromString(path)
	if err != nil {
		return err
	}
	how := openHow{flags: oPath | syscall.O_CLOEXEC, resolve: resolveInRoot | noMagicLinks}
	fd, _, errno := syscall.Syscall6(sysOpenat2, uintptr(dir), uintptr(unsafe.Pointer(name)), uintptr(unsafe.Pointer(&how)), unsafe.Sizeof(how), 0, 0)
	if errno != 0 {
		return errno
	}
	err = syscall.Fstat(int(fd), st)
	syscall.Close(int(fd))
	return err
}

// inFolder looks at paths in the folder, and calls f with what it finds until that returns false.
func (l *Look) inFolder(paths func(yield func(string) bool), f func(path, is string, changed int64) bool) bool {
	dir, err := syscall.Open(l.Folder, folderOpenMode, 0)
	if err != nil {
		return false
	}
	defer syscall.Close(dir)
	var st syscall.Stat_t
	for p := range paths {
		is, changed := "", int64(0)
		if err := below(dir, p, &st); err != nil {
			is = failure(err)
		} else {
			is, changed = whole(&st), st.Ctim.Nano()
		}
		if !f(p, is, changed) {
			return false
		}
	}
	return true
}

// prefixes are the paths in the folder, and the folders on the way to them, each once.
func (l *Look) prefixes() []string {
	have := map[string]bool{"/": true}
	out := []string{"/"}
	for _, p := range l.Inside {
		for i := 1; i <= len(p); i++ {
			if (i == len(p) || p[i] == '/') && !have[p[:i]] {
				have[p[:i]] = true
				out = append(out, p[:i])
			}
		}
	}
	slices.Sort(out)
	return out
}

// append looks at everything, and writes down what is there. ok is false when something may have been changed since it was
// looked at for the launch, which began at a given time.
func (l *Look) append(b []byte, began time.Time) (out []byte, ok bool) {
	text := func(t string) {
		b = binary.AppendUvarint(b, uint64(len(t)))
		b = append(b, t...)
	}
	latest := began.Add(-settled).UnixNano()
	all := l.prefixes()
	text(l.Folder)
	b = binary.AppendUvarint(b, uint64(len(all)))
	each := func(yield func(string) bool) {
		for _, p := range all {
			if !yield(p) {
				return
			}
		}
	}
	if !l.inFolder(each, func(path, is string, changed int64) bool {
		text(path)
		text(is)
		return changed <= latest
	}) {
		return b, false
	}
	b = binary.AppendUvarint(b, uint64(len(l.Files)))
	var st syscall.Stat_t
	for _, p := range l.Files {
		is := ""
		if err := syscall.Stat(p, &st); err != nil {
			is = failure(err)
		} else if is = whole(&st); st.Ctim.Nano() > latest {
			return b, false
		}
		text(p)
		text(is)
	}
	b = binary.AppendUvarint(b, uint64(len(l.Places)))
	for _, p := range l.Places {
		text(p)
		text(placeOf(p, &st))
	}
	return b, true
}

func placeOf(path string, st *syscall.Stat_t) string {
	if err := syscall.Stat(path, st); err != nil {
		return failure(err)
	}
	return place(st)
}

// look reads what append has written.
func (r *reader) look() (l Look) {
	list := func() []seen {
		n := r.uint()
		if n > maxMemo {
			r.failed = true
			return nil
		}
		out := make([]seen, 0, min(n, 256))
		for range n {
			if r.failed {
				break
			}
			out = append(out, seen{string(r.text()), string(r.text())})
		}
		return out
	}
	l.Folder = string(r.text())
	l.inside, l.files, l.places = list(), list(), list()
	return l
}

// same tells whether everything is as it was.
func (l *Look) same() bool {
	var st syscall.Stat_t
	for _, s := range l.files {
		is := ""
		if err := syscall.Stat(s.path, &st); err != nil {
			is = failure(err)
		} else {
			is = whole(&st)
		}
		if is != s.is {
			return false
		}
	}
	for _, s := range l.places {
		if placeOf(s.path, &st) != s.is {
			return false
		}
	}
	i := 0
	each := func(yield func(string) bool) {
		for _, s := range l.inside {
			if !yield(s.path) {
				return
			}
		}
	}
	return l.inFolder(each, func(_, is string, _ int64) bool {
		i++
		return is == l.inside[i-1].is
	})
}
