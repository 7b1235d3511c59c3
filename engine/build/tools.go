package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"carrel/engine/definition"
	"carrel/engine/progress"
	"carrel/engine/sandbox"
	"carrel/engine/sandbox/plan"
	"carrel/engine/source"
	"carrel/engine/source/arch"
	"carrel/engine/source/busybox"
	"carrel/engine/source/yum"
	"carrel/engine/source/zypper"
	"carrel/internal/download"
)

// Bases that programs of this computer make. They run in a container whose root is this computer's, read-only, with the
// root they fill at source.ToolRoot: rootless, in our user namespace and behind the same seccomp filter as %post, and as
// root without a way to change anything else.

// hostPrograms are where programs of this computer are looked for.
var hostPrograms = strings.Split(sectionPath, ":")

func findProgram(name string) string {
	for _, dir := range hostPrograms {
		p := filepath.Join(dir, name)
		if st, err := os.Stat(p); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return p
		}
	}
	return ""
}

// place makes the folders for programs that fill a root.
func (b *builder) place(root string) (*source.Place, error) {
	temp, err := b.tmpFolder(b.dir)
	if err != nil {
		return nil, err
	}
	for _, d := range []string{"root", "home", "cache"} { // places for mounts
		if err := os.Mkdir(filepath.Join(temp, d), 0o755); err != nil {
			return nil, err
		}
	}
	if b.fetched == nil {
		if b.fetched, err = b.openDownloads(); err != nil {
			return nil, err
		}
	}
	p := &source.Place{
		Root: root, Temp: temp, Find: findProgram, Fetch: b.fetchSmall,
		Warn: func(text string) { b.sink.Notice(progress.StepFetch, text) },
	}
	p.Run = func(ctx context.Context, c source.Command) (int, error) { return b.runTool(ctx, p, c) }
	p.Inside = func(ctx context.Context, c source.Command) (int, error) {
		tmp, err := b.tmpFolder(b.dir)
		if err != nil {
			return 0, err
		}
		return b.run(ctx, &stage{root: root, tmp: tmp}, progress.StepFetch,
			plan.Process{Args: c.Args, Env: append(b.environment(), c.Env...), Dir: "/", Umask: 0o022}, nil)
	}
	return p, nil
}

// runTool runs a program of this computer that fills a root.
func (b *builder) runTool(ctx context.Context, p *source.Place, c source.Command) (int, error) {
	out, wait, err := b.lines(progress.StepFetch)
	if err != nil {
		return 0, err
	}
	defer wait()
	defer out.Close()
	cache := filepath.Join(b.fetched.dir, filepath.Base(c.Args[0]))
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return 0, err
	}
	env := append([]string{"PATH=" + sectionPath, "HOME=" + source.ToolHome, "USER=root", "LANG=C.UTF-8", "TMPDIR=" + source.ToolTemp}, c.Env...)
	pl := plan.Plan{
		UserNS: b.spec.UserNS, PIDNS: true, UID: -1, GID: -1,
		Layers: []plan.Layer{{Folder: "/"}}, Upper: plan.Upper{Kind: plan.UpperNone},
		Ops: []plan.Op{
			{Kind: plan.OpBind, Source: p.Temp, Dest: source.ToolTemp},
			{Kind: plan.OpBind, Source: p.Temp, Dest: "/var/tmp", Optional: true, Quiet: true},
			{Kind: plan.OpBind, Source: p.Root, Dest: source.ToolRoot},
			{Kind: plan.OpBind, Source: cache, Dest: source.ToolCache},
		},
		Process: plan.Process{
			Args: c.Args, Env: append(env, b.spec.Proxies...), Dir: source.ToolTemp, Umask: 0o022,
			KeepCaps: true, NoSync: true, CloseFDs: true, FakeRoot: b.spec.SingleID,
		},
	}
	for _, dir := range p.Folders { // that would be hidden
		if strings.HasPrefix(dir, "/tmp/") || strings.HasPrefix(dir, "/var/tmp/") {
			pl.Ops = append(pl.Ops, plan.Op{Kind: plan.OpBind, Source: dir, Dest: dir, ReadOnly: true})
		}
	}
	for _, op := range b.mounts(p.Temp) {
		switch op.Dest {
		case "/tmp", "/var/tmp", downloadsDir, aptConfig:
			continue
		case "/etc/resolv.conf", "/etc/hosts": // this computer's own
			continue
		}
		pl.Ops = append(pl.Ops, op)
		if strings.HasPrefix(op.Dest, "/dev") || op.Dest == "/proc" { // packages' scripts run in the root, by chroot(2)
			op.Dest = source.ToolRoot + op.Dest
			pl.Ops = append(pl.Ops, op)
		}
	}
	if c.CacheInRoot != "" {
		pl.Ops = append(pl.Ops, plan.Op{Kind: plan.OpBind, Source: cache, Dest: source.ToolRoot + c.CacheInRoot})
		defer os.Remove(filepath.Join(p.Root, c.CacheInRoot)) // the empty folder it was mounted on
	}
	k, err := sandbox.Start(ctx, sandbox.Config{Plan: pl, Stdout: out, Stderr: out, Note: func(t string) { b.sink.Notice(progress.StepFetch, t) }})
	if err != nil {
		return 0, err
	}
	status, err := k.Wait()
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	return status, err
}

