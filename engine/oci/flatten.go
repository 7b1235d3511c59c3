package oci

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"carrel/engine/tree"
)

var _ tree.Source = (*Image)(nil)

// WriteTo produces the image's flattened root file system. Layers that are not in the cache are downloaded meanwhile.
// Entries come layer by layer from the topmost down, so that a directory may follow its children. Everything has been
// verified when it returns without an error; what the sink has got before an error is to be thrown away.
func (m *Image) WriteTo(ctx context.Context, sink tree.Sink) error {
	return m.writeTo(ctx, sink, m.startDownloads, nil)
}

// WriteUntil is WriteTo for somebody who looks for something: it ends without an error after a layer, which is then verified,
// at whose end done tells that it has been found. Layers are downloaded one by one, when they are needed. What is seen at a
// path does not depend on layers below the one that has it.
func (m *Image) WriteUntil(ctx context.Context, sink tree.Sink, done func() bool) error {
	return m.writeTo(ctx, sink, m.downloadsOneByOne, done)
}

func (m *Image) writeTo(ctx context.Context, sink tree.Sink, begin func(context.Context) *downloads, done func() bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	d := begin(ctx)
	defer d.stop()
	f := newFlattener(ctx, m, d, sink)
	for n := range m.Layers {
		if err := f.layer(n); err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return &Error{"unpack", m.Ref, classify(err)}
		}
		if done != nil && done() {
			return nil
		}
	}
	if err := f.unresolved(); err != nil {
		return &Error{"unpack", m.Ref, err}
	}
	return nil
}

// record is what the layers read so far, the upper ones, say about a path. Layers are numbered in the order in which
// they are read: 0 is the topmost.
type record struct {
	kind  kind
	order uint16 // of the layer that says it
	// cut is the layer that hides everything at and below the path in layers of higher order; noCut for none.
	cut uint16
}

const noCut = 1<<16 - 1

// flattener holds the state of WriteTo.
type flattener struct {
	ctx    context.Context
	image  *Image
	loads  *downloads
	sink   tree.Sink
	budget *budget

	seen map[pathKey]record
	hash pathHasher
	// below is known once lower layers were scanned for the folders and links they have, see scanBelow.
	below *below
	// pending are hard links whose target was not in their own layer, by the target's path.
	pending map[string][]pendingLink

	n       int // the layer being read
	stream  *stream
	ordinal int64
	links   map[string]string // targets of this layer's symbolic links
	// hidden are the ordinals of this layer's files that upper layers hide, rescue the names by which such a file is
	// seen nevertheless, through hard links.
	hidden map[pathKey]int64
	rescue map[int64][]pendingLink
	// alias has the targets of this layer's hard links, dirs its folders that upper layers also have.
	alias map[pathKey]string
	dirs  map[pathKey]bool
	// implied are the folders that the entry at hand was the first to imply.
	implied []string
	// parent is the last entry's folder and what it resolved to.
	parent struct {
		raw, resolved string
		hidden        bool
		valid         bool
	}
}

// pendingLink is a hard link whose target has not been produced.
type pendingLink struct {
	at    string // its path
	order int    // its layer
	entry string // its name as the layer has it
}

func newFlattener(ctx context.Context, m *Image, d *downloads, sink tree.Sink) *flattener {
	return &flattener{
		ctx: ctx, image: m, loads: d, sink: sink, budget: newBudget(m.opts.Limits, m.stored()),
		seen: map[pathKey]record{}, hash: newPathHasher(), pending: map[string][]pendingLink{},
	}
}

// stored is the size of all layers as they are stored, in bytes.
func (m *Image) stored() int64 {
	var sum int64
	for _, l := range m.Layers {
		sum += l.Size
	}
	return sum
}

// index of the n-th layer read, in the image's list.
func (f *flattener) index(n int) int { return len(f.image.Layers) - 1 - n }

func (f *flattener) lowest() bool { return f.n == len(f.image.Layers)-1 }

// open opens the n-th layer as soon as there is something to read of it.
func (f *flattener) open(n int) (*stream, error) {
	i := f.index(n)
	g, err := f.loads.begun(f.ctx, i)
	if err != nil {
		return nil, err
	}
	return f.image.openLayer(f.ctx, i, f.budget, g)
}

