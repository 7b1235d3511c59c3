package build

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"carrel/engine/progress"
	"carrel/engine/sif"
	"carrel/engine/squashfs"
	"carrel/engine/tree"
)

// aboutFolder is where an image says of itself what it is. It is packed as a part of its own, so that when only that
// changes, all else is taken over from the image at the target as it is stored there.
const aboutFolder = ".singularity.d"

// treeKey names all inputs of an image's tree but for what is in aboutFolder, and how it is packed; empty where that is
// not known. Apps say of themselves what they are in their own folders.
func (b *builder) treeKey(s *stage) string {
	if b.opaque || len(s.fixed) == 0 || len(s.def.Apps) > 0 {
		return ""
	}
	texts := append([]string{
		buildFormat, b.spec.Version, b.idKind(), b.spec.Compression, fmt.Sprint(b.spec.Level, b.spec.Reproducible),
	}, s.fixed...)
	if b.spec.Reproducible {
		texts = append(texts, b.spec.Time.UTC().String())
	}
	return digest(texts...)
}

// partition writes the image's file system and returns its size in bytes.
func (b *builder) partition(ctx context.Context, s *stage, src tree.Source, w sif.Target, opts squashfs.Options) (int64, error) {
	if old := b.previous(s); old != nil {
		defer old.Close()
		size, err := b.renew(ctx, s, old, w, opts)
		if err == nil || ctx.Err() != nil {
			return size, err
		}
		// It is damaged, or of another form: all is packed, over what has been written.
		b.sink.Line(progress.StepPack, "everything is packed anew, for the image that is there cannot be taken over: "+err.Error())
	}
	sw, err := squashfs.NewWriter(w, opts)
	if err != nil {
		return 0, err
	}
	if err := src.WriteTo(ctx, &counter{Sink: sw, b: b, total: s.size()}); err != nil {
		sw.Abort()
		return 0, err
	}
	stats, err := sw.Close()
	b.lostXattrs(progress.StepPack, stats.SkippedXattrs, stats.SkippedXattr)
	return stats.PaddedSize, err
}

// previous is the image at the target when its tree is the one to pack, but for what it says of itself; else nil.
func (b *builder) previous(s *stage) *sif.Image {
	key := b.treeKey(s)
	if key == "" || b.spec.NoCache {
		return nil
	}
	m, err := sif.Open(b.spec.Target)
	if err != nil {
		return nil
	}
	if p, err := ReadProvenance(m); err != nil || p.Tree != key {
		m.Close()
		return nil
	}
	return m
}

// renew packs with the stored contents of an image that differs only in what it says of itself. That this image is
// undamaged is found out at the same time.
func (b *builder) renew(ctx context.Context, s *stage, old *sif.Image, w sif.Target, opts squashfs.Options) (int64, error) {
	system, err := old.System()
	if err != nil {
		return 0, err
	}
	r, err := squashfs.Open(old.Reader(system), system.Size, squashfs.ReaderOptions{})
	if err != nil {
		return 0, err
	}
	sw, err := squashfs.NewWriter(w, opts)
	if err != nil {
		return 0, err
	}
	defer sw.Abort()
	ctx, cancel := context.WithCancel(ctx)
	sound := make(chan error, 1)
	go func() {
		_, err := old.Verify(ctx)
		sound <- err
	}()
	var size int64
	if err = sw.Reuse(ctx, r, func(p string) bool { return p != aboutFolder }); err == nil {
		about := b.folder(s, tree.DirOptions{Last: aboutFolder, Exclude: func(p string) bool {
			return p != aboutFolder && !strings.HasPrefix(p, aboutFolder+"/")
		}})
		err = about.WriteTo(ctx, &counter{Sink: sw, b: b})
	}
	if err == nil {
		var stats squashfs.Stats
		stats, err = sw.Close()
		size = stats.PaddedSize
	}
	if err != nil {
		cancel()
	}
	err = errors.Join(err, <-sound)
	cancel()
	if err == nil {
		b.sink.Line(progress.StepPack, "what is installed has not changed: it is taken over from the image as it was")
	}
	return size, err
}
