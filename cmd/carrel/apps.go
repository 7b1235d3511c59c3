package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"carrel/engine"
)

// appFacts is an app as --json prints it.
type appFacts struct {
	engine.Instance
	Seconds float64 `json:"seconds"` // how long it has run
}

func facts(in engine.Instance, now time.Time) appFacts { return appFacts{in, took(in, now).Seconds()} }

// took is how long an app has run; 0 where that is not known.
func took(in engine.Instance, now time.Time) time.Duration {
	switch {
	case in.State.Live():
		return now.Sub(in.Started)
	case in.Ended.IsZero():
		return 0
	}
	return in.Ended.Sub(in.Started)
}

func (a *app) psCommand() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use: "ps [OPTION …]", Short: "List the apps that are running", GroupID: groupApps,
		Long: "With -a also those that have ended: with their status, how long they ran, and the\nlast line they wrote. carrel rm NAME forgets one, carrel rm --ended all.",
		Args: exactly(0, ""),
	}
	c.Flags().BoolVarP(&all, "all", "a", false, "also those that have ended")
	c.Flags().BoolVar(&a.json, "json", false, "print as JSON")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		e, err := a.engine()
		if err != nil {
			return err
		}
		list, damaged := e.Instances(cmd.Context())
		if all {
			old, err := e.History(cmd.Context())
			list, damaged = append(list, old...), errors.Join(damaged, err)
		}
		if damaged != nil && len(list) == 0 {
			return damaged
		}
		now := time.Now()
		shown := []appFacts{}
		for _, in := range list {
			if all || in.State.Live() {
				shown = append(shown, facts(in, now))
			}
		}
		if damaged != nil {
			a.say("not all can be listed: %s", lines(damaged.Error()))
		}
		if a.json {
			return a.printJSON(shown)
		}
		if len(shown) == 0 {
			a.say("nothing is running; carrel run -d welcome starts something")
			return nil
		}
		rows := [][]string{{"NAME", "STATE", "ADDRESS", "SINCE", "IMAGE"}}
		if all {
			rows = [][]string{{"NAME", "STATE", "SINCE", "TOOK", "ADDRESS OR LAST LINE", "IMAGE"}}
		}
		for _, in := range shown {
			row := []string{clean(in.Name), stateText(in.Instance), addressText(in.Instance), since(in.Instance, now), clean(tilde(in.Image, a.home()))}
			if all {
				last, span := row[2], "-"
				if !in.State.Live() && len(in.LastLines) > 0 {
					last = a.page.fit(clean(in.LastLines[len(in.LastLines)-1]), 40)
				}
				if t := took(in.Instance, now); !in.State.Live() && t > 0 {
					span = lasting(t)
				}
				row = []string{row[0], row[1], row[3], span, last, row[4]}
			}
			rows = append(rows, row)
		}
		if err := a.print(a.page.text(a.page.columns(rows, nil))); err != nil {
			return err
		}
		var addresses []engine.Address
		for _, in := range shown {
			if in.State.Live() && in.Elsewhere == "" {
				addresses = append(addresses, in.Addresses...)
			}
		}
		a.tellWay(addresses...)
		return nil
	}
	return c
}

// stateText is the state of an app in a few words.
func stateText(in engine.Instance) string {
	text := string(in.State)
	if in.State == engine.StateExited {
		switch in.Reason {
		case engine.ReasonStopped:
			text = "stopped"
		case engine.ReasonMemory:
			text = "out of memory"
		case engine.ReasonTime:
			text = "out of time"
		case engine.ReasonFailed:
			text = "failed"
		case engine.ReasonSignal:
			text = "killed"
		}
		if in.ExitCode != 0 {
			text += fmt.Sprintf(" (%d)", in.ExitCode)
		}
	}
	switch {
	case in.State.Live() && in.Elsewhere != "":
		text += " on " + clean(in.Elsewhere)
	case in.Restarts == 1:
		text += ", restarted once"
	case in.Restarts > 1:
		text += fmt.Sprintf(", restarted %d times", in.Restarts)
	}
	return text
}

func addressText(in engine.Instance) string {
	var all []string
	for _, addr := range in.Addresses {
		all = append(all, clean(addr.URL))
	}
	if len(all) == 0 || !in.State.Live() {
		return "-"
	}
	return strings.Join(all, " ")
}

