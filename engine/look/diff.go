package look

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"path"
	"runtime"
	"slices"
	"sync"

	"carrel/engine/image"
	"carrel/engine/squashfs"
)

// Change is how a path differs between two images.
type Change struct {
	Path string `json:"path"` // with a leading slash
	Kind string `json:"kind"` // added, removed, changed
	// What differs of a changed one: type, content, mode, owner, target.
	What    []string `json:"what,omitempty"`
	OldSize int64    `json:"old_size,omitempty"` // bytes; of a folder that was removed, all below it
	NewSize int64    `json:"new_size,omitempty"` // the same of one that was added
	Files   int64    `json:"files,omitempty"`    // in a folder that was added or removed as a whole
}

// PackageChange is a package that differs.
type PackageChange struct {
	Manager string `json:"manager"`
	Name    string `json:"name"`
	Old     string `json:"old,omitempty"` // version; empty when it was added
	New     string `json:"new,omitempty"` // empty when it was removed
}

// Difference is what has to happen to one image to get the other. Times are not compared.
type Difference struct {
	Files    []Change        `json:"files"`
	Packages []PackageChange `json:"packages"`
	Notes    []string        `json:"notes,omitempty"`  // what could not be compared
	Unread   Unread          `json:"unread,omitempty"` // what was not compared because it may not be read in one of them
}

// Diff compares the contents of two images. Contents of files are read where their sizes are equal, or their digests are
// taken from an image.Index that has them. What may not be read is told, and no error.
func Diff(ctx context.Context, before, after fs.FS) (Difference, error) {
	d := &differ{ctx: ctx, before: before, after: after, out: Difference{Files: []Change{}, Packages: []PackageChange{}}, oldFolders: visited{}, newFolders: visited{}}
	if err := d.dirs(".", 0); err != nil {
		return Difference{}, err
	}
	if err := d.compareContents(); err != nil {
		return Difference{}, err
	}
	slices.SortFunc(d.out.Files, func(a, b Change) int { return cmp.Compare(a.Path, b.Path) })
	a, err := Packages(ctx, before)
	if err != nil {
		return Difference{}, err
	}
	b, err := Packages(ctx, after)
	if err != nil {
		return Difference{}, err
	}
	d.out.Packages = comparePackages(a.Packages, b.Packages)
	for _, n := range append(a.Notes, b.Notes...) {
		if !slices.Contains(d.out.Notes, n) {
			d.out.Notes = append(d.out.Notes, n)
		}
	}
	d.out.Unread = slices.Concat(d.out.Unread, a.Unread, b.Unread)
	d.out.Unread.sort()
	return d.out, nil
}

type differ struct {
	ctx           context.Context
	before, after fs.FS
	out           Difference
	doubtful      []doubt

	oldFolders, newFolders visited
}

// doubt is a regular file that has the same size in both images.
type doubt struct {
	Change
	old, now fs.FileInfo
}

