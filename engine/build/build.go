package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"carrel/engine/definition"
	"carrel/engine/image"
	"carrel/engine/progress"
	"carrel/engine/sif"
	"carrel/engine/source/debian"
)

// ErrExists: the target exists and Force was not given.
var ErrExists = errors.New("exists already")

// errUnchanged ends a build whose target is already what would be made.
var errUnchanged = errors.New("unchanged")

// builder is one build under way.
type builder struct {
	spec Spec
	sink progress.Sink
	file *definition.File
	dir  string // work folder of this build, removed at the end
	// stages that are built, by name and by number.
	stages map[string]*stage
	// inputs are digests of all that the image is made of so far.
	inputs    []string
	used      []used // bases, for the provenance
	files     []usedFile
	installed []usedPackage // nil where it is not known before packing
	debs      []debian.InstalledPackage
	resume    *entry   // the kept tree of a failed build
	force     []string // variables of the section that runs
	at        trace    // the command it is at
	current   string   // name of the stage that is built, where there are several
	opaque    bool     // not all inputs are known
	throwAway bool     // containers do not write to the tree itself
	fetched   *downloads
	releases  []func() // called at the end, last first
}

// stage is a stage of the definition being built.
type stage struct {
	def   *definition.Stage
	index int
	last  bool
	dir   string // of this stage, below the builder's
	base  base

	lowers   []string // folders the tree lies on, lowest first
	root     string   // the tree: an overlay, or a folder
	overlay  bool
	mounted  bool
	kept     *entry            // the tree of a build that failed, with which the stage goes on
	done     []doneSection     // carried out
	tmp      string            // /tmp of its containers
	fixed    []string          // names all that the tree is made of, but for what the image says of itself; nil where that is not known
	labels   map[string]string // written by %post
	metadata []byte            // inspect-metadata.json
	prior    []priorFile       // what the tree said of itself before the definition was written into it
	streamed *image.Metadata   // set when the base goes straight into the image, with this added
}

// atEnd has something done when the build is over.
func (b *builder) atEnd(f func()) { b.releases = append(b.releases, f) }

// hold keeps an entry of the cache in use until the end.
func (b *builder) hold(e *entry) { b.atEnd(e.close) }

func (b *builder) release() {
	for _, s := range b.stages {
		_ = s.unmount() // goes with the mount namespace at the latest
	}
	for _, f := range slices.Backward(b.releases) {
		f()
	}
}

// Run builds the image. It has to be called in a mount namespace of its own, as root of it. When ctx ends it stops the
// running section and removes what it made.
func Run(ctx context.Context, spec Spec, sink progress.Sink) (Result, error) {
	b := &builder{spec: spec, stages: map[string]*stage{}}
	b.sink = func(e progress.Event) {
		e.Stage = b.current
		sink.Send(e)
	}
	if err := b.read(); err != nil {
		return Result{}, err
	}
	if _, err := os.Lstat(spec.Target); err == nil && !spec.Force && !spec.Update {
		return Result{}, fmt.Errorf("build %s: %w", spec.Target, ErrExists)
	}
	dir, release, err := workFolder(spec.Work)
	if err != nil {
		return Result{}, err
	}
	b.dir = dir
	b.atEnd(release)
	defer b.release()
	fetched, err := HoldFetched(spec.Cache)
	if err != nil {
		return Result{}, err
	}
	b.atEnd(fetched)
	if err := b.openKept(); err != nil {
		return Result{}, err
	}
	b.opaque = b.opaque || len(spec.Binds) > 0 || len(spec.GPUs) > 0
	var last *stage
	for i, def := range b.file.Stages {
		if len(b.file.Stages) > 1 {
			if b.current = def.Name; b.current == "" {
				b.current = strconv.Itoa(i + 1)
			}
		}
		last, err = b.stage(ctx, i, def)
		if errors.Is(err, errUnchanged) {
			return b.upToDate(ctx, last)
		}
		if err != nil {
			err = b.failed(ctx, last, err)
			if se, ok := errors.AsType[*StepError](err); !ok || !se.Kept {
				b.noteDone(last)
			}
			return Result{}, err
		}
	}
	if err := b.complete(ctx, last); err != nil {
		b.noteDone(last)
		return Result{}, b.fail(progress.StepPack, err)
	}
	size, err := b.pack(ctx, last)
	if err != nil {
		b.noteDone(last)
		return Result{}, err
	}
	lock, err := b.lock(ctx)
	if err != nil {
		return Result{}, b.fail(progress.StepPack, fmt.Errorf("the image is complete, but what it was made of cannot be written down: %w", err))
	}
	if err := b.forget(); err != nil {
		b.sink.Notice(progress.StepPack, "the kept tree of the build that failed before cannot be removed: "+err.Error())
	}
	b.keepLimit()
	return Result{Path: spec.Target, Size: size, Base: last.base.describe, Lock: lock}, nil
}

// upToDate is the result of a build that was not necessary.
func (b *builder) upToDate(ctx context.Context, s *stage) (Result, error) {
	st, err := os.Stat(b.spec.Target)
	if err != nil {
		return Result{}, err
	}
	b.sink.Notice(progress.StepPack, "nothing has changed since the image was built: it stays as it is")
	b.keepLimit()
	if m, err := sif.Open(b.spec.Target); err == nil {
		if p, err := ReadProvenance(m); err == nil {
			b.installed = p.Packages
		}
		m.Close()
	}
	lock, err := b.lock(ctx)
	if err != nil {
		return Result{}, err
	}
	return Result{Path: b.spec.Target, Size: st.Size(), Base: s.base.describe, Unchanged: true, Lock: lock}, nil
}

