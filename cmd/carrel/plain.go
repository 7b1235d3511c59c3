package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"carrel/engine"
)

// welcomeApp is the catalog entry of the first app, and welcomeFolder the one it shows when nobody chose another.
const (
	welcomeApp    = "welcome"
	welcomeFolder = "carrel-welcome"
)

// plainWelcome is what the program does when it is called alone without a terminal: it starts the welcome app, prints its
// address once it answers, and its log, until it is told to stop.
func (a *app) plainWelcome(ctx context.Context) error {
	e, err := a.engine()
	if err != nil {
		return err
	}
	s, err := a.settings()
	if err != nil {
		return err
	}
	if err := a.ensure(ctx, welcomeApp); err != nil {
		return err
	}
	c, err := e.Card(ctx, welcomeApp)
	if err != nil {
		return err
	}
	spec := engine.RunSpec{Image: welcomeApp, Action: engine.ActionRun, Profile: engine.ProfileSafe}
	for _, p := range c.Ports {
		spec.Ports = append(spec.Ports, engine.Port{Host: p.Container, Container: p.Container})
	}
	folder := filepath.Join(s.dirs.Home, welcomeFolder)
	if s.dirs.Home == "" {
		folder = filepath.Join(s.dirs.Data, welcomeFolder)
	}
	for _, b := range c.Binds {
		if err := os.MkdirAll(folder, 0o777); err != nil { // less the umask, as mkdir does
			return fmt.Errorf("create folder: %w", err)
		}
		spec.Binds = append(spec.Binds, engine.Bind{Source: folder, Dest: b.Dest})
	}
	asked := false
	restore := func() {}
	defer func() { restore() }()
	status, err := e.Run(ctx, spec, engine.Stdio{Out: a.out, Err: a.err}, engine.RunCallbacks{
		Note: func(text string) { a.say("%s", lines(text)) },
		Started: func(send func(unix.Signal) error) {
			hard := hardly{of: 2, within: time.Minute}
			restore = a.interrupt.to(func(sig syscall.Signal) bool {
				asked = true
				if hard.enough(time.Now()) {
					return false
				}
				return send(unix.SIGTERM) == nil
			})
		},
		Address: func(addr engine.Address, err error) {
			if err != nil {
				a.announce(addr, 0, err)
				return
			}
			fmt.Fprintf(a.out, "The welcome app answers at %s\n", clean(addr.URL))
			fmt.Fprintf(a.out, "It shows the folder %s: put a file there and it appears. Ctrl+C stops it.\n", clean(folder))
		},
	})
	if err != nil && !(asked && errors.Is(err, context.Canceled)) {
		return err
	}
	if asked {
		return nil
	}
	return quietExit(status)
}
