package engine

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"carrel/engine/instance"
	"carrel/engine/instance/terminal"
	"carrel/engine/launch"
	"carrel/engine/sandbox"
	"carrel/internal/near"
	"carrel/internal/ownfile"
)

// SupervisorVerb is the argument with which this program is started to look after one app; see Supervise.
const SupervisorVerb = "supervise-app"

// beginTime is when most apps run: what the start of the supervisor itself needed is not needed any more.
const beginTime = time.Second

// settled gives back memory that was used and is not. What cannot be given back is kept.
func settled() {
	debug.FreeOSMemory()
	_ = ownfile.Release()
}

// settleTime is when an app has usually read what it needs to start.
const settleTime = 10 * time.Second

// order is what a supervisor is told on its standard input.
type order struct {
	Spec      RunSpec `json:"spec"`
	Target    Target  `json:"target"`
	Name      string  `json:"name"`
	Dir       string  `json:"dir"`
	User      User    `json:"user"`
	DataDir   string  `json:"data_dir"`
	CacheDir  string  `json:"cache_dir"`
	StateDir  string  `json:"state_dir"`
	Command   string  `json:"command"`
	NamedByUs bool    `json:"named_by_us"`
	HotLimit  int64   `json:"hot_limit"`
	Guarded   bool    `json:"guarded,omitempty"`
	Exposed   bool    `json:"exposed,omitempty"`
	HostPorts []int   `json:"host_ports,omitempty"` // for each of the spec's ports the one it had here before; 0: none
}

// Start starts an app in the background and returns once it runs; when it answers, its state says so (Watch, Instance).
// The image has to be built (EnsureBuilt).
func (e *Engine) Start(ctx context.Context, s RunSpec) (Instance, error) { return e.start(ctx, s, nil) }

// start is Start of an app that had these ports here before; see order.
func (e *Engine) start(ctx context.Context, s RunSpec, hostPorts []int) (Instance, error) {
	t, err := e.Resolve(ctx, s.Image)
	if err != nil {
		return Instance{}, err
	}
	if !t.Built {
		return Instance{}, fmt.Errorf("start %s: its image is not built yet", s.Image)
	}
	name := s.Name
	if name == "" {
		name = instance.NameOf(t.Path)
	}
	if _, err := stopSignal(s.StopSignal); err != nil {
		return Instance{}, err
	}
	s.Details.HostPIDs = false // whatever an app starts has to end with it
	guarded, exposed := e.guarding(s)
	s = s.apart(guarded)
	// What is wrong with the request is told here, before there is anything to clean up.
	p, err := e.prepare(ctx, t, s, true)
	if err != nil {
		return Instance{}, err
	}
	p.close()
	e.pruneHistory()
	taken, dir, err := instance.Reserve(e.instanceDir(), name, s.Name != "")
	if err != nil {
		return Instance{}, err
	}
	s.Image = t.Path
	data, err := json.Marshal(order{
		Guarded: guarded, Exposed: exposed, HostPorts: hostPorts,
		Spec: s, Target: t, Name: taken, Dir: dir, User: e.c.User, DataDir: e.c.DataDir, CacheDir: e.c.CacheDir, StateDir: e.c.StateDir, HotLimit: e.c.HotLimit,
		Command: e.backgroundLine(s, taken),
	})
	if err == nil {
		err = origin{User: e.c.User, Guard: e.c.Guard}.write(dir)
	}
	if err != nil {
		return Instance{}, errors.Join(err, instance.Forget(e.instanceDir(), taken))
	}
	if _, err := instance.Spawn(ctx, "/proc/self/exe", []string{SupervisorVerb, taken}, dir, bytes.NewReader(data)); err != nil {
		return Instance{}, errors.Join(err, instance.Forget(e.instanceDir(), taken))
	}
	e.ran(t.Path)
	return e.Instance(ctx, taken)
}

