package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"carrel/engine/build"
	"carrel/engine/sandbox"
	"carrel/internal/rmtree"
	"carrel/internal/scratch"
)

// The kinds of what the cache holds.
const (
	CacheBases     = "bases"     // unpacked images and bootstrapped systems that builds lie on
	CacheLayers    = "layers"    // what %post made
	CacheFailed    = "failed"    // trees of builds that failed
	CacheDownloads = "downloads" // of apt, pip, conda and others
	CacheOCI       = "oci"       // layers of registries
	CacheDebian    = "debian"    // packages and indexes of bootstraps
	CacheHot       = "hot"       // unpacked copies of images that were started lately
)

// CacheUse is what the cache holds of one kind.
type CacheUse struct {
	Kind  string      `json:"kind"`
	Size  int64       `json:"size"` // bytes on disk
	Items []CacheItem `json:"items"`
	// Limit is how many bytes of this kind are kept by themselves, of unpacked copies alone (0 elsewhere); negative: none are made.
	Limit int64 `json:"limit,omitempty"`
}

// CacheItem is one thing in the cache.
type CacheItem struct {
	Name string    `json:"name"`
	Size int64     `json:"size"`
	Used time.Time `json:"used"` // last use
}

// Pruned is what was freed.
type Pruned struct {
	Items int   `json:"items"`
	Size  int64 `json:"size"`   // bytes
	InUse int   `json:"in_use"` // items left because a build uses them
}

// Cache tells what the cache holds, by kind in a fixed order, kinds of which there is nothing included.
func (e *Engine) Cache(ctx context.Context) ([]CacheUse, error) {
	items, err := build.Items(e.c.CacheDir)
	if err != nil {
		return nil, fmt.Errorf("read cache: %w", err)
	}
	uses := make([]CacheUse, len(build.Kinds))
	at := map[string]*CacheUse{}
	for i, kind := range build.Kinds {
		uses[i] = CacheUse{Kind: kind, Items: []CacheItem{}}
		at[kind] = &uses[i]
	}
	for _, it := range items {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		u := at[it.Kind]
		u.Size += it.Size
		u.Items = append(u.Items, CacheItem{Name: it.Name, Size: it.Size, Used: it.Used})
	}
	hot := CacheUse{Kind: CacheHot, Items: []CacheItem{}, Limit: e.hotLimit()}
	for _, c := range hotCopies(e.hotDir()) {
		hot.Size += c.bytes
		hot.Items = append(hot.Items, CacheItem{Name: c.image, Size: c.bytes, Used: c.used})
	}
	return append(uses, hot), nil
}

// PruneSpec says what to free.
type PruneSpec struct {
	Kinds []string // empty: all
	// Unused spares what was used within this time; 0: nothing.
	Unused time.Duration
	// Limit is how many bytes may stay, of all kinds together; what was used least recently goes first. 0: nothing stays. It
	// excludes the others.
	Limit int64
	// DryRun frees nothing and tells what would be freed, what is in use included.
	DryRun bool
}

// Prune frees all that the cache holds of some kinds (of all, when none are named) and that nothing uses just now.
func (e *Engine) Prune(ctx context.Context, kinds ...string) (Pruned, error) {
	return e.PruneBy(ctx, PruneSpec{Kinds: kinds})
}

// PruneTo frees what was used least recently, until the cache holds no more than limit bytes.
func (e *Engine) PruneTo(ctx context.Context, limit int64) (Pruned, error) {
	return e.PruneBy(ctx, PruneSpec{Limit: max(limit, 1)})
}

// PruneBy frees what the cache holds and nothing uses just now.
func (e *Engine) PruneBy(ctx context.Context, s PruneSpec) (Pruned, error) {
	var before time.Time
	if s.Unused > 0 {
		before = e.c.Now().Add(-s.Unused)
	}
	goes, err := e.prunable(ctx, s, before)
	if err != nil || s.DryRun {
		return goes.all, err
	}
	var p Pruned
	for _, c := range goes.hot {
		freed, err := throwAway(c)
		switch {
		case err != nil:
			return p, fmt.Errorf("prune cache: %w", err)
		case freed:
			p.Items++
			p.Size += c.bytes
		default:
			p.InUse++
		}
	}
	if s.Limit == 0 { // also what was left half made
		if err := coolDown(e.hotDir(), math.MaxInt64); err != nil {
			return p, fmt.Errorf("prune cache: %w", err)
		}
	}
	order := build.PruneSpec{Cache: e.c.CacheDir, Before: before}
	order.Kinds = slices.DeleteFunc(slices.Clone(s.Kinds), func(k string) bool { return k == CacheHot })
	if len(s.Kinds) > 0 && len(order.Kinds) == 0 {
		return p, nil
	}
	if s.Limit > 0 {
		order.Limit = s.Limit
		for _, c := range hotCopies(e.hotDir()) { // which stay
			order.Limit -= c.bytes
		}
		order.Limit = max(order.Limit, 1)
	}
	q, err := e.prune(ctx, order)
	return Pruned{Items: p.Items + q.Items, Size: p.Size + q.Size, InUse: p.InUse + q.InUse}, err
}

