package squashfs

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
)

// filesImage is an image of many files, of which most share blocks, read through a cache of so many bytes.
func filesImage(t *testing.T, cache int64, opt Options) (*Reader, []*Inode, [][]byte) {
	t.Helper()
	rng := testRand(7)
	src := objects{dir(".", 0o755)}
	for i := range 60 {
		size := rng.IntN(opt.BlockSize)
		if i%10 == 0 {
			size += 5 * opt.BlockSize
		}
		data := text(rng, size)
		if i%7 == 0 {
			data = noise(rng, size)
		}
		src = append(src, regular(fmt.Sprintf("file%02d", i), data))
	}
	b, _ := pack(t, src, opt)
	r, err := Open(bytes.NewReader(b), int64(len(b)), ReaderOptions{CacheBytes: cache})
	if err != nil {
		t.Fatal(err)
	}
	var inodes []*Inode
	var contents [][]byte
	for _, o := range src[1:] {
		in, err := r.Resolve(o.Path, false)
		if err != nil {
			t.Fatal(err)
		}
		inodes, contents = append(inodes, in), append(contents, o.data)
	}
	return r, inodes, contents
}

func TestHeldBlocksKeepTheirContents(t *testing.T) {
	for _, c := range []Compression{Zstd, Gzip, None} {
		t.Run(c.String(), func(t *testing.T) {
			r, inodes, contents := filesImage(t, 1, Options{BlockSize: testBlock, Compression: c})
			type held struct {
				Block
				want []byte
			}
			var all []held
			for round := range 3 {
				for i, in := range inodes {
					for off := int64(round); off < in.Size; off += testBlock {
						b, err := r.Block(in, off)
						if err != nil {
							t.Fatal(err)
						}
						all = append(all, held{b, contents[i][off : off+int64(len(b.Data))]})
					}
				}
				for i, h := range all {
					if !bytes.Equal(h.Data, h.want) {
						t.Fatalf("round %d: block %d of %d has changed", round, i, len(all))
					}
					h.Release()
				}
				all = all[:0]
			}
			if r.data.used > r.data.max+int64(r.data.recycle) || len(r.data.free) > freeBuffers {
				t.Errorf("%d bytes and %d free buffers are kept", r.data.used, len(r.data.free))
			}
		})
	}
}

func TestManyReadersOfASmallCache(t *testing.T) {
	r, inodes, contents := filesImage(t, 4*testBlock, Options{BlockSize: testBlock})
	var group sync.WaitGroup
	for g := range uint64(8) {
		group.Go(func() {
			rng := rand.New(rand.NewPCG(1, g))
			for range 400 {
				i := rng.IntN(len(inodes))
				in := inodes[i]
				if in.Size == 0 {
					continue
				}
				off := rng.Int64N(in.Size)
				switch rng.IntN(8) {
				case 0:
					if n, ok := in.Fragment(); ok {
						if err := r.PrefetchFragment(n + 1); err != nil {
							t.Error(err)
						}
					}
					continue
				case 1:
					if err := r.Prefetch(in, off); err != nil {
						t.Error(err)
					}
					continue
				case 2:
					if g == 0 {
						r.Trim(2 * testBlock)
					}
				}
				p := make([]byte, rng.IntN(2*testBlock))
				n, err := r.ReadAt(in, p, off)
				if err != nil && err != io.EOF {
					t.Error(err)
				}
				if !bytes.Equal(p[:n], contents[i][off:off+int64(n)]) || n < len(p) && off+int64(n) != in.Size {
					t.Errorf("file %d at %d: %d bytes are wrong", i, off, n)
				}
			}
		})
	}
	group.Wait()
}

func TestTrim(t *testing.T) {
	r, inodes, contents := filesImage(t, 1<<20, Options{BlockSize: testBlock})
	read := func() {
		t.Helper()
		for i, in := range inodes {
			p := make([]byte, in.Size)
			if _, err := r.ReadAt(in, p, 0); err != nil && err != io.EOF || !bytes.Equal(p, contents[i]) {
				t.Fatalf("file %d: %v", i, err)
			}
		}
	}
	read()
	held, err := r.Block(inodes[1], 0)
	if err != nil {
		t.Fatal(err)
	}
	before := r.data.used
	r.Trim(2 * testBlock)
	if r.data.used != 0 || before == 0 || r.meta.used != 0 || r.data.free != nil {
		t.Errorf("%d bytes are kept of %d, %d of metadata, %d buffers", r.data.used, before, r.meta.used, len(r.data.free))
	}
	read()
	if r.data.used > 2*testBlock+int64(r.data.recycle) {
		t.Errorf("%d bytes are kept", r.data.used)
	}
	if !bytes.Equal(held.Data, contents[1][:len(held.Data)]) {
		t.Error("a held block has changed")
	}
	held.Release()
}

func TestPrefetchFragment(t *testing.T) {
	r, inodes, _ := filesImage(t, 1<<20, Options{BlockSize: testBlock})
	n, ok := inodes[1].Fragment()
	if !ok {
		t.Fatal("the file shares no block")
	}
	if err := r.PrefetchFragment(n); err != nil {
		t.Fatal(err)
	}
	used := r.data.used
	b, err := r.Block(inodes[1], 0)
	if err != nil {
		t.Fatal(err)
	}
	b.Release()
	if r.data.used != used || used == 0 {
		t.Errorf("%d bytes were cached, then %d", used, r.data.used)
	}
	if err := r.PrefetchFragment(r.sb.Fragments); err != nil {
		t.Errorf("behind the last: %v", err)
	}
	if root, err := r.Inode(r.Root()); err != nil {
		t.Error(err)
	} else if _, ok := root.Fragment(); ok {
		t.Error("a directory has a fragment")
	}
}

// TestHeldBlocksKeepNoOthers: a block that somebody still has when it has left the cache does not keep those that were
// beside it.
func TestHeldBlocksKeepNoOthers(t *testing.T) {
	c := newBlockCache(100)
	load := func() ([]byte, int64, error) { return make([]byte, 40), 0, nil }
	held := c.pin(0, load)
	for i := range int64(10) {
		c.release(c.pin(i+1, load))
	}
	if !held.gone || held.newer != nil || held.older != nil {
		t.Errorf("it has left: %v, and knows %v, %v", held.gone, held.newer, held.older)
	}
	c.empty(100)
	c.release(c.pin(0, load)) // once more, beside the one that is held
	if len(c.blocks) != 1 || c.newest.newer != c.newest.older || c.newest.newer != c.blocks[0] {
		t.Errorf("%d blocks", len(c.blocks))
	}
}
