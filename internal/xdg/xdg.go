// Package xdg says where a program's files belong, by the XDG Base Directory Specification 0.8. It makes no folders but the
// one of last resort.
package xdg

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// Dirs are the folders of one program.
type Dirs struct {
	Home   string // the person's home folder; empty when they have none
	Data   string // what must not be lost
	Cache  string // what can be made again
	State  string // logs and memories
	Config string // what the person wrote
	// Temporary tells that there was no home folder to put them in, so that they lie where temporary files do.
	Temporary bool
}

// Env is what the folders depend on.
type Env struct {
	Get      func(string) string // environment variables
	Accounts string              // home folder by the user database, used where HOME is not set; may be empty
	UID      int
	Temp     string // folder for temporary files
}

// Find returns the folders of the program of a name. An override, when it is not empty, is an absolute path that all of
// them lie in. It fails when the override is relative, or the folder of last resort belongs to somebody else.
func Find(name, override string, env Env) (Dirs, error) {
	home := env.Get("HOME")
	if !filepath.IsAbs(home) {
		home = env.Accounts
	}
	if !usable(home) {
		home = ""
	}
	d := Dirs{Home: home}
	if override != "" {
		if !filepath.IsAbs(override) {
			return d, fmt.Errorf("folder %q: not an absolute path", override)
		}
		d.Data, d.Cache, d.State, d.Config = override, filepath.Join(override, "cache"), filepath.Join(override, "state"), override
		return d, nil
	}
	base := home
	// in answers for the variable: the specification has relative paths ignored.
	in := func(variable, below string) (string, bool) {
		if v := env.Get(variable); filepath.IsAbs(v) {
			return filepath.Join(v, name), true
		}
		return filepath.Join(base, below, name), base != ""
	}
	all := func() bool {
		ok := true
		for _, x := range []struct {
			dir             *string
			variable, below string
		}{{&d.Data, "XDG_DATA_HOME", ".local/share"}, {&d.Cache, "XDG_CACHE_HOME", ".cache"}, {&d.State, "XDG_STATE_HOME", ".local/state"}, {&d.Config, "XDG_CONFIG_HOME", ".config"}} {
			dir, found := in(x.variable, x.below)
			*x.dir = dir
			ok = ok && found
		}
		return ok
	}
	if all() {
		return d, nil
	}
	base = filepath.Join(env.Temp, name+"-"+strconv.Itoa(env.UID))
	if err := private(base, env.UID); err != nil {
		return d, err
	}
	d.Temporary = true
	all()
	return d, nil
}

// usable tells whether a home folder can be worked in: service accounts name one that is not there, or "/".
func usable(home string) bool {
	if !filepath.IsAbs(home) || filepath.Clean(home) == "/" {
		return false
	}
	st, err := os.Stat(home)
	return err == nil && st.IsDir()
}

// private makes a folder in a place where everybody may write, and makes sure that it is the person's own.
func private(dir string, uid int) error {
	if err := os.Mkdir(dir, 0o700); err == nil {
		return nil
	} else if !os.IsExist(err) {
		return fmt.Errorf("make folder: %w", err)
	}
	st, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	owner, ok := st.Sys().(*syscall.Stat_t)
	if !st.IsDir() || !ok || int(owner.Uid) != uid || st.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("folder %s: not a private folder of user %d", dir, uid)
	}
	return nil
}
