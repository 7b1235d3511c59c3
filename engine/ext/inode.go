package ext

import (
	"strings"
	"time"

	"carrel/engine/tree"
)

// Inode is a decoded inode. It belongs to the Reader that returned it and must not be changed.
type Inode struct {
	Number  uint32
	Mode    uint32 // st_mode
	UID     uint32
	GID     uint32
	Size    int64 // bytes; of a link, the length of its target
	ModTime time.Time
	Nlink   uint32
	Major   uint32 // of a device
	Minor   uint32

	flags   uint32
	block   [60]byte
	acl     uint64 // block of extended attributes
	inside  []byte // extended attributes in the inode
	sectors uint64
}

const (
	flagCompressed = 0x4
	flagEncrypted  = 0x800
	flagExtents    = 0x80000
	flagEAInode    = 0x200000
	flagInlineData = 0x10000000

	xattrMagic = 0xEA020000
)

// IsDir tells whether the inode is a directory.
func (in *Inode) IsDir() bool { return in.Mode&tree.TypeMask == tree.TypeDir }

// IsRegular tells whether the inode is a regular file.
func (in *Inode) IsRegular() bool { return in.Mode&tree.TypeMask == tree.TypeRegular }

// IsSymlink tells whether the inode is a symbolic link.
func (in *Inode) IsSymlink() bool { return in.Mode&tree.TypeMask == tree.TypeSymlink }

// Blocks is the number of 512 byte units that the content takes, holes left out.
func (in *Inode) Blocks() int64 { return int64(in.sectors) }

// Inode reads an inode by its number.
func (f *Reader) Inode(number uint32) (*Inode, error) {
	if number == 0 || number > f.sb.inodes {
		return nil, corrupt("inode %d of %d", number, f.sb.inodes)
	}
	group, index := (number-1)/f.sb.inodesPerGroup, int64((number-1)%f.sb.inodesPerGroup)
	table, err := f.inodeTable(group)
	if err != nil {
		return nil, err
	}
	off := index * f.sb.inodeSize
	b, err := f.meta(table + uint64(off/f.sb.blockSize))
	if err != nil {
		return nil, err
	}
	return f.parseInode(number, b[off%f.sb.blockSize:][:f.sb.inodeSize])
}

func (f *Reader) parseInode(number uint32, b []byte) (*Inode, error) {
	in := &Inode{
		Number: number, Mode: uint32(le.Uint16(b)),
		UID:   uint32(le.Uint16(b[2:])) | uint32(le.Uint16(b[120:]))<<16,
		GID:   uint32(le.Uint16(b[24:])) | uint32(le.Uint16(b[122:]))<<16,
		Nlink: uint32(le.Uint16(b[26:])), flags: le.Uint32(b[32:]),
		acl:     uint64(le.Uint32(b[104:])) | uint64(le.Uint16(b[118:]))<<32,
		sectors: uint64(le.Uint32(b[28:])) | uint64(le.Uint16(b[116:]))<<32,
	}
	copy(in.block[:], b[40:100])
	seconds, nanos := int64(int32(le.Uint32(b[16:]))), int64(0)
	if len(b) > 128 {
		extra := int(le.Uint16(b[128:]))
		if extra%4 != 0 || 128+extra > len(b) {
			return nil, corrupt("inode %d has %d extra bytes", number, extra)
		}
		if extra >= 12 { // the time's further bits (kernel documentation, "Inode Timestamps")
			more := le.Uint32(b[136:])
			seconds += int64(more&3) << 32
			nanos = int64(more >> 2)
		}
		if rest := b[128+extra:]; len(rest) > 4 && le.Uint32(rest) == xattrMagic {
			in.inside = rest[4:]
		}
	}
	in.ModTime = time.Unix(seconds, min(nanos, 999_999_999))
	switch in.Mode & tree.TypeMask {
	case tree.TypeRegular, tree.TypeDir, tree.TypeSymlink:
		in.Size = int64(le.Uint32(b[4:])) | int64(le.Uint32(b[108:]))<<32
	case tree.TypeChar, tree.TypeBlock:
		in.Major, in.Minor = device(in.block[:])
	case tree.TypeFifo, tree.TypeSocket:
	default:
		return nil, corrupt("inode %d has mode %o", number, in.Mode)
	}
	longest := int64(noEnd) * f.sb.blockSize
	switch {
	case in.IsSymlink():
		longest = 4096 // PATH_MAX
	case in.IsDir():
		longest = min(maxDirectory, f.size) // it has no holes
	}
	if in.Size < 0 || in.Size > longest {
		return nil, corrupt("inode %d has %d bytes", number, in.Size)
	}
	return in, nil
}

