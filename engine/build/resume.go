package build

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"carrel/engine/definition"
	"carrel/engine/progress"
	"carrel/engine/tree"
)

// A build that is gone on with takes the kept tree of its stage where it lies, so that nothing of it is lost however this
// build ends. Sections that were carried out before the failed one are left out, that one and those behind it run. A section
// that failed runs again from its beginning: which of its commands have had their effect, nobody knows but the person.

// doneSection is a section that was carried out, and what it was.
type doneSection struct {
	Name   string `json:"name"` // "%post", "%appinstall NAME"
	Digest string `json:"digest"`
}

// ResumeError is a kept tree that does not fit what is to be built.
type ResumeError struct {
	Target string
	Called string // what the person calls it
	Text   string
}

func (e *ResumeError) Error() string {
	return fmt.Sprintf("resume build of %s: %s", e.Target, e.Text)
}

// Hint says what can be done instead.
func (e *ResumeError) Hint() string {
	return "build without --resume to begin anew: the container of the failed build stays until then, and `carrel debug " + e.Called + "` opens it"
}

// resumes tells whether a stage goes on with a kept tree.
func (b *builder) resumes(s *stage) bool { return s.kept != nil }

// openKept finds what an order to go on means, when it begins.
func (b *builder) openKept() error {
	if !b.spec.Resume {
		return nil
	}
	kept, err := openEntry(b.failedFolder())
	if err == nil && kept.info.Failed == nil {
		kept.close()
		err = os.ErrNotExist
	}
	if err != nil {
		return fmt.Errorf("resume build of %s: %w", b.keptName(), errNothingKept)
	}
	b.resume = kept
	b.hold(kept)
	b.opaque = true
	if f := kept.info.Failed; f.Stage >= len(b.file.Stages) {
		return b.refuseResume("the definition has no longer the stage that failed")
	}
	return nil
}

func (b *builder) refuseResume(text string) error {
	return &ResumeError{Target: b.keptName(), Called: b.spec.Called, Text: text}
}

// takeKept makes the kept tree that of the stage, when it is the stage that failed.
func (b *builder) takeKept(ctx context.Context, s *stage) error {
	if b.resume == nil || b.resume.info.Failed.Stage != s.index {
		return nil
	}
	f := b.resume.info.Failed
	if f.Base != s.base.key {
		return b.refuseResume("its base is another one than when it failed")
	}
	if err := b.holdLowers(f); err != nil {
		return err
	}
	if err := b.alone(b.resume); err != nil {
		return err
	}
	s.kept, s.lowers, s.done = b.resume, f.Lowers, slices.Clone(f.Done)
	for k, v := range f.Labels {
		s.labels[k] = v
	}
	b.remarkChanges(ctx, s)
	return nil
}

// remarkChanges tells of sections that are left out although they are not what they were.
func (b *builder) remarkChanges(ctx context.Context, s *stage) {
	now := map[string]string{}
	for _, d := range b.prepared(s, b.hostFiles(ctx, s)) {
		now[d.Name] = d.Digest
	}
	for _, sec := range b.executed(s.def) {
		now[sec.name] = sectionDigest(sec.Section)
	}
	if sec := s.def.Section("test"); !sec.IsEmpty() {
		now["%test"] = sectionDigest(sec)
	}
	var changed []string
	for _, d := range s.done {
		if now[d.Name] != d.Digest {
			changed = append(changed, d.Name)
		}
		delete(now, d.Name)
	}
	for _, name := range []string{"%setup", "%files"} { // added since
		if _, added := now[name]; added {
			changed = append(changed, name)
		}
	}
	if len(changed) > 0 {
		b.sink.Notice(progress.StepFetch, strings.Join(changed, ", ")+" changed since the build failed, and what came before the failed section is not carried out again; for that, build without --resume")
	}
	failed := b.resume.info.Failed.Section
	switch {
	case s.did(failed):
		b.sink.Notice(progress.StepFetch, "the build goes on behind "+failed+", which had ended well")
	case failed == "%test":
		b.sink.Notice(progress.StepFetch, "the build goes on with %test, in the container as it was left")
	default:
		b.sink.Notice(progress.StepFetch, failed+" runs again from its beginning, in the container as it was left: what it made before it failed is there already")
	}
}

// finished notes that a section of a stage was carried out.
func (s *stage) finished(name string, sec *definition.Section) {
	if !s.did(name) {
		s.done = append(s.done, doneSection{name, sectionDigest(sec)})
	}
}

// did tells whether a section was carried out, by this build or the one that it goes on with.
func (s *stage) did(name string) bool {
	return slices.ContainsFunc(s.done, func(d doneSection) bool { return d.Name == name })
}

func sectionDigest(sec *definition.Section) string { return digest(sec.Args, sec.Body) }

// prepared are the sections that make the tree in which %post begins; files are the digests of what was copied.
func (b *builder) prepared(s *stage, files []string) []doneSection {
	var out []doneSection
	if sec := s.def.Section("setup"); b.wants("setup") && !sec.IsEmpty() {
		out = append(out, doneSection{"%setup", sectionDigest(sec)})
	}
	var texts []string
	for _, f := range b.copies(s, true) {
		texts = append(texts, f.From, f.Src, f.Dst)
	}
	for _, f := range b.copies(s, false) {
		texts = append(texts, f.Src, f.Dst)
	}
	if len(texts) > 0 {
		slices.Sort(files)
		out = append(out, doneSection{"%files", digest(append(texts, files...)...)})
	}
	return out
}

// copied are the digests of what %files has copied from this computer into a stage.
func (b *builder) copied(s *stage) []string {
	var out []string
	for _, f := range b.files {
		if f.Stage == s.def.Name {
			out = append(out, f.SHA256)
		}
	}
	return out
}

// hostFiles are the digests of what %files would copy from this computer today. What cannot be read makes a difference.
func (b *builder) hostFiles(ctx context.Context, s *stage) []string {
	var sums sumsOnly
	c := copier{ctx: ctx, sink: &sums, follow: true}
	for _, f := range b.copies(s, false) {
		from, err := b.globHost(f.Src)
		for _, p := range from {
			if err == nil {
				err = c.add(p, filepath.Base(p), 0)
			}
		}
		if err != nil {
			sums = append(sums, "unreadable")
		}
	}
	return sums
}

// sumsOnly is a sink that keeps the digests of files.
type sumsOnly []string

func (s *sumsOnly) Add(e tree.Entry, body io.Reader) error {
	if !e.IsRegular() || body == nil {
		return nil
	}
	h := sha256.New()
	if _, err := io.Copy(h, body); err != nil {
		return err
	}
	*s = append(*s, fmt.Sprintf("%x", h.Sum(nil)))
	return nil
}

// noteDone notes, of a kept tree, which sections are done, when the build ends before there is an image and without a
// section that failed: the disk was full, say.
func (b *builder) noteDone(s *stage) {
	if s == nil || s.kept == nil {
		return
	}
	info := s.kept.info
	f := *info.Failed
	f.Done, f.Labels = s.done, s.labels
	if s.prior != nil {
		f.Prior = s.prior
	}
	info.Failed = &f
	if err := s.kept.rewrite(info); err != nil {
		b.sink.Notice(progress.StepPack, "what was done cannot be noted, and will be done again by --resume: "+err.Error())
	}
}
