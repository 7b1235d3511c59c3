package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"carrel/catalog"
	"carrel/engine"
	"carrel/internal/xdg"
)

// app is what all verbs share. What costs time is made when it is first asked for.
type app struct {
	in       *os.File
	out, err *os.File
	screen   terminal // what the terminal behind err can show
	page     terminal // the same for out

	interrupt interrupt
	settings  func() (settings, error)
	engine    func() (*engine.Engine, error)
	catalog   func() (*catalog.Catalog, error)
	near      func() (*catalog.Catalog, error) // without what was added, which may be ten thousand apps

	insecure []string // registries that flags say to be without TLS

	verbose, quiet, json bool
	stream               *stream // of the verbs whose --json tells what happens while it does
	accessible           bool    // questions and answers instead of screens
	unread               error   // why help could not be shown, which has no result of its own
}

// settings is everything that comes from the environment and the configuration file.
type settings struct {
	dirs   xdg.Dirs
	config config
	self   string
	user   engine.User

	credentials []string // files with passwords for registries
	login       *engine.RegistryLogin
}

func newApp() *app {
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr}
	a.screen, a.page = findTerminal(os.Stderr, os.Getenv), findTerminal(os.Stdout, os.Getenv)
	a.settings = sync.OnceValues(func() (settings, error) { return findSettings(os.Getenv) })
	a.catalog = sync.OnceValues(func() (*catalog.Catalog, error) { return a.loadCatalog(context.Background(), true) })
	a.near = sync.OnceValues(func() (*catalog.Catalog, error) { return a.loadCatalog(context.Background(), false) })
	a.engine = sync.OnceValues(a.newEngine)
	return a
}

// homeInside is the home folder that containers get: HOME, unless it is somebody else's, as it is after su and setpriv.
func homeInside(home, accounts string, uid int) string {
	if st, err := os.Stat(home); err == nil && accounts != "" {
		if sys, ok := st.Sys().(*syscall.Stat_t); ok && int(sys.Uid) != uid {
			return accounts
		}
	}
	return home
}

func findSettings(getenv func(string) string) (settings, error) {
	var s settings
	s.user = engine.User{UID: os.Getuid(), GID: os.Getgid(), Env: os.Environ(), Shell: getenv("SHELL")}
	accounts := ""
	if u, err := user.LookupId(strconv.Itoa(s.user.UID)); err == nil {
		s.user.Name, accounts = u.Username, u.HomeDir
	}
	var err error
	s.dirs, err = xdg.Find("carrel", getenv("CARREL_HOME"), xdg.Env{Get: getenv, Accounts: accounts, UID: s.user.UID, Temp: os.TempDir()})
	if err != nil {
		return s, hinted(err, "set HOME, or CARREL_HOME to a folder that is yours")
	}
	s.user.Home = homeInside(s.dirs.Home, accounts, s.user.UID)
	if s.user.Cwd, err = os.Getwd(); err != nil {
		return s, hinted(fmt.Errorf("find the current folder: %w", err), "it may have been deleted; change to another one: cd")
	}
	if s.self, err = os.Executable(); err != nil {
		return s, fmt.Errorf("find this program: %w", err)
	}
	s.credentials, s.login = credentialFiles(getenv, s.dirs), environmentLogin(getenv)
	s.config, err = readConfig(filepath.Join(s.dirs.Config, "config"))
	if m := getenv("CARREL_MIRROR"); m != "" {
		s.config.Mirror = m
	}
	if err == nil {
		s.config.Guard, err = findGuard(getenv("CARREL_GUARD"), s.config.Guard)
	}
	return s, err
}

// findGuard is the mode in which ports are guarded: the environment's, else the configuration's, else when others are here.
func findGuard(environment string, configured engine.GuardMode) (engine.GuardMode, error) {
	mode, err := parseGuard(environment)
	if err != nil {
		return mode, hinted(fmt.Errorf("CARREL_GUARD: %w", err), "set it to auto, on or off")
	}
	return cmp.Or(mode, configured, engine.GuardAuto), nil
}

func (a *app) newEngine() (*engine.Engine, error) {
	s, err := a.settings()
	if err != nil {
		return nil, err
	}
	return engine.New(engine.Config{
		DataDir: s.dirs.Data, CacheDir: s.dirs.Cache, StateDir: s.dirs.State,
		User: s.user, Self: s.self, Version: version(),
		Mirror: s.config.Mirror, HostApt: "/etc/apt", Insecure: append(a.insecure, s.config.Insecure...),
		Mirrors: s.config.Mirrors, Library: s.config.Library, Credentials: s.credentials, Login: s.login, DockerHost: dockerHost(os.Getenv),
		CacheLimit: s.config.CacheLimit, HotLimit: s.config.HotLimit, Guard: s.config.Guard, Catalog: entries{a},
		HistoryNumber: s.config.History, HistoryAge: time.Duration(s.config.HistoryDays) * 24 * time.Hour,
		HistorySize: s.config.HistorySize,
	})
}

// absolute makes a path of what a person wrote: ~ is the home folder, the rest is relative to the current folder.
func absolute(path string, s settings) string {
	if path == "~" || len(path) > 1 && path[:2] == "~/" {
		path = filepath.Join(s.dirs.Home, path[1:])
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(s.user.Cwd, path)
	}
	return filepath.Clean(path)
}

// entries gives the engine the catalog's definition files.
type entries struct{ *app }

// Lookup finds an entry; engine.ErrNotFound when there is none. Whichever way a build is asked for, it comes through here.
func (c entries) Lookup(name string) (engine.CatalogEntry, error) {
	e, err := c.find(name)
	if missing, ok := errors.AsType[*catalog.NotFoundError](err); ok {
		return engine.CatalogEntry{}, &engine.NameError{Name: name, Close: missing.Near}
	}
	if err != nil {
		return engine.CatalogEntry{}, err
	}
	if e.Raw == "" && e.Err != nil {
		return engine.CatalogEntry{}, e.Err
	}
	s, err := c.settings()
	if err != nil {
		return engine.CatalogEntry{}, err
	}
	out := engine.CatalogEntry{Name: e.ID(), Source: e.Source.Name, Text: e.Raw, Files: e.Dir}
	if !c.library(s).Allowed(e) {
		out.Refused = unseen(e)
	}
	return out, nil
}

// say writes a remark to standard error, unless --quiet.
func (a *app) say(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintf(a.err, a.screen.text("carrel: "+format)+"\n", args...)
	}
}

// print writes to standard output; a reader that has gone away ends the program like every other one in a pipe.
func (a *app) print(text string) error {
	_, err := io.WriteString(a.out, text)
	if errors.Is(err, syscall.EPIPE) {
		return quietExit(exitFailure)
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = fmt.Errorf("write to standard output: %w", e.Err)
	}
	return err
}
