package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"carrel/engine/definition"
	"carrel/engine/progress"
	"carrel/engine/tree"
)

// layerFormat changes when layers that were made before must not be used any more.
const layerFormat = "layer 1"

// layerInfo is what the cache remembers of the result of %post.
type layerInfo struct {
	Labels map[string]string `json:"labels"` // written by %post
	// Files are the regular files that were there before %post, by path.
	Files map[string]layerFile `json:"files"`
}

// layerFile is a file from before %post. One that %post has neither read nor changed has no part in its result.
type layerFile struct {
	Digest string `json:"digest"`
	Unread bool   `json:"unread,omitempty"`
}

// layerKey names what %post and %appinstall of a stage are run upon and with, and by whom: all but the contents of files,
// which are compared one by one.
func (b *builder) layerKey(s *stage, d *treeDigest, idKind string) string {
	texts := []string{layerFormat, idKind, s.base.key, d.shape}
	for _, sec := range b.executed(s.def) {
		texts = append(texts, sec.name, sec.Args, sec.Body)
	}
	if b.spec.Reproducible { // sections see it
		texts = append(texts, b.spec.Time.UTC().String())
	}
	return digest(texts...)
}

// layerID tells a layer from others, also from those that were or will be at its place in the cache. A reproducible image
// does not tell of the latter, nor of who made it: they are meant to be the same.
func (b *builder) layerID(s *stage, e *entry, d *treeDigest) string {
	if b.spec.Reproducible {
		return b.layerKey(s, d, "")
	}
	return e.info.Key + fmt.Sprint(" ", e.info.Made.UnixNano())
}

// namedSection is a section with the name to call it by.
type namedSection struct {
	*definition.Section
	name string
}

// executed are the sections of a stage that install something.
func (b *builder) executed(def *definition.Stage) []namedSection {
	var out []namedSection
	if sec := def.Section("post"); b.wants("post") && !sec.IsEmpty() {
		out = append(out, namedSection{sec, "%post"})
	}
	for _, app := range def.Apps {
		if sec := app.Section("install"); b.wants("apps") && !sec.IsEmpty() {
			out = append(out, namedSection{sec, "%appinstall " + app.Name})
		}
	}
	return out
}

// reuse puts the result of an earlier run of %post under the stage's tree, where there is one that would be the same
// today. Files that %post did not look at may have changed: they are taken as they are now.
func (b *builder) reuse(ctx context.Context, s *stage, key string, d *treeDigest) (bool, error) {
	if b.spec.NoCache {
		return false, nil
	}
	dirs, err := filepath.Glob(filepath.Join(b.spec.Cache, kindLayers, key+"-*"))
	if err != nil {
		return false, err
	}
	for _, dir := range dirs {
		e, err := openEntry(dir)
		if err != nil {
			continue // pruned meanwhile
		}
		changed, ok := e.fits(key, d)
		if !ok {
			e.close()
			continue
		}
		b.hold(e)
		s.fixed = append(s.fixed, b.layerID(s, e, d))
		s.labels = e.info.Layer.Labels
		return true, b.putUnder(ctx, s, e, changed)
	}
	return false, nil
}

// fits tells whether a layer would be the same if it were made of the tree d, and which files are to be replaced.
func (e *entry) fits(key string, d *treeDigest) (changed []string, ok bool) {
	l := e.info.Layer
	if e.info.Key != key || l == nil || len(l.Files) != len(d.files) {
		return nil, false
	}
	for p, now := range d.files {
		f, known := l.Files[p]
		switch {
		case !known || f.Digest != now && !f.Unread:
			return nil, false
		case f.Digest != now:
			changed = append(changed, p)
		}
	}
	return changed, true
}

// putUnder mounts the stage anew with the layer below, and what was changed of it on top.
func (b *builder) putUnder(ctx context.Context, s *stage, e *entry, changed []string) error {
	if err := s.unmount(); err != nil {
		return err
	}
	before := filepath.Join(s.dir, "before")
	if err := os.Rename(s.upper(), before); err != nil {
		return err
	}
	s.lowers = append(s.lowers, e.path("upper"))
	if err := s.mount(b.spec.UserNS); err != nil {
		return err
	}
	if len(changed) == 0 {
		return nil
	}
	keep := map[string]bool{}
	for _, p := range changed {
		keep[p] = true
	}
	u, err := tree.Unpack(s.root, tree.UnpackOptions{Owners: !b.spec.SingleID})
	if err != nil {
		return err
	}
	err = tree.Dir(before, tree.DirOptions{}).WriteTo(ctx, only{u, keep})
	_, cerr := u.Close()
	return errors.Join(err, cerr)
}

