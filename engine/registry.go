package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"carrel/engine/build"
	"carrel/engine/definition"
	"carrel/engine/image"
	"carrel/engine/oci"
	"carrel/engine/progress"
	"carrel/engine/sif"
	"carrel/engine/source/remote"
)

// RegistryLogin is a name and a password or token for a registry.
type RegistryLogin = oci.Login

// StoredLogin is a registry that a password is stored for.
type StoredLogin struct {
	Registry string `json:"registry"`
	User     string `json:"user,omitempty"` // empty where another program keeps the password
	Path     string `json:"file"`
}

// PullSpec is what is to be got.
type PullSpec struct {
	Ref    string // docker://, oras://, library://, http(s)://, oci: …
	Target string // the file to write; empty: PulledName in the working directory
	// Platform is "OS/ARCH[/VARIANT]"; empty: this computer's.
	Platform string
	Force    bool // replace a target that exists
	Sandbox  bool // write a folder
}

// Pulled is an image that was got.
type Pulled struct {
	ImageInfo
	Ref string `json:"reference"`
	// Digest is that by which the registry knows the image; of a file from elsewhere, that of its bytes. sha256:…
	Digest string `json:"digest,omitempty"`
}

// Pushed is an image that was put into a registry.
type Pushed struct {
	Ref      string `json:"reference"`
	Digest   string `json:"digest"`   // of the manifest, sha256:…
	Size     int64  `json:"size"`     // bytes
	Uploaded int64  `json:"uploaded"` // bytes that the registry did not have
}

// access says how registries are reached.
func (e *Engine) access() oci.Access {
	return oci.Access{Credentials: e.c.Credentials, Login: e.c.Login, Insecure: e.c.Insecure, Mirrors: e.c.Mirrors}
}

// ociOptions say how images are got from registries.
func (e *Engine) ociOptions(sink Sink) oci.Options {
	return oci.Options{
		Access: e.access(), CacheDir: filepath.Join(e.c.CacheDir, CacheOCI),
		Notice: func(text string) { sink.Notice(progress.StepFetch, text) },
	}
}

func (e *Engine) remoteOptions(platform string, sink Sink) remote.Options {
	var told time.Time
	return remote.Options{
		Access: e.access(), Library: e.c.Library, Platform: platform, Cache: filepath.Join(e.c.CacheDir, CacheOCI),
		Progress: func(done, total int64) {
			if now := time.Now(); now.Sub(told) > 100*time.Millisecond || done == total {
				told = now
				sink.Amount(progress.StepFetch, done, max(total, 0), "bytes", "")
			}
		},
	}
}

// openRemote opens what a reference stands for: of an image in layers only the manifest and the configuration are read,
// an image file is got into the cache. platform is "OS/ARCH[/VARIANT]", empty for this computer's.
func (e *Engine) openRemote(ctx context.Context, ref, platform string, sink Sink) (*image.Image, error) {
	if err := hubGone(ref); err != nil {
		return nil, err
	}
	if !remote.Is(ref) {
		o := e.ociOptions(sink)
		o.Platform = platform
		return image.OpenReference(ctx, ref, o)
	}
	f, err := remote.Find(ctx, ref, e.remoteOptions(platform, sink))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	path, err := f.Cached(ctx)
	if err != nil {
		return nil, err
	}
	return image.Open(path)
}

// hubGone is the error for shub://, nil for other references.
func hubGone(ref string) error {
	if strings.HasPrefix(ref, "shub:") {
		return fmt.Errorf("pull %s: %w", ref, &hubError{})
	}
	return nil
}

// hubError is a reference to images of Singularity Hub.
type hubError struct{}

func (e *hubError) Error() string { return "Singularity Hub gives no images any more" }

// Hint says what to use instead.
func (e *hubError) Hint() string { return definition.Gone("shub") }

// isFile tells whether a build is nothing but getting a file.
func isFile(s BuildSpec) bool {
	return remote.Is(s.Definition) && !s.Sandbox && !s.Update && !s.Reproducible && (s.Compression == "" || s.Compression == "zstd") && s.Level == 0
}

