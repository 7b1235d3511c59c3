package squashfs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"carrel/engine/tree"
)

// WriteTo gives the whole tree to a sink: first the directories and all that has no contents, in the order of a walk, then the regular
// files in the order in which their contents lie in the image, then further names of hard linked ones. Blocks are
// decompressed ahead on all processors. The sequence is the same each time.
func (r *Reader) WriteTo(ctx context.Context, sink tree.Sink) error {
	w := &treeWalk{r: r, ctx: ctx, sink: sink, dirs: make(map[Ref]bool), names: make(map[Ref]string)}
	root, err := r.Inode(r.sb.Root)
	if err != nil {
		return fmt.Errorf("read image: %w", err)
	}
	if err := w.walk(".", root); err != nil {
		return fmt.Errorf("read image: %w", err)
	}
	slices.SortStableFunc(w.files, func(a, b streamFile) int { return cmp.Compare(a.pos, b.pos) })
	if err := w.stream(); err != nil {
		return fmt.Errorf("read image: %w", err)
	}
	for _, l := range w.links {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := sink.Add(l, nil); err != nil {
			return fmt.Errorf("read image: %w", err)
		}
	}
	return nil
}

type treeWalk struct {
	r     *Reader
	ctx   context.Context
	sink  tree.Sink
	dirs  map[Ref]bool
	names map[Ref]string // first names of inodes that may have several
	files []streamFile
	links []tree.Entry
}

type streamFile struct {
	path string
	ref  Ref
	pos  int64 // where its first block, or its fragment, is
}

func (w *treeWalk) walk(p string, in *Inode) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if w.dirs[in.Ref] {
		return fmt.Errorf("%s: the same directory is in the image twice", p)
	}
	w.dirs[in.Ref] = true
	if err := w.add(p, in); err != nil {
		return err
	}
	var last string
	for d, err := range w.r.Entries(in) {
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		if d.Name == last {
			return fmt.Errorf("%s: %s is there twice", p, d.Name)
		}
		last = d.Name
		child := d.Name
		if p != "." {
			child = path.Join(p, d.Name)
		}
		in, err := w.r.Inode(d.Ref)
		if err != nil {
			return fmt.Errorf("%s: %w", child, err)
		}
		if err := w.child(child, in); err != nil {
			return err
		}
	}
	return nil
}

func (w *treeWalk) child(p string, in *Inode) error {
	if in.IsDir() {
		return w.walk(p, in)
	}
	if in.Nlink > 1 {
		if first, ok := w.names[in.Ref]; ok {
			w.links = append(w.links, tree.Entry{Path: p, HardLink: first})
			return nil
		}
		w.names[in.Ref] = p
	}
	if !in.IsRegular() {
		return w.add(p, in)
	}
	f := streamFile{path: p, ref: in.Ref, pos: in.start}
	if in.nblocks == 0 && in.fragment != noFragment {
		pos, _, err := w.r.fragmentPlace(in.fragment)
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		f.pos = pos
	}
	w.files = append(w.files, f)
	return nil
}

func (w *treeWalk) add(p string, in *Inode) error {
	e, err := w.r.Entry(p, in)
	if err != nil {
		return err
	}
	return w.sink.Add(e, nil)
}

// Entry describes an inode under a name.
func (r *Reader) Entry(p string, in *Inode) (tree.Entry, error) {
	e := tree.Entry{Path: p, Mode: in.Mode, UID: in.UID, GID: in.GID, ModTime: in.Time(), Major: in.Major, Minor: in.Minor}
	var err error
	switch {
	case in.IsRegular():
		e.Size = in.Size
	case in.IsSymlink():
		if e.Link, err = r.Target(in); err != nil {
			return e, fmt.Errorf("%s: %w", p, err)
		}
	}
	if e.Xattrs, err = r.Xattrs(in); err != nil {
		return e, fmt.Errorf("%s: %w", p, err)
	}
	return e, nil
}

// A future is a block that is being decompressed ahead.
type future struct {
	pos   int64
	size  uint32
	want  int // 0 for a fragment
	data  []byte
	err   error
	ready chan struct{}
	users atomic.Int32 // of a fragment: planned files, and the planner while it remembers it
}

// plannedFile is a file with its blocks in order; the planner runs ahead of the sink by what the channels hold.
type plannedFile struct {
	streamFile
	in     *Inode
	blocks chan *future // nil futures are holes; closed at the end
	tail   *future
	err    error // of planning
}

// streamMemory bounds the blocks decompressed ahead, in bytes.
const streamMemory = 32 << 20

