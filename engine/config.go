package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"carrel/internal/scratch"
)

// Config is everything the engine is told about its surroundings; it reads no environment itself.
type Config struct {
	// DataDir holds images and instances' own changes, CacheDir what can be made again, StateDir instances, logs and
	// memories. All are made when missing.
	DataDir, CacheDir, StateDir string

	// User is who runs this program.
	User User
	// Self is the path of this program's binary, which the welcome app carries inside.
	Self string
	// Version of this program, for labels.
	Version string

	// Mirror is the Debian mirror to prefer; HostApt the folder of the host's apt sources.
	Mirror, HostApt string
	// HotLimit bounds the unpacked copies of images that were started lately, in bytes; 0 is 8 GiB, negative keeps none.
	HotLimit int64
	// Insecure are registries that are spoken to without TLS. Mirrors are asked before a registry ("docker.io"), as
	// HOST[:PORT][/PATH]. Library is the address of the library for references that name none; empty for the usual one.
	Insecure []string
	Mirrors  map[string][]string
	Library  string
	// Credentials are files with passwords for registries, in the form of Docker's config.json: they are asked in this
	// order, and Login writes to the first. Login is who one is at every registry, before all files; nil for none.
	Credentials []string
	Login       *RegistryLogin

	// DockerHost is where the Docker daemon listens, for docker-daemon:NAME, as unix://PATH or tcp://HOST:PORT; empty for
	// the usual place.
	DockerHost string

	// CacheLimit bounds what builds leave in the cache, in bytes; 0 for no limit.
	CacheLimit int64

	// HistoryNumber is how many apps that have ended are remembered, with their logs; 0 is DefaultHistory, negative any
	// number. HistoryAge is how long; 0 is for ever. HistorySize is how much they may keep in bytes, before the logs of the
	// oldest go; 0 is DefaultHistorySize, negative any.
	HistoryNumber int
	HistoryAge    time.Duration
	HistorySize   int64

	// Guard says whether the published ports of apps are guarded, unless a RunSpec does; empty is GuardOff.
	Guard GuardMode

	// Catalog finds entries by name; nil for none.
	Catalog Catalog
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// User is the person on whose behalf containers run.
type User struct {
	UID, GID          int
	Name, Home, Shell string
	Env               []string // "K=V"
	Cwd               string
}

// Catalog finds definition files by name.
type Catalog interface {
	// Lookup returns the entry of a name; ErrNotFound when there is none, as a *NameError where names like it are known.
	Lookup(name string) (CatalogEntry, error)
}

// CatalogEntry is a definition file with the files beside it.
type CatalogEntry struct {
	Name   string
	Source string // where it comes from, for a person
	Text   string
	Files  fs.FS // the entry's folder; nil for none
	// Refused says why it must not be built, as long as nobody has agreed to what somebody else wrote; nil: it may be. It can
	// be looked at all the same, and an image made of it earlier can be used.
	Refused error
}

// Engine is the facade. Its methods may be called from several goroutines.
type Engine struct {
	c     Config
	heads heads
}

// New returns an engine. It makes the folders it needs.
func New(c Config) (*Engine, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	e := &Engine{c: c}
	for _, d := range []string{e.imageDir(), e.instanceDir(), e.workDir(), e.logDir()} {
		if !filepath.IsAbs(d) {
			return nil, fmt.Errorf("folder %q: not an absolute path", d)
		}
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, &FolderError{Path: d, Err: err}
		}
	}
	return e, nil
}

// scratch makes a folder for a piece of work, and removes those of work that was killed.
func (e *Engine) scratch(prefix string) (dir string, release func(), err error) {
	scratch.Sweep(e.workDir(), "")
	return scratch.Folder(e.workDir(), prefix)
}

func (e *Engine) imageDir() string    { return filepath.Join(e.c.DataDir, "images") }
func (e *Engine) instanceDir() string { return filepath.Join(e.c.StateDir, "instances") }
func (e *Engine) workDir() string     { return filepath.Join(e.c.CacheDir, "work") }
func (e *Engine) logDir() string      { return filepath.Join(e.c.StateDir, "builds") }

// FolderError is one of Carrel's own folders that cannot be used.
type FolderError struct {
	Path string
	Err  error
}

func (e *FolderError) Error() string {
	err := e.Err
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return "make folder " + e.Path + ": " + err.Error()
}

func (e *FolderError) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *FolderError) Hint() string {
	return "make the folder writable, or set CARREL_HOME to a folder that is"
}
