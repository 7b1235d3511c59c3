package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"carrel/engine/definition"
	"carrel/engine/image"
	"carrel/engine/oci"
	"carrel/engine/progress"
	"carrel/engine/source/debian"
	"carrel/engine/tree"
)

// base is what a stage starts from.
type base struct {
	folder   string // the tree; not to be changed unless own
	own      bool   // the folder is this build's alone
	describe string
	config   *oci.Config       // of an OCI image
	arch     string            // processor, as Go names it; empty: this machine's
	labels   map[string]string // of an image that is built upon
}

// UnsupportedError is a Bootstrap agent that this program does not have.
type UnsupportedError struct {
	Agent string
	Line  int
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("line %d: bases of the kind %q cannot be fetched", e.Line, e.Agent)
}

// Hint names what can.
func (e *UnsupportedError) Hint() string {
	return "use one of these as Bootstrap: " + strings.Join(agents(), ", ")
}

var fetchers = map[string]func(*builder, context.Context, *definition.Stage) (base, error){
	"scratch":        (*builder).fetchScratch,
	"debootstrap":    (*builder).fetchDebian,
	"docker":         (*builder).fetchOCI,
	"oci":            (*builder).fetchOCI,
	"oci-archive":    (*builder).fetchOCI,
	"docker-archive": (*builder).fetchOCI,
	"localimage":     (*builder).fetchLocal,
}

func agents() []string {
	out := make([]string, 0, len(fetchers))
	for a := range fetchers {
		out = append(out, a)
	}
	sort.Strings(out)
	return out
}

// fetch gets the base of a stage.
func (b *builder) fetch(ctx context.Context, def *definition.Stage) (base, error) {
	agent := strings.ToLower(def.Header.Get("Bootstrap"))
	f := fetchers[agent]
	if f == nil {
		return base{}, &UnsupportedError{Agent: agent, Line: def.Header.Line("Bootstrap")}
	}
	return f(b, ctx, def)
}

func (b *builder) fetchScratch(context.Context, *definition.Stage) (base, error) {
	dir, err := os.MkdirTemp(b.dir, "scratch-")
	if err != nil {
		return base{}, err
	}
	return base{folder: dir, own: true, describe: "nothing"}, os.Chmod(dir, 0o755)
}

// cached returns the cache's folder for a base, made by prepare when it is not there. Two builds that make the same at
// once do the work twice and keep one.
func (b *builder) cached(key string, prepare func(dir string) (describe string, err error)) (folder, text string, err error) {
	sum := sha256.Sum256([]byte(b.spec.IDKind + "\n" + key))
	dir := filepath.Join(b.spec.Cache, "bases", hex.EncodeToString(sum[:16]))
	info := filepath.Join(dir, "info.json")
	var meta struct {
		Key      string    `json:"key"`
		Describe string    `json:"describe"`
		Made     time.Time `json:"made"`
	}
	if data, err := os.ReadFile(info); err == nil && json.Unmarshal(data, &meta) == nil && meta.Key == key {
		now := time.Now()
		_ = os.Chtimes(info, now, now) // last use, for pruning
		return filepath.Join(dir, "root"), meta.Describe, nil
	}
	part := filepath.Join(b.dir, "base-"+hex.EncodeToString(sum[:4]))
	if err := os.MkdirAll(filepath.Join(part, "root"), 0o755); err != nil {
		return "", "", err
	}
	meta.Key, meta.Made = key, time.Now()
	if meta.Describe, err = prepare(filepath.Join(part, "root")); err != nil {
		return "", "", err
	}
	data, err := json.Marshal(meta)
	if err != nil {
		return "", "", err
	}
	if err := os.WriteFile(filepath.Join(part, "info.json"), data, 0o644); err != nil {
		return "", "", err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", "", err
	}
	err = os.Rename(part, dir)
	if errors.Is(err, os.ErrExist) || (err != nil && isDir(dir)) {
		return filepath.Join(dir, "root"), meta.Describe, nil // another build was quicker
	}
	return filepath.Join(dir, "root"), meta.Describe, err
}

func isDir(p string) bool {
	st, err := os.Stat(p)
	return err == nil && st.IsDir()
}

