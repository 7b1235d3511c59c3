package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"carrel/engine/definition"
	"carrel/engine/progress"
	"carrel/engine/tree"
)

// copies are the lines of %files and %appfiles that are carried out: those that take from earlier stages, or those that take
// from this computer.
func (b *builder) copies(s *stage, stages bool) []definition.FileCopy {
	var list []definition.FileCopy
	for _, f := range s.def.Files {
		if !b.wants("files") {
			break
		}
		if (f.From != "") == stages {
			list = append(list, f)
		}
	}
	if stages || !b.wants("apps") {
		return list
	}
	for _, app := range s.def.Apps {
		for _, f := range app.Files {
			into := strings.HasSuffix(f.Dst, "/") || path.Clean("/"+f.Dst) == "/" // which cleaning leaves nothing of
			f.Dst = path.Join("/scif/apps", app.Name, path.Clean("/"+f.Dst))
			if into {
				f.Dst += "/"
			}
			list = append(list, f)
		}
	}
	return list
}

// copyFiles carries out %files: with stages, those lines that take from earlier stages, else those from the host.
func (b *builder) copyFiles(ctx context.Context, s *stage, stages bool) error {
	list := b.copies(s, stages)
	if len(list) == 0 {
		return nil
	}
	b.start(progress.StepFiles, "")
	for _, f := range list {
		if err := b.copyOne(ctx, s, f); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return &StepError{Step: progress.StepFiles, Section: "%files", Line: f.Line, Err: err}
		}
	}
	b.done(progress.StepFiles, "")
	return nil
}

// MissingSourceError is a line of %files whose source is nowhere.
type MissingSourceError struct {
	Source  string
	Folders []string
}

func (e *MissingSourceError) Error() string {
	return fmt.Sprintf("%s is not there (looked in %s)", e.Source, strings.Join(e.Folders, " and "))
}

// Hint says what to do about it.
func (e *MissingSourceError) Hint() string {
	return "correct the path in %files, or start the build in the folder that holds the file"
}

func (b *builder) copyOne(ctx context.Context, s *stage, f definition.FileCopy) error {
	dst := f.Dst
	if dst == "" {
		dst = f.Src
	}
	var from []string
	var err error
	if f.From != "" {
		src := b.stages[f.From]
		if src == nil {
			return fmt.Errorf("there is no earlier stage %q", f.From)
		}
		from, err = globInside(src.root, f.Src)
	} else {
		from, err = b.globHost(f.Src)
	}
	if err != nil {
		return err
	}
	u, err := b.unpacker(s.root)
	if err != nil {
		return err
	}
	c := copier{ctx: ctx, sink: u, follow: f.From == "", note: func(text string) { b.sink.Notice(progress.StepFiles, text) }}
	if f.From == "" { // what is in a stage is known by what that was made of
		c.sink = hashing{u, b, s.def.Name}
	}
	into := strings.HasSuffix(dst, "/") || len(from) > 1 || isDirInside(s.root, dst)
	for _, p := range from {
		to := dst
		if into {
			to = path.Join(dst, filepath.Base(p))
		}
		b.sink.Line(progress.StepFiles, p+" → "+to)
		if err = c.add(p, strings.TrimPrefix(path.Clean("/"+to), "/"), 0); err != nil {
			break
		}
	}
	_, cerr := u.Close()
	return errors.Join(err, cerr)
}

// globHost finds the files of the host that a source names: absolute, or in the first folder that has any.
func (b *builder) globHost(src string) ([]string, error) {
	folders := b.spec.Folders
	if filepath.IsAbs(src) {
		folders = []string{"/"}
	}
	for _, dir := range folders {
		p := filepath.Join(dir, src)
		if _, err := os.Stat(p); err == nil {
			return []string{p}, nil
		}
		found, err := filepath.Glob(p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", src, err)
		}
		if len(found) > 0 {
			return found, nil
		}
	}
	return nil, &MissingSourceError{Source: src, Folders: folders}
}

// globInside finds files in the tree of a stage, without leaving it through its links.
func globInside(root, src string) ([]string, error) {
	r, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	name := strings.TrimPrefix(path.Clean("/"+src), "/")
	if name == "" {
		name = "."
	}
	var found []string
	if _, err := r.Stat(name); err == nil {
		found = []string{name}
	} else if found, err = fs.Glob(r.FS(), name); err != nil {
		return nil, fmt.Errorf("%s: %w", src, err)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s is not in the stage", src)
	}
	var out []string
	for _, f := range found {
		// a link in the path leads somewhere in the tree; what it leads to is copied
		real, err := realInside(r, f)
		if err != nil {
			return nil, err
		}
		out = append(out, filepath.Join(root, real))
	}
	return out, nil
}

