// Package tree describes a root file system as a sequence of typed entries, independent of where it is stored: a folder,
// a SquashFS image, the layers of an OCI image, a Debian package. It is the one vocabulary in which those packages hand
// trees to one another, so that layers become an image without an unpacked copy on disk.
//
// It is not a file system: nothing here is mounted, cached or looked up by path.
package tree

import (
	"context"
	"io"
	"io/fs"
	"time"
)

// File types, the S_IFMT bits of inode(7), as Entry.Mode carries them.
const (
	TypeMask    = 0o170000
	TypeSocket  = 0o140000
	TypeSymlink = 0o120000
	TypeRegular = 0o100000
	TypeBlock   = 0o060000
	TypeDir     = 0o040000
	TypeChar    = 0o020000
	TypeFifo    = 0o010000
	PermMask    = 0o007777 // permissions with setuid, setgid and sticky
)

// Entry is one object of a tree: everything about it but its bytes.
type Entry struct {
	// Path is relative to the root, slash separated, clean, without a leading slash; the root itself is ".".
	// It never contains a ".." element: whoever makes an Entry from foreign bytes has checked that.
	Path string
	// Mode is the raw st_mode: type bits and permissions (inode(7)).
	Mode uint32
	UID  uint32
	GID  uint32
	// Size is the length in bytes of a regular file; 0 for all other types.
	Size    int64
	ModTime time.Time
	// Link is a symbolic link's target, as written.
	Link string
	// HardLink, when not empty, is the Path of an earlier entry of the same sequence that this name is another name of.
	// All other fields but Path are then meaningless.
	HardLink string
	// Major and Minor number a character or block device. A character device 0:0 is an overlay whiteout.
	Major, Minor uint32
	// Part says that another part of the sequence begins with this entry: a sink that stores contents of several files
	// together or once must not do so across the border, so that it can be exchanged (squashfs.Writer).
	Part bool
	// Xattrs are extended attributes by full name ("user.x", "security.capability"); nil when there are none.
	Xattrs map[string][]byte
}

// Type is the S_IFMT part of the mode.
func (e *Entry) Type() uint32 { return e.Mode & TypeMask }

// Perm is the permission part of the mode, with setuid, setgid and sticky.
func (e *Entry) Perm() uint32 { return e.Mode & PermMask }

// IsDir tells whether the entry is a directory (and not a hard link).
func (e *Entry) IsDir() bool { return e.HardLink == "" && e.Type() == TypeDir }

// IsRegular tells whether the entry is a regular file (and not a hard link).
func (e *Entry) IsRegular() bool { return e.HardLink == "" && e.Type() == TypeRegular }

// FileMode converts the mode to the form of io/fs.
func (e *Entry) FileMode() fs.FileMode {
	m := fs.FileMode(e.Mode & 0o777)
	switch e.Type() {
	case TypeDir:
		m |= fs.ModeDir
	case TypeSymlink:
		m |= fs.ModeSymlink
	case TypeBlock:
		m |= fs.ModeDevice
	case TypeChar:
		m |= fs.ModeDevice | fs.ModeCharDevice
	case TypeFifo:
		m |= fs.ModeNamedPipe
	case TypeSocket:
		m |= fs.ModeSocket
	}
	if e.Mode&0o4000 != 0 {
		m |= fs.ModeSetuid
	}
	if e.Mode&0o2000 != 0 {
		m |= fs.ModeSetgid
	}
	if e.Mode&0o1000 != 0 {
		m |= fs.ModeSticky
	}
	return m
}

// Sink receives a tree. Entries may come in any order as long as a hard link follows its target; a directory that is
// never named but has children is made with mode 0755, owner 0:0. A later entry with the path of an earlier one
// replaces it (a directory over a directory keeps the children and takes the new attributes).
type Sink interface {
	// Add takes one entry. For a regular file body delivers exactly e.Size bytes and is only valid during the call;
	// for all other types it is nil. An error ends the sequence.
	Add(e Entry, body io.Reader) error
}

// Source produces a tree into a sink, from first to last entry, and returns the first error of either side. It may be
// asked several times and produces the same sequence each time.
type Source interface {
	WriteTo(ctx context.Context, sink Sink) error
}