// Supervise is the life of a supervisor process: it reads its order, runs the app, and returns when that has ended.
func Supervise(ctx context.Context, in io.Reader) error {
	var o order
	if err := json.NewDecoder(in).Decode(&o); err != nil {
		return fmt.Errorf("read order: %w", err)
	}
	took, err := instance.Takeover()
	if err != nil {
		return err
	}
	e, err := New(Config{DataDir: o.DataDir, CacheDir: o.CacheDir, StateDir: o.StateDir, User: o.User, HotLimit: o.HotLimit})
	if err != nil {
		took(err)
		return err
	}
	p, err := e.prepare(ctx, o.Target, o.Spec, false)
	if err != nil {
		took(err)
		return err
	}
	defer func() { p.close() }() // of the last of several
	signal, err := stopSignal(cmp.Or(o.Spec.StopSignal, p.card.Stop, p.image.StopSignal()))
	if err != nil {
		p.note(err.Error() + "; it is stopped with SIGTERM") // a slip of the image's author
	}
	later := o.Spec
	later.Details.Started = p.start
	later.Leftovers = LeftoversAsk // was an answer about this start; a later one asks anew
	raw, err := json.Marshal(later)
	if err != nil {
		took(err)
		return err
	}
	again := false
	spec := instance.Spec{
		Name: o.Name, Dir: o.Dir, Title: p.card.Title, Image: o.Target.Path, Command: o.Command, Raw: raw, Wait: o.Spec.Wait,
		StopSignal: signal, Restart: o.Spec.Restart, TimeLimit: o.Spec.TimeLimit, Limits: p.limits, MemoryLimit: p.asked, Terminal: o.Spec.Terminal, Stdin: o.Spec.Stdin,
		HostNetwork: p.network == launch.NetworkHost, Closed: p.network == launch.NetworkNone, Guard: o.Guarded, Exposed: o.Exposed, KeepAlive: p.config.Plan.KeepAlive, Took: took,
		Start: func(ctx context.Context, stdin, stdout, stderr *os.File, note func(string)) (*sandbox.Container, func() error, error) {
			if again { // what the last run used is used up: its group, its lock on changes, its copy of the image
				p.close()
				p = &prepared{}
				next, err := e.prepare(ctx, o.Target, o.Spec, false)
				if err != nil {
					return nil, nil, err
				}
				p = next
			}
			again = true
			c := p.config
			c.Plan.Process.Terminal = o.Spec.Terminal
			c.Plan.Process.DenyList = true // whatever the profile: nobody watches it
			c.Stdin, c.Stdout, c.Stderr, c.Note = stdin, stdout, stderr, note
			for _, n := range p.notes {
				note(n)
			}
			k, err := startMapped(ctx, c)
			return k, func() error { return p.saved(note) }, err
		},
		UserNet: func(ctx context.Context, link *os.File) (io.Closer, error) {
			defer link.Close()
			return outgoing(ctx, p.way, link)
		},
	}
	spec.Binds = o.Spec.Binds
	for i, port := range o.Spec.Ports {
		if before := o.HostPorts; i < len(before) && before[i] != 0 && (port.Host == 0 || !port.Fixed) {
			port.Host, port.Fixed = before[i], false
		}
		ps := instance.PortSpec{HostIP: port.HostIP, Host: port.Host, Container: port.Container, Fixed: port.Fixed}
		cp := p.cardPort(port.Container)
		ps.Proto, ps.Path, ps.Text = p.proto(port), cp.Path, cp.Text
		if port.UDP {
			ps.Proto = "udp"
		}
		spec.Ports = append(spec.Ports, ps)
	}
	// A supervisor is there for hours and does next to nothing: give back what the start needed.
	debug.SetGCPercent(40)
	settle := time.AfterFunc(settleTime, settled)
	defer settle.Stop()
	began := time.AfterFunc(beginTime, settled)
	defer began.Stop()
	if r := p.card.Ready; r != nil {
		spec.Ready = &instance.Ready{Port: r.Port, Path: r.Path, Timeout: r.Timeout}
	}
	stop := e.heatLater(ctx, p)
	defer stop()
	_, err = instance.Run(ctx, spec)
	return err
}

// fromInstance turns the state on disk into the facade's form.
func (e *Engine) fromInstance(in instance.Instance) Instance {
	out := Instance{
		Name: in.Name, Image: in.Image, Title: in.Title, State: State(in.State), PID: in.PID, Started: in.Started, ReadyIn: in.ReadyIn,
		Ended: in.Ended, ExitCode: in.ExitCode, Problem: in.Problem, Hint: in.Hint, Command: in.Command, LogFile: in.LogFile,
		Reason: in.Reason, LastLines: in.LastLines, Restarts: in.Restarts, Limits: in.Limits, Terminal: in.Terminal, Stdin: in.Stdin,
		Elsewhere: in.Elsewhere, Init: in.Init, Addresses: in.Addresses, Binds: in.Binds,
	}
	_ = json.Unmarshal(in.Spec, &out.Spec) // of another version: shown without its details
	return out
}

// Instances lists the apps that run, and those that ended and whose names were not taken again, newest first. Those whose
// state cannot be read are told of in the error; the others are listed all the same.
func (e *Engine) Instances(context.Context) ([]Instance, error) {
	list, err := instance.List(e.instanceDir())
	out := make([]Instance, 0, len(list))
	for _, in := range slices.Backward(list) {
		out = append(out, e.fromInstance(in))
	}
	return out, err
}

