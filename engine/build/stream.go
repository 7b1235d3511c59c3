package build

import (
	"context"
	"maps"
	"strings"

	"carrel/engine/image"
	"carrel/engine/progress"
	"carrel/engine/tree"
)

// streams tells whether a stage's base becomes the image as it is, so that nothing needs to be unpacked: nothing is
// executed and no file is added.
func (b *builder) streams(s *stage) bool {
	if !s.last || s.base.source == nil || b.spec.Update || len(b.executed(s.def)) > 0 || len(s.def.Files) > 0 {
		return false
	}
	for _, name := range []string{"setup", "test"} {
		if b.wants(name) && !s.def.Section(name).IsEmpty() {
			return false
		}
	}
	for _, app := range s.def.Apps {
		if len(app.Files) > 0 || !validApp(app.Name) {
			return false
		}
	}
	return true
}

// stream works out what is added to a base that is packed as it is.
func (b *builder) stream(s *stage) error {
	m := b.described(s, s.base.metadata)
	if c := s.base.config; c != nil {
		of := image.OCIMetadata(c.Env, c.Entrypoint, c.Cmd, nil)
		maps.Copy(m.Environment, of.Environment)
		if m.Runscript == "" {
			m.Runscript = of.Runscript
		}
		if m.Startscript == "" {
			m.Startscript = of.Startscript
		}
	}
	s.streamed = &m
	merged := upon(s.base.metadata, m)
	var err error
	s.metadata, err = merged.JSON()
	return err
}

// upon is what an image says when m has been written over what its base says (image.WriteMetadata).
func upon(old, m image.Metadata) image.Metadata {
	first := func(a, b string) string {
		if a != "" {
			return a
		}
		return b
	}
	out := image.Metadata{
		Labels: m.Labels, Definition: first(m.Definition, old.Definition), Help: first(m.Help, old.Help),
		Runscript: first(m.Runscript, old.Runscript), Startscript: first(m.Startscript, old.Startscript), Test: first(m.Test, old.Test),
		Environment: map[string]string{}, Apps: map[string]image.App{},
	}
	maps.Copy(out.Environment, old.Environment)
	for p, text := range m.Environment {
		if o := old.Environment[p]; o != "" {
			text = strings.TrimRight(o, "\n") + "\n" + text
		}
		out.Environment[p] = text
	}
	maps.Copy(out.Apps, old.Apps)
	maps.Copy(out.Apps, m.Apps)
	return out
}

// packed is the tree that becomes the image. What the image says of itself is the last part.
func (b *builder) packed(s *stage) tree.Source {
	if s.streamed == nil {
		return b.folder(s, tree.DirOptions{Last: aboutFolder})
	}
	return fetching{image.Scaffolded(s.base.source, *s.streamed, b.spec.Time), b, s}
}

// folder is the tree of a stage that is on disk.
func (b *builder) folder(s *stage, opt tree.DirOptions) tree.Source {
	src := tree.Dir(s.root, opt)
	if b.spec.Reproducible {
		return reproducible{src}
	}
	return src
}

// fetching ends the step of fetching when the source has been read.
type fetching struct {
	tree.Source
	b *builder
	s *stage
}

func (f fetching) WriteTo(ctx context.Context, sink tree.Sink) error {
	err := f.Source.WriteTo(ctx, sink)
	if err == nil {
		f.b.done(progress.StepFetch, f.s.base.describe)
	}
	return err
}

// definition is the text that the image keeps as its definition file.
func (b *builder) definition(s *stage) []byte {
	if b.spec.Convert && s.base.metadata.Definition != "" {
		return []byte(s.base.metadata.Definition)
	}
	return []byte(b.file.Raw)
}
