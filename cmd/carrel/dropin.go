package main

import (
	"cmp"
	"context"
	"os"
	"os/user"
	"runtime/debug"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"carrel/cmd/carrel/singularity"
	"carrel/engine"
	"carrel/internal/early"
)

// memoryGoal is how much memory may be used before garbage is collected all the same, in bytes.
const memoryGoal = 64 << 20

// dropIn is the program under the names singularity, apptainer and run-singularity.
func dropIn(arg0 string, args []string) int {
	// Most calls end soon, or wait for a container: collecting garbage while one starts would only delay it.
	debug.SetGCPercent(400)
	debug.SetMemoryLimit(memoryGoal)
	a := newApp()
	ctx := context.Background()
	if early.Signals() != nil {
		defer a.interrupt.listen(early.Default)()
	}
	// Jobs and `sudo -u` bring the HOME of somebody else along; images run all the same.
	s, err := findSettings(func(key string) string {
		value := os.Getenv(key)
		if key == "HOME" && unix.Access(value, unix.R_OK|unix.X_OK) != nil {
			return ""
		}
		return value
	})
	if err != nil {
		return a.finish(err)
	}
	if u, err := user.LookupId(strconv.Itoa(s.user.UID)); err == nil {
		s.user.Home = u.HomeDir // as Singularity does: the account's, whatever HOME says
	}
	accounts := &singularity.Accounts{Login: s.login}
	return singularity.Main(ctx, singularity.Config{
		Arg0: arg0, Args: args, In: a.in, Out: a.out, Err: a.err, User: s.user, Version: version(),
		Accounts: accounts, Again: s.thisCall(),
		Engine: func(insecure ...string) (*engine.Engine, error) {
			// The file of Apptainer is where passwords are stored, unless another is named.
			credentials := append([]string{apptainerCredentials(os.Getenv, s.dirs)}, s.credentials...)
			if accounts.AuthFile != "" {
				credentials = []string{accounts.AuthFile}
			}
			return engine.New(engine.Config{
				DataDir: s.dirs.Data, CacheDir: s.dirs.Cache, StateDir: s.dirs.State,
				User: s.user, Self: s.self, Version: version(),
				Mirror: s.config.Mirror, HostApt: "/etc/apt", Insecure: append(insecure, s.config.Insecure...),
				Mirrors: s.config.Mirrors, Library: cmp.Or(accounts.Library, s.config.Library), Credentials: credentials, Login: accounts.Login,
				Catalog: entries{a}, DockerHost: dockerHost(os.Getenv), CacheLimit: s.config.CacheLimit, HotLimit: s.config.HotLimit,
			})
		},
		Signals: a.interrupt.relay,
		Alone:   a.interrupt.release,
	})
}

// relay hands signals over until it is told to stop, those first that came before there was anybody to have them. What a
// terminal sends goes to the whole foreground group of processes, and so to the container without help: such signals are
// only kept from ending this program.
func (i *interrupt) relay(terminal bool, to func(os.Signal)) (restore func()) {
	return i.hand(func(sig syscall.Signal) { to(sig) }, func(sig syscall.Signal) bool {
		if !terminal || sig != syscall.SIGINT && sig != syscall.SIGQUIT && sig != syscall.SIGWINCH && sig != syscall.SIGCONT {
			to(sig)
		}
		return true
	})
}
