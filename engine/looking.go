package engine

import (
	"context"
	"fmt"
	"sort"

	"carrel/engine/card"
	"carrel/engine/definition"
	"carrel/engine/doctor"
	"carrel/engine/image"
)

// Inspection is what an image says about itself.
type Inspection struct {
	ImageInfo
	Labels      map[string]string `json:"labels"`
	Definition  string            `json:"definition,omitempty"`
	Runscript   string            `json:"runscript,omitempty"`
	Startscript string            `json:"startscript,omitempty"`
	Test        string            `json:"test,omitempty"`
	Help        string            `json:"help,omitempty"`
	Environment map[string]string `json:"environment,omitempty"` // text of files by path
	Apps        []string          `json:"apps,omitempty"`        // names of SCIF apps
}

// Inspect reads what an image says about itself, without starting it.
func (e *Engine) Inspect(ctx context.Context, name string) (Inspection, error) {
	t, err := e.Resolve(ctx, name)
	if err != nil {
		return Inspection{}, err
	}
	if !t.Built {
		return Inspection{}, fmt.Errorf("inspect %s: its image is not built yet (carrel build %s)", name, name)
	}
	info, err := e.describe(t.Path)
	if err != nil {
		return Inspection{}, err
	}
	img, err := image.Open(t.Path)
	if err != nil {
		return Inspection{}, err
	}
	defer img.Close()
	m, err := img.Metadata()
	if err != nil {
		return Inspection{}, err
	}
	out := Inspection{
		ImageInfo: info, Labels: m.Labels, Definition: img.Definition(), Runscript: m.Runscript, Startscript: m.Startscript,
		Test: m.Test, Help: m.Help, Environment: m.Environment,
	}
	for name := range m.Apps {
		out.Apps = append(out.Apps, name)
	}
	sort.Strings(out.Apps)
	return out, nil
}

// Card is how an image, or a catalog entry that may not be built yet, explains itself.
func (e *Engine) Card(ctx context.Context, name string) (card.Card, error) {
	t, err := e.Resolve(ctx, name)
	if err != nil {
		return card.Card{}, err
	}
	if t.Kind == TargetCatalog {
		entry, err := e.c.Catalog.Lookup(t.Name)
		if err != nil {
			return card.Card{}, err
		}
		f, err := definition.ParseString(entry.Text, definition.Options{Name: entry.Name, AllowUndefined: true})
		if err != nil {
			return card.Card{}, err
		}
		c, _ := card.Parse(f.Final().LabelMap())
		return c, nil
	}
	if !t.Built {
		return card.Card{}, nil
	}
	img, err := image.Open(t.Path)
	if err != nil {
		return card.Card{}, err
	}
	defer img.Close()
	labels, err := img.Labels()
	if err != nil {
		return card.Card{}, err
	}
	c, _ := card.Parse(labels)
	return c, nil
}

// Doctor says what this computer can and cannot do.
func (e *Engine) Doctor(ctx context.Context) []Check {
	found := doctor.Run(ctx, doctor.Config{ImageDir: e.imageDir(), Home: e.c.User.Home, Self: e.c.Self})
	out := make([]Check, 0, len(found))
	for _, c := range found {
		out = append(out, Check{
			Name: c.Name, Status: Status(c.Status), Title: c.Title, Term: c.Term, Detail: c.Detail, Advice: c.Advice, Admin: c.Admin,
		})
	}
	return out
}
