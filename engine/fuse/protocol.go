package fuse

import (
	"encoding/binary"
	"math"

	"golang.org/x/sys/unix"

	"carrel/engine/squashfs"
	"carrel/engine/tree"
)

// Everything on the device is in the byte order of the machine.
var ne = binary.NativeEndian

// Operations, enum fuse_opcode of linux/fuse.h.
const (
	opLookup      = 1
	opForget      = 2
	opGetattr     = 3
	opSetattr     = 4
	opReadlink    = 5
	opSymlink     = 6
	opMknod       = 8
	opMkdir       = 9
	opUnlink      = 10
	opRmdir       = 11
	opRename      = 12
	opLink        = 13
	opOpen        = 14
	opRead        = 15
	opWrite       = 16
	opStatfs      = 17
	opRelease     = 18
	opSetxattr    = 21
	opGetxattr    = 22
	opListxattr   = 23
	opRemovexattr = 24
	opFlush       = 25
	opInit        = 26
	opOpendir     = 27
	opReaddir     = 28
	opReleasedir  = 29
	opCreate      = 35
	opInterrupt   = 36
	opDestroy     = 38
	opIoctl       = 39
	opBatchForget = 42
	opFallocate   = 43
	opReaddirplus = 44
	opRename2     = 45
	opTmpfile     = 51
)

// Flags of the INIT exchange.
const (
	initAsyncRead       = 1 << 0
	initDoReaddirplus   = 1 << 13
	initReaddirplusAuto = 1 << 14
	initNoOpen          = 1 << 17
	initParallelDirops  = 1 << 18
	initMaxPages        = 1 << 22
	initCacheSymlinks   = 1 << 23
	initNoOpendir       = 1 << 24
)

const (
	protocolMajor = 7
	protocolMinor = 31 // the newest that all kernels which let users mount FUSE with big reads and cached symlinks agree with
	minimumMinor  = 23 // from which on INIT's reply has its present size

	inHeaderSize  = 40
	outHeaderSize = 16
	entrySize     = 128
	attrSize      = 88
	direntSize    = 24

	openKeepCache = 1 << 1
	openCacheDir  = 1 << 3

	rootNode = 1

	// forever is how long the kernel may keep names and attributes, in seconds; it cuts this to what it can count.
	forever = math.MaxInt32
)

// request is one message of the kernel. It is only valid until the next one is read into the same buffer.
type request struct {
	op     uint32
	unique uint64
	node   uint64
	body   []byte
}

func parseRequest(b []byte) (r request, ok bool) {
	if len(b) < inHeaderSize || int64(ne.Uint32(b)) != int64(len(b)) {
		return r, false
	}
	return request{op: ne.Uint32(b[4:]), unique: ne.Uint64(b[8:]), node: ne.Uint64(b[16:]), body: b[inHeaderSize:]}, true
}

// name is the zero-terminated string that a body, or the rest of one, consists of.
func name(b []byte) (string, bool) {
	if len(b) == 0 || b[len(b)-1] != 0 {
		return "", false
	}
	return string(b[:len(b)-1]), true
}

// nodeOf and refOf map inode places to the kernel's node numbers: 0 is no node, 1 is the root.
func (s *server) nodeOf(ref squashfs.Ref) uint64 {
	if ref == s.img.Root() {
		return rootNode
	}
	return uint64(ref) + 2
}

func (s *server) refOf(node uint64) (squashfs.Ref, bool) {
	switch node {
	case 0:
		return 0, false
	case rootNode:
		return s.img.Root(), true
	}
	return squashfs.Ref(node - 2), true
}

// appendEntry appends a struct fuse_entry_out.
func (s *server) appendEntry(b []byte, in *squashfs.Inode) []byte {
	b = ne.AppendUint64(b, s.nodeOf(in.Ref))
	b = ne.AppendUint64(b, 0) // generation
	b = ne.AppendUint64(b, forever)
	b = ne.AppendUint64(b, forever)
	b = ne.AppendUint64(b, 0) // nanoseconds of both
	return s.appendAttr(b, in)
}

// appendNegative appends a struct fuse_entry_out that says: there is no such name, and there will not be.
func appendNegative(b []byte) []byte {
	b = append(b, make([]byte, entrySize)...)
	ne.PutUint64(b[len(b)-entrySize+16:], forever)
	return b
}

// appendAttr appends a struct fuse_attr.
func (s *server) appendAttr(b []byte, in *squashfs.Inode) []byte {
	uid, gid := in.UID, in.GID
	if s.opt.OneOwner {
		uid, gid = s.opt.UID, s.opt.GID
	}
	b = ne.AppendUint64(b, uint64(in.Number))
	b = ne.AppendUint64(b, uint64(in.Size))
	b = ne.AppendUint64(b, uint64(in.Blocks()))
	for range 3 { // access, modification, change
		b = ne.AppendUint64(b, uint64(in.ModTime))
	}
	b = append(b, make([]byte, 12)...) // their nanoseconds
	b = ne.AppendUint32(b, in.Mode)
	b = ne.AppendUint32(b, in.Nlink)
	b = ne.AppendUint32(b, uid)
	b = ne.AppendUint32(b, gid)
	b = ne.AppendUint32(b, in.Minor&0xff|in.Major<<8|(in.Minor&^0xff)<<12)
	b = ne.AppendUint32(b, 4096) // st_blksize: what programs read at a time; larger ones cost them memory and time for small files
	return ne.AppendUint32(b, 0) // flags
}

// appendDirent appends a struct fuse_dirent with its name and padding.
func appendDirent(b []byte, ino, off uint64, kind uint32, name string) []byte {
	b = ne.AppendUint64(b, ino)
	b = ne.AppendUint64(b, off)
	b = ne.AppendUint32(b, uint32(len(name)))
	b = ne.AppendUint32(b, kind&tree.TypeMask>>12)
	b = append(b, name...)
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	return b
}

func direntLen(name string) int { return (direntSize + len(name) + 7) &^ 7 }

// initReply answers INIT and notes what was agreed on; it returns an errno for kernels that are too old.
func (s *server) initReply(b, body []byte) ([]byte, unix.Errno) {
	if len(body) < 16 || ne.Uint32(body) != protocolMajor || ne.Uint32(body[4:]) < minimumMinor {
		return b, unix.EPROTO
	}
	minor, readahead, offered := ne.Uint32(body[4:]), ne.Uint32(body[8:]), ne.Uint32(body[12:])
	flags := offered & (initAsyncRead | initDoReaddirplus | initNoOpen | initParallelDirops | initMaxPages | initCacheSymlinks | initNoOpendir)
	s.noOpen.Store(flags&initNoOpen != 0)
	s.noOpendir.Store(flags&initNoOpendir != 0)
	const background = 64 // reads ahead that may be waiting at a time
	b = ne.AppendUint32(b, protocolMajor)
	b = ne.AppendUint32(b, min(minor, protocolMinor))
	b = ne.AppendUint32(b, readahead)
	b = ne.AppendUint32(b, flags)
	b = ne.AppendUint16(b, background)
	b = ne.AppendUint16(b, background*3/4)
	b = ne.AppendUint32(b, 4096) // the largest write: there are none
	b = ne.AppendUint32(b, 1e9)  // granularity of times, in nanoseconds
	b = ne.AppendUint16(b, maxRead/4096)
	return append(b, make([]byte, 64-30)...), 0
}
