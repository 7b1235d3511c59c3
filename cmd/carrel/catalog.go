package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"carrel/catalog"
	"carrel/engine/card"
)

func (a *app) catalogCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "catalog", Short: "Show the apps that can be built and run by their name", GroupID: groupOther,
		Args: exactly(0, ""),
		RunE: func(*cobra.Command, []string) error { return a.listCatalog("") },
	}
	list := &cobra.Command{
		Use: "ls", Short: "List them all", Args: exactly(0, ""),
		RunE: func(*cobra.Command, []string) error { return a.listCatalog("") },
	}
	search := &cobra.Command{
		Use: "search WORD …", Short: "List those that fit some words", Args: between(1, -1, "WORD"),
		RunE: func(_ *cobra.Command, words []string) error { return a.listCatalog(strings.Join(words, " ")) },
	}
	show := &cobra.Command{
		Use: "show NAME", Short: "Show one, or its definition", Args: exactly(1, "NAME"),
	}
	definition := show.Flags().Bool("deffile", false, "print its definition file; carrel catalog copy takes the files along that it needs")
	show.RunE = func(_ *cobra.Command, args []string) error { return a.showEntry(args[0], *definition) }
	more := append([]*cobra.Command{a.copyEntryCommand()}, a.shelfCommands()...)
	c.AddCommand(append([]*cobra.Command{list, search, show}, more...)...)
	for _, sub := range append([]*cobra.Command{c, list, search, show}, more...) {
		sub.DisableFlagsInUseLine = true
		sub.Flags().BoolVar(&a.json, "json", false, "print as JSON")
	}
	return c
}

// entryJSON is an entry as scripts see it.
type entryJSON struct {
	Name   string `json:"name"`
	Title  string `json:"title"`
	Source string `json:"source"`
	From   string `json:"from,omitempty"`
	Commit string `json:"commit,omitempty"`
	// Effects is what building it does, for entries of others.
	Effects *catalog.Effects `json:"effects,omitempty"`
	Path    string           `json:"path,omitempty"`
	// Deffile is the definition file, where that was asked for.
	Deffile string     `json:"deffile,omitempty"`
	Error   string     `json:"error,omitempty"`
	Card    *card.Card `json:"card,omitempty"`
}

func toJSON(e *catalog.Entry) entryJSON {
	j := entryJSON{Name: e.ID(), Title: e.Title(), Source: e.Source.Name, From: e.Source.Address, Commit: e.Source.Commit, Path: e.Path}
	if e.Err != nil {
		j.Error = e.Err.Error()
	} else {
		j.Card = &e.Card
		if e.Source.Kind.Foreign() {
			j.Effects = e.Effects()
		}
	}
	return j
}

func (a *app) listCatalog(query string) error {
	all, err := a.catalog()
	if err != nil {
		return err
	}
	entries := all.List()
	if query != "" {
		entries = all.Search(query)
	}
	for _, p := range all.Problems {
		a.say("%s", lines(p.Error()))
	}
	if a.json {
		out := []entryJSON{}
		for _, e := range entries {
			out = append(out, toJSON(e))
		}
		return a.printJSON(out)
	}
	if len(entries) == 0 {
		a.say("no app fits %q; carrel catalog lists all", query)
		return nil
	}
	head := []string{"NAME", "TITLE", "KIND", "DESCRIPTION"}
	// Where they come from, as soon as that is not the same for all there are.
	several := slices.ContainsFunc(all.List(), func(e *catalog.Entry) bool { return e.Source.Kind != catalog.BuiltIn })
	if several {
		head = []string{"NAME", "TITLE", "KIND", "FROM", "DESCRIPTION"}
	}
	rows := [][]string{head}
	for _, e := range entries {
		text := e.Card.Description
		if e.Err != nil {
			text = "! " + e.Err.Error()
		}
		row := []string{clean(e.ID()), clean(e.Title()), clean(e.Card.Category), clean(text)}
		if several {
			row = slices.Insert(row, 3, clean(e.Source.Name))
		}
		rows = append(rows, row)
	}
	return a.print(a.page.text(a.page.columns(rows, nil)))
}

func (a *app) showEntry(name string, definition bool) error {
	e, err := a.find(name)
	if err != nil {
		return err
	}
	if definition && a.json {
		j := toJSON(e)
		j.Deffile = e.Raw
		return a.printJSON(j)
	}
	if definition {
		if len(e.Needs()) > 0 {
			a.say("it takes files along that are beside it: carrel catalog copy %s FOLDER copies all of it", quote(e.ID()))
		}
		text := ending(e.Raw)
		if a.page.is {
			text = safeLines(text)
		}
		return a.print(text)
	}
	if a.json {
		return a.printJSON(toJSON(e))
	}
	if e.Err != nil {
		return e.Err
	}
	t, c := a.page, e.Card
	var b strings.Builder
	b.WriteString(t.paint(strong, clean(e.Title())) + "\n")
	if c.Description != "" {
		b.WriteString(clean(c.Description) + "\n")
	}
	rows := [][]string{}
	row := func(name, text string) {
		if text != "" {
			rows = append(rows, []string{"  " + t.paint(muted, name), clean(text)})
		}
	}
	row("name", e.ID())
	row("from", strings.TrimSpace(e.Source.Name+"  "+e.Source.Address))
	row("versions", strings.Join(e.Versions[:min(8, len(e.Versions))], ", "))
	row("version", c.Version)
	row("authors", c.Authors)
	row("licence", c.Licenses)
	row("cite", c.Cite)
	for _, p := range c.Ports {
		row("serves", fmt.Sprintf("%s, port %d", orElse(p.Text, p.Proto), p.Container))
	}
	for _, bind := range c.Binds {
		mode := "read only"
		if bind.Mode == card.ReadWrite {
			mode = "read and write"
		}
		if bind.Required {
			mode += ", needed"
		}
		row("folder", fmt.Sprintf("%s (%s)  %s", bind.Dest, mode, bind.Text))
	}
	for _, arg := range c.Args {
		row("argument", strings.TrimSpace(arg.Name+" "+strings.Join(arg.Choices, "|")+"  "+arg.Text))
	}
	for _, v := range c.Env {
		row("variable", strings.TrimSpace(v.Name+"  "+v.Text))
	}
	row("try", c.Example)
	b.WriteString(t.columns(rows, nil))
	if lines := e.Explain(); len(lines) > 0 {
		b.WriteString("\n" + t.paint(strong, "Before you build it") + "\n")
		for _, line := range lines {
			b.WriteString("  " + clean(line) + "\n")
		}
	}
	return a.print(t.text(b.String()))
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
