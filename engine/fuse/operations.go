package fuse

import (
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"carrel/engine/squashfs"
	"carrel/engine/tree"
)

// handle appends the reply's body to w.out, or to w.iov behind it, or returns an errno.
func (w *worker) handle(r *request) unix.Errno {
	switch r.op {
	case opInit:
		var errno unix.Errno
		w.out, errno = w.s.initReply(w.out, r.body)
		return errno
	case opOpen:
		return w.open(w.s.noOpen.Load(), openKeepCache)
	case opOpendir:
		return w.open(w.s.noOpendir.Load(), openKeepCache|openCacheDir)
	case opRelease, opReleasedir, opDestroy:
		return 0
	case opStatfs:
		return w.statfs()
	case opSetattr, opSymlink, opMknod, opMkdir, opUnlink, opRmdir, opRename, opRename2, opLink, opWrite, opSetxattr, opRemovexattr,
		opCreate, opFallocate, opTmpfile:
		return unix.EROFS
	case opIoctl: // asked for each file that a program looks at as a possible terminal
		return unix.ENOTTY
	case opGetxattr, opListxattr:
		if w.s.noXattrs {
			return unix.ENOSYS // the kernel does not ask again
		}
	case opLookup, opGetattr, opReadlink, opRead, opReaddir, opReaddirplus:
	default: // among them FLUSH, LSEEK, ACCESS, STATX: the kernel then does without
		return unix.ENOSYS
	}
	ref, ok := w.s.refOf(r.node)
	if !ok {
		return unix.ESTALE
	}
	in, err := w.s.img.Inode(ref)
	if err != nil {
		return unix.EIO
	}
	switch r.op {
	case opLookup:
		return w.lookup(in, r.body)
	case opGetattr:
		w.out = ne.AppendUint64(w.out, forever)
		w.out = ne.AppendUint64(w.out, 0)
		w.out = w.s.appendAttr(w.out, in)
		return 0
	case opReadlink:
		target, err := w.s.img.Target(in)
		if err != nil {
			return unix.EIO
		}
		w.out = append(w.out, target...)
		return 0
	case opRead:
		return w.read(in, r)
	case opReaddir, opReaddirplus:
		return w.readdir(in, r)
	}
	return w.xattr(in, r)
}

// open answers that opening needs no request at all where the kernel knows what that means, and else that all may stay cached.
func (w *worker) open(skip bool, flags uint32) unix.Errno {
	if skip {
		return unix.ENOSYS
	}
	w.out = ne.AppendUint64(w.out, 0)
	w.out = ne.AppendUint32(w.out, flags)
	w.out = ne.AppendUint32(w.out, 0)
	return 0
}

func (w *worker) statfs() unix.Errno {
	sb := w.s.img.Superblock()
	for _, v := range []uint64{(sb.BytesUsed + 4095) / 4096, 0, 0, uint64(sb.Inodes), 0} {
		w.out = ne.AppendUint64(w.out, v)
	}
	for _, v := range []uint32{4096, 255, 4096} { // block size, longest name, fragment size
		w.out = ne.AppendUint32(w.out, v)
	}
	w.out = append(w.out, make([]byte, 80-52)...)
	return 0
}

func (w *worker) lookup(dir *squashfs.Inode, body []byte) unix.Errno {
	name, ok := name(body)
	if !ok {
		return unix.EINVAL
	}
	if !dir.IsDir() {
		return unix.ENOTDIR
	}
	d, found, err := w.s.img.Exists(dir, name)
	if err != nil {
		return unix.EIO
	}
	if !found {
		w.out = appendNegative(w.out)
		return 0
	}
	in, err := w.s.img.Inode(d.Ref)
	if err != nil {
		return unix.EIO
	}
	if !in.IsDir() {
		w.s.walk.use(true)
	}
	w.out = w.s.appendEntry(w.out, in)
	return 0
}

// zeros is what holes are answered from, made when the first is read.
var zeros = sync.OnceValue(func() []byte { return make([]byte, squashfs.MaxBlockSize) })

// read answers from the cached blocks themselves. What is behind the end of the file is left out, as the kernel expects.
func (w *worker) read(in *squashfs.Inode, r *request) unix.Errno {
	if len(r.body) < 20 {
		return unix.EINVAL
	}
	if in.IsDir() {
		return unix.EISDIR
	}
	off, size := int64(ne.Uint64(r.body[8:])), int64(min(ne.Uint32(r.body[16:]), maxRead))
	if off < 0 {
		return unix.EINVAL
	}
	w.s.walk.use(false)
	w.s.loadAround(in, off, min(off+size, in.Size))
	blockSize := int64(w.s.img.Superblock().BlockSize)
	for size > 0 {
		b, err := w.s.img.Block(in, off)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return unix.EIO
		}
		data := b.Data
		if data == nil {
			data = zeros()[:min(blockSize-off%blockSize, in.Size-off)]
		} else {
			w.blocks = append(w.blocks, b)
		}
		data = data[:min(int64(len(data)), size)]
		w.iov = append(w.iov, data)
		off += int64(len(data))
		size -= int64(len(data))
	}
	return 0
}

