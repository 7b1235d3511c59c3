package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"carrel/engine"
)

// inspection is what the options of inspect ask for.
type inspection struct {
	part engine.Selection
	all  bool

	files, packages, sizes, diff, changes, provenance bool
	cat                                               string
}

func (a *app) inspectCommand() *cobra.Command {
	var in inspection
	c := &cobra.Command{
		Use: "inspect [OPTION …] IMAGE [PATH | OTHER]", Short: "Show what an image is, how it explains itself, and what is in it", GroupID: groupImages,
		Long: `Nothing is started or unpacked. IMAGE is a file, a folder, an image of the store, or
a reference such as docker://alpine, of which only the configuration is fetched as
long as nothing but that is asked for.

--diff compares kinds, contents, permissions, owners, and where links and devices lead;
not times, nor extended attributes (ACLs, capabilities).`,
		Example: "  carrel inspect nginx-basic.img\n  carrel inspect --deffile nginx-basic.img > Singularity\n  carrel inspect --files jupyter.img /opt\n" +
			"  carrel inspect --size jupyter.img /usr/lib\n  carrel inspect --diff old.sif new.sif",
		Args: between(1, 2, "IMAGE"),
	}
	f := c.Flags()
	f.BoolVarP(&a.json, "json", "j", false, "print JSON, in Apptainer's form where it has one")
	for _, p := range []struct {
		name, short, text string
		value             *bool
	}{
		{"labels", "l", "only the labels", &in.part.Labels}, {"deffile", "d", "only the definition file", &in.part.Definition},
		{"runscript", "r", "only the runscript", &in.part.Runscript}, {"startscript", "s", "only the startscript", &in.part.Startscript},
		{"test", "t", "only the test", &in.part.Test}, {"environment", "e", "only the environment", &in.part.Environment},
		{"helpfile", "H", "only the help", &in.part.Help}, {"list-apps", "", "only the names of its apps", &in.part.Apps},
		{"all", "", "all of these, as JSON", &in.all},
		{"files", "f", "list the folder PATH", &in.files},
		{"packages", "p", "list installed packages", &in.packages},
		{"size", "", "tell what takes the space below PATH", &in.sizes},
		{"diff", "", "tell what OTHER has different", &in.diff},
		{"changes", "", "tell what was changed since it was built", &in.changes},
		{"provenance", "", "tell what it was made of", &in.provenance},
	} {
		f.BoolVarP(p.value, p.name, p.short, false, p.text)
	}
	f.StringVar(&in.part.App, "app", "", "what the app `NAME` says (SCIF)")
	f.StringVar(&in.cat, "cat", "", "write the file `PATH` of the image")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		inside := 0
		for _, asked := range []bool{in.files, in.packages, in.sizes, in.diff, in.changes, in.provenance, in.cat != "", in.all || in.part != engine.Selection{}} {
			if asked {
				inside++
			}
		}
		switch {
		case inside > 1:
			return usage("ask for one after the other", "inspect: --files, --cat, --packages, --size, --diff, --changes, --provenance and the others exclude each other")
		case in.diff && len(args) < 2:
			return usage("usage: carrel inspect --diff IMAGE OTHER", "inspect: OTHER is missing")
		case len(args) == 2 && !in.files && !in.sizes && !in.diff:
			return usage("usage: carrel inspect --files IMAGE PATH", "inspect: %q is one argument too many", args[1])
		}
		e, err := a.engine()
		if err != nil {
			return err
		}
		at := "/"
		if len(args) == 2 {
			at = args[1]
		}
		switch {
		case in.files:
			return a.inspectFiles(cmd.Context(), e, args[0], at)
		case in.cat != "":
			return a.inspectCat(cmd.Context(), e, args[0], in.cat)
		case in.packages:
			return a.inspectPackages(cmd.Context(), e, args[0])
		case in.sizes:
			return a.inspectSizes(cmd.Context(), e, args[0], at)
		case in.provenance:
			return a.inspectProvenance(cmd.Context(), e, args[0])
		case in.changes:
			return a.inspectChanges(cmd.Context(), e, args[0])
		case in.diff:
			return a.inspectDiff(cmd.Context(), e, args[0], at)
		}
		found, err := e.Inspect(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return a.inspectSelf(found, in)
	}
	return c
}

// inspectSelf shows what an image says about itself.
func (a *app) inspectSelf(found engine.Inspection, in inspection) error {
	switch {
	case in.all:
		in.part = engine.Everything
		a.json = true
	case in.part == engine.Selection{} && !a.json:
		return a.print(a.page.text(a.overview(found)))
	}
	if a.json {
		b, err := found.Document(in.part)
		if err != nil {
			return err
		}
		return a.print(string(b))
	}
	text := found.Text(in.part)
	if a.page.is {
		text = safeLines(text)
	}
	return a.print(text)
}

// safeLines is a text of several lines without what a terminal would obey.
func safeLines(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(clean(strings.TrimRight(line, "\r\n")) + "\n")
	}
	return b.String()
}

func (a *app) inspectCat(ctx context.Context, e *engine.Engine, image, at string) error {
	if !a.page.is {
		return e.CatFile(ctx, image, at, a.out)
	}
	b, err := e.ReadFile(ctx, image, at, maxOnScreen)
	if _, large := errors.AsType[*engine.FileTooLargeError](err); large {
		return hinted(err, "to save it: carrel cp "+quote(image+":"+at)+" .")
	}
	if err != nil {
		return err
	}
	return a.print(safeLines(string(b)))
}

// maxOnScreen is the longest file that is shown on a terminal, bytes.
const maxOnScreen = 4 << 20

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
	rows := [][]string{{"  file", clean(tilde(in.Path, a.home()))}, {"  kind", fmt.Sprintf("%s, %s, %s", in.Kind, bytes(in.Size), in.Arch)}}
	if !in.ModTime.IsZero() {
		rows = append(rows, []string{"  made", in.ModTime.Local().Format("2006-01-02 15:04")})
	}
	if in.Catalog != "" {
		rows = append(rows, []string{"  from", "catalog entry " + clean(in.Catalog)})
	}
	if len(in.Apps) > 0 {
		rows = append(rows, []string{"  apps", clean(strings.Join(in.Apps, ", "))})
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
