package task

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"carrel/catalog"
	"carrel/catalog/shelf"
)

// Library is the Catalog of the screens over package catalog. Its functions are called off the loop.
type Library struct {
	// Load reads all sources, each time the list is wanted.
	Load func(ctx context.Context) (*catalog.Catalog, error)
	// Consents remembers which entries of others the person has let be built; nil asks each time.
	Consents Memory
	// Shelf is where added catalogs are kept; nil: none can be added.
	Shelf *shelf.Shelf
}

// Entries lists all apps, those with errors too.
func (l Library) Entries(ctx context.Context) ([]Entry, error) {
	c, err := l.Load(ctx)
	if err != nil {
		return nil, err
	}
	var out []Entry
	for _, e := range c.List() {
		entry := Entry{Name: e.ID(), Card: e.Card, Raw: e.Raw, Source: e.Source.Name, Err: e.Err, Versions: e.Versions}
		if e.Source.Kind == catalog.BuiltIn {
			entry.Source = "built in"
		}
		if e.Source.Address != "" {
			entry.Source += ", " + e.Source.Address
		}
		if !l.Allowed(e) {
			entry.Ask, entry.consent = e.Explain(), e.Consent()
		}
		out = append(out, entry)
	}
	for _, p := range c.Problems { // a source that cannot be read is told of, not left out
		out = append(out, Entry{Name: p.Source.Name, Source: p.Source.Name, Err: p})
	}
	return out, nil
}

// Allowed tells whether an entry may be built without asking: it is not somebody else's, or the person has let it be built.
func (l Library) Allowed(e *catalog.Entry) bool {
	return !e.Source.Kind.Foreign() || l.Consents != nil && l.Consents.Load(e.Consent()) != nil
}

// Allow remembers that the person has let an entry be built, as it is now.
func (l Library) Allow(_ context.Context, e Entry) error {
	if l.Consents == nil || e.consent == "" {
		return nil
	}
	return l.Consents.Save(e.consent, map[string]string{"entry": e.Name, "source": e.Source})
}

// errNoShelf is an answer where no catalogs can be added.
var errNoShelf = errors.New("catalogs cannot be added here")

// Sources lists where the apps come from.
func (l Library) Sources(ctx context.Context) ([]Source, error) {
	c, err := l.Load(ctx)
	if err != nil {
		return nil, err
	}
	added := map[string]shelf.Added{}
	if l.Shelf != nil {
		list, _ := l.Shelf.List() // what cannot be read of it is a problem of the source below
		for _, a := range list {
			added[a.Name] = a
		}
	}
	var out []Source
	for _, src := range c.Sources {
		s := Source{Name: src.Name, Kind: string(src.Kind), Address: src.Address, Commit: src.Commit}
		if s.Address == "" && src.Kind != catalog.BuiltIn {
			s.Address = src.Path
		}
		if a, ok := added[src.Name]; ok && a.Kind == src.Kind {
			s.Added, s.Updated = true, a.Updated
		}
		for _, e := range c.List() {
			if e.Source.Name == src.Name && e.Source.Kind == src.Kind {
				s.Apps++
			}
		}
		for _, p := range c.Problems {
			if p.Source.Name == src.Name && p.Source.Kind == src.Kind {
				s.Problem = p.Err.Error()
			}
		}
		out = append(out, s)
	}
	return out, nil
}

// AddSource fetches a catalog.
func (l Library) AddSource(ctx context.Context, address string) (Source, error) {
	if l.Shelf == nil {
		return Source{}, errNoShelf
	}
	a, err := l.Shelf.Add(ctx, shelf.Request{Address: address})
	if err != nil {
		return Source{}, err
	}
	return Source{Name: a.Name, Kind: string(a.Kind), Address: a.Address, Commit: a.Commit, Updated: a.Updated, Added: true}, nil
}

// UpdateSource fetches the newest state of a catalog.
func (l Library) UpdateSource(ctx context.Context, name string) (string, error) {
	if l.Shelf == nil {
		return "", errNoShelf
	}
	c, err := l.Shelf.Update(ctx, name)
	if err != nil {
		return "", err
	}
	if c.Same() {
		return name + " has nothing new.", nil
	}
	var parts []string
	for _, p := range []struct {
		word  string
		names []string
	}{{"new", c.New}, {"changed", c.Different}, {"gone", c.Gone}} {
		if n := len(p.names); n > 0 {
			text := p.word + ": " + strings.Join(p.names[:min(3, n)], ", ")
			if n > 3 {
				text += fmt.Sprintf(" and %d more", n-3)
			}
			parts = append(parts, text)
		}
	}
	return name + ": " + strings.Join(parts, "; ") + ".", nil
}

// RemoveSource forgets a catalog.
func (l Library) RemoveSource(_ context.Context, name string) error {
	if l.Shelf == nil {
		return errNoShelf
	}
	return l.Shelf.Remove(name)
}
