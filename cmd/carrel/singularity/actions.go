package singularity

import (
	"context"
	"os"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"carrel/engine"
)

// instancePrefix marks the name of a running instance in place of an image.
const instancePrefix = "instance://"

var actions = map[string]engine.Action{
	"run": engine.ActionRun, "exec": engine.ActionExec, "shell": engine.ActionShell, "test": engine.ActionTest,
}

var runTimeout = option{long: "runscript-timeout", value: &noText, env: []string{"RUNSCRIPT_TIMEOUT"}, absent: "timeout(1) does it: timeout 60 singularity run …"}

// actionVerb is run, exec, shell or test.
func (p *program) actionVerb(name, args, short string) verb {
	l := &launch{}
	v := verb{name: name, args: "[OPTION …] " + args, short: short, low: 1, high: -1, options: l.options(false)}
	if name == "exec" {
		v.low = 2
	}
	if name == "run" {
		v.options = append(v.options, runTimeout)
	}
	if name == "shell" {
		v.options = append(v.options, l.shellOption())
	}
	v.run = func(ctx context.Context, args []string) error { return p.act(ctx, l, actions[name], args) }
	return v
}

// act starts a container, or a process in one that runs, on this terminal.
func (p *program) act(ctx context.Context, l *launch, action engine.Action, args []string) error {
	instance := strings.HasPrefix(args[0], instancePrefix)
	if instance {
		if err := p.joins(l, args[0]); err != nil {
			return err
		}
	}
	s, err := l.spec(ctx, p.c, p.warn)
	if err != nil {
		return err
	}
	s.Image, s.Args, s.Action = args[0], args[1:], action
	s.Details.Prompt = strings.ToUpper(p.name[:1]) + p.name[1:] + "> "
	e, err := p.engine(l.noHTTPS, s.Image)
	if err != nil {
		return err
	}
	std := engine.Stdio{In: p.c.In, Out: p.c.Out, Err: p.c.Err}
	if instance {
		name := strings.TrimPrefix(s.Image, instancePrefix)
		p.alone()
		s.Details.FromCaller = true
		if s.Details.Umask == nil { // that of the instance is its own
			mask := syscall.Umask(0)
			syscall.Umask(mask)
			s.Details.Umask = &mask
		}
		tty := term.IsTerminal(int(p.c.In.Fd())) && term.IsTerminal(int(p.c.Out.Fd()))
		status, err := e.Exec(ctx, name, s, std, tty)
		return result(status, err)
	}
	repeated := p.c.Again
	if len(l.envFiles) > 0 {
		repeated = nil // their contents decide, too
	}
	restore := func() {}
	defer func() { restore() }()
	status, err := e.Run(ctx, s, std, engine.RunCallbacks{
		Note:     func(text string) { p.warn("%s", text) },
		Saved:    func(text string) { p.info("%s", text) },
		Building: p.building(),
		Again:    repeated,
		Started: func(send func(unix.Signal) error) {
			restore = p.c.Signals(term.IsTerminal(int(p.c.In.Fd())), func(sig os.Signal) {
				if n, ok := sig.(syscall.Signal); ok {
					_ = send(n) // it has ended meanwhile: nothing to signal
				}
			})
		},
	})
	return result(status, err)
}

// ofProcess are the flags that say something about a process in an instance, or nothing at all. All others are about what an
// instance is made of, which it keeps until it ends.
var ofProcess = map[string]bool{
	"app": true, "cleanenv": true, "cwd": true, "pwd": true, "env": true, "env-file": true, "no-env": true, "no-umask": true, "shell": true,
	"disable-cache": true, "no-eval": true, "no-https": true, "nohttps": true, "no-init": true, "underlay": true, "unsquash": true,
	"ignore-fakeroot-command": true, "ignore-subuid": true, "ignore-userns": true, "no-nv": true, "no-rocm": true, "tmpdir": true, "runscript-timeout": true,
}

// everywhere are flags whose variables a computer's administrator sets for all containers: with an instance they have done
// what they are for when it was started.
var everywhere = map[string]bool{"bind": true, "mount": true, "nv": true, "rocm": true, "writable-tmpfs": true}

// joins refuses flags that cannot be obeyed in an instance that runs, rather than to let somebody believe in a limit or a
// folder that is not there. Variables, which are meant for whatever container comes, are remarked on.
func (p *program) joins(l *launch, instance string) error {
	for _, o := range l.options(false) {
		if f := p.flags.Lookup(o.long); f == nil || !f.Changed || ofProcess[o.long] {
			continue
		}
		if p.typed[o.long] {
			return usage("an instance keeps what it was started with: give --"+o.long+" to `"+p.name+" instance start`",
				"--%s has no effect on %s, which runs already", o.long, instance)
		}
		if !everywhere[o.long] {
			p.warn("the variable for --%s has no effect on %s, which runs already", o.long, instance)
		}
	}
	*l = launch{app: l.app, cwd: l.cwd, shell: l.shell, env: l.env, envFiles: l.envFiles, noEnv: l.noEnv, cleanEnv: l.cleanEnv, noUmask: l.noUmask, noHTTPS: l.noHTTPS}
	return nil
}

// result is the end of a container: its status, without a word.
func result(status int, err error) error {
	if err != nil {
		return err
	}
	if status != 0 {
		return statusError(status)
	}
	return nil
}

// building is the sink of a build that comes before a container.
func (p *program) building() engine.Sink {
	to := p.sink()
	var once sync.Once
	return func(e engine.Event) {
		once.Do(p.alone)
		to(e)
	}
}

func (p *program) alone() {
	if p.c.Alone != nil {
		p.c.Alone()
	}
}
