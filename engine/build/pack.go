package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"carrel/engine/image"
	"carrel/engine/progress"
	"carrel/engine/sif"
	"carrel/engine/squashfs"
	"carrel/engine/tree"
	"carrel/internal/scratch"
)

// pack writes the finished tree to the target and returns its size in bytes.
func (b *builder) pack(ctx context.Context, s *stage) (int64, error) {
	b.start(progress.StepPack, filepath.Base(b.spec.Target))
	if s.streamed == nil {
		if err := clean(s.root); err != nil {
			return 0, b.fail(progress.StepPack, err)
		}
	}
	size, err := b.write(ctx, s)
	if err != nil {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		return 0, b.fail(progress.StepPack, err)
	}
	b.done(progress.StepPack, fmt.Sprintf("%.1f MB", float64(size)/1e6))
	return size, nil
}

func (b *builder) write(ctx context.Context, s *stage) (int64, error) {
	src := b.packed(s)
	if b.spec.Sandbox || b.spec.Update {
		return b.writeFolder(ctx, s, src)
	}
	compression := squashfs.Zstd
	if b.spec.Compression != "" {
		var err error
		if compression, err = squashfs.ParseCompression(b.spec.Compression); err != nil {
			return 0, err
		}
	}
	c := sif.Contents{
		Definition: b.definition(s), Metadata: s.metadata, OCIConfig: s.base.ociJSON, Arch: s.arch(), Time: b.spec.Time,
		Deterministic: b.spec.Reproducible,
		System: func(w sif.Target, offset int64) (int64, error) {
			opts := squashfs.Options{Compression: compression, Level: b.spec.Level, Offset: offset}
			if b.spec.Reproducible {
				opts.ClampTime, opts.ModTime = b.spec.Time, b.spec.Time
			}
			return b.partition(ctx, s, src, w, opts)
		},
	}
	provenance, err := b.provenance(s)
	if err != nil {
		return 0, err
	}
	c.JSON = map[string][]byte{ProvenanceName: provenance}
	if err := os.MkdirAll(filepath.Dir(b.spec.Target), 0o755); err != nil {
		return 0, err
	}
	if isDir(b.spec.Target) {
		err = b.overFolder(ctx, c)
	} else {
		err = sif.Create(ctx, b.spec.Target, c)
	}
	if err != nil {
		return 0, err
	}
	st, err := os.Stat(b.spec.Target)
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// overFolder writes the image in the place of a folder that is one.
func (b *builder) overFolder(ctx context.Context, c sif.Contents) error {
	if err := image.CheckReplace(b.spec.Target); err != nil {
		return err
	}
	dir, release, err := scratch.Folder(filepath.Dir(b.spec.Target), scratch.Beside)
	if err != nil {
		return err
	}
	defer release()
	part := filepath.Join(dir, "image")
	if err := sif.Create(ctx, part, c); err != nil {
		return err
	}
	return scratch.Replace(part, b.spec.Target)
}

// writeFolder makes the target a folder: beside its place first, then in one step.
func (b *builder) writeFolder(ctx context.Context, s *stage, src tree.Source) (int64, error) {
	if !b.spec.Update { // then what was there is in the new tree
		if err := image.CheckReplace(b.spec.Target); err != nil {
			return 0, err
		}
	}
	if err := os.MkdirAll(filepath.Dir(b.spec.Target), 0o755); err != nil {
		return 0, err
	}
	part, release, err := scratch.Folder(filepath.Dir(b.spec.Target), scratch.Beside)
	if err != nil {
		return 0, err
	}
	defer release() // nothing is left of it when it got its name
	if err := os.Chmod(part, 0o755); err != nil {
		return 0, err
	}
	// Of one id, the folder is its user's, who must be able to look into it and to remove it outside of any namespace.
	u, err := tree.Unpack(part, tree.UnpackOptions{Owners: !b.spec.SingleID, OwnerAccess: b.spec.SingleID})
	if err != nil {
		return 0, err
	}
	count := &counter{Sink: u, b: b, total: s.size()}
	err = src.WriteTo(ctx, count)
	report, cerr := u.Close()
	if err := errors.Join(err, cerr); err != nil {
		return 0, err
	}
	b.lostXattrs(progress.StepPack, int64(report.Xattrs), report.Xattr)
	return count.bytes, scratch.Replace(part, b.spec.Target)
}

// lostXattrs says, once, that not all extended attributes were kept.
func (b *builder) lostXattrs(step progress.Step, n int64, example string) {
	if text := LostXattrs(n, example); text != "" {
		b.sink.Notice(step, text)
	}
}

// LostXattrs says for people that so many extended attributes were left out, one of which is the example; empty for none.
func LostXattrs(n int64, example string) string {
	what := "extended attributes cannot be kept and were left out"
	if strings.HasPrefix(example, "system.posix_acl_") {
		what = "access control lists (ACLs) and other extended attributes cannot be kept and were left out"
	}
	switch {
	case n == 0:
		return ""
	case n == 1:
		return "an extended attribute cannot be kept and was left out: " + example
	}
	return fmt.Sprintf("%d %s, such as %s", n, what, example)
}

// counter tells how far the packing is.
type counter struct {
	tree.Sink
	b     *builder
	files int64
	bytes int64
	disk  int64 // bytes, in whole blocks, as they are counted on disk
	total int64 // about how many of these there will be; 0: not known
	told  time.Time
}

// size is about how many bytes the files of a stage have on disk; 0 where that is not known before they have been read, as when a base
// goes straight into the image. Of what lies in the cache it is noted there.
func (s *stage) size() int64 {
	if s.streamed != nil || !s.overlay {
		return 0
	}
	total := diskUsage(s.upper())
	for _, dir := range s.lowers {
		var info entryInfo
		if readInfo(filepath.Dir(dir), &info) != nil {
			return 0
		}
		total += info.Size
	}
	return total
}

// block is the size of blocks on most file systems, in bytes.
const block = 4096

// tellEvery is the least time between two reports of progress.
const tellEvery = 100 * time.Millisecond

func (c *counter) Add(e tree.Entry, body io.Reader) error {
	c.files++
	c.bytes += e.Size
	if e.IsDir() || e.Size > 0 {
		c.disk += max(e.Size+block-1, block) / block * block
	}
	if now := time.Now(); now.Sub(c.told) > tellEvery {
		c.told = now
		done, total := c.disk, c.total
		if done > total { // there are more than was thought: how many, nobody knows
			done, total = c.bytes, 0
		}
		c.b.sink.Amount(progress.StepPack, done, total, "bytes", fmt.Sprintf("%d files", c.files))
	}
	return c.Sink.Add(e, body)
}

// arch is the processor the tree is for: the base's, else this machine's.
func (s *stage) arch() string {
	if s.base.arch != "" {
		return s.base.arch
	}
	return runtime.GOARCH
}
