package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"carrel/engine/progress"
	"carrel/engine/sandbox"
	"carrel/engine/sandbox/plan"
)

// failedInfo is what is remembered of a failed step, to open a shell where it happened or to go on from there.
type failedInfo struct {
	Target  string `json:"target"`
	Stage   int    `json:"stage"`
	Section string `json:"section"`
	Line    int    `json:"line"`
	Status  int    `json:"status"`
	// Done are the sections that were carried out before, %files and those on the host as well, with a digest of what they
	// were: whoever goes on leaves them out.
	Done []doneSection `json:"done,omitempty"`
	// Labels are those that %post has written.
	Labels map[string]string `json:"labels,omitempty"`
	// Prior is what the tree said of itself before the definition was written into it; empty when that was not done yet.
	Prior []priorFile `json:"prior,omitempty"`
	// Lowers are the folders of the cache that the tree lies on, lowest first.
	Lowers []string `json:"lowers"`
	Base   string   `json:"base"` // its key
	// Spec is what containers are made by, see containerSpec.
	Spec   Spec   `json:"spec"`
	Script string `json:"script"` // what was run
	// Force are the variables that the section was given besides those of every section.
	Force []string `json:"force,omitempty"`
}

// FailedError is a request for the tree of a failed build that is not there.
type FailedError struct{ Err error }

func (e *FailedError) Error() string { return e.Err.Error() }
func (e *FailedError) Unwrap() error { return e.Err }

// Hint says why that may be.
func (e *FailedError) Hint() string {
	return "a tree is kept when %post, %appinstall or %test fails, until the image is built or the cache is pruned"
}

var errNothingKept = &FailedError{errors.New("no failed build of it is kept")}

// failedFolder is where the tree of a failed build of a target is kept.
func failedFolder(cache, target string) string {
	return filepath.Join(cache, kindFailed, digest(target))
}

// Kept tells whether the tree of a failed build of a target is kept.
func Kept(cache, target string) bool {
	var info entryInfo
	return readInfo(failedFolder(cache, target), &info) == nil && info.Failed != nil
}

// failed keeps the tree of a stage whose section failed, and says so in the error.
func (b *builder) failed(ctx context.Context, s *stage, err error) error {
	var se *StepError
	if ctx.Err() != nil || !errors.As(err, &se) || se.Status == 0 || !s.overlay || b.spec.Update {
		return err
	}
	if b.resume != nil && s.kept == nil { // another stage: what is kept is worth more, for a person may have worked on it
		return err
	}
	switch se.Step {
	case progress.StepInstall, progress.StepApps, progress.StepTest:
	default:
		return err
	}
	if kerr := b.keep(s, se); kerr != nil {
		b.sink.Notice(se.Step, "the tree of the failed step could not be kept: "+kerr.Error())
		return err
	}
	se.Kept, se.Called = true, b.spec.Called
	return err
}

// keep makes the tree of a stage that failed an entry of the cache. One that was kept before is in its place already.
func (b *builder) keep(s *stage, se *StepError) error {
	if err := s.unmount(); err != nil {
		return err
	}
	info := entryInfo{
		Key: b.keptName(), Describe: fmt.Sprintf("%s of %s", se.Section, b.layerName(s)), Made: time.Now(),
		Failed: &failedInfo{
			Target: b.keptName(), Stage: s.index, Section: se.Section, Line: se.Line, Status: se.Status, Done: s.done, Labels: s.labels, Prior: s.prior,
			Lowers: s.lowers, Base: s.base.key, Spec: b.spec.containerSpec(), Script: b.scriptOf(s, se.Section), Force: b.force,
		},
	}
	if s.kept != nil {
		info.Size = diskUsage(s.kept.dir)
		return s.kept.rewrite(info)
	}
	part := filepath.Join(s.dir, "kept")
	if err := os.Mkdir(part, 0o755); err != nil {
		return err
	}
	for from, to := range map[string]string{s.upper(): "upper", s.tmp: "tmp"} {
		if err := os.Rename(from, filepath.Join(part, to)); err != nil {
			return err
		}
	}
	info.Size = diskUsage(part)
	if err := b.forget(); err != nil {
		return err
	}
	e, err := putEntry(part, b.failedFolder(), info)
	if err != nil {
		return err
	}
	e.close()
	return nil
}

// containerSpec is the part of an order that says what a container sees of its host. It stays on disk, so logins, values of
// build arguments, and proxies, which may have passwords in their addresses, are no part of it.
func (s *Spec) containerSpec() Spec {
	return Spec{
		Cache: s.Cache, SingleID: s.SingleID, UserNS: s.UserNS, IDKind: s.IDKind, Binds: s.Binds, GPUs: s.GPUs,
		Resolv: s.Resolv, Hosts: s.Hosts, Reproducible: s.Reproducible, Time: s.Time,
	}
}

