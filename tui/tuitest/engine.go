package tuitest

import (
	"context"
	"fmt"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	"carrel/engine"
	"carrel/engine/progress"
	"carrel/internal/amount"
	"carrel/tui/task"
)

// Engine answers from memory. Its methods may be called from any goroutine; its fields are set before it is used.
type Engine struct {
	Clock    func() time.Time
	Home     string               // what ~ stands for in commands
	Cards    map[string]task.Card // by name and by path
	Defs     map[string]string    // definition text, by name and by path
	Checks   []engine.Check       // what Doctor finds
	Folders  map[string]engine.FolderState
	Taken    map[int]string           // ports in use, and by whom
	Layers   int                      // how many times changes were kept in each image
	Others   bool                     // other people use the computer, and ports are guarded
	Cached   []engine.CacheUse        // what the cache holds
	Targets  map[string]engine.Target // what names stand for; others are paths that are not there
	Events   []engine.Event           // what a build tells
	Pause    time.Duration            // between the events of a build, and before an app answers
	BuildErr error                    // how a build ends
	StartErr error                    // how a start ends
	Starting time.Duration            // how long a start takes
	Pushing  time.Duration            // how long a push takes
	Unsaved  *engine.Unsaved          // changes that a start with Writable finds
	KeepErr  error                    // how a start with Writable ends
	ListErr  error                    // why not all apps are listed
	Answers  bool                     // apps that are started get an address after Pause
	Use      engine.Usage             // what apps use; zero: something that grows with time
	Slowly   time.Duration            // how long it takes to read what the images say of themselves

	mu        sync.Mutex
	images    []engine.ImageInfo
	instances []engine.Instance
	logs      map[string][]engine.LogLine
	watchers  map[chan struct{}]bool
	changed   chan struct{} // closed and replaced when a log grew or an app changed
	Calls     []string      // what was asked for, as "Verb object"
	running   sync.WaitGroup
}

// NewEngine makes an engine that knows nothing.
func NewEngine(clock func() time.Time) *Engine {
	return &Engine{
		Clock: clock, Home: Home, Cards: map[string]task.Card{}, Defs: map[string]string{}, Folders: map[string]engine.FolderState{},
		Taken: map[int]string{}, Targets: map[string]engine.Target{}, logs: map[string][]engine.LogLine{},
		watchers: map[chan struct{}]bool{}, changed: make(chan struct{}),
	}
}

var _ task.Engine = (*Engine)(nil)

func (e *Engine) called(verb, object string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.Calls = append(e.Calls, strings.TrimSpace(verb+" "+object))
}

// Called tells whether a call was made.
func (e *Engine) Called(call string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.Calls {
		if c == call {
			return true
		}
	}
	return false
}

// AddImage puts an image on the desk.
func (e *Engine) AddImage(i engine.ImageInfo) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.images = append(e.images, i)
	e.Targets[i.Path] = engine.Target{Kind: engine.TargetImage, Name: i.Name, Path: i.Path, Built: true}
}

// Put adds an app, or replaces the one of its name, and tells those who watch.
func (e *Engine) Put(in engine.Instance) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range e.instances {
		if e.instances[i].Name == in.Name {
			e.instances[i] = in
			e.tell()
			return
		}
	}
	e.instances = append(e.instances, in)
	e.tell()
}

// Change changes an app that is there.
func (e *Engine) Change(name string, f func(*engine.Instance)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range e.instances {
		if e.instances[i].Name == name {
			f(&e.instances[i])
		}
	}
	e.tell()
}

// Log lets an app write lines.
func (e *Engine) Log(name string, lines ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, l := range lines {
		e.logs[name] = append(e.logs[name], engine.LogLine{Time: e.Clock(), Stream: "out", Text: l})
	}
	close(e.changed)
	e.changed = make(chan struct{})
}

// tell wakes everybody; e.mu is held.
func (e *Engine) tell() {
	for w := range e.watchers {
		select {
		case w <- struct{}{}:
		default:
		}
	}
	close(e.changed)
	e.changed = make(chan struct{})
}

// Resolve finds what a name stands for.
func (e *Engine) Resolve(_ context.Context, name string) (engine.Target, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if t, ok := e.Targets[name]; ok {
		return t, nil
	}
	return engine.Target{}, fmt.Errorf("resolve %s: %w", name, engine.ErrNotFound)
}