func (d *differ) dirs(name string, depth int) error {
	if d.ctx.Err() != nil {
		return context.Cause(d.ctx)
	}
	if depth > maxDepth {
		return &fs.PathError{Op: "compare", Path: name, Err: errDepth}
	}
	a, err := fs.ReadDir(d.before, name)
	var b []fs.DirEntry
	if err == nil {
		b, err = fs.ReadDir(d.after, name)
	}
	if err != nil {
		if name == "." {
			return err
		}
		return d.out.Unread.pass(name, err)
	}
	for len(a) > 0 || len(b) > 0 {
		order := 0
		switch {
		case len(a) == 0:
			order = 1
		case len(b) == 0:
			order = -1
		default:
			order = cmp.Compare(a[0].Name(), b[0].Name())
		}
		switch {
		case order < 0:
			err = d.only(d.before, name, a[0], "removed")
			a = a[1:]
		case order > 0:
			err = d.only(d.after, name, b[0], "added")
			b = b[1:]
		default:
			err = d.both(path.Join(name, a[0].Name()), a[0], b[0], depth)
			a, b = a[1:], b[1:]
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// only takes note of something that one image has.
func (d *differ) only(fsys fs.FS, dir string, e fs.DirEntry, kind string) error {
	name := path.Join(dir, e.Name())
	info, err := e.Info()
	if err != nil {
		return d.out.Unread.pass(name, err)
	}
	m := &measure{ctx: d.ctx, fsys: fsys, seen: map[any]bool{}, folders: d.newFolders}
	if kind == "removed" {
		m.folders = d.oldFolders
	}
	u, err := m.add(name, info, 0)
	if err != nil {
		return err
	}
	d.out.Unread = append(d.out.Unread, m.unread...)
	c := Change{Path: "/" + name, Kind: kind, NewSize: u.Size}
	if kind == "removed" {
		c.OldSize, c.NewSize = u.Size, 0
	}
	if u.Dir {
		c.Files = u.Files
	}
	d.out.Files = append(d.out.Files, c)
	return nil
}

func (d *differ) both(name string, a, b fs.DirEntry, depth int) error {
	before, err := a.Info()
	if err != nil {
		return d.out.Unread.pass(name, err)
	}
	after, err := b.Info()
	if err != nil {
		return d.out.Unread.pass(name, err)
	}
	if image.SameFile(before, after) {
		return nil
	}
	c := Change{Path: "/" + name, Kind: "changed"}
	if before.Mode().Type() != after.Mode().Type() {
		c.What = append(c.What, "type")
	} else if before.Mode() != after.Mode() && before.Mode()&fs.ModeSymlink == 0 {
		c.What = append(c.What, "mode")
	}
	old, now := image.AttributesOf(before), image.AttributesOf(after)
	if old.UID != now.UID || old.GID != now.GID {
		c.What = append(c.What, "owner")
	}
	regular := before.Mode().IsRegular() && after.Mode().IsRegular()
	switch {
	case regular:
		c.OldSize, c.NewSize = before.Size(), after.Size()
		if c.OldSize == c.NewSize && c.OldSize > 0 {
			d.doubtful = append(d.doubtful, doubt{c, before, after})
			return nil
		}
		if c.OldSize != c.NewSize {
			c.What = append(c.What, "content")
		}
	case before.Mode()&after.Mode()&fs.ModeSymlink != 0:
		x, err := fs.ReadLink(d.before, name)
		if err != nil {
			return err
		}
		y, err := fs.ReadLink(d.after, name)
		if err != nil {
			return err
		}
		if x != y {
			c.What = append(c.What, "target")
		}
	case before.Mode()&after.Mode()&fs.ModeDevice != 0 && (old.Major != now.Major || old.Minor != now.Minor):
		c.What = append(c.What, "device")
	}
	if len(c.What) > 0 {
		d.out.Files = append(d.out.Files, c)
	}
	if before.IsDir() && after.IsDir() {
		if err := d.oldFolders.enter(name, before); err != nil {
			return err
		}
		if err := d.newFolders.enter(name, after); err != nil {
			return err
		}
		return d.dirs(name, depth+1)
	}
	return nil
}

// compareContents reads the files of equal size, several at a time.
func (d *differ) compareContents() error {
	ctx, cancel := context.WithCancelCause(d.ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	var mu sync.Mutex
	work := make(chan doubt)
	for range max(2, runtime.GOMAXPROCS(0)) {
		group.Go(func() {
			defer func() {
				if r := recover(); r != nil {
					cancel(fmt.Errorf("compare: %v", r))
				}
			}()
			buf := make([]byte, 256<<10)
			for c := range work {
				same, err := d.same(ctx, c, buf)
				if err != nil {
					mu.Lock()
					err, same = d.out.Unread.pass(c.Path[1:], err), true
					mu.Unlock()
				}
				if err != nil {
					cancel(err)
				}
				if !same {
					c.What = append(c.What, "content")
				}
				if len(c.What) > 0 {
					mu.Lock()
					d.out.Files = append(d.out.Files, c.Change)
					mu.Unlock()
				}
			}
		})
	}
	for _, c := range d.doubtful {
		select {
		case work <- c:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(work)
	group.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

func (d *differ) same(ctx context.Context, c doubt, buf []byte) (bool, error) {
	if squashfs.Same(d.before, c.old, d.after, c.now) {
		return true, nil
	}
	name := c.Path[1:]
	a, err := digest(ctx, d.before, name, buf)
	if err != nil {
		return false, err
	}
	b, err := digest(ctx, d.after, name, buf)
	return a == b, err
}

// digest is the SHA-256 of a file's content.
func digest(ctx context.Context, fsys fs.FS, name string, buf []byte) (sum [sha256.Size]byte, err error) {
	if x, ok := fsys.(*image.Index); ok {
		if sum, ok := x.Digest(name); ok {
			return sum, nil
		}
	}
	f, err := fsys.Open(name)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	for {
		if ctx.Err() != nil {
			return sum, context.Cause(ctx)
		}
		n, err := f.Read(buf)
		h.Write(buf[:n])
		if err == io.EOF {
			break
		}
		if err != nil {
			return sum, err
		}
	}
	h.Sum(sum[:0])
	return sum, nil
}

// comparePackages finds those that only one list has, or with another version.
func comparePackages(before, after []Package) []PackageChange {
	type key struct{ manager, name string }
	keyOf := func(p Package) key { return key{p.Manager, p.Name} }
	old, now := map[key][]string{}, map[key][]string{}
	for _, p := range before {
		old[keyOf(p)] = append(old[keyOf(p)], p.Version)
	}
	for _, p := range after {
		now[keyOf(p)] = append(now[keyOf(p)], p.Version)
	}
	list := []PackageChange{}
	for k, versions := range old {
		gone, added := without(versions, now[k]), without(now[k], versions)
		for i := range max(len(gone), len(added)) {
			c := PackageChange{Manager: k.manager, Name: k.name}
			if i < len(gone) {
				c.Old = gone[i]
			}
			if i < len(added) {
				c.New = added[i]
			}
			list = append(list, c)
		}
	}
	for k, versions := range now {
		if old[k] == nil {
			for _, v := range versions {
				list = append(list, PackageChange{Manager: k.manager, Name: k.name, New: v})
			}
		}
	}
	slices.SortFunc(list, func(a, b PackageChange) int {
		return cmp.Or(cmp.Compare(a.Manager, b.Manager), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Old, b.Old), cmp.Compare(a.New, b.New))
	})
	return list
}

// without are the versions of a list that another does not have.
func without(list, other []string) []string {
	var out []string
	for _, v := range list {
		if !slices.Contains(other, v) {
			out = append(out, v)
		}
	}
	return out
}
