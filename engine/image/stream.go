package image

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"carrel/engine/tree"
)

// Scaffolded is a source with what PrepareRoot and WriteMetadata would add to it in a folder, so that an image can be
// packed from layers without one. They come last, as a part of their own (tree.Entry.Part). New entries belong to root and have the time now. The source's own files below
// /.singularity.d are held in memory, up to 1 MiB each, until it ends.
func Scaffolded(source tree.Source, m Metadata, now time.Time) tree.Source {
	return &scaffoldedSource{source, m, now}
}

type scaffoldedSource struct {
	source tree.Source
	meta   Metadata
	now    time.Time
}

func (s *scaffoldedSource) WriteTo(ctx context.Context, sink tree.Sink) error {
	held := &memoryTarget{nodes: map[string]*memoryNode{}, now: s.now}
	if err := s.source.WriteTo(ctx, &holdingSink{sink, held}); err != nil {
		return err
	}
	w := &writer{root: held}
	w.prepare()
	w.metadata(s.meta)
	if err := w.failed("add metadata"); err != nil {
		return err
	}
	return held.emit(sink)
}

// holdingSink passes entries on, except for those that may be changed at the end, and takes note of what is there.
type holdingSink struct {
	sink tree.Sink
	held *memoryTarget
}

func (h *holdingSink) Add(e tree.Entry, body io.Reader) error {
	if e.HardLink != "" {
		if n := h.held.nodes[e.HardLink]; n != nil && !n.passed { // its target is not in the sink: make it a file of its own
			copied := n.entry
			copied.Path = e.Path
			return h.Add(copied, bytes.NewReader(n.body))
		}
	}
	inside := e.Path == dotd || strings.HasPrefix(e.Path, dotd+"/")
	old := e.Path == "singularity" || e.Path == "environment"
	if inside && e.HardLink == "" && e.Size <= maxText || old && e.IsRegular() && e.Size <= maxText {
		n := &memoryNode{entry: e}
		if e.IsRegular() {
			n.body = make([]byte, e.Size)
			if _, err := io.ReadFull(body, n.body); err != nil {
				return err
			}
		}
		h.held.nodes[e.Path] = n
		return nil
	}
	if inside || !strings.Contains(e.Path, "/") || watched[e.Path] {
		n := &memoryNode{entry: e, passed: true}
		if e.HardLink != "" {
			n.entry.Mode = tree.TypeRegular
		}
		h.held.nodes[e.Path] = n
	}
	return h.sink.Add(e, body)
}

// watched are the paths below the root's own entries at which prepare looks.
var watched = map[string]bool{"var/tmp": true, "etc/hosts": true, "etc/resolv.conf": true}

// memoryTarget is a target in memory.
type memoryTarget struct {
	nodes map[string]*memoryNode
	now   time.Time
}

type memoryNode struct {
	entry  tree.Entry
	body   []byte
	passed bool // the sink has it already
}

func (n *memoryNode) Name() string       { return path.Base(n.entry.Path) }
func (n *memoryNode) Size() int64        { return n.entry.Size }
func (n *memoryNode) Mode() fs.FileMode  { return n.entry.FileMode() }
func (n *memoryNode) ModTime() time.Time { return n.entry.ModTime }
func (n *memoryNode) IsDir() bool        { return n.entry.IsDir() }
func (n *memoryNode) Sys() any           { return nil }

func (t *memoryTarget) find(op, name string) (*memoryNode, error) {
	if n := t.nodes[name]; n != nil {
		return n, nil
	}
	return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
}

func (t *memoryTarget) add(name string, mode uint32, link, body string) error {
	if t.nodes[name] != nil {
		return &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	t.nodes[name] = &memoryNode{
		entry: tree.Entry{Path: name, Mode: mode, Size: int64(len(body)), Link: link, ModTime: t.now},
		body:  []byte(body),
	}
	return nil
}

func (t *memoryTarget) Lstat(name string) (fs.FileInfo, error) {
	n, err := t.find("lstat", name)
	if err != nil {
		return nil, err
	}
	return n, nil
}

func (t *memoryTarget) ReadFile(name string) ([]byte, error) {
	n, err := t.find("read", name)
	if err != nil {
		return nil, err
	}
	return n.body, nil
}

func (t *memoryTarget) Mkdir(name string, perm fs.FileMode) error {
	return t.add(name, tree.TypeDir|uint32(perm.Perm()), "", "")
}

func (t *memoryTarget) MkdirAll(name string, perm fs.FileMode) error {
	for _, p := range append(parents(name), name) {
		switch n := t.nodes[p]; {
		case n == nil:
			if err := t.Mkdir(p, perm); err != nil {
				return err
			}
		case !n.IsDir():
			return &fs.PathError{Op: "mkdir", Path: name, Err: errors.New("not a directory")}
		}
	}
	return nil
}

// parents are the folders above a path, outermost first.
func parents(name string) []string {
	var list []string
	for p := path.Dir(name); p != "."; p = path.Dir(p) {
		list = append(list, p)
	}
	slices.Reverse(list)
	return list
}

func (t *memoryTarget) Chmod(name string, perm fs.FileMode) error {
	n, err := t.find("chmod", name)
	if err != nil {
		return err
	}
	n.entry.Mode = n.entry.Mode&tree.TypeMask | uint32(perm.Perm())
	if perm&fs.ModeSticky != 0 {
		n.entry.Mode |= 0o1000
	}
	return nil
}

func (t *memoryTarget) Symlink(link, name string) error {
	return t.add(name, tree.TypeSymlink|0o777, link, "")
}

func (t *memoryTarget) Create(name, text string, perm fs.FileMode) error {
	return t.add(name, tree.TypeRegular|uint32(perm.Perm()), "", text)
}

func (t *memoryTarget) Rename(old, now string) error {
	n, err := t.find("rename", old)
	if err != nil {
		return err
	}
	delete(t.nodes, old)
	moved := *n
	moved.entry.Path = now
	t.nodes[now] = &moved
	return nil
}

func (t *memoryTarget) Remove(name string) error {
	if _, err := t.find("remove", name); err != nil {
		return err
	}
	delete(t.nodes, name)
	return nil
}

func (t *memoryTarget) RemoveAll(name string) error {
	maps.DeleteFunc(t.nodes, func(p string, _ *memoryNode) bool { return p == name || strings.HasPrefix(p, name+"/") })
	return nil
}

// emit gives the sink what it does not have yet, parents first, as a part of its own.
func (t *memoryTarget) emit(sink tree.Sink) error {
	part := true
	for _, p := range slices.Sorted(maps.Keys(t.nodes)) {
		n := t.nodes[p]
		if n.passed {
			continue
		}
		n.entry.Part, part = part, false
		var body io.Reader
		if n.entry.IsRegular() {
			n.entry.Size = int64(len(n.body))
			body = bytes.NewReader(n.body)
		}
		if err := sink.Add(n.entry, body); err != nil {
			return err
		}
	}
	return nil
}
