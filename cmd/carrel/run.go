package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"carrel/cmd/carrel/quick"
	"carrel/engine"
	"carrel/internal/amount"
)

// launchFlags are the options of run, exec and shell.
type launchFlags struct {
	binds, ports, env []string
	overlays          []string
	net, guard        string
	safe, fresh       bool
	detach, noWait    bool
	spec              engine.RunSpec
	limits            limitFlags
	keep              keepFlags
}

func (l *launchFlags) register(f *pflag.FlagSet) {
	f.SetInterspersed(false) // what follows the image belongs to the app
	f.StringArrayVarP(&l.binds, "bind", "B", nil, "show a folder or file inside, as `SRC[:DEST[:ro]]`; may occur several times")
	f.StringArrayVarP(&l.ports, "publish", "p", nil, "make a port of the app appear here: `PORT` or HERE:PORT")
	f.StringArrayVar(&l.env, "env", nil, "set a variable inside, as `NAME=VALUE`")
	f.BoolVar(&l.safe, "safe", false, "show nothing of this computer but what is bound: own home, clean environment")
	f.BoolVarP(&l.spec.Root, "fakeroot", "f", false, "be root inside")
	f.BoolVarP(&l.spec.Writable, "writable", "w", false, "keep what changes inside: it is saved in the image when the app stops")
	f.StringVar((*string)(&l.spec.Leftovers), "leftovers", "", "unsaved changes of an earlier run: `WHAT` is keep, discard or show (--json)")
	f.StringArrayVar(&l.overlays, "overlay", nil, "keep what changes inside in a folder or ext3 file, as `PATH[:ro]`")
	f.BoolVar(&l.spec.Details.Nvidia, "nv", false, "show NVIDIA's graphics processors inside (--rocm: AMD's)")
	f.BoolVar(&l.spec.Details.AMD, "rocm", false, "show AMD's graphics processors, and their driver, inside")
	f.StringVar(&l.net, "net", "", "`KIND` of network: host (this computer's), private or none")
	f.StringVar(&l.guard, "guard", "", "open ports to this user alone, by a link: `WHEN` is on, off or auto")
	f.Lookup("guard").NoOptDefVal = string(engine.GuardOn)
	f.BoolVarP(&l.spec.CleanEnv, "cleanenv", "e", false, "pass no variables on")
	f.BoolVarP(&l.spec.Contain, "contain", "c", false, "own /dev, /tmp and home, without the current folder")
	f.BoolVar(&l.spec.NoHome, "no-home", false, "without the home folder")
	f.StringVarP(&l.spec.Home, "home", "H", "", "another folder as home, as `SRC[:DEST]`")
	f.StringVar(&l.spec.Cwd, "cwd", "", "`FOLDER` inside to start in")
	f.StringVar(&l.spec.Cwd, "pwd", "", "")
	f.BoolVar(&l.spec.Details.AsSelf, "as-self", false, "start in this folder and as you, also where the image says another")
	f.StringVar(&l.spec.App, "app", "", "one `APP` of an image that has several (SCIF)")
	_ = f.MarkHidden("pwd") // they exist: see above
	_ = f.MarkHidden("rocm")
	l.limits.register(f)
}

