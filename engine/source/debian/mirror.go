package debian

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Where Debian and Ubuntu are looked for when nothing names a mirror. Ubuntu's main mirror has two architectures.
const (
	defaultMirror = "http://ftp.debian.org/debian"
	ubuntuMirror  = "http://archive.ubuntu.com/ubuntu"
	ubuntuPorts   = "http://ports.ubuntu.com/ubuntu-ports"
)

// archives are the names, by domain, of mirrors of what is no longer kept up: old indexes, signed by keys that may have expired.
var archives = map[string][]string{"debian.org": {"archive", "snapshot"}, "ubuntu.com": {"old-releases"}}

// IsArchive tells whether a mirror is one of those that keep old releases as they were, so that expired indexes and keys
// are what is to be expected there.
func IsArchive(mirror string) bool {
	u, err := url.Parse(mirror)
	if err != nil {
		return false
	}
	name, domain, _ := strings.Cut(u.Hostname(), ".")
	return slices.Contains(archives[domain], name)
}

// suitesOf lists the suites of a distribution that are known by name, so that a sources file can be told to be its.
var suitesOf = map[string][]string{
	"debian": strings.Fields(`stable oldstable oldoldstable testing unstable experimental sid rc-buggy
		jessie stretch buster bullseye bookworm trixie forky duke wheezy squeeze lenny`),
	"ubuntu": strings.Fields(`devel trusty xenial bionic focal jammy noble resolute utopic vivid wily yakkety zesty artful
		cosmic disco eoan groovy hirsute impish kinetic lunar mantic oracular plucky questing`),
}

// suffixes of suites that complete a release. Backports and proposed updates are not installed unasked.
var suffixes = []string{"-updates", "-security", "/updates"}

// splitSuite parts "bookworm-security" into the release and what completes it.
func splitSuite(suite string) (base, suffix string) {
	for _, s := range suffixes {
		if base, ok := strings.CutSuffix(suite, s); ok {
			return base, s
		}
	}
	return suite, ""
}

// distributionOf names the distribution a suite is of: "debian", "ubuntu", or "" for a name not known.
func distributionOf(suite string) string {
	base, _ := splitSuite(suite)
	for distribution, suites := range suitesOf {
		if slices.Contains(suites, base) {
			return distribution
		}
	}
	return ""
}

// distribution tells what a host's source is of, by its suite or, failing that, by its address.
func (s Source) distribution() string {
	if d := distributionOf(s.Suite); d != "" {
		return d
	}
	for d := range suitesOf {
		if strings.HasSuffix(s.URI, "/"+d) || strings.HasSuffix(s.URI, "/"+d+"-security") {
			return d
		}
	}
	return ""
}

// Choice is what the archives to read are chosen from.
type Choice struct {
	Suite      string
	Arch       string   // Debian's name of the architecture
	Components []string // empty means main
	MirrorURL  string   // the definition's; "" when it names none
	Configured string   // the mirror of the configuration, for suites that are not Ubuntu's; "" when it names none
	Host       []Source // the host's own sources, see HostSources
}

// ChooseSources decides which archives a suite is read from. The first of these that is there: the definition's mirror;
// the configuration's; the host's own sources of the same distribution, with the updates and security suites they list
// (those of another release of the distribution serve too, with the suite's name put in); Debian's mirror, or Ubuntu's. The
// first source of the result is the suite itself.
func ChooseSources(c Choice) ([]Source, error) {
	if c.Suite == "" || strings.ContainsAny(c.Suite, " \t\n") || slices.Contains(strings.Split(c.Suite, "/"), "..") {
		return nil, fmt.Errorf("choose mirror: no suite can be named %q", c.Suite)
	}
	components := c.Components
	if len(components) == 0 {
		components = []string{"main"}
	}
	ubuntu := distributionOf(c.Suite) == "ubuntu"
	if ubuntu {
		c.Configured = ""
	}
	for _, mirror := range []string{c.MirrorURL, c.Configured} {
		if mirror == "" {
			continue
		}
		mirror = strings.TrimRight(mirror, "/")
		if err := checkMirror(mirror); err != nil {
			return nil, err
		}
		return []Source{{URI: mirror, Suite: c.Suite, Components: components}}, nil
	}
	sources := hostSources(c)
	if len(sources) == 0 {
		mirror := defaultMirror
		switch {
		case ubuntu && (c.Arch == "amd64" || c.Arch == "i386"):
			mirror = ubuntuMirror
		case ubuntu:
			mirror = ubuntuPorts
		}
		sources = []Source{
			{URI: mirror, Suite: c.Suite},
			{URI: mirror, Suite: c.Suite + "-updates", Optional: true},
		}
		if ubuntu { // whose mirrors have it beside the others
			sources = append(sources, Source{URI: mirror, Suite: c.Suite + "-security", Optional: true})
		}
	}
	for i := range sources {
		sources[i].Components = components
		sources[i].Architectures = nil
	}
	return sources, nil
}

// hostSources finds the host's sources that serve a suite: those of the very release when it is listed, otherwise
// those of another release of the same distribution, renamed.
func hostSources(c Choice) []Source {
	serves := func(s Source) bool {
		return len(s.Architectures) == 0 || slices.Contains(s.Architectures, c.Arch)
	}
	collect := func(release string) (found []Source) {
		seen := map[string]bool{}
		for _, suffix := range append([]string{""}, suffixes...) {
			for _, s := range c.Host {
				if !serves(s) || s.Suite != release+suffix || seen[suffix] {
					continue
				}
				seen[suffix] = true // one mirror is enough for each
				s.Suite = c.Suite + suffix
				s.Optional = suffix != ""
				found = append(found, s)
			}
		}
		if !seen[""] {
			return nil
		}
		return found
	}
	if exact := collect(c.Suite); exact != nil {
		return exact
	}
	wanted := distributionOf(c.Suite)
	if wanted == "" {
		return nil
	}
	for _, s := range c.Host {
		base, suffix := splitSuite(s.Suite)
		if suffix == "" && serves(s) && s.distribution() == wanted && !strings.Contains(base, "-") {
			return collect(s.Suite)
		}
	}
	return nil
}