// Images lists the images.
func (e *Engine) Images(context.Context) ([]engine.ImageInfo, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]engine.ImageInfo(nil), e.images...), nil
}

// ListImages lists the images; with Slowly, first without what they say of themselves.
func (e *Engine) ListImages(ctx context.Context, soon func([]engine.ImageInfo)) ([]engine.ImageInfo, error) {
	list, err := e.Images(ctx)
	if soon != nil && e.Slowly > 0 && err == nil {
		names := append([]engine.ImageInfo(nil), list...)
		for i := range names {
			names[i].Kind, names[i].Arch, names[i].Title, names[i].Problem = "", "", "", ""
		}
		soon(names)
		err = sleep(ctx, e.Slowly)
	}
	return list, err
}

// RemoveImage forgets an image.
func (e *Engine) RemoveImage(_ context.Context, path string) error {
	e.called("remove", path)
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, m := range e.images {
		if m.Path == path {
			e.images = append(e.images[:i:i], e.images[i+1:]...)
			return nil
		}
	}
	return fmt.Errorf("remove %s: %w", path, engine.ErrNotFound)
}

// Card is what a name says of itself.
func (e *Engine) Card(_ context.Context, name string) (task.Card, error) { return e.Cards[name], nil }

// Definition is what a name was built from.
func (e *Engine) Definition(_ context.Context, name string) (string, error) { return e.Defs[name], nil }

// Build tells its events and adds an image.
func (e *Engine) Build(ctx context.Context, spec engine.BuildSpec, sink engine.Sink) (engine.ImageInfo, error) {
	e.called("build", spec.Definition)
	for _, ev := range e.Events {
		if e.Pause > 0 {
			select {
			case <-ctx.Done():
				return engine.ImageInfo{}, ctx.Err()
			case <-time.After(e.Pause):
			}
		}
		ev.Time = e.Clock()
		sink.Send(ev)
	}
	if e.BuildErr != nil {
		return engine.ImageInfo{}, e.BuildErr
	}
	if err := ctx.Err(); err != nil {
		return engine.ImageInfo{}, err
	}
	path := spec.Target
	if path == "" {
		path = "/home/ada/.local/share/carrel/images/" + spec.Definition + ".sif"
	}
	e.Cards[path], e.Defs[path] = e.Cards[spec.Definition], e.Defs[spec.Definition]
	img := engine.ImageInfo{Name: filepath.Base(path), Path: path, Kind: "sif", Size: 38_200_000, ModTime: e.Clock(), Arch: "amd64", Catalog: spec.Definition}
	e.AddImage(img)
	return img, nil
}

// Start adds an app that starts, and answers after a pause.
func (e *Engine) Start(ctx context.Context, spec engine.RunSpec) (engine.Instance, error) {
	e.called("start", spec.Image)
	if err := sleep(ctx, e.Starting); err != nil {
		return engine.Instance{}, err
	}
	if e.Unsaved != nil && spec.Writable && spec.Leftovers == engine.LeftoversAsk {
		return engine.Instance{}, &engine.UnsavedError{Unsaved: *e.Unsaved}
	}
	if spec.Leftovers != engine.LeftoversAsk {
		e.called(string(spec.Leftovers), spec.Image)
	}
	if e.KeepErr != nil && spec.Writable {
		return engine.Instance{}, e.KeepErr
	}
	if e.StartErr != nil {
		return engine.Instance{}, e.StartErr
	}
	name := spec.Name
	if name == "" {
		name = strings.TrimSuffix(filepath.Base(spec.Image), filepath.Ext(spec.Image))
	}
	in := engine.Instance{Name: name, Image: spec.Image, Title: e.Cards[spec.Image].Title, State: engine.StateStarting, Started: e.Clock(),
		Binds: spec.Binds, Spec: spec, Command: e.CommandLine(spec)}
	for _, p := range spec.Ports {
		in.Addresses = append(in.Addresses, engine.Address{URL: fmt.Sprintf("http://127.0.0.1:%d/", p.Host), Host: p.Host, Container: p.Container, Proto: "http"})
	}
	e.Put(in)
	e.Log(name, "Starting …")
	if e.Answers {
		e.running.Add(1)
		go func() {
			defer e.running.Done()
			time.Sleep(e.Pause)
			e.Log(name, "Serving on port "+fmt.Sprint(spec.Ports))
			e.Change(name, func(in *engine.Instance) {
				in.State = engine.StateReady
				in.ReadyIn = e.Clock().Sub(in.Started)
				for i := range in.Addresses {
					in.Addresses[i].Ready = true
				}
			})
		}()
	}
	return in, nil
}

