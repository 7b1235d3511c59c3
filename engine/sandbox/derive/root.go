package derive

import (
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Root is the tree of files of a container.
type Root struct {
	// Open opens a path inside the root, following its links; flags are those of open(2).
	Open func(name string, flags int) (*os.File, error)
	// Outside tells that this process is not inside: what only a process there can answer is then ErrImpure.
	Outside bool
}

// Here is the root that this process is in.
func Here() Root {
	return Root{Open: func(name string, flags int) (*os.File, error) {
		fd, err := unix.Open(name, flags|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: name, Err: err}
		}
		return os.NewFile(uintptr(fd), name), nil
	}}
}

func (r Root) exists(name string) bool {
	f, err := r.Open(name, unix.O_PATH)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

func (r Root) isFile(name string) bool {
	f, err := r.Open(name, unix.O_PATH)
	if err != nil {
		return false
	}
	defer f.Close()
	var st unix.Stat_t
	return unix.Fstat(int(f.Fd()), &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG
}

// scripts are the paths of the files of a folder that end in .sh.
func (r Root) scripts(dir string) []string {
	f, err := r.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil
	}
	defer f.Close()
	names, _ := f.Readdirnames(-1) // what cannot be listed cannot be sourced
	var out []string
	for _, n := range names {
		if strings.HasSuffix(n, ".sh") {
			out = append(out, path.Join(dir, n))
		}
	}
	return out
}