func (b *builder) fetchDebian(ctx context.Context, def *definition.Stage) (base, error) {
	h := def.Header
	suite := h.Get("OSVersion")
	if suite == "" {
		return base{}, errors.New("the header needs OSVersion: the name of the release, such as bookworm")
	}
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
	spec := debian.Spec{Suite: suite, MirrorURL: h.Get("MirrorURL"), Include: strings.FieldsFunc(h.Get("Include"), func(r rune) bool { return r == ' ' || r == ',' || r == '\t' })}
	prep, err := debian.Prepare(ctx, opts, spec)
	if err != nil {
		return base{}, err
	}
	folder, text, err := b.cached("debian "+prep.Key(), func(dir string) (string, error) {
		tmp := filepath.Join(b.dir, "base-tmp")
		if err := os.Mkdir(tmp, 0o1777); err != nil {
			return "", err
		}
		rep, err := prep.Install(ctx, dir, runner{b: b, s: &stage{root: dir, tmp: tmp}, step: progress.StepFetch})
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%s, %d packages", suite, len(rep.Packages)), nil
	})
	return base{folder: folder, describe: text}, err
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
	if from == "" {
		return base{}, errors.New("the header needs From: the image to start from")
	}
	ref := agent + ":" + from
	if agent == "docker" {
		if r := def.Header.Get("Registry"); r != "" {
			from = strings.TrimSuffix(r, "/") + "/" + strings.TrimPrefix(def.Header.Get("Namespace")+"/", "/") + from
		}
		ref = "docker://" + strings.TrimPrefix(from, "//")
	}
	opts := oci.Options{
		Keychain: authn.DefaultKeychain, CacheDir: filepath.Join(b.spec.Cache, "oci"), Insecure: b.insecure(from),
		Progress: b.ociEvents(),
	}
	m, err := oci.Open(ctx, ref, opts)
	if err != nil {
		return base{}, err
	}
	defer m.Close()
	folder, text, err := b.cached("oci "+m.Digest+" "+m.Platform, func(dir string) (string, error) {
		u, err := tree.Unpack(dir, tree.UnpackOptions{Owners: !b.spec.SingleID, OwnerAccess: b.spec.SingleID})
		if err != nil {
			return "", err
		}
		err = m.WriteTo(ctx, u)
		report, cerr := u.Close()
		if len(report.Devices) > 0 {
			b.sink.Notice(progress.StepFetch, fmt.Sprintf("%d device files of the image were left out; containers get their own", len(report.Devices)))
		}
		return from, errors.Join(err, cerr)
	})
	return base{folder: folder, describe: text, config: &m.Config, arch: m.Arch(), labels: m.Config.Labels}, err
}

// insecure tells whether a reference's registry is one that is spoken to without TLS: configured, or on this machine.
func (b *builder) insecure(ref string) bool {
	host, _, _ := strings.Cut(strings.TrimPrefix(ref, "//"), "/")
	for _, h := range b.spec.Insecure {
		if host == h {
			return true
		}
	}
	name, _, _ := strings.Cut(host, ":")
	return name == "localhost" || name == "127.0.0.1" || strings.HasPrefix(host, "[::1]")
}

// ociEvents adds the layers' progress up.
func (b *builder) ociEvents() func(oci.Event) {
	type amount struct{ done, total int64 }
	layers := map[string]amount{}
	return func(e oci.Event) {
		layers[e.Layer] = amount{e.Complete, e.Total}
		var sum amount
		for _, a := range layers {
			sum.done += a.done
			sum.total += a.total
		}
		b.sink.Amount(progress.StepFetch, sum.done, sum.total, "bytes", fmt.Sprintf("%d layers", len(layers)))
	}
}

func (b *builder) fetchLocal(ctx context.Context, def *definition.Stage) (base, error) {
	from := def.Header.Get("From")
	if from == "" {
		return base{}, errors.New("the header needs From: the image or folder to start from")
	}
	if !filepath.IsAbs(from) {
		from = filepath.Join(b.spec.Folders[0], from)
	}
	img, err := image.Open(from)
	if err != nil {
		return base{}, err
	}
	defer img.Close()
	dir, err := os.MkdirTemp(b.dir, "local-")
	if err != nil {
		return base{}, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return base{}, err
	}
	u, err := tree.Unpack(dir, tree.UnpackOptions{Owners: !b.spec.SingleID, OwnerAccess: b.spec.SingleID})
	if err != nil {
		return base{}, err
	}
	err = img.WriteTo(ctx, u)
	_, cerr := u.Close()
	if err := errors.Join(err, cerr); err != nil {
		return base{}, fmt.Errorf("unpack %s: %w", from, err)
	}
	labels, err := img.Labels()
	if err != nil {
		b.sink.Notice(progress.StepFetch, "the labels of the base cannot be read: "+err.Error())
	}
	return base{folder: dir, own: true, describe: filepath.Base(from), labels: labels}, nil
}
