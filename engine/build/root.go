package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"carrel/engine/tree"
	"carrel/internal/filelock"
	"carrel/internal/scratch"
)

// workFolder makes a folder for one build and holds a lock on it. Folders of builds that were killed hold none and are
// removed here, by a process that may: files in them can belong to ids that the caller outside has not.
func workFolder(work string) (dir string, release func(), err error) {
	if err := os.MkdirAll(work, 0o755); err != nil {
		return "", nil, err
	}
	return scratch.Folder(work, "build-")
}

// lockedFolder makes a folder with a lock on it. Another build that tidies up may take the new folder for one that was
// left, in the moment before it is locked.
func lockedFolder(in, prefix string) (string, *os.File, error) {
	for range 100 {
		dir, err := os.MkdirTemp(in, prefix)
		if err != nil {
			return "", nil, err
		}
		f, ok := lock(dir)
		if ok && isDir(dir) {
			return dir, f, nil
		}
		if ok {
			f.Close()
		}
		_ = os.Remove(dir) // whoever took it removes it, too
	}
	return "", nil, fmt.Errorf("make folder in %s: others remove it at once", in)
}

// lock takes a folder's lock; it goes when the file is closed or the process ends (flock(2)).
func lock(dir string) (*os.File, bool) {
	return lockedBy(dir, func(f *os.File) bool { return filelock.Lock(f, unix.LOCK_EX|unix.LOCK_NB) == nil })
}

// unused is lock for who is going to remove the folder: where there are no locks it is false.
func unused(dir string) (*os.File, bool) { return lockedBy(dir, filelock.Free) }

func lockedBy(dir string, take func(*os.File) bool) (*os.File, bool) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, false
	}
	if !take(f) {
		f.Close()
		return nil, false
	}
	return f, true
}

func (s *stage) upper() string {
	if s.kept != nil {
		return s.kept.path("upper")
	}
	return filepath.Join(s.dir, "upper")
}

// mount makes the stage's tree, at root: an overlay of what the stage changes over lowers. The folder upper is used when
// it is there.
func (s *stage) mount(userns bool) error {
	for _, d := range []string{s.root, s.upper()} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	var err error
	for _, option := range overlayForms(userns) {
		work, werr := os.MkdirTemp(s.dir, "work-") // one that was mounted volatile is not taken again
		if werr != nil {
			return werr
		}
		opts, release, oerr := s.overlayOptions(work)
		if oerr != nil {
			return oerr
		}
		err = unix.Mount("carrel", s.root, "overlay", 0, opts+option)
		release()
		if err == nil {
			s.mounted, s.overlay = true, true
			return nil
		}
	}
	return fmt.Errorf("mount overlay: %w", err)
}

// overlayForms are further options of an overlay, the best first; the others are for older kernels. volatile (Linux 5.10)
// leaves out syncs: a tree counts only when it is packed. What changed is kept, and laid over the same or another base later, so it must
// hold whole files and folders, and not refer to others, which kernels may be configured to do (Documentation/filesystems/
// overlayfs.rst, "redirect_dir", "metacopy"); userxattr leaves that out by itself.
func overlayForms(userns bool) []string {
	if userns {
		return []string{",volatile,userxattr", ",userxattr"}
	}
	const whole = ",redirect_dir=off,metacopy=off"
	return []string{",volatile" + whole, whole, ""}
}

// overlayOptions name the folders by descriptors: paths may hold commas and colons, and there may be many.
func (s *stage) overlayOptions(work string) (opts string, release func(), err error) {
	var files []*os.File
	release = func() {
		for _, f := range files {
			f.Close()
		}
	}
	name := func(p string) string {
		fd, oerr := unix.Open(p, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if oerr != nil {
			if err == nil {
				err = &os.PathError{Op: "open", Path: p, Err: oerr}
			}
			return ""
		}
		f := os.NewFile(uintptr(fd), p)
		files = append(files, f)
		return fmt.Sprintf("/proc/self/fd/%d", fd)
	}
	var lowers []string
	for i := len(s.lowers) - 1; i >= 0; i-- { // topmost first
		lowers = append(lowers, name(s.lowers[i]))
	}
	opts = "lowerdir=" + strings.Join(lowers, ":") + ",upperdir=" + name(s.upper()) + ",workdir=" + name(work)
	if err != nil {
		release()
		return "", nil, err
	}
	return opts, release, nil
}

func (s *stage) unmount() error {
	if !s.mounted {
		return nil
	}
	s.mounted = false
	err := unix.Unmount(s.root, 0)
	if errors.Is(err, unix.EBUSY) {
		err = unix.Unmount(s.root, unix.MNT_DETACH)
	}
	if err != nil {
		return fmt.Errorf("unmount %s: %w", s.root, err)
	}
	return nil
}

// mountOrCopy mounts the tree of a stage, or where the kernel has no overlay for us makes a copy of its base.
func (s *stage) mountOrCopy(ctx context.Context, userns bool) error {
	err := s.mount(userns)
	if err == nil {
		return nil
	}
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENODEV) {
		return err
	}
	for _, lower := range s.lowers {
		if err := copyTree(ctx, lower, s.root); err != nil {
			return err
		}
	}
	return nil
}

func copyTree(ctx context.Context, from, to string) error {
	u, err := tree.Unpack(to, tree.UnpackOptions{Owners: true})
	if err != nil {
		return err
	}
	err = tree.Dir(from, tree.DirOptions{}).WriteTo(ctx, u)
	_, cerr := u.Close()
	return errors.Join(err, cerr)
}

func isDir(p string) bool {
	st, err := os.Stat(p)
	return err == nil && st.IsDir()
}
