package debian

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"golang.org/x/sync/errgroup"
)

// keyFormat is part of every key. It changes when the same packages would give another root.
const keyFormat = "debian root 1"

// fastMirror is the rate in bytes a second from which an index that is larger but quicker to decompress is the better
// one: xz saves 3.3 of 12 MB and costs a second.
const fastMirror = 4 << 20

// Spec says what root is wanted.
type Spec struct {
	Suite      string   // "bookworm", "stable", "noble"
	Arch       string   // Debian's name of an architecture; "" is this machine's
	MirrorURL  string   // the definition's mirror; "" when it names none
	Components []string // empty means main
	Include    []string // packages wanted besides the variant's
	Variant    Variant  // "" is Minbase
	// AllowUnsigned accepts an archive that is not signed, or by nobody known. A signature by a known key that does
	// not match is refused all the same.
	AllowUnsigned bool
	// AllowExpired accepts an index past its Valid-Until and signatures by keys that expired after they signed.
	AllowExpired bool
	// SourceDate, when not zero, is the date packages' scripts use for today where they can (SOURCE_DATE_EPOCH), so
	// that the result does not depend on the day. Python then checks its compiled files by content, which is slower.
	SourceDate time.Time
}

// Options say how archives are read. The zero value of a field is its default; only Cache is required.
type Options struct {
	Cache      string            // folder for indexes and packages; made when missing
	Transport  http.RoundTripper // with the proxies to use; nil is http.DefaultTransport
	Mirror     string            // the configuration's mirror
	Host       []Source          // the host's own sources, see HostSources
	Keyrings   []string          // files or folders of trusted keys; nil is DefaultKeyrings()
	Now        func() time.Time
	Events     func(Event) // may be called from several goroutines at once; must not block
	Downloads  int         // at the same time; 0 is 6
	Unpackings int         // at the same time; 0 is the number of processors
}

// EventKind tells events apart.
type EventKind string

// The kinds of events, in the order of a bootstrap.
const (
	EventIndex     EventKind = "index"     // an index is read; Text names it
	EventResolved  EventKind = "resolved"  // Total packages of TotalBytes will be installed
	EventFetched   EventKind = "fetched"   // Package is the Nth of Total in the cache; Bytes of TotalBytes are
	EventProgress  EventKind = "progress"  // more Bytes of TotalBytes arrived
	EventUnpacked  EventKind = "unpacked"  // Package is the Nth of Total that is unpacked
	EventConfigure EventKind = "configure" // packages are being configured in the container
	EventWarning   EventKind = "warning"   // something a person should know, in Text
)

// Event is a piece of progress.
type Event struct {
	Kind              EventKind
	Package           string
	N, Total          int
	Bytes, TotalBytes int64
	Text              string
}

// Prepared is a root that can be made: its archives are known and trusted, nothing is downloaded yet but their signed
// indexes. It is used once, by one goroutine.
type Prepared struct {
	spec    Spec
	opts    Options
	fetch   *fetcher
	sources []*preparedSource
	key     string
}

type preparedSource struct {
	Source
	release *release
	digest  string // SHA-256 of the Release
	fast    bool
	// signer is the key apt needs in the root to trust this source, when the packages installed do not bring it.
	signer *openpgp.Entity
}

func (o *Options) event(e Event) {
	if o.Events != nil {
		o.Events(e)
	}
}

func (o *Options) warn(text string) { o.event(Event{Kind: EventWarning, Text: text}) }

// Architecture is Debian's name for an architecture of Go: "amd64", "armhf", "ppc64el"; "" when Debian has none.
func Architecture(goarch string) string {
	return map[string]string{
		"386": "i386", "amd64": "amd64", "arm": "armhf", "arm64": "arm64", "loong64": "loong64", "mips64le": "mips64el",
		"mipsle": "mipsel", "ppc64le": "ppc64el", "riscv64": "riscv64", "s390x": "s390x",
	}[goarch]
}