// complete turns the options into a RunSpec.
func (a *app) complete(l *launchFlags) (engine.RunSpec, error) {
	spec := l.spec
	s, err := a.settings()
	if err != nil {
		return spec, err
	}
	if spec.Binds, err = parseBinds(l.binds, s); err != nil {
		return spec, err
	}
	if spec.Ports, err = parsePorts(l.ports); err != nil {
		return spec, err
	}
	if spec.Env, err = parseEnv(l.env, os.LookupEnv); err != nil {
		return spec, err
	}
	if err := l.limits.apply(&spec); err != nil {
		return spec, err
	}
	if err := l.keep.apply(&spec, l.detach); err != nil {
		return spec, err
	}
	switch spec.Leftovers {
	case engine.LeftoversAsk, engine.LeftoversKeep, engine.LeftoversDiscard, leftoversShow:
	default:
		return spec, usage("write --leftovers keep, discard or show (--json)", "leftovers %q", spec.Leftovers)
	}
	for _, o := range l.overlays {
		path, ro := strings.CutSuffix(o, ":ro")
		if path == "" {
			return spec, usage("write --overlay PATH or --overlay PATH:ro", "overlay %q", o)
		}
		spec.Details.Overlays = append(spec.Details.Overlays, engine.Overlay{Path: path, ReadOnly: ro})
	}
	if spec.Writable && len(l.overlays) > 0 {
		return spec, usage("leave out one of them", "--writable keeps changes in the image, --overlay beside it")
	}
	spec.Home = parseHome(spec.Home, s)
	spec.Profile = engine.ProfileSingularity
	if l.safe {
		spec.Profile = engine.ProfileSafe
	}
	switch l.net {
	case "":
	case "host":
		spec.HostNetwork = true
	case "private":
		spec.Isolated = true
	case "none":
		spec.NoNetwork = true
	default:
		return spec, usage("the kinds are host, private and none", "network %q is not known", l.net)
	}
	for _, p := range spec.Ports {
		if p.HostIP != "" && !loopback(p.HostIP) {
			at := "at " + p.HostIP
			if ip, err := netip.ParseAddr(p.HostIP); err == nil && ip.IsUnspecified() {
				at = "at any of its addresses"
			}
			a.say("port %d is going to be open to every computer that reaches this one %s", cmp.Or(p.Host, p.Container), at)
		}
	}
	if spec.Guard, err = parseGuard(l.guard); err != nil {
		return spec, err
	}
	if l.net == "host" && spec.Guard == engine.GuardOn {
		return spec, usage("leave out --net host: the app then gets a network of its own, of which its ports are published here",
			"--guard cannot stand in front of an app in this computer's own network, which listens there itself")
	}
	if l.net == "host" && len(spec.Ports) > 0 {
		return spec, usage("leave out one of them", "-p publishes ports of a private network, and --net host asks for none")
	}
	return spec, a.needSources(spec.Binds)
}

func (a *app) runCommand() *cobra.Command {
	var l launchFlags
	c := &cobra.Command{
		Use:     "run [OPTION …] IMAGE [ARGUMENT …]",
		Short:   "Run an image, or an app of the catalog, building it first if need be",
		GroupID: groupUse,
		Long: `IMAGE is a file or folder, an image of Carrel's own (carrel ls), an app of the
catalog (carrel catalog) or a reference like docker://alpine. The rest is for the app.

Without -p the app shares this computer's network and sees your home and the
current folder, as with Singularity. With -p it has a network of its own, of which
only the published ports appear, on this computer alone. -p takes PORT, HERE:PORT,
0:PORT for any, 8000-8003, ADDRESS:HERE:PORT, PORT/udp and, of no HTTP, PORT/tcp.

An image made from Docker's starts in the folder and as the user that it names, who
is you outside (--as-self: here and as you). Where others use this computer too,
ports open only by a link that is printed (--guard). carrel help ports says more.`,
		Example: "  carrel run welcome\n  carrel run -p 9999 -B .:/data nginx-basic.img\n  carrel run -d -p 8080:80 --name web site.sif",
		Args:    between(1, -1, "IMAGE"),
	}
	f := c.Flags()
	l.register(f)
	l.keep.register(f)
	a.leftoversJSON(f)
	f.BoolVarP(&l.detach, "detach", "d", false, "run in the background")
	f.BoolVar(&l.noWait, "no-wait", false, "with -d: do not wait until it answers")
	f.StringVar(&l.spec.Name, "name", "", "`NAME` of the app in the background")
	f.DurationVar(&l.spec.Wait, "wait", 0, "`TIME` the app may take to answer, such as 90s")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "show nothing but what the app writes, and errors")
	f.BoolVarP(&a.verbose, "verbose", "v", false, "show the whole log of a build")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		spec, err := a.complete(&l)
		if err != nil {
			return err
		}
		if !l.detach {
			for _, name := range []string{"name", "no-wait"} {
				if cmd.Flags().Changed(name) {
					return usage("add -d, or leave it out", "--%s is for an app in the background", name)
				}
			}
		}
		spec.Image, spec.Args, spec.Action = args[0], args[1:], engine.ActionRun
		if spec.Leftovers == leftoversShow {
			return a.showLeftovers(cmd.Context(), spec.Image)
		}
		if a.json {
			return usage("leave it out, or ask for --leftovers show", "--json: run prints what the app prints")
		}
		return a.withLeftovers(spec, func(spec engine.RunSpec) error {
			if l.detach {
				a.interrupt.release()
				return a.detach(cmd.Context(), spec, !l.noWait)
			}
			return a.foreground(cmd.Context(), spec)
		})
	}
	return c
}

