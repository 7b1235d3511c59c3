// Package changes turns what a container wrote over an image, the upper folder of an overlay file system, into a tree that
// can be laid over that image as a further layer by any engine.
//
// Deleted files are whiteouts, character devices 0:0, in both. A directory that replaced one of the image is opaque in the
// upper folder by an extended attribute, whose name depends on who mounted it; here it gets a whiteout for each name that
// it hides, which every overlay understands, mounted by root or in a user namespace (Documentation/filesystems/overlayfs.rst,
// "whiteouts and opaque directories").
package changes

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"carrel/engine/image"
	"carrel/engine/tree"
)

// Options say what of an upper folder counts.
type Options struct {
	// Lower is the image that the changes were made to.
	Lower fs.FS
	// MountPoints are paths in the container, absolute, where something was mounted: what the upper folder has there was
	// made to mount on, and is left out, with folders that were made only for it.
	MountPoints []string
	// Owner turns the owner on disk into the one in the image; nil keeps it.
	Owner func(uid, gid uint32) (uint32, uint32)
	// OneOwner says that all files were one user's in the container, who sees neither trusted nor security attributes: what
	// the disk says of them is no change of theirs.
	OneOwner bool
	// KeepOwners gives what the image has the owner that it has there.
	KeepOwners bool
}

// Changes is the content of an upper folder.
type Changes struct {
	upper   string
	options Options
	skip    map[string]bool // paths relative to the root
	opaque  map[string]bool // folders that hide one of the image
	fresh   map[string]bool // folders that are not merged with one of the image: new ones, opaque ones, and those in them

	// Files counts the files, links and devices that are new or changed, Folders those that are new or have another mode,
	// owner or attributes, Deleted the names that are gone, Bytes the content.
	Files, Folders, Deleted int
	Bytes                   int64
	// Names lists them, at most maxNames: the path in the container, behind "+ " or "- "; that of a folder ends with "/".
	Names []string
	any   bool
}

// maxNames bounds the list of names: it is for people.
const maxNames = 1000

// Read looks through an upper folder, without reading the files' contents.
func Read(upper string, o Options) (*Changes, error) {
	c := &Changes{upper: upper, options: o, skip: map[string]bool{}, opaque: map[string]bool{}, fresh: map[string]bool{}}
	mounts := map[string]bool{}
	for _, m := range o.MountPoints {
		mounts[strings.TrimPrefix(path.Clean("/"+m), "/")] = true
	}
	inside, err := c.dir(".", true, mounts)
	if err != nil {
		return nil, err
	}
	own, err := c.dirChanged(".", true)
	if err != nil {
		return nil, err
	}
	if own {
		c.folder(".")
	}
	c.any = inside || own
	return c, nil
}

// Empty tells that nothing has changed.
func (c *Changes) Empty() bool { return !c.any }

// dir looks through one folder and tells whether there is anything in it to keep. there says that the image has a folder at
// this very path: not one that a link on the way leads to.
func (c *Changes) dir(p string, there bool, mounts map[string]bool) (keep bool, err error) {
	names, err := os.ReadDir(filepath.Join(c.upper, p))
	if err != nil {
		return false, err
	}
	for _, n := range names {
		q := path.Join(p, n.Name())
		if mounts[q] {
			c.skip[q] = true
			continue
		}
		if refers(filepath.Join(c.upper, q)) {
			return false, &ReferenceError{Path: "/" + q}
		}
		if n.IsDir() {
			kept, err := c.subdir(q, there, mounts)
			if err != nil {
				return false, err
			}
			if !kept {
				c.skip[q] = true
			}
			keep = keep || kept
			continue
		}
		keep = true
		info, err := n.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, err
		}
		if isWhiteout(info) {
			c.Deleted++
			c.name("- ", q)
			continue
		}
		c.Files++
		c.name("+ ", q)
		if info.Mode().IsRegular() {
			c.Bytes += info.Size()
		}
	}
	return keep, nil
}