// download gets an image file, byte for byte.
func (e *Engine) download(ctx context.Context, s BuildSpec, target string, sink Sink) (ImageInfo, *remote.File, error) {
	fail := func(err error) (ImageInfo, *remote.File, error) {
		if ctx.Err() == nil {
			sink.Send(Event{Kind: progress.Failed, Step: progress.StepFetch, Text: err.Error(), Hint: Hint(err)})
		}
		return ImageInfo{}, nil, err
	}
	sink.Send(Event{Kind: progress.Plan, Plan: []progress.Planned{{Step: progress.StepFetch, Title: "Fetch image"}}})
	held, err := build.HoldFetched(e.c.CacheDir)
	if err != nil {
		return fail(err)
	}
	defer held()
	f, err := remote.Find(ctx, s.Definition, e.remoteOptions(s.Platform, sink))
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	sink.Send(Event{Kind: progress.Start, Step: progress.StepFetch, Text: f.Ref})
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return fail(err)
	}
	if err := f.To(ctx, target); err != nil {
		return fail(err)
	}
	sink.Send(Event{Kind: progress.Done, Step: progress.StepFetch, Text: fmt.Sprintf("%.1f MB", float64(f.Size)/1e6)})
	err = e.setRecord(target, func(r *record) { r.Catalog, r.Hash, r.From = "", "", s.Definition })
	if err != nil {
		return ImageInfo{}, nil, err
	}
	info, err := e.describe(target)
	return info, f, err
}

// PulledName is the name of the file that Pull makes of a reference, NAME_TAG.sif as Singularity and Apptainer call it.
func PulledName(ref string, sandbox bool) string {
	_, rest, ok := strings.Cut(ref, "://")
	if !ok {
		_, rest, _ = strings.Cut(ref, ":")
	}
	if strings.HasPrefix(ref, "http") {
		rest, _, _ = strings.Cut(rest, "?")
	}
	rest, _, _ = strings.Cut(rest, "@")
	base := strings.TrimRight(rest, "/")
	base = base[strings.LastIndex(base, "/")+1:]
	if base == "" || base == "." || base == ".." {
		base = "image"
	}
	if strings.HasSuffix(base, ".sif") && !sandbox {
		return base
	}
	name, tag, ok := strings.Cut(base, ":")
	if !ok {
		tag = "latest"
	}
	if sandbox {
		return name + "_" + tag
	}
	return name + "_" + tag + ".sif"
}

// Pull gets an image and writes it to a file: a SIF as it is, byte for byte, an image in layers as a new SIF, without an
// unpacked copy. The target appears when it is complete; one that exists is ErrExists, and stays, without Force.
func (e *Engine) Pull(ctx context.Context, s PullSpec, sink Sink) (Pulled, error) {
	sink = progress.Rated(sink)
	if err := hubGone(s.Ref); err != nil {
		return Pulled{}, err
	}
	if !isRemote(s.Ref) {
		return Pulled{}, &remote.Error{Ref: s.Ref, Err: oci.ErrReference}
	}
	if s.Target == "" {
		s.Target = PulledName(s.Ref, s.Sandbox)
	}
	b := BuildSpec{Definition: s.Ref, Target: e.expand(s.Target), Platform: s.Platform, Force: s.Force, Sandbox: s.Sandbox}
	if st, err := os.Lstat(b.Target); err == nil {
		if !s.Force {
			return Pulled{}, fmt.Errorf("pull %s: %w", b.Target, ErrExists)
		}
		if st.IsDir() && !s.Sandbox {
			return Pulled{}, fmt.Errorf("pull %s: it is a folder", b.Target)
		}
	}
	if isFile(b) {
		info, f, err := e.download(ctx, b, b.Target, sink)
		if err != nil {
			return Pulled{}, err
		}
		out := Pulled{ImageInfo: info, Ref: s.Ref, Digest: f.Digest}
		if f.Manifest != "" {
			out.Digest = f.Manifest
		}
		return out, nil
	}
	info, err := e.Build(ctx, b, sink)
	if err != nil {
		return Pulled{}, err
	}
	return Pulled{ImageInfo: info, Ref: s.Ref, Digest: pulledDigest(info.Path)}, nil
}

