package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"carrel/engine"
)

func (a *app) inspectCommand() *cobra.Command {
	part := ""
	c := &cobra.Command{
		Use: "inspect [OPTION …] IMAGE", Short: "Show what an image is and how it explains itself", GroupID: groupImages,
		Example: "  carrel inspect nginx-basic.img\n  carrel inspect --deffile nginx-basic.img > Singularity",
		Args:    exactly(1, "IMAGE"),
	}
	f := c.Flags()
	f.BoolVar(&a.json, "json", false, "print everything as JSON")
	for _, p := range []struct{ name, short, text string }{
		{"labels", "l", "only the labels"}, {"deffile", "d", "only the definition file"}, {"runscript", "r", "only the runscript"},
		{"startscript", "s", "only the startscript"}, {"test", "t", "only the test"}, {"environment", "e", "only the environment"}, {"helpfile", "H", "only the help"},
	} {
		f.BoolFuncP(p.name, p.short, p.text, func(string) error { part = p.name; return nil })
	}
	c.RunE = func(cmd *cobra.Command, args []string) error {
		e, err := a.engine()
		if err != nil {
			return err
		}
		in, err := e.Inspect(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		switch part {
		case "deffile":
			return a.print(ending(in.Definition))
		case "runscript":
			return a.print(ending(in.Runscript))
		case "startscript":
			return a.print(ending(in.Startscript))
		case "test":
			return a.print(ending(in.Test))
		case "helpfile":
			return a.print(ending(in.Help))
		case "labels":
			if a.json {
				return a.printJSON(in.Labels)
			}
			return a.print(a.pairs(in.Labels))
		case "environment":
			if a.json {
				return a.printJSON(in.Environment)
			}
			return a.print(a.sections(in.Environment))
		}
		if a.json {
			return a.printJSON(in)
		}
		return a.print(a.page.text(a.overview(in)))
	}
	return c
}

// ending is a text as it came, with a line's end where it has none.
func ending(text string) string {
	if text == "" || strings.HasSuffix(text, "\n") {
		return text
	}
	return text + "\n"
}

func (a *app) pairs(m map[string]string) string {
	var rows [][]string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		rows = append(rows, []string{clean(k), clean(m[k])})
	}
	return a.page.columns(rows, nil)
}

func (a *app) sections(m map[string]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		b.WriteString(a.page.paint(strong, clean(k)) + "\n" + indent(m[k]) + "\n")
	}
	return b.String()
}

// indent is a text of several lines, harmless and moved to the right.
func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		b.WriteString(strings.TrimRight("  "+clean(strings.TrimRight(line, "\r\n")), " ") + "\n")
	}
	return b.String()
}

// dedent takes away the blanks that all lines begin with.
func dedent(text string) string {
	least := -1
	for line := range strings.Lines(text) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		if n := len(line) - len(strings.TrimLeft(line, " ")); least < 0 || n < least {
			least = n
		}
	}
	if least <= 0 {
		return text
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(line[min(least, len(line)-len(strings.TrimLeft(line, " "))):])
	}
	return b.String()
}

// overview is what a person wants to know first.
func (a *app) overview(in engine.Inspection) string {
	var b strings.Builder
	head := func(s string) { b.WriteString("\n" + a.page.paint(strong, s) + "\n") }
	title := in.Title
	if title == "" {
		title = in.Name
	}
	b.WriteString(a.page.paint(strong, clean(title)) + "\n")
	if d := in.Labels["org.opencontainers.image.description"]; d != "" {
		b.WriteString(clean(d) + "\n")
	}
	rows := [][]string{{"  file", clean(tilde(in.Path, a.home()))}, {"  kind", fmt.Sprintf("%s, %s, %s", in.Kind, bytes(in.Size), in.Arch)}, {"  made", in.ModTime.Local().Format("2006-01-02 15:04")}}
	if in.Catalog != "" {
		rows = append(rows, []string{"  from", "catalog entry " + clean(in.Catalog)})
	}
	if in.Problem != "" {
		rows = append(rows, []string{"  problem", clean(in.Problem)})
	}
	b.WriteString(a.page.columns(rows, nil))
	if len(in.Labels) > 0 {
		head("Labels")
		b.WriteString(indent(a.pairs(in.Labels)))
	}
	for _, s := range []struct{ name, text string }{
		{"Help", in.Help}, {"Runs", in.Runscript}, {"Starts", in.Startscript}, {"Test", in.Test}, {"Definition", in.Definition},
	} {
		if strings.TrimSpace(s.text) != "" {
			head(s.name)
			b.WriteString(indent(dedent(s.text)))
		}
	}
	return b.String()
}
