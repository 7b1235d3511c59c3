package ext

import (
	"fmt"
	"slices"
	"strings"
)

// attributes makes the stored form of a node's extended attributes.
func (b *writer) attributes(n *node) error {
	n.inline, n.attrs = nil, nil
	type attribute struct {
		index byte
		name  string
		value []byte
	}
	var list []attribute
	for full, value := range n.entry.Xattrs {
		for index, prefix := range attributePrefixes {
			if name, ok := strings.CutPrefix(full, prefix); ok && name != "" && len(name) < 256 {
				list = append(list, attribute{index, name, value})
			}
		}
	}
	if len(list) == 0 {
		return nil
	}
	// Sorted as the kernel keeps them in a block (fs/ext4/xattr.c).
	slices.SortFunc(list, func(x, y attribute) int {
		if x.index != y.index {
			return int(x.index) - int(y.index)
		}
		if len(x.name) != len(y.name) {
			return len(x.name) - len(y.name)
		}
		return strings.Compare(x.name, y.name)
	})
	fill := func(p []byte, first int) (hash uint32, ok bool) {
		at, top := first, len(p)
		for _, a := range list {
			need := (16 + len(a.name) + 3) &^ 3
			room := (len(a.value) + 3) &^ 3
			if at+need+4+room > top {
				return 0, false
			}
			top -= room
			copy(p[top:], a.value)
			p[at], p[at+1] = byte(len(a.name)), a.index
			le.PutUint16(p[at+2:], uint16(top))
			le.PutUint32(p[at+8:], uint32(len(a.value)))
			copy(p[at+16:], a.name)
			h := attributeHash(a.name, p[top:top+room])
			le.PutUint32(p[at+12:], h)
			hash = hash<<16 ^ hash>>16 ^ h
			at += need
		}
		return hash, true
	}
	inline := make([]byte, writeInode-128-extraInode-4)
	if _, ok := fill(inline, 0); ok {
		n.inline = inline
		return nil
	}
	block := make([]byte, writeBlock)
	hash, ok := fill(block, 32)
	if !ok {
		return fmt.Errorf("/%s: %w", n.path, ErrAttributes)
	}
	le.PutUint32(block, xattrMagic)
	le.PutUint32(block[4:], 1) // used by one inode
	le.PutUint32(block[8:], 1) // block
	le.PutUint32(block[12:], hash)
	n.attrs = block
	return nil
}

// attributeHash is that of an attribute's name and value (fs/ext4/xattr.c, ext4_xattr_hash_entry).
func attributeHash(name string, value []byte) uint32 {
	var h uint32
	for i := range len(name) {
		h = h<<5 ^ h>>27 ^ uint32(name[i])
	}
	for ; len(value) >= 4; value = value[4:] {
		h = h<<16 ^ h>>16 ^ le.Uint32(value)
	}
	return h
}
