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

	"carrel/internal/atomicfile"
)

const (
	defaultConcurrency = 4
	attempts           = 3
	firstBackoff       = 300 * time.Millisecond
)

func (m *Image) concurrency() int {
	if m.opts.Concurrency > 0 {
		return m.opts.Concurrency
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
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// startDownloads begins with the topmost layer, which is needed first. The caller calls stop.
func (m *Image) startDownloads(ctx context.Context) *downloads {
	d := &downloads{done: make([]chan struct{}, len(m.Layers)), errs: make([]error, len(m.Layers))}
	for i := range d.done {
		d.done[i] = make(chan struct{})
	}
	if m.store != nil { // a local image
		d.cancel = func() {}
		for i := range d.done {
			close(d.done[i])
		}
		return d
	}
	ctx, d.cancel = context.WithCancel(ctx)
	d.grow = make([]*growing, len(m.Layers))
	order := make(chan int, len(m.Layers))
	first := map[string]int{}
	for i := len(m.Layers) - 1; i >= 0; i-- {
		if _, again := first[m.Layers[i].Digest]; !again { // the same layer may occur twice
			first[m.Layers[i].Digest] = i
			d.grow[i] = newGrowing()
			order <- i
		}
		d.grow[i] = d.grow[first[m.Layers[i].Digest]]
	}
	close(order)
	for range min(m.concurrency(), len(first)) {
		d.wg.Go(func() {
			for i := range order {
				d.errs[i] = guard(func() error { return m.fetch(ctx, &m.Layers[i], d.grow[i]) })
				d.grow[i].end(d.errs[i])
				close(d.done[i])
			}
		})
	}
	for i := range m.Layers {
		if j := first[m.Layers[i].Digest]; j != i {
			d.wg.Go(func() {
				<-d.done[j] // always closed by a worker
				d.errs[i] = d.errs[j]
				close(d.done[i])
			})
		}
	}
	return d
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

// fetch brings a layer into the cache, or verifies the one there and gets it again if it is damaged.
func (m *Image) fetch(ctx context.Context, l *Layer, g *growing) error {
	path := m.cachePath(l.Digest)
	if verifyFile(ctx, path, l) == nil {
		m.tell(Event{Layer: l.Digest, Complete: l.Size, Total: l.Size, Cached: true})
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	backoff := firstBackoff
	for attempt := 1; ; attempt++ {
		err := m.download(ctx, l, path, g)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		err = classify(err)
		if attempt == attempts || errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNotFound) || errors.Is(err, ErrUnauthorized) {
			return &LayerError{Layer: l.Digest, Err: err}
		}
		if err := pause(ctx, backoff); err != nil {
			return err
		}
		backoff *= 2
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (m *Image) download(ctx context.Context, l *Layer, path string, g *growing) error {
	body, err := l.open(ctx)
	if err != nil {
		return err
	}
	defer body.Close()
	f, err := atomicfile.Create(path, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := g.begin(f.File); err != nil {
		return err
	}
	h := sha256.New()
	p := &progressReader{m: m, layer: l, r: io.LimitReader(body, l.Size+1)}
	n, err := io.CopyBuffer(io.MultiWriter(onlyWriter{f}, h, g), onlyReader{p}, make([]byte, 1<<18))
	switch {
	case err != nil && n >= l.Size && strings.Contains(err.Error(), "error verifying"): // the client library's own comparison
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	case err != nil:
		return err // a transfer that was cut, also where that library calls it a wrong size
	case n < l.Size:
		return io.ErrUnexpectedEOF
	case n > l.Size:
		return fmt.Errorf("%w: it is larger than the %d bytes the manifest says", ErrCorrupt, l.Size)
	}
	if err := compareDigest(h.Sum(nil), l.Digest); err != nil {
		return err
	}
	return f.CommitCached()
}

// onlyReader and onlyWriter hide ReadFrom and WriteTo, which would bypass the buffer.
type (
	onlyReader struct{ io.Reader }
	onlyWriter struct{ io.Writer }
)

// progressReader tells of a download not more often than every 256 KiB.
type progressReader struct {
	m     *Image
	layer *Layer
	r     io.Reader
	n     int64
	told  int64
}

func (p *progressReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.n += int64(n)
	if p.n-p.told >= 1<<18 || p.n == p.layer.Size && p.told < p.n {
		p.told = p.n
		p.m.tell(Event{Layer: p.layer.Digest, Complete: p.n, Total: p.layer.Size})
	}
	return n, err
}

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
