package task

import (
	"context"

	"carrel/catalog"
)

// Library is the Catalog of the screens over package catalog. Its functions are called off the loop.
type Library struct {
	// Load reads all sources, each time the list is wanted.
	Load func(ctx context.Context) (*catalog.Catalog, error)
	// Consents remembers which entries of others the person has let be built; nil asks each time.
	Consents Memory
}

// Entries lists all apps, those with errors too.
func (l Library) Entries(ctx context.Context) ([]Entry, error) {
	c, err := l.Load(ctx)
	if err != nil {
		return nil, err
	}
	var out []Entry
	for _, e := range c.List() {
		entry := Entry{Name: e.ID(), Card: e.Card, Raw: e.Raw, Source: e.Source.Name, Err: e.Err}
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
