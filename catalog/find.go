package catalog

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"carrel/engine/card"
	"carrel/engine/definition"
	"carrel/internal/near"
)

// ErrNotFound is a name no source has.
var ErrNotFound = errors.New("not in the catalog")

// NotFoundError is a name no source has; it is ErrNotFound.
type NotFoundError struct {
	Name string
	// Near are the IDs of entries it may have been meant for.
	Near []string
}

// Error names it.
func (e *NotFoundError) Error() string { return "find " + e.Name + ": " + ErrNotFound.Error() }

// Hint names what may have been meant.
func (e *NotFoundError) Hint() string {
	if len(e.Near) == 0 {
		return "see what there is with carrel catalog ls"
	}
	return "did you mean " + strings.Join(e.Near, " or ") + "?"
}

// Unwrap is ErrNotFound.
func (e *NotFoundError) Unwrap() error { return ErrNotFound }

// List is all entries, by name and tag; of one name, those of earlier sources first.
func (c *Catalog) List() []*Entry { return slices.Clone(c.entries) }

// Find is the entry of a name, NAME or NAME:TAG, in the first source that has it. NAME alone is the entry without a tag,
// else the one tagged latest, else the last of its tags. Capitals do not matter unless two names differ in nothing else.
// The last part of a name with slashes is enough where only one has it, and SOURCE/NAME looks in one source only.
// The error is a *NotFoundError. The entry may be a broken one: see Entry.Err.
func (c *Catalog) Find(name string) (*Entry, error) {
	base, tag, tagged := strings.Cut(name, ":")
	exact := func(a, b string) bool { return a == b }
	for _, same := range []func(a, b string) bool{exact, strings.EqualFold} {
		if e := c.find(func(e *Entry) bool { return same(e.Name, base) }, tag, tagged); e != nil {
			return e, nil
		}
		if first, rest, ok := strings.Cut(base, "/"); ok {
			if e := c.find(func(e *Entry) bool { return same(e.Source.Name, first) && same(e.Name, rest) }, tag, tagged); e != nil {
				return e, nil
			}
		}
	}
	missing := &NotFoundError{Name: name}
	var parts []string // names whose last part it is
	if !strings.Contains(base, "/") {
		names := map[string]bool{}
		last := func(e *Entry) bool { return strings.EqualFold(path.Base(e.Name), base) }
		for _, e := range c.entries {
			if last(e) {
				names[e.Name] = true
			}
		}
		if len(names) == 1 {
			if e := c.find(last, tag, tagged); e != nil {
				return e, nil
			}
		}
		parts = slices.Sorted(maps.Keys(names))
	}
	var ids []string
	for _, e := range c.entries {
		ids = append(ids, e.ID())
	}
	ids = append(near.Names(name, ids), parts...)
	for _, e := range c.Search(strings.ReplaceAll(base, "-", " ")) {
		ids = append(ids, e.ID())
	}
	for _, id := range ids {
		if len(missing.Near) < 3 && !slices.Contains(missing.Near, id) {
			missing.Near = append(missing.Near, id)
		}
	}
	return nil, missing
}

// find is the entry of the wanted ones with a tag, or the best of them, in the first source that has one; nil for none.
func (c *Catalog) find(want func(*Entry) bool, tag string, tagged bool) *Entry {
	for i := range c.Sources {
		var best *Entry
		for _, e := range c.entries {
			if e.Source.Name != c.Sources[i].Name || e.Source.Kind != c.Sources[i].Kind || !want(e) {
				continue
			}
			if tagged && e.container != nil && slices.Contains(e.Versions, tag) {
				version := *e
				version.Tag = tag
				version.write(tag)
				return &version
			}
			if tagged && (e.Tag == tag || e.Tag == "" && tag == "latest" && best == nil) || !tagged && (best == nil || rank(e.Tag) >= rank(best.Tag)) {
				best = e
			}
		}
		if best != nil {
			return best
		}
	}
	return nil
}

// rank orders the tags of a name for one who names none.
func rank(tag string) int {
	switch tag {
	case "":
		return 2
	case "latest":
		return 1
	default:
		return 0
	}
}

// Category is a kind of apps and how many there are.
type Category struct {
	Name  string // one of card.Categories, or empty for entries without one
	Count int
}