// device decodes the number of a device: the old form in the first word, or the new one in the second
// (linux/kdev_t.h, old_decode_dev and new_decode_dev).
func device(block []byte) (major, minor uint32) {
	if old := le.Uint32(block); old != 0 {
		return old >> 8 & 0xff, old & 0xff
	}
	n := le.Uint32(block[4:])
	return n >> 8 & 0xfff, n&0xff | n>>12&0xfff00
}

// Target is what a symbolic link points to.
func (f *Reader) Target(in *Inode) (string, error) {
	b := in.block[:]
	if in.Size >= int64(len(b)) {
		b = make([]byte, in.Size)
		if err := f.readFull(in, b); err != nil {
			return "", err
		}
	}
	target := string(b[:in.Size])
	if target == "" || strings.IndexByte(target, 0) >= 0 {
		return "", corrupt("inode %d: a link without a target", in.Number)
	}
	return target, nil
}

// Entry describes an inode under a name, with its extended attributes.
func (f *Reader) Entry(name string, in *Inode) (tree.Entry, error) {
	e := tree.Entry{Path: name, Mode: in.Mode & (tree.TypeMask | tree.PermMask), UID: in.UID, GID: in.GID, ModTime: in.ModTime, Major: in.Major, Minor: in.Minor}
	var err error
	switch {
	case in.IsRegular():
		e.Size = in.Size
	case in.IsSymlink():
		if e.Link, err = f.Target(in); err != nil {
			return e, err
		}
	}
	e.Xattrs, err = f.Xattrs(in)
	return e, err
}

// attributePrefixes are the beginnings of names that are stored as a number. POSIX access control lists (2, 3) have a form of
// their own and are left out, as is what belongs to the file system itself (7).
var attributePrefixes = map[byte]string{1: "user.", 4: "trusted.", 6: "security."}

const (
	inlineData = "\x07data" // where inline data goes on that does not fit in the inode
	// maxAttributes bounds the attributes of one inode, bytes; the kernel's bound for one value is 64 KiB.
	maxAttributes = 1 << 20
)

// Xattrs returns the extended attributes of an inode by full name, nil when it has none.
func (f *Reader) Xattrs(in *Inode) (map[string][]byte, error) {
	raw, err := f.attributes(in)
	if err != nil {
		return nil, err
	}
	var out map[string][]byte
	for key, value := range raw {
		if prefix := attributePrefixes[key[0]]; prefix != "" {
			if out == nil {
				out = map[string][]byte{}
			}
			out[prefix+key[1:]] = value
		}
	}
	return out, nil
}

// attributes are the extended attributes by the number of their prefix, as a byte, and the rest of the name.
func (f *Reader) attributes(in *Inode) (map[string][]byte, error) {
	if in.inside == nil && in.acl == 0 {
		return nil, nil
	}
	out := map[string][]byte{}
	if err := f.attributeList(in, in.inside, in.inside, out); err != nil {
		return nil, err
	}
	if in.acl != 0 {
		b, err := f.meta(in.acl)
		if err != nil {
			return nil, err
		}
		if le.Uint32(b) != xattrMagic {
			return nil, corrupt("inode %d: block %d has no attributes", in.Number, in.acl)
		}
		if err := f.attributeList(in, b[32:], b, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// attributeList reads attributes from list, whose values lie at offsets of base.
func (f *Reader) attributeList(in *Inode, list, base []byte, out map[string][]byte) error {
	total := 0
	for len(list) >= 16 && le.Uint32(list) != 0 {
		n := int(list[0])
		offset, inode, size := int(le.Uint16(list[2:])), le.Uint32(list[4:]), int(le.Uint32(list[8:]))
		if total += size; 16+n > len(list) || size < 0 || size > maxAttributes || total > maxAttributes {
			return corrupt("inode %d: attributes", in.Number)
		}
		key := string(list[1]) + string(list[16:16+n])
		if list[1] > 0x7f {
			key = "\x00"
		}
		switch {
		case inode != 0:
			value, err := f.Inode(inode)
			if err != nil {
				return err
			}
			if value.flags&flagEAInode == 0 || value.Size < int64(size) {
				return corrupt("inode %d: attribute in inode %d", in.Number, inode)
			}
			b := make([]byte, size)
			if err := f.readFull(value, b); err != nil {
				return err
			}
			out[key] = b
		case offset+size > len(base):
			return corrupt("inode %d: attribute of %d bytes", in.Number, size)
		default:
			out[key] = append([]byte(nil), base[offset:offset+size]...)
		}
		list = list[min((16+n+3)&^3, len(list)):]
	}
	return nil
}
