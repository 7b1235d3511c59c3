package debian

import (
	"fmt"
	"strings"
)

// CompareVersions orders two Debian version strings [epoch:]upstream[-revision] as dpkg does (deb-version(7), "Sorting
// algorithm"): -1, 0 or 1. A malformed version is compared as its text stands; nothing fails.
func CompareVersions(a, b string) int {
	aEpoch, aUp, aRev := splitVersion(a)
	bEpoch, bUp, bRev := splitVersion(b)
	if c := compareDigits(aEpoch, bEpoch); c != 0 {
		return c
	}
	if c := comparePart(aUp, bUp); c != 0 {
		return c
	}
	return comparePart(aRev, bRev)
}

// splitVersion cuts a version at its first colon and its last hyphen. A missing epoch or revision counts as 0.
func splitVersion(v string) (epoch, upstream, revision string) {
	if before, after, ok := strings.Cut(v, ":"); ok {
		epoch, v = before, after
	}
	if i := strings.LastIndexByte(v, '-'); i >= 0 {
		return epoch, v[:i], v[i+1:]
	}
	return epoch, v, ""
}

// weight orders the bytes of a non-digit part: '~' before the end of the part, letters before all the rest.
func weight(s string) int {
	if s == "" {
		return 0
	}
	switch c := s[0]; {
	case c >= '0' && c <= '9':
		return 0
	case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
		return int(c)
	case c == '~':
		return -1
	default:
		return int(c) + 256
	}
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// comparePart compares non-digit and digit stretches by turns, from left to right.
func comparePart(a, b string) int {
	for a != "" || b != "" {
		for a != "" && !isDigit(a[0]) || b != "" && !isDigit(b[0]) {
			wa, wb := weight(a), weight(b)
			if wa != wb {
				return sign(wa - wb)
			}
			// Equal weights that are not 0 mean both have a byte here; 0 would mean neither has a non-digit.
			a, b = a[1:], b[1:]
		}
		na, nb := digits(a), digits(b)
		if c := compareDigits(a[:na], b[:nb]); c != 0 {
			return c
		}
		a, b = a[na:], b[nb:]
	}
	return 0
}

func digits(s string) int {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return n
}

// compareDigits compares decimal numbers of any length.
func compareDigits(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	if len(a) != len(b) {
		return sign(len(a) - len(b))
	}
	return strings.Compare(a, b)
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}

// Relation is one term of a dependency field: a package name with, perhaps, a version it must have
// (Debian Policy 7.1). Op is "", "<<", "<=", "=", ">=" or ">>".
type Relation struct {
	Name    string
	Arch    string // the qualifier after a colon, as in "python3:any"; "" without one
	Op      string
	Version string
}

// String writes the relation as a control file does.
func (r Relation) String() string {
	s := r.Name
	if r.Arch != "" {
		s += ":" + r.Arch
	}
	if r.Op != "" {
		s += " (" + r.Op + " " + r.Version + ")"
	}
	return s
}

// AllowsVersion tells whether a version satisfies the relation; without an operator any does.
func (r Relation) AllowsVersion(version string) bool {
	if r.Op == "" {
		return true
	}
	c := CompareVersions(version, r.Version)
	switch r.Op {
	case "<<":
		return c < 0
	case "<=":
		return c <= 0
	case "=":
		return c == 0
	case ">=":
		return c >= 0
	case ">>":
		return c > 0
	}
	return false
}

// Alternatives are relations of which one is enough: "a | b".
type Alternatives []Relation

// String writes the alternatives as a control file does.
func (a Alternatives) String() string {
	parts := make([]string, len(a))
	for i, r := range a {
		parts[i] = r.String()
	}
	return strings.Join(parts, " | ")
}

// ParseRelations reads a relationship field of a binary package: "a (>= 1), b | c:any". An empty field gives none.
func ParseRelations(field string) ([]Alternatives, error) {
	var all []Alternatives
	for group := range strings.SplitSeq(field, ",") {
		if strings.TrimSpace(group) == "" {
			continue
		}
		var alternatives Alternatives
		for term := range strings.SplitSeq(group, "|") {
			r, err := parseRelation(term)
			if err != nil {
				return nil, err
			}
			alternatives = append(alternatives, r)
		}
		all = append(all, alternatives)
	}
	return all, nil
}

func parseRelation(term string) (Relation, error) {
	var r Relation
	text := strings.TrimSpace(term)
	name, rest, versioned := strings.Cut(text, "(")
	if versioned {
		inside, after, ok := strings.Cut(rest, ")")
		if !ok || strings.TrimSpace(after) != "" {
			return r, fmt.Errorf("parse relation %q: unbalanced parenthesis", text)
		}
		inside = strings.TrimSpace(inside)
		n := 0
		for n < len(inside) && strings.IndexByte("<>=", inside[n]) >= 0 {
			n++
		}
		r.Op, r.Version = inside[:n], strings.TrimSpace(inside[n:])
		switch r.Op {
		case "<": // deb-control's deprecated spellings mean the inclusive ones.
			r.Op = "<="
		case ">":
			r.Op = ">="
		case "<<", "<=", "=", ">=", ">>":
		default:
			return r, fmt.Errorf("parse relation %q: unknown operator %q", text, r.Op)
		}
		if r.Version == "" {
			return r, fmt.Errorf("parse relation %q: no version", text)
		}
	}
	r.Name, r.Arch, _ = strings.Cut(strings.TrimSpace(name), ":")
	if r.Name == "" || strings.ContainsAny(r.Name, " \t\n") {
		return r, fmt.Errorf("parse relation %q: not a package name", text)
	}
	return r, nil
}
