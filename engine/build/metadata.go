package build

import (
	"maps"
	"os"
	"strings"

	"carrel/engine/card"
	"carrel/engine/definition"
	"carrel/engine/image"
)

// scaffold makes of a stage's base the beginning of an image.
func (b *builder) scaffold(s *stage) error {
	if err := image.PrepareRoot(s.root); err != nil {
		return err
	}
	if c := s.base.config; c != nil {
		return image.WriteMetadata(s.root, image.OCIMetadata(c.Env, c.Entrypoint, c.Cmd, nil))
	}
	return nil
}

// metadata writes what the definition says of the image into its tree, and the same as JSON for the SIF.
func (b *builder) metadata(s *stage) error {
	root, err := os.OpenRoot(s.root)
	if err != nil {
		return err
	}
	defer root.Close()
	// of the base, and what %post changed of it
	old, err := image.ReadMetadata(root.FS())
	if err != nil {
		return err
	}
	before, err := aboutFiles(root)
	if err != nil {
		return err
	}
	if err := image.WriteMetadata(s.root, b.described(s, old)); err != nil {
		return err
	}
	if s.prior, err = changedSince(before, root); err != nil {
		return err
	}
	written, err := image.ReadMetadata(root.FS())
	if err != nil {
		return err
	}
	s.metadata, err = written.JSON()
	return err
}

// described is what the definition says of the image, upon what its base says.
func (b *builder) described(s *stage, old image.Metadata) image.Metadata {
	section := func(name string) *definition.Section {
		if !b.wants(name) {
			return nil
		}
		return s.def.Section(name)
	}
	m := image.Metadata{
		Definition: b.file.Raw,
		Help:       section("help").Text(),
		Runscript:  section("runscript").Script(), Startscript: section("startscript").Script(), Test: section("test").Script(),
		Environment: map[string]string{}, Labels: map[string]string{}, Apps: map[string]image.App{},
	}
	if b.spec.Convert && old.Definition != "" {
		m.Definition = "" // the one it has stays
	}
	maps.Copy(m.Labels, s.base.labels)
	maps.Copy(m.Labels, old.Labels)
	if c := s.base.config; c != nil {
		maps.Copy(m.Labels, image.OCIOwn(*c).Labels())
	}
	if m.Runscript != "" { // written by somebody who knows the folder and the user that runscripts have
		delete(m.Labels, card.LabelWorkdir)
		delete(m.Labels, card.LabelUser)
	}
	if !b.spec.Convert || len(old.Labels) == 0 {
		header := map[string]string{}
		for _, f := range s.def.Header {
			header[strings.ToLower(f.Key)] = f.Value
		}
		maps.Copy(m.Labels, image.Build{
			Time: b.spec.Time, Arch: s.arch(), Version: b.spec.Version, Header: header, Help: m.Help != "",
		}.Labels())
	}
	if b.wants("labels") {
		for _, l := range s.def.Labels {
			m.Labels[l.Key] = l.Value
		}
		maps.Copy(m.Labels, s.labels)
	}
	if env := section("environment"); !env.IsEmpty() {
		m.Environment["/.singularity.d/env/90-environment.sh"] = env.Body
	}
	if b.wants("apps") {
		for _, app := range s.def.Apps {
			m.Apps[app.Name] = appMetadata(app)
		}
	}
	return m
}

func appMetadata(app *definition.App) image.App {
	a := image.App{
		Labels: app.LabelMap(), Help: app.Section("help").Text(),
		Runscript: app.Section("run").Script(), Startscript: app.Section("start").Script(), Test: app.Section("test").Script(),
		Environment: map[string]string{},
	}
	if env := app.Section("env"); !env.IsEmpty() {
		a.Environment["/scif/apps/"+app.Name+"/scif/env/90-environment.sh"] = env.Body
	}
	return a
}
