package squashfs

import (
	"fmt"
	"slices"
	"strings"

	"carrel/engine/tree"
)

// node is a name in the tree that a Writer collects; several may share an inode.
type node struct {
	name  string
	inode *inode
}

// inode is all about an object but its names. Regular files have a *fileData or *smallFile as body, directories a *dirData,
// symbolic links their target as a string, devices their number as a uint32.
type inode struct {
	body     any
	mode     uint16 // st_mode
	uid, gid uint16 // places in the id table
	implicit bool   // no entry named it
	done     bool   // it is in the inode table
	mtime    uint32
	xattr    uint32

	// Known while the tables are written.
	nlink  uint32
	number uint32
	ref    Ref
}

// slab makes many values of a type, which live as long as each other, without what the allocator rounds up for each.
type slab[T any] struct{ left []T }

const slabSize = 512

func (s *slab[T]) new() *T {
	if len(s.left) == 0 {
		s.left = make([]T, slabSize)
	}
	v := &s.left[0]
	s.left = s.left[1:]
	return v
}

// dirData holds a directory's children in the order of their coming, until the tables are written.
type dirData struct {
	children []*node
	unsorted bool    // they did not come in the order of their names
	byName   *places // nil while they are sorted or few

	subdirs uint32
	listing uint64 // place in the directory table
	size    uint32 // as the inode has it
	index   []dirIndex
}

type dirIndex struct {
	offset uint32 // of a directory header from the start of the listing
	block  uint32 // the metadata block it lies in
	name   string
}

// manyChildren is the size from which an unsorted directory is searched by a table.
const manyChildren = 16

// smallFile is a file that is in a fragment block as a whole, or empty. There may be millions, so it is a type of its own.
type smallFile struct{ size, fragment, offset uint32 }

func newImplicitDir(name string, mtime uint32) *node {
	return &node{name: name, inode: &inode{mode: tree.TypeDir | 0o755, mtime: mtime, xattr: noXattr, body: &dirData{}}}
}

func (n *node) dir() *dirData { return n.inode.body.(*dirData) }

func (d *dirData) get(name string) *node {
	if d.byName != nil {
		i, ok := d.byName.find(hashName(name), func(i int) bool { return d.children[i].name == name })
		if !ok {
			return nil
		}
		return d.children[i]
	}
	if !d.unsorted {
		if n := len(d.children); n == 0 || d.children[n-1].name < name {
			return nil
		}
		i, ok := slices.BinarySearchFunc(d.children, name, func(c *node, name string) int { return strings.Compare(c.name, name) })
		if !ok {
			return nil
		}
		return d.children[i]
	}
	for _, c := range d.children {
		if c.name == name {
			return c
		}
	}
	return nil
}

func (d *dirData) put(n *node) {
	if last := len(d.children) - 1; last >= 0 && d.children[last].name > n.name {
		d.unsorted = true
	}
	d.children = append(d.children, n)
	hash := func(i int) uint64 { return hashName(d.children[i].name) }
	if d.byName != nil {
		d.byName.put(len(d.children)-1, hash)
	} else if d.unsorted && len(d.children) > manyChildren {
		d.byName = new(places)
		for i := range d.children {
			d.byName.put(i, hash)
		}
	}
}

func (d *dirData) sort() {
	d.byName = nil
	slices.SortFunc(d.children, func(a, b *node) int { return strings.Compare(a.name, b.name) })
}

// idTable collects user and group ids; inodes refer to them by index, in the order of their coming until settle.
type idTable struct {
	ids   []uint32
	where map[uint32]uint16
	used  []bool
}

func (t *idTable) index(id uint32) (uint16, error) {
	if i, ok := t.where[id]; ok {
		return i, nil
	}
	if len(t.ids) == maxIDs {
		return 0, fmt.Errorf("more than %d different user and group ids", maxIDs)
	}
	if t.where == nil {
		t.where = make(map[uint32]uint16)
	}
	i := uint16(len(t.ids))
	t.ids = append(t.ids, id)
	t.used = append(t.used, false)
	t.where[id] = i
	return i, nil
}

// settle gives the ids that are used their places in the image, in the order of their values, and returns these by index.
func (t *idTable) settle() (places []uint16) {
	var ids []uint32
	for i, id := range t.ids {
		if t.used[i] {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	places = make([]uint16, len(t.ids))
	for i, id := range t.ids {
		if n, ok := slices.BinarySearch(ids, id); ok {
			places[i] = uint16(n)
		}
	}
	t.ids = ids
	return places
}
