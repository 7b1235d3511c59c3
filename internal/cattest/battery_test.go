package cattest

import (
	"encoding/json"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"carrel/assets"
	"carrel/catalog"
)

// TestBattery: each experiment explains itself in both languages, and the image's label names just those there are.
func TestBattery(t *testing.T) {
	top, err := fs.Sub(assets.Catalog(), "expfactory/experiments")
	if err != nil {
		t.Fatal(err)
	}
	folders, err := fs.ReadDir(top, ".")
	if err != nil {
		t.Fatal(err)
	}
	type words struct{ Name, Description string }
	var names []string
	for _, f := range folders {
		names = append(names, f.Name())
		text, err := fs.ReadFile(top, path.Join(f.Name(), "config.json"))
		if err != nil {
			t.Error(err)
			continue
		}
		var config struct {
			words
			ID           string `json:"exp_id"`
			Time, Trials float64
			Reference    string
			Translations map[string]words
			Columns      []struct{ Name, Description string }
			Parameters   []struct{ Name, Description, Type, Values string }
		}
		if err := json.Unmarshal(text, &config); err != nil {
			t.Errorf("%s: %v", f.Name(), err)
			continue
		}
		de := config.Translations["de"]
		if config.ID != f.Name() || config.Name == "" || config.Description == "" || de.Name == "" || de.Description == "" || config.Time <= 0 || config.Trials <= 0 {
			t.Errorf("%s: %+v", f.Name(), config)
		}
		if !strings.HasPrefix(config.Reference, "https://doi.org/10.") {
			t.Errorf("%s: reference %q", f.Name(), config.Reference)
		}
		for _, c := range config.Columns {
			if c.Name == "" || c.Description == "" {
				t.Errorf("%s: column %+v", f.Name(), c)
			}
		}
		module, err := fs.ReadFile(top, path.Join(f.Name(), "experiment.js"))
		if err != nil {
			t.Error(err)
		}
		// What --set can change is what the module has a usual value for.
		said := map[string]bool{"rest": true}
		for _, p := range config.Parameters {
			said[p.Name] = true
			if p.Description == "" || p.Type != "number" && p.Values == "" {
				t.Errorf("%s: parameter %+v", f.Name(), p)
			}
		}
		usual := map[string]bool{"rest": true}
		if _, text, ok := strings.Cut(string(module), "\n  parameters: {"); !ok {
			t.Errorf("%s: no parameters", f.Name())
		} else {
			text, _, _ = strings.Cut(text, "}")
			for _, pair := range strings.Split(text, ",") {
				name, _, _ := strings.Cut(strings.TrimSpace(pair), ":")
				usual[name] = true
			}
		}
		if !maps.Equal(said, usual) {
			t.Errorf("%s: config.json lists the parameters %v, experiment.js has %v", f.Name(), said, usual)
		}
		for _, part := range []string{"en: {", "de: {", "pages: [", "debrief:", "trials:", "summary"} {
			if !strings.Contains(string(module), part) {
				t.Errorf("%s: experiment.js has no %q", f.Name(), part)
			}
		}
	}
	c, err := catalog.Load(t.Context(), catalog.Internal())
	if err != nil {
		t.Fatal(err)
	}
	e, err := c.Find("expfactory")
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Card.Args) != 1 || !slices.Equal(e.Card.Args[0].Choices, names) {
		t.Errorf("the label says %+v, there are %v", e.Card.Args, names)
	}
}
