package squashfs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
)

// The pipeline compresses blocks on several goroutines and writes them in the order in which they were submitted. All
// that depends on order (places, duplicates) is decided by its one writing goroutine, so the result does not depend on the
// number of workers.
//
//	Add → free job ← …      work → workers (compress, key)         order → writing goroutine → free
//
// The number of jobs is fixed, which bounds the memory.
type pipeline struct {
	w         io.WriterAt
	base      int64 // offset of the image in w
	blockSize int
	free      chan *job
	work      chan *job
	order     chan *job
	workers   sync.WaitGroup
	done      chan struct{}
	failed    atomic.Pointer[error]

	// Only for the writing goroutine, and for others once done is closed.
	pos        int64 // where the next block goes, from base
	high       int64 // end of what was ever written, from base
	fragments  []fragmentEntry
	seen       map[contentKey]*fileData
	duplicates int64
	saved      int64
	digest     []byte // sizes and keys of the blocks of the current file
}

// A job is one block on its way. buf is filled by Add, the rest by a worker.
type job struct {
	buf    []byte // blockSize bytes
	n      int    // of which this many are used
	file   *fileData
	last   bool // the file's last block
	frag   bool // a fragment block; file is nil
	part   bool // no block: a part ends
	plain  bool // do not compress
	sparse bool
	out    []byte
	stored []byte // what is written: buf[:n] or out
	size   uint32 // as the block list or the fragment table has it
	sum    contentKey
	ready  chan struct{} // capacity 1
}

type fragmentEntry struct {
	start int64
	size  uint32
}

// fileData is where the contents of a regular file with blocks of its own are.
type fileData struct {
	size   int64
	start  int64
	sparse int64
	blocks []uint32 // as in the inode: stored sizes
}

// MemoryGoal is the limit, in bytes, that a program which writes images gives the collector of garbage (debug.SetMemoryLimit),
// which otherwise may keep as much again as is in use: with it a Writer of a million files takes less than 300 MB.
const MemoryGoal = 220 << 20

// Bounds of the blocks in flight and of the compressors, in bytes.
const (
	blockMemory      = 48 << 20
	compressorsLimit = 112 << 20
)

func newPipeline(w io.WriterAt, base, pos int64, blockSize, workers int, c Compression, level int) (*pipeline, error) {
	if m := compressorMemory(c, level); m > 0 {
		workers = min(workers, int(compressorsLimit/m))
	}
	jobs := min(workers*4+4, blockMemory/(2*blockSize))
	workers = max(1, min(workers, jobs-2))
	p := &pipeline{
		w: w, base: base, pos: pos, high: pos, blockSize: blockSize,
		free:  make(chan *job, jobs),
		work:  make(chan *job, jobs),
		order: make(chan *job, jobs),
		done:  make(chan struct{}),
		seen:  make(map[contentKey]*fileData),
	}
	compressors := make([]compressor, workers)
	for i := range compressors {
		var err error
		if compressors[i], err = newCompressor(c, level, blockSize); err != nil {
			return nil, err
		}
	}
	for range jobs {
		p.free <- &job{ready: make(chan struct{}, 1)}
	}
	for _, comp := range compressors {
		p.workers.Go(func() { p.compressAll(comp) })
	}
	go p.writeAll()
	return p, nil
}

// take waits for a free job, with a buffer of one block.
func (p *pipeline) take() *job {
	j := <-p.free
	if j.buf == nil {
		j.buf = make([]byte, p.blockSize)
	}
	j.n, j.file, j.last, j.frag, j.part, j.plain, j.sparse, j.size, j.stored = 0, nil, false, false, false, false, false, 0, nil
	return j
}

func (p *pipeline) submit(j *job) {
	p.order <- j
	p.work <- j
}

// err is the first failure of a worker or of writing, or nil.
func (p *pipeline) err() error {
	if e := p.failed.Load(); e != nil {
		return *e
	}
	return nil
}

func (p *pipeline) fail(err error) { p.failed.CompareAndSwap(nil, &err) }

// close waits until everything submitted is written and ends all goroutines. It may be called once.
func (p *pipeline) close() error {
	close(p.work)
	close(p.order)
	p.workers.Wait()
	<-p.done
	return p.err()
}

func (p *pipeline) compressAll(comp compressor) {
	for j := range p.work {
		if p.err() == nil {
			if err := j.compress(comp); err != nil {
				p.fail(err)
			}
		}
		j.ready <- struct{}{}
	}
}

func (j *job) compress(comp compressor) error {
	if j.part {
		return nil
	}
	data := j.buf[:j.n]
	if !j.frag && allZero(data) {
		j.sparse = true
		return nil
	}
	j.stored, j.size = data, uint32(j.n)|dataUncompressed
	if !j.plain {
		out, err := comp.compress(j.out, data)
		if err != nil {
			return fmt.Errorf("compress block: %w", err)
		}
		if out != nil {
			j.out, j.stored, j.size = out, out, uint32(len(out))
		}
	}
	// Equal contents give equal stored bytes, so the key of these, being fewer, finds duplicates as well.
	if !j.frag {
		j.sum = keys.of(j.stored)
	}
	return nil
}

var zeros [4096]byte

func allZero(b []byte) bool {
	for len(b) > len(zeros) {
		if !bytes.Equal(b[:len(zeros)], zeros[:]) {
			return false
		}
		b = b[len(zeros):]
	}
	return bytes.Equal(b, zeros[:len(b)])
}

func (p *pipeline) writeAll() {
	defer close(p.done)
	for j := range p.order {
		<-j.ready
		if p.err() == nil {
			if err := p.write(j); err != nil {
				p.fail(err)
			}
		}
		p.free <- j
	}
}

func (p *pipeline) write(j *job) error {
	if j.part {
		clear(p.seen)
		return nil
	}
	if j.frag {
		p.fragments = append(p.fragments, fragmentEntry{p.pos, j.size})
		return p.append(j.stored)
	}
	f := j.file
	if len(f.blocks) == 0 {
		f.start = p.pos
		p.digest = binary.LittleEndian.AppendUint64(p.digest[:0], uint64(f.size))
		f.blocks = make([]uint32, 0, (f.size+int64(p.blockSize)-1)/int64(p.blockSize))
	}
	f.blocks = append(f.blocks, j.size)
	p.digest = binary.LittleEndian.AppendUint32(p.digest, j.size)
	if j.sparse {
		f.sparse += int64(j.n)
	} else {
		p.digest = j.sum.append(p.digest)
		if err := p.append(j.stored); err != nil {
			return err
		}
	}
	if len(p.digest) > 64<<10 { // of a large file keep a key of keys
		p.digest = keys.of(p.digest).append(p.digest[:0])
	}
	if j.last {
		p.endFile(f)
	}
	return nil
}

// endFile looks whether the same contents were written before, and if so takes the new copy back.
func (p *pipeline) endFile(f *fileData) {
	if f.start == p.pos { // nothing but holes
		f.start = 0
		return
	}
	key := keys.of(p.digest)
	if old, ok := p.seen[key]; ok {
		p.duplicates++
		p.saved += p.pos - f.start
		p.pos = f.start
		f.start, f.blocks = old.start, old.blocks
		return
	}
	p.seen[key] = f
}

func (p *pipeline) append(b []byte) error {
	if _, err := p.w.WriteAt(b, p.base+p.pos); err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	p.pos += int64(len(b))
	p.high = max(p.high, p.pos)
	return nil
}
