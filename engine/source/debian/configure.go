package debian

import (
	"context"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
)

// Command is what a Runner runs.
type Command struct {
	Args  []string  // Args[0] is a path in the root
	Env   []string  // the whole environment, NAME=value
	Dir   string    // the working directory in the root
	Stdin io.Reader // nil is an empty input
	// NoSync tells that nothing needs to reach the disk before the command ends: fsync and its like may be answered
	// with success and without work. dpkg calls it several times for each package.
	NoSync bool
}

// Runner runs commands in a root as in a container, as its root user, and returns when they have ended: nil for an exit
// status of 0. Output goes where the runner's maker wants it.
type Runner interface {
	Run(ctx context.Context, c Command) error
}

// ConfigureError tells that the packages' own scripts did not bring all packages to work.
type ConfigureError struct {
	Packages []string // those that are not installed and configured, each with its state
	Err      error    // the runner's error; nil when dpkg told success all the same
}

func (e *ConfigureError) Error() string {
	s := "configure packages"
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	if len(e.Packages) > 0 {
		shown := e.Packages[:min(5, len(e.Packages))]
		s += " (" + strings.Join(shown, ", ")
		if more := len(e.Packages) - len(shown); more > 0 {
			s += fmt.Sprintf(" and %d more", more)
		}
		s += ")"
	}
	return s
}

func (e *ConfigureError) Unwrap() error { return e.Err }

// Hint says what to do about it.
func (e *ConfigureError) Hint() string {
	return "the log's last lines say which script failed and why"
}

const (
	policyFile = "usr/sbin/policy-rc.d"
	// policyText tells invoke-rc.d(8) that no service may be started: 101 is "action forbidden by policy".
	policyText  = "#!/bin/sh\nexit 101\n"
	archivesDir = "var/cache/apt/archives"
)

// configure brings all unpacked packages to the state "installed", in one run of a shell in the root:
// the preinst scripts of the base packages, which were unpacked before anything could run; dpkg for everything that can be
// configured then; and dpkg for the packages, seldom any, whose preinst has work to do before they are unpacked.
func (p *Prepared) configure(ctx context.Context, root *rootDir, u *unpacker, runner Runner, s *selection, packages []*unpacked) error {
	p.opts.event(Event{Kind: EventConfigure, Total: len(packages)})
	late := slices.DeleteFunc(slices.Clone(packages), func(p *unpacked) bool { return !p.deferred })
	for _, pkg := range late {
		if err := copyIn(root, pkg.file, path.Join(archivesDir, pkg.debName())); err != nil {
			return fmt.Errorf("copy package %s: %w", pkg.pkg.Name, err)
		}
	}
	policy := !root.exists(policyFile)
	if policy {
		if err := root.writeFile(policyFile, []byte(policyText), 0o755); err != nil {
			return fmt.Errorf("forbid services: %w", err)
		}
	}
	env := []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C", "LANG=C",
		"DEBIAN_FRONTEND=noninteractive", "DEBCONF_NONINTERACTIVE_SEEN=true", "DEBCONF_NOWARNINGS=yes",
	}
	if !p.spec.SourceDate.IsZero() {
		env = append(env, fmt.Sprintf("SOURCE_DATE_EPOCH=%d", p.spec.SourceDate.Unix()))
	}
	runErr := runner.Run(ctx, Command{
		Args:   []string{"/bin/sh", "-e", "-s"},
		Env:    env,
		Dir:    "/",
		Stdin:  strings.NewReader(p.script(s, packages, late)),
		NoSync: true,
	})
	if ctx.Err() != nil {
		return fmt.Errorf("configure packages: %w", context.Cause(ctx))
	}
	if policy {
		if err := root.remove(policyFile); err != nil {
			return fmt.Errorf("allow services: %w", err)
		}
	}
	states, err := installed(root)
	if err != nil {
		return &ConfigureError{Err: cmpErr(runErr, err)}
	}
	var unfinished []string
	for name := range s.packages {
		if state := states[name]; state != "install ok installed" {
			unfinished = append(unfinished, fmt.Sprintf("%s: %s", name, strings.TrimPrefix(state, "install ok ")))
		}
	}
	if runErr != nil || len(unfinished) > 0 {
		slices.Sort(unfinished)
		return &ConfigureError{Packages: unfinished, Err: runErr}
	}
	if err := removeTraces(root, u); err != nil {
		return fmt.Errorf("remove traces of the bootstrap: %w", err)
	}
	return nil
}

