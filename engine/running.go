package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"carrel/engine/card"
	"carrel/engine/image"
	"carrel/engine/launch"
	"carrel/engine/network"
	"carrel/engine/network/guard"
	"carrel/engine/network/netns"
	"carrel/engine/network/usernet"
	"carrel/engine/oom"
	"carrel/engine/sandbox"
	"carrel/internal/atomicfile"
)

// Stdio are the standard files of a process; nil is /dev/null.
type Stdio struct {
	In, Out, Err *os.File
}

// RunCallbacks tell the caller of Run what happens.
type RunCallbacks struct {
	// Note takes a sentence a person should read.
	Note func(string)
	// Saved takes the sentence about what was saved in the image in the end; nil gives it to Note.
	Saved func(string)
	// Started is called when the process runs; signal sends it a signal.
	Started func(signal func(unix.Signal) error)
	// Address is called when a published port answers, or will not.
	Address func(Address, error)
	// Again is what is known of the call, where it is one that may repeat an earlier launch; nil: it is not. When it has a
	// container already, Run waits for that.
	Again *Again
	// Building takes the events of a build that has to come first.
	Building Sink
	// OtherPorts: an app that would share this computer's network, while a port it listens on is taken, gets a network of its
	// own and other ports here; Note says so.
	OtherPorts bool
}

// prepared is a container that is ready to be started.
type prepared struct {
	target  Target
	image   *image.Image
	card    card.Card
	config  sandbox.Config
	network launch.Network
	way     usernet.Config // out of a private network
	keeper  *keeper        // with Writable
	limits  []string       // what it may use at most; see Instance.Limits
	asked   int64          // bytes of memory that each process may ask for; 0: any
	notes   []string       // what a person should know once it is started
	hot     bool           // it starts from an unpacked copy
	signed  bool           // what it saves breaks a signature
	keeps   bool           // what it changes is kept
	start   started        // where and as whom the image says
	hold    string         // the file that is locked as long as the copy is used
	closers []func()
}

func (p *prepared) note(text string) { p.notes = append(p.notes, text) }

func (p *prepared) close() {
	for i := len(p.closers) - 1; i >= 0; i-- {
		p.closers[i]()
	}
}

// EnsureBuilt resolves a name and builds the image first where a catalog entry or reference has none yet.
func (e *Engine) EnsureBuilt(ctx context.Context, name string, sink Sink) (Target, error) {
	t, err := e.Resolve(ctx, name)
	if err != nil || t.Built {
		return t, err
	}
	_, err = e.Build(ctx, BuildSpec{Definition: name, Target: t.Path, Force: true}, sink)
	if err != nil {
		return t, err
	}
	t.Built = true
	return t, nil
}

