package squashfs

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Xattr name prefixes by their number in the format; entries keep the name without it.
var xattrPrefixes = [...]string{"user.", "trusted.", "security."}

const (
	xattrPrefixMask = 0xff
	xattrOutOfLine  = 0x100 // the value is a reference to where it is stored
	// xattrShareFrom is the value size from which an equal value is referred to instead of stored again; a reference takes 8 bytes.
	xattrShareFrom = 16
	maxXattrValue  = 65536 // XATTR_SIZE_MAX
)

// xattrTable collects sets of extended attributes; inodes refer to them by index, in the order of their coming until
// settle. Equal sets share one.
type xattrTable struct {
	sets  [][]xattr
	where map[string]uint32
	used  []bool
}

type xattr struct {
	prefix uint16
	name   string
	value  string
}

// index returns the index of a set, noXattr for one that is empty after those that cannot be stored are skipped, whose names it
// returns.
func (t *xattrTable) index(attrs map[string][]byte) (index uint32, skipped []string, err error) {
	var set []xattr
	var key []byte
	for _, full := range slices.Sorted(maps.Keys(attrs)) {
		prefix := slices.IndexFunc(xattrPrefixes[:], func(p string) bool { return strings.HasPrefix(full, p) })
		if prefix < 0 {
			skipped = append(skipped, full)
			continue
		}
		name, value := full[len(xattrPrefixes[prefix]):], attrs[full]
		if name == "" || len(full) > maxNameLen || len(value) > maxXattrValue {
			return 0, nil, fmt.Errorf("extended attribute %q of %d bytes is out of the kernel's limits", full, len(value))
		}
		set = append(set, xattr{uint16(prefix), name, string(value)})
		key = binary.LittleEndian.AppendUint32(append(append(key, full...), 0), uint32(len(value)))
		key = append(key, value...)
	}
	if len(set) == 0 {
		return noXattr, skipped, nil
	}
	if i, ok := t.where[string(key)]; ok {
		return i, skipped, nil
	}
	if t.where == nil {
		t.where = make(map[string]uint32)
	}
	i := uint32(len(t.sets))
	t.sets = append(t.sets, set)
	t.used = append(t.used, false)
	t.where[string(key)] = i
	return i, skipped, nil
}

// settle gives the sets that are used their places in the image, in the order of their contents, and returns these by index.
func (t *xattrTable) settle() (places []uint32) {
	places = make([]uint32, len(t.sets))
	var sets [][]xattr
	for _, key := range slices.Sorted(maps.Keys(t.where)) {
		if i := t.where[key]; t.used[i] {
			places[i] = uint32(len(sets))
			sets = append(sets, t.sets[i])
		}
	}
	t.sets, t.where = sets, nil
	return places
}

// encode makes the whole table for the image offset base and returns the offset of its head, which is what the superblock names.
func (t *xattrTable) encode(newMeta func(index bool) *metaWriter, base int64) (all []byte, head int64, err error) {
	le := binary.LittleEndian
	values, ids := newMeta(false), newMeta(true)
	shared := make(map[string]uint64)
	for _, set := range t.sets {
		ref, size := values.ref(), uint32(0)
		for _, x := range set {
			place, outOfLine := shared[x.value]
			kind := x.prefix
			if outOfLine {
				kind |= xattrOutOfLine
			}
			b := le.AppendUint16(nil, kind)
			b = le.AppendUint16(b, uint16(len(x.name)))
			b = append(b, x.name...)
			if outOfLine {
				b = le.AppendUint32(b, 8)
				b = le.AppendUint64(b, place)
			} else {
				if err := values.write(b); err != nil {
					return nil, 0, err
				}
				if len(x.value) >= xattrShareFrom {
					shared[x.value] = values.ref()
				}
				b = le.AppendUint32(b[:0], uint32(len(x.value)))
				b = append(b, x.value...)
			}
			if err := values.write(b); err != nil {
				return nil, 0, err
			}
			size += uint32(8 + len(x.name) + len(x.value))
		}
		b := le.AppendUint64(nil, ref)
		b = le.AppendUint32(b, uint32(len(set)))
		b = le.AppendUint32(b, size)
		if err := ids.write(b); err != nil {
			return nil, 0, err
		}
	}
	if err := values.flush(); err != nil {
		return nil, 0, err
	}
	hd := le.AppendUint64(nil, uint64(base))
	hd = le.AppendUint32(hd, uint32(len(t.sets)))
	hd = le.AppendUint32(hd, 0)
	idBytes, head, err := ids.finishTable(base+int64(len(values.out)), hd)
	return append(values.out, idBytes...), head, err
}
