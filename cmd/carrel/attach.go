package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"carrel/engine"
)

func (a *app) attachCommand() *cobra.Command {
	keys := "ctrl-p,ctrl-q"
	tail := 10
	noInput := false
	c := &cobra.Command{
		Use: "attach [OPTION …] NAME", Short: "Type into an app, or follow what it writes", GroupID: groupApps,
		Long: `An app that was started with -d -t has a terminal of its own, one started with -d -i
an input that stays open; of all others the log is followed. Ctrl+P, Ctrl+Q leaves a
terminal, Ctrl+C the rest; the app goes on in any case. When it ends, so does this,
with its status.`,
		Example: "  carrel run -d -t --name py python.sif\n  carrel attach py",
		Args:    exactly(1, "NAME"),
	}
	f := c.Flags()
	f.StringVar(&keys, "detach-keys", keys, "`KEYS` that leave a terminal, such as ctrl-a,d; none")
	f.IntVarP(&tail, "tail", "n", tail, "begin with the last `N` lines, where there is no terminal")
	f.BoolVar(&noInput, "no-stdin", false, "only look")
	f.BoolVar(&a.json, "json", false, "print the app as JSON when it has ended or was left, on standard error")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		detach, err := parseKeys(keys)
		if err != nil {
			return err
		}
		e, err := a.engine()
		if err != nil {
			return err
		}
		in, err := e.Instance(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if !in.State.Live() {
			return hinted(fmt.Errorf("attach to %s: %w", in.Name, engine.ErrNotRunning), "what it wrote: carrel logs "+in.Name)
		}
		std := engine.Stdio{In: a.in, Out: a.out}
		if noInput {
			std.In = nil
		}
		if in.Terminal {
			err = a.attached(cmd.Context(), e, in.Name, std, detach)
		} else {
			err = a.followed(cmd.Context(), e, in, std, tail)
		}
		if a.json {
			if now, problem := e.Instance(context.WithoutCancel(cmd.Context()), in.Name); problem == nil {
				a.jsonAside(facts(now, time.Now()))
			}
		}
		return err
	}
	return c
}

// attached connects with a terminal or an input, and ends with the app's status.
func (a *app) attached(ctx context.Context, e *engine.Engine, name string, std engine.Stdio, detach []byte) error {
	status, detached, err := e.Attach(ctx, name, std, detach)
	if sig, ok := engine.Interrupted(err); ok {
		return statusError(128 + int(sig.(syscall.Signal)))
	}
	switch {
	case err != nil && !(detached && errors.Is(err, context.Canceled)):
		return err
	case detached:
		a.say("left %s, which goes on; carrel attach %s comes back", name, name)
		return nil
	}
	return quietExit(status)
}

// followed shows the log, and passes on what is typed where the app reads it.
func (a *app) followed(ctx context.Context, e *engine.Engine, in engine.Instance, std engine.Stdio, tail int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var typing chan struct{}
	if in.Stdin && std.In != nil {
		typing = make(chan struct{})
		go func() {
			defer close(typing)
			_, left, err := e.Attach(ctx, in.Name, engine.Stdio{In: std.In}, nil)
			if err != nil || left {
				cancel() // of the log: the person has left
			}
		}()
	} else if isTerminal(a.err) {
		a.say("following %s, which reads nothing; Ctrl+C leaves it", in.Name)
	}
	o, page := engine.LogOptions{Follow: true, Tail: tail}, logPage{a: a}
	err := e.Logs(ctx, in.Name, o, page.print)
	cancel()
	if typing != nil {
		<-typing
	}
	if errors.Is(err, context.Canceled) {
		a.say("left %s, which goes on", in.Name)
		return nil
	}
	if err != nil {
		return err
	}
	ended, err := e.Wait(context.WithoutCancel(ctx), in.Name)
	if err != nil {
		return err
	}
	return a.endOf(ended)
}

// endOf ends the program with the status of an app that has ended.
func (a *app) endOf(in engine.Instance) error {
	if in.State == engine.StateLost {
		return hinted(fmt.Errorf("%s: %s", in.Name, in.Problem), "start it again: carrel restart "+in.Name)
	}
	if in.Problem != "" {
		a.say("%s: %s", in.Name, lines(in.Problem))
	}
	return quietExit(in.ExitCode)
}

// parseKeys reads keys: "ctrl-p,ctrl-q", "q", "none".
func parseKeys(text string) ([]byte, error) {
	if text == "" || text == "none" {
		return nil, nil
	}
	var keys []byte
	for key := range strings.SplitSeq(text, ",") {
		letter, ctrl := strings.CutPrefix(strings.ToLower(key), "ctrl-")
		switch {
		case ctrl && len(letter) == 1 && letter[0] >= '@' && letter[0] <= '_' || ctrl && len(letter) == 1 && letter[0] >= 'a' && letter[0] <= 'z':
			keys = append(keys, letter[0]&0x1f) // as terminals send it (ECMA-48, C0)
		case !ctrl && len(key) == 1 && key[0] > ' ' && key[0] < 0x7f:
			keys = append(keys, key[0])
		default:
			return nil, usage("write --detach-keys ctrl-p,ctrl-q", "key %q is neither a character nor of the form ctrl-x", key)
		}
	}
	return keys, nil
}

func (a *app) waitCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "wait [OPTION …] NAME …", Short: "Wait until apps have ended, and end with their status", GroupID: groupApps,
		Long:    "With several names it waits for all of them, and ends with the first status that is\nnot 0. An app that has ended already is not waited for.",
		Example: "  carrel run -d --name model model.sif data.csv\n  carrel wait model && echo done",
		Args:    between(1, -1, "NAME"),
	}
	c.Flags().BoolVar(&a.json, "json", false, "print how they ended as JSON")
	c.RunE = func(cmd *cobra.Command, names []string) error {
		e, err := a.engine()
		if err != nil {
			return err
		}
		var first error
		ended := []appFacts{}
		for _, name := range names {
			in, err := e.Wait(cmd.Context(), name)
			if err != nil {
				return err
			}
			ended = append(ended, facts(in, time.Now()))
			if err := a.endOf(in); err != nil {
				if _, quiet := errors.AsType[statusError](err); !quiet && first != nil {
					a.finish(err)
				}
				if first == nil {
					first = err
				}
			}
		}
		if a.json {
			if err := a.printJSON(ended); err != nil {
				return err
			}
		}
		return first
	}
	return c
}

func (a *app) renameCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "rename [OPTION …] NAME NEW-NAME", Short: "Give an app another name, also while it runs", GroupID: groupApps,
		Args: exactly(2, "NAME NEW-NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := a.engine()
			if err != nil {
				return err
			}
			if args[0] == args[1] {
				return usage("give another one", "%s has that name already", args[0])
			}
			if err := e.Rename(cmd.Context(), args[0], args[1]); err != nil {
				if errors.Is(err, os.ErrExist) && engine.Hint(err) == "" {
					err = hinted(err, "choose another name; carrel ps -a lists those that are taken")
				}
				return err
			}
			if a.json {
				in, err := e.Instance(cmd.Context(), args[1])
				if err != nil {
					return err
				}
				return a.printJSON(facts(in, time.Now()))
			}
			a.say("%s is called %s now", args[0], args[1])
			return nil
		},
	}
	c.Flags().BoolVar(&a.json, "json", false, "print the app as JSON")
	return c
}
