package sandbox

import (
	"errors"
	"io"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"carrel/engine/sandbox/derive"
)

// view looks at what becomes the lowest layer of a root, from outside.
type view interface {
	derive.Files
	// read returns the content of a regular file; empty when it does not exist, errUnusual when it is something else.
	read(name string) ([]byte, error)
	// place finds where a path leads. The error is errUnusual where links or missing parts make that more than one question.
	place(name string) (place, error)
	close()
}

// folderView looks at a folder. Paths are resolved below it by the kernel, whatever links it has (openat2(2),
// RESOLVE_IN_ROOT).
type folderView struct {
	fd     int
	real   string // what the kernel calls the folder (proc_pid_fd(5))
	looked []string
}

func openFolder(folder string) (*folderView, error) {
	fd, err := unix.Open(folder, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	v := &folderView{fd: fd}
	if v.real, err = realPath(fd); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return v, nil
}

func (v *folderView) close() { unix.Close(v.fd) }

func realPath(fd int) (string, error) { return os.Readlink("/proc/self/fd/" + strconv.Itoa(fd)) }

func (v *folderView) openat(name string, flags int) (int, error) {
	v.looked = append(v.looked, name)
	return unix.Openat2(v.fd, name, &unix.OpenHow{
		Flags: uint64(flags | unix.O_CLOEXEC), Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
}

func (v *folderView) open(name string, flags int) (*os.File, error) {
	fd, err := v.openat(name, flags|unix.O_NONBLOCK)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// Mode implements derive.Files.
func (v *folderView) Mode(name string) (uint32, error) {
	fd, err := v.openat(name, unix.O_PATH)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	return st.Mode, err
}

// Names implements derive.Files.
func (v *folderView) Names(dir string) ([]string, error) {
	f, err := v.open(dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// Open implements derive.Files.
func (v *folderView) Open(name string) (io.ReadCloser, error) { return v.open(name, unix.O_RDONLY) }

// maxOwn bounds the image's own file that is read (a passwd file of a large site has a few MB).
const maxOwn = 16 << 20

func (v *folderView) read(name string) ([]byte, error) {
	f, err := v.open(name, unix.O_RDONLY)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > maxOwn {
		return nil, errUnusual
	}
	data := make([]byte, st.Size())
	n, err := f.ReadAt(data, 0)
	if n < len(data) {
		return nil, err
	}
	return data, nil
}

// place is where a path leads.
type place struct {
	path  string // without links
	dirs  []dir  // on the way to what is missing
	miss  int    // how many of the last elements of path do not exist
	isDir bool   // of one that exists
}

// dir is a folder that exists in the layer.
type dir struct {
	path string
	mode uint32
	uid  int
}

// elements are those of a path without "." and "..".
func elements(name string) ([]string, error) {
	names := strings.FieldsFunc(name, func(r rune) bool { return r == '/' })
	for _, n := range names {
		if n == "." || n == ".." {
			return nil, errUnusual
		}
	}
	return names, nil
}

func (v *folderView) place(name string) (place, error) {
	names, err := elements(name)
	if err != nil {
		return place{}, err
	}
	for i := len(names); i >= 0; i-- {
		fd, err := v.openat("/"+path.Join(names[:i]...), unix.O_PATH)
		if err == unix.ENOENT {
			continue
		}
		if err != nil {
			return place{}, err
		}
		defer unix.Close(fd)
		return v.placeAt(fd, names[i:])
	}
	return place{}, errUnusual
}

func (v *folderView) placeAt(fd int, missing []string) (place, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return place{}, err
	}
	at, err := realPath(fd)
	if err != nil {
		return place{}, err
	}
	rest, ok := strings.CutPrefix(at, strings.TrimSuffix(v.real, "/"))
	if !ok || rest != "" && rest[0] != '/' || strings.HasSuffix(at, " (deleted)") {
		return place{}, errUnusual
	}
	pl := place{path: path.Join("/", rest, path.Join(missing...)), miss: len(missing), isDir: st.Mode&unix.S_IFMT == unix.S_IFDIR}
	if pl.miss == 0 {
		return pl, nil
	}
	if !pl.isDir {
		return place{}, unix.ENOTDIR
	}
	if err := unix.Fstatat(fd, missing[0], &st, unix.AT_SYMLINK_NOFOLLOW); err != unix.ENOENT {
		return place{}, errUnusual // a link that leads nowhere
	}
	for i := 1; i <= len(rest); i++ {
		if i < len(rest) && rest[i] != '/' || i == 1 && len(rest) == 1 {
			continue
		}
		var st unix.Stat_t
		if err := unix.Fstatat(v.fd, rest[1:i], &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return place{}, err
		}
		v.looked = append(v.looked, rest[:i])
		pl.dirs = append(pl.dirs, dir{rest[:i], st.Mode & 0o7777, int(st.Uid)})
	}
	return pl, nil
}
