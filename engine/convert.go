package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"carrel/engine/build"
	"carrel/engine/image"
	"carrel/engine/oci"
	"carrel/engine/progress"
	"carrel/engine/squashfs"
	"carrel/engine/tree"
	"carrel/internal/scratch"
)

// Format is a form in which an image is written.
type Format string

// The formats that Convert writes.
const (
	FormatSIF           Format = "sif"
	FormatSquashFS      Format = "squashfs"
	FormatSandbox       Format = "sandbox"        // a folder
	FormatOCI           Format = "oci"            // a folder in the OCI image layout
	FormatOCIArchive    Format = "oci-archive"    // the same as one tar file
	FormatDockerArchive Format = "docker-archive" // what docker load reads
)

// Formats are all formats, in the order in which help names them.
var Formats = []Format{FormatSIF, FormatSquashFS, FormatSandbox, FormatOCI, FormatOCIArchive, FormatDockerArchive}

// Convert builds what s asks for in a format. SIFs and sandboxes are made by Build. For the others an image, or a
// reference to one, is converted as it is, without an unpacked copy; anything else is built first. Labels, the environment
// and what the image starts are kept. s.Target has to be given; it appears when it is complete.
func (e *Engine) Convert(ctx context.Context, s BuildSpec, format Format, sink Sink) (ImageInfo, error) {
	sink = progress.Rated(sink)
	switch format {
	case FormatSIF, "":
		return e.Build(ctx, s, sink)
	case FormatSandbox:
		s.Sandbox = true
		return e.Build(ctx, s, sink)
	}
	if s.Target == "" {
		return ImageInfo{}, fmt.Errorf("build %s: for the format %s a file or folder to write has to be named", s.Definition, format)
	}
	target := e.expand(s.Target)
	if _, err := os.Lstat(target); err == nil && !s.Force {
		return ImageInfo{}, fmt.Errorf("build %s: %w", target, ErrExists)
	}
	if err := image.CheckReplace(target); err != nil {
		return ImageInfo{}, err
	}
	img, cleanup, err := e.convertible(ctx, s, sink)
	if err != nil {
		return ImageInfo{}, err
	}
	defer cleanup()
	defer img.Close()
	sink.Send(Event{Kind: progress.Start, Step: progress.StepPack, Text: filepath.Base(target)})
	c := &conversion{e: e, img: img, spec: s, target: target, sink: sink, now: s.Time}
	if c.now.IsZero() {
		c.now = e.c.Now()
	}
	if err := c.write(ctx, format); err != nil {
		if ctx.Err() == nil {
			sink.Send(Event{Kind: progress.Failed, Step: progress.StepPack, Text: err.Error(), Hint: Hint(err)})
		}
		return ImageInfo{}, fmt.Errorf("build %s: %w", target, err)
	}
	info, err := e.describe(target)
	if err == nil {
		if format == FormatOCI {
			if made, err := image.Open(target); err == nil {
				info.Size = made.Size
				made.Close()
			}
		}
		sink.Send(Event{Kind: progress.Done, Step: progress.StepPack, Text: fmt.Sprintf("%.1f MB", float64(c.bytes)/1e6)})
	}
	return info, err
}

// convertible opens the image that is converted, building it where there is none. cleanup removes what was built.
func (e *Engine) convertible(ctx context.Context, s BuildSpec, sink Sink) (*image.Image, func(), error) {
	nothing := func() {}
	sink.Send(Event{Kind: progress.Plan, Plan: []progress.Planned{{Step: progress.StepPack, Title: "Write image"}}})
	if isRemote(s.Definition) && !strings.HasPrefix(s.Definition, "docker-daemon:") { // which gives nothing but the whole image
		img, err := e.openRemote(ctx, s.Definition, s.Platform, sink)
		return img, nothing, err
	}
	if path := e.expand(s.Definition); !isDefinition(path) {
		if t, err := e.Resolve(ctx, s.Definition); err == nil && t.Kind == TargetImage {
			img, err := image.Open(t.Path)
			return img, nothing, err
		}
	}
	dir, release, err := e.scratch("convert-")
	if err != nil {
		return nil, nothing, err
	}
	built := filepath.Join(dir, "image.sif")
	cleanup := func() { release(); os.Remove(e.recordPath(built)) }
	s.keepAs, s.keepCalled = e.expand(s.Target), s.Target
	s.Target, s.Sandbox, s.Force = built, false, false
	s.Compression, s.Level = "zstd", 1 // it is read once
	if _, err := e.Build(ctx, s, sink); err != nil {
		cleanup()
		return nil, nothing, err
	}
	img, err := image.Open(built)
	if err != nil {
		cleanup()
		return nil, nothing, err
	}
	return img, cleanup, nil
}

// conversion writes an image in another form.
type conversion struct {
	e      *Engine
	img    *image.Image
	spec   BuildSpec
	target string
	sink   Sink
	now    time.Time

	files, bytes int64
	told         time.Time
}

