package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"carrel/engine"
)

func (a *app) execCommand() *cobra.Command {
	var l launchFlags
	c := &cobra.Command{
		Use:     "exec [OPTION …] IMAGE|NAME COMMAND [ARGUMENT …]",
		Short:   "Run a command inside an image, or inside an app that is running",
		GroupID: groupUse,
		Long: `NAME of an app in the background (carrel ps) means the inside of that very app, with
its environment and its folder; --new starts a container of its own all the same.
--json prints how the command ended when it has, on standard error, since its own
output is on the other.`,
		Example: "  carrel exec nginx-basic.img ls /data\n  carrel exec nginx-jupyter pip list",
		Args:    between(2, -1, "IMAGE COMMAND"),
	}
	l.register(c.Flags())
	c.Flags().BoolVar(&a.json, "json", false, "print how it ended as JSON, on standard error")
	c.Flags().BoolVar(&l.fresh, "new", false, "a container of its own, also when an app of that name runs")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		l.spec.Action, l.spec.Args = engine.ActionExec, args[1:]
		return a.inside(cmd, &l, args[0])
	}
	return c
}

func (a *app) shellCommand() *cobra.Command {
	var l launchFlags
	c := &cobra.Command{
		Use:     "shell [OPTION …] IMAGE|NAME",
		Short:   "Open a shell inside an image, or inside an app that is running",
		GroupID: groupUse,
		Example: "  carrel shell nginx-basic.img\n  carrel shell nginx-jupyter",
		Args:    between(1, -1, "IMAGE"),
	}
	l.register(c.Flags())
	c.Flags().BoolVar(&a.json, "json", false, "print how it ended as JSON, on standard error")
	c.Flags().BoolVar(&l.fresh, "new", false, "a container of its own, also when an app of that name runs")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		l.spec.Action, l.spec.Args = engine.ActionShell, args[1:]
		return a.inside(cmd, &l, args[0])
	}
	return c
}

// enterFlags are the options that mean something inside an app that runs.
var enterFlags = []string{"app", "cwd", "env", "json", "new", "pwd"}

// foreign is an error that names the options that only a container of its own could be started with.
func foreign(cmd *cobra.Command, running string) error {
	var names []string
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if !slices.Contains(enterFlags, f.Name) {
			names = append(names, "--"+f.Name)
		}
	})
	if len(names) == 0 {
		return nil
	}
	return usage("leave it out, or add --new for a container of its own", "%s is running already: %s cannot be changed in it", running, strings.Join(names, ", "))
}

// inside runs something in a running app or in a container of its own.
func (a *app) inside(cmd *cobra.Command, l *launchFlags, name string) error {
	ctx := cmd.Context()
	spec, err := a.complete(l)
	if err != nil {
		return err
	}
	if spec.Leftovers == leftoversShow {
		return a.showLeftovers(ctx, name)
	}
	running, err := a.runningApp(ctx, name, l.fresh)
	if err != nil {
		return err
	}
	if running == "" {
		spec.Image = name
		began := time.Now()
		err := a.foreground(ctx, spec)
		if e, err2 := a.engine(); err2 == nil {
			a.appsToo(ctx, e, name, err)
		}
		if status, quiet := errors.AsType[statusError](err); a.json && (err == nil || quiet) {
			a.jsonAside(endedFacts{Image: name, Command: spec.Args, Status: int(status), Seconds: time.Since(began).Seconds()})
		}
		return err
	}
	if err := foreign(cmd, running); err != nil {
		return err
	}
	e, err := a.engine()
	if err != nil {
		return err
	}
	a.interrupt.release()
	tty := isTerminal(a.in) && isTerminal(a.out)
	began := time.Now()
	status, err := e.Exec(ctx, running, spec, engine.Stdio{In: a.in, Out: a.out, Err: a.err}, tty)
	if err != nil {
		return err
	}
	if a.json {
		a.jsonAside(endedFacts{App: running, Command: spec.Args, Status: status, Seconds: time.Since(began).Seconds()})
	}
	return quietExit(status)
}

// endedFacts is how a command inside a container ended, as --json prints it.
type endedFacts struct {
	App     string   `json:"app,omitempty"`   // in which it ran
	Image   string   `json:"image,omitempty"` // of which a container was started
	Command []string `json:"command"`
	Status  int      `json:"exit_code"`
	Seconds float64  `json:"seconds"`
}

// runningApp is the name of the app in the background that a name means, or "" when it means an image.
func (a *app) runningApp(ctx context.Context, name string, fresh bool) (string, error) {
	explicit := false
	if rest, ok := strings.CutPrefix(name, "instance://"); ok {
		name, explicit = rest, true
	}
	if !explicit {
		if fresh || strings.ContainsAny(name, "/:") {
			return "", nil
		}
		if _, err := os.Stat(name); err == nil {
			return "", nil // a file of that name is what is meant
		}
	}
	e, err := a.engine()
	if err != nil {
		return "", err
	}
	in, err := e.Instance(ctx, name)
	switch {
	case err == nil && in.State.Live():
		return in.Name, nil
	case !explicit && (err == nil || errors.Is(err, engine.ErrNotFound)):
		return "", nil
	case err == nil:
		return "", hinted(fmt.Errorf("%s: %w", name, engine.ErrNotRunning), "start it again: carrel restart "+name)
	}
	return "", err
}