// Categories are the categories that have entries, in the order of card.Categories; entries without one are last.
func (c *Catalog) Categories() []Category {
	counts := map[string]int{}
	for _, e := range c.entries {
		counts[e.Card.Category]++
	}
	var all []Category
	for _, name := range append(slices.Clone(card.Categories), "") {
		if counts[name] > 0 {
			all = append(all, Category{name, counts[name]})
		}
	}
	return all
}

// Search is the entries in which every word of a query occurs, best first: names before titles before keywords and
// categories before descriptions, whole words before beginnings before middles. An empty query finds all, as List.
func (c *Catalog) Search(query string) []*Entry {
	words := strings.Fields(strings.ToLower(query))
	if len(words) == 0 {
		return c.List()
	}
	type hit struct {
		entry *Entry
		score int
	}
	var hits []hit
	for _, e := range c.entries {
		if s := e.score(words); s > 0 {
			hits = append(hits, hit{e, s})
		}
	}
	slices.SortStableFunc(hits, func(a, b hit) int { return cmp.Compare(b.score, a.score) })
	found := make([]*Entry, len(hits))
	for i, h := range hits {
		found[i] = h.entry
	}
	return found
}

// score is how well an entry fits lower-case words; 0 when one of them does not occur.
func (e *Entry) score(words []string) int {
	total := 0
	for _, w := range words {
		best := max(match(e.ID(), w, 40), match(e.Card.Title, w, 32), match(e.Card.Category, w, 16), match(e.Card.Description, w, 4))
		for _, k := range e.Card.Keywords {
			best = max(best, match(k, w, 20))
		}
		// The whole name of an added source finds what is in it.
		if e.Source.Kind != BuiltIn && strings.EqualFold(path.Base(e.Source.Name), w) {
			best = max(best, 80)
		}
		if best == 0 {
			return 0
		}
		total += best
	}
	return total
}

// match weighs a lower-case word's place in a text: whole text, whole word, beginning of a word, anywhere.
func match(text, word string, weight int) int {
	text = strings.ToLower(text)
	if text == word {
		return 4 * weight
	}
	best := 0
	for rest, at := text, 0; ; {
		i := strings.Index(rest, word)
		if i < 0 {
			return best
		}
		at += i
		end := at + len(word)
		begins := at == 0 || !letter(text[at-1])
		switch {
		case begins && (end == len(text) || !letter(text[end])):
			return 3 * weight
		case begins:
			best = max(best, 2*weight)
		default:
			best = max(best, weight)
		}
		at++
		rest = text[at:]
	}
}

// letter tells whether a byte goes on with a word.
func letter(b byte) bool {
	return b >= 0x80 || b >= 'a' && b <= 'z' || b >= '0' && b <= '9'
}

// Validate is everything there is to say about an entry before it is shared: the definition's findings, labels that say
// nothing, and labels every entry should have.
func (e *Entry) Validate() []definition.Finding {
	if e.Raw == "" && e.Err != nil {
		return []definition.Finding{{Rule: "entry-unreadable", Severity: definition.Failure, Message: e.Err.Error(), Fix: "make it a text file of at most one megabyte"}}
	}
	report, err := definition.Lint(strings.NewReader(e.Raw), definition.Options{Name: e.File})
	if err != nil {
		return []definition.Finding{{Rule: "entry-unreadable", Severity: definition.Failure, Message: err.Error()}}
	}
	findings := report.Findings
	if e.Definition == nil {
		return findings
	}
	lines := map[string]int{}
	for _, l := range e.Definition.Final().Labels {
		lines[card.Clean(l.Key)] = l.Line
	}
	for _, w := range e.Warnings {
		findings = append(findings, definition.Finding{Rule: "label-value", Severity: definition.Warning, Line: lines[w.Label], Column: 1, Section: "labels",
			Message: w.String(), Fix: "write the label as its grammar has it"})
	}
	for _, want := range []struct{ label, value, example string }{
		{"org.opencontainers.image.title", e.Card.Title, "Jupyter notebook"},
		{"org.opencontainers.image.description", e.Card.Description, "Notebooks with NumPy and pandas"},
		{"carrel.category", e.Card.Category, strings.Join(card.Categories, " | ")},
	} {
		if want.value == "" {
			findings = append(findings, definition.Finding{Rule: "label-missing", Severity: definition.Note, Line: e.Definition.Final().Line, Column: 1, Section: "labels",
				Message: fmt.Sprintf("the label %s is missing", want.label), Fix: want.label + " " + want.example})
		}
	}
	slices.SortStableFunc(findings, func(a, b definition.Finding) int { return cmp.Compare(a.Line, b.Line) })
	return findings
}