// pulledDigest is the digest of the image that a SIF was made of, empty where it does not say.
func pulledDigest(path string) string {
	m, err := sif.Open(path)
	if err != nil {
		return ""
	}
	defer m.Close()
	var p struct{ Bases []struct{ From string } }
	data, err := m.JSON(build.ProvenanceName)
	if err != nil || json.Unmarshal(data, &p) != nil || len(p.Bases) == 0 {
		return ""
	}
	_, digest, _ := strings.Cut(p.Bases[len(p.Bases)-1].From, "@")
	return digest[strings.LastIndexByte(digest, '@')+1:]
}

// Push puts an image into a registry: to docker://NAME:TAG as an OCI image that every container program can pull, to
// oras://NAME:TAG as the SIF file itself. Blobs that the registry has are not sent.
func (e *Engine) Push(ctx context.Context, name, ref string, sink Sink) (Pushed, error) {
	sink = progress.Rated(sink)
	asFile := strings.HasPrefix(ref, "oras:")
	if !asFile && !strings.HasPrefix(ref, "docker:") {
		return Pushed{}, &pushReferenceError{ref}
	}
	img, t, err := e.open(ctx, "push", name)
	if err != nil {
		return Pushed{}, err
	}
	defer img.Close()
	if t.Kind == TargetRemote && !t.Built {
		return Pushed{}, &pushLocalError{name}
	}
	plan := []progress.Planned{{Step: progress.StepPack, Title: "Write layer"}, {Step: progress.StepPush, Title: "Send to the registry"}}
	whole := asFile || img.OCI() != nil && img.OCI().RawManifest != nil
	if whole {
		plan = plan[1:]
	}
	sink.Send(Event{Kind: progress.Plan, Plan: plan})
	o := e.ociOptions(sink)
	o.Progress = func(ev oci.Event) { sink.Amount(progress.StepPush, ev.Complete, ev.Total, "bytes", "") }
	var p oci.Pushed
	switch {
	case asFile && img.Kind != image.SIF:
		err = &notSIFError{t.Path}
	case asFile:
		sink.Send(Event{Kind: progress.Start, Step: progress.StepPush, Text: ref})
		p, err = oci.PushSIF(ctx, t.Path, ref, o)
	case whole:
		sink.Send(Event{Kind: progress.Start, Step: progress.StepPush, Text: ref})
		p, err = img.OCI().Push(ctx, ref, o)
	default:
		p, err = e.pushLayers(ctx, img, ref, o, sink)
	}
	if err != nil {
		if ctx.Err() == nil {
			sink.Send(Event{Kind: progress.Failed, Step: progress.StepPush, Text: err.Error(), Hint: Hint(err)})
		}
		return Pushed{}, err
	}
	sink.Send(Event{Kind: progress.Done, Step: progress.StepPush, Text: fmt.Sprintf("%.1f MB sent", float64(p.Uploaded)/1e6)})
	return Pushed{Ref: p.Ref, Digest: p.Digest, Size: p.Size, Uploaded: p.Uploaded}, nil
}

// pushLayers writes an image in OCI's form into the work folder, and pushes that. The time in it is the image's own, so
// that the same image gives the same bytes, which a registry that has them is not sent again.
func (e *Engine) pushLayers(ctx context.Context, img *image.Image, ref string, o oci.Options, sink Sink) (oci.Pushed, error) {
	dir, release, err := e.scratch("push-")
	if err != nil {
		return oci.Pushed{}, err
	}
	defer release()
	made := time.Unix(0, 0).UTC()
	if s := img.SIF(); s != nil {
		made = s.Created.UTC()
	}
	sink.Send(Event{Kind: progress.Start, Step: progress.StepPack, Text: filepath.Base(img.Path)})
	c := &conversion{e: e, img: img, sink: sink, now: made}
	source, config, err := img.Export(made)
	if err != nil {
		return oci.Pushed{}, fmt.Errorf("push %s: %w", ref, err)
	}
	layout := filepath.Join(dir, "image")
	out := oci.Output{Config: config, Arch: img.Arch, Created: made, Comment: "converted from " + filepath.Base(img.Path)}
	if err := oci.WriteLayout(ctx, layout, countedSource{Source: source, c: c}, out); err != nil {
		return oci.Pushed{}, fmt.Errorf("push %s: %w", ref, err)
	}
	sink.Send(Event{Kind: progress.Done, Step: progress.StepPack, Text: fmt.Sprintf("%d files", c.files)})
	sink.Send(Event{Kind: progress.Start, Step: progress.StepPush, Text: ref})
	local := o
	local.Platform = "linux/" + archOf(img.Arch)
	m, err := oci.Open(ctx, "oci:"+layout, local)
	if err != nil {
		return oci.Pushed{}, err
	}
	p, err := m.Push(ctx, ref, o)
	return p, errors.Join(err, m.Close())
}

