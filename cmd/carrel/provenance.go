package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"carrel/engine"
)

// provenance is what is shown of how an image was made; the whole is printed with --json.
type provenance struct {
	Version    string    `json:"version"`
	Time       time.Time `json:"time"`
	Definition string    `json:"definition"`
	Bases      []struct {
		Stage    string `json:"stage"`
		Agent    string `json:"agent"`
		From     string `json:"from"`
		Digest   string `json:"digest"`
		Archives []struct {
			URI   string    `json:"uri"`
			Suite string    `json:"suite"`
			Date  time.Time `json:"date"`
		} `json:"archives"`
	} `json:"bases"`
	Files []struct {
		Path   string `json:"path"`
		SHA256 string `json:"sha256"`
	} `json:"files"`
	Packages []struct {
		Manager string `json:"manager"`
		Name    string `json:"name"`
		Version string `json:"version"`
	} `json:"packages"`
}

// inspectProvenance tells what an image was made of.
func (a *app) inspectProvenance(ctx context.Context, e *engine.Engine, image string) error {
	data, err := e.Provenance(ctx, image)
	if err != nil {
		return err
	}
	if len(data) == 0 {
		return hinted(fmt.Errorf("%s does not say what it was made of", image), "only images that carrel build has made do")
	}
	if a.json {
		return a.printJSON(data)
	}
	var p provenance
	if err := json.Unmarshal(data, &p); err != nil {
		return fmt.Errorf("provenance of %s: %w", image, err)
	}
	return a.print(a.page.text(p.text(a)))
}

func (p *provenance) text(a *app) string {
	rows := [][]string{{"made", p.Time.Format("2006-01-02 15:04 MST") + ", by Carrel " + clean(p.Version)}}
	if p.Definition != "" {
		rows = append(rows, []string{"definition", "sha256:" + clean(p.Definition)})
	}
	for _, b := range p.Bases {
		name := "base"
		if b.Stage != "" {
			name += " " + clean(b.Stage)
		}
		from := clean(b.From)
		if b.Digest != "" && !strings.Contains(b.From, b.Digest) {
			from += " " + clean(b.Digest)
		}
		rows = append(rows, []string{name, clean(b.Agent) + " " + from})
		for _, r := range b.Archives {
			rows = append(rows, []string{"", clean(r.URI) + " " + clean(r.Suite) + " of " + r.Date.Format("2006-01-02 15:04 MST")})
		}
	}
	for _, f := range p.Files {
		rows = append(rows, []string{"file", clean(f.Path) + "  sha256:" + clean(f.SHA256)})
	}
	for _, pkg := range p.Packages {
		rows = append(rows, []string{"package", clean(pkg.Manager) + "  " + clean(pkg.Name) + " " + clean(pkg.Version)})
	}
	return a.page.columns(rows, nil)
}