// leftoversJSON is the option --json of --leftovers show, which says so in its help.
func (a *app) leftoversJSON(f *pflag.FlagSet) {
	f.BoolVar(&a.json, "json", false, "print JSON")
	_ = f.MarkHidden("json") // it exists: see above
}

// leftoversShow is a value of --leftovers with which nothing is started.
const leftoversShow = engine.Leftovers("show")

// showLeftovers prints what an earlier run changed in an image and could not save: nothing, or null, when there is nothing.
func (a *app) showLeftovers(ctx context.Context, image string) error {
	e, err := a.engine()
	if err != nil {
		return err
	}
	left, err := e.Unsaved(ctx, image)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(left)
	}
	if left == nil {
		a.say("%s has no unsaved changes", image)
		return nil
	}
	var b strings.Builder
	for _, n := range left.Names {
		b.WriteString(clean(n) + "\n")
	}
	a.say("%s", lines((&engine.UnsavedError{Unsaved: *left}).Error()))
	return a.print(b.String())
}

// withLeftovers runs, and asks the person, where there is one, about changes that a killed run could not save.
func (a *app) withLeftovers(spec engine.RunSpec, run func(engine.RunSpec) error) error {
	err := run(spec)
	var unsaved *engine.UnsavedError
	if !errors.As(err, &unsaved) || !isTerminal(a.in) || !isTerminal(a.err) {
		return err
	}
	a.say("%s", lines(unsaved.Error()))
	for {
		switch a.choose("go on with them (k), delete them (d), list them (l), or do nothing (Enter)?") {
		case "k":
			spec.Leftovers = engine.LeftoversKeep
		case "d":
			spec.Leftovers = engine.LeftoversDiscard
		case "l":
			for _, n := range unsaved.Names {
				a.say("  %s", clean(n))
			}
			continue
		default:
			return err
		}
		return run(spec)
	}
}

// ensure builds what is to be run, when it is not there yet.
func (a *app) ensure(ctx context.Context, name string) error {
	e, err := a.engine()
	if err != nil {
		return err
	}
	t, err := e.Resolve(ctx, name)
	if err != nil || t.Built {
		return err
	}
	a.interrupt.release()
	if err := a.consent(ctx, name); err != nil {
		return err
	}
	a.say("%s is not built yet; building it", t.Name)
	s := a.newSteps()
	defer s.close()
	_, err = e.EnsureBuilt(ctx, name, s.sink())
	return err
}

