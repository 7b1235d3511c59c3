package build

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"carrel/engine/definition"
	"carrel/engine/image"
	"carrel/engine/oci"
	"carrel/engine/progress"
	"carrel/engine/sif"
	"carrel/engine/source"
	"carrel/engine/source/debian"
	"carrel/engine/tree"
)

// base is what a stage starts from.
type base struct {
	key      string // names the contents, whatever they are called
	describe string
	folder   string // the unpacked tree, not to be changed; set by unpack
	// fill unpacks the contents into an empty folder and may improve the description.
	fill func(ctx context.Context, dir string) (describe string, err error)
	// source gives the contents without unpacking; nil where that cannot be.
	source tree.Source

	config    *oci.Config       // of an OCI image
	ociJSON   []byte            // its configuration as it was
	arch      string            // processor, as Go names it; empty: this machine's
	labels    map[string]string // of an image that is built upon
	metadata  image.Metadata    // all that such an image says, when it is streamed
	reference string            // what was asked for, and with a digest what was got
	digest    string            // names the contents on every computer, where that is known
	archives  []debian.Archive
}

// fetchers get the bases of the agents that package definition says there are.
var fetchers = map[string]func(*builder, context.Context, *definition.Stage) (base, error){
	"scratch":        (*builder).fetchScratch,
	"debootstrap":    (*builder).fetchDebian,
	"yum":            (*builder).fetchYum,
	"dnf":            (*builder).fetchYum,
	"zypper":         (*builder).fetchZypper,
	"arch":           (*builder).fetchArch,
	"busybox":        (*builder).fetchBusybox,
	"docker":         (*builder).fetchOCI,
	"oci":            (*builder).fetchOCI,
	"oci-archive":    (*builder).fetchOCI,
	"docker-archive": (*builder).fetchOCI,
	"docker-daemon":  (*builder).fetchDaemon,
	"localimage":     (*builder).fetchLocal,
	"oras":           (*builder).fetchElsewhere,
	"library":        (*builder).fetchElsewhere,
	"http":           (*builder).fetchElsewhere,
	"https":          (*builder).fetchElsewhere,
}

// fetch gets the base of a stage.
func (b *builder) fetch(ctx context.Context, def *definition.Stage) (base, error) {
	if err := def.CheckBase(); err != nil {
		return base{}, err
	}
	return fetchers[def.Bootstrap()](b, ctx, def)
}

func (b *builder) fetchScratch(context.Context, *definition.Stage) (base, error) {
	return base{key: "scratch", describe: "nothing", fill: func(context.Context, string) (string, error) { return "nothing", nil }}, nil
}

// baseForm changes when folders of bases that were made before must not be used any more.
const baseForm = "base 2" // 1: one id only had other modes