// Instance returns the state of an app; ErrNotFound when there is none of that name.
func (e *Engine) Instance(_ context.Context, name string) (Instance, error) {
	in, err := e.find(name)
	if err != nil {
		return Instance{}, err
	}
	return e.fromInstance(in), nil
}

func (e *Engine) find(name string) (instance.Instance, error) {
	in, err := instance.Get(e.instanceDir(), name)
	if errors.Is(err, instance.ErrNotFound) {
		return in, &InstanceNameError{Name: name, Close: e.closeTo(name)}
	}
	return in, err
}

// closeTo are up to three names of apps that are nearly one that was not found; those of the history where it is one of them.
func (e *Engine) closeTo(name string) []string {
	list, _ := instance.List(e.instanceDir()) // what cannot be read is not offered
	if strings.Contains(name, "@") {
		old, _ := instance.History(e.instanceDir())
		list = append(list, old...)
	}
	var all []string
	for _, in := range list {
		all = append(all, in.Name)
	}
	out := near.Names(name, all)
	return out[:min(3, len(out))]
}

// InstanceNameError is the name of an app that does not run and did not.
type InstanceNameError struct {
	Name  string
	Close []string // names that may have been meant
}

func (e *InstanceNameError) Error() string { return e.Name + ": no app of that name runs" }

func (e *InstanceNameError) Unwrap() error { return ErrNotFound }

// Hint says where names are listed.
func (e *InstanceNameError) Hint() string {
	if len(e.Close) > 0 {
		return "did you mean " + strings.Join(e.Close, " or ") + "? `carrel ps -a` lists all"
	}
	return "`carrel ps -a` lists the apps that run, and those that ended"
}

// Watch returns a channel that gets a value whenever the state of some app has changed; several changes may be one. It is
// closed when ctx ends.
func (e *Engine) Watch(ctx context.Context) (<-chan struct{}, error) {
	return instance.Watch(ctx, e.instanceDir())
}

// Logs hands the log of an app over in batches, oldest first; with Follow until the app has ended. A line with Partial goes
// on with the next one of its stream, or has no line feed at its end. It returns nil at the end, ctx's error, or that of take.
func (e *Engine) Logs(ctx context.Context, name string, o LogOptions, take func([]LogLine) error) error {
	in, err := e.find(name)
	if err != nil {
		return err
	}
	return instance.ReadLog(ctx, in.Dir, o, func(lines []instance.LogLine) error {
		out := make([]LogLine, 0, len(lines))
		open := map[string]int{} // by stream, the index of a line that goes on
		for _, l := range lines {
			if i, ok := open[l.Stream]; ok {
				out[i].Text += l.Text
				out[i].Partial = l.Partial
			} else {
				open[l.Stream] = len(out)
				out = append(out, l)
			}
			if !l.Partial {
				delete(open, l.Stream)
			}
		}
		return take(out)
	})
}

// Usage measures what an app uses.
func (e *Engine) Usage(_ context.Context, name string) (Usage, error) {
	in, err := e.find(name)
	if err != nil {
		return Usage{}, err
	}
	u, err := instance.UsageOf(in)
	return u[in.Name], err
}

// Stop ends an app: its stop signal, then, after grace, the end of all its processes. It returns when nothing is left.
func (e *Engine) Stop(ctx context.Context, name string, grace time.Duration) error {
	return e.StopWith(ctx, name, grace, "")
}

// StopWith is Stop with another signal than the app's own: "SIGINT", "INT" or "2". An unknown one is a *SignalNameError.
func (e *Engine) StopWith(ctx context.Context, name string, grace time.Duration, signal string) error {
	sig, err := stopSignal(signal)
	if err != nil {
		return err
	}
	in, err := e.find(name)
	if err != nil {
		return err
	}
	if !in.State.Live() {
		return fmt.Errorf("stop %s: %w", name, ErrNotRunning)
	}
	return told(instance.StopWith(ctx, in.Dir, grace, sig))
}

// told gives errors of package instance the sentinels of this one.
func told(err error) error {
	switch {
	case errors.Is(err, instance.ErrNotRunning):
		return fmt.Errorf("%w: %w", err, ErrNotRunning)
	case errors.Is(err, instance.ErrNotFound):
		return fmt.Errorf("%w: %w", err, ErrNotFound)
	}
	return err
}