// foreground runs a container on this terminal and ends with its status.
func (a *app) foreground(ctx context.Context, spec engine.RunSpec) error {
	e, err := a.engine()
	if err != nil {
		return err
	}
	if err := a.ensure(ctx, spec.Image); err != nil {
		return err
	}
	s, err := a.settings()
	if err != nil {
		return err
	}
	began := time.Now()
	restore := func() {}
	defer func() { restore() }()
	var killed atomic.Bool // by the person, who pressed Ctrl+C again and again
	status, err := e.Run(ctx, spec, engine.Stdio{In: a.in, Out: a.out, Err: a.err}, engine.RunCallbacks{
		Note: func(text string) { a.say("%s", lines(text)) },
		Started: func(send func(unix.Signal) error) {
			// The signals of a terminal go to all programs of its foreground group, and so to the app without our help.
			tty := isTerminal(a.in)
			hard := hardly{of: 3, within: 2 * time.Second}
			first := func(sig syscall.Signal) { _ = send(sig) } // one that has ended is waited for below
			restore = a.interrupt.hand(first, func(sig syscall.Signal) bool {
				if sig == syscall.SIGINT && hard.enough(time.Now()) {
					killed.Store(true)
					return false // the person means it: end everything
				}
				if tty && (sig == syscall.SIGINT || sig == syscall.SIGQUIT || sig == syscall.SIGWINCH || sig == syscall.SIGCONT) {
					return true
				}
				return send(sig) == nil
			})
		},
		Again:      s.thisCall(),
		OtherPorts: spec.Action == engine.ActionRun,
		Address:    func(addr engine.Address, err error) { a.announce(addr, time.Since(began), err) },
	})
	if err != nil {
		return err
	}
	if status >= 126 && status != 130 && status != 143 && !killed.Load() && spec.Action == engine.ActionRun && isTerminal(a.err) && !a.quiet {
		// What it wrote went to the terminal and not through us: the status alone tells.
		in := engine.Instance{State: engine.StateExited, ExitCode: status, Spec: spec, Binds: spec.Binds}
		if c, ok := in.Cause(nil); ok {
			a.say("it ended with status %d. %s %s", status, c.Why, c.Hint)
		}
	}
	return quietExit(status)
}

// thisCall is this call, where it may repeat an earlier launch; nil: it may not. The configuration file has been read for it.
func (s settings) thisCall() *engine.Again {
	if quick.Call != nil {
		quick.Call.Files = []string{filepath.Join(s.dirs.Config, "config")}
	}
	return quick.Call
}

// hardly tells when something happened often enough in a short time.
type hardly struct {
	of     int
	within time.Duration
	times  []time.Time
}

func (h *hardly) enough(now time.Time) bool {
	h.times = append(h.times, now)
	if len(h.times) > h.of {
		h.times = h.times[1:]
	}
	return len(h.times) == h.of && now.Sub(h.times[0]) <= h.within
}

// announce tells that a published port answers, and after what time it did.
func (a *app) announce(addr engine.Address, after time.Duration, err error) {
	if a.quiet {
		return
	}
	if err != nil {
		var other *engine.OtherPortError
		if errors.As(err, &other) {
			a.say("%s; %s", err, other.Hint())
			return
		}
		a.say("port %d does not answer: %s", addr.Container, lines(err.Error()))
		return
	}
	text := clean(addr.Text)
	if text == "" {
		text = "Serving"
	}
	fmt.Fprintf(a.err, "%s %s  %s  %s\n", a.screen.paint(good, a.screen.text("●")), text, a.screen.paint(strong, clean(addr.URL)), a.screen.paint(muted, "ready after "+amount.Lasted(after)))
	if addr.Guarded {
		a.say("other people use this computer: the address opens the app for you alone, in any browser of yours")
	}
	a.tellWay(addr)
}

// waitingAfter is when somebody who waits for an app is told what for.
const waitingAfter = 1500 * time.Millisecond