// only passes the regular files of some paths on.
type only struct {
	tree.Sink
	paths map[string]bool
}

func (o only) Add(e tree.Entry, body io.Reader) error {
	if !o.paths[e.Path] || !e.IsRegular() {
		return nil
	}
	return o.Sink.Add(e, body)
}

func lstat(p string) (*syscall.Stat_t, error) {
	var st syscall.Stat_t
	if err := syscall.Lstat(p, &st); err != nil {
		return nil, &fs.PathError{Op: "lstat", Path: p, Err: err}
	}
	return &st, nil
}

// saveLayer keeps what %post has made as a layer of the cache, and goes on above it.
func (b *builder) saveLayer(s *stage, key string, d *treeDigest, unread map[string]bool) error {
	info := entryInfo{Key: key, Describe: b.layerName(s), Made: time.Now(), Layer: &layerInfo{Labels: s.labels, Files: map[string]layerFile{}}}
	for p, sum := range d.files {
		info.Layer.Files[p] = layerFile{Digest: sum, Unread: unread[p]}
	}
	if err := clean(s.root); err != nil {
		return err
	}
	if err := s.unmount(); err != nil {
		return err
	}
	part := filepath.Join(s.dir, "layer")
	if err := os.Mkdir(part, 0o755); err != nil {
		return err
	}
	if err := os.Rename(s.upper(), filepath.Join(part, "upper")); err != nil {
		return err
	}
	info.Size = diskUsage(part)
	dir := filepath.Join(b.spec.Cache, kindLayers, key+"-"+digest(d.all())[:8])
	if b.spec.NoCache { // the new one takes the place; a build that uses the old one keeps both from it
		if _, err := removeEntry(dir); err != nil {
			return err
		}
		if isDir(dir) {
			dir += fmt.Sprintf("-%d", time.Now().UnixNano())
		}
	}
	e, err := putEntry(part, dir, info)
	if err != nil {
		return err
	}
	b.hold(e)
	s.fixed = append(s.fixed, b.layerID(s, e, d))
	s.lowers = append(s.lowers, e.path("upper"))
	return s.mount(b.spec.UserNS)
}

func (b *builder) layerName(s *stage) string {
	name := filepath.Base(b.spec.Name)
	if dir := filepath.Base(filepath.Dir(b.spec.Name)); name == "Singularity" && dir != "." && dir != "/" {
		name = dir
	}
	if s.def.Name != "" {
		name += ", stage " + s.def.Name
	}
	return name + " (" + strings.TrimSpace(describe(s.def)) + ")"
}

// install runs %post and %appinstall, or takes over what they made when they were run on the same before.
func (b *builder) install(ctx context.Context, s *stage) error {
	runs := len(b.executed(s.def)) > 0
	if !s.overlay || b.resumes(s) {
		b.opaque = true
		return b.execute(ctx, s)
	}
	d, err := digestTree(ctx, s.upper())
	if err != nil {
		return b.fail(progress.StepInstall, err)
	}
	s.fixed = []string{s.base.key, d.all()}
	b.inputs = append(b.inputs, s.fixed...)
	if s.last && b.unchanged() {
		return errUnchanged
	}
	if !runs || len(b.spec.Binds) > 0 || len(b.spec.GPUs) > 0 { // what is bound is not known
		return b.execute(ctx, s)
	}
	key := b.layerKey(s, d, b.spec.IDKind)
	switch found, err := b.reuse(ctx, s, key, d); {
	case err != nil:
		return b.fail(progress.StepInstall, err)
	case found:
		for _, sec := range b.executed(s.def) {
			step := progress.StepInstall
			if sec.name != "%post" {
				step = progress.StepApps
			}
			b.start(step, "")
			s.finished(sec.name, sec.Section)
			b.done(step, sec.name+" has not changed: its result is taken from the cache")
		}
		return nil
	}
	watch := watchReads(s, d)
	err = b.execute(ctx, s)
	unread := watch.stop()
	if err != nil {
		return err
	}
	if err := b.saveLayer(s, key, d, unread); err != nil {
		return b.fail(progress.StepInstall, err)
	}
	return nil
}

// execute runs %post and %appinstall.
func (b *builder) execute(ctx context.Context, s *stage) error {
	err := b.post(ctx, s)
	if err == nil {
		err = b.apps(ctx, s)
	}
	return err
}
