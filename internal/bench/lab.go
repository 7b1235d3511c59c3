package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"carrel/internal/rmtree"
)

// A person is somebody as whom things are measured.
type person struct {
	name     string // "root", or "an ordinary user"
	account  string // name on this computer
	uid, gid int
	home     string // of their own, empty at first
}

// nobody is who things are measured as when root measures: a user for whom no administrator did anything.
const nobody = 65534

// searchPath is where the programs that are measured are looked for.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// A lab is where things are measured: people, programs, folders, and what has been made for several questions.
type lab struct {
	keep    string // kept from run to run
	scratch string // removed at the end
	carrel  string // the program under test, under a path of its own
	dropIn  string // the same under the name singularity
	self    string // this program, where everybody may read it
	people  []person
	quick   bool
	say     func(string)
	agent   *agent // runs Apptainer; nil when it needs none
	apptain string // Apptainer's path, in the agent's root or here; empty without one
	closers []func() error
	rounds  []func() error // what tidy calls

	treeOnce func() (treeInfo, error)
	images   map[string]string
	number   int // of files with a name of their own
}

// newLab sets up what every question needs.
func newLab(ctx context.Context, binary string, quick bool, say func(string)) (l *lab, err error) {
	l = &lab{quick: quick, say: say, images: map[string]string{}}
	if err := os.Setenv("PATH", searchPath+":"+os.Getenv("PATH")); err != nil {
		return nil, err
	}
	l.keep = os.Getenv("CARREL_BENCH_DIR")
	if l.keep == "" {
		l.keep = "/var/cache/carrel-bench"
		if os.Getuid() != 0 {
			dir, err := os.UserCacheDir()
			if err != nil {
				return nil, err
			}
			l.keep = filepath.Join(dir, "carrel-bench")
		}
	}
	if err := os.MkdirAll(l.keep, 0o755); err != nil {
		return nil, err
	}
	if l.scratch, err = os.MkdirTemp(l.keep, "run-"); err != nil {
		return nil, err
	}
	l.closers = append(l.closers, func() error { return rmtree.Remove(l.scratch) })
	if os.Getuid() == 0 {
		// What is mounted here later is to appear in the agent's namespace, too (mount_namespaces(7)).
		err := unix.Mount(l.scratch, l.scratch, "", unix.MS_BIND, "")
		if err == nil {
			l.closers = append(l.closers, func() error { return unix.Unmount(l.scratch, unix.MNT_DETACH) })
			err = unix.Mount("", l.scratch, "", unix.MS_SHARED, "")
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("mount %s: %w", l.scratch, err), l.close())
		}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	if err := os.Chmod(l.scratch, 0o755); err != nil { // for the ordinary user
		return nil, err
	}
	l.carrel, l.self = filepath.Join(l.scratch, "bin", "carrel"), filepath.Join(l.scratch, "bin", "bench")
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	for from, to := range map[string]string{binary: l.carrel, self: l.self} {
		if err := copyFile(from, to); err != nil {
			return nil, err
		}
	}
	l.dropIn = filepath.Join(l.scratch, "bin", "singularity")
	if err := os.Symlink(l.carrel, l.dropIn); err != nil {
		return nil, err
	}
	l.people = []person{{name: "an ordinary user", account: os.Getenv("USER"), uid: os.Getuid(), gid: os.Getgid()}}
	if os.Getuid() == 0 {
		l.people = []person{{name: "an ordinary user", account: "nobody", uid: nobody, gid: nobody}, {name: "root", account: "root"}}
	}
	for i := range l.people {
		if l.people[i].home, err = l.home(l.people[i]); err != nil {
			return nil, err
		}
	}
	l.treeOnce = once(func() (treeInfo, error) { return l.makeTree(ctx) })
	return l, l.findApptainer(ctx)
}

// once calls a function the first time, and remembers what it gave.
func once[T any](f func() (T, error)) func() (T, error) {
	var value T
	var err error
	done := false
	return func() (T, error) {
		if !done {
			value, err = f()
			done = true
		}
		return value, err
	}
}

// close ends and removes what was made, the last first.
func (l *lab) close() error {
	err := l.tidy()
	for i := len(l.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, l.closers[i]())
	}
	l.closers = nil
	return err
}