// detach starts an app in the background, and prints its name and, once it answers, its addresses.
func (a *app) detach(ctx context.Context, spec engine.RunSpec, wait bool) error {
	e, err := a.engine()
	if err != nil {
		return err
	}
	if err := a.ensure(ctx, spec.Image); err != nil {
		return err
	}
	in, err := e.Start(ctx, spec)
	if err != nil {
		return err
	}
	if err := a.print(in.Name + "\n"); err != nil {
		return err
	}
	if wait {
		waiting := time.AfterFunc(waitingAfter, func() {
			a.say("waiting for %s to answer, or to show that it serves nothing; Ctrl+C ends the waiting, not the app", in.Name)
		})
		settled, err := a.settle(ctx, e, in)
		waiting.Stop()
		if ctx.Err() != nil {
			a.say("%s goes on; when it answers: carrel open %s", in.Name, in.Name)
			return quietExit(128 + int(unix.SIGINT))
		}
		if err != nil {
			return err
		}
		in = settled
	}
	for _, addr := range in.Addresses {
		if err := a.print(clean(addr.URL) + "\n"); err != nil {
			return err
		}
	}
	if !in.State.Live() {
		if in.ExitCode == 0 && in.Reason == engine.ReasonExited {
			a.say("%s has ended already, without an error; what it wrote: carrel logs %s", in.Name, in.Name)
			return nil
		}
		text := fmt.Sprintf("it ended after %s, with status %d", lasting(took(in, time.Now())), in.ExitCode)
		if in.Problem != "" {
			text += ": " + in.Problem
		}
		for _, line := range in.LastLines {
			text += "\n  " + clean(line)
		}
		hint := "see what it wrote: carrel logs " + in.Name
		if c, ok := in.Cause(nil); ok {
			text += "\n" + a.cause(c, in.Problem)
			hint = c.Hint + " All it wrote: carrel logs " + in.Name
		}
		return hinted(fmt.Errorf("run %s: %s", in.Name, text), hint)
	}
	a.tellGuard(e, spec, in)
	if in.Terminal || in.Stdin {
		a.say("type into it: carrel attach %s (Ctrl+P, Ctrl+Q leaves it)", in.Name)
	}
	if in.ReadyIn > 0 {
		a.say("ready after %s", amount.Lasted(in.ReadyIn))
	}
	a.tellWay(in.Addresses...)
	switch {
	case in.State == engine.StateRunning && in.Problem != "":
		a.say("%s runs, but %s; its log: carrel logs -f %s", in.Name, lines(in.Problem), in.Name)
	case in.State == engine.StateRunning && len(in.Addresses) == 0 && wait:
		a.say("%s runs, and serves nothing so far; its log: carrel logs -f %s; its end: carrel wait %s", in.Name, in.Name, in.Name)
	case in.State == engine.StateUnhealthy:
		a.say("%s runs, but %s; its log: carrel logs -f %s", in.Name, lines(in.Problem), in.Name)
	case len(in.Addresses) > 0:
		a.say("stop it: carrel stop %s; its log: carrel logs -f %s", in.Name, in.Name)
	}
	return nil
}

// tellGuard says who can open an app in the background where other people use this computer.
func (a *app) tellGuard(e *engine.Engine, asked engine.RunSpec, in engine.Instance) {
	if in.Spec.Isolated && !asked.Isolated && len(asked.Ports) == 0 && asked.Guard != engine.GuardOn {
		a.say("other people use this computer, so %s has a network of its own, where they cannot open it; --net host would give it this computer's", in.Name)
	}
	if slices.ContainsFunc(in.Addresses, func(addr engine.Address) bool { return addr.Guarded }) {
		a.say("the address opens the app for you alone, in one browser; for another one: carrel open %s", in.Name)
	}
	if e.Exposed(in.Spec) {
		a.say("other people use this computer, and can open what %s serves; without --net host they cannot", in.Name)
	}
	for _, p := range in.Spec.Ports {
		if guarded, _ := e.Guarded(); p.UDP && (guarded || in.Spec.Guard == engine.GuardOn) {
			a.say("port %d takes datagrams, which nothing can guard: everybody who uses this computer can send them", p.Container)
		}
	}
}

// settle waits until an app answers, has ended, or serves nothing that is known.
func (a *app) settle(ctx context.Context, e *engine.Engine, in engine.Instance) (engine.Instance, error) {
	watch, cancel := context.WithCancel(ctx)
	defer cancel()
	changes, err := e.Watch(watch)
	if err != nil {
		return in, err
	}
	for {
		now, err := e.Instance(ctx, in.Name)
		if err != nil {
			return in, err
		}
		if now.State != engine.StateStarting {
			return now, nil
		}
		select {
		case <-changes:
		case <-ctx.Done():
			return now, ctx.Err()
		}
	}
}
