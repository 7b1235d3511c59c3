package ext

import (
	"cmp"
	"io/fs"
	"slices"
	"strings"
	"syscall"
)

const (
	// maxDirectory bounds the length of a directory, bytes; a million names of usual length take 40 MB.
	maxDirectory = 256 << 20
	// maxLinks is how many symbolic links one look-up follows (path_resolution(7)).
	maxLinks = 40
)

// Dirent is an entry of a directory.
type Dirent struct {
	Name   string
	Number uint32 // of its inode
}

// ReadDir lists a directory sorted by name, without "." and "..".
func (f *Reader) ReadDir(dir *Inode) ([]Dirent, error) {
	if !dir.IsDir() {
		return nil, syscall.ENOTDIR
	}
	var list []Dirent
	if dir.flags&flagInlineData != 0 {
		b, err := f.inline(dir)
		if err != nil {
			return nil, err
		}
		// The parent's number, records up to the end of the block field, then those of the attribute.
		if list, err = records(dir, b[4:60], list); err == nil {
			list, err = records(dir, b[60:], list)
		}
		if err != nil {
			return nil, err
		}
	} else {
		if dir.flags&flagEncrypted != 0 {
			return nil, corruptFeature(dir)
		}
		for at := int64(0); at < dir.Size; at += f.sb.blockSize {
			r, err := f.find(dir, uint64(at/f.sb.blockSize))
			if err != nil {
				return nil, err
			}
			if r.block == 0 {
				continue
			}
			b, err := f.meta(r.block)
			if err != nil {
				return nil, err
			}
			if list, err = records(dir, b, list); err != nil {
				return nil, err
			}
		}
	}
	slices.SortFunc(list, func(a, b Dirent) int { return cmp.Compare(a.Name, b.Name) })
	for i := 1; i < len(list); i++ {
		if list[i].Name == list[i-1].Name {
			return nil, corrupt("directory %d has %q twice", dir.Number, list[i].Name)
		}
	}
	return list, nil
}

// records adds the entries of one block of a directory.
func records(dir *Inode, b []byte, list []Dirent) ([]Dirent, error) {
	for len(b) >= 8 {
		number, length, n := le.Uint32(b), int(le.Uint16(b[4:])), int(b[6])
		if length == 0 || length == 0xffff { // 64 KiB do not fit in 16 bits
			length = maxBlock
		}
		if length < 8 || length%4 != 0 || length > len(b) || number != 0 && 8+n > length {
			return nil, corrupt("directory %d has a record of %d bytes", dir.Number, length)
		}
		name := string(b[8 : 8+min(n, length-8)])
		b = b[length:]
		if number == 0 || name == "." || name == ".." {
			continue
		}
		if name == "" || strings.ContainsAny(name, "/\x00") {
			return nil, corrupt("directory %d has the name %q", dir.Number, name)
		}
		list = append(list, Dirent{name, number})
	}
	return list, nil
}

// Lookup looks up a name in a directory.
func (f *Reader) Lookup(dir *Inode, name string) (*Inode, error) {
	list, err := f.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	i, ok := slices.BinarySearchFunc(list, name, func(d Dirent, name string) int { return cmp.Compare(d.Name, name) })
	if !ok {
		return nil, fs.ErrNotExist
	}
	return f.Inode(list[i].Number)
}

// Resolve finds the inode at a path below the root, in the form of package io/fs; follow says whether a symbolic link as
// the last part is followed. Links are followed within the file system. The error wraps fs.ErrNotExist when there is none.
func (f *Reader) Resolve(name string, follow bool) (*Inode, error) {
	root, err := f.Inode(rootInode)
	if err != nil {
		return nil, err
	}
	stack, todo := []*Inode{root}, name
	for links := 0; todo != ""; {
		part, rest, _ := strings.Cut(todo, "/")
		todo = rest
		switch part {
		case "", ".":
			continue
		case "..":
			stack = stack[:max(1, len(stack)-1)]
			continue
		}
		in, err := f.Lookup(stack[len(stack)-1], part)
		if err != nil {
			return nil, err
		}
		if !in.IsSymlink() || rest == "" && !follow {
			stack = append(stack, in)
			continue
		}
		if links++; links > maxLinks {
			return nil, syscall.ELOOP
		}
		target, err := f.Target(in)
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(target, "/") {
			stack = stack[:1]
		}
		todo = strings.TrimLeft(target, "/") + "/" + todo
	}
	return stack[len(stack)-1], nil
}