// later has something done after the questions of a family.
func (l *lab) later(f func() error) { l.rounds = append(l.rounds, f) }

// tidy does what was to be done later.
func (l *lab) tidy() error {
	var err error
	for i := len(l.rounds) - 1; i >= 0; i-- {
		err = errors.Join(err, l.rounds[i]())
	}
	l.rounds = nil
	return err
}

// me is who runs this program: root where possible.
func (l *lab) me() person { return l.people[len(l.people)-1] }

// user is an ordinary user.
func (l *lab) user() person { return l.people[0] }

// name is a path in the scratch folder that was not given before.
func (l *lab) name(kind string) string {
	l.number++
	return filepath.Join(l.scratch, kind+"-"+strconv.Itoa(l.number))
}

// home makes a new home folder for a person. A new one means that Carrel has no caches; and it keeps no unpacked copies of
// images, which it otherwise makes after the second start within a day (hotHome).
func (l *lab) home(p person) (string, error) {
	dir := l.name("home")
	folders := []string{dir, filepath.Join(dir, ".config"), filepath.Join(dir, ".config/carrel")}
	for _, d := range folders {
		if err := os.Mkdir(d, 0o755); err != nil {
			return "", err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, configFile), []byte("hot_limit = 0\n"), 0o644); err != nil {
		return "", err
	}
	if p.uid == os.Getuid() {
		return dir, nil
	}
	for _, d := range folders {
		if err := os.Chown(d, p.uid, p.gid); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// configFile is Carrel's configuration in a home.
const configFile = ".config/carrel/config"

// call is a call of a program by a person, with a small environment.
func (l *lab) call(p person, args ...string) call {
	env := []string{
		"HOME=" + p.home, "USER=" + p.account, "LOGNAME=" + p.account, "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "TERM=xterm-256color", "APPTAINER_SILENT=1",
		"CARREL_GUARD=off", // else its gate answers in the place of an app while another person has processes on the computer
		"APPTAINER_CONFIGDIR=" + filepath.Join(p.home, ".apptainer"), "APPTAINER_CACHEDIR=" + filepath.Join(p.home, ".apptainer-cache"),
	}
	if p.uid == 0 && !mayRaiseLimits() {
		env = append(env, "APPTAINER_DROP_CAPS=CAP_SYS_RESOURCE") // it asks for all, and would be refused
	}
	return call{Args: args, Dir: "/", UID: p.uid, GID: p.gid, Env: env}
}

// run runs a process to its end, where its program is.
func (l *lab) run(ctx context.Context, c call) outcome {
	if l.agent != nil && c.Args[0] == l.apptain {
		return l.agent.run(ctx, c)
	}
	return c.run(ctx)
}

// A running is a process that goes on.
type running interface {
	ended() error // nil while it runs; else why it ended
	end()
}

// start starts a process that goes on, where its program is.
func (l *lab) start(ctx context.Context, c call) (running, error) {
	if l.agent != nil && c.Args[0] == l.apptain {
		return l.agent.start(ctx, c)
	}
	return c.start(ctx)
}

// timed runs a program by a person and gives the time it took.
func (l *lab) timed(p person, args ...string) func(context.Context) (measure, error) {
	return func(ctx context.Context) (measure, error) {
		o := l.run(ctx, l.call(p, args...))
		return took(o.Took), o.err()
	}
}

// program is a contender that is one call of a program; it is missing when the program is.
func (l *lab) program(name string, p person, args ...string) contender {
	return contender{name: name, how: l.show(args), missing: missing(args[0]), run: l.timed(p, args...)}
}

// missing is the name of a program that is not installed; empty when it is.
func missing(program string) string {
	if _, err := exec.LookPath(program); err != nil {
		return filepath.Base(program)
	}
	return ""
}

// show writes a command as a person would type it: without the paths of this run.
func (l *lab) show(args []string) string {
	words := make([]string, len(args))
	for i, a := range args {
		switch {
		case a == l.carrel:
			a = "carrel"
		case a == l.dropIn && a != "":
			a = "singularity"
		case a == l.apptain && a != "":
			a = "apptainer"
		}
		if strings.Contains(a, l.keep) {
			before, after, _ := strings.Cut(a, l.keep)
			after = strings.TrimPrefix(strings.TrimPrefix(after, "/"), filepath.Base(l.scratch)+"/")
			a = before + after
		}
		if a == "" || strings.ContainsAny(a, " \t\n'\"$&|;<>()*?`") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		words[i] = a
	}
	return strings.Join(words, " ")
}

// output makes a folder on a file system of its own that nothing was ever written to, where root can mount one: on a used
// one, the time to make files depends on how many were deleted before. release removes it.
func (l *lab) output(ctx context.Context) (dir string, release func(), err error) {
	dir = l.name("out")
	if err := os.Mkdir(dir, 0o777); err != nil {
		return "", nil, err
	}
	remove := func() {
		if err := rmtree.Remove(dir); err != nil {
			l.say("remove " + dir + ": " + err.Error())
		}
	}
	if os.Getuid() != 0 || missing("mkfs.ext4") != "" {
		return dir, remove, nil
	}
	disk := dir + ".ext4"
	f, err := os.Create(disk)
	if err != nil {
		return "", nil, err
	}
	err = errors.Join(f.Truncate(16<<30), f.Close())
	for _, args := range [][]string{
		{"mkfs.ext4", "-q", "-E", "lazy_itable_init=1,nodiscard", disk},
		{"mount", "-o", "loop,noinit_itable", disk, dir},
	} {
		if err == nil {
			err = l.call(l.me(), args...).run(ctx).err()
		}
	}
	if err != nil {
		_ = os.Remove(disk) // it could not be used
		return dir, remove, nil
	}
	if err := os.Chmod(dir, 0o777); err != nil { // for the ordinary user
		return "", nil, errors.Join(err, unix.Unmount(dir, unix.MNT_DETACH), os.Remove(disk))
	}
	return dir, func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			l.say("unmount " + dir + ": " + err.Error())
		}
		if err := os.Remove(disk); err != nil {
			l.say(err.Error())
		}
		remove()
	}, nil
}

