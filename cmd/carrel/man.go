package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"carrel/cmd/carrel/topics"
)

// manCommand writes the manual pages; make install and packages call it.
func (a *app) manCommand() *cobra.Command {
	return &cobra.Command{
		Use: "man-pages FOLDER", Short: "Write the manual pages into a folder", Hidden: true, Args: exactly(1, "FOLDER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			for name, text := range manPages(cmd.Root()) {
				file := filepath.Join(args[0], "man"+name[len(name)-1:], name)
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					return fmt.Errorf("write manual: %w", err)
				}
				if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
					return fmt.Errorf("write manual: %w", err)
				}
			}
			return nil
		},
	}
}

// manPages are carrel.1, a page for each verb, and one in section 7 for each topic, as man(7) has them.
func manPages(root *cobra.Command) map[string]string {
	pages := map[string]string{}
	var also []string
	var page func(c *cobra.Command)
	page = func(c *cobra.Command) {
		name := strings.ReplaceAll(c.CommandPath(), " ", "-")
		var b strings.Builder
		head(&b, name, "1", c.Short)
		b.WriteString(".SH SYNOPSIS\n")
		if !c.HasParent() {
			b.WriteString(".B carrel\n.br\n.B carrel\n" + roff("VERB …") + "\n")
		} else if c.Runnable() {
			b.WriteString(".B " + roff(c.CommandPath()) + "\n" + roff(strings.TrimSpace(strings.TrimPrefix(c.UseLine(), c.CommandPath()))) + "\n")
		}
		if !c.HasParent() {
			b.WriteString(".SH DESCRIPTION\nWithout a verb the screens are opened, on a terminal; without one a page from inside a container is started.\n")
			for _, g := range c.Groups() {
				b.WriteString(".SS " + roff(g.Title) + "\n")
				for _, verb := range c.Commands() {
					if verb.GroupID == g.ID && verb.IsAvailableCommand() {
						fmt.Fprintf(&b, ".TP\n.BR carrel\\-%s (1)\n%s\n", roff(verb.Name()), roff(verb.Short))
					}
				}
			}
		} else if c.Long != "" {
			b.WriteString(".SH DESCRIPTION\n" + literal(c.Long))
		}
		first := true
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Hidden || f.Name == "help" {
				return
			}
			if first {
				b.WriteString(".SH OPTIONS\n")
				first = false
			}
			option := "--" + f.Name
			if f.Shorthand != "" {
				option = "-" + f.Shorthand + ", " + option
			}
			value, text := pflag.UnquoteUsage(f)
			b.WriteString(".TP\n\\fB" + roff(option) + "\\fR")
			if value != "" && f.Value.Type() != "bool" {
				b.WriteString(" \\fI" + roff(value) + "\\fR")
			}
			b.WriteString("\n" + roff(text) + "\n")
		})
		if c.Example != "" {
			b.WriteString(".SH EXAMPLES\n" + literal(c.Example))
		}
		if !c.HasParent() {
			for _, t := range topics.List() {
				also = append(also, ".BR carrel\\-"+roff(t.Name)+" (7)")
			}
			b.WriteString(".SH SEE ALSO\n" + strings.Join(also, ",\n") + "\n")
		} else {
			b.WriteString(".SH SEE ALSO\n.BR carrel (1)\n")
		}
		pages[name+".1"] = b.String()
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() {
				page(sub)
			}
		}
	}
	page(root)
	for _, t := range topics.List() {
		var b strings.Builder
		head(&b, "carrel-"+t.Name, "7", t.Title)
		b.WriteString(".SH DESCRIPTION\n" + literal(t.Text) + ".SH SEE ALSO\n.BR carrel (1)\n")
		pages["carrel-"+t.Name+".7"] = b.String()
	}
	return pages
}

// head begins a page. Its date is that of the version, so that the same version makes the same bytes.
func head(b *strings.Builder, name, section, title string) {
	day, _, _ := strings.Cut(buildDate, "T")
	fmt.Fprintf(b, ".TH %s %s \"%s\" \"Carrel %s\" \"Carrel\"\n.SH NAME\n%s \\- %s\n", roff(strings.ToUpper(name)), section, roff(day), roff(version()), roff(name), roff(title))
}

// literal is a text whose lines stay as they are.
func literal(text string) string {
	return ".nf\n" + roff(strings.Trim(text, "\n")) + "\n.fi\n"
}

// roff escapes what troff would take for requests and special characters (groff(7), "Escape sequences").
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, `"`, `\(dq`, "…", "...", "→", "->").Replace(text)
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}