// layer reads layer n and produces what is seen of it.
func (f *flattener) layer(n int) error {
	f.n, f.ordinal = n, 0
	f.links, f.hidden, f.rescue = map[string]string{}, map[pathKey]int64{}, map[int64][]pendingLink{}
	f.alias, f.dirs = map[pathKey]string{}, map[pathKey]bool{}
	f.parent.valid = false
	err := f.each(n, func(h *tar.Header, name entryName) error {
		defer func() { f.ordinal++ }()
		return f.entry(h, name)
	})
	if err != nil || len(f.rescue) == 0 {
		return err
	}
	return f.secondReading(n)
}

// each reads the n-th layer to its end, verifies it, and calls do for each entry that is not skipped.
func (f *flattener) each(n int, do func(*tar.Header, entryName) error) error {
	s, err := f.open(n)
	if err != nil {
		return err
	}
	defer s.Close()
	f.stream = s
	for {
		h, err := s.next(f.budget)
		if err == io.EOF {
			if err := s.finish(); err != nil {
				return err
			}
			return f.loads.wait(f.ctx, f.index(n)) // the download's verdict about the compressed bytes
		}
		if err != nil {
			return err
		}
		name, err := classifyEntry(h)
		if err != nil {
			return s.fail(h.Name, err)
		}
		if name.kind == kindSkip {
			continue
		}
		if err := do(h, name); err != nil {
			if s.ahead.failed() != nil || errors.Is(err, io.ErrUnexpectedEOF) {
				return s.damage(h.Name, err)
			}
			return s.fail(h.Name, err)
		}
	}
}

func (f *flattener) entry(h *tar.Header, name entryName) error {
	f.implied = f.implied[:0]
	at, hidden, err := f.locate(name)
	if err != nil {
		return err
	}
	key := f.hash.of(at)
	r, known := f.seen[key]
	if !known {
		r = record{cut: noCut}
	}
	if name.kind == kindWhiteout || name.kind == kindOpaque {
		if !hidden {
			f.remove(key, r, known, name.kind)
		}
		f.parent.valid = false
		return nil
	}
	if name.kind != kindFile {
		f.parent.valid = false
	}
	if name.kind == kindSymlink {
		f.links[at] = h.Linkname
	}
	// Of a directory that is only implied the attributes are still to come.
	upper := known && int(r.order) < f.n && (r.kind != kindImplied || name.kind != kindDir)
	if hidden || upper {
		if !hidden && name.kind != kindDir && int(r.cut) > f.n {
			// A directory above, something else here: what lower layers have in their directory stays hidden.
			r.cut = uint16(f.n)
			f.seen[key] = r
		}
		if err := f.addImplied(); err != nil {
			return err
		}
		return f.hide(h, name.kind, at)
	}
	if name.kind == kindHardLink {
		target, err := f.linkTarget(h)
		if err != nil {
			return err
		}
		if target == at && known && r.kind == kindFile {
			return nil // tar writes a file that is given twice as a link to itself
		}
		f.seen[key] = record{kindFile, uint16(f.n), uint16(f.n)}
		f.alias[key] = target // what links to this one finds its content in the same way
		return f.link(target, append([]pendingLink{{at, f.n, h.Name}}, f.takePending(at)...))
	}
	r.kind, r.order = name.kind, uint16(f.n)
	if name.kind != kindDir {
		r.cut = uint16(f.n)
	}
	f.seen[key] = r
	delete(f.alias, key)
	return f.emit(h, at)
}

// remove takes note of a whiteout or an opaque mark: it hides what lower layers have, and nothing of its own layer.
func (f *flattener) remove(key pathKey, r record, known bool, k kind) {
	if !known {
		r.order = uint16(f.n)
		if k == kindWhiteout {
			r.kind = kindWhiteout
		}
	}
	r.cut = min(r.cut, uint16(f.n))
	f.seen[key] = r
}

// addImplied produces the folders that an entry implies which itself is not seen.
func (f *flattener) addImplied() error {
	for _, dir := range f.implied {
		if f.hiddenAt(dir) {
			continue
		}
		if err := f.sink.Add(tree.Entry{Path: dir, Mode: tree.TypeDir | 0o755}, nil); err != nil {
			return err
		}
	}
	return nil
}