// subdir looks through a folder of a folder.
func (c *Changes) subdir(q string, there bool, mounts map[string]bool) (keep bool, err error) {
	if there {
		info, err := fs.Lstat(c.options.Lower, q)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
		there = err == nil && info.IsDir()
	}
	// A folder of an opaque one is not merged either, although it has no mark of its own.
	hides := c.opaque[path.Dir(q)] || opaque(filepath.Join(c.upper, q))
	// Some kernels make a new folder opaque although there was none: then it hides nothing.
	c.opaque[q] = there && hides
	c.fresh[q] = !there || hides
	inside, err := c.dir(q, there, mounts)
	if err != nil {
		return false, err
	}
	own, err := c.dirChanged(q, there)
	if err != nil {
		return false, err
	}
	if own {
		c.folder(q)
	}
	return inside || own, nil
}

func (c *Changes) name(what, p string) {
	if len(c.Names) < maxNames {
		c.Names = append(c.Names, what+"/"+p)
	}
}

func (c *Changes) folder(p string) {
	c.Folders++
	c.name("+ ", strings.TrimPrefix(p+"/", "./"))
}

// dirChanged tells whether a folder of the upper has something of its own: it is new and was not made for a mount, or it
// replaced another, or its mode, owner or attributes are not the image's.
func (c *Changes) dirChanged(p string, there bool) (bool, error) {
	if c.opaque[p] {
		return true, nil
	}
	if !there {
		return !c.onlyMounts(p), nil
	}
	full := filepath.Join(c.upper, p)
	info, err := os.Lstat(full)
	if err != nil {
		return false, err
	}
	below, err := fs.Lstat(c.options.Lower, p)
	if err != nil {
		return false, err
	}
	if mode := permissions(info); mode != permissions(below) && (p != "." || mode != RootMode(below)) {
		return true, nil
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && !c.options.OneOwner {
		uid, gid := st.Uid, st.Gid
		if c.options.Owner != nil {
			uid, gid = c.options.Owner(uid, gid)
		}
		if a := image.AttributesOf(below); uid != a.UID || gid != a.GID {
			return true, nil
		}
	}
	if p == "." { // the upper folder was made by us, without attributes
		return false, nil
	}
	before, err := image.XattrsOf(c.options.Lower, p)
	if err != nil {
		return false, err
	}
	now, err := tree.Xattrs(full)
	if err != nil {
		return false, err
	}
	before = maps.Clone(before)
	maps.DeleteFunc(before, c.unseen)
	maps.DeleteFunc(now, c.unseen)
	return !maps.EqualFunc(before, now, bytes.Equal), nil
}

// permissions are the permission bits of a mode with those that os names apart, as chmod(2) takes them.
func permissions(info fs.FileInfo) uint32 {
	mode := uint32(info.Mode().Perm())
	for bit, raw := range map[fs.FileMode]uint32{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if info.Mode()&bit != 0 {
			mode |= raw
		}
	}
	return mode
}

// RootMode is the mode that the upper folder itself has to have when the container starts, as chmod(2) takes it: its root
// has it there, and so that of the image's root, which below is. Its owner can always work with the folder.
func RootMode(below fs.FileInfo) uint32 { return permissions(below) | 0o700 }

// unseen tells of extended attributes of folders that are not compared: the overlay's own, those that a security module
// gives to whatever is made, access control lists, which images do not have, and what the container could not see.
func (c *Changes) unseen(name string, _ []byte) bool {
	return overlays(name) || strings.HasPrefix(name, "security.") || strings.HasPrefix(name, "system.") ||
		c.options.OneOwner && strings.HasPrefix(name, "trusted.")
}

// overlays tells of attributes by which an overlay keeps its own books.
func overlays(name string) bool {
	return strings.HasPrefix(name, "trusted.overlay.") || strings.HasPrefix(name, "user.overlay.")
}

// onlyMounts tells whether a new folder holds nothing but places to mount on.
func (c *Changes) onlyMounts(p string) bool {
	names, err := os.ReadDir(filepath.Join(c.upper, p))
	if err != nil || len(names) == 0 {
		return false
	}
	for _, n := range names {
		if !c.skip[path.Join(p, n.Name())] {
			return false
		}
	}
	return true
}

func isWhiteout(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.Mode()&fs.ModeCharDevice != 0 && st.Rdev == 0
}

// opaqueNames are the attributes that mark an opaque directory: as root, and in a user namespace (mount option userxattr).
var opaqueNames = []string{"trusted.overlay.opaque", "user.overlay.opaque"}

// referring are the attributes of what is not here, but elsewhere in the image: a folder that was renamed, the content of a file
// whose mode was changed (Documentation/filesystems/overlayfs.rst, "redirect_dir", "metacopy").
var referring = []string{"trusted.overlay.redirect", "trusted.overlay.metacopy", "user.overlay.redirect", "user.overlay.metacopy"}

func refers(name string) bool {
	for _, attr := range referring {
		if _, err := unix.Lgetxattr(name, attr, nil); err == nil {
			return true
		}
	}
	return false
}

// ReferenceError is something in an upper folder that is only a reference to the image: it was not Carrel that mounted it.
type ReferenceError struct{ Path string }

func (e *ReferenceError) Error() string {
	return e.Path + ": it only refers to a file or folder of the image (redirect_dir, metacopy)"
}

// Hint says how such changes can be read.
func (e *ReferenceError) Hint() string {
	return "the changes were made by another program, with options of the kernel's overlays that Carrel switches off; copy the files out with that program"
}

func opaque(dir string) bool {
	buf := make([]byte, 8)
	for _, name := range opaqueNames {
		if n, err := unix.Lgetxattr(dir, name, buf); err == nil && n == 1 && buf[0] == 'y' {
			return true
		}
	}
	return false
}

// WriteTo produces the layer. It makes Changes a tree.Source.
func (c *Changes) WriteTo(ctx context.Context, sink tree.Sink) error {
	src := tree.Dir(c.upper, tree.DirOptions{Exclude: func(p string) bool { return c.skip[p] }, MapOwner: c.options.Owner})
	return src.WriteTo(ctx, &layer{c: c, sink: sink})
}

// layer turns the entries of an upper folder into those of a layer.
type layer struct {
	c    *Changes
	sink tree.Sink
}

func (l *layer) Add(e tree.Entry, body io.Reader) error {
	maps.DeleteFunc(e.Xattrs, func(name string, _ []byte) bool { return overlays(name) })
	if e.Type() == tree.TypeChar && e.HardLink == "" && e.Major == 0 && e.Minor == 0 {
		e.Mode, e.Xattrs = tree.TypeChar, nil // overlayfs keeps one whiteout under many names; its mode says nothing
	} else if e.HardLink == "" && !l.c.fresh[path.Dir(e.Path)] {
		if err := l.inherit(&e); err != nil {
			return err
		}
	}
	if err := l.sink.Add(e, body); err != nil {
		return err
	}
	if !e.IsDir() || !l.c.opaque[e.Path] {
		return nil
	}
	hidden, err := fs.ReadDir(l.c.options.Lower, e.Path)
	if err != nil {
		return err
	}
	for _, h := range hidden {
		p := path.Join(e.Path, h.Name())
		if _, err := os.Lstat(filepath.Join(l.c.upper, p)); err == nil {
			continue
		}
		if err := l.sink.Add(whiteout(p, e.ModTime), nil); err != nil {
			return err
		}
	}
	return nil
}

// inherit gives an entry what the image has of it and the container could not see, or change.
func (l *layer) inherit(e *tree.Entry) error {
	below, err := fs.Lstat(l.c.options.Lower, e.Path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && below.Mode().Type() != e.FileMode().Type() || e.IsDir() && l.c.fresh[e.Path] {
		return nil
	}
	if err != nil {
		return err
	}
	if e.Path == "." && e.Perm() == RootMode(below) {
		e.Mode = tree.TypeDir | permissions(below)
	}
	if l.c.options.KeepOwners {
		a := image.AttributesOf(below)
		e.UID, e.GID = a.UID, a.GID
	}
	if e.Path != "." && !l.c.options.OneOwner {
		return nil
	}
	attrs, err := image.XattrsOf(l.c.options.Lower, e.Path)
	if err != nil {
		return err
	}
	same := e.IsDir() || e.Size == below.Size() && e.ModTime.Unix() == below.ModTime().Unix() // the kernel takes capabilities from what is written to
	for name, value := range attrs {
		_, has := e.Xattrs[name]
		hidden := strings.HasPrefix(name, "trusted.") || same && strings.HasPrefix(name, "security.")
		if has || overlays(name) || e.Path != "." && !hidden {
			continue
		}
		if e.Xattrs == nil {
			e.Xattrs = map[string][]byte{}
		}
		e.Xattrs[name] = value
	}
	return nil
}

func whiteout(p string, at time.Time) tree.Entry {
	return tree.Entry{Path: p, Mode: tree.TypeChar, ModTime: at}
}

// Merge lays changes over an earlier layer, as one layer: what both have is the later one's, and a folder in the place of
// something that the earlier one deleted hides what was there. below is what both lie over. A whiteout for what only the
// earlier layer had is left out: in a folder that no other layer has it would be seen (overlayfs.rst, "readdir": only merged
// folders are filtered). Marks have both of the names that overlays give them.
func Merge(below fs.FS, earlier, later tree.Source) tree.Source {
	return &merged{below, earlier, later}
}

type merged struct {
	below          fs.FS
	earlier, later tree.Source
}

func (m *merged) WriteTo(ctx context.Context, sink tree.Sink) error {
	// First what the later layer takes away, then what is left of the earlier one, then the later one.
	gone := &goneSink{below: m.below, gone: map[string]bool{}, nothing: map[string]bool{}}
	if err := m.later.WriteTo(ctx, gone); err != nil {
		return err
	}
	s := &mergeSink{goneSink: gone, sink: sink, hides: map[string]bool{}, moved: map[string]string{}}
	if err := m.earlier.WriteTo(ctx, linkSink{s}); err != nil {
		return err
	}
	if err := m.earlier.WriteTo(ctx, earlierSink{s}); err != nil {
		return err
	}
	return m.later.WriteTo(ctx, s)
}

// goneSink finds whiteouts.
type goneSink struct {
	below   fs.FS
	gone    map[string]bool // paths with one
	nothing map[string]bool // those that hide nothing below
}

func (g *goneSink) Add(e tree.Entry, _ io.Reader) error {
	if !g.gone[e.HardLink] && (e.HardLink != "" || e.Type() != tree.TypeChar || e.Major != 0 || e.Minor != 0) {
		return nil // overlayfs keeps one whiteout under many names
	}
	g.gone[e.Path] = true
	if _, err := fs.Lstat(g.below, e.Path); errors.Is(err, fs.ErrNotExist) {
		g.nothing[e.Path] = true
	}
	return nil
}

// mergeSink takes the later layer.
type mergeSink struct {
	*goneSink
	sink  tree.Sink
	hides map[string]bool   // what of the earlier layer hides something below: deleted, or an opaque folder
	moved map[string]string // the first name that is left of files whose first name is gone
}

// under tells whether a path or a folder above it is gone.
func (s *mergeSink) under(p string) bool {
	for ; p != "."; p = path.Dir(p) {
		if s.gone[p] {
			return true
		}
	}
	return false
}

func (s *mergeSink) Add(e tree.Entry, body io.Reader) error {
	switch {
	case s.nothing[e.Path]:
		return nil
	case s.gone[e.Path] && e.HardLink != "": // the first name of a whiteout may be left out
		e = whiteout(e.Path, time.Time{})
	case e.IsDir() && s.hides[e.Path]:
		e.Xattrs = maps.Clone(e.Xattrs)
		if e.Xattrs == nil {
			e.Xattrs = map[string][]byte{}
		}
		for _, name := range opaqueNames {
			e.Xattrs[name] = []byte("y")
		}
	}
	return s.sink.Add(e, body)
}

// linkSink finds the names of files of the earlier layer whose first name is gone.
type linkSink struct{ *mergeSink }

func (s linkSink) Add(e tree.Entry, _ io.Reader) error {
	if e.HardLink != "" && s.moved[e.HardLink] == "" && s.under(e.HardLink) && !s.under(e.Path) {
		s.moved[e.HardLink] = e.Path
	}
	return nil
}

// earlierSink passes on what is left of the earlier layer.
type earlierSink struct{ *mergeSink }

func (s earlierSink) Add(e tree.Entry, body io.Reader) error {
	if e.HardLink != "" {
		s.hides[e.Path] = s.hides[e.HardLink]
		if to := s.moved[e.HardLink]; to != "" {
			if e.HardLink = to; to == e.Path {
				return nil // it has the content
			}
		}
		if s.under(e.Path) {
			return nil
		}
		return s.sink.Add(e, nil)
	}
	s.hides[e.Path] = e.Type() == tree.TypeChar && e.Major == 0 && e.Minor == 0 || e.IsDir() && string(e.Xattrs[opaqueNames[0]]) == "y"
	if s.under(e.Path) {
		if e.Path = s.moved[e.Path]; e.Path == "" {
			return nil
		}
	}
	return s.sink.Add(e, body)
}