// sleep waits, unless ctx ends before.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// Wait waits for the goroutines of apps that were started.
func (e *Engine) Wait() { e.running.Wait() }

// Instances lists the apps.
func (e *Engine) Instances(context.Context) ([]engine.Instance, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]engine.Instance(nil), e.instances...), e.ListErr
}

// Instance finds an app.
func (e *Engine) Instance(_ context.Context, name string) (engine.Instance, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, in := range e.instances {
		if in.Name == name {
			return in, nil
		}
	}
	return engine.Instance{}, engine.ErrNotFound
}

// Watch tells of changes until ctx ends.
func (e *Engine) Watch(ctx context.Context) (<-chan struct{}, error) {
	in, out := make(chan struct{}, 1), make(chan struct{})
	e.mu.Lock()
	e.watchers[in] = true
	e.mu.Unlock()
	e.running.Add(1)
	go func() {
		defer e.running.Done()
		defer close(out)
		defer func() {
			e.mu.Lock()
			delete(e.watchers, in)
			e.mu.Unlock()
		}()
		for {
			select {
			case <-ctx.Done():
				return
			case <-in:
				select {
				case out <- struct{}{}:
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	return out, nil
}

// Logs hands on what an app has written and writes.
func (e *Engine) Logs(ctx context.Context, name string, o engine.LogOptions, f func([]engine.LogLine) error) error {
	at := 0
	for {
		e.mu.Lock()
		lines, wait := e.logs[name][min(at, len(e.logs[name])):], e.changed
		live := false
		for _, in := range e.instances {
			live = live || in.Name == name && in.State.Live()
		}
		e.mu.Unlock()
		if len(lines) > 0 {
			at += len(lines)
			if err := f(append([]engine.LogLine(nil), lines...)); err != nil {
				return err
			}
		}
		if !o.Follow || !live {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wait:
		}
	}
}

// Uses lets all apps use this much from now on.
func (e *Engine) Uses(u engine.Usage) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.Use = u
}

// Usage says what an app uses.
func (e *Engine) Usage(_ context.Context, name string) (engine.Usage, error) {
	in, err := e.Instance(context.Background(), name)
	if err != nil {
		return engine.Usage{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.Use != (engine.Usage{}) {
		return e.Use, nil
	}
	up := e.Clock().Sub(in.Started)
	return engine.Usage{CPU: up / 20, Memory: 212_000_000, Processes: 4}, nil
}

// Stop ends an app.
func (e *Engine) Stop(_ context.Context, name string, _ time.Duration) error {
	e.called("stop", name)
	e.Change(name, func(in *engine.Instance) { in.State, in.Ended = engine.StateExited, e.Clock() })
	return nil
}

// Restart starts an app again.
func (e *Engine) Restart(ctx context.Context, name string) (engine.Instance, error) {
	e.called("restart", name)
	if in, err := e.Instance(ctx, name); err == nil && in.Spec.Writable && e.Unsaved != nil {
		return engine.Instance{}, &engine.UnsavedError{Unsaved: *e.Unsaved}
	}
	e.Change(name, func(in *engine.Instance) { in.State, in.Started, in.ExitCode = engine.StateReady, e.Clock(), 0 })
	return e.Instance(ctx, name)
}

// Forget takes an app from the list.
func (e *Engine) Forget(_ context.Context, name string) error {
	e.called("forget", name)
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, in := range e.instances {
		if in.Name == name {
			e.instances = append(e.instances[:i:i], e.instances[i+1:]...)
			e.tell()
			return nil
		}
	}
	return engine.ErrNotFound
}

// Doctor finds what it was told to find.
func (e *Engine) Doctor(context.Context) []engine.Check { return e.Checks }

// Folder finds the folders it was told of.
func (e *Engine) Folder(path string) engine.FolderState {
	path = filepath.Clean(path)
	if f, ok := e.Folders[path]; ok {
		f.Path = path
		return f
	}
	return engine.FolderState{Path: path, Problem: "there is no such folder yet"}
}

// Port finds a port free unless it was told otherwise.
func (e *Engine) Port(n int) engine.PortState {
	if who, ok := e.Taken[n]; ok {
		next := n + 1
		for e.Taken[next] != "" {
			next++
		}
		return engine.PortState{Port: n, Holder: who, NextOne: next}
	}
	return engine.PortState{Port: n, Free: true, NextOne: n}
}

// FreeSpace is always the same.
func (e *Engine) FreeSpace() (int64, string) { return 80_000_000_000, "/home/ada/.local/share/carrel" }

// Guarded is as it was told.
func (e *Engine) Guarded() (guarded, others bool) { return e.Others, e.Others }

// Cache holds what it was told.
func (e *Engine) Cache(context.Context) ([]engine.CacheUse, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]engine.CacheUse(nil), e.Cached...), nil
}

// Prune empties kinds of the cache.
func (e *Engine) Prune(_ context.Context, kinds ...string) (engine.Pruned, error) {
	e.called("prune", strings.Join(kinds, " "))
	e.mu.Lock()
	defer e.mu.Unlock()
	var p engine.Pruned
	for i := range e.Cached {
		for _, k := range kinds {
			if c := &e.Cached[i]; c.Kind == k {
				p.Items, p.Size = p.Items+len(c.Items), p.Size+c.Size
				c.Items, c.Size = nil, 0
			}
		}
	}
	return p, nil
}

// CommandLine writes the command of a start.
func (e *Engine) CommandLine(s engine.RunSpec) string {
	parts := []string{"carrel run"}
	for _, b := range s.Binds {
		one := strings.Replace(b.Source, e.Home+"/", "~/", 1) + ":" + b.Dest
		if b.ReadOnly {
			one += ":ro"
		}
		parts = append(parts, "-B "+one)
	}
	for _, p := range s.Ports {
		if p.Host == p.Container {
			parts = append(parts, fmt.Sprintf("-p %d", p.Host))
		} else {
			parts = append(parts, fmt.Sprintf("-p %d:%d", p.Host, p.Container))
		}
	}
	var env []string
	for k, v := range s.Env {
		env = append(env, "--env "+k+"="+v)
	}
	sort.Strings(env)
	parts = append(parts, env...)
	if s.Writable {
		parts = append(parts, "--writable")
	}
	if m := s.Details.Limits.Memory; m > 0 {
		parts = append(parts, "--memory "+amount.FormatBytes(m))
	}
	if s.TimeLimit > 0 {
		parts = append(parts, "--time "+amount.FormatSpan(s.TimeLimit))
	}
	if s.Details.Nvidia {
		parts = append(parts, "--nv")
	}
	if s.Guard != "" {
		parts = append(parts, "--guard="+string(s.Guard))
	}
	parts = append(parts, s.Image)
	return strings.Join(append(parts, s.Args...), " ")
}

// Share hands out nothing, at an address of documentation.
func (e *Engine) Share(ctx context.Context, s engine.ShareSpec) (*engine.Sharing, error) {
	e.called("Share", s.Image)
	if s.Event != nil {
		s.Event(engine.ShareEvent{Kind: engine.ShareBegun, From: "192.0.2.9", Size: 100})
	}
	return &engine.Sharing{Page: "http://192.0.2.7:41234/word/", URL: "http://192.0.2.7:41234/word/image.sif", Name: "image.sif", Size: 100}, nil
}

// Push sends nothing.
func (e *Engine) Push(ctx context.Context, name, ref string, sink engine.Sink) (engine.Pushed, error) {
	e.called("Push", name+" "+ref)
	sink.Send(engine.Event{Kind: progress.Amount, Done: 40, Total: 100, Unit: "bytes"})
	if err := sleep(ctx, e.Pushing); err != nil {
		e.called("Pushing ended", "")
		return engine.Pushed{}, err
	}
	return engine.Pushed{Ref: ref, Digest: "sha256:" + strings.Repeat("0", 64), Size: 100}, nil
}

// BuildCommandLine writes the command of a build.
func (e *Engine) BuildCommandLine(s engine.BuildSpec) string {
	return strings.Join(strings.Fields("carrel build "+s.Target+" "+strings.Replace(s.Definition, e.Home+"/", "~/", 1)), " ")
}
