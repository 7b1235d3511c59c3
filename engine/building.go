package engine

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"carrel/engine/build"
	"carrel/engine/definition"
	"carrel/engine/image"
	"carrel/engine/launch"
	"carrel/engine/progress"
	"carrel/engine/sandbox"
	"carrel/engine/sif"
)

// carrelArgument is the build argument by which a definition asks for this program's binary (the welcome app does).
const carrelArgument = "{{ CARREL }}"

// Sections are what BuildSpec.Sections may name: "all", "none", "apps" for those of SCIF apps, and sections without their %.
var Sections = []string{"all", "none", "pre", "setup", "files", "post", "environment", "labels", "runscript", "startscript", "test", "help", "apps"}

// BuildError is a build that failed, after it had begun.
type BuildError struct {
	Text, HintText string
	Step           progress.Step
	Section        string
	Line           int
	Log            string // path of the whole log
	// Lines are the last lines of output of the step that failed, oldest first.
	Lines  []string
	Exists bool
	// Kept: the tree is kept as it was when the step failed; Debug opens a shell in it, BuildSpec.Resume goes on with it.
	Kept   bool
	Target string
}

func (e *BuildError) Error() string { return e.Text }

// Hint says what to do about it, and where the whole log is.
func (e *BuildError) Hint() string {
	switch {
	case e.Log == "":
		return e.HintText
	case e.HintText == "":
		return "the whole log is in " + e.Log
	}
	return e.HintText + "; the whole log is in " + e.Log
}

// Is makes a target that exists an ErrExists.
func (e *BuildError) Is(target error) bool { return target == ErrExists && e.Exists }

// workerMessage is a line that a build worker writes.
type workerMessage struct {
	Event  *progress.Event `json:"event,omitempty"`
	Result *build.Result   `json:"result,omitempty"`
	Error  *BuildError     `json:"error,omitempty"`
}

// Build makes an image and returns what it is. It blocks; when ctx ends the build stops and leaves nothing. Errors of the
// definition are *definition.Error, those of the build *BuildError; a target that exists is ErrExists.
func (e *Engine) Build(ctx context.Context, s BuildSpec, sink Sink) (ImageInfo, error) {
	sink = progress.Rated(sink)
	spec, entry, cleanup, err := e.buildSpec(s)
	if err != nil {
		return ImageInfo{}, err
	}
	defer cleanup()
	spec.Called, spec.KeepAs = calledTarget(s, spec.Target), s.keepAs
	if err := e.locking(s, &spec); err != nil {
		return ImageInfo{}, err
	}
	if _, err := os.Lstat(spec.Target); err == nil && !spec.Force && e.own(s, spec.Target) {
		spec.Force = true
	} else if err == nil && !spec.Force && !spec.Update {
		return ImageInfo{}, fmt.Errorf("build %s: %w", spec.Target, ErrExists)
	}
	// Before the work, not after it.
	if !spec.Update {
		if err := image.CheckReplace(spec.Target); err != nil {
			return ImageInfo{}, err
		}
	}
	if isFile(s) {
		info, _, err := e.download(ctx, s, spec.Target, sink)
		return info, err
	}
	// Mistakes in the definition are told before anything is started.
	f, err := definition.ParseString(spec.Text, definition.Options{Name: spec.Name, BuildArgs: spec.BuildArgs})
	if err == nil {
		err = f.Check()
	}
	if err != nil {
		return ImageInfo{}, err
	}
	log, err := e.openLog(s, spec.Target)
	if err != nil {
		return ImageInfo{}, err
	}
	defer log.Close()
	for _, kind := range []struct {
		asked bool
		kind  launch.GPUKind
	}{{s.NV, launch.GPUNvidia}, {s.ROCm, launch.GPUAMD}} {
		if !kind.asked {
			continue
		}
		g, err := launch.FindGPU("/", kind.kind)
		if err != nil {
			sink.Send(Event{Time: e.c.Now(), Kind: progress.Notice, Step: progress.StepRead, Text: err.Error()})
			continue
		}
		spec.GPUs = append(spec.GPUs, g)
	}
	var last tail
	res, err := e.runWorker(ctx, spec, func(ev Event) {
		last.note(ev)
		writeLog(log, ev)
		sink.Send(ev)
	})
	if err != nil {
		var be *BuildError
		if errors.As(err, &be) {
			be.Log, be.Target, be.Lines = log.Name(), cmp.Or(spec.KeepAs, spec.Target), last.lines
			fmt.Fprintf(log, "failed: %s\n", be.Text)
		}
		return ImageInfo{}, err
	}
	err = e.setRecord(res.Path, func(r *record) {
		r.Catalog, r.Hash, r.From, r.Definition, r.State = "", "", "", "", ""
		if path := e.expand(s.Definition); isDefinition(path) {
			r.Definition, r.State = path, fileState(res.Path)
		}
		if entry != nil {
			r.Catalog, r.Hash = entry.Name, e.entryHash(*entry)
		}
		if isRemote(s.Definition) {
			r.From = s.Definition
		}
	})
	if err != nil {
		return ImageInfo{}, err
	}
	if err := e.writeLock(s, res.Lock); err != nil {
		return ImageInfo{}, err
	}
	info, err := e.describe(res.Path)
	info.Unchanged = res.Unchanged
	return info, err
}

