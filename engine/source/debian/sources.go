package debian

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"slices"
	"strings"

	"carrel/internal/pattern"
)

// Source is one suite of one archive: a line of apt's sources.list.
type Source struct {
	URI        string // the archive's root: http, https or file, without a slash at the end
	Suite      string
	Components []string
	// Architectures limits the source to these; empty means no limit.
	Architectures []string
	// SignedBy are keyring files on this machine, the only ones whose keys count for this source; empty: any known key.
	SignedBy []string
	// SignedByKeys are fingerprints in upper-case hexadecimal; when given, one of these keys must have signed.
	SignedByKeys []string
	// Keys is a keyring that stands in the sources file itself.
	Keys []byte
	// Trusted skips the signature, IgnoreDates the expiry of the index; both as the host's own file says.
	Trusted, IgnoreDates bool
	// Optional sources are left out when the mirror has no such suite.
	Optional bool
}

// HostSources reads the apt sources of a machine from its /etc/apt: sources.list, sources.list.d/*.list and *.sources
// (sources.list(5)), with what its apt.conf says about their age. Files that cannot be read or understood are left out and told in the error, which may come together
// with sources. Without any file the result is empty.
func HostSources(etcApt fs.FS) ([]Source, error) {
	names := []string{"sources.list"}
	for _, pattern := range []string{"sources.list.d/*.list", "sources.list.d/*.sources"} {
		found, err := fs.Glob(etcApt, pattern)
		if err != nil {
			return nil, fmt.Errorf("list apt sources: %w", err)
		}
		names = append(names, found...)
	}
	var all []Source
	var problems []error
	for _, name := range names {
		f, err := etcApt.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("read apt sources: %w", err))
			continue
		}
		parse := ParseSourcesList
		if strings.HasSuffix(name, ".sources") {
			parse = ParseSources
		}
		sources, err := parse(f)
		f.Close()
		if err != nil {
			problems = append(problems, fmt.Errorf("read apt sources %s: %w", name, err))
		}
		all = append(all, sources...)
	}
	if ignoresDates(etcApt) {
		for i := range all {
			all[i].IgnoreDates = true
		}
	}
	return all, errors.Join(problems...)
}

var checkValidUntil = pattern.New(`(?im)^\s*Acquire::Check-Valid-Until\s+"?(\w+)"?\s*;`)

// ignoresDates tells that this machine's apt is told to accept old indexes (apt.conf(5)), as where the mirror is a
// snapshot of another day. Only the setting's usual form, in a line of its own, is understood.
func ignoresDates(etcApt fs.FS) bool {
	names, err := fs.Glob(etcApt, "apt.conf.d/*")
	if err != nil {
		return false
	}
	ignores := false
	for _, name := range append(names, "apt.conf") {
		b, err := fs.ReadFile(etcApt, name)
		if err != nil {
			continue // a folder, or a file only root may read
		}
		for _, m := range checkValidUntil.FindAllSubmatch(b, -1) {
			ignores = isNo(string(m[1]))
		}
	}
	return ignores
}

// ParseSourcesList reads the one-line format: "deb [option=value …] URI SUITE COMPONENT …". Lines of other types
// (deb-src) and of methods other than http, https and file are left out.
func ParseSourcesList(r io.Reader) ([]Source, error) {
	var all []Source
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		kind, rest := cutField(line)
		if kind == "" || kind == "deb-src" {
			continue
		}
		if kind != "deb" {
			return all, fmt.Errorf("line %d: unknown type %.20q", n, kind)
		}
		var s Source
		if strings.HasPrefix(rest, "[") {
			options, after, ok := strings.Cut(rest[1:], "]")
			if !ok {
				return all, fmt.Errorf("line %d: options without ]", n)
			}
			for _, option := range strings.Fields(options) {
				name, value, _ := strings.Cut(option, "=")
				s.option(strings.TrimRight(name, "+-"), strings.ReplaceAll(value, ",", " "))
			}
			rest = after
		}
		f := strings.Fields(rest)
		if len(f) < 2 {
			return all, fmt.Errorf("line %d: no URI and suite", n)
		}
		all = s.expand(all, f[:1], f[1:2], f[2:])
	}
	return all, lines.Err()
}