// unpack makes the folder of a base: that of the cache, filled when it is not there. Two builds that make the same at once
// do the work twice and keep one.
func (b *builder) unpack(ctx context.Context, base *base) error {
	if base.folder != "" {
		return nil
	}
	key := b.spec.IDKind + "\n" + baseForm + "\n" + base.key
	dir := filepath.Join(b.spec.Cache, kindBases, digest(key))
	if e, err := openEntry(dir); err == nil && e.info.Key == key {
		b.hold(e)
		base.describe, base.folder = e.info.Describe, e.path("root")
		return nil
	} else if err == nil {
		e.close()
	}
	part, err := os.MkdirTemp(b.dir, "base-")
	if err != nil {
		return err
	}
	root := filepath.Join(part, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	text, err := base.fill(ctx, root)
	if err != nil {
		return err
	}
	e, err := putEntry(part, dir, entryInfo{Key: key, Describe: text, Made: time.Now(), Size: diskUsage(root)})
	if err != nil {
		return err
	}
	b.hold(e)
	base.describe, base.folder = text, e.path("root")
	return nil
}

// unpacker writes a tree as the base of containers. Its modes stay as they are, also those that keep the owner out: root of a
// user namespace may do what it likes with files of its ids (capabilities(7), CAP_DAC_OVERRIDE).
func (b *builder) unpacker(dir string) (*tree.Unpacker, error) {
	return tree.Unpack(dir, tree.UnpackOptions{Owners: !b.spec.SingleID})
}

func (b *builder) fetchDebian(ctx context.Context, def *definition.Stage) (base, error) {
	h := def.Header
	suite := h.Get("OSVersion")
	var host []debian.Source
	if b.spec.HostApt != "" {
		var err error
		if host, err = debian.HostSources(os.DirFS(b.spec.HostApt)); err != nil && !errors.Is(err, os.ErrNotExist) {
			b.sink.Notice(progress.StepFetch, "this computer's apt sources cannot be read: "+err.Error())
		}
	}
	opts := debian.Options{
		Cache: filepath.Join(b.spec.Cache, "debian"), Transport: http.DefaultTransport, Mirror: b.spec.Mirror, Host: host,
		Events: b.debianEvent,
	}
	mirror, err := source.Expand(h.Get("MirrorURL"), suite)
	if err != nil {
		return base{}, err
	}
	spec := debian.Spec{
		Suite: suite, MirrorURL: mirror, Include: source.Words(h.Get("Include"), b.spec.Variables["INCLUDE"]),
		AllowExpired: debian.IsArchive(mirror),
	}
	if b.spec.Reproducible {
		spec.SourceDate = b.spec.Time
	}
	prep, err := debian.Prepare(ctx, opts, spec)
	if err != nil {
		return base{}, err
	}
	if b.spec.Lock {
		list, err := prep.Packages(ctx)
		if err != nil {
			return base{}, err
		}
		b.debs = append(b.debs, list...)
	}
	fill := func(ctx context.Context, dir string) (string, error) {
		tmp, err := b.tmpFolder(b.dir)
		if err != nil {
			return "", err
		}
		rep, err := prep.Install(ctx, dir, runner{b: b, s: &stage{root: dir, tmp: tmp}, step: progress.StepFetch})
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%s, %d packages", suite, len(rep.Packages)), nil
	}
	return base{key: "debian " + prep.Key(), describe: suite, fill: fill, reference: "debootstrap " + suite, archives: prep.Archives()}, nil
}

// debianEvent turns a bootstrap's progress into ours.
func (b *builder) debianEvent(e debian.Event) {
	switch e.Kind {
	case debian.EventIndex:
		b.sink.Line(progress.StepFetch, "reading "+e.Text)
	case debian.EventResolved:
		b.sink.Amount(progress.StepFetch, 0, e.TotalBytes, "bytes", fmt.Sprintf("%d packages", e.Total))
	case debian.EventFetched:
		b.sink.Line(progress.StepFetch, "fetched "+e.Package)
		b.sink.Amount(progress.StepFetch, e.Bytes, e.TotalBytes, "bytes", fmt.Sprintf("%d of %d packages", e.N, e.Total))
	case debian.EventProgress:
		b.sink.Amount(progress.StepFetch, e.Bytes, e.TotalBytes, "bytes", "")
	case debian.EventUnpacked:
		b.sink.Line(progress.StepFetch, "unpacked "+e.Package)
	case debian.EventConfigure:
		b.sink.Line(progress.StepFetch, "configuring packages")
	case debian.EventWarning:
		b.sink.Notice(progress.StepFetch, e.Text)
	}
}

func (b *builder) fetchOCI(ctx context.Context, def *definition.Stage) (base, error) {
	agent, from := strings.ToLower(def.Header.Get("Bootstrap")), def.Header.Get("From")
	ref := agent + ":" + from
	if agent == "docker" {
		if r := def.Header.Get("Registry"); r != "" {
			from = strings.TrimSuffix(r, "/") + "/" + strings.TrimPrefix(def.Header.Get("Namespace")+"/", "/") + from
		}
		ref = "docker://" + strings.TrimPrefix(from, "//")
		if pin := b.pin(slices.Index(b.file.Stages, def)); pin != nil && strings.HasPrefix(pin.Digest, "sha256:") {
			ref = atDigest(ref, pin.Digest)
		}
	}
	amounts := b.ociAmounts()
	opts := oci.Options{
		Access: b.spec.Registries, Platform: b.spec.Platform, CacheDir: filepath.Join(b.spec.Cache, kindOCI),
		Progress: amounts.note, Notice: func(text string) { b.sink.Notice(progress.StepFetch, text) },
	}
	m, err := oci.Open(ctx, ref, opts)
	if err != nil {
		return base{}, err
	}
	amounts.expect(m.Layers)
	b.atEnd(func() { m.Close() })
	out := b.ociBase(m)
	out.describe = from
	return out, nil
}

// atDigest is a reference to exactly one image, whatever its name stands for today.
func atDigest(ref, digest string) string {
	name, _, _ := strings.Cut(ref, "@")
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		name = name[:i]
	}
	return name + "@" + digest
}