func since(in engine.Instance, now time.Time) string {
	if in.State.Live() {
		return up(now.Sub(in.Started))
	}
	if in.Ended.IsZero() { // nobody wrote down when
		return "begun " + up(now.Sub(in.Started)) + " ago"
	}
	return "ended " + up(now.Sub(in.Ended)) + " ago"
}

func (a *app) logsCommand() *cobra.Command {
	var o engine.LogOptions
	var since string
	var times bool
	c := &cobra.Command{
		Use: "logs [OPTION …] NAME", Short: "Show what an app wrote", GroupID: groupApps,
		Long:    "Also of one that has ended, as long as it is listed by carrel ps -a. Remarks of\nCarrel's own begin with carrel:, or are of the stream \"carrel\".",
		Example: "  carrel logs -f nginx-jupyter\n  carrel logs -n 20 -t nginx-jupyter\n  carrel logs --since 14:30 nginx-jupyter",
		Args:    exactly(1, "NAME"),
	}
	f := c.Flags()
	f.BoolVarP(&o.Follow, "follow", "f", false, "go on until the app has ended")
	f.IntVarP(&o.Tail, "tail", "n", 0, "only the last `N` lines")
	f.StringVar(&since, "since", "", "only since a `TIME`: 10m ago, 14:30, 2026-01-31")
	f.BoolVarP(&times, "timestamps", "t", false, "with the time of each line")
	f.BoolVar(&a.json, "json", false, "print an object for each line")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		e, err := a.engine()
		if err != nil {
			return err
		}
		if since != "" {
			if o.Since, err = parseSince(since, time.Now()); err != nil {
				return err
			}
		}
		if o.Tail < 0 {
			return usage("write -n 20", "%d is no number of lines", o.Tail)
		}
		page := logPage{a: a, times: times}
		return e.Logs(cmd.Context(), args[0], o, func(batch []engine.LogLine) error {
			if !a.json {
				return page.print(batch)
			}
			var b strings.Builder
			enc := json.NewEncoder(&b)
			enc.SetEscapeHTML(false)
			for _, l := range batch {
				if err := enc.Encode(l); err != nil {
					return err
				}
			}
			return a.print(b.String())
		})
	}
	return c
}

func (a *app) stopCommand() *cobra.Command {
	var all bool
	grace := time.Duration(-1)
	signal := ""
	c := &cobra.Command{
		Use: "stop [OPTION …] NAME …", Short: "Stop apps", GroupID: groupApps,
		Long: "The app gets its stop signal (SIGTERM, unless its image or --stop-signal says another),\nthen what it has started gets it, and what is left after a while is killed. Its log\nstays and tells how it went; carrel restart starts it again.",
		Args: func(cmd *cobra.Command, args []string) error {
			if all && len(args) == 0 {
				return nil
			}
			return between(1, -1, "NAME")(cmd, args)
		},
	}
	c.Flags().BoolVarP(&all, "all", "a", false, "stop all that are running")
	c.Flags().StringVarP(&signal, "signal", "s", "", "another `SIGNAL` than the app's own")
	c.Flags().BoolVar(&a.json, "json", false, "print how they ended as JSON")
	c.Flags().VarP(&seconds{&grace}, "time", "t", "`TIME` it has to end by itself, such as 30s; 0: kill it at once (default: 10s)")
	c.RunE = func(cmd *cobra.Command, names []string) error {
		e, err := a.engine()
		if err != nil {
			return err
		}
		if all {
			list, err := e.Instances(cmd.Context())
			if err != nil {
				return err
			}
			names = nil
			for _, in := range list {
				if in.State.Live() {
					names = append(names, in.Name)
				}
			}
		}
		stopped := []appFacts{}
		err = a.each(cmd.Context(), names, func(ctx context.Context, name string) error {
			if err := e.StopWith(ctx, name, grace, signal); err != nil {
				return err
			}
			if !a.json {
				a.say("%s is stopped", name)
				return nil
			}
			in, err := e.Instance(ctx, name)
			if err == nil {
				stopped = append(stopped, facts(in, time.Now()))
			}
			return err
		})
		return a.alsoJSON(stopped, err)
	}
	return c
}