// realInside resolves the directories of a path within a root.
func realInside(r *os.Root, name string) (string, error) {
	dir, err := r.OpenRoot(path.Dir(name))
	if err != nil {
		return "", err
	}
	defer dir.Close()
	f, err := dir.Open(".")
	if err != nil {
		return "", err
	}
	defer f.Close()
	real, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		return "", err
	}
	top, err := r.Open(".")
	if err != nil {
		return "", err
	}
	defer top.Close()
	base, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", top.Fd()))
	if err != nil {
		return "", err
	}
	rel, err := filepath.Rel(base, real)
	if err != nil || strings.HasPrefix(rel, "..") {
		return "", fmt.Errorf("%s leads out of the stage", name)
	}
	return path.Join(rel, path.Base(name)), nil
}

func isDirInside(root, p string) bool {
	r, err := os.OpenRoot(root)
	if err != nil {
		return false
	}
	defer r.Close()
	name := strings.TrimPrefix(path.Clean("/"+p), "/")
	if name == "" {
		return true
	}
	st, err := r.Stat(name)
	return err == nil && st.IsDir()
}

// maxSizeless bounds a file that does not tell its size, in bytes.
const maxSizeless = 64 << 20

// maxDepth bounds how deep folders are copied: links may lead in circles where they are followed.
const maxDepth = 256

// copier copies files and folders into a tree: from the host as cp -fLr does, following links; from a stage keeping them.
type copier struct {
	ctx    context.Context
	sink   tree.Sink
	follow bool
	note   func(text string) // told of what is left out; may be nil
}

func (c *copier) add(from, to string, depth int) error {
	if err := c.ctx.Err(); err != nil {
		return err
	}
	if depth > maxDepth {
		return fmt.Errorf("%s: folders are nested too deeply; does a link lead in a circle?", from)
	}
	stat := os.Lstat
	if c.follow {
		stat = os.Stat
	}
	st, err := stat(from)
	if err != nil {
		if c.follow && depth > 0 && errors.Is(err, fs.ErrNotExist) {
			if c.note != nil { // the rest of the folder is of use
				c.note(from + " is left out: it is a link that leads nowhere")
			}
			return nil
		}
		return err
	}
	if to == "" {
		to = "."
	}
	e := tree.Entry{Path: to, ModTime: st.ModTime()}
	perm := uint32(st.Mode().Perm())
	if !c.follow {
		if uid, gid, ok := owner(st); ok {
			e.UID, e.GID = uid, gid
		}
		if st.Mode()&fs.ModeSetuid != 0 {
			perm |= 0o4000
		}
		if st.Mode()&fs.ModeSetgid != 0 {
			perm |= 0o2000
		}
		if st.Mode()&fs.ModeSticky != 0 {
			perm |= 0o1000
		}
	}
	switch {
	case st.IsDir():
		e.Mode = tree.TypeDir | perm
		if err := c.sink.Add(e, nil); err != nil {
			return err
		}
		names, err := os.ReadDir(from)
		if err != nil {
			return err
		}
		for _, n := range names {
			if err := c.add(filepath.Join(from, n.Name()), path.Join(to, n.Name()), depth+1); err != nil {
				return err
			}
		}
		return nil
	case st.Mode().IsRegular():
		f, err := os.Open(from)
		if err != nil {
			return err
		}
		defer f.Close()
		e.Mode, e.Size = tree.TypeRegular|perm, st.Size()
		if st.Size() > 0 {
			return c.sink.Add(e, io.LimitReader(f, st.Size()))
		}
		// Files of /proc and /sys have a size of 0 and contents all the same (proc(5)).
		data, err := io.ReadAll(io.LimitReader(f, maxSizeless+1))
		if err != nil {
			return err
		}
		if len(data) > maxSizeless {
			return fmt.Errorf("%s: a file without a size that has more than %d bytes", from, maxSizeless)
		}
		e.Size = int64(len(data))
		return c.sink.Add(e, bytes.NewReader(data))
	case st.Mode()&fs.ModeSymlink != 0:
		if e.Link, err = os.Readlink(from); err != nil {
			return err
		}
		e.Mode = tree.TypeSymlink | 0o777
		return c.sink.Add(e, nil)
	}
	return fmt.Errorf("%s is neither a file nor a folder (%v)", from, st.Mode().Type())
}

func owner(st os.FileInfo) (uid, gid uint32, ok bool) {
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return sys.Uid, sys.Gid, true
}
