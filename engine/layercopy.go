package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"carrel/engine/image"
	"carrel/engine/launch"
	"carrel/engine/squashfs"
	"carrel/engine/tree"
	"carrel/internal/scratch"
)

// A file system that can be read but not mounted, such as ext3 by an ordinary user, is served as a SquashFS with the same
// tree. That copy is made once for a state of the file and kept in the cache beside the copies of hot images, within their
// limit:
//
//	CACHE/hot/KEY-OFFSET/layer.squashfs
//	CACHE/hot/KEY-OFFSET/used    as of hot images

// layerCopyLevel is the level of zstd: the copy is read as often as it is written.
const layerCopyLevel = 1

// copied makes what a source gives mountable, by a copy of it. path and part say what it is the copy of.
func (e *Engine) copied(p *prepared, o *launch.Options, path string, part image.Partition, source tree.Source) (launch.Layer, error) {
	f, err := e.layerCopy(p, path, part, source)
	if err != nil {
		return launch.Layer{}, fmt.Errorf("read %s: %w", path, err)
	}
	p.closers = append(p.closers, func() { f.Close() })
	st, err := f.Stat()
	if err != nil {
		return launch.Layer{}, err
	}
	// By its descriptor, because a copy that is not kept has no name.
	name := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	return e.squashLayer(p, o, name, f, image.Partition{Size: st.Size(), FS: "squashfs"}, false)
}

// layerCopy opens the copy, making it where there is none.
func (e *Engine) layerCopy(p *prepared, path string, part image.Partition, source tree.Source) (*os.File, error) {
	key, err := hotKey(path)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(e.hotDir(), fmt.Sprintf("%s-%d", key, part.Offset))
	if e.hotLimit() >= 0 {
		if f, err := e.useLayerCopy(p, dir); err == nil {
			return f, nil
		}
	}
	if err := os.MkdirAll(e.hotDir(), 0o700); err != nil {
		return nil, err
	}
	part2, release, err := scratch.Folder(e.hotDir(), hotPart)
	if err != nil {
		return nil, err
	}
	defer release() // nothing, when it got its name
	f, err := os.OpenFile(filepath.Join(part2, "layer.squashfs"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	size, err := writeLayerCopy(context.Background(), f, source)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if e.hotLimit() < size {
		return f, nil // without a name, it is gone with the container
	}
	if err := coolDown(e.hotDir(), e.hotLimit()-size); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := os.WriteFile(filepath.Join(part2, "used"), fmt.Appendf(nil, "%d %s\n", size, path), 0o600); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := os.Rename(part2, dir); err != nil && !exists(dir) { // another start may have been quicker
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// useLayerCopy opens a copy that is there, and holds it until the container has ended.
func (e *Engine) useLayerCopy(p *prepared, dir string) (*os.File, error) {
	used, err := os.Open(filepath.Join(dir, "used"))
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(used.Fd()), unix.LOCK_SH|unix.LOCK_NB); err != nil {
		return nil, errors.Join(err, used.Close())
	}
	now := e.c.Now()
	err = os.Chtimes(used.Name(), now, now)
	f, oerr := os.Open(filepath.Join(dir, "layer.squashfs"))
	if err := errors.Join(err, oerr); err != nil {
		if f != nil {
			f.Close()
		}
		return nil, errors.Join(err, used.Close())
	}
	p.closers = append(p.closers, func() { used.Close() })
	return f, nil
}

func writeLayerCopy(ctx context.Context, f *os.File, source tree.Source) (int64, error) {
	defer packing()()
	w, err := squashfs.NewWriter(f, squashfs.Options{Compression: squashfs.Zstd, Level: layerCopyLevel})
	if err != nil {
		return 0, err
	}
	if err := source.WriteTo(ctx, w); err != nil {
		w.Abort()
		return 0, err
	}
	stats, err := w.Close()
	return stats.PaddedSize, err
}