// appsToo adds apps to what is offered in place of a name that stands for nothing.
func (a *app) appsToo(ctx context.Context, e *engine.Engine, name string, err error) {
	unknown, ok := errors.AsType[*engine.NameError](err)
	if !ok {
		return
	}
	_, err = e.Instance(ctx, name)
	if app, ok := errors.AsType[*engine.InstanceNameError](err); ok {
		for _, other := range unknown.Close {
			if !slices.Contains(app.Close, other) {
				app.Close = append(app.Close, other)
			}
		}
		unknown.Close = app.Close[:min(3, len(app.Close))]
	}
}

// alsoJSON prints what was done, with --json, also where some of it failed.
func (a *app) alsoJSON(done any, err error) error {
	if !a.json {
		return err
	}
	if printed := a.printJSON(done); printed != nil {
		return printed
	}
	return err
}

// each does something for all names and goes on after a failure, of which the last one is returned and the others printed.
func (a *app) each(ctx context.Context, names []string, do func(context.Context, string) error) error {
	var failed []error
	for _, name := range names {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := do(ctx, name); err != nil {
			failed = append(failed, err)
		}
	}
	if len(failed) == 0 {
		return nil
	}
	for _, err := range failed[:len(failed)-1] {
		a.finish(err)
	}
	return failed[len(failed)-1]
}

func (a *app) restartCommand() *cobra.Command {
	grace := time.Duration(-1)
	c := &cobra.Command{
		Use: "restart [OPTION …] NAME …", Short: "Stop apps, if they run, and start them again as they were", GroupID: groupApps,
		Long: "To have an app started again by itself when it ends: carrel run -d --restart on-failure",
		Args: between(1, -1, "NAME"),
	}
	c.Flags().VarP(&seconds{&grace}, "time", "t", "`TIME` it has to end by itself, such as 30s; 0: kill it at once (default: 10s)")
	c.Flags().BoolVar(&a.json, "json", false, "print as JSON")
	c.RunE = func(cmd *cobra.Command, names []string) error {
		e, err := a.engine()
		if err != nil {
			return err
		}
		return a.each(cmd.Context(), names, func(ctx context.Context, name string) error {
			in, err := e.RestartWithin(ctx, name, grace)
			if err != nil {
				return err
			}
			if in, err = a.settle(ctx, e, in); err != nil {
				return err
			}
			if a.json {
				return a.printJSON(facts(in, time.Now()))
			}
			text := in.Name + "\n"
			for _, addr := range in.Addresses {
				text += clean(addr.URL) + "\n"
			}
			return a.print(text)
		})
	}
	return c
}

// seconds is a time on the command line: with a unit, or a bare number of seconds, as others of these commands have it.
type seconds struct{ d *time.Duration }

func (s *seconds) Type() string { return "time" }

func (s *seconds) String() string {
	if s.d == nil || *s.d < 0 {
		return ""
	}
	return s.d.String()
}

// Set reads the flag.
func (s *seconds) Set(text string) error {
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		*s.d = time.Duration(n) * time.Second
		return nil
	}
	d, err := parseSpan(text)
	if err != nil || d < 0 {
		return errors.New("write it as 30s or 2m")
	}
	*s.d = d
	return nil
}