// A writing is a call that writes into a new output folder.
type writing struct {
	setup func(ctx context.Context, dir string) error // before, not measured; may be nil
	args  func(dir string) []string
	env   func(dir string) []string        // further variables; may be nil
	check func(dir string) (string, error) // looks at what was written, and says what is to be noted; may be nil
}

// writes is a contender that writes into an output folder that is new each time.
func (l *lab) writes(name string, p person, w writing) contender {
	args := w.args("OUT")
	c := contender{name: name, how: l.show(args)}
	switch {
	case args[0] == "":
		c.missing = "apptainer"
		c.how = ""
	case args[0] != l.apptain:
		c.missing = missing(args[0])
	}
	c.run = func(ctx context.Context) (measure, error) {
		dir, release, err := l.output(ctx)
		if err != nil {
			return measure{}, err
		}
		defer release()
		if w.setup != nil {
			if err := w.setup(ctx, dir); err != nil {
				return measure{}, err
			}
		}
		c := l.call(p, w.args(dir)...)
		c.Dir = dir
		c.Env = append(c.Env, "TMPDIR="+dir, "APPTAINER_TMPDIR="+dir)
		if w.env != nil {
			c.Env = append(c.Env, w.env(dir)...)
		}
		o := l.run(ctx, c)
		if o.Error != "" {
			return measure{}, o.err()
		}
		m := took(o.Took)
		if w.check != nil {
			m.note, err = w.check(dir)
		}
		m.note = join(m.note, memoryNote(o.Memory))
		return m, err
	}
	return c
}

func join(notes ...string) string {
	var out []string
	for _, n := range notes {
		if n != "" {
			out = append(out, n)
		}
	}
	return strings.Join(out, ", ")
}

func memoryNote(bytes int64) string {
	if bytes == 0 {
		return ""
	}
	return fmt.Sprintf("%d MB of memory", bytes/1e6)
}

// sizeNote is the size of a file.
func sizeNote(path string) (string, error) {
	st, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d MB written", st.Size()/1e6), nil
}

// until asks something every few milliseconds until it is so, and tells whether it came to be.
func until(ctx context.Context, limit time.Duration, so func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(4 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}