// prepare works out the container of a RunSpec. The image is built.
//
// With look nothing is taken: it only finds out whether the container could be started.
func (e *Engine) prepare(ctx context.Context, t Target, s RunSpec, look bool) (*prepared, error) {
	img, err := image.Open(t.Path)
	if err != nil {
		return nil, err
	}
	p := &prepared{target: t, image: img}
	p.closers = append(p.closers, func() { img.Close() })
	fail := func(err error) (*prepared, error) {
		p.close()
		return nil, err
	}
	labels, err := img.Labels()
	if err != nil {
		return fail(err)
	}
	p.card, _ = card.Parse(labels)
	o := e.options(s, t)
	o.Resolv, _ = os.ReadFile("/etc/resolv.conf") // a host without is a host without a network
	o.Hosts, _ = os.ReadFile("/etc/hosts")
	for i, b := range s.Binds {
		if b.OfImage() {
			o.Binds = append(o.Binds, launch.Bind{Source: path.Clean("/" + b.InImage), Dest: b.Dest, ReadOnly: true, Layer: i + 1})
			continue
		}
		lb := launch.Bind{Source: e.expand(b.Source), Dest: b.Dest, ReadOnly: b.ReadOnly}
		if err := launch.CheckBind(lb); err != nil {
			return fail(err)
		}
		o.Binds = append(o.Binds, lb)
	}
	e.home(s, &o)
	switch {
	case s.NoNetwork:
		o.Network = launch.NetworkNone
	case s.private():
		o.Network = launch.NetworkPrivate
	}
	if o.Network == launch.NetworkPrivate {
		if p.way, err = privateNetwork(&o); err != nil {
			return fail(err)
		}
	}
	p.network = o.Network
	if err := e.detail(s, p, &o); err != nil {
		return fail(err)
	}
	p.keeps = s.Writable || s.writesOverlay()
	e.asImage(s, p, &o)
	e.identity(&o, p.keeps)
	e.userNS(s, &o)
	if err := e.layers(ctx, p, &o); err != nil {
		return fail(err)
	}
	if err := e.overlays(s, p, &o, look); err != nil {
		return fail(err)
	}
	if err := e.bindImages(s, p, &o); err != nil {
		return fail(err)
	}
	if s.Writable {
		if err := e.keep(p, s, &o, look); err != nil {
			return fail(err)
		}
	}
	if p.config, err = launch.Config(o); err != nil {
		return fail(err)
	}
	if p.keeper != nil {
		if err := p.keeper.begin(p.config.Plan.Ops); err != nil {
			return fail(err)
		}
	}
	return p, nil
}

// options are those of a RunSpec that need no look at the image or the host's files.
func (e *Engine) options(s RunSpec, t Target) launch.Options {
	o := launch.Options{
		ImagePath: t.Path, ImageName: filepath.Base(t.Path),
		Host:   e.host(),
		Action: string(s.Action), Args: s.Args, App: s.App, Env: s.Env, Cwd: s.Cwd,
		Safe: s.Profile == ProfileSafe, Contain: s.Contain, CleanEnv: s.CleanEnv, NoHome: s.NoHome, Root: s.Root,
		Hostname: hostname(s, t),
		// A startscript starts servers and returns; they go on until the app is stopped.
		KeepAlive: s.Action == ActionStart,
	}
	if o.Action == "" {
		o.Action = string(ActionRun)
	}
	return o
}

// home makes another folder the home, where that is asked for.
func (e *Engine) home(s RunSpec, o *launch.Options) {
	if s.Home == "" {
		return
	}
	src, dest := s.Home, s.HomeDest
	if dest == "" {
		src, dest, _ = strings.Cut(s.Home, ":")
	}
	if dest == "" {
		dest = e.c.User.Home
	}
	o.Home = &launch.Bind{Source: e.expand(src), Dest: dest}
}

// hostname is the container's own name where it is kept apart from the host.
func hostname(s RunSpec, t Target) string {
	if s.Profile != ProfileSafe {
		return ""
	}
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}, shortName(t.Path))
	return strings.Trim(name[:min(len(name), 63)], "-")
}

// identity decides who the process is: the caller, or root of a user namespace.
func (e *Engine) identity(o *launch.Options, keeps bool) {
	u := e.c.User
	switch {
	case u.UID == 0:
		o.IDs = sandbox.NoIDMap()
	case o.Root:
		m, err := sandbox.RootWithRanges()
		if err != nil || keeps { // what is kept has to be read by the caller afterwards
			m, o.FakeRoot = sandbox.SingleID(0, 0), true
		}
		o.IDs = m
	case o.Person != nil:
		o.IDs = sandbox.SingleID(o.Person.UID, o.Person.GID)
	default:
		o.IDs = sandbox.SingleID(u.UID, u.GID)
	}
}

// startMapped starts a container; where newuidmap refuses the ids that it asks for, such as ranges that overlap, as root with one
// id, whose privileged calls are answered.
func startMapped(ctx context.Context, c sandbox.Config) (*sandbox.Container, error) {
	k, err := sandbox.Start(ctx, c)
	var e *sandbox.Error
	if !errors.As(err, &e) || e.Op != sandbox.OpMapIDs {
		return k, err
	}
	if c.Note != nil {
		c.Note("your subordinate ids cannot be used (" + e.Err.Error() + "); inside there is root alone, and what it gives to other users stays its own")
	}
	c.IDs, c.Plan.Process.FakeRoot = sandbox.SingleID(0, 0), true
	return sandbox.Start(ctx, c)
}