// forget removes the tree of a build of this target that failed before.
func (b *builder) forget() error {
	for _, s := range b.stages {
		if s.kept != nil { // it is the tree of this build
			if err := s.unmount(); err != nil {
				return err
			}
		}
	}
	if b.resume != nil {
		b.resume.close()
	}
	_, err := removeEntry(b.failedFolder())
	return err
}

// keptName is the target under which a failed build is kept.
func (b *builder) keptName() string {
	if b.spec.KeepAs != "" {
		return b.spec.KeepAs
	}
	return b.spec.Target
}

func (b *builder) failedFolder() string { return failedFolder(b.spec.Cache, b.keptName()) }

func (b *builder) scriptOf(s *stage, section string) string {
	for _, sec := range b.executed(s.def) {
		if sec.name == section {
			return sec.Body
		}
	}
	return s.def.Section("test").Text()
}

// alone makes sure that nobody else writes to a kept tree.
func (b *builder) alone(kept *entry) error {
	f, ok := lock(kept.path("tmp"))
	if !ok {
		return fmt.Errorf("the failed build of %s is in use by another shell or build", kept.info.Failed.Target)
	}
	b.atEnd(func() { f.Close() })
	return nil
}

// holdLowers takes the folders that a kept tree lies on into use.
func (b *builder) holdLowers(f *failedInfo) error {
	for _, dir := range f.Lowers {
		e, err := openEntry(filepath.Dir(dir))
		if err != nil {
			return &FailedError{fmt.Errorf("the base of the failed build of %s is no longer in the cache", f.Target)}
		}
		b.hold(e)
	}
	return nil
}

// DebugSpec asks for a process in the container of a failed build.
type DebugSpec struct {
	Cache  string   `json:"cache"`
	Work   string   `json:"work"`
	Target string   `json:"target"`         // of the build that failed
	Args   []string `json:"args,omitempty"` // empty: a shell
	Term   string   `json:"term,omitempty"` // kind of terminal, for the variable TERM
	// Proxies are variables that are passed to the process, as those of a build are.
	Proxies []string `json:"proxies,omitempty"`
}

// Debug runs a process in the container of a failed build exactly as it was when its section ended: its tree, environment
// and mounts. What it changes stays, and Spec.Resume goes on with it. It is called as Run is, and returns the exit status.
func Debug(ctx context.Context, d DebugSpec, in, out, errs *os.File, note func(string)) (int, error) {
	kept, err := openEntry(failedFolder(d.Cache, d.Target))
	if err != nil || kept.info.Failed == nil {
		return 0, fmt.Errorf("debug build of %s: %w", d.Target, errNothingKept)
	}
	f := kept.info.Failed
	b := &builder{spec: f.Spec, stages: map[string]*stage{}, sink: func(e progress.Event) {
		if e.Kind == progress.Notice && note != nil {
			note(e.Text)
		}
	}}
	b.spec.Proxies = d.Proxies
	dir, release, err := workFolder(d.Work)
	if err != nil {
		kept.close()
		return 0, err
	}
	b.dir = dir
	b.atEnd(release)
	b.hold(kept)
	defer b.release()
	if err := errors.Join(b.holdLowers(f), b.alone(kept)); err != nil {
		return 0, err
	}
	// The work folder of an overlay lies on the file system of its upper one, in the entry: it is removed with it.
	s := &stage{dir: kept.dir, lowers: f.Lowers, root: filepath.Join(dir, "root"), tmp: kept.path("tmp")}
	b.stages["0"] = s
	if err := os.Mkdir(s.root, 0o755); err != nil {
		return 0, err
	}
	if err := s.mount(b.spec.UserNS); err != nil {
		return 0, err
	}
	if b.fetched, err = b.openDownloads(); err != nil {
		return 0, err
	}
	args := d.Args
	if len(args) == 0 {
		args = []string{"/bin/sh"}
		if st, err := os.Stat(filepath.Join(s.root, "bin/bash")); err == nil && st.Mode().IsRegular() {
			args = []string{"/bin/bash", "--norc"}
		}
	}
	force := append([]string{"PS1=failed build> "}, f.Force...)
	if d.Term != "" {
		force = append(force, "TERM="+d.Term)
	}
	p := plan.Process{Env: b.environment(), Dir: "/", Umask: postUmask, Action: &plan.Action{Name: "exec", Args: args, Force: force}}
	pl, done := b.container(s, p, []byte(f.Script))
	defer done()
	k, err := sandbox.Start(ctx, sandbox.Config{Plan: pl, Stdin: in, Stdout: out, Stderr: errs, Note: note})
	if err != nil {
		return 0, err
	}
	return k.Wait()
}
