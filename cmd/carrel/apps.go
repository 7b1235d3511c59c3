package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"carrel/engine"
)

func (a *app) psCommand() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use: "ps [OPTION …]", Short: "List the apps that are running", GroupID: groupApps,
		Args: exactly(0, ""),
	}
	c.Flags().BoolVarP(&all, "all", "a", false, "also those that have ended")
	c.Flags().BoolVar(&a.json, "json", false, "print as JSON")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		e, err := a.engine()
		if err != nil {
			return err
		}
		list, err := e.Instances(cmd.Context())
		if err != nil {
			return err
		}
		shown := []engine.Instance{}
		for _, in := range list {
			if all || in.State.Live() {
				shown = append(shown, in)
			}
		}
		if a.json {
			return a.printJSON(shown)
		}
		if len(shown) == 0 {
			a.say("nothing is running; carrel run -d welcome starts something")
			return nil
		}
		rows := [][]string{{"NAME", "STATE", "ADDRESS", "SINCE", "IMAGE"}}
		for _, in := range shown {
			rows = append(rows, []string{clean(in.Name), stateText(in), addressText(in), since(in, time.Now()), clean(tilde(in.Image, a.home()))})
		}
		a.tellWay(addresses...)
		return nil
	}
	return c
}

func stateText(in engine.Instance) string {
	if in.State == engine.StateExited && in.ExitCode != 0 {
		return fmt.Sprintf("exited (%d)", in.ExitCode)
	}
	return string(in.State)
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
	if in.State.Live() || in.Ended.IsZero() {
		return up(now.Sub(in.Started))
	}
	return "ended " + up(now.Sub(in.Ended)) + " ago"
}

func (a *app) logsCommand() *cobra.Command {
	var o engine.LogOptions
	var since time.Duration
	var times bool
	c := &cobra.Command{
		Use: "logs [OPTION …] NAME", Short: "Show what an app wrote", GroupID: groupApps,
		Example: "  carrel logs -f jupyter\n  carrel logs -n 20 -t jupyter",
		Args:    exactly(1, "NAME"),
	}
	f := c.Flags()
	f.BoolVarP(&o.Follow, "follow", "f", false, "go on until the app has ended")
	f.IntVarP(&o.Tail, "tail", "n", 0, "only the last `N` lines")
	f.DurationVar(&since, "since", 0, "only of the last `TIME`, such as 10m")
	f.BoolVarP(&times, "timestamps", "t", false, "with the time of each line")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		e, err := a.engine()
		if err != nil {
			return err
		}
		if since > 0 {
			o.Since = time.Now().Add(-since)
		}
		return e.Logs(cmd.Context(), args[0], o, func(batch []engine.LogLine) error { return a.printLog(batch, times) })
	}
	return c
}

// printLog prints lines as the app wrote them; on a terminal without what could steer it, colours aside.
func (a *app) printLog(batch []engine.LogLine, times bool) error {
	var b strings.Builder
	for _, l := range batch {
		text := l.Text
		if a.page.is {
			text = clean(text)
		}
		if times {
			b.WriteString(a.page.paint(muted, l.Time.Local().Format("15:04:05.000")) + " ")
		}
		if l.Stream == "carrel" {
			text = a.page.paint(muted, "carrel: "+text)
		}
		b.WriteString(text + "\n")
	}
	return a.print(b.String())
}

func (a *app) stopCommand() *cobra.Command {
	var all bool
	var grace time.Duration
	c := &cobra.Command{
		Use: "stop [OPTION …] NAME …", Short: "Stop apps", GroupID: groupApps,
		Long: "An app is asked to end, and made to after a while. Its log stays; carrel restart\nstarts it again.",
		Args: func(cmd *cobra.Command, args []string) error {
			if all && len(args) == 0 {
				return nil
			}
			return between(1, -1, "NAME")(cmd, args)
		},
	}
	c.Flags().BoolVarP(&all, "all", "a", false, "stop all that are running")
	c.Flags().DurationVarP(&grace, "time", "t", 10*time.Second, "`TIME` an app has to end by itself")
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
		return a.each(cmd.Context(), names, func(ctx context.Context, name string) error {
			if err := e.Stop(ctx, name, grace); err != nil {
				return err
			}
			a.say("%s is stopped", name)
			return nil
		})
	}
	return c
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
	c := &cobra.Command{
		Use: "restart NAME", Short: "Stop an app, if it runs, and start it again as it was", GroupID: groupApps,
		Args: exactly(1, "NAME"),
	}
	c.RunE = func(cmd *cobra.Command, args []string) error {
		e, err := a.engine()
		if err != nil {
			return err
		}
		in, err := e.Restart(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if in, err = a.settle(cmd.Context(), e, in); err != nil {
			return err
		}
		text := in.Name + "\n"
		for _, addr := range in.Addresses {
			text += clean(addr.URL) + "\n"
		}
		return a.print(text)
	}
	return c
}

func (a *app) rmCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "rm NAME|IMAGE …", Short: "Forget an app that has ended, or delete an image", GroupID: groupImages,
		Long: "A name that stands for both an ended app and an image means the app. Files elsewhere\nare deleted only when they are written as a path: carrel rm ./old.sif",
		Args: between(1, -1, "NAME"),
	}
	c.RunE = func(cmd *cobra.Command, names []string) error {
		e, err := a.engine()
		if err != nil {
			return err
		}
		return a.each(cmd.Context(), names, func(ctx context.Context, name string) error {
			in, err := e.Instance(ctx, name)
			switch {
			case err == nil && in.State.Live():
				return hinted(fmt.Errorf("remove %s: it is running", name), "stop it first: carrel stop "+name)
			case err == nil:
				if err := e.Forget(ctx, name); err != nil {
					return err
				}
				a.say("forgot the app %s and its log", name)
				return nil
			case !errors.Is(err, engine.ErrNotFound):
				return err
			}
			return a.removeImage(ctx, e, name)
		})
	}
	return c
}

// removeImage deletes an image, but nothing that is not one.
func (a *app) removeImage(ctx context.Context, e *engine.Engine, name string) error {
	t, err := e.Resolve(ctx, name)
	if err != nil {
		return err
	}
	if !t.Built {
		return hinted(fmt.Errorf("remove %s: it is not built", name), "there is nothing to remove")
	}
	if t.Kind == engine.TargetImage && !strings.Contains(name, "/") {
		if err := a.inStore(ctx, e, t.Path, name); err != nil {
			return err
		}
	}
	if list, err := e.Instances(ctx); err == nil {
		for _, in := range list {
			if in.Image == t.Path && in.State.Live() {
				return hinted(fmt.Errorf("remove %s: the app %s runs from it", name, in.Name), "stop it first: carrel stop "+in.Name)
			}
		}
	}
	info, err := e.Inspect(ctx, t.Path)
	if err != nil || info.Problem != "" && info.Kind == "" {
		if err == nil {
			err = errors.New(info.Problem)
		}
		return hinted(fmt.Errorf("remove %s: it is no image: %w", name, err), "delete it with rm, if that is what you mean")
	}
	if err := e.RemoveImage(ctx, t.Path); err != nil {
		return err
	}
	a.say("deleted %s (%s)", t.Path, bytes(info.Size))
	return nil
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
