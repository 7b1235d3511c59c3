package squashfs

import (
	"encoding/binary"
	"fmt"
)

// xattrHead is where the parts of the xattr table are.
type xattrHead struct {
	values uint64
	count  uint32
	blocks []int64
}

// maxXattrBytes bounds what one inode's attributes may expand to; the kernel lets no file have more than 64 KiB of names, and
// file systems no more than a few values of 64 KiB.
const maxXattrBytes = 16 << 20

func (r *Reader) readXattrHead() (*xattrHead, error) {
	if !r.sb.HasXattrs() {
		return nil, fmt.Errorf("image has no xattr table")
	}
	var b [16]byte
	if err := r.readFull(b[:], int64(r.sb.xattrTable)); err != nil {
		return nil, err
	}
	h := &xattrHead{values: binary.LittleEndian.Uint64(b[:]), count: binary.LittleEndian.Uint32(b[8:])}
	if h.values >= r.sb.xattrTable {
		return nil, fmt.Errorf("xattr values at %d are behind their table", h.values)
	}
	var err error
	h.blocks, err = r.tableBlocks(r.sb.xattrTable+16, int64(h.count)*16)
	return h, err
}

// Xattrs returns the extended attributes of an inode by full name, nil when it has none.
func (r *Reader) Xattrs(in *Inode) (map[string][]byte, error) {
	if in.xattr == noXattr || !r.sb.HasXattrs() {
		return nil, nil
	}
	attrs, err := r.readXattrs(in.xattr)
	if err != nil {
		return nil, fmt.Errorf("inode %#x: extended attributes: %w", uint64(in.Ref), err)
	}
	return attrs, nil
}

func (r *Reader) readXattrs(index uint32) (map[string][]byte, error) {
	le := binary.LittleEndian
	h, err := r.xattrBlocks()
	if err != nil {
		return nil, err
	}
	if index >= h.count {
		return nil, fmt.Errorf("set %d of %d", index, h.count)
	}
	var id [16]byte
	if err := r.tableEntry(h.blocks, id[:], int64(index)); err != nil {
		return nil, err
	}
	block, offset := Ref(le.Uint64(id[:])).split()
	var c metaCursor
	if err := r.cursor(&c, h.values, block, offset, r.sb.xattrTable); err != nil {
		return nil, err
	}
	attrs := make(map[string][]byte)
	total := 0
	for range le.Uint32(id[8:]) {
		b, err := c.read(4)
		if err != nil {
			return nil, err
		}
		kind, size := le.Uint16(b), int(le.Uint16(b[2:]))
		prefix := int(kind & xattrPrefixMask)
		if prefix >= len(xattrPrefixes) || size > maxNameLen {
			return nil, fmt.Errorf("attribute of type %#x with a name of %d bytes", kind, size)
		}
		if b, err = c.read(size); err != nil {
			return nil, err
		}
		name := xattrPrefixes[prefix] + string(b)
		value, err := xattrValue(&c)
		if err != nil {
			return nil, err
		}
		if kind&xattrOutOfLine != 0 {
			if len(value) != 8 {
				return nil, fmt.Errorf("attribute %s: reference of %d bytes", name, len(value))
			}
			var at metaCursor
			block, offset := Ref(le.Uint64(value)).split()
			if err := r.cursor(&at, h.values, block, offset, r.sb.xattrTable); err != nil {
				return nil, err
			}
			if value, err = xattrValue(&at); err != nil {
				return nil, err
			}
		}
		if total += len(name) + len(value) + 8; total > maxXattrBytes {
			return nil, fmt.Errorf("more than %d bytes", maxXattrBytes)
		}
		attrs[name] = append([]byte{}, value...)
	}
	return attrs, nil
}

func xattrValue(c *metaCursor) ([]byte, error) {
	b, err := c.read(4)
	if err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(b)
	if size > maxXattrValue {
		return nil, fmt.Errorf("value of %d bytes", size)
	}
	return c.read(int(size))
}
