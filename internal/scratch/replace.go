package scratch

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"carrel/internal/rmtree"
)

// Replace gives part, which is complete and in a folder of Folder beside target, the name target. What has that name gets
// part's, and so goes with the folder (renameat2(2), RENAME_EXCHANGE): at no moment is there nothing. After an error target
// is as it was.
//
// Where the file system cannot exchange, as NFS cannot, the old one has the name target.old for a moment, and keeps it when
// the process is killed then; the next Replace does not touch it.
func Replace(part, target string) error {
	old, err := os.Lstat(target)
	if errors.Is(err, os.ErrNotExist) {
		return os.Rename(part, target)
	}
	if err != nil {
		return err
	}
	made, err := os.Lstat(part)
	if err != nil {
		return err
	}
	if !old.IsDir() && !made.IsDir() {
		return os.Rename(part, target)
	}
	err = exchange(part, target)
	if err == nil || !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	return stepwise(part, target)
}

// exchange is a variable for tests, which have no file system that cannot.
var exchange = func(a, b string) error {
	if err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE); err != nil {
		return &os.LinkError{Op: "replace", Old: a, New: b, Err: err}
	}
	return nil
}

// stepwise does one after the other.
func stepwise(part, target string) error {
	aside := target + ".old"
	for i := 1; ; i++ {
		if _, err := os.Lstat(aside); errors.Is(err, os.ErrNotExist) {
			break
		}
		aside = fmt.Sprintf("%s.old%d", target, i)
	}
	if err := os.Rename(target, aside); err != nil {
		return err
	}
	if err := os.Rename(part, target); err != nil {
		return errors.Join(err, os.Rename(aside, target))
	}
	if err := rmtree.Remove(aside); err != nil {
		return fmt.Errorf("the new %s is in its place, but the old one cannot be removed: %w", target, err)
	}
	return nil
}
