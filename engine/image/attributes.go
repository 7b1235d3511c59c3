package image

import (
	"io/fs"
	"syscall"

	"carrel/engine/ext"
	"carrel/engine/squashfs"

	"golang.org/x/sys/unix"
)

// Attributes are what the file systems of images know of a file beyond fs.FileInfo.
type Attributes struct {
	UID, GID     uint32
	Major, Minor uint32 // of a device
	// Links is the number of names; File is equal for names of the same file of one image, and may be a map's key.
	Links uint32
	File  any
}

// XattrFS is a file system that knows extended attributes, as those of images in files do.
type XattrFS interface {
	fs.FS
	// Xattrs are those of a file by full name, nil for none; a symbolic link as the last part is not followed.
	Xattrs(name string) (map[string][]byte, error)
}

// XattrsOf are the extended attributes of a file of an image's FS, nil where the file system does not know any.
func XattrsOf(fsys fs.FS, name string) (map[string][]byte, error) {
	if x, ok := fsys.(XattrFS); ok {
		return x.Xattrs(name)
	}
	return nil, nil
}

// AttributesOf reads them from a FileInfo of an image's FS or of an Index.
func AttributesOf(info fs.FileInfo) Attributes {
	switch in := info.Sys().(type) {
	case *squashfs.Inode:
		type key struct {
			ref   squashfs.Ref
			time  uint32
			bytes int64
		}
		return Attributes{in.UID, in.GID, in.Major, in.Minor, in.Nlink, key{in.Ref, in.ModTime, in.Size}}
	case *ext.Inode:
		type key struct {
			number uint32
			time   int64
			bytes  int64
		}
		return Attributes{in.UID, in.GID, in.Major, in.Minor, in.Nlink, key{in.Number, in.ModTime.UnixNano(), in.Size}}
	case *indexNode:
		e := &in.entry
		return Attributes{e.UID, e.GID, e.Major, e.Minor, in.links, in}
	case *syscall.Stat_t:
		type key struct{ dev, ino uint64 }
		return Attributes{
			in.Uid, in.Gid, unix.Major(uint64(in.Rdev)), unix.Minor(uint64(in.Rdev)), uint32(in.Nlink), //nolint:unconvert // their types differ by processor
			key{uint64(in.Dev), in.Ino}, //nolint:unconvert // the same
		}
	}
	return Attributes{Links: 1}
}

// FolderKey is which folder of an image's file system a description is of, a key for maps; nil where it is not known, as of folders
// on disk. A sound file system has no folder at two places, but one that was made to do harm may have it at any number.
func FolderKey(info fs.FileInfo) any {
	if e, ok := info.(*entryInfo); ok {
		if e.id.layer == nil || e.id.key == nil {
			return nil
		}
		return e.id
	}
	switch in := info.Sys().(type) {
	case *squashfs.Inode:
		return in.Ref
	case *ext.Inode:
		return in.Number
	}
	return nil
}