// debName is the name a package file has in apt's cache, in which a colon would be an architecture's.
func (p *unpacked) debName() string {
	return p.pkg.Name + "_" + strings.ReplaceAll(p.pkg.Version, ":", "%3a") + "_" + p.pkg.Arch + ".deb"
}

// script is what the shell in the root reads.
func (p *Prepared) script(s *selection, packages, late []*unpacked) string {
	var b strings.Builder
	// The users and groups a bootstrap begins with, where base-passwd's preinst does not make them itself.
	first := slices.IndexFunc(packages, func(p *unpacked) bool { return p.pkg.Name == "base-passwd" })
	ordered := slices.Clone(packages)
	if first > 0 {
		ordered = slices.Concat(packages[first:first+1], packages[:first], packages[first+1:])
	}
	for _, pkg := range ordered {
		if pkg.deferred || trivialPreinst(pkg.members["preinst"].data) {
			continue
		}
		// The environment dpkg gives a maintainer script (dpkg(1), "Internal environment").
		// DEBCONF_PACKAGE says to debconf whose questions are asked, which it takes from a file of dpkg's otherwise.
		fmt.Fprintf(&b, "DEBCONF_PACKAGE=%[1]s PERL_DL_NONLAZY=1 DPKG_MAINTSCRIPT_PACKAGE=%[1]s DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT=1 DPKG_MAINTSCRIPT_ARCH=%[2]s DPKG_MAINTSCRIPT_NAME=preinst "+
			"DPKG_ROOT= DPKG_ADMINDIR=/var/lib/dpkg DPKG_RUNNING_VERSION=%[3]s %[4]s install </dev/null\n",
			pkg.pkg.Name, pkg.pkg.Arch, quote(s.version("dpkg")), quote("/"+infoFolder+"/"+pkg.infoName()+".preinst"))
	}
	for _, name := range []string{"passwd", "group"} {
		fmt.Fprintf(&b, "[ -e /etc/%[1]s ] || [ ! -e /usr/share/base-passwd/%[1]s.master ] || cp /usr/share/base-passwd/%[1]s.master /etc/%[1]s\n", name)
	}
	const dpkg = "dpkg --force-unsafe-io "
	for _, step := range s.plan(packages, late) {
		for _, names := range [][]string{step.base, step.configure} {
			if len(names) > 0 {
				b.WriteString(dpkg + "--configure " + strings.Join(names, " ") + " </dev/null\n")
			}
		}
		if len(step.unpack) > 0 {
			b.WriteString(dpkg + "--unpack")
			for _, pkg := range step.unpack {
				b.WriteString(" " + quote("/"+archivesDir+"/"+pkg.debName()))
			}
			b.WriteString(" </dev/null\n")
		}
	}
	if len(late) > 0 {
		// Triggers that a later step pulled of packages an earlier one configured.
		b.WriteString(dpkg + "--configure -a </dev/null\n")
	}
	return b.String()
}

// step is a part of a plan: packages to configure and then packages to unpack.
type step struct {
	base      []string // by a dpkg of its own: it takes packages without dependencies before all others
	configure []string
	unpack    []*unpacked
}