// Prepare finds the archives of a suite and reads their signed indexes: one small conditional request each. When a
// mirror cannot be reached, the index it gave last is used and a warning sent.
func Prepare(ctx context.Context, opts Options, spec Spec) (*Prepared, error) {
	opts, spec = opts.withDefaults(), spec.withDefaults()
	if opts.Cache == "" {
		return nil, errors.New("prepare suite: no cache folder")
	}
	if spec.Arch == "" {
		return nil, errors.New("prepare suite: Debian has no packages for this machine's architecture")
	}
	for _, name := range spec.Include {
		if !validName(name) {
			return nil, fmt.Errorf("prepare suite: %q is no package name", name)
		}
	}
	sources, err := ChooseSources(Choice{
		Suite: spec.Suite, Arch: spec.Arch, Components: spec.Components,
		MirrorURL: spec.MirrorURL, Configured: opts.Mirror, Host: opts.Host,
	})
	if err != nil {
		return nil, err
	}
	p := &Prepared{spec: spec, opts: opts, fetch: newFetcher(opts.Cache, opts.Transport, opts.warn)}
	ring, err := p.readKeys()
	if err != nil {
		return nil, err
	}
	found := make([]*preparedSource, len(sources))
	group, groupCtx := errgroup.WithContext(ctx)
	for i, s := range sources {
		group.Go(fenced(func() error {
			one, err := p.open(groupCtx, s, ring)
			if s.Optional && errors.Is(err, ErrNotFound) {
				return nil
			}
			found[i] = one
			return err
		}))
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	p.sources = slices.DeleteFunc(found, func(s *preparedSource) bool { return s == nil })
	p.key = p.makeKey()
	return p, nil
}

func (o Options) withDefaults() Options {
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	if o.Keyrings == nil {
		o.Keyrings = DefaultKeyrings()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Downloads <= 0 {
		o.Downloads = 6
	}
	if o.Unpackings <= 0 {
		o.Unpackings = processors()
	}
	return o
}

func (s Spec) withDefaults() Spec {
	if s.Arch == "" {
		s.Arch = hostArch
	}
	if s.Variant == "" {
		s.Variant = Minbase
	}
	if len(s.Components) == 0 {
		s.Components = []string{"main"}
	}
	s.Include = slices.Compact(slices.Sorted(slices.Values(s.Include)))
	return s
}

// Key names the root that Install will make: the same archives, packages, variant and architecture give the same key.
// Keep a finished root under it and ask for it again after the next Prepare.
func (p *Prepared) Key() string { return p.key }

// Date is when the newest of the archives was published.
func (p *Prepared) Date() time.Time {
	var newest time.Time
	for _, s := range p.sources {
		if s.release.date.After(newest) {
			newest = s.release.date
		}
	}
	return newest
}

// Archive is an archive as it was when a root was made.
type Archive struct {
	URI    string    `json:"uri"`
	Suite  string    `json:"suite"`
	SHA256 string    `json:"sha256"` // of its Release
	Date   time.Time `json:"date"`   // when it was published
}

// Archives are the archives that are read, the suite itself first, with what names their state.
func (p *Prepared) Archives() []Archive {
	var all []Archive
	for _, s := range p.sources {
		all = append(all, Archive{s.URI, s.Suite, s.digest, s.release.date.UTC()})
	}
	return all
}

func (p *Prepared) makeKey() string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n%s\n%q\n%q\n", keyFormat, p.spec.Arch, p.spec.Variant, p.spec.Components, p.spec.Include)
	if !p.spec.SourceDate.IsZero() {
		fmt.Fprintf(h, "date %d\n", p.spec.SourceDate.Unix())
	}
	for _, s := range p.sources {
		fmt.Fprintf(h, "%s\n%s\n%s\n", s.URI, s.Suite, s.digest)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// keyrings are the keys known: each keyring by itself, since one may hold an older copy of another's key.
type keyrings struct {
	archive []openpgp.EntityList // those an installed root has as well
	other   []openpgp.EntityList
}

func (p *Prepared) readKeys() (*keyrings, error) {
	ring := &keyrings{}
	for _, path := range p.opts.Keyrings {
		files := []string{path}
		if entries, err := os.ReadDir(path); err == nil {
			files = nil
			for _, e := range entries {
				if name := e.Name(); strings.HasSuffix(name, ".gpg") || strings.HasSuffix(name, ".asc") {
					files = append(files, filepath.Join(path, name))
				}
			}
		}
		for _, file := range files {
			keys, err := readKeyring(file)
			switch {
			case errors.Is(err, fs.ErrNotExist):
			case err != nil:
				p.opts.warn(err.Error())
			case isArchiveKeyring(file):
				ring.archive = append(ring.archive, keys)
			default:
				ring.other = append(ring.other, keys)
			}
		}
	}
	embedded, err := parseKeyring(debianArchiveKeyring)
	if err != nil {
		return nil, fmt.Errorf("read embedded keyring: %w", err)
	}
	ring.archive = append(ring.archive, embedded)
	return ring, nil
}

// open reads and checks the index of one source.
func (p *Prepared) open(ctx context.Context, s Source, ring *keyrings) (*preparedSource, error) {
	base := s.URI + "/dists/" + s.Suite + "/"
	start := time.Now()
	k, fresh, err := p.fetchRelease(ctx, base)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, &SuiteError{Suite: s.Suite, Mirror: s.URI, Err: err}
	}
	rate := float64(len(k.Body)) / time.Since(start).Seconds()
	out := &preparedSource{Source: s, fast: rate >= fastMirror || !isHTTP(s.URI)}
	text, err := p.trust(k, out, ring)
	if err != nil {
		return nil, err
	}
	if out.release, err = parseRelease(text); err != nil {
		return nil, fmt.Errorf("%w (%s)", err, k.URL)
	}
	sum := sha256.Sum256(text)
	out.digest = hex.EncodeToString(sum[:])
	if until := out.release.validUntil; !until.IsZero() && p.opts.Now().After(until) && !p.spec.AllowExpired && !s.IgnoreDates {
		expired := &ExpiredError{URL: k.URL, Until: until}
		if fresh {
			return nil, expired
		}
		p.opts.warn(expired.Error())
	}
	if r := out.release; s.Suite != r.suite && s.Suite != r.codename && r.suite+r.codename != "" {
		p.opts.warn(fmt.Sprintf("%s says it is suite %s (%s), not %s", k.URL, r.suite, r.codename, s.Suite))
	}
	if fresh {
		if err := p.fetch.keep(k); err != nil {
			p.opts.warn(err.Error())
		}
	}
	return out, nil
}

// fetchRelease reads InRelease or, of mirrors that have none, Release and Release.gpg. Fresh tells that a mirror
// answered; otherwise it is what it answered last time.
func (p *Prepared) fetchRelease(ctx context.Context, base string) (k *kept, fresh bool, err error) {
	for _, name := range []string{"InRelease", "Release"} {
		url := base + name
		old, keptErr := p.fetch.readKept(url)
		if keptErr != nil && !errors.Is(keptErr, fs.ErrNotExist) {
			p.opts.warn(keptErr.Error())
		}
		k, err = p.fetch.small(ctx, url, old)
		switch {
		case errors.Is(err, ErrNotFound):
			continue
		case err != nil && old != nil && ctx.Err() == nil:
			p.opts.warn(fmt.Sprintf("%v; its last index is used", err))
			return old, false, nil
		case err != nil:
			return nil, false, err
		}
		if name == "Release" && k != old {
			gpg, err := p.fetch.small(ctx, url+".gpg", nil)
			switch {
			case err == nil:
				k.Detached = gpg.Body
			case !errors.Is(err, ErrNotFound):
				return nil, false, err
			}
		}
		return k, true, nil
	}
	return nil, false, err
}

// trust checks the signature of a Release and returns its text.
func (p *Prepared) trust(k *kept, s *preparedSource, ring *keyrings) ([]byte, error) {
	text, signed, signatures, err := k.Body, k.Body, k.Detached, error(nil)
	if strings.HasSuffix(k.URL, "/InRelease") {
		text, signed, signatures, err = openInRelease(k.Body)
	} else if signatures != nil {
		signatures, err = openReleaseGPG(signatures)
	}
	if err == nil && s.Trusted {
		return text, nil
	}
	if err == nil {
		err = p.verify(k.URL, signed, signatures, text, s, ring)
	}
	if err == nil {
		return text, nil
	}
	if errors.Is(err, ErrUnsigned) && text == nil {
		text = k.Body
	}
	if p.spec.AllowUnsigned && (errors.Is(err, ErrUnsigned) || errors.Is(err, ErrNoKey)) {
		p.opts.warn(err.Error() + "; used because unsigned archives are allowed")
		s.Trusted = true
		return text, nil
	}
	var typed *SignatureError
	if errors.As(err, &typed) {
		return nil, err
	}
	reason := ErrBadSignature
	if errors.Is(err, ErrUnsigned) {
		reason = ErrUnsigned
	}
	return nil, &SignatureError{URL: k.URL, Reason: fmt.Errorf("%w: %w", reason, err)}
}

// verify looks for a good signature by a key this source may be signed with.
func (p *Prepared) verify(url string, signed, signatures, text []byte, s *preparedSource, ring *keyrings) error {
	at := p.opts.Now()
	if p.spec.AllowExpired {
		if r, err := parseRelease(text); err == nil && !r.date.IsZero() {
			// The keys as they were when the suite was published, and a day later: signing takes a while.
			at = r.date.Add(24 * time.Hour)
		}
	}
	lists, other := slices.Clone(ring.archive), len(ring.archive)
	if len(s.SignedBy) > 0 || len(s.Keys) > 0 {
		lists, other = nil, 0
		for _, path := range s.SignedBy {
			keys, err := readKeyring(path)
			if err != nil {
				return err
			}
			lists = append(lists, keys)
			if isArchiveKeyring(path) && other == len(lists)-1 {
				other++
			}
		}
		if len(s.Keys) > 0 {
			keys, err := parseKeyring(s.Keys)
			if err != nil {
				return fmt.Errorf("read key of source %s: %w", s.URI, err)
			}
			lists = append(lists, keys)
		}
	} else {
		lists = append(lists, ring.other...)
	}
	var worst *SignatureError
	for i, keys := range lists {
		signer, err := verify(keys, signed, signatures, at, url)
		if err == nil && len(s.SignedByKeys) > 0 && !slices.ContainsFunc(s.SignedByKeys, func(want string) bool { return hasFingerprint(signer, want) }) {
			err = &SignatureError{URL: url, Reason: ErrNoKey, Keys: []string{signer.PrimaryKey.KeyIdString()}}
		}
		if err == nil {
			if i >= other {
				s.signer = signer
			}
			return nil
		}
		var refused *SignatureError
		if !errors.As(err, &refused) {
			return err
		}
		if worst == nil {
			worst = refused
		} else {
			worst.worse(refused.Reason)
		}
	}
	if worst == nil {
		worst = &SignatureError{URL: url, Reason: ErrNoKey}
	}
	return worst
}

func hasFingerprint(e *openpgp.Entity, want string) bool {
	if strings.EqualFold(hex.EncodeToString(e.PrimaryKey.Fingerprint), want) {
		return true
	}
	return slices.ContainsFunc(e.Subkeys, func(k openpgp.Subkey) bool {
		return strings.EqualFold(hex.EncodeToString(k.PublicKey.Fingerprint), want)
	})
}

// resolve reads the package indexes and chooses the packages.
func (p *Prepared) resolve(ctx context.Context) (*selection, error) {
	type part struct {
		source *preparedSource
		index  index
		list   []*Package
	}
	var parts []*part
	u := newUniverse()
	for i, s := range p.sources {
		u.suites = append(u.suites, s.Suite)
		if i > 0 && s.release.notAutomatic {
			continue
		}
		for _, component := range p.spec.Components {
			for _, arch := range []string{p.spec.Arch, "all"} {
				if arch == "all" && s.release.packagesForAll() || !s.release.component(component, arch) && (i > 0 || arch == "all") {
					continue
				}
				x, err := s.release.packagesIndex(component, arch, s.fast, p.fetch.has)
				if err != nil {
					return nil, fmt.Errorf("read %s: %w", s.URI, err)
				}
				parts = append(parts, &part{source: s, index: x})
			}
		}
	}
	group, groupCtx := errgroup.WithContext(ctx)
	for _, x := range parts {
		group.Go(fenced(func() error {
			var err error
			x.list, err = p.readIndex(groupCtx, x.source, x.index)
			return err
		}))
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for _, x := range parts {
		for _, pkg := range x.list {
			u.add(pkg)
		}
	}
	if err := u.index(); err != nil {
		return nil, err
	}
	return resolve(u, p.spec.Variant, p.spec.Include)
}

// readIndex fetches and parses one Packages file.
func (p *Prepared) readIndex(ctx context.Context, s *preparedSource, x index) ([]*Package, error) {
	p.opts.event(Event{Kind: EventIndex, Text: s.Suite + " " + x.path})
	dist := s.URI + "/dists/" + s.Suite + "/"
	urls := []string{dist + x.path}
	if s.release.byHash {
		// The file by its hash stays while the mirror is being updated; its name may be a newer one's already.
		urls = []string{dist + pathDir(x.path) + "by-hash/SHA256/" + x.file.sha256, urls[0]}
	}
	file, err := p.fetch.blob(ctx, urls, x.file, nil)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := decompress(f, x.compression)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", urls[len(urls)-1], err)
	}
	defer r.Close()
	var list []*Package
	err = readPackages(contextReader{ctx, r}, func(pkg *Package) error {
		pkg.Base = s.URI
		if pkg.Arch != p.spec.Arch && pkg.Arch != "all" {
			return nil
		}
		if _, err := cleanName(pkg.Filename); err != nil || pkg.Filename == "" || !isSHA256(pkg.SHA256) || pkg.Size <= 0 {
			return fmt.Errorf("package %s: no usable file name, size and SHA-256", pkg.Name)
		}
		list = append(list, pkg)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", urls[len(urls)-1], err)
	}
	return list, nil
}

func pathDir(p string) string { return p[:strings.LastIndexByte(p, '/')+1] }

// contextReader ends a long read when its context does.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}
