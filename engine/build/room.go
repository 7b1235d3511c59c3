package build

import (
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"carrel/engine/tree"
)

// reserve is how many bytes of a disk are left to others, whatever an image unpacks to.
const reserve = 64 << 20

// RoomError is a file for which the disk has no room.
type RoomError struct {
	Folder string // on the disk
	Size   int64  // of the file, bytes
	Free   int64  // on the disk, bytes
}

func (e *RoomError) Error() string {
	return fmt.Sprintf("a file of %.1f MB finds no room in %s, where %.1f MB are free", float64(e.Size)/1e6, e.Folder, float64(e.Free)/1e6)
}

// Hint says what to do about it.
func (e *RoomError) Hint() string {
	return "make room (`carrel cache` shows what can be freed), or set CARREL_HOME to a folder on a larger disk; if the image cannot be that large, it is broken or made to do harm"
}

// roomy is a sink that stops before the disk that a folder is on is full.
type roomy struct {
	tree.Sink
	folder string
	since  int64 // bytes since the disk was last looked at
	files  int
}

// Every so many bytes or files the disk is looked at, and before each file that is as large.
const (
	lookBytes = 16 << 20
	lookFiles = 1000
)

func (r *roomy) Add(e tree.Entry, body io.Reader) error {
	r.files++
	if r.since += e.Size; r.since >= lookBytes || r.files >= lookFiles {
		r.since, r.files = 0, 0
		var st unix.Statfs_t
		if err := unix.Statfs(r.folder, &st); err == nil {
			if free := int64(st.Bavail) * st.Bsize; free-reserve < e.Size {
				return &RoomError{Folder: r.folder, Size: e.Size, Free: free}
			}
		}
	}
	return r.Sink.Add(e, body)
}