// ParseSources reads the deb822 format of *.sources files. Stanzas that are not enabled and types other than deb are
// left out.
func ParseSources(r io.Reader) ([]Source, error) {
	var all []Source
	paragraphs := newControlReader(r)
	paragraphs.comments = true
	for {
		b, err := paragraphs.next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		p, err := parseParagraph(b)
		if err != nil {
			return all, err
		}
		if isNo(p.get("Enabled")) || !slices.Contains(strings.Fields(p.get("Types")), "deb") {
			continue
		}
		var s Source
		for name, field := range map[string]string{"arch": "Architectures", "signed-by": "Signed-By", "trusted": "Trusted", "check-valid-until": "Check-Valid-Until"} {
			if value := p.get(field); value != "" {
				s.option(name, value)
			}
		}
		all = s.expand(all, strings.Fields(p.get("URIs")), strings.Fields(p.get("Suites")), strings.Fields(p.get("Components")))
	}
}

// option takes one of apt's options that matter here by its name in the one-line format.
func (s *Source) option(name, value string) {
	switch strings.ToLower(name) {
	case "arch":
		s.Architectures = strings.Fields(value)
	case "trusted":
		s.Trusted = isYes(value)
	case "check-valid-until":
		s.IgnoreDates = isNo(value)
	case "signed-by":
		if strings.Contains(value, "-----BEGIN PGP") {
			s.Keys = embeddedKey(value)
			return
		}
		for _, one := range strings.Fields(value) {
			if strings.HasPrefix(one, "/") {
				s.SignedBy = append(s.SignedBy, one)
			} else {
				s.SignedByKeys = append(s.SignedByKeys, strings.ToUpper(strings.TrimSuffix(one, "!")))
			}
		}
	}
}

// embeddedKey undoes the indentation of a key in a deb822 field, whose empty lines are written " .".
func embeddedKey(value string) []byte {
	var b strings.Builder
	for line := range strings.SplitSeq(strings.TrimSpace(value), "\n") {
		line = strings.TrimSpace(line)
		if line == "." {
			line = ""
		}
		b.WriteString(line + "\n")
	}
	return []byte(b.String())
}

// expand appends a source for each pair of URI and suite.
func (s Source) expand(all []Source, uris, suites, components []string) []Source {
	for _, uri := range uris {
		uri = strings.TrimRight(uri, "/")
		if checkMirror(uri) != nil {
			continue
		}
		for _, suite := range suites {
			if strings.HasSuffix(suite, "/") {
				continue // a flat repository, which holds no distribution
			}
			one := s
			one.URI, one.Suite, one.Components = uri, suite, components
			all = append(all, one)
		}
	}
	return all
}

func cutField(s string) (first, rest string) {
	s = strings.TrimLeft(s, " \t")
	i := strings.IndexAny(s, " \t")
	if i < 0 {
		return strings.TrimRight(s, "\r"), ""
	}
	return s[:i], strings.TrimSpace(s[i:])
}

func isYes(s string) bool {
	return slices.Contains([]string{"yes", "true", "1", "on"}, strings.ToLower(s))
}
func isNo(s string) bool {
	return slices.Contains([]string{"no", "false", "0", "off"}, strings.ToLower(s))
}

// checkMirror accepts the URLs a mirror can have.
func checkMirror(mirror string) error {
	u, err := url.Parse(mirror)
	if err != nil {
		return fmt.Errorf("read mirror: %w", err)
	}
	switch {
	case u.Scheme == "file" && u.Path != "":
	case (u.Scheme == "http" || u.Scheme == "https") && u.Host != "":
	default:
		return fmt.Errorf("read mirror %s: only http, https and file URLs can be used", mirror)
	}
	return nil
}
