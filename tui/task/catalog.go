package task

import (
	"context"

	"carrel/catalog"
)

// Library is the Catalog of the screens over package catalog: Load reads all sources; it is called off the loop, each time
// the list is wanted.
type Library struct {
	Load func(ctx context.Context) (*catalog.Catalog, error)
}

// Entries lists all apps, those with errors too.
func (l Library) Entries(ctx context.Context) ([]Entry, error) {
	c, err := l.Load(ctx)
	if err != nil {
		return nil, err
	}
	var out []Entry
	for _, e := range c.List() {
		out = append(out, Entry{Name: e.ID(), Card: e.Card, Raw: e.Raw, Source: e.Source.Name, Err: e.Err})
	}
	for _, p := range c.Problems { // a source that cannot be read is told of, not left out
		out = append(out, Entry{Name: p.Source.Name, Source: p.Source.Name, Err: p})
	}
	return out, nil
}
