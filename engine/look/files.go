package look

import (
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	"carrel/engine/image"
)

// File is one line of a long listing.
type File struct {
	Name    string    `json:"name"`
	Type    string    `json:"type"` // file, dir, link, fifo, socket, char, block
	Mode    string    `json:"mode"` // as ls -l: "-rwxr-xr-x"
	UID     uint32    `json:"uid"`
	GID     uint32    `json:"gid"`
	Size    int64     `json:"size"` // bytes; of a regular file
	ModTime time.Time `json:"modified"`
	Link    string    `json:"link,omitempty"`  // target
	Major   uint32    `json:"major,omitempty"` // of a device
	Minor   uint32    `json:"minor,omitempty"`
}

// Clean makes a path of an image as a person writes it, with or without a leading slash, one of package io/fs.
func Clean(p string) string {
	p = strings.TrimPrefix(path.Clean("/"+p), "/")
	if p == "" {
		return "."
	}
	return p
}

// List is what a directory of an image holds, sorted by name; of anything else the thing itself. Links on the way to it
// are followed, and the path itself when it is a link to a directory.
func List(fsys fs.FS, name string) ([]File, error) {
	name = Clean(name)
	info, err := fs.Stat(fsys, name)
	if err != nil || !info.IsDir() {
		if info, err = fs.Lstat(fsys, name); err != nil {
			return nil, err
		}
		f, err := describe(fsys, name, info)
		if err != nil {
			return nil, err
		}
		return []File{f}, nil
	}
	entries, err := fs.ReadDir(fsys, name)
	if err != nil {
		return nil, err
	}
	list := make([]File, 0, len(entries))
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return nil, err
		}
		f, err := describe(fsys, path.Join(name, e.Name()), info)
		if err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	return list, nil
}

func describe(fsys fs.FS, name string, info fs.FileInfo) (File, error) {
	a := image.AttributesOf(info)
	f := File{Name: path.Base(name), Mode: modeText(info.Mode()), UID: a.UID, GID: a.GID, ModTime: info.ModTime().UTC(), Type: "file"}
	if name == "." {
		f.Name = "/"
	}
	switch m := info.Mode(); {
	case m.IsRegular():
		f.Size = info.Size()
	case m.IsDir():
		f.Type = "dir"
	case m&fs.ModeSymlink != 0:
		f.Type = "link"
		var err error
		if f.Link, err = fs.ReadLink(fsys, name); err != nil {
			return f, err
		}
	case m&fs.ModeNamedPipe != 0:
		f.Type = "fifo"
	case m&fs.ModeSocket != 0:
		f.Type = "socket"
	case m&fs.ModeDevice != 0:
		f.Type, f.Major, f.Minor = "block", a.Major, a.Minor
		if m&fs.ModeCharDevice != 0 {
			f.Type = "char"
		}
	}
	return f, nil
}

// modeText is a mode as ls -l writes it.
func modeText(m fs.FileMode) string {
	kind := byte('-')
	switch {
	case m.IsDir():
		kind = 'd'
	case m&fs.ModeSymlink != 0:
		kind = 'l'
	case m&fs.ModeNamedPipe != 0:
		kind = 'p'
	case m&fs.ModeSocket != 0:
		kind = 's'
	case m&fs.ModeCharDevice != 0:
		kind = 'c'
	case m&fs.ModeDevice != 0:
		kind = 'b'
	}
	b := append([]byte{kind}, m.Perm().String()[1:]...)
	for _, special := range []struct {
		bit    fs.FileMode
		at     int
		letter byte
	}{{fs.ModeSetuid, 3, 's'}, {fs.ModeSetgid, 6, 's'}, {fs.ModeSticky, 9, 't'}} {
		if m&special.bit == 0 {
			continue
		}
		if b[special.at] == '-' {
			special.letter -= 'a' - 'A'
		}
		b[special.at] = special.letter
	}
	return string(b)
}

// TooLargeError is a file that is longer than a caller takes.
type TooLargeError struct {
	Path      string
	Size, Max int64 // bytes
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("read %s: it has %d bytes, more than %d", e.Path, e.Size, e.Max)
}

// Read is a regular file's content. One of more than limit bytes (0: any) is a *TooLargeError.
func Read(fsys fs.FS, name string, limit int64) ([]byte, error) {
	name = Clean(name)
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("it is no regular file but a %s", kindOf(info.Mode()))}
	case limit > 0 && info.Size() > limit:
		return nil, &TooLargeError{name, info.Size(), limit}
	case limit <= 0:
		return io.ReadAll(f)
	}
	return io.ReadAll(io.LimitReader(f, limit))
}

func kindOf(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "folder"
	case m&fs.ModeNamedPipe != 0:
		return "pipe"
	case m&fs.ModeSocket != 0:
		return "socket"
	}
	return "device"
}
