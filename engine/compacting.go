package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"carrel/engine/image"
	"carrel/engine/sif"
	"carrel/engine/squashfs"
)

// Compacted is what Compact did.
type Compacted struct {
	Size, Before int64 // bytes of the image
	Layers       int   // that were merged; 0: nothing was done
	Signatures   int   // that were left out, since they fit no longer
}

// Compact merges the layers that runs with Writable added to an image into one. What else the image holds stays, but for
// signatures. The image is replaced in one step; where its name is a link, what the link leads to.
func (e *Engine) Compact(ctx context.Context, name string) (Compacted, error) {
	t, err := e.Resolve(ctx, name)
	if err != nil {
		return Compacted{}, err
	}
	path, err := filepath.EvalSymlinks(t.Path)
	if err != nil {
		return Compacted{}, fmt.Errorf("compact %s: %w", t.Path, err)
	}
	u, err := sif.OpenForUpdate(path)
	switch {
	case errors.Is(err, sif.ErrLocked):
		return Compacted{}, &BusyError{Image: t.Path, By: e.holderOf(t.Path), Err: err}
	case errors.Is(err, os.ErrPermission):
		return Compacted{}, &ReadOnlyImageError{Image: t.Path, Err: err}
	case err != nil:
		return Compacted{}, err
	}
	defer u.Close()
	img, err := image.Open(path)
	if err != nil {
		return Compacted{}, err
	}
	defer img.Close()
	done := Compacted{Size: img.Size, Before: img.Size, Layers: len(img.Overlays())}
	if done.Layers == 0 {
		return done, nil
	}
	m, err := img.Metadata()
	if err != nil {
		return Compacted{}, err
	}
	meta, err := m.JSON()
	if err != nil {
		return Compacted{}, err
	}
	dropped, err := u.Image().Rewrite(ctx, path, sif.Rewrite{
		Metadata: meta, Time: e.c.Now(),
		System: func(w sif.Target, offset int64) (int64, error) {
			defer packing()()
			sw, err := squashfs.NewWriter(w, squashfs.Options{Offset: offset})
			if err != nil {
				return 0, err
			}
			if err := img.WriteTo(ctx, sw); err != nil {
				sw.Abort()
				return 0, err
			}
			stats, err := sw.Close()
			return stats.PaddedSize, err
		},
	})
	if err != nil {
		return Compacted{}, err
	}
	st, err := os.Stat(path)
	if err != nil {
		return Compacted{}, err
	}
	done.Size, done.Signatures = st.Size(), len(dropped)
	return done, nil
}