// maxSmall bounds a file that is read as a whole, in bytes: the index of a repository, a key, busybox.
const maxSmall = 32 << 20

// fetchSmall gets a file by its address.
func (b *builder) fetchSmall(ctx context.Context, address string) ([]byte, error) {
	if source.Local(address) {
		return os.ReadFile(source.Path(address))
	}
	t := download.NewTransport(download.Limits{})
	defer t.CloseIdleConnections()
	dir, err := os.MkdirTemp(b.dir, "small-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	f, err := os.Create(filepath.Join(dir, "file"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	_, err = download.File(ctx, download.Source{
		Client: &http.Client{Transport: download.Guard(t, download.Limits{})}, URL: address, Size: -1, Most: maxSmall,
	}, f, 0, download.Limits{}, download.Watcher{})
	if status, ok := errors.AsType[*download.StatusError](err); ok {
		return nil, &StatusError{URL: address, Status: status.Status}
	}
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return nil, fmt.Errorf("fetch %s: %w", address, err)
	}
	return os.ReadFile(f.Name())
}

// repositoryState names what RPM repositories hold, by their index (repodata/repomd.xml): a base of them is made anew when
// that changes.
func (b *builder) repositoryState(ctx context.Context, version string, urls ...string) (state []string, err error) {
	names := strings.NewReplacer("$releasever", version, "$basearch", rpmArch(), "$arch", rpmArch())
	for _, u := range urls {
		if u == "" {
			continue
		}
		address := strings.TrimRight(names.Replace(u), "/") + "/repodata/repomd.xml"
		data, err := b.fetchSmall(ctx, address)
		if err != nil {
			return nil, &RepositoryError{URL: u, Err: err}
		}
		state = append(state, u+"@index:"+sha(data))
	}
	return state, nil
}

// RepositoryError is an address at which there is no repository of packages.
type RepositoryError struct {
	URL string
	Err error
}

func (e *RepositoryError) Error() string { return fmt.Sprintf("read repository %s: %v", e.URL, e.Err) }
func (e *RepositoryError) Unwrap() error { return e.Err }

// Hint says what an address has to be.
func (e *RepositoryError) Hint() string {
	return "the address is that of the folder that holds repodata/; releases that are no longer kept up move to an archive of the distribution (vault.centos.org, archives.fedoraproject.org)"
}