// hide takes note of an entry that is not seen under its own name.
func (f *flattener) hide(h *tar.Header, k kind, at string) error {
	switch k {
	case kindDir:
		f.dirs[f.hash.of(at)] = true
		return nil
	case kindHardLink:
		target, err := f.linkTarget(h)
		if err != nil || target == at {
			return err
		}
		f.alias[f.hash.of(at)] = target
		return f.link(target, f.takePending(at))
	}
	f.hidden[f.hash.of(at)] = f.ordinal
	return f.emitAs(h, f.takePending(at))
}

// linkTarget is the path of a hard link's target, which is never itself a hard link of the same layer.
func (f *flattener) linkTarget(h *tar.Header) (string, error) {
	dir, base := path.Split(path.Clean(strings.Trim(h.Linkname, "/")))
	resolved, err := f.resolveAll(path.Clean(dir), false)
	if err != nil {
		return "", err
	}
	target := path.Join(resolved, base)
	if alias, ok := f.alias[f.hash.of(target)]; ok {
		return alias, nil
	}
	return target, nil
}

// link produces hard links to a target, or arranges for the content of one that is not seen, or not yet.
func (f *flattener) link(target string, links []pendingLink) error {
	if len(links) == 0 {
		return nil
	}
	key := f.hash.of(target)
	if ordinal, ok := f.hidden[key]; ok {
		f.rescue[ordinal] = append(f.rescue[ordinal], links...)
		return nil
	}
	r, known := f.seen[key]
	if !known || int(r.order) != f.n || r.kind == kindWhiteout || r.kind == kindImplied || target == links[0].at {
		f.pending[target] = append(f.pending[target], links...)
		return nil
	}
	if r.kind == kindDir {
		return fmt.Errorf("%w: hard link to the directory %q", ErrCorrupt, target)
	}
	for _, l := range links {
		if err := f.sink.Add(tree.Entry{Path: l.at, HardLink: target}, nil); err != nil {
			return err
		}
	}
	return nil
}

// takePending returns and forgets the links of upper layers that wait for a path.
func (f *flattener) takePending(at string) []pendingLink {
	links := f.pending[at]
	if links != nil {
		delete(f.pending, at)
	}
	return links
}

// emit produces an entry that is not a hard link, and the links of upper layers that wait for it.
func (f *flattener) emit(h *tar.Header, at string) error {
	e, err := newEntry(h, at)
	if err != nil {
		return err
	}
	var body io.Reader
	if e.IsRegular() {
		body = f.stream.tar
	}
	if err := f.sink.Add(e, body); err != nil {
		return err
	}
	if e.IsDir() {
		return nil
	}
	for _, l := range f.takePending(at) {
		if err := f.sink.Add(tree.Entry{Path: l.at, HardLink: at}, nil); err != nil {
			return err
		}
	}
	return nil
}

// emitAs produces a file that is hidden under its own name: under the first link's, with links to it for the others.
func (f *flattener) emitAs(h *tar.Header, links []pendingLink) error {
	if len(links) == 0 {
		return nil
	}
	if err := f.emit(h, links[0].at); err != nil {
		return err
	}
	for _, l := range links[1:] {
		if err := f.sink.Add(tree.Entry{Path: l.at, HardLink: links[0].at}, nil); err != nil {
			return err
		}
	}
	return nil
}

// secondReading produces the hidden files of layer n that hard links make visible.
func (f *flattener) secondReading(n int) error {
	f.budget = newBudget(f.image.opts.Limits, f.image.stored())
	ordinal := int64(0)
	return f.each(n, func(h *tar.Header, _ entryName) error {
		links := f.rescue[ordinal]
		ordinal++
		return f.emitAs(h, links)
	})
}

// unresolved is the error for hard links whose target was in no layer.
func (f *flattener) unresolved() error {
	for target, links := range f.pending {
		l := links[0]
		layer := &f.image.Layers[f.index(l.order)]
		return &LayerError{layer.name(), l.entry, fmt.Errorf("%w: hard link to %q, which is nowhere", ErrCorrupt, target)}
	}
	return nil
}