// stream gives the regular files to the sink.
//
//	planner → work → decompressing goroutines
//	   └────→ planned files, each with its blocks → sink
func (w *treeWalk) stream() error {
	ctx, cancel := context.WithCancel(w.ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()

	workers := runtime.GOMAXPROCS(0)
	ahead := max(2, min(4*workers, streamMemory/int(w.r.sb.BlockSize)))
	work := make(chan *future, ahead+recentFragments)
	tokens := make(chan struct{}, ahead+recentFragments) // one for each block that is planned and not yet used up
	planned := make(chan *plannedFile, 256)
	for range workers {
		group.Go(func() {
			for f := range work {
				f.data, f.err = w.r.loadBlock(f.pos, f.size, f.want, nil)
				close(f.ready)
			}
		})
	}
	group.Go(func() {
		defer close(work)
		defer close(planned)
		w.plan(ctx, work, planned, tokens)
	})
	for p := range planned {
		if err := w.give(ctx, p, tokens); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// recentFragments is how many fragment blocks the planner remembers: files next to each other share them.
const recentFragments = 8

func (w *treeWalk) plan(ctx context.Context, work chan<- *future, planned chan<- *plannedFile, tokens chan struct{}) {
	var recent []*future
	start := func(pos int64, size uint32, want int) (*future, bool) {
		f := &future{pos: pos, size: size, want: want, ready: make(chan struct{})}
		select {
		case tokens <- struct{}{}:
		case <-ctx.Done():
			return nil, false
		}
		work <- f // has as much room as there are tokens
		return f, true
	}
	fragment := func(i uint32) (*future, error) {
		pos, size, err := w.r.fragmentPlace(i)
		if err != nil {
			return nil, err
		}
		for _, f := range recent {
			if f.pos == pos && f.size == size {
				f.users.Add(1)
				return f, nil
			}
		}
		if len(recent) == recentFragments {
			recent[0].drop(tokens)
			recent = append(recent[:0], recent[1:]...)
		}
		f, ok := start(pos, size, 0)
		if !ok {
			return nil, ctx.Err()
		}
		f.users.Store(2)
		recent = append(recent, f)
		return f, nil
	}
	for _, sf := range w.files {
		p := &plannedFile{streamFile: sf}
		if p.in, p.err = w.r.Inode(sf.ref); p.err == nil && p.in.nblocks > 0 {
			p.blocks = make(chan *future, cap(tokens)+1)
		}
		if p.err == nil && p.in.fragment != noFragment && p.in.Size > p.in.nblocks*int64(w.r.sb.BlockSize) {
			p.tail, p.err = fragment(p.in.fragment)
		}
		select {
		case planned <- p:
		case <-ctx.Done():
			return
		}
		if p.err == nil && p.blocks != nil {
			for k := range p.in.nblocks {
				pos, size, err := w.r.locate(p.in, k)
				f := &future{err: err}
				if err == nil && size == 0 {
					f = nil
				} else if err == nil {
					var ok bool
					if f, ok = start(pos, size, w.r.blockLen(p.in, k)); !ok {
						return
					}
				}
				select {
				case p.blocks <- f:
				case <-ctx.Done():
					return
				}
				if err != nil {
					break
				}
			}
			close(p.blocks)
		}
	}
}

// drop gives the token of a fragment back when nobody needs it any more.
func (f *future) drop(tokens <-chan struct{}) {
	if f.users.Add(-1) == 0 {
		<-tokens
	}
}

// give hands one file to the sink and takes what the sink left unread.
func (w *treeWalk) give(ctx context.Context, p *plannedFile, tokens chan struct{}) error {
	if p.err != nil {
		return fmt.Errorf("%s: %w", p.path, p.err)
	}
	e, err := w.r.Entry(p.path, p.in)
	if err != nil {
		return err
	}
	body := &streamBody{ctx: ctx, r: w.r, p: p, tokens: tokens, left: p.in.Size}
	if err := w.sink.Add(e, body); err != nil {
		return err
	}
	for body.err == nil {
		body.cur = nil
		body.advance()
	}
	if p.tail != nil {
		p.tail.drop(tokens)
	}
	if body.err != io.EOF {
		return body.err
	}
	return nil
}

type streamBody struct {
	ctx    context.Context
	r      *Reader
	p      *plannedFile
	tokens chan struct{}
	left   int64
	k      int64
	cur    []byte
	zero   int // bytes of a hole still to give
	err    error
}

func (b *streamBody) Read(dst []byte) (int, error) {
	if len(dst) == 0 {
		return 0, nil
	}
	for len(b.cur) == 0 && b.zero == 0 {
		if b.err != nil {
			return 0, b.err
		}
		b.advance()
	}
	n := 0
	if b.zero > 0 {
		n = min(len(dst), b.zero)
		clear(dst[:n])
		b.zero -= n
	} else {
		n = copy(dst, b.cur)
		b.cur = b.cur[n:]
	}
	return n, nil
}

// advance takes the next block, or sets err.
func (b *streamBody) advance() {
	b.zero = 0
	if b.left == 0 {
		b.err = io.EOF
		return
	}
	if err := b.next(); err != nil {
		b.err = err
		if !errors.Is(err, context.Canceled) {
			b.err = fmt.Errorf("%s: %w", b.p.path, err)
		}
	}
}

func (b *streamBody) next() error {
	want := b.r.blockLen(b.p.in, b.k)
	defer func() { b.k++; b.left -= int64(want) }()
	var f *future
	if b.k >= b.p.in.nblocks {
		f = b.p.tail
		if f == nil {
			return errors.New("file ends before its size")
		}
	} else {
		var ok bool
		select {
		case f, ok = <-b.p.blocks:
			if !ok {
				return errors.New("file ends before its size")
			}
		case <-b.ctx.Done():
			return b.ctx.Err()
		}
		if f == nil {
			b.zero = want
			return nil
		}
		if f.ready == nil {
			return f.err
		}
		defer func() { <-b.tokens }()
	}
	<-f.ready
	if f.err != nil {
		return f.err
	}
	if f.want == 0 {
		data, err := cutFragment(b.p.in, f.data, want)
		b.cur = data
		return err
	}
	if len(f.data) != want {
		return fmt.Errorf("block %d has %d bytes instead of %d", b.k, len(f.data), want)
	}
	b.cur = f.data
	return nil
}
