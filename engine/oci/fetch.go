package oci

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"carrel/internal/download"
)

const defaultConcurrency = 4

func (o *Options) concurrency() int {
	if o.Concurrency > 0 {
		return o.Concurrency
	}
	return defaultConcurrency
}

// Fetch downloads the layers that are not in the cache yet, so that WriteTo needs no network. Layers of local images
// are read where they are.
func (m *Image) Fetch(ctx context.Context) error {
	d := m.startDownloads(ctx)
	defer d.stop()
	for i := range m.Layers {
		if err := d.wait(ctx, i); err != nil {
			return &Error{"pull", m.Ref, classify(err)}
		}
	}
	return nil
}

// downloads is the parallel fetching of an image's layers.
type downloads struct {
	done   []chan struct{} // closed when layer i is there and verified, or failed
	grow   []*growing      // layer i on its way; nil for local images
	errs   []error
	begin  func(i int) // begins the download of layer i, unless it was; nil: all begin by themselves
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// startDownloads begins with the topmost layer, which is needed first. The caller calls stop.
func (m *Image) startDownloads(ctx context.Context) *downloads {
	d, first := m.newDownloads()
	if d.grow == nil {
		return d
	}
	ctx, d.cancel = context.WithCancel(ctx)
	order := make(chan int, len(m.Layers))
	for i := len(m.Layers) - 1; i >= 0; i-- {
		if first[m.Layers[i].Digest] == i {
			order <- i
		}
	}
	close(order)
	for range min(m.opts.concurrency(), len(first)) {
		d.wg.Go(func() {
			for i := range order {
				m.download(ctx, d, i)
			}
		})
	}
	m.repeated(ctx, d, first)
	return d
}

// downloadsOneByOne begins none before somebody asks for it. The caller calls stop.
func (m *Image) downloadsOneByOne(ctx context.Context) *downloads {
	d, first := m.newDownloads()
	if d.grow == nil {
		return d
	}
	ctx, d.cancel = context.WithCancel(ctx)
	begun := map[int]bool{}
	d.begin = func(i int) {
		if i = first[m.Layers[i].Digest]; !begun[i] {
			begun[i] = true
			d.wg.Go(func() { m.download(ctx, d, i) })
		}
	}
	m.repeated(ctx, d, first)
	return d
}

// newDownloads also tells the first layer to be read of each digest. A local image needs none.
func (m *Image) newDownloads() (d *downloads, first map[string]int) {
	d = &downloads{done: make([]chan struct{}, len(m.Layers)), errs: make([]error, len(m.Layers))}
	for i := range d.done {
		d.done[i] = make(chan struct{})
	}
	if m.store != nil { // a local image
		d.cancel = func() {}
		for i := range d.done {
			close(d.done[i])
		}
		return d, nil
	}
	d.grow = make([]*growing, len(m.Layers))
	first = map[string]int{}
	for i := len(m.Layers) - 1; i >= 0; i-- {
		if _, again := first[m.Layers[i].Digest]; !again { // the same layer may occur twice
			first[m.Layers[i].Digest] = i
			d.grow[i] = newGrowing()
		}
		d.grow[i] = d.grow[first[m.Layers[i].Digest]]
	}
	return d, first
}

func (m *Image) download(ctx context.Context, d *downloads, i int) {
	d.errs[i] = guard(func() error { return m.fetch(ctx, &m.Layers[i], d.grow[i]) })
	d.grow[i].end(d.errs[i])
	close(d.done[i])
}

// repeated ends the waiting for layers that occur further up as well.
func (m *Image) repeated(ctx context.Context, d *downloads, first map[string]int) {
	for i := range m.Layers {
		j := first[m.Layers[i].Digest]
		if j == i {
			continue
		}
		d.wg.Go(func() {
			defer close(d.done[i])
			select {
			case <-d.done[j]:
				d.errs[i] = d.errs[j]
			case <-ctx.Done(): // perhaps nobody asked for it
				d.errs[i] = context.Cause(ctx)
			}
		})
	}
}

func (d *downloads) wait(ctx context.Context, i int) error {
	select {
	case <-d.done[i]:
		return d.errs[i]
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// begun waits until layer i can be read. It is nil when the layer is there, else it is on its way.
func (d *downloads) begun(ctx context.Context, i int) (*growing, error) {
	if d.grow == nil {
		return nil, d.wait(ctx, i)
	}
	if d.begin != nil {
		d.begin(i)
	}
	select {
	case <-d.done[i]: // preferred when both are
		return nil, d.errs[i]
	default:
	}
	select {
	case <-d.done[i]:
		return nil, d.errs[i]
	case <-d.grow[i].started:
		return d.grow[i], nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// stop ends what is still going on and waits for it. Nobody reads a growing layer any more.
func (d *downloads) stop() {
	d.cancel()
	d.wg.Wait()
	for _, g := range d.grow {
		g.close()
	}
}

// guard turns a panic into an error, so that a defect in a decoder ends the work and not the program.
func guard(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", ErrCorrupt, r)
		}
	}()
	return f()
}

func (m *Image) cachePath(digest string) string {
	return filepath.Join(m.opts.CacheDir, "blobs", strings.ReplaceAll(digest, ":", string(filepath.Separator)))
}

// fetch brings a layer into the cache, or verifies the one there and gets it again if it is damaged. What has come of a
// layer stays when the transfer breaks off, and the next one goes on from there.
func (m *Image) fetch(ctx context.Context, l *Layer, g *growing) error {
	path := m.cachePath(l.Digest)
	if verifyFile(ctx, path, l) == nil {
		now := time.Now()
		_ = os.Chtimes(path, now, now) // what is used last is pruned last
		m.tell(Event{Layer: l.Digest, Complete: l.Size, Total: l.Size, Cached: true})
		return nil
	}
	if m.connection == nil {
		return &LayerError{Layer: l.Digest, Err: m.unreached}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	p, err := download.Begin(path)
	if err != nil {
		return err
	}
	defer p.Close()
	told := int64(0)
	_, err = download.File(ctx, download.Source{
		Client: m.connection.client, URL: m.connection.blob(l.Digest), Size: l.Size, Digest: strings.TrimPrefix(l.Digest, "sha256:"),
	}, p.File, p.Have, m.opts.Net, download.Watcher{
		Begin: func() error { return g.begin(p.File) },
		Wrote: func(b []byte) { _, _ = g.Write(b) },
		Progress: func(done, _ int64) {
			if done-told >= 1<<18 || done < told || done == l.Size {
				told = done
				m.tell(Event{Layer: l.Digest, Complete: done, Total: l.Size})
			}
		},
	})
	switch {
	case err == nil:
		return p.Commit()
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	if err = classify(err); errors.Is(err, ErrCorrupt) {
		p.Discard()
	}
	return &LayerError{Layer: l.Digest, Err: err}
}

// onlyReader and onlyWriter hide ReadFrom and WriteTo, which would bypass the buffer.
type (
	onlyReader struct{ io.Reader }
	onlyWriter struct{ io.Writer }
)

func (m *Image) tell(e Event) {
	if m.opts.Progress == nil {
		return
	}
	m.events.Lock()
	defer m.events.Unlock()
	m.opts.Progress(e)
}

// verifyFile reads a cached layer and compares it with its digest.
func verifyFile(ctx context.Context, path string, l *Layer) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() != l.Size {
		return fmt.Errorf("%w: cached layer has another size", ErrCorrupt)
	}
	h := sha256.New()
	if _, err := io.CopyBuffer(onlyWriter{h}, &contextReader{ctx, f}, make([]byte, 1<<18)); err != nil {
		return err
	}
	return compareDigest(h.Sum(nil), l.Digest)
}

func compareDigest(sum []byte, want string) error {
	if got := "sha256:" + hex.EncodeToString(sum); got != want {
		return fmt.Errorf("%w: digest is %s, not %s", ErrCorrupt, got, want)
	}
	return nil
}