// ociBase is the base that an OCI image makes.
func (b *builder) ociBase(m *oci.Image) base {
	fill := func(ctx context.Context, dir string) (string, error) {
		u, err := b.unpacker(dir)
		if err != nil {
			return "", err
		}
		err = m.WriteTo(ctx, &roomy{Sink: u, folder: dir})
		report, cerr := u.Close()
		if len(report.Devices) > 0 {
			b.sink.Notice(progress.StepFetch, fmt.Sprintf("%d device files of the image were left out; containers get their own", len(report.Devices)))
		}
		b.lostXattrs(progress.StepFetch, int64(report.Xattrs), report.Xattr)
		return m.Ref, errors.Join(err, cerr)
	}
	// One that was made of a SIF says more than its configuration has room for.
	own, _, err := image.OwnMetadata(context.Background(), m)
	if err != nil {
		b.sink.Notice(progress.StepFetch, "what the base says of itself cannot be read: "+err.Error())
	}
	return base{
		metadata: own,
		key:      "oci " + m.Digest + " " + m.Platform, describe: m.Ref, fill: fill, source: m, reference: m.Ref + "@" + m.Digest, digest: m.Digest,
		config: &m.Config, ociJSON: m.Config.JSON, arch: m.Arch(), labels: m.Config.Labels,
	}
}

// ociAmounts add the progress of an image's layers up.
type ociAmounts struct {
	b      *builder
	total  int64 // of the layers that are fetched
	layers map[string]oci.Event
}

func (b *builder) ociAmounts() *ociAmounts { return &ociAmounts{b: b, layers: map[string]oci.Event{}} }

// expect takes over what the image says of its layers, before the first of them is fetched.
func (a *ociAmounts) expect(layers []oci.Layer) {
	for _, l := range layers {
		if _, again := a.layers[l.Digest]; !again {
			a.layers[l.Digest] = oci.Event{}
			a.total += l.Size
		}
	}
}

// note is told of a layer. One that is in the cache is nothing that is fetched.
func (a *ociAmounts) note(e oci.Event) {
	if e.Cached {
		if _, known := a.layers[e.Layer]; known {
			a.total -= e.Total
			delete(a.layers, e.Layer)
		}
	} else {
		a.layers[e.Layer] = e
	}
	var done int64
	for _, l := range a.layers {
		done += l.Complete
	}
	if len(a.layers) > 0 {
		a.b.sink.Amount(progress.StepFetch, done, max(a.total, done), "bytes", fmt.Sprintf("%d layers", len(a.layers)))
	}
}

func (b *builder) fetchLocal(ctx context.Context, def *definition.Stage) (base, error) {
	from := def.Header.Get("From")
	if !filepath.IsAbs(from) {
		from = filepath.Join(b.spec.Folders[0], from)
	}
	from = filepath.Clean(from)
	content, err := b.contentDigest(ctx, from)
	if err != nil {
		return base{}, err
	}
	state := content // the same for the same contents wherever they lie
	if !b.spec.Reproducible {
		if state, err = statDigest(from); err != nil {
			return base{}, err
		}
	}
	out, err := b.imageBase(from, "local "+state)
	if err == nil && out.digest == "" {
		out.digest = content
	}
	return out, err
}

// imageBase is the base that an image at a path makes. The key names its contents.
func (b *builder) imageBase(from, key string) (base, error) {
	img, err := image.Open(from)
	if err != nil {
		return base{}, err
	}
	b.atEnd(func() { img.Close() })
	if m := img.OCI(); m != nil {
		out := b.ociBase(m)
		out.describe = filepath.Base(from)
		return out, nil
	}
	out := base{key: key, describe: filepath.Base(from), source: img, reference: from}
	out.fill = func(ctx context.Context, dir string) (string, error) {
		u, err := b.unpacker(dir)
		if err != nil {
			return "", err
		}
		err = img.WriteTo(ctx, &roomy{Sink: u, folder: dir})
		report, cerr := u.Close()
		if err := errors.Join(err, cerr); err != nil {
			return "", fmt.Errorf("unpack %s: %w", from, err)
		}
		b.lostXattrs(progress.StepFetch, int64(report.Xattrs), report.Xattr)
		return filepath.Base(from), nil
	}
	if out.metadata, err = img.Metadata(); err != nil {
		b.sink.Notice(progress.StepFetch, "what the base says of itself cannot be read: "+err.Error())
	}
	out.labels = img.Own().Labels()
	maps.Copy(out.labels, out.metadata.Labels)
	if img.Arch != "unknown" {
		out.arch = img.Arch
	}
	if s := img.SIF(); s != nil {
		if out.ociJSON, err = s.JSON(sif.OCIConfigName); err != nil {
			return base{}, err
		}
	}
	return out, nil
}

// updated is the sandbox folder at the target as a base.
func (b *builder) updated() (base, error) {
	if k, _, err := sif.Detect(b.spec.Target); err != nil || k != sif.KindSandbox {
		return base{}, fmt.Errorf("update %s: it is not a sandbox folder", b.spec.Target)
	}
	b.opaque = true
	return base{key: "update", describe: b.spec.Target, folder: b.spec.Target, reference: b.spec.Target}, nil
}
