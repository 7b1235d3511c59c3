package squashfs

import "sync"

// blockCache keeps the blocks used last, up to a number of bytes, and lets a block be loaded once when several ask for it at
// the same time.
//
// Blocks that get handed out stay valid after they have left the cache. Those that pin handed out stay so until they are
// released, and then their buffers are used again: most of what a block costs besides its decompression is fresh memory.
type blockCache struct {
	mu      sync.Mutex
	max     int64
	used    int64
	blocks  map[int64]*cachedBlock
	newest  cachedBlock // ring: next is the newest, prev the oldest
	pending map[int64]*cachedBlock
	recycle int      // the capacity of buffers that are used again; 0: none are
	free    [][]byte // of that capacity
}

type cachedBlock struct {
	key   int64
	data  []byte
	next  int64 // where the following metadata block begins
	err   error
	ready chan struct{} // closed when loaded
	newer *cachedBlock
	older *cachedBlock
	pins  int  // how often pin has handed it out, less releases
	gone  bool // it has left the cache
}

// freeBuffers is how many buffers wait for their next use: a load takes one before it makes another block leave.
const freeBuffers = 4

func newBlockCache(maxBytes int64) *blockCache {
	c := &blockCache{max: maxBytes, blocks: make(map[int64]*cachedBlock), pending: make(map[int64]*cachedBlock)}
	c.newest.newer, c.newest.older = &c.newest, &c.newest
	return c
}

// unlink takes a block out of the ring. It forgets its neighbours: whoever still has it would keep them, and those that were
// theirs, and so on.
func (c *blockCache) unlink(b *cachedBlock) {
	b.newer.older, b.older.newer = b.older, b.newer
	b.newer, b.older = nil, nil
}

func (c *blockCache) front(b *cachedBlock) {
	b.newer, b.older = &c.newest, c.newest.older
	b.older.newer, c.newest.older = b, b
}

// get returns the block at key, loading it when it is not there. Errors are not kept. A cache with get has no buffers to recycle.
func (c *blockCache) get(key int64, load func() (data []byte, next int64, err error)) ([]byte, int64, error) {
	b := c.pin(key, load)
	return b.data, b.next, b.err
}

// pin is get for those who release the block when they no longer use its data, unless it has an error.
func (c *blockCache) pin(key int64, load func() (data []byte, next int64, err error)) *cachedBlock {
	c.mu.Lock()
	if b := c.blocks[key]; b != nil {
		b.pins++
		if c.newest.older != b {
			c.unlink(b)
			c.front(b)
		}
		c.mu.Unlock()
		return b
	}
	if b := c.pending[key]; b != nil {
		b.pins++
		c.mu.Unlock()
		<-b.ready
		return b
	}
	b := &cachedBlock{key: key, ready: make(chan struct{}), pins: 1}
	c.pending[key] = b
	c.mu.Unlock()
	b.data, b.next, b.err = load()
	c.finish(b)
	return b
}

// has tells whether a block is there or on its way.
func (c *blockCache) has(key int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.blocks[key] != nil || c.pending[key] != nil
}

func (c *blockCache) finish(b *cachedBlock) {
	c.mu.Lock()
	delete(c.pending, b.key)
	if b.err == nil {
		c.blocks[b.key] = b
		c.front(b)
		c.used += int64(cap(b.data))
		for c.used > c.max && c.newest.newer != b {
			c.drop(c.newest.newer)
		}
	}
	c.mu.Unlock()
	close(b.ready)
}

// drop makes a block leave.
func (c *blockCache) drop(b *cachedBlock) {
	c.unlink(b)
	delete(c.blocks, b.key)
	c.used -= int64(cap(b.data))
	b.gone = true
	if b.pins == 0 {
		c.reuse(b.data)
	}
}

// release ends the use of a block that pin handed out.
func (c *blockCache) release(b *cachedBlock) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b.pins--
	if b.pins == 0 && b.gone {
		c.reuse(b.data)
	}
}

// reuse takes a buffer back that nobody looks at any more.
func (c *blockCache) reuse(data []byte) {
	if c.recycle > 0 && cap(data) == c.recycle && len(c.free) < freeBuffers {
		c.free = append(c.free, data[:0])
	}
}

// giveBack is reuse for a buffer that became no block.
func (c *blockCache) giveBack(data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reuse(data)
}

// buffer returns a buffer of n bytes with some room behind it, whose contents are whatever was in it before.
func (c *blockCache) buffer(n int) []byte {
	c.mu.Lock()
	if last := len(c.free) - 1; last >= 0 && n <= c.recycle {
		b := c.free[last]
		c.free = c.free[:last]
		c.mu.Unlock()
		return b[:n]
	}
	c.mu.Unlock()
	return make([]byte, n, max(c.recycle, n))
}

// empty makes all blocks leave, and sets a new limit.
func (c *blockCache) empty(maxBytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.max = maxBytes
	for c.newest.newer != &c.newest {
		c.drop(c.newest.newer)
	}
	c.free = nil
}