func (a *app) rmCommand() *cobra.Command {
	var ended, force bool
	c := &cobra.Command{
		Use: "rm [OPTION …] NAME|IMAGE …", Short: "Forget an app that has ended, or delete an image", GroupID: groupImages,
		Long: "A name that stands for both an ended app and an image means the app. Files elsewhere\nare deleted only when they are written as a path: carrel rm ./old.sif",
		Args: func(cmd *cobra.Command, args []string) error {
			if ended && len(args) == 0 {
				return nil
			}
			return between(1, -1, "NAME")(cmd, args)
		},
	}
	c.Flags().BoolVar(&ended, "ended", false, "forget all apps that have ended, with their logs")
	c.Flags().BoolVar(&a.json, "json", false, "print what was removed as JSON")
	c.Flags().BoolVarP(&force, "force", "f", false, "stop an app that runs first; one of another computer is only forgotten")
	c.RunE = func(cmd *cobra.Command, names []string) error {
		e, err := a.engine()
		if err != nil {
			return err
		}
		if ended {
			list, err := e.Instances(cmd.Context())
			old, err2 := e.History(cmd.Context())
			if err := errors.Join(err, err2); err != nil && len(list)+len(old) == 0 {
				return err
			}
			for _, in := range append(list, old...) {
				if !in.State.Live() {
					names = append(names, in.Name)
				}
			}
			if len(names) == 0 {
				a.say("no app has ended that could be forgotten")
			}
		}
		gone := []removed{}
		err = a.each(cmd.Context(), names, func(ctx context.Context, name string) (err error) {
			defer func() { a.appsToo(ctx, e, name, err) }()
			in, err := e.Instance(ctx, name)
			what := removed{Name: name, Kind: "app"}
			defer func() {
				if what.done {
					gone = append(gone, what)
				}
			}()
			switch {
			case err == nil && in.State.Live() && force && in.Elsewhere != "":
				if err := e.Discard(ctx, in.Name); err != nil {
					return err
				}
				what.done = true
				a.say("forgot the app %s and its log; if it still runs on %s, it goes on there", in.Name, clean(in.Elsewhere))
				return nil
			case err == nil && in.State.Live() && force:
				if err := e.Stop(ctx, in.Name, -1); err != nil && !errors.Is(err, engine.ErrNotRunning) {
					return err
				}
				if err := e.Forget(ctx, in.Name); err != nil {
					return err
				}
				what.done = true
				a.say("stopped and forgot the app %s and its log", in.Name)
				return nil
			case err == nil && in.State.Live() && in.Elsewhere != "":
				return hinted(fmt.Errorf("remove %s: it is running on %s", name, clean(in.Elsewhere)), "stop it there; if it has ended, as with its job: carrel rm --force "+name)
			case err == nil && in.State.Live():
				return hinted(fmt.Errorf("remove %s: it is running", name), "stop it first: carrel stop "+name)
			case err == nil:
				if err := e.Forget(ctx, name); err != nil {
					return err
				}
				what.done = true
				a.say("forgot the app %s and its log", name)
				return nil
			case !errors.Is(err, engine.ErrNotFound):
				return err
			}
			what.Kind = "image"
			what.Path, err = a.removeImage(ctx, e, name)
			what.done = err == nil
			return err
		})
		return a.alsoJSON(gone, err)
	}
	return c
}

// removed is what rm has removed, as --json prints it.
type removed struct {
	Name string `json:"name"`
	Kind string `json:"kind"` // app or image
	Path string `json:"path,omitempty"`
	done bool
}

// removeImage deletes an image, but nothing that is not one, and returns where it was.
func (a *app) removeImage(ctx context.Context, e *engine.Engine, name string) (string, error) {
	t, err := e.Resolve(ctx, name)
	if err != nil {
		return "", err
	}
	if !t.Built {
		return "", hinted(fmt.Errorf("remove %s: it is not built", name), "there is nothing to remove")
	}
	if t.Kind == engine.TargetImage && !strings.Contains(name, "/") {
		if err := a.inStore(ctx, e, t.Path, name); err != nil {
			return "", err
		}
	}
	if list, err := e.Instances(ctx); err == nil {
		for _, in := range list {
			if in.Image == t.Path && in.State.Live() {
				return "", hinted(fmt.Errorf("remove %s: the app %s runs from it", name, in.Name), "stop it first: carrel stop "+in.Name)
			}
		}
	}
	info, err := e.Inspect(ctx, t.Path)
	if err != nil || info.Problem != "" && info.Kind == "" {
		if err == nil {
			err = errors.New(info.Problem)
		}
		return "", hinted(fmt.Errorf("remove %s: it is no image: %w", name, err), "delete it with rm, if that is what you mean")
	}
	if err := e.RemoveImage(ctx, t.Path); err != nil {
		return "", err
	}
	a.say("deleted %s (%s)", t.Path, bytes(info.Size))
	return t.Path, nil
}

// inStore is an error for an image that a bare name stands for and that is not one of Carrel's own.
func (a *app) inStore(ctx context.Context, e *engine.Engine, path, name string) error {
	images, err := e.Images(ctx)
	if err != nil {
		return err
	}
	for _, i := range images {
		if i.Path == path && i.InStore {
			return nil
		}
	}
	return hinted(fmt.Errorf("remove %s: it is a file of yours, not an image that Carrel keeps", name), "to delete it all the same: carrel rm ./"+name)
}
