package squashfs

import (
	"bytes"
	"io"
	"io/fs"
)

// Same tells whether two regular files of images, as the images' FS describe them, have equal contents, as far as that is
// cheap: by comparing their blocks as they are stored. False means that they have to be read to know, as do errors.
func Same(a fs.FS, x fs.FileInfo, b fs.FS, y fs.FileInfo) bool {
	one, ok1 := a.(*imageFS)
	two, ok2 := b.(*imageFS)
	if !ok1 || !ok2 {
		return false
	}
	in, ok1 := x.Sys().(*Inode)
	other, ok2 := y.Sys().(*Inode)
	if !ok1 || !ok2 || !in.IsRegular() || !other.IsRegular() || in.Size != other.Size || in.nblocks != other.nblocks {
		return false
	}
	r, s := one.r, two.r
	if r.sb.Compression != s.sb.Compression || r.sb.BlockSize != s.sb.BlockSize {
		return false
	}
	p, q := make([]byte, r.sb.BlockSize), make([]byte, r.sb.BlockSize)
	for k := range in.nblocks {
		at, size, err := r.locate(in, k)
		if err != nil {
			return false
		}
		at2, size2, err := s.locate(other, k)
		if err != nil || size != size2 {
			return false
		}
		n := size &^ dataUncompressed // at most a block: locate has checked it
		if _, err := r.r.ReadAt(p[:n], at); err != nil {
			return false
		}
		if _, err := s.r.ReadAt(q[:n], at2); err != nil || !bytes.Equal(p[:n], q[:n]) {
			return false
		}
	}
	start := in.nblocks * int64(r.sb.BlockSize)
	tail := in.Size - start
	if tail <= 0 {
		return true
	}
	if tail > int64(len(p)) {
		return false
	}
	n, err := r.ReadAt(in, p[:tail], start)
	if err != nil && err != io.EOF {
		return false
	}
	m, err := s.ReadAt(other, q[:tail], start)
	return (err == nil || err == io.EOF) && n == m && int64(n) == tail && bytes.Equal(p[:n], q[:m])
}
