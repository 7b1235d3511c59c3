package derive

import (
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Root is the tree of files of a container.
type Root struct {
	Files
	// Outside tells that this process is not inside: what only a process there can answer is then ErrImpure.
	Outside bool
}

// Files is the look into a tree. Paths begin with "/"; links are followed as a process would that has the tree as its root.
type Files interface {
	// Mode is the st_mode of what a path leads to.
	Mode(name string) (uint32, error)
	// Names lists a folder, in any order.
	Names(dir string) ([]string, error)
	// Open opens a file for reading.
	Open(name string) (io.ReadCloser, error)
}

// Here is the root that this process is in.
func Here() Root { return Root{Files: here{}} }

type here struct{}

func (here) Mode(name string) (uint32, error) {
	var st unix.Stat_t
	err := unix.Stat(name, &st)
	return st.Mode, err
}

func (here) Names(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

func (here) Open(name string) (io.ReadCloser, error) { return os.Open(name) }

func (r Root) exists(name string) bool {
	_, err := r.Mode(name)
	return err == nil
}

func (r Root) isFile(name string) bool {
	mode, err := r.Mode(name)
	return err == nil && mode&unix.S_IFMT == unix.S_IFREG
}

// scripts are the paths of the files of a folder that end in .sh.
func (r Root) scripts(dir string) []string {
	names, _ := r.Names(dir) // what cannot be listed cannot be sourced
	var out []string
	for _, n := range names {
		if strings.HasSuffix(n, ".sh") {
			out = append(out, path.Join(dir, n))
		}
	}
	return out
}
