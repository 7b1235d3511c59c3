package fuse

import (
	"sync/atomic"

	"carrel/engine/squashfs"
)

// Programs start by reading a few whole files of a directory one after the other, which lie next to each other in the
// image, and libraries back and forth. So what follows a block that is read is decompressed while the reader looks at what it got:
// the rest of the read and the next block of the file, or the next of the blocks that the ends of small files share. On a
// Jupyter notebook's start this leaves one decompression in three to be waited for, at the cost of one in four for nothing.

// fragmentsAhead is how many blocks of small files are loaded ahead.
const fragmentsAhead = 2

// aheadOrders is how many orders to load may wait. More would come too late to be of use.
const aheadOrders = 8

// ahead is what the goroutines that load ahead are told.
type ahead struct {
	orders chan order
	last   atomic.Uint32 // the block of small files that was read last, and 1
}

// order names a block of a file, or without in a block that small files share.
type order struct {
	in       *squashfs.Inode
	off      int64
	fragment uint32
}

func newAhead() ahead { return ahead{orders: make(chan order, aheadOrders)} }

// prefetch carries out orders until there are no more to come.
func (s *server) prefetch() {
	for o := range s.ahead.orders {
		// Whoever asks for the block gets the error.
		if o.in != nil {
			_ = s.img.Prefetch(o.in, o.off)
		} else {
			_ = s.img.PrefetchFragment(o.fragment)
		}
	}
}

// loadAround has the blocks behind the first one of a read loaded while the worker loads that, and those which are likely
// to be read next.
func (s *server) loadAround(in *squashfs.Inode, start, end int64) {
	blockSize := int64(s.img.Superblock().BlockSize)
	fragment, tail := in.Fragment()
	off := start - start%blockSize + blockSize
	for ; off < min(end+blockSize, in.Size); off += blockSize {
		s.order(order{in: in, off: off})
	}
	if !tail || end < in.Size || s.ahead.last.Swap(fragment+1) == fragment+1 {
		return
	}
	for i := range uint32(fragmentsAhead) {
		s.order(order{fragment: fragment + 1 + i})
	}
}

// order leaves an order, unless too many wait already.
func (s *server) order(o order) {
	select {
	case s.ahead.orders <- o:
	default:
	}
}
