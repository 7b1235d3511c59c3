package debian

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Package is what is kept of one paragraph of a Packages index.
type Package struct {
	Name, Version, Arch string
	Priority            string
	Essential           bool
	// Filename is the package's path below the archive's root, Base that root.
	Base, Filename string
	SHA256         string // lower-case hexadecimal
	Size           int64  // of the package file, in bytes
	InstalledSize  int64  // in bytes, as its maker estimated it

	preDepends, depends, conflicts, breaks, provides string
}

// readPackages reads a Packages index as a stream and gives each package to add. Only a few fields are kept: the
// index of Debian's main component is 50 MB, of which this holds a third.
func readPackages(r io.Reader, add func(*Package) error) error {
	paragraphs := newControlReader(r)
	intern := map[string]string{} // priorities and architectures, of which there are few
	word := func(b []byte) string {
		s, ok := intern[string(b)]
		if !ok {
			s = string(b)
			intern[s] = s
		}
		return s
	}
	for {
		b, err := paragraphs.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read package index: %w", err)
		}
		p := &Package{}
		var bad error
		number := func(b []byte) int64 {
			n, err := strconv.ParseInt(string(b), 10, 64)
			if err != nil || n < 0 {
				bad = fmt.Errorf("not a size: %.40q", b)
			}
			return n
		}
		err = eachField(b, func(name, value []byte) bool {
			switch string(name) {
			case "Package":
				p.Name = string(value)
			case "Version":
				p.Version = string(value)
			case "Architecture":
				p.Arch = word(value)
			case "Priority":
				p.Priority = word(value)
			case "Essential":
				p.Essential = string(value) == "yes"
			case "Filename":
				p.Filename = string(value)
			case "SHA256":
				p.SHA256 = strings.ToLower(string(value))
			case "Size":
				p.Size = number(value)
			case "Installed-Size":
				p.InstalledSize = number(value) << 10
			case "Pre-Depends":
				p.preDepends = string(value)
			case "Depends":
				p.depends = string(value)
			case "Conflicts":
				p.conflicts = string(value)
			case "Breaks":
				p.breaks = string(value)
			case "Provides":
				p.provides = string(value)
			}
			return true
		})
		if err == nil {
			err = bad
		}
		if err == nil && !validName(p.Name) {
			err = fmt.Errorf("not a package name: %.60q", p.Name)
		}
		if err == nil {
			err = add(p)
		}
		if err != nil {
			return fmt.Errorf("read package index, line %d: %w", paragraphs.line, err)
		}
	}
}

// validName follows Debian Policy 5.6.7, with upper case and underscores let pass, as dpkg does. A valid name is also a
// harmless part of a path.
func validName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(isDigit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || i > 0 && (c == '+' || c == '-' || c == '.' || c == '_')) {
			return false
		}
	}
	return s != ""
}

// universe holds the newest version of every package of all sources.
type universe struct {
	packages  map[string]*Package
	providers map[string][]provider // by virtual name
	suites    []string
}

type provider struct {
	pkg     *Package
	version string // of a versioned Provides; ""
}

func newUniverse() *universe {
	return &universe{packages: map[string]*Package{}}
}

// add keeps a package when it is newer than the one known by the name. Of the same version the first source wins.
func (u *universe) add(p *Package) {
	if old, ok := u.packages[p.Name]; !ok || CompareVersions(p.Version, old.Version) > 0 {
		u.packages[p.Name] = p
	}
}

// index finds out who provides what. Call it after the last add.
func (u *universe) index() error {
	u.providers = map[string][]provider{}
	for _, p := range u.packages {
		if p.provides == "" {
			continue
		}
		relations, err := ParseRelations(p.provides)
		if err != nil {
			return fmt.Errorf("read package %s: Provides: %w", p.Name, err)
		}
		for _, alternatives := range relations {
			for _, r := range alternatives {
				u.providers[r.Name] = append(u.providers[r.Name], provider{pkg: p, version: r.Version})
			}
		}
	}
	return nil
}
