package squashfs

import "sync"

// blockCache keeps the blocks used last, up to a number of bytes, and lets a block be loaded once when several ask for it at
// the same time. Blocks handed out stay valid after they have left the cache; nobody may change them.
type blockCache struct {
	mu      sync.Mutex
	max     int64
	used    int64
	blocks  map[int64]*cachedBlock
	newest  cachedBlock // ring: next is the newest, prev the oldest
	pending map[int64]*cachedBlock
}

type cachedBlock struct {
	key   int64
	data  []byte
	next  int64 // where the following metadata block begins
	err   error
	ready chan struct{} // closed when loaded
	newer *cachedBlock
	older *cachedBlock
}

func newBlockCache(maxBytes int64) *blockCache {
	c := &blockCache{max: maxBytes, blocks: make(map[int64]*cachedBlock), pending: make(map[int64]*cachedBlock)}
	c.newest.newer, c.newest.older = &c.newest, &c.newest
	return c
}

func (c *blockCache) unlink(b *cachedBlock) { b.newer.older, b.older.newer = b.older, b.newer }

func (c *blockCache) front(b *cachedBlock) {
	b.newer, b.older = &c.newest, c.newest.older
	b.older.newer, c.newest.older = b, b
}

// get returns the block at key, loading it when it is not there. Errors are not kept.
func (c *blockCache) get(key int64, load func() (data []byte, next int64, err error)) ([]byte, int64, error) {
	c.mu.Lock()
	if b := c.blocks[key]; b != nil {
		if c.newest.older != b {
			c.unlink(b)
			c.front(b)
		}
		c.mu.Unlock()
		return b.data, b.next, nil
	}
	if b := c.pending[key]; b != nil {
		c.mu.Unlock()
		<-b.ready
		return b.data, b.next, b.err
	}
	b := c.begin(key)
	c.mu.Unlock()
	c.finish(b, load)
	return b.data, b.next, b.err
}

func (c *blockCache) begin(key int64) *cachedBlock {
	b := &cachedBlock{key: key, ready: make(chan struct{})}
	c.pending[key] = b
	return b
}

func (c *blockCache) finish(b *cachedBlock, load func() ([]byte, int64, error)) {
	b.data, b.next, b.err = load()
	c.mu.Lock()
	delete(c.pending, b.key)
	if b.err == nil {
		c.blocks[b.key] = b
		c.front(b)
		c.used += int64(cap(b.data))
		for c.used > c.max && c.newest.newer != b {
			oldest := c.newest.newer
			c.unlink(oldest)
			delete(c.blocks, oldest.key)
			c.used -= int64(cap(oldest.data))
		}
	}
	c.mu.Unlock()
	close(b.ready)
}

// claim returns a pending block for key, to be given to finish, or nil when the block is there or on its way.
func (c *blockCache) claim(key int64) *cachedBlock {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.blocks[key] != nil || c.pending[key] != nil {
		return nil
	}
	return c.begin(key)
}