// plan says in which order packages are configured, and those that were deferred unpacked: each when those it
// Pre-Depends on are configured (Debian Policy 7.2). The variant's own packages, on whose essential ones all others count
// without saying so, come first.
func (s *selection) plan(packages, late []*unpacked) []step {
	missing := map[*Package]bool{} // not unpacked yet
	for _, p := range late {
		missing[p.pkg] = true
	}
	ordered := s.byDependency(packages)
	done := map[*Package]bool{} // configured
	var steps []step
	for rest := late; ; {
		var now step
		for _, p := range s.ready(ordered, missing) {
			if !done[p] {
				done[p] = true
				if s.base[p.Name] {
					now.base = append(now.base, p.Name)
					continue
				}
				now.configure = append(now.configure, p.Name)
			}
		}
		if len(rest) == 0 {
			return append(steps, now)
		}
		var later []*unpacked
		for _, p := range rest {
			can := true
			s.needs(p.pkg.preDepends, func(satisfying []*Package) {
				can = can && slices.ContainsFunc(satisfying, func(q *Package) bool { return done[q] })
			})
			if can {
				now.unpack = append(now.unpack, p)
			} else {
				later = append(later, p)
			}
		}
		if len(now.unpack) == 0 {
			now.unpack, later = s.byDependency(rest), nil // a circle; dpkg says what is wrong with it
		}
		for _, p := range now.unpack {
			delete(missing, p.pkg)
		}
		steps = append(steps, now)
		rest = later
	}
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func (s *selection) version(name string) string {
	if p := s.packages[name]; p != nil {
		return p.Version
	}
	return ""
}

// trivialPreinst tells that a preinst does nothing on a first installation: there is none, or it only calls
// dpkg-maintscript-helper(1), whose tasks all begin with an older version.
func trivialPreinst(script []byte) bool {
	for line := range strings.SplitSeq(string(script), "\n") {
		line = strings.TrimSpace(line)
		switch {
		case line == "", line == "set -e", line == "exit 0", strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "dpkg-maintscript-helper ") && strings.HasSuffix(line, ` -- "$@"`) && !strings.ContainsAny(line, ";&|`<>") && !strings.Contains(line, "$("):
		default:
			return false
		}
	}
	return true
}

// needs calls f for each group of a relationship field that chosen packages satisfy, with those packages.
func (s *selection) needs(field string, f func(satisfying []*Package)) {
	groups, err := ParseRelations(field)
	if err != nil {
		return // it was parsed when the package was chosen
	}
	for _, alternatives := range groups {
		var satisfying []*Package
		for _, r := range alternatives {
			if q := s.packages[r.Name]; q != nil && r.AllowsVersion(q.Version) {
				satisfying = append(satisfying, q)
			}
			for _, v := range s.provided[r.Name] {
				if v.allows(r) {
					satisfying = append(satisfying, v.pkg)
				}
			}
		}
		if len(satisfying) > 0 {
			f(satisfying)
		}
	}
}

// allNeeds is the packages' Pre-Depends and Depends together.
func (p *Package) allNeeds() string { return p.preDepends + "," + p.depends }

// ready are the packages that can be configured while some are missing: those that need none of these, themselves or
// through others.
func (s *selection) ready(packages []*unpacked, missing map[*Package]bool) []*Package {
	blocked := maps.Clone(missing)
	for changed := true; changed; {
		changed = false
		for _, p := range packages {
			if blocked[p.pkg] {
				continue
			}
			s.needs(p.pkg.allNeeds(), func(satisfying []*Package) {
				if !slices.ContainsFunc(satisfying, func(q *Package) bool { return !blocked[q] }) {
					blocked[p.pkg], changed = true, true
				}
			})
		}
	}
	var free []*Package
	for _, p := range packages {
		if !blocked[p.pkg] {
			free = append(free, p.pkg)
		}
	}
	return free
}

// byDependency orders packages so that each follows those it needs, as far as they do not need each other.
func (s *selection) byDependency(packages []*unpacked) []*unpacked {
	byPackage := map[*Package]*unpacked{}
	for _, p := range packages {
		byPackage[p.pkg] = p
	}
	var ordered []*unpacked
	seen := map[*Package]bool{}
	var visit func(p *Package)
	visit = func(p *Package) {
		if seen[p] {
			return
		}
		seen[p] = true
		s.needs(p.allNeeds(), func(satisfying []*Package) {
			for _, q := range satisfying {
				visit(q)
			}
		})
		if u := byPackage[p]; u != nil {
			ordered = append(ordered, u)
		}
	}
	for _, p := range packages {
		visit(p.pkg)
	}
	return ordered
}
