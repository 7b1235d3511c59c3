package image

import (
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
)

// folderFS is a sandbox folder. Symbolic links are resolved within it, absolute ones too, as they are in a container;
// os.Root sees to it that nothing outside is reached, whatever the folder's owner changes meanwhile.
type folderFS struct{ root *os.Root }

var (
	_ fs.ReadDirFS  = (*folderFS)(nil)
	_ fs.ReadFileFS = (*folderFS)(nil)
	_ fs.StatFS     = (*folderFS)(nil)
	_ fs.ReadLinkFS = (*folderFS)(nil)
)

// maxLinks is how many symbolic links are followed in one path (path_resolution(7)).
const maxLinks = 40

// resolve follows the links in name; last says whether the last element is followed too.
func (f *folderFS) resolve(op, name string, last bool) (string, error) {
	if !fs.ValidPath(name) {
		return "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	done, todo := ".", name
	for links := 0; todo != ""; {
		element, rest, _ := strings.Cut(todo, "/")
		todo = rest
		switch element {
		case "", ".":
			continue
		case "..":
			done = path.Dir(done)
			continue
		}
		next := path.Join(done, element)
		if rest == "" && !last {
			return next, nil
		}
		info, err := f.root.Lstat(next)
		if err != nil {
			return "", err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			done = next
			continue
		}
		if links++; links > maxLinks {
			return "", &fs.PathError{Op: op, Path: name, Err: syscall.ELOOP}
		}
		target, err := f.root.Readlink(next)
		if err != nil {
			return "", err
		}
		if strings.HasPrefix(target, "/") {
			done = "."
		}
		todo = strings.TrimLeft(target, "/") + "/" + todo
	}
	return done, nil
}

func (f *folderFS) Open(name string) (fs.File, error) {
	p, err := f.resolve("open", name, true)
	if err != nil {
		return nil, err
	}
	info, err := f.root.Lstat(p)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() && !info.IsDir() { // opening a fifo would wait for its other end
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EOPNOTSUPP}
	}
	return f.root.Open(p)
}

func (f *folderFS) Stat(name string) (fs.FileInfo, error) {
	p, err := f.resolve("stat", name, true)
	if err != nil {
		return nil, err
	}
	return f.root.Lstat(p)
}

func (f *folderFS) Lstat(name string) (fs.FileInfo, error) {
	p, err := f.resolve("lstat", name, false)
	if err != nil {
		return nil, err
	}
	return f.root.Lstat(p)
}

func (f *folderFS) ReadLink(name string) (string, error) {
	p, err := f.resolve("readlink", name, false)
	if err != nil {
		return "", err
	}
	return f.root.Readlink(p)
}

func (f *folderFS) ReadDir(name string) ([]fs.DirEntry, error) {
	p, err := f.resolve("readdir", name, true)
	if err != nil {
		return nil, err
	}
	return fs.ReadDir(f.root.FS(), p)
}

func (f *folderFS) ReadFile(name string) ([]byte, error) {
	file, err := f.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(file)
}