func sha(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// rpmArch is this machine's architecture as uname -m has it.
func rpmArch() string {
	switch runtime.GOARCH {
	case "amd64":
		return "x86_64"
	case "arm64":
		return "aarch64"
	case "386":
		return "i686"
	}
	return runtime.GOARCH
}

// made is a base that is filled by install.
func (b *builder) made(agent, describe, key string, from []string, install func(context.Context, *source.Place) error) base {
	fill := func(ctx context.Context, dir string) (string, error) {
		p, err := b.place(dir)
		if err != nil {
			return "", err
		}
		for _, u := range from {
			if u, _, _ = strings.Cut(u, "@"); source.Local(u) {
				p.Folders = append(p.Folders, source.Path(u))
			}
		}
		return describe, install(ctx, p)
	}
	return base{key: agent + " " + key, describe: describe, fill: fill, reference: strings.TrimSpace(strings.Join(from, " ")), digest: madeDigest(from)}
}

// madeDigest is the digest of a base that is made of one thing with a digest.
func madeDigest(from []string) string {
	if len(from) == 1 {
		if _, digest, ok := strings.Cut(from[0], "@sha256:"); ok {
			return "sha256:" + digest
		}
	}
	return ""
}

func (b *builder) fetchYum(ctx context.Context, def *definition.Stage) (base, error) {
	h := def.Header
	s, err := yum.Spec{
		MirrorURL: h.Get("MirrorURL"), UpdateURL: h.Get("UpdateURL"), OSVersion: h.Get("OSVersion"), SetOpt: h.Get("SetOpt"),
		Include: source.Words(h.Get("Include"), b.spec.Variables["INCLUDE"]), GPG: b.spec.Variables["GPG"],
	}.Resolve()
	if err != nil {
		return base{}, err
	}
	from, err := b.repositoryState(ctx, s.OSVersion, s.MirrorURL, s.UpdateURL)
	if err != nil {
		return base{}, err
	}
	key := digest(s.Config(), s.OSVersion, s.SetOpt, s.GPG, strings.Join(s.Include, " "), strings.Join(from, " "))
	return b.made("yum", strings.TrimSpace("packages of "+s.MirrorURL), key, from, func(ctx context.Context, p *source.Place) error {
		return yum.Install(ctx, s, p)
	}), nil
}

func (b *builder) fetchZypper(ctx context.Context, def *definition.Stage) (base, error) {
	h := def.Header
	s := zypper.Spec{
		MirrorURL: h.Get("MirrorURL"), UpdateURL: h.Get("UpdateURL"), OSVersion: h.Get("OSVersion"),
		Include: source.Words(h.Get("Include"), b.spec.Variables["INCLUDE"]),
		Product: h.Get("Product"), User: h.Get("User"), RegCode: h.Get("RegCode"), ProductPGP: h.Get("ProductPGP"),
		RegisterURL: h.Get("RegisterURL"), Modules: source.Words(h.Get("Modules")), Machine: rpmArch(),
	}
	for i := range 20 {
		if u := h.Get(fmt.Sprintf("OtherURL%d", i)); u != "" {
			s.OtherURLs = append(s.OtherURLs, u)
		}
	}
	s, err := s.Resolve()
	if err != nil {
		return base{}, err
	}
	urls := append([]string{s.MirrorURL, s.UpdateURL}, s.OtherURLs...)
	from, err := b.repositoryState(ctx, s.OSVersion, urls...)
	if err != nil && !s.SLE() { // an installer's medium has another form
		return base{}, err
	}
	key := digest(append([]string{s.OSVersion, s.Product, s.User, s.ProductPGP, s.RegisterURL, strings.Join(s.Modules, " "), strings.Join(s.Include, " ")}, from...)...)
	what := s.MirrorURL
	if what == "" {
		what = s.Product
	}
	return b.made("zypper", "packages of "+what, key, from, func(ctx context.Context, p *source.Place) error {
		return zypper.Install(ctx, s, p)
	}), nil
}

func (b *builder) fetchArch(ctx context.Context, def *definition.Stage) (base, error) {
	h := def.Header
	s := arch.Spec{MirrorURL: h.Get("MirrorURL"), ConfURL: h.Get("ConfURL"), Include: source.Words(h.Get("Include"), b.spec.Variables["INCLUDE"])}
	state := "" // packages change every day: a base is good until the mirror's lists change
	if s.ConfURL == "" || s.MirrorURL != "" {
		for _, index := range s.Indexes() {
			data, err := b.fetchSmall(ctx, index)
			if err != nil {
				return base{}, err
			}
			state += sha(data)
		}
	} else { // whose lists only pacman finds: good for a day, of today, whatever time the image is to have
		state = time.Now().UTC().Format("2006-01-02")
	}
	key := digest(s.Config(), s.ConfURL, strings.Join(s.Include, " "), state)
	return b.made("arch", "Arch Linux", key, []string{s.MirrorURL, s.ConfURL}, func(ctx context.Context, p *source.Place) error {
		return arch.Install(ctx, s, p)
	}), nil
}

func (b *builder) fetchBusybox(ctx context.Context, def *definition.Stage) (base, error) {
	from, err := source.Expand(def.Header.Get("MirrorURL"), def.Header.Get("OSVersion"))
	if err != nil {
		return base{}, err
	}
	name := from
	if from == "" {
		if from = findProgram("busybox"); from == "" {
			return base{}, &busybox.MissingError{}
		}
		name = "this computer's busybox"
	}
	program, err := b.fetchSmall(ctx, from)
	if err != nil {
		return base{}, err
	}
	if err := busybox.Check(from, program); err != nil {
		return base{}, err
	}
	sum := sha(program)
	return b.made("busybox", name, sum, []string{from + "@sha256:" + sum}, func(ctx context.Context, p *source.Place) error {
		if err := busybox.Install(p.Root, strings.NewReader(string(program))); err != nil {
			return err
		}
		status, err := p.Inside(ctx, source.Command{Args: busybox.Names()})
		if err == nil && status != 0 {
			err = &source.ExitError{Args: busybox.Names(), Status: status}
		}
		return err
	}), nil
}
