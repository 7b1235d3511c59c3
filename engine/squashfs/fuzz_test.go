package squashfs

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"carrel/engine/tree"
)

// readAll does with an image all that a Reader can, within a time.
func readAll(b []byte) {
	r, err := Open(bytes.NewReader(b), int64(len(b)), ReaderOptions{CacheBytes: 1 << 20, MetaCacheBytes: 1 << 20})
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = r.WriteTo(ctx, sinkFunc(func(e tree.Entry, body io.Reader) error {
		if body != nil {
			if _, err := io.CopyN(io.Discard, body, 4<<20); err != nil && err != io.EOF {
				return err
			}
			if e.Size > 4<<20 {
				return io.ErrShortBuffer
			}
		}
		if in, err := r.Resolve(e.Path, false); err == nil {
			b, err := r.Block(in, in.Size-1)
			if err == nil {
				b.Release()
			}
			_, _ = r.Find(in, "name")
		}
		return nil
	}))
	for n := range uint32(20) {
		if ref, err := r.Lookup(n); err == nil {
			_, _ = r.Inode(ref)
		}
	}
}

type sinkFunc func(tree.Entry, io.Reader) error

func (f sinkFunc) Add(e tree.Entry, body io.Reader) error { return f(e, body) }

// smallImages are images of a few objects of each kind, uncompressed ones so that every field can be reached by changing a byte.
func smallImages(t testing.TB) [][]byte {
	src := objects{
		dir(".", 0o755), regular("file", text(testRand(1), 9000)), regular("small", []byte("small")), regular("holes", make([]byte, 10000)),
		{Entry: tree.Entry{Path: "link", HardLink: "file"}}, {Entry: tree.Entry{Path: "sym", Mode: tree.TypeSymlink | 0o777, Link: "file"}},
		{Entry: tree.Entry{Path: "dev", Mode: tree.TypeChar, Major: 1, Minor: 3}}, {Entry: tree.Entry{Path: "fifo", Mode: tree.TypeFifo}},
	}
	x := dir("d/e", 0o755)
	x.Xattrs = map[string][]byte{"user.a": []byte("a value that is shared by two objects"), "trusted.b": nil}
	y := x
	y.Path = "d/f"
	y.Xattrs = map[string][]byte{"user.c": []byte("a value that is shared by two objects")}
	src = append(src, x, y, dir("d/g", 0o700))
	var all [][]byte
	for _, c := range []Compression{None, Zstd, Gzip} {
		b, _ := pack(t, src, Options{Compression: c, BlockSize: MinBlockSize})
		all = append(all, b)
	}
	return all
}

func FuzzReader(f *testing.F) {
	for _, b := range smallImages(f) {
		f.Add(b)
	}
	images, _ := filepath.Glob("testdata/*.sqfs")
	for _, name := range images {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) { readAll(b) })
}

func FuzzXZ(f *testing.F) {
	f.Add([]byte("\xfd7zXZ\x00\x00\x01\x69\x22\xde\x36\x02\x00\x21\x01\x08\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = xzDecompressor{}.decompress(make([]byte, 8192), b)
		for id := range uint64(16) {
			unbranch(id, bytes.Clone(b), 0)
		}
	})
}

// TestDamagedImages changes every byte of the tables in several ways: an error or other contents, but no panic and no endless work.
func TestDamagedImages(t *testing.T) {
	b := smallImages(t)[0]
	sb, err := parseSuperblock(b, int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	try := func(at int, value byte) {
		old := b[at]
		b[at] = value
		readAll(b)
		b[at] = old
	}
	for at := range b {
		if at < superblockSize || uint64(at) >= sb.inodeTable {
			for _, value := range []byte{0, 1, 0x7f, 0x80, 0xff, b[at] + 1, b[at] - 1} {
				try(at, value)
			}
		}
	}
	for size := range len(b) {
		if _, err := Open(bytes.NewReader(b[:size]), int64(size), ReaderOptions{}); err == nil && uint64(size) < sb.BytesUsed {
			t.Fatalf("an image cut to %d bytes was opened", size)
		}
	}
}

func TestHostileImages(t *testing.T) {
	le := binary.LittleEndian
	b := smallImages(t)[0]
	sb, err := parseSuperblock(b, int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	find := func(r *Reader, p string) int { // offset of an inode in the image
		in, err := r.Resolve(p, false)
		if err != nil {
			t.Fatal(err)
		}
		block, offset := in.Ref.split()
		return int(sb.inodeTable) + int(block) + 2 + offset
	}
	tests := []struct {
		name   string
		damage func(b []byte, r *Reader)
		want   string
	}{
		{"a directory that contains itself", func(b []byte, r *Reader) {
			copy(b[find(r, "d/g")+16:][:12], b[find(r, "d")+16:][:12]) // the listing of d
		}, "the same directory is in the image twice"},
		{"a file larger than its blocks", func(b []byte, r *Reader) {
			le.PutUint64(b[find(r, "file")+16+8:], 1<<62)
		}, "file"},
		{"a block behind the end", func(b []byte, r *Reader) { le.PutUint64(b[find(r, "file")+16:], 1<<40) }, "outside of the image"},
		{"a fragment that is not there", func(b []byte, r *Reader) { le.PutUint32(b[find(r, "small")+16+4:], 77) }, "fragment 77"},
		{"an owner that is not there", func(b []byte, r *Reader) { le.PutUint16(b[find(r, "small")+4:], 999) }, "outside of the id table"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := bytes.Clone(b)
			tt.damage(c, openBytes(t, b))
			r, err := Open(bytes.NewReader(c), int64(len(c)), ReaderOptions{})
			if err == nil {
				err = r.WriteTo(t.Context(), sinkFunc(func(e tree.Entry, body io.Reader) error { return nil }))
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	if IsSquashFS(b[:95]) || !IsSquashFS(b) || IsSquashFS([]byte(strings.Repeat("x", 100))) {
		t.Error("IsSquashFS is wrong")
	}
}
