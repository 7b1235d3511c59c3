package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"carrel/engine/tree"
)

// workFolder makes a folder for one build and holds a lock on it. Folders of builds that were killed hold none and are
// removed here, by a process that may: files in them can belong to ids that the caller outside has not.
func workFolder(work string) (dir string, release func(), err error) {
	if err := os.MkdirAll(work, 0o755); err != nil {
		return "", nil, err
	}
	old, _ := filepath.Glob(filepath.Join(work, "build-*"))
	for _, d := range old {
		if f, ok := lock(d); ok {
			removeTree(d)
			f.Close()
		}
	}
	if dir, err = os.MkdirTemp(work, "build-"); err != nil {
		return "", nil, err
	}
	f, ok := lock(dir)
	if !ok {
		os.Remove(dir)
		return "", nil, fmt.Errorf("lock %s: another build took it", dir)
	}
	return dir, func() {
		// What is mounted below goes first, or its content would be removed too.
		for _, m := range []string{"stage*/root"} {
			mounted, _ := filepath.Glob(filepath.Join(dir, m))
			for _, p := range mounted {
				_ = unix.Unmount(p, unix.MNT_DETACH) // EINVAL: was a folder
			}
		}
		removeTree(dir)
		f.Close()
	}, nil
}

// lock takes a folder's lock; it goes when the file is closed or the process ends (flock(2)).
func lock(dir string) (*os.File, bool) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, false
	}
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		f.Close()
		return nil, false
	}
	return f, true
}

// removeTree removes a folder with all in it, also folders that their owner made unwritable.
func removeTree(dir string) error {
	err := os.RemoveAll(dir)
	if err == nil {
		return nil
	}
	_ = filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(p, 0o700)
		}
		return nil
	})
	return os.RemoveAll(dir)
}

// mountTree makes the tree of a stage: an overlay over the base, or where the kernel does not do that a copy of it.
func mountTree(ctx context.Context, dir string, b base, userns bool) (string, error) {
	root := filepath.Join(dir, "root")
	if b.own {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", err
		}
		return root, os.Rename(b.folder, root)
	}
	for _, d := range []string{"root", "upper", "work"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return "", err
		}
	}
	opts := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", b.folder, filepath.Join(dir, "upper"), filepath.Join(dir, "work"))
	if userns {
		opts += ",userxattr"
	}
	err := unix.Mount("carrel", root, "overlay", 0, opts)
	if err == nil {
		return root, nil
	}
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENODEV) {
		return "", fmt.Errorf("mount overlay: %w", err)
	}
	return root, copyTree(ctx, b.folder, root)
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
