package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"carrel/engine/definition"
	"carrel/engine/progress"
)

// ErrExists: the target exists and Force was not given.
var ErrExists = errors.New("exists already")

// builder is one build under way.
type builder struct {
	spec Spec
	sink progress.Sink
	file *definition.File
	dir  string // work folder of this build, removed at the end
	// stages that are built, by name and by number.
	stages map[string]*stage
}

// stage is a stage of the definition being built.
type stage struct {
	def      *definition.Stage
	base     base
	root     string            // the tree, mounted or a folder
	tmp      string            // /tmp of its containers
	labels   map[string]string // written by %post
	metadata []byte            // inspect-metadata.json
}

// Run builds the image. It has to be called in a mount namespace of its own, as root of it. When ctx ends it stops the
// running section and removes what it made.
func Run(ctx context.Context, spec Spec, sink progress.Sink) (Result, error) {
	b := &builder{spec: spec, sink: sink, stages: map[string]*stage{}}
	if err := b.read(); err != nil {
		return Result{}, err
	}
	if _, err := os.Lstat(spec.Target); err == nil && !spec.Force {
		return Result{}, fmt.Errorf("build %s: %w", spec.Target, ErrExists)
	}
	dir, release, err := workFolder(spec.Work)
	if err != nil {
		return Result{}, err
	}
	defer release()
	b.dir = dir
	var last *stage
	for i, def := range b.file.Stages {
		if last, err = b.stage(ctx, i, def); err != nil {
			return Result{}, err
		}
	}
	size, err := b.pack(ctx, last)
	if err != nil {
		return Result{}, err
	}
	return Result{Path: spec.Target, Size: size, Base: last.base.describe}, nil
}

// read parses and checks the definition.
func (b *builder) read() error {
	f, err := definition.ParseString(b.spec.Text, definition.Options{Name: b.spec.Name, BuildArgs: b.spec.BuildArgs})
	if err == nil {
		err = f.Check()
	}
	if err != nil {
		b.start(progress.StepRead, b.spec.Name)
		return b.fail(progress.StepRead, err)
	}
	b.file = f
	b.plan()
	b.start(progress.StepRead, filepath.Base(b.spec.Name))
	for _, w := range f.Warnings {
		b.sink.Notice(progress.StepRead, fmt.Sprintf("line %d: %s", w.Line, w.Message))
	}
	for _, name := range f.UnusedArgs {
		b.sink.Notice(progress.StepRead, fmt.Sprintf("the build argument %s is not used by the definition", name))
	}
	b.done(progress.StepRead, "")
	return nil
}

// plan announces the steps.
func (b *builder) plan() {
	var steps []progress.Planned
	add := func(s progress.Step, title string, when bool) {
		if when {
			steps = append(steps, progress.Planned{Step: s, Title: title})
		}
	}
	has := func(f func(*definition.Stage) bool) bool {
		for _, s := range b.file.Stages {
			if f(s) {
				return true
			}
		}
		return false
	}
	section := func(names ...string) bool {
		return has(func(s *definition.Stage) bool {
			for _, n := range names {
				if !s.Section(n).IsEmpty() {
					return true
				}
			}
			return false
		})
	}
	add(progress.StepRead, "Read definition", true)
	add(progress.StepFetch, "Fetch base", true)
	add(progress.StepSetup, "Prepare on this computer (%setup)", section("pre", "setup"))
	add(progress.StepFiles, "Copy files (%files)", has(func(s *definition.Stage) bool { return len(s.Files) > 0 }))
	add(progress.StepInstall, "Install software (%post)", section("post"))
	add(progress.StepApps, "Install apps (%appinstall)", has(func(s *definition.Stage) bool { return len(s.Apps) > 0 }))
	add(progress.StepTest, "Check it (%test)", !b.spec.NoTest && section("test"))
	add(progress.StepPack, "Pack image", true)
	b.sink.Send(progress.Event{Kind: progress.Plan, Plan: steps})
}

// stage builds one stage up to its finished tree.
func (b *builder) stage(ctx context.Context, i int, def *definition.Stage) (*stage, error) {
	s := &stage{def: def, labels: map[string]string{}}
	dir := filepath.Join(b.dir, fmt.Sprintf("stage%d", i))
	if err := b.onHost(ctx, s, "pre"); err != nil {
		return nil, err
	}
	b.start(progress.StepFetch, describe(def))
	var err error
	if s.base, err = b.fetch(ctx, def); err != nil {
		return nil, b.fail(progress.StepFetch, err)
	}
	if s.root, err = mountTree(ctx, dir, s.base, b.spec.UserNS); err != nil {
		return nil, b.fail(progress.StepFetch, err)
	}
	s.tmp = filepath.Join(dir, "tmp")
	if err := os.Mkdir(s.tmp, 0o1777); err != nil {
		return nil, b.fail(progress.StepFetch, err)
	}
	if err := os.Chmod(s.tmp, 0o1777|os.ModeSticky); err != nil {
		return nil, b.fail(progress.StepFetch, err)
	}
	b.done(progress.StepFetch, s.base.describe)
	b.stages[def.Name] = s
	b.stages[fmt.Sprint(i)] = s

	if err := b.scaffold(s); err != nil {
		return nil, b.fail(progress.StepFetch, err)
	}
	if err := b.copyFiles(ctx, s, true); err != nil {
		return nil, err
	}
	if err := b.onHost(ctx, s, "setup"); err != nil {
		return nil, err
	}
	if err := b.copyFiles(ctx, s, false); err != nil {
		return nil, err
	}
	if err := b.post(ctx, s); err != nil {
		return nil, err
	}
	if err := b.apps(ctx, s); err != nil {
		return nil, err
	}
	if err := b.metadata(s); err != nil {
		return nil, b.fail(progress.StepInstall, err)
	}
	if err := b.test(ctx, s); err != nil {
		return nil, err
	}
	return s, nil
}

func (b *builder) start(step progress.Step, text string) {
	b.sink.Send(progress.Event{Kind: progress.Start, Step: step, Text: text})
}

func (b *builder) done(step progress.Step, text string) {
	b.sink.Send(progress.Event{Kind: progress.Done, Step: step, Text: text})
}

// fail gives an error its step, unless it has one.
func (b *builder) fail(step progress.Step, err error) error {
	var se *StepError
	if !errors.As(err, &se) {
		se = &StepError{Step: step, Err: err}
		err = se
	}
	return err
}

// describe is what a stage starts from, for a person.
func describe(def *definition.Stage) string {
	var parts []string
	for _, k := range []string{"Bootstrap", "From", "OSVersion"} {
		if v := def.Header.Get(k); v != "" {
			parts = append(parts, v)
		}
	}
	return strings.Join(parts, " ")
}