// wants tells whether a section is to be carried out.
func (b *builder) wants(section string) bool {
	if section == "test" && b.spec.NoTest {
		return false
	}
	return len(b.spec.Sections) == 0 || slices.Contains(b.spec.Sections, "all") || slices.Contains(b.spec.Sections, section)
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
	if err := b.checkLock(); err != nil {
		b.start(progress.StepRead, b.spec.Name)
		return b.fail(progress.StepRead, err)
	}
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
				if b.wants(n) && !s.Section(n).IsEmpty() {
					return true
				}
			}
			return false
		})
	}
	add(progress.StepRead, "Read definition", true)
	add(progress.StepFetch, "Fetch base", true)
	add(progress.StepSetup, "Prepare on this computer (%setup)", section("pre", "setup"))
	add(progress.StepFiles, "Copy files (%files)", b.wants("files") && has(func(s *definition.Stage) bool { return len(s.Files) > 0 }))
	add(progress.StepInstall, "Install software (%post)", section("post"))
	add(progress.StepApps, "Install apps (%appinstall)", b.wants("apps") && has(func(s *definition.Stage) bool { return len(s.Apps) > 0 }))
	add(progress.StepTest, "Check it (%test)", section("test"))
	add(progress.StepPack, "Pack image", true)
	b.sink.Send(progress.Event{Kind: progress.Plan, Plan: steps})
}

// stage builds one stage up to its finished tree. The stage is returned with an error, too.
func (b *builder) stage(ctx context.Context, i int, def *definition.Stage) (*stage, error) {
	s := &stage{def: def, index: i, last: i == len(b.file.Stages)-1, labels: map[string]string{}}
	s.dir = filepath.Join(b.dir, fmt.Sprintf("stage%d", i))
	s.root = filepath.Join(s.dir, "root")
	b.stages[fmt.Sprint(i)] = s
	b.stages[def.Name] = s
	if err := b.onHost(ctx, s, "pre"); err != nil {
		return s, err
	}
	b.start(progress.StepFetch, describe(def))
	if err := b.prepare(ctx, s); err != nil {
		return s, b.fail(progress.StepFetch, err)
	}
	if s.streamed != nil {
		b.inputs = append(b.inputs, s.base.key)
		if b.unchanged() {
			b.done(progress.StepFetch, s.base.describe)
			return s, errUnchanged
		}
		return s, nil // it is fetched while it is packed
	}
	b.done(progress.StepFetch, s.base.describe)
	if err := b.contents(ctx, s); err != nil {
		return s, err
	}
	if err := b.metadata(s); err != nil {
		return s, b.fail(progress.StepInstall, err)
	}
	return s, b.test(ctx, s)
}

// prepare fetches the base of a stage and makes its tree ready.
func (b *builder) prepare(ctx context.Context, s *stage) error {
	var err error
	if b.spec.Update && s.last {
		s.base, err = b.updated()
	} else {
		s.base, err = b.fetch(ctx, s.def)
	}
	if err != nil {
		return b.gone(s.index, err)
	}
	now := used{
		Stage: s.def.Name, Agent: strings.ToLower(s.def.Header.Get("Bootstrap")), From: s.base.reference, Key: s.base.key,
		Digest: s.base.digest, Archives: s.base.archives,
	}
	if err := b.checkBase(s.index, now); err != nil {
		return err
	}
	b.used = append(b.used, now)
	if b.streams(s) {
		return b.stream(s)
	}
	if err := b.unpack(ctx, &s.base); err != nil {
		return err
	}
	if err := os.Mkdir(s.dir, 0o755); err != nil {
		return err
	}
	s.lowers = []string{s.base.folder}
	if err := b.takeKept(ctx, s); err != nil {
		return err
	}
	if err := s.mountOrCopy(ctx, b.spec.UserNS); err != nil {
		return err
	}
	if b.resumes(s) {
		s.tmp = s.kept.path("tmp")
		return undescribe(s.root, b.resume.info.Failed.Prior)
	}
	if s.tmp, err = b.tmpFolder(s.dir); err != nil {
		return err
	}
	return b.scaffold(s)
}

// tmpFolder makes a folder to be /tmp of containers.
func (b *builder) tmpFolder(in string) (string, error) {
	dir, err := os.MkdirTemp(in, "tmp-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o777|os.ModeSticky)
}

// contents does what the definition says with a stage's tree.
func (b *builder) contents(ctx context.Context, s *stage) error {
	if b.resumes(s) {
		return b.install(ctx, s)
	}
	if err := b.appFolders(s); err != nil {
		return err
	}
	if err := b.copyFiles(ctx, s, true); err != nil {
		return err
	}
	if err := b.onHost(ctx, s, "setup"); err != nil {
		return err
	}
	if err := b.copyFiles(ctx, s, false); err != nil {
		return err
	}
	if s.last {
		if err := b.checkFiles(); err != nil {
			return b.fail(progress.StepFiles, err)
		}
	}
	s.done = b.prepared(s, b.copied(s))
	return b.install(ctx, s)
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