// prunable is what PruneBy would free if nothing were in use: the copies, and the sum of all.
func (e *Engine) prunable(ctx context.Context, s PruneSpec, before time.Time) (goes struct {
	hot []hotCopy
	all Pruned
}, err error) {
	items, err := build.Items(e.c.CacheDir)
	if err != nil {
		return goes, fmt.Errorf("read cache: %w", err)
	}
	type thing struct {
		kind string
		size int64
		used time.Time
		hot  *hotCopy
	}
	var all []thing
	var total int64
	for _, it := range items {
		all = append(all, thing{kind: it.Kind, size: it.Size, used: it.Used})
		total += it.Size
	}
	for _, c := range hotCopies(e.hotDir()) {
		all = append(all, thing{kind: CacheHot, size: c.bytes, used: c.used, hot: &c})
		total += c.bytes
	}
	slices.SortStableFunc(all, func(a, b thing) int { return a.used.Compare(b.used) })
	for _, t := range all {
		switch {
		case ctx.Err() != nil:
			return goes, ctx.Err()
		case s.Limit > 0 && total <= s.Limit:
			return goes, nil
		case len(s.Kinds) > 0 && !slices.Contains(s.Kinds, t.kind), !before.IsZero() && !t.used.Before(before):
			continue
		}
		total -= t.size
		goes.all.Items++
		goes.all.Size += t.size
		if t.hot != nil {
			goes.hot = append(goes.hot, *t.hot)
		}
	}
	return goes, nil
}

// pruneAnswer is what the worker writes.
type pruneAnswer struct {
	Pruned build.Pruned `json:"pruned"`
	Error  string       `json:"error,omitempty"`
}

// prune works in a worker: files in the cache may belong to subordinate ids.
func (e *Engine) prune(ctx context.Context, s build.PruneSpec) (Pruned, error) {
	order, err := json.Marshal(s)
	if err != nil {
		return Pruned{}, err
	}
	ids, _ := e.buildIDs()
	out, err := work(ctx, ids, workPrune, order)
	if err != nil {
		return Pruned{}, fmt.Errorf("prune cache: %w", err)
	}
	var a pruneAnswer
	if err := json.Unmarshal(out, &a); err != nil {
		return Pruned{}, fmt.Errorf("prune cache: %w", err)
	}
	p := Pruned{Items: a.Pruned.Items, Size: a.Pruned.Size, InUse: a.Pruned.InUse}
	if a.Error != "" {
		return p, errors.New("prune cache: " + a.Error)
	}
	return p, nil
}

// removeAsRoot removes a folder whose files may belong to subordinate ids, as sandboxes that users build.
func (e *Engine) removeAsRoot(ctx context.Context, path string) error {
	ids, _ := e.buildIDs()
	order, err := json.Marshal(path)
	if err != nil {
		return err
	}
	out, err := work(ctx, ids, workRemove, order)
	if err == nil && len(out) > 0 {
		err = errors.New(strings.TrimSpace(string(out)))
	}
	return err
}

// removeWorker is the worker's side: it writes what went wrong.
func removeWorker(in io.Reader, out io.Writer) int {
	var path string
	err := json.NewDecoder(in).Decode(&path)
	if err == nil {
		err = rmtree.Remove(path)
	}
	if err != nil {
		if _, werr := io.WriteString(out, err.Error()); werr != nil {
			return 255
		}
	}
	return 0
}

// work gives a worker its order and returns what it wrote.
func work(ctx context.Context, ids sandbox.IDMap, what string, order []byte) ([]byte, error) {
	var files [6]*os.File
	defer func() {
		for _, f := range files {
			if f != nil {
				f.Close()
			}
		}
	}()
	for i := 0; i < len(files); i += 2 {
		var err error
		if files[i], files[i+1], err = os.Pipe(); err != nil {
			return nil, err
		}
	}
	inR, inW, outR, outW, errR, errW := files[0], files[1], files[2], files[3], files[4], files[5]
	w, err := sandbox.StartWorker(ctx, ids, []string{what}, inR, outW, errW)
	if err != nil {
		return nil, err
	}
	inR.Close()
	outW.Close()
	errW.Close()
	if _, err := inW.Write(order); err != nil && !errors.Is(err, os.ErrClosed) {
		order = nil // a worker that died says so by its status
	}
	inW.Close()
	out, err := io.ReadAll(outR)
	if err != nil {
		return nil, err
	}
	trouble, err := io.ReadAll(io.LimitReader(errR, 64<<10))
	if err != nil {
		return nil, err
	}
	status, err := w.Wait()
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, err
	case status != 0:
		return nil, fmt.Errorf("worker: exit status %d: %s", status, strings.TrimSpace(string(bytes.ToValidUTF8(trouble, nil))))
	}
	return out, nil
}

// pruneWorker is the worker's side.
func pruneWorker(ctx context.Context, in io.Reader, out io.Writer) int {
	var s build.PruneSpec
	var a pruneAnswer
	err := json.NewDecoder(in).Decode(&s)
	if err == nil {
		scratch.Sweep(filepath.Join(s.Cache, "work"), "") // of work that was killed
		a.Pruned, err = build.Prune(ctx, s)
	}
	if err != nil {
		a.Error = err.Error()
	}
	if json.NewEncoder(out).Encode(a) != nil {
		return 255
	}
	return 0
}