// attached is what a container in the foreground has on the host: published ports, a user-mode network stack.
type attached struct {
	published []front
	net       *usernet.Net
}

func (a *attached) close() {
	for _, p := range a.published {
		p.Close()
	}
	if a.net != nil {
		a.net.Close()
	}
}

func mapping(p Port) (network.Mapping, error) {
	m := network.Mapping{HostPort: uint16(p.Host), ContainerPort: uint16(p.Container), Wish: !p.Fixed, UDP: p.UDP}
	if p.HostIP != "" {
		ip, err := netip.ParseAddr(p.HostIP)
		if err != nil {
			return m, fmt.Errorf("publish port %d: %w", p.Container, err)
		}
		m.HostIP = ip
	}
	return m, nil
}

// dialer connects to a port of a container. As long as nothing has answered there the container is only asked for a
// connection when something listens: it is tried often, while an app is starting that needs the processor itself. open
// remembers that.
func dialer(k *sandbox.Container, port Port, open *atomic.Bool) network.DialFunc {
	dial := k.Dial
	if port.UDP {
		dial = k.DialUDP
	}
	init := strconv.Itoa(k.PID())
	return func(ctx context.Context) (net.Conn, error) {
		if !port.UDP && !open.Load() && !netns.Listens(init, port.Container) {
			return nil, fmt.Errorf("connect to port %d: %w", port.Container, unix.ECONNREFUSED)
		}
		c, err := dial(ctx, port.Container)
		open.Store(err == nil)
		if errors.Is(err, sandbox.ErrEnded) {
			return nil, fmt.Errorf("%w: %w", net.ErrClosed, err)
		}
		return c, err
	}
}