func (w *worker) readdir(dir *squashfs.Inode, r *request) unix.Errno {
	if len(r.body) < 20 {
		return unix.EINVAL
	}
	if !dir.IsDir() {
		return unix.ENOTDIR
	}
	list, err := w.s.dirs.list(w.s.img, dir)
	if err != nil {
		return unix.EIO
	}
	off, size := ne.Uint64(r.body[8:]), int(min(ne.Uint32(r.body[16:]), maxRead))
	plus := r.op == opReaddirplus
	end := outHeaderSize + size
	if plus && off == 0 {
		w.s.walk.list()
	}
	names := plus && w.s.walk.names()
	// Entry 0 is ".", 1 is "..", the rest is the listing. An entry's offset is that of the one behind it.
	for i := off; i < uint64(len(list))+2; i++ {
		var d squashfs.Dirent
		switch i {
		case 0:
			d = squashfs.Dirent{Name: ".", Number: dir.Number, Type: tree.TypeDir}
		case 1:
			d = squashfs.Dirent{Name: "..", Number: dir.Parent, Type: tree.TypeDir}
			if dir.Ref == w.s.img.Root() {
				d.Number = dir.Number
			}
		default:
			d = list[i-2]
		}
		need := direntLen(d.Name)
		if plus {
			need += entrySize
		}
		if len(w.out)+need > end {
			break
		}
		if plus {
			if i < 2 || names && d.Type != tree.TypeDir {
				w.out = append(w.out, noEntry[:]...)
			} else {
				in, err := w.s.img.Inode(d.Ref)
				if err != nil {
					return unix.EIO
				}
				w.out = w.s.appendEntry(w.out, in)
			}
		}
		w.out = appendDirent(w.out, uint64(d.Number), i+1, d.Type, d.Name)
	}
	return 0
}

func (w *worker) xattr(in *squashfs.Inode, r *request) unix.Errno {
	if len(r.body) < 8 {
		return unix.EINVAL
	}
	size := int(ne.Uint32(r.body))
	var value []byte
	if in.HasXattrs() {
		attrs, err := w.s.img.Xattrs(in)
		if err != nil {
			return unix.EIO
		}
		if w.s.opt.OneOwner {
			// In a user namespace they mean nothing, and an overlay that cannot copy them copies up no file.
			maps.DeleteFunc(attrs, func(name string, _ []byte) bool { return strings.HasPrefix(name, "security.") })
		}
		if r.op == opListxattr {
			for _, name := range slices.Sorted(maps.Keys(attrs)) {
				if !strings.HasPrefix(name, "trusted.") { // which the kernel would not give to those who may only mount FUSE
					value = append(append(value, name...), 0)
				}
			}
		} else {
			name, ok := name(r.body[8:])
			if !ok {
				return unix.EINVAL
			}
			if value, ok = attrs[name]; !ok {
				return unix.ENODATA
			}
		}
	} else if r.op == opGetxattr {
		return unix.ENODATA
	}
	if size == 0 { // only the length is asked for
		w.out = ne.AppendUint32(w.out, uint32(len(value)))
		w.out = ne.AppendUint32(w.out, 0)
		return 0
	}
	if len(value) > size {
		return unix.ERANGE
	}
	w.out = append(w.out, value...)
	return 0
}

// dirCache keeps the listings used last: a directory that is larger than one reply is asked for several times.
type dirCache struct {
	mu      sync.Mutex
	entries []cachedDir // the newest last
	total   int
}

type cachedDir struct {
	ref  squashfs.Ref
	list []squashfs.Dirent
}

// dirCacheEntries bounds the number of directory entries that are kept, each about 60 bytes; one directory always is.
const dirCacheEntries = 32 << 10

func (c *dirCache) list(img *squashfs.Reader, dir *squashfs.Inode) ([]squashfs.Dirent, error) {
	c.mu.Lock()
	for i := len(c.entries) - 1; i >= 0; i-- {
		if d := c.entries[i]; d.ref == dir.Ref {
			c.mu.Unlock()
			return d.list, nil
		}
	}
	c.mu.Unlock()
	list, err := img.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries = append(c.entries, cachedDir{dir.Ref, list})
	c.total += len(list)
	for len(c.entries) > 1 && (c.total > dirCacheEntries || len(c.entries) > 64) {
		c.total -= len(c.entries[0].list)
		c.entries = slices.Delete(c.entries, 0, 1)
	}
	return list, nil
}
