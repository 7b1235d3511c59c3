package inside

import (
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks is how many symbolic links one path may go through, as in the kernel (path_resolution(7)).
const maxLinks = 40

// tree resolves paths below a root that an image has filled: every element is opened by itself, without following links,
// relative to the descriptor of the directory before it. Links are read and followed here, ".." goes to the directory
// that was passed on the way, and never above the root. So no arrangement of links, even one that changes meanwhile,
// leads out of the root, and no kernel newer than 3.6 is needed (openat2(2) with RESOLVE_IN_ROOT does the same since 5.6).
type tree struct {
	root int // O_PATH descriptor of the root
	// denied, if not nil, is set when something could not be made for want of rights.
	denied *bool
}

// missing says what to do about a path that is not there.
type missing int

const (
	failMissing missing = iota
	makeDir             // make the last element, and those before it, as directories
	makeFile            // make the last element as an empty file, those before it as directories
)

// open returns an O_PATH descriptor of what p, a path inside the root, leads to. The caller closes it.
func (t tree) open(p string, m missing, mode uint32) (int, error) {
	todo := split(p)
	stack := []int{} // descriptors of the directories passed, below the root
	defer func() {
		for _, fd := range stack {
			unix.Close(fd)
		}
	}()
	top := func() int {
		if len(stack) == 0 {
			return t.root
		}
		return stack[len(stack)-1]
	}
	links := 0
	for i := 0; ; {
		if i == len(todo) {
			return dup(top())
		}
		name := todo[i]
		i++
		if name == ".." {
			if n := len(stack); n > 0 {
				unix.Close(stack[n-1])
				stack = stack[:n-1]
			}
			continue
		}
		last := i == len(todo)
		fd, err := unix.Openat(top(), name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err == unix.ENOENT && m != failMissing {
			fd, err = create(top(), name, last && m == makeFile, mode, last)
			if (err == unix.EACCES || err == unix.EOVERFLOW) && t.denied != nil { // EOVERFLOW: the folder's group has no number here
				*t.denied = true
			}
		}
		if err != nil {
			return -1, err
		}
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			unix.Close(fd)
			return -1, err
		}
		if st.Mode&unix.S_IFMT == unix.S_IFLNK {
			target, err := readlink(fd)
			unix.Close(fd)
			if err != nil {
				return -1, err
			}
			if links++; links > maxLinks {
				return -1, unix.ELOOP
			}
			if strings.HasPrefix(target, "/") {
				for _, fd := range stack {
					unix.Close(fd)
				}
				stack = stack[:0]
			}
			todo = append(split(target), todo[i:]...)
			i = 0
			continue
		}
		if !last && st.Mode&unix.S_IFMT != unix.S_IFDIR {
			unix.Close(fd)
			return -1, unix.ENOTDIR
		}
		stack = append(stack, fd)
	}
}

// route follows p as far as it exists. It returns the names of the directories that it leads through, with their modes, all
// links followed, and the names of what is missing after them; nothing when p exists or leads nowhere.
func (t tree) route(p string) (names []string, modes []uint32, missing []string) {
	return t.routeFrom(split(p), 0)
}

func (t tree) routeFrom(todo []string, links int) (names []string, modes []uint32, missing []string) {
	fd, err := dup(t.root)
	if err != nil {
		return nil, nil, nil
	}
	defer func() { unix.Close(fd) }()
	for len(todo) > 0 {
		name := todo[0]
		if name == ".." {
			// From the start, without the last directory and the step up.
			if len(names) > 0 {
				names = names[:len(names)-1]
			}
			if links++; links > maxLinks {
				return nil, nil, nil
			}
			return t.routeFrom(append(names, todo[1:]...), links)
		}
		next, err := unix.Openat(fd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err == unix.ENOENT {
			return names, modes, split(path.Clean("/" + strings.Join(todo, "/")))
		}
		if err != nil {
			return nil, nil, nil
		}
		var st unix.Stat_t
		if err := unix.Fstat(next, &st); err != nil {
			unix.Close(next)
			return nil, nil, nil
		}
		if st.Mode&unix.S_IFMT == unix.S_IFLNK {
			target, err := readlink(next)
			unix.Close(next)
			if links++; err != nil || links > maxLinks {
				return nil, nil, nil
			}
			rest := append(split(target), todo[1:]...)
			if strings.HasPrefix(target, "/") || len(names) == 0 {
				unix.Close(fd)
				if fd, err = dup(t.root); err != nil {
					return nil, nil, nil
				}
				names, modes = nil, nil
			}
			todo = rest
			continue
		}
		unix.Close(fd)
		fd = next
		names, modes, todo = append(names, name), append(modes, st.Mode&0o7777), todo[1:]
	}
	return nil, nil, nil
}

// parent opens the directory that holds p, making it when missing, and returns p's last element beside it.
func (t tree) parent(p string) (int, string, error) {
	p = path.Clean("/" + p)
	fd, err := t.open(path.Dir(p), makeDir, 0o755)
	return fd, path.Base(p), err
}

// openLink is open for a path whose last element is a symbolic link that is not to be followed; an error where it is none.
func (t tree) openLink(p string) (int, error) {
	p = path.Clean("/" + p)
	dir, err := t.open(path.Dir(p), failMissing, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(dir)
	fd, err := unix.Openat(dir, path.Base(p), unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && st.Mode&unix.S_IFMT != unix.S_IFLNK {
		err = unix.EINVAL
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func create(dir int, name string, file bool, mode uint32, last bool) (int, error) {
	if !last || mode == 0 {
		mode = 0o755
	}
	if file {
		fd, err := unix.Openat(dir, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode&0o666)
		if err != nil && err != unix.EEXIST {
			return -1, err
		}
		if err == nil {
			unix.Close(fd)
		}
	} else if err := unix.Mkdirat(dir, name, mode); err != nil && err != unix.EEXIST {
		return -1, err
	}
	return unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}

// read returns the content of a regular file inside the root, at most limit bytes.
func (t tree) read(p string, limit int) ([]byte, error) {
	fd, err := t.open(p, failMissing, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, unix.EINVAL
	}
	// Opening through the magic link opens this very file (proc_pid_fd(5)), not what its name may have become.
	rfd, err := unix.Open(fdPath(fd), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(rfd)
	var out []byte
	buf := make([]byte, 32<<10)
	for len(out) < limit {
		n, err := unix.Read(rfd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		if n == 0 {
			break
		}
		out = append(out, buf[:n]...)
	}
	return out[:min(len(out), limit)], nil
}

func split(p string) []string {
	var out []string
	for _, s := range strings.Split(p, "/") {
		if s != "" && s != "." {
			out = append(out, s)
		}
	}
	return out
}

func dup(fd int) (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 10) }

func readlink(fd int) (string, error) {
	buf := make([]byte, 4096)
	n, err := unix.Readlinkat(fd, "", buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}