// Run runs a container in the foreground and returns the exit status of its process, as a shell gives it. It builds the
// image first where that is needed. An error means that Carrel itself failed.
func (e *Engine) Run(ctx context.Context, s RunSpec, std Stdio, cb RunCallbacks) (int, error) {
	if cb.Again != nil && cb.Again.Running != nil {
		return e.resume(ctx, cb.Again.Running, cb)
	}
	began := e.c.Now()
	t, err := e.EnsureBuilt(ctx, s.Image, cb.Building)
	if err != nil {
		return 0, err
	}
	p, err := e.prepare(ctx, t, s, false)
	if err != nil {
		return 0, err
	}
	if cb.OtherPorts {
		if moved, held := e.otherPorts(s, p); len(held) > 0 {
			p.close()
			if p, err = e.prepare(ctx, t, moved, false); err != nil {
				return 0, err
			}
			s = moved
			p.notes = append(p.notes, held...)
		}
	}
	defer func() { p.close() }()
	c := p.config
	c.Stdin, c.Stdout, c.Stderr, c.Note = std.In, std.Out, std.Err, cb.Note
	c.Alone = len(s.Ports) == 0
	if serves := s.Action == "" || s.Action == ActionRun || s.Action == ActionStart; serves && len(p.card.Ports) > 0 && e.Exposed(s) {
		p.note("other people use this computer, and can open what this app serves; carrel run --guard keeps them out")
	}
	for _, n := range p.notes {
		if cb.Note != nil {
			cb.Note(n)
		}
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// Ports are taken before anything starts, so that a taken one is told at once.
	a := &attached{}
	defer a.close()
	started := make(chan struct{})
	var k *sandbox.Container
	var keys *guard.Guard
	if len(s.Ports) > 0 {
		if guarded, _ := e.guarding(s); guarded {
			keys = e.newGuard()
		}
	}
	open := make([]atomic.Bool, len(s.Ports))
	for i, port := range s.Ports {
		pub, err := e.publish(ctx, port, p.proto(port), keys, func(ctx context.Context) (net.Conn, error) {
			select {
			case <-started:
				return dialer(k, port, &open[i])(ctx)
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		})
		if err != nil {
			return 0, err
		}
		a.published = append(a.published, pub)
		if int(pub.Addr.Port()) != port.Host && port.Host != 0 && cb.Note != nil {
			cb.Note(fmt.Sprintf("port %d is taken; using %d instead", port.Host, pub.Addr.Port()))
		}
	}
	repeat := e.repeatable(s, t, p, cb.Again)
	if repeat {
		c.Trace = &sandbox.Trace{}
		c.Note = func(text string) {
			repeat = false
			if cb.Note != nil {
				cb.Note(text)
			}
		}
	}
	if k, err = startMapped(ctx, c); err != nil {
		return 0, err
	}
	close(started)
	if last := e.ran(t.Path); !last.IsZero() && e.c.Now().Sub(last) < hotAgain {
		e.heatSoon(p)
	}
	if link := k.Link(); link != nil {
		if a.net, err = outgoing(ctx, p.way, link); err != nil && cb.Note != nil {
			cb.Note("no outgoing network in the container: " + err.Error())
		}
	}
	if cb.Started != nil {
		cb.Started(func(sig unix.Signal) error { return k.Signal(sig) })
	}
	if repeat {
		e.remember(cb.Again, p, c.Trace, began)
	}
	signal, err := stopSignal(cmp.Or(s.StopSignal, p.card.Stop, p.image.StopSignal()))
	if err != nil || signal == 0 {
		signal = unix.SIGTERM
	}
	note := func(text string) {
		if cb.Note != nil {
			cb.Note(text)
		}
	}
	inTime := limitTime(s.TimeLimit, func() { _ = k.Stop(signal) }, k.Kill, note)
	memory := oom.Watch(k.PID())
	var probing sync.WaitGroup
	for i, pub := range a.published {
		if !s.Ports[i].UDP { // of datagrams nobody says when they begin to be answered
			probing.Go(func() { e.probe(ctx, p, k, s, s.Ports[i], &open[i], pub, cb) })
		}
	}
	status, err := k.Wait()
	inTime()
	if problem, hint := memory(status); problem != "" {
		note(problem + "; " + hint)
	}
	cancel()
	probing.Wait()
	return status, errors.Join(err, p.saved(cb.saved()))
}

// saved is who takes the sentence about what was saved.
func (cb RunCallbacks) saved() func(string) {
	if cb.Saved != nil {
		return cb.Saved
	}
	return cb.Note
}

// saved saves what a container with Writable has changed, and remarks on it. The run may have been cancelled: that ends
// the container, not the saving of its work.
func (p *prepared) saved(note func(string)) error {
	if p.keeper == nil {
		return nil
	}
	c, err := p.keeper.save(context.Background())
	if err == nil && note != nil && !c.Empty() {
		text := fmt.Sprintf("saved in %s: %s", filepath.Base(p.keeper.path), changed(c.Files, c.Folders, c.Deleted))
		if p.signed {
			text += "; its signature does not fit any more"
		}
		note(text)
	}
	return err
}

// lastRunPrecision is how exactly it is known when an image was last run: one that is run over and over is not written
// down each time.
const lastRunPrecision = time.Minute

// ran remembers that an image was run, and returns when that was known to have happened before; zero: never. A list that is
// out of date is no reason not to run, nor to wait for the disk.
func (e *Engine) ran(path string) (last time.Time) {
	r := e.record(path)
	last = r.LastRun
	now := e.c.Now()
	if since := now.Sub(last); since >= 0 && since < lastRunPrecision {
		return last
	}
	r.Path, r.LastRun = path, now
	data, err := json.Marshal(r)
	if err != nil {
		return last
	}
	file := e.recordPath(path)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return last
	}
	f, err := atomicfile.Create(file, 0o600)
	if err != nil {
		return last
	}
	defer f.Close()
	if _, err := f.Write(data); err == nil {
		_ = f.CommitCached() // see above
	}
	return last
}
