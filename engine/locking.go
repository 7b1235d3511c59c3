package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"carrel/engine/build"
	"carrel/internal/atomicfile"
)

// LockFile is the file beside a definition in which BuildSpec.Lock writes what was used: NAME.lock, or Singularity.lock in
// a folder.
func LockFile(definition string) string {
	if st, err := os.Stat(definition); err == nil && st.IsDir() {
		definition = filepath.Join(definition, "Singularity")
	}
	return definition + ".lock"
}

// reproducibleTime is the time of reproducible images when nobody gives one: early enough that the files of all packages
// are given it, and late enough for formats that begin in 1980.
var reproducibleTime = time.Date(1980, 1, 1, 12, 0, 0, 0, time.UTC)

// LockFileError is a lock file that cannot be used or written.
type LockFileError struct {
	Path string
	Err  error
}

func (e *LockFileError) Error() string { return fmt.Sprintf("lock file %s: %v", e.Path, e.Err) }
func (e *LockFileError) Unwrap() error { return e.Err }

// Hint says how to get one.
func (e *LockFileError) Hint() string {
	if errors.Is(e.Err, fs.ErrNotExist) {
		return "build with --lock first, which writes it"
	}
	return ""
}

// locking adds to an order what the lock file says. Only what is built of a definition file can have one.
func (e *Engine) locking(s BuildSpec, spec *build.Spec) error {
	if s.Reproducible && s.Time.IsZero() {
		spec.Time = reproducibleTime
	}
	if !s.Lock && !s.Locked {
		return nil
	}
	path := e.expand(s.Definition)
	if !isDefinition(path) {
		return fmt.Errorf("build %s: only what is built of a definition file has a lock file", s.Definition)
	}
	spec.Lock = s.Lock
	if !s.Locked {
		return nil
	}
	path = LockFile(path)
	data, err := os.ReadFile(path)
	if err != nil {
		return &LockFileError{path, err}
	}
	if spec.Locked, err = build.ParseLock(data); err != nil {
		return &LockFileError{path, err}
	}
	if l := spec.Locked; !l.Time.IsZero() && s.Time.IsZero() { // it was reproducible: it can be again
		spec.Reproducible, spec.Time = true, l.Time
	}
	return nil
}

// writeLock writes what a build used beside its definition.
func (e *Engine) writeLock(s BuildSpec, lock *build.Lock) error {
	if !s.Lock || lock == nil {
		return nil
	}
	data, err := json.MarshalIndent(lock, "", "  ")
	if err != nil {
		return err
	}
	path := LockFile(e.expand(s.Definition))
	if err := atomicfile.WriteFile(path, append(data, '\n'), 0o644); err != nil {
		return &LockFileError{path, err}
	}
	return nil
}

// fileState names a file by what changes whenever it does.
func fileState(path string) string {
	st, err := os.Lstat(path)
	if err != nil || !st.Mode().IsRegular() {
		return ""
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%d %d %d %d", sys.Dev, sys.Ino, st.Size(), st.ModTime().UnixNano())
}

// own tells whether the file at the target is the one that was built there last of the same definition file, and is as it
// was then: it may be made again without asking.
func (e *Engine) own(s BuildSpec, target string) bool {
	r := e.record(target)
	return s.ReplaceOwn && !s.Sandbox && r.Definition != "" && r.State != "" && r.Definition == e.expand(s.Definition) && r.State == fileState(target)
}