// calledTarget is how a person may name the target of a build on a command line: as it was given, or by its name in the store.
func calledTarget(s BuildSpec, target string) string {
	return quote(cmp.Or(s.keepCalled, s.Target, shortName(target)))
}

// tail keeps the last lines of output of the current step.
type tail struct{ lines []string }

// tailLines is how many lines tell what went wrong.
const tailLines = 20

func (t *tail) note(ev Event) {
	switch ev.Kind {
	case progress.Start:
		t.lines = nil
	case progress.Line:
		if t.lines = append(t.lines, ev.Text); len(t.lines) > tailLines {
			t.lines = t.lines[1:]
		}
	}
}

func isRemote(name string) bool {
	for _, p := range remotes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// buildSpec works out what is to be built. cleanup removes what it unpacked.
func (e *Engine) buildSpec(s BuildSpec) (build.Spec, *CatalogEntry, func(), error) {
	nothing := func() {}
	spec := build.Spec{
		Target: s.Target, Sandbox: s.Sandbox, Force: s.Force, NoTest: s.NoTest, Compression: s.Compression, Level: s.Level,
		BuildArgs: map[string]string{}, Cache: e.c.CacheDir, Work: e.workDir(), Mirror: e.c.Mirror, HostApt: e.c.HostApt, Registries: e.access(), Library: e.c.Library, Platform: s.Platform, DockerHost: e.c.DockerHost,
		Version: e.c.Version, Time: s.Time, Folders: []string{e.c.User.Cwd}, CacheLimit: e.c.CacheLimit,
		NoCache: s.NoCache, Update: s.Update, Resume: s.Resume, Sections: s.Sections, Reproducible: s.Reproducible,
	}
	if spec.Time.IsZero() {
		spec.Time = e.c.Now()
	}
	for _, b := range s.Binds {
		dest := b.Dest
		if dest == "" {
			dest = e.expand(b.Source)
		}
		spec.Binds = append(spec.Binds, build.Bind{Source: e.expand(b.Source), Dest: dest, ReadOnly: b.ReadOnly})
	}
	for k, v := range s.BuildArgs {
		spec.BuildArgs[k] = v
	}
	spec.Resolv, _ = os.ReadFile("/etc/resolv.conf") // without one there is no network to speak of
	spec.Hosts, _ = os.ReadFile("/etc/hosts")
	spec.Proxies = proxies(e.c.User.Env)
	spec.Variables = variables(e.c.User.Env)
	name := s.Definition
	switch path := e.expand(name); {
	case isRemote(name):
		agent, from, _ := strings.Cut(name, ":")
		spec.Text = fmt.Sprintf("Bootstrap: %s\nFrom: %s\n", agent, strings.TrimPrefix(from, "//"))
		spec.Name = name
	case isDefinition(path):
		text, err := readDefinition(path)
		if err != nil {
			return spec, nil, nothing, err
		}
		if st, err := os.Stat(path); err == nil && st.IsDir() {
			path = filepath.Join(path, "Singularity")
		}
		spec.Text, spec.Name = text, path
		spec.Folders = append(spec.Folders, filepath.Dir(path))
	case exists(path):
		if k := kind(path); k == sif.KindUnknown {
			return spec, nil, nothing, fmt.Errorf("build %s: neither a definition file nor an image", name)
		}
		spec.Text, spec.Name, spec.Convert = "Bootstrap: localimage\nFrom: "+path+"\n", path, true
	default:
		return e.catalogSpec(spec, name)
	}
	if spec.Target == "" {
		base := shortName(spec.Name)
		if base == "Singularity" {
			base = filepath.Base(filepath.Dir(spec.Name))
		}
		spec.Target = filepath.Join(e.imageDir(), base+".sif")
	}
	spec.Target = e.expand(spec.Target)
	return spec, nil, nothing, nil
}

// catalogSpec is the build of a catalog entry; its files are unpacked for the time of the build.
func (e *Engine) catalogSpec(spec build.Spec, name string) (build.Spec, *CatalogEntry, func(), error) {
	if e.c.Catalog == nil {
		return spec, nil, func() {}, &NameError{Name: name}
	}
	entry, err := e.c.Catalog.Lookup(name)
	if err != nil {
		if errors.Is(err, ErrNotFound) {
			err = &NameError{Name: name, Close: e.similar(name, err)}
		}
		return spec, nil, func() {}, err
	}
	if entry.Refused != nil {
		return spec, nil, func() {}, entry.Refused
	}
	dir, cleanup, err := e.scratch("entry-")
	if err != nil {
		return spec, nil, func() {}, err
	}
	if entry.Files != nil {
		if err := copyEntry(filepath.Join(dir, "files"), entry.Files, ".", 0); err != nil {
			cleanup()
			return spec, nil, func() {}, fmt.Errorf("unpack catalog entry %s: %w", name, err)
		}
	}
	spec.Text, spec.Name = entry.Text, entry.Name
	// A catalog entry is complete in itself: files of the working directory are none of its business.
	spec.Folders = []string{filepath.Join(dir, "files")}
	if strings.Contains(entry.Text, carrelArgument) {
		spec.BuildArgs["CARREL"] = e.c.Self
	}
	if spec.Target == "" {
		spec.Target = e.entryImage(entry)
		spec.Force = true // the store's copy of a catalog entry is Carrel's own
	}
	spec.Target = e.expand(spec.Target)
	return spec, &entry, cleanup, nil
}

func exists(p string) bool {
	_, err := os.Stat(p)
	return err == nil
}

// maxDefinition is the size up to which a file is taken for a definition.
const maxDefinition = 16 << 20

// isDefinition tells whether a path is a definition file, or a folder with one that is not a container's root.
func isDefinition(path string) bool {
	st, err := os.Stat(path)
	if err != nil {
		return false
	}
	if st.IsDir() {
		return exists(filepath.Join(path, "Singularity")) && !exists(filepath.Join(path, "bin")) && !exists(filepath.Join(path, ".singularity.d"))
	}
	if !st.Mode().IsRegular() || st.Size() > maxDefinition {
		return false
	}
	if kind(path) != sif.KindUnknown {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, 4096)
	n, _ := io.ReadFull(f, head)
	return !strings.ContainsRune(string(head[:n]), 0)
}

// kind is what sort of image a path holds.
func kind(path string) sif.Kind {
	k, _, err := sif.Detect(path)
	if err != nil {
		return sif.KindUnknown
	}
	return k
}

func readDefinition(path string) (string, error) {
	if st, err := os.Stat(path); err == nil && st.IsDir() {
		path = filepath.Join(path, "Singularity")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read definition: %w", err)
	}
	return string(data), nil
}

// variables are those by which the caller's environment takes part in a build.
func variables(env []string) map[string]string {
	out := map[string]string{}
	for _, kv := range env {
		if k, v, _ := strings.Cut(kv, "="); k == "INCLUDE" || k == "GPG" {
			out[k] = v
		}
	}
	return out
}

func proxies(env []string) []string {
	var out []string
	for _, kv := range env {
		k, _, _ := strings.Cut(kv, "=")
		switch strings.ToLower(k) {
		case "http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy":
			out = append(out, kv)
		}
	}
	return out
}

// buildIDs chooses who "root" is in a build: real root, root with subordinate ids, or root alone.
func (e *Engine) buildIDs() (ids sandbox.IDMap, kind string) {
	if e.c.User.UID == 0 {
		return sandbox.NoIDMap(), "root"
	}
	if m, err := sandbox.RootWithRanges(); err == nil {
		return m, "ranges"
	}
	return sandbox.SingleID(0, 0), "single"
}

// runWorker builds in a worker process and passes its events on.
func (e *Engine) runWorker(ctx context.Context, spec build.Spec, sink Sink) (build.Result, error) {
	ids, kind := e.buildIDs()
	spec.IDKind, spec.UserNS, spec.SingleID = kind, kind != "root", kind == "single"
	inR, inW, err := os.Pipe()
	if err != nil {
		return build.Result{}, err
	}
	defer inR.Close()
	outR, outW, err := os.Pipe()
	if err != nil {
		inW.Close()
		return build.Result{}, err
	}
	defer outR.Close()
	errR, errW, err := os.Pipe()
	if err != nil {
		inW.Close()
		outW.Close()
		return build.Result{}, err
	}
	defer errR.Close()
	w, err := sandbox.StartWorker(ctx, ids, []string{workBuild}, inR, outW, errW)
	outW.Close()
	errW.Close()
	if err != nil {
		inW.Close()
		return build.Result{}, err
	}
	go func() {
		_ = json.NewEncoder(inW).Encode(spec) // a worker that died says so by its status
		inW.Close()
	}()
	var trouble strings.Builder
	var reading sync.WaitGroup
	reading.Go(func() { _, _ = io.Copy(&trouble, io.LimitReader(errR, 64<<10)); _, _ = io.Copy(io.Discard, errR) })
	var res *build.Result
	var failed *BuildError
	dec := json.NewDecoder(bufio.NewReaderSize(outR, 64<<10))
	for {
		var m workerMessage
		if err := dec.Decode(&m); err != nil {
			break
		}
		switch {
		case m.Event != nil:
			sink.Send(*m.Event)
		case m.Result != nil:
			res = m.Result
		case m.Error != nil:
			failed = m.Error
		}
	}
	status, werr := w.Wait()
	reading.Wait()
	switch {
	case ctx.Err() != nil && res == nil:
		return build.Result{}, ctx.Err()
	case failed != nil:
		return build.Result{}, failed
	case res != nil:
		return *res, nil
	case werr != nil:
		return build.Result{}, werr
	}
	text := strings.TrimSpace(trouble.String())
	if text == "" {
		text = fmt.Sprintf("exit status %d", status)
	}
	return build.Result{}, &BuildError{Text: "build worker: " + text}
}

// buildWorker is the worker's side: it reads the order, builds, and writes what happens.
func buildWorker(ctx context.Context, in io.Reader, out io.Writer) int {
	var spec build.Spec
	enc := json.NewEncoder(out)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Nobody reads any more: the build ends, and tidies up, instead of dying of the signal. (Handled, not ignored, which
	// sections would inherit.)
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	defer signal.Stop(broken)
	var mu sync.Mutex
	say := func(m workerMessage) {
		mu.Lock()
		defer mu.Unlock()
		if enc.Encode(m) != nil {
			cancel()
		}
	}
	if err := json.NewDecoder(in).Decode(&spec); err != nil {
		say(workerMessage{Error: &BuildError{Text: "read build order: " + err.Error()}})
		return 255
	}
	res, err := build.Run(ctx, spec, func(ev Event) { say(workerMessage{Event: &ev}) })
	if err != nil {
		be := &BuildError{Text: err.Error(), HintText: Hint(err), Exists: errors.Is(err, build.ErrExists)}
		var se *build.StepError
		if errors.As(err, &se) {
			be.Step, be.Section, be.Line, be.Kept = se.Step, se.Section, se.Line, se.Kept
		}
		say(workerMessage{Event: &Event{Time: time.Now(), Kind: progress.Failed, Step: be.Step, Text: be.Text, Hint: be.HintText}})
		say(workerMessage{Error: be})
		return 1
	}
	say(workerMessage{Result: &res})
	return 0
}

// maxLogs is how many logs of builds are kept.
const maxLogs = 50

func (e *Engine) openLog(s BuildSpec, target string) (*os.File, error) {
	if s.LogFile != "" {
		return os.Create(e.expand(s.LogFile))
	}
	if old, err := os.ReadDir(e.logDir()); err == nil && len(old) >= maxLogs {
		for _, o := range old[:len(old)-maxLogs+1] { // names begin with the time
			_ = os.Remove(filepath.Join(e.logDir(), o.Name()))
		}
	}
	name := e.c.Now().UTC().Format("20060102T150405.000") + "-" + shortName(target) + ".log"
	return os.OpenFile(filepath.Join(e.logDir(), name), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
}

func writeLog(w io.Writer, ev Event) {
	at := ev.Time.UTC().Format(time.RFC3339)
	switch ev.Kind {
	case progress.Line:
		fmt.Fprintf(w, "%s %-8s %s\n", at, ev.Step, ev.Text)
	case progress.Start, progress.Done, progress.Notice, progress.Failed:
		fmt.Fprintf(w, "%s %-8s [%s] %s\n", at, ev.Step, ev.Kind, ev.Text)
	}
}

// Definition returns the text of the definition file that a name stands for: of a catalog entry, or from inside an image.
func (e *Engine) Definition(ctx context.Context, name string) (string, error) {
	if path := e.expand(name); isDefinition(path) {
		return readDefinition(path)
	}
	t, err := e.Resolve(ctx, name)
	if err != nil {
		return "", err
	}
	if t.Kind == TargetCatalog {
		entry, err := e.c.Catalog.Lookup(t.Name)
		return entry.Text, err
	}
	if !t.Built {
		return "", fmt.Errorf("definition of %s: %w", name, ErrNotFound)
	}
	img, err := image.Open(t.Path)
	if err != nil {
		return "", err
	}
	defer img.Close()
	return img.Definition(), nil
}
