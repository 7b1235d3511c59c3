package debian

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Variant says which packages a root begins with.
type Variant string

const (
	// Minbase is Essential and required packages and apt: debootstrap's and mmdebstrap's minbase.
	Minbase Variant = "minbase"
	// Essential is the packages marked essential alone: mmdebstrap's variant of that name.
	Essential Variant = "essential"
)

// selection is a set of packages that can be installed together, dependencies included.
type selection struct {
	u        *universe
	packages map[string]*Package
	order    []*Package             // in the order they were chosen
	provided map[string][]provider  // by virtual name, of the chosen
	against  map[string][]objection // by the name objected to
	base     map[string]bool        // the variant's own packages, without what is included: unpacked before anything is configured
	// essential are the members of the closure of Essential alone.
	essential map[string]bool
	manual    map[string]bool // asked for by name or priority, not only needed by others
}

// objection is a Conflicts or Breaks of a chosen package.
type objection struct {
	by       *Package
	field    string
	relation Relation
}

// resolve chooses the packages of a variant, with what is included and everything they depend on.
func resolve(u *universe, variant Variant, include []string) (*selection, error) {
	s := &selection{
		u: u, packages: map[string]*Package{}, provided: map[string][]provider{}, against: map[string][]objection{},
		base: map[string]bool{}, essential: map[string]bool{}, manual: map[string]bool{},
	}
	var essential, required []string
	for name, p := range u.packages {
		switch {
		case p.Essential:
			essential = append(essential, name)
		case p.Priority == "required" && variant == Minbase:
			required = append(required, name)
		}
	}
	if len(essential) == 0 {
		return nil, fmt.Errorf("resolve packages: %s has no essential packages", strings.Join(u.suites, ", "))
	}
	switch variant {
	case Minbase:
		required = append(required, "apt")
	case Essential:
	default:
		return nil, fmt.Errorf("resolve packages: unknown variant %q", variant)
	}
	slices.Sort(essential)
	slices.Sort(required)

	// What is asked for by name is known first, so that an alternative it satisfies is not satisfied otherwise.
	asked := map[string]bool{}
	for _, name := range include {
		asked[name] = true
	}
	closure := func(roots []string) error {
		var queue []*Package
		for _, name := range roots {
			p, ok := u.packages[name]
			if !ok {
				return s.missing(name, name, "")
			}
			if s.packages[name] == nil {
				if err := s.choose(p); err != nil {
					return err
				}
				queue = append(queue, p)
			}
			s.manual[name] = true
		}
		for len(queue) > 0 {
			p := queue[0]
			queue = queue[1:]
			for _, field := range []string{p.preDepends, p.depends} {
				relations, err := ParseRelations(field)
				if err != nil {
					return fmt.Errorf("resolve packages: %s: %w", p.Name, err)
				}
				for _, alternatives := range relations {
					chosen, err := s.satisfy(p, alternatives, asked)
					if err != nil {
						return err
					}
					if chosen != nil {
						queue = append(queue, chosen)
					}
				}
			}
		}
		return nil
	}
	if err := closure(essential); err != nil {
		return nil, err
	}
	for name := range s.packages {
		s.essential[name], s.base[name] = true, true
	}
	if err := closure(required); err != nil {
		return nil, err
	}
	for name := range s.packages {
		s.base[name] = true
	}
	if err := closure(include); err != nil {
		return nil, err
	}
	return s, nil
}

// satisfy makes sure one of the alternatives is chosen and returns the package it chose for it, nil when one already
// was. The first alternative that can be had is taken.
func (s *selection) satisfy(by *Package, alternatives Alternatives, asked map[string]bool) (*Package, error) {
	for _, r := range alternatives {
		if s.satisfied(r) {
			return nil, nil
		}
	}
	var conflict error
	for _, onlyAsked := range []bool{true, false} {
		for _, r := range alternatives {
			for _, p := range s.candidates(r) {
				if onlyAsked && !asked[p.Name] {
					continue
				}
				if err := s.choose(p); err != nil {
					if conflict == nil {
						conflict = err
					}
					continue
				}
				return p, nil
			}
		}
	}
	if conflict != nil {
		return nil, conflict
	}
	return nil, s.missing(alternatives[0].Name, alternatives.String(), by.Name)
}

// satisfied tells whether a chosen package satisfies the relation, by its name or by what it provides
// (Debian Policy 7.5: a relation with a version is satisfied by a versioned Provides only).
func (s *selection) satisfied(r Relation) bool {
	if p := s.packages[r.Name]; p != nil && r.AllowsVersion(p.Version) {
		return true
	}
	for _, provider := range s.provided[r.Name] {
		if provider.allows(r) {
			return true
		}
	}
	return false
}