func archOf(arch string) string {
	if arch == "" || arch == "unknown" {
		return runtime.GOARCH
	}
	return arch
}

// pushReferenceError is a reference to where nothing can be pushed.
type pushReferenceError struct{ ref string }

func (e *pushReferenceError) Error() string {
	return fmt.Sprintf("push to %s: only registries take images", e.ref)
}

// Hint says which references do.
func (e *pushReferenceError) Hint() string {
	if strings.HasPrefix(e.ref, "library:") {
		return "libraries are accounts of a service that is not supported; most registries keep SIF files: oras://HOST/NAME:TAG"
	}
	return "write docker://HOST/NAME:TAG for a container image, or oras://HOST/NAME:TAG for the SIF file as it is"
}

// pushLocalError is an image that is not here.
type pushLocalError struct{ name string }

func (e *pushLocalError) Error() string {
	return "push " + e.name + ": the image is not on this computer"
}
func (e *pushLocalError) Hint() string { return "pull it first: carrel pull " + e.name }

// notSIFError is an image that is no SIF where one is wanted.
type notSIFError struct{ path string }

func (e *notSIFError) Error() string {
	return "push " + e.path + ": only SIF files are kept by oras://"
}
func (e *notSIFError) Hint() string {
	return "convert it first: carrel build new.sif " + e.path + "; or push it as a container image, to docker://"
}

// Login asks a registry whether it knows a name and password, and stores them in the first of Config.Credentials, in a file
// that only its owner can read. It returns the file's path.
func (e *Engine) Login(ctx context.Context, registry string, l RegistryLogin) (string, error) {
	name, err := oci.RegistryName(registry)
	if err != nil {
		return "", err
	}
	if len(e.c.Credentials) == 0 {
		return "", errors.New("log in: there is no file to store passwords in")
	}
	if err := oci.CheckLogin(ctx, name, l, oci.Options{Access: e.access()}); err != nil {
		return "", err
	}
	return e.c.Credentials[0], oci.StoreLogin(e.c.Credentials[0], name, l)
}

// Logout removes a registry's password from the first of Config.Credentials. elsewhere are other files that know one too.
// ErrNotFound when no file does.
func (e *Engine) Logout(registry string) (elsewhere []string, err error) {
	name, err := oci.RegistryName(registry)
	if err != nil {
		return nil, err
	}
	removed := false
	if len(e.c.Credentials) > 0 {
		if removed, err = oci.RemoveLogin(e.c.Credentials[0], name); err != nil {
			return nil, err
		}
	}
	logins, _ := oci.Logins(e.c.Credentials) // a file that cannot be read says nothing about this
	for _, l := range logins {
		if n, err := oci.RegistryName(l.Registry); err == nil && n == name {
			elsewhere = append(elsewhere, l.Path)
		}
	}
	if !removed && len(elsewhere) == 0 {
		return nil, fmt.Errorf("log out of %s: %w", registry, ErrNotFound)
	}
	return elsewhere, nil
}

// Logins lists the registries that passwords are stored for. A file that cannot be read is an error beside what the others
// have.
func (e *Engine) Logins() ([]StoredLogin, error) {
	found, err := oci.Logins(e.c.Credentials)
	out := []StoredLogin{}
	for _, l := range found {
		out = append(out, StoredLogin{l.Registry, l.User, l.Path})
	}
	return out, err
}
