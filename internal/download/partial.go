package download

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"carrel/internal/atomicfile"
)

// Partial is a file that is being downloaded: a hidden one beside its place, which the next download goes on with when
// this one breaks off. Whoever writes to it holds a lock; a second process that wants the same at the same time gets it
// for itself. It is meant for caches, whose readers verify what they read: nothing waits for the disk.
type Partial struct {
	*os.File
	Have   int64 // bytes that an earlier download left
	target string
	hidden string           // name of the file; empty when it is atomic
	atomic *atomicfile.File // of the second process
	gone   bool
}

// Begin opens the partial file of a target. The caller ends it with Commit or Discard, and defers Close.
func Begin(target string) (*Partial, error) {
	hidden := filepath.Join(filepath.Dir(target), "."+filepath.Base(target)+".part")
	f, err := os.OpenFile(hidden, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil { // flock(2); released when the file is closed
		opened, err := f.Stat()
		if named, serr := os.Stat(hidden); err == nil && serr == nil && os.SameFile(opened, named) && opened.Mode().IsRegular() {
			return &Partial{File: f, Have: opened.Size(), target: target, hidden: hidden}, nil
		}
	}
	f.Close()
	a, err := atomicfile.Create(target, 0o644)
	if err != nil {
		return nil, err
	}
	return &Partial{File: a.File, target: target, atomic: a}, nil
}

// Stays tells whether what has come is there for the next download when this one breaks off.
func (p *Partial) Stays() bool { return p.atomic == nil }

// Commit gives the file its name.
func (p *Partial) Commit() error { return p.Rename(p.target) }

// Rename gives the file another name than it was begun for, which has to be on the same file system: otherwise the error
// is EXDEV, and the file can still be committed or discarded. What has that name is replaced.
func (p *Partial) Rename(target string) error {
	if p.atomic != nil {
		if target == p.target {
			return p.atomic.CommitCached()
		}
		if err := p.atomic.CommitCached(); err != nil {
			return err
		}
		p.atomic, p.hidden = nil, p.target
	}
	if err := os.Rename(p.hidden, target); err != nil {
		return fmt.Errorf("keep download: %w", err)
	}
	p.gone = true
	return nil
}

// Discard removes what has come.
func (p *Partial) Discard() {
	if p.hidden != "" && !p.gone {
		p.gone = true
		_ = os.Remove(p.hidden) // a rest that cannot be removed is found out by its digest
	}
}

// Close ends the writing; what has come stays for the next time, unless it is nothing.
func (p *Partial) Close() {
	if p.atomic != nil {
		p.atomic.Close()
		return
	}
	if st, err := p.File.Stat(); err == nil && st.Size() == 0 {
		p.Discard()
	}
	p.File.Close()
}
