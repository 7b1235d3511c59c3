package build

import (
	"context"
	"path/filepath"
	"strings"
	"time"

	"carrel/engine/definition"
	"carrel/engine/progress"
	"carrel/engine/source/remote"
)

// fetchElsewhere gets an image file that lies elsewhere: Bootstrap: oras, library, http or https, From: the rest of the
// reference. Library: names the library, as in Singularity.
func (b *builder) fetchElsewhere(ctx context.Context, def *definition.Stage) (base, error) {
	from := def.Header.Get("From")
	o := remote.Options{
		Access: b.spec.Registries, Library: b.spec.Library, Platform: b.spec.Platform, Cache: filepath.Join(b.spec.Cache, kindOCI),
	}
	if l := def.Header.Get("Library"); l != "" {
		o.Library = l
	}
	var told time.Time
	o.Progress = func(done, total int64) {
		if now := time.Now(); now.Sub(told) > tellEvery || done == total {
			told = now
			b.sink.Amount(progress.StepFetch, done, max(total, 0), "bytes", "")
		}
	}
	f, err := remote.Find(ctx, strings.ToLower(def.Header.Get("Bootstrap"))+"://"+strings.TrimPrefix(from, "//"), o)
	if err != nil {
		return base{}, err
	}
	defer f.Close()
	path, err := f.Cached(ctx)
	if err != nil {
		return base{}, err
	}
	out, err := b.imageBase(path, "file "+f.Digest)
	out.describe, out.reference = f.Name, f.Ref+"@"+f.Digest
	if out.digest == "" {
		out.digest = f.Digest
	}
	return out, err
}
