package doctor

import (
	"context"
	"os"
	"sync"
	"time"

	"carrel/engine/doctor/probe"
)

// Status says how good the news is.
type Status string

const (
	OK   Status = "ok"
	Note Status = "note" // works, by another way
	Bad  Status = "bad"  // Carrel cannot work like this
)

// Check is one thing that this computer can or cannot do.
type Check struct {
	Name   string // stable: "user-namespaces"
	Status Status
	Title  string // for a person: "Containers can run without administrator rights"
	Term   string // the expert's word: "user namespaces"
	Detail string // what was found
	Advice string // what still works, and what to do
	Admin  string // the exact line an administrator would run; empty where Advice says that there is none, or no need
}

// Config says where to look.
type Config struct {
	ImageDir string   // the folder that images are built into; need not exist yet
	TempDir  string   // where containers and builds put temporary files; "/tmp" when empty
	Port     int      // a port that apps like to have; 8888 when 0
	Home     string   // shortened to ~ in texts; may be empty
	Env      []string // the environment, which tells of an outer container
	Self     string   // path of this program, for AppArmor's rule; may be empty
	// Patience bounds the whole run, one second when 0: a check that has not answered by then says so. It usually takes
	// a tenth of that.
	Patience time.Duration
}

// look is a check in two halves: finding out, which takes time, and saying it.
type look struct {
	name, title, term string
	check             func(context.Context, *machine) Check
}

// looks are all checks in the order in which they are shown.
var looks = []look{
	{"user-namespaces", "Containers can run without administrator rights", "user namespaces", func(ctx context.Context, m *machine) Check {
		return userNamespaces(m.person(), m.limits(), m.trials(ctx))
	}},
	{"fuse", "Images can be opened directly", "FUSE", func(ctx context.Context, m *machine) Check {
		return imagesOpen(m.person(), m.squashfs(), m.trials(ctx))
	}},
	{"overlay", "Apps can write where they expect to", "overlay", func(ctx context.Context, m *machine) Check {
		return writableRoot(m.kernel(), m.trials(ctx))
	}},
	{"network", "Apps can have a network of their own", "TAP or veth", func(ctx context.Context, m *machine) Check {
		return ownNetwork(m.trials(ctx))
	}},
	{"subordinate-ids", "Builds can use several user numbers", "subordinate ids", func(_ context.Context, m *machine) Check {
		return subordinateIDs(m.person(), m.subordinate())
	}},
	{"limits", "Memory and processor use can be limited", "delegated cgroups v2", func(_ context.Context, m *machine) Check {
		return resourceLimits(m.person(), m.cgroup(), m.outer())
	}},
	{"disk", "Room for images", "disk space", func(_ context.Context, m *machine) Check {
		return imageSpace(m.person(), space(m.config.ImageDir), m.config.Home)
	}},
	{"temp", "Room for temporary files", "temporary folder", func(_ context.Context, m *machine) Check {
		return tempSpace(m.person(), space(m.config.TempDir), m.config.Home)
	}},
	{"port", "A free port for apps", "TCP port", func(ctx context.Context, m *machine) Check {
		return portFree(m.config.Port, port(ctx, m.config.Port))
	}},
	{"logout", "Apps go on when you log out", "lingering", func(_ context.Context, m *machine) Check {
		return loggingOut(m.logout())
	}},
	{"surroundings", "Carrel is not inside of another container", "nesting", func(_ context.Context, m *machine) Check {
		return surroundings(m.outer())
	}},
}

// Run makes all checks at once and returns them in a fixed order. It never fails and returns within Config.Patience; a
// check that hangs, because a file system does, is left behind and reported as such.
func Run(ctx context.Context, config Config) []Check {
	if config.TempDir == "" {
		config.TempDir = "/tmp"
	}
	if config.Port == 0 {
		config.Port = 8888
	}
	if config.Patience == 0 {
		config.Patience = time.Second
	}
	return run(ctx, newMachine(config), looks)
}

func run(ctx context.Context, m *machine, looks []look) []Check {
	ctx, cancel := context.WithTimeout(ctx, m.config.Patience)
	defer cancel()
	type answer struct {
		index int
		check Check
	}
	answers := make(chan answer, len(looks))
	checks := make([]Check, len(looks))
	for i, l := range looks {
		checks[i] = Check{
			Name: l.name, Status: Note, Title: l.title, Term: l.term,
			Detail: "this could not be found out in time",
			Advice: "The computer may be busy, or a file system does not answer; try again. " + noNeed,
		}
		go func() {
			c := l.check(ctx, m)
			c.Name, c.Term = l.name, l.term
			if c.Title == "" {
				c.Title = l.title
			}
			answers <- answer{i, c}
		}()
	}
	for range looks {
		select {
		case a := <-answers:
			checks[a.index] = a.check
		case <-ctx.Done():
			return checks
		}
	}
	return checks
}

// machine finds facts out, each once and only when asked for.
type machine struct {
	config      Config
	person      func() person
	limits      func() limits
	kernel      func() string
	squashfs    func() squashfs
	subordinate func() subordinate
	cgroup      func() cgroup
	logout      func() logout
	outer       func() outer
	trials      func(context.Context) trial
}

type trial struct {
	probe.Result
	err error
}

func newMachine(config Config) *machine {
	m := &machine{config: config}
	m.person = sync.OnceValue(func() person { return findPerson(config.Self) })
	m.limits = sync.OnceValue(func() limits { return findLimits("/") })
	m.kernel = sync.OnceValue(kernelRelease)
	m.squashfs = sync.OnceValue(func() squashfs { return findSquashfs("/", m.kernel()) })
	m.subordinate = sync.OnceValue(func() subordinate { return findSubordinate("/", m.person()) })
	m.cgroup = sync.OnceValue(func() cgroup { return findCgroup("/") })
	m.logout = sync.OnceValue(func() logout { return findLogout("/", m.person()) })
	m.outer = sync.OnceValue(func() outer { return findOuter("/", config.Env) })
	var once sync.Once
	var t trial
	m.trials = func(ctx context.Context) trial {
		once.Do(func() { t.Result, t.err = probe.Run(ctx, os.Geteuid() != 0) })
		return t
	}
	return m
}
