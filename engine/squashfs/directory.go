package squashfs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"iter"
)

// Dirent is an entry of a directory.
type Dirent struct {
	Name   string
	Ref    Ref
	Number uint32
	Type   uint32 // the type bits of st_mode
}

// maxDirents bounds what ReadDir collects: beyond it an image is taken to be hostile.
const maxDirents = 4 << 20

// ReadDir lists a directory in the order of the image, which is sorted by name.
func (r *Reader) ReadDir(dir *Inode) ([]Dirent, error) {
	var list []Dirent
	for d, err := range r.Entries(dir) {
		if err != nil {
			return nil, err
		}
		if len(list) == maxDirents {
			return nil, fmt.Errorf("inode %#x: directory has more than %d entries", uint64(dir.Ref), maxDirents)
		}
		list = append(list, d)
	}
	return list, nil
}

// Entries gives the entries of a directory one by one; it ends after the first error.
func (r *Reader) Entries(dir *Inode) iter.Seq2[Dirent, error] {
	return func(yield func(Dirent, error) bool) {
		if !dir.IsDir() {
			yield(Dirent{}, fmt.Errorf("inode %#x: not a directory", uint64(dir.Ref)))
			return
		}
		err := r.listing(dir, 0, dir.dirBlock, dir.dirOffset, func(name []byte, d *Dirent) bool {
			d.Name = string(name)
			return yield(*d, nil)
		})
		if err != nil {
			yield(Dirent{}, fmt.Errorf("inode %#x: %w", uint64(dir.Ref), err))
		}
	}
}

// Find looks up a name in a directory. The error wraps fs.ErrNotExist when it is not there.
func (r *Reader) Find(dir *Inode, name string) (Dirent, error) {
	d, ok, err := r.find(dir, name)
	if err != nil {
		return d, fmt.Errorf("inode %#x: look up %q: %w", uint64(dir.Ref), name, err)
	}
	if !ok {
		return d, fmt.Errorf("inode %#x: look up %q: %w", uint64(dir.Ref), name, fs.ErrNotExist)
	}
	return d, nil
}

// Exists is Find for callers to whom a missing name is no error.
func (r *Reader) Exists(dir *Inode, name string) (Dirent, bool, error) { return r.find(dir, name) }

func (r *Reader) find(dir *Inode, name string) (found Dirent, ok bool, err error) {
	if !dir.IsDir() {
		return found, false, fmt.Errorf("not a directory")
	}
	if name == "" || len(name) > maxNameLen+1 {
		return found, false, nil
	}
	skipped, block, offset, err := r.useIndex(dir, name)
	if err != nil {
		return found, false, err
	}
	err = r.listing(dir, skipped, block, offset, func(entry []byte, d *Dirent) bool {
		if string(entry) == name {
			found, ok = *d, true
			found.Name = name
			return false
		}
		return entry[0] <= name[0] // sorted, as far as the kernel relies on it
	})
	return found, ok, err
}

// useIndex finds the last directory header whose first name is not behind name.
func (r *Reader) useIndex(dir *Inode, name string) (skipped, block int64, offset int, err error) {
	block, offset = dir.dirBlock, dir.dirOffset
	if dir.indexCount == 0 {
		return skipped, block, offset, nil
	}
	le := binary.LittleEndian
	c := metaCursor{r: r, limit: int64(r.sb.dirTable)}
	if err := c.load(dir.listBlock, dir.listOffset); err != nil {
		return 0, 0, 0, err
	}
	for range dir.indexCount {
		b, err := c.read(12)
		if err != nil {
			return 0, 0, 0, err
		}
		at, start, size := int64(le.Uint32(b)), int64(le.Uint32(b[4:])), int64(le.Uint32(b[8:]))+1
		if size > maxNameLen+1 {
			return 0, 0, 0, fmt.Errorf("directory index has a name of %d bytes", size)
		}
		if b, err = c.read(int(size)); err != nil {
			return 0, 0, 0, err
		}
		if string(b) > name {
			break
		}
		if at > dir.Size {
			return 0, 0, 0, fmt.Errorf("directory index points behind the directory")
		}
		skipped, block, offset = at, start, int((at+int64(dir.dirOffset))%metaBlockSize)
	}
	return skipped, block, offset, nil
}

// listing walks a directory's entries from a header on, until f returns false.
func (r *Reader) listing(dir *Inode, skipped, block int64, offset int, f func(name []byte, d *Dirent) bool) error {
	left := dir.Size - dirSizeExtra - skipped
	if left <= 0 {
		return nil
	}
	le := binary.LittleEndian
	var c metaCursor
	if err := r.cursor(&c, r.sb.dirTable, block, offset, r.dirLimit()); err != nil {
		return err
	}
	for left > 0 {
		if left < dirHeaderSize {
			return fmt.Errorf("directory ends within a header")
		}
		b, err := c.read(dirHeaderSize)
		if err != nil {
			return err
		}
		left -= dirHeaderSize
		count, inodeBlock, base := le.Uint32(b), int64(le.Uint32(b[4:])), le.Uint32(b[8:])
		if count >= dirHeaderMax {
			return fmt.Errorf("directory header with %d entries", int64(count)+1)
		}
		for range count + 1 {
			b, err := c.read(dirEntrySize)
			if err != nil {
				return err
			}
			d := Dirent{
				Ref:    Ref(inodeBlock<<16 | int64(le.Uint16(b))),
				Number: base + uint32(int32(int16(le.Uint16(b[2:])))),
			}
			kind, size := le.Uint16(b[4:]), int(le.Uint16(b[6:]))+1
			if kind == 0 || kind > typeSocket || size > maxNameLen+1 {
				return fmt.Errorf("directory entry of type %d with a name of %d bytes", kind, size)
			}
			d.Type = inodeModes[kind]
			left -= dirEntrySize + int64(size)
			if left < 0 {
				return fmt.Errorf("directory ends within an entry")
			}
			name, err := c.read(size)
			if err != nil {
				return err
			}
			if bytes.IndexByte(name, '/') >= 0 || bytes.IndexByte(name, 0) >= 0 || string(name) == "." || string(name) == ".." {
				return fmt.Errorf("directory entry with the name %q", name)
			}
			if !f(name, &d) {
				return nil
			}
		}
	}
	return nil
}