// Restart stops an app, if it runs, and starts the same again under its name: with the environment, the current folder and
// the ports that it had, whatever the caller's are.
func (e *Engine) Restart(ctx context.Context, name string) (Instance, error) {
	return e.RestartWithin(ctx, name, -1)
}

// RestartWithin is Restart with the time an app has to end; negative: the usual.
func (e *Engine) RestartWithin(ctx context.Context, name string, grace time.Duration) (Instance, error) {
	in, err := e.find(name)
	if err != nil {
		return Instance{}, err
	}
	spec := e.fromInstance(in).Spec
	if spec.Image == "" {
		return Instance{}, fmt.Errorf("restart %s: what it was started with is not known any more", name)
	}
	from := e.at(in.Dir)
	if in.State.Live() {
		if err := instance.Stop(ctx, in.Dir, grace); err != nil && !errors.Is(err, instance.ErrNotRunning) {
			return Instance{}, err
		}
	}
	spec.Name, _, _ = strings.Cut(name, "@") // of the history: under the name it had
	return from.start(ctx, spec, in.HostPorts)
}

// Forget removes what is kept of an app that has ended.
func (e *Engine) Forget(_ context.Context, name string) error {
	if _, err := e.find(name); err != nil {
		return err
	}
	return instance.Forget(e.instanceDir(), name)
}

// Discard is Forget of an app that runs on another computer as well, of which somebody knows that it has ended there.
func (e *Engine) Discard(_ context.Context, name string) error {
	if _, err := e.find(name); err != nil {
		return err
	}
	return instance.Discard(e.instanceDir(), name)
}

// Exec runs a process in an app that runs: s.Action and its Args, in the environment and the folder of the app, to which
// s.Env, s.App and s.Cwd add; with s.Details.FromCaller in the caller's. With tty it gets a terminal of its own, connected to
// the caller's. It returns the process's exit status.
func (e *Engine) Exec(ctx context.Context, name string, s RunSpec, std Stdio, tty bool) (int, error) {
	in, err := e.find(name)
	if err != nil {
		return 0, err
	}
	if !in.State.Live() {
		return 0, fmt.Errorf("enter %s: %w", name, ErrNotRunning)
	}
	spec, from := e.fromInstance(in).Spec, e
	if s.Details.FromCaller {
		spec.App, spec.Cwd, spec.CleanEnv, spec.Details.Umask, spec.Details.NoEnv = s.App, s.Cwd, s.CleanEnv, s.Details.Umask, s.Details.NoEnv
	} else {
		from = e.at(in.Dir)
		from.c.User.Env = onScreen(from.c.User.Env, e.c.User.Env)
		spec.App, spec.Cwd = cmp.Or(s.App, spec.App), cmp.Or(s.Cwd, spec.Cwd)
	}
	spec.Action, spec.Args = s.Action, s.Args
	for k, v := range s.Env {
		if spec.Env == nil {
			spec.Env = map[string]string{}
		}
		spec.Env[k] = v
	}
	o := from.options(spec, Target{Path: in.Image})
	from.home(spec, &o)
	if spec.private() {
		// Its proxies are called otherwise inside. The networks of the host are what they were, as a rule.
		if _, err := privateNetwork(&o); err != nil {
			return 0, err
		}
	}
	o.Shell, o.Prompt, o.NoPrivs, o.Umask, o.NoEnv = s.Details.Shell, s.Details.Prompt, spec.Details.NoPrivs, spec.Details.Umask, spec.Details.NoEnv
	asPerson(&o, spec.Details.Started.Person, from.c.User.UID == 0 && !spec.Details.UserNS)
	o.SealMounts = slices.ContainsFunc(spec.Binds, func(b Bind) bool { return b.ReadOnly })
	if !s.Details.FromCaller {
		o.Start = spec.Details.Started.Dir
	}
	c, err := launch.Config(o)
	if err != nil {
		return 0, err
	}
	process := c.Plan.Process
	if !tty {
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0) // for a standard file that the caller does not have
		if err != nil {
			return 0, err
		}
		defer null.Close()
		return instance.Exec(ctx, in.Dir, process, [3]*os.File{cmp.Or(std.In, null), cmp.Or(std.Out, null), cmp.Or(std.Err, null)}, false)
	}
	return terminal.Run(ctx, std.In, std.Out, func(slave *os.File) (func() int, error) {
		job, err := instance.Start(ctx, in.Dir, process, [3]*os.File{slave, slave, slave}, true)
		if err != nil {
			return nil, err
		}
		return func() int {
			status, err := job.Wait(ctx)
			if err != nil {
				return 128 + int(syscall.SIGKILL) // the app ended under it
			}
			return status
		}, nil
	})
}