func (p provider) allows(r Relation) bool {
	return r.Op == "" || p.version != "" && r.AllowsVersion(p.version)
}

// candidates are the packages that satisfy a relation: the one of that name, then those that provide it, the most
// important first.
func (s *selection) candidates(r Relation) []*Package {
	var found []*Package
	if r.Arch != "" && r.Arch != "any" && r.Arch != "native" {
		return nil
	}
	if p, ok := s.u.packages[r.Name]; ok && r.AllowsVersion(p.Version) {
		found = append(found, p)
	}
	var virtual []*Package
	for _, provider := range s.u.providers[r.Name] {
		if provider.allows(r) && provider.pkg.Name != r.Name {
			virtual = append(virtual, provider.pkg)
		}
	}
	slices.SortFunc(virtual, func(a, b *Package) int {
		return cmp.Or(cmp.Compare(importance(a), importance(b)), cmp.Compare(a.Name, b.Name))
	})
	return append(found, virtual...)
}

// importance orders by Essential and the priorities of Debian Policy 2.5; 0 is the most important.
func importance(p *Package) int {
	if p.Essential {
		return 0
	}
	if i := slices.Index([]string{"required", "important", "standard", "optional"}, p.Priority); i >= 0 {
		return i + 1
	}
	return 5
}

// choose adds a package unless it or a chosen one objects.
func (s *selection) choose(p *Package) error {
	var mine []objection
	for _, f := range []struct{ name, value string }{{"Conflicts", p.conflicts}, {"Breaks", p.breaks}} {
		relations, err := ParseRelations(f.value)
		if err != nil {
			return fmt.Errorf("resolve packages: %s: %s: %w", p.Name, f.name, err)
		}
		for _, alternatives := range relations {
			for _, r := range alternatives {
				mine = append(mine, objection{by: p, field: f.name, relation: r})
			}
		}
	}
	provides, err := ParseRelations(p.provides)
	if err != nil {
		return fmt.Errorf("resolve packages: %s: Provides: %w", p.Name, err)
	}
	for _, o := range mine {
		if other := s.packages[o.relation.Name]; other != nil && o.relation.AllowsVersion(other.Version) {
			return o.conflict(p, other)
		}
		for _, provider := range s.provided[o.relation.Name] {
			if provider.pkg != p && provider.allows(o.relation) {
				return o.conflict(p, provider.pkg)
			}
		}
	}
	for _, o := range s.against[p.Name] {
		if o.relation.AllowsVersion(p.Version) {
			return o.conflict(o.by, p)
		}
	}
	for _, alternatives := range provides {
		for _, r := range alternatives {
			for _, o := range s.against[r.Name] {
				if (provider{version: r.Version}).allows(o.relation) {
					return o.conflict(o.by, p)
				}
			}
		}
	}

	s.packages[p.Name] = p
	s.order = append(s.order, p)
	for _, o := range mine {
		s.against[o.relation.Name] = append(s.against[o.relation.Name], o)
	}
	for _, alternatives := range provides {
		for _, r := range alternatives {
			s.provided[r.Name] = append(s.provided[r.Name], provider{pkg: p, version: r.Version})
		}
	}
	return nil
}

func (o objection) conflict(p, with *Package) error {
	return &ConflictError{Package: p.Name, Field: o.field, Relation: o.relation.String(), With: with.Name}
}

func (s *selection) missing(name, wanted, by string) error {
	return &MissingError{Wanted: wanted, By: by, Suites: s.u.suites, Suggestions: s.u.similar(name)}
}

// similar finds up to three package names that may have been meant.
func (u *universe) similar(name string) []string {
	type near struct {
		name     string
		distance int
	}
	limit := max(1, min(3, len(name)/2))
	var found []near
	for candidate := range u.packages {
		d := limit + 1
		if diff := len(candidate) - len(name); diff <= limit && diff >= -limit {
			d = editDistance(name, candidate)
		}
		if d > limit && len(name) > 2 && strings.HasPrefix(candidate, name) {
			d = limit + 1 + len(candidate) - len(name)
		} else if d > limit {
			continue
		}
		found = append(found, near{candidate, d})
	}
	slices.SortFunc(found, func(a, b near) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.name, b.name))
	})
	var names []string
	for _, n := range found[:min(3, len(found))] {
		names = append(names, n.name)
	}
	return names
}

// editDistance is Levenshtein's, over bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
