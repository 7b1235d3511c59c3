package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"carrel/engine"
)

func (a *app) openCommand() *cobra.Command {
	only := false
	c := &cobra.Command{
		Use: "open [OPTION …] NAME [PORT]", Short: "Open an app's page in the browser, and print its address", GroupID: groupApps,
		Long: `It waits until the app answers. PORT is the app's own, where it serves several. The
browser is $BROWSER, or what the desktop has; over SSH, and where there is none, the
address is only printed, with what makes it reachable from where you are.`,
		Args: between(1, 2, "NAME PORT"),
	}
	c.Flags().BoolVar(&only, "print", false, "print the address only")
	c.Flags().BoolVar(&a.json, "json", false, "print the address only, as JSON")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		e, err := a.engine()
		if err != nil {
			return err
		}
		in, addr, err := a.address(cmd.Context(), e, args, true)
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(addr)
		}
		if err := a.print(clean(addr.URL) + "\n"); err != nil || only {
			return err
		}
		if !addr.Ready {
			a.say("%s does not answer yet: carrel logs %s tells more", in.Name, in.Name)
		}
		if addr.Proto != "http" && addr.Proto != "https" && addr.Proto != "" {
			a.say("this is nothing that a browser shows")
			return nil
		}
		if in.Elsewhere != "" {
			return a.sendTo(in, addr)
		}
		if a.tellWay(addr) {
			return nil
		}
		s, err := a.settings()
		if err != nil {
			return err
		}
		open := browse(os.Getenv, s.dirs.State)
		if open == nil {
			a.say("there is no browser to open here")
			return nil
		}
		return open(addr.URL)
	}
	return c
}

// sendTo tells how an app of another computer is reached; an error where nothing can be told.
func (a *app) sendTo(in engine.Instance, addresses ...engine.Address) error {
	if a.tellWayTo(in.Elsewhere, addresses...) {
		return nil
	}
	return &engine.ElsewhereError{Name: in.Name, Machine: in.Elsewhere}
}

// address finds the address of an app that is meant: of the port given after its name, or the first that a browser shows.
// With wait it is waited for.
func (a *app) address(ctx context.Context, e *engine.Engine, args []string, wait bool) (engine.Instance, engine.Address, error) {
	var none engine.Address
	in, err := e.Instance(ctx, args[0])
	if err != nil {
		return in, none, err
	}
	if !in.State.Live() {
		return in, none, hinted(fmt.Errorf("%s: %w", in.Name, engine.ErrNotRunning), "start it again: carrel restart "+in.Name)
	}
	if wait && in.Elsewhere == "" {
		if in, err = a.settle(ctx, e, in); err != nil {
			return in, none, err
		}
	}
	if len(args) > 1 {
		port, err := strconv.Atoi(args[1])
		if err != nil || port < 1 || port > 65535 {
			return in, none, usage("write the number of a port inside the app", "port %q is none", args[1])
		}
		for _, addr := range in.Addresses {
			if addr.Container == port {
				return in, addr, nil
			}
		}
		return in, none, hinted(fmt.Errorf("%s serves nothing on its port %d", in.Name, port), "what it serves: carrel port "+in.Name)
	}
	if len(in.Addresses) == 0 {
		text := fmt.Errorf("%s serves nothing that could be opened", in.Name)
		if in.Problem != "" {
			text = errors.Join(text, errors.New(in.Problem))
		}
		return in, none, hinted(text, "its log may tell: carrel logs "+in.Name)
	}
	for _, addr := range in.Addresses {
		if addr.Ready && (addr.Proto == "http" || addr.Proto == "https") {
			return in, addr, nil
		}
	}
	return in, in.Addresses[0], nil
}

func (a *app) portCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "port [OPTION …] NAME [PORT]", Short: "Print where the ports of an app are reached", GroupID: groupApps,
		Long:    "With PORT, a port inside the app, only where that one is: HOST:PORT.",
		Example: "  carrel port nginx-jupyter\n  carrel port nginx-jupyter 8888",
		Args:    between(1, 2, "NAME PORT"),
	}
	c.Flags().BoolVar(&a.json, "json", false, "print as JSON")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		e, err := a.engine()
		if err != nil {
			return err
		}
		if len(args) > 1 {
			_, addr, err := a.address(cmd.Context(), e, args, false)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(addr)
			}
			return a.print(place(addr) + "\n")
		}
		in, err := e.Instance(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		if !in.State.Live() {
			return hinted(fmt.Errorf("%s: %w", in.Name, engine.ErrNotRunning), "start it again: carrel restart "+in.Name)
		}
		if a.json {
			return a.printJSON(append([]engine.Address{}, in.Addresses...))
		}
		if len(in.Addresses) == 0 {
			a.say("%s serves nothing (yet)", in.Name)
			return nil
		}
		rows := [][]string{}
		for _, addr := range in.Addresses {
			rows = append(rows, []string{fmt.Sprint(addr.Container), "-> " + place(addr), clean(addr.Text)})
		}
		if err := a.print(a.page.columns(rows, map[int]bool{0: true})); err != nil {
			return err
		}
		if in.Elsewhere != "" {
			return a.sendTo(in, in.Addresses...)
		}
		a.tellWay(in.Addresses...)
		return nil
	}
	return c
}

// place is where an address is reached, as HOST:PORT.
func place(addr engine.Address) string {
	if u, err := url.Parse(addr.URL); err == nil && u.Host != "" {
		return clean(u.Host)
	}
	return "127.0.0.1:" + strconv.Itoa(addr.Host)
}