func (c *conversion) write(ctx context.Context, format Format) error {
	if err := os.MkdirAll(filepath.Dir(c.target), 0o755); err != nil {
		return err
	}
	part, release, err := scratch.Folder(filepath.Dir(c.target), scratch.Beside)
	if err != nil {
		return err
	}
	defer release()
	made := filepath.Join(part, "image")
	switch format {
	case FormatSquashFS:
		err = c.squashfs(ctx, made)
	case FormatOCI, FormatOCIArchive, FormatDockerArchive:
		err = c.oci(ctx, made, format)
	default:
		err = fmt.Errorf("the format %q is not known", format)
	}
	if err != nil {
		return err
	}
	if err := image.CheckReplace(c.target); err != nil {
		return err
	}
	return scratch.Replace(made, c.target)
}

func (c *conversion) squashfs(ctx context.Context, made string) error {
	kind := squashfs.Zstd
	if c.spec.Compression != "" {
		var err error
		if kind, err = squashfs.ParseCompression(c.spec.Compression); err != nil {
			return err
		}
	}
	var source tree.Source = c.img
	if m := c.img.OCI(); m != nil {
		labels := maps.Clone(m.Config.Labels)
		if labels == nil {
			labels = map[string]string{}
		}
		maps.Copy(labels, c.img.Own().Labels())
		meta := image.OCIMetadata(m.Config.Env, m.Config.Entrypoint, m.Config.Cmd, labels)
		source = image.Scaffolded(m, meta, c.now)
	}
	f, err := os.OpenFile(made, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	defer f.Close()
	o := squashfs.Options{Compression: kind, Level: c.spec.Level}
	if c.spec.Reproducible {
		o.ClampTime, o.ModTime = c.now, c.now
	}
	defer packing()()
	w, err := squashfs.NewWriter(f, o)
	if err != nil {
		return err
	}
	if err := source.WriteTo(ctx, c.counting(w)); err != nil {
		w.Abort()
		return err
	}
	stats, err := w.Close()
	if err != nil {
		return err
	}
	if text := build.LostXattrs(stats.SkippedXattrs, stats.SkippedXattr); text != "" {
		c.sink.Notice(progress.StepPack, text)
	}
	return errors.Join(f.Sync(), f.Close())
}

func (c *conversion) oci(ctx context.Context, made string, format Format) error {
	source, config, err := c.img.Export(c.now)
	if err != nil {
		return err
	}
	o := oci.Output{Config: config, Arch: c.img.Arch, Created: c.now, Name: imageName(c.target), Comment: "converted from " + filepath.Base(c.img.Path)}
	counted := countedSource{Source: source, c: c}
	if c.spec.Reproducible {
		counted.clamp = c.now
	}
	if format == FormatOCI {
		return oci.WriteLayout(ctx, made, counted, o)
	}
	f, err := os.OpenFile(made, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	write := oci.WriteDockerArchive
	if format == FormatOCIArchive {
		write = oci.WriteArchive
	}
	return errors.Join(write(ctx, f, counted, o), f.Sync(), f.Close())
}

// imageName is a name that registries take, made of a path's last part.
func imageName(target string) string {
	base := strings.ToLower(filepath.Base(target))
	for _, ext := range []string{".tar", ".oci", ".docker"} {
		base = strings.TrimSuffix(base, ext)
	}
	base = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '-'
	}, shortName(base))
	if base = strings.Trim(base, "-_"); base == "" {
		base = "image"
	}
	return base + ":latest"
}

// counting is a sink that tells how far the writing is, and gives root what belongs to an ordinary user who made a folder.
func (c *conversion) counting(sink tree.Sink) tree.Sink { return &countingSink{sink, c} }

type countingSink struct {
	tree.Sink
	c *conversion
}

func (s *countingSink) Add(entry tree.Entry, body io.Reader) error {
	c := s.c
	if u := c.e.c.User; c.img.Kind == image.Sandbox && u.UID != 0 {
		if entry.UID == uint32(u.UID) {
			entry.UID = 0
		}
		if entry.GID == uint32(u.GID) {
			entry.GID = 0
		}
	}
	c.files++
	c.bytes += entry.Size
	if now := time.Now(); now.Sub(c.told) > 100*time.Millisecond {
		c.told = now
		c.sink.Amount(progress.StepPack, c.bytes, 0, "bytes", fmt.Sprintf("%d files", c.files))
	}
	return s.Sink.Add(entry, body)
}

type countedSource struct {
	tree.Source
	c     *conversion
	clamp time.Time // no file is to be younger; zero: as young as it is
}

func (s countedSource) WriteTo(ctx context.Context, sink tree.Sink) error {
	if !s.clamp.IsZero() {
		sink = clampSink{sink, s.clamp}
	}
	return s.Source.WriteTo(ctx, s.c.counting(sink))
}

// clampSink makes times that are later than a time that one (https://reproducible-builds.org/specs/source-date-epoch/).
type clampSink struct {
	tree.Sink
	at time.Time
}

func (s clampSink) Add(e tree.Entry, body io.Reader) error {
	if e.ModTime.After(s.at) {
		e.ModTime = s.at
	}
	return s.Sink.Add(e, body)
}
