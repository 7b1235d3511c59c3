package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"carrel/engine"
)

func (a *app) execCommand() *cobra.Command {
	var l launchFlags
	c := &cobra.Command{
		Use:     "exec [OPTION …] IMAGE|NAME COMMAND [ARGUMENT …]",
		Short:   "Run a command inside an image, or inside an app that is running",
		GroupID: groupUse,
		Long: `NAME of an app in the background (carrel ps) means the inside of that very app;
--new starts a container of its own all the same.`,
		Example: "  carrel exec nginx-basic.img ls /data\n  carrel exec jupyter pip list",
		Args:    between(2, -1, "IMAGE COMMAND"),
	}
	l.register(c.Flags())
	c.Flags().BoolVar(&l.fresh, "new", false, "a container of its own, also when an app of that name runs")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		l.spec.Action, l.spec.Args = engine.ActionExec, args[1:]
		return a.inside(cmd.Context(), &l, args[0])
	}
	return c
}

func (a *app) shellCommand() *cobra.Command {
	var l launchFlags
	c := &cobra.Command{
		Use:     "shell [OPTION …] IMAGE|NAME",
		Short:   "Open a shell inside an image, or inside an app that is running",
		GroupID: groupUse,
		Example: "  carrel shell nginx-basic.img\n  carrel shell jupyter",
		Args:    between(1, -1, "IMAGE"),
	}
	l.register(c.Flags())
	c.Flags().BoolVar(&l.fresh, "new", false, "a container of its own, also when an app of that name runs")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		l.spec.Action, l.spec.Args = engine.ActionShell, args[1:]
		return a.inside(cmd.Context(), &l, args[0])
	}
	return c
}

// inside runs something in a running app or in a container of its own.
func (a *app) inside(ctx context.Context, l *launchFlags, name string) error {
	spec, err := a.complete(l)
	if err != nil {
		return err
	}
	running, err := a.runningApp(ctx, name, l.fresh)
	if err != nil {
		return err
	}
	if running == "" {
		spec.Image = name
		return a.foreground(ctx, spec)
	}
	if len(spec.Binds) > 0 || len(spec.Ports) > 0 {
		return usage("add --new for a container of its own", "%s is running already: folders and ports cannot be added to it", running)
	}
	e, err := a.engine()
	if err != nil {
		return err
	}
	a.interrupt.release()
	tty := isTerminal(a.in) && isTerminal(a.out)
	status, err := e.Exec(ctx, running, spec, engine.Stdio{In: a.in, Out: a.out, Err: a.err}, tty)
	if err != nil {
		return err
	}
	return quietExit(status)
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
