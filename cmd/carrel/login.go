package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"carrel/engine"
)

func (a *app) loginCommand() *cobra.Command {
	user, fromInput, list, plain := "", false, false, false
	c := &cobra.Command{
		Use: "login [OPTION …] REGISTRY", Short: "Store a password or token for a registry", GroupID: groupImages,
		Long: `The registry is asked whether it takes the name and password before they are stored, in
a file that only you can read. Passwords are not taken from the command line, where
other users could read them: they are asked for, or come from standard input. What
docker, podman and apptainer have stored is used as well. APPTAINER_DOCKER_USERNAME and
APPTAINER_DOCKER_PASSWORD count before all that is stored.`,
		Example: "  carrel login ghcr.io -u ada\n  carrel login docker.io -u ada --password-stdin < token\n  carrel login --list",
		Args:    between(0, 1, "REGISTRY"),
	}
	f := c.Flags()
	f.StringVarP(&user, "username", "u", "", "`NAME` of the account")
	f.BoolVar(&fromInput, "password-stdin", false, "read the password from standard input")
	f.BoolVarP(&list, "list", "l", false, "list the registries that passwords are stored for")
	a.noHTTPS(c, &plain)
	f.BoolVarP(&a.quiet, "quiet", "q", false, "show nothing but errors")
	f.BoolVar(&a.json, "json", false, "print JSON (with --list)")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case list && len(args) == 0:
			return a.listLogins()
		case list:
			return usage("usage: carrel login --list", "login: --list takes no registry")
		case len(args) == 0:
			return usage("usage: "+cmd.UseLine(), "login: REGISTRY is missing")
		}
		a.speakHTTP(plain, args[0])
		e, err := a.engine()
		if err != nil {
			return err
		}
		l, err := a.askLogin(cmd.Context(), user, fromInput)
		if err != nil {
			return err
		}
		path, err := e.Login(cmd.Context(), args[0], l)
		if err != nil {
			return err
		}
		a.say("logged in to %s as %s; the password is in %s", args[0], l.User, tilde(path, a.home()))
		return nil
	}
	return c
}

// maxPassword bounds what is read as one, in bytes; tokens of some registries have a few thousand.
const maxPassword = 64 << 10

// askLogin finds out name and password: from standard input, or by asking.
func (a *app) askLogin(ctx context.Context, user string, fromInput bool) (engine.RegistryLogin, error) {
	l := engine.RegistryLogin{User: user}
	terminal := isTerminal(a.in)
	switch {
	case fromInput && user == "":
		return l, usage("add -u NAME", "login: --password-stdin needs the name of the account")
	case !fromInput && !terminal:
		return l, usage("add --password-stdin and give the password there", "login: there is no terminal to ask for the password")
	case fromInput:
		data, err := io.ReadAll(io.LimitReader(a.in, maxPassword))
		if err != nil {
			return l, fmt.Errorf("read password: %w", err)
		}
		l.Password = strings.TrimRight(string(data), "\r\n")
	default:
		if user == "" {
			fmt.Fprint(a.err, "Name of the account: ")
			line, err := bufio.NewReader(io.LimitReader(a.in, maxPassword)).ReadString('\n')
			if err != nil && !errors.Is(err, io.EOF) {
				return l, fmt.Errorf("read name: %w", err)
			}
			l.User = strings.TrimSpace(line)
		}
		var err error
		if l.Password, err = a.askPassword(ctx); err != nil {
			return l, err
		}
	}
	if l.User == "" || l.Password == "" {
		return l, usage("both are needed", "login: the name or the password is empty")
	}
	return l, nil
}

// askPassword reads a line that is not shown. The terminal is as it was when ctx ends meanwhile.
func (a *app) askPassword(ctx context.Context) (string, error) {
	fmt.Fprint(a.err, "Password or token: ")
	before, err := term.GetState(int(a.in.Fd()))
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	type line struct {
		text []byte
		err  error
	}
	read := make(chan line, 1)
	go func() {
		text, err := term.ReadPassword(int(a.in.Fd()))
		read <- line{text, err}
	}()
	defer fmt.Fprintln(a.err)
	select {
	case l := <-read:
		if l.err != nil {
			return "", fmt.Errorf("read password: %w", l.err)
		}
		return string(l.text), nil
	case <-ctx.Done():
		return "", errors.Join(context.Cause(ctx), term.Restore(int(a.in.Fd()), before))
	}
}

func (a *app) listLogins() error {
	e, err := a.engine()
	if err != nil {
		return err
	}
	logins, err := e.Logins()
	if err != nil {
		a.say("%v", err)
	}
	if a.json {
		return a.printJSON(logins)
	}
	var rows [][]string
	for _, l := range logins {
		rows = append(rows, []string{clean(l.Registry), clean(l.User), tilde(l.Path, a.home())})
	}
	if len(rows) == 0 {
		a.say("no passwords are stored; public images need none")
		return nil
	}
	return a.print(a.page.columns(append([][]string{{"REGISTRY", "NAME", "STORED IN"}}, rows...), nil))
}

func (a *app) logoutCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "logout REGISTRY", Short: "Remove the stored password for a registry", GroupID: groupImages,
		Long: "Only what carrel login stored is removed. What other programs store is theirs: it is\nnamed, so that you can log out there.",
		Args: exactly(1, "REGISTRY"),
	}
	c.Flags().BoolVarP(&a.quiet, "quiet", "q", false, "show nothing but errors")
	c.RunE = func(_ *cobra.Command, args []string) error {
		e, err := a.engine()
		if err != nil {
			return err
		}
		elsewhere, err := e.Logout(args[0])
		if errors.Is(err, engine.ErrNotFound) {
			return hinted(fmt.Errorf("log out of %s: no password for it is stored", args[0]), "carrel login --list shows for which there are")
		}
		if err != nil {
			return err
		}
		a.say("logged out of %s", args[0])
		for _, path := range elsewhere {
			a.say("a password for it is still in %s, which belongs to another program", tilde(path, a.home()))
		}
		return nil
	}
	return c
}
