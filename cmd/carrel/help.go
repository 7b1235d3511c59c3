package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// help prints what a command does. It fits on one screen.
func (a *app) help(cmd *cobra.Command, _ []string) {
	t := a.page
	var b strings.Builder
	head := func(s string) { fmt.Fprintf(&b, "\n%s\n", t.paint(strong, s)) }
	if !cmd.HasParent() {
		fmt.Fprintf(&b, "%s %s\n", t.paint(accent, t.text("◗ ")+t.paint(strong, "carrel")), cmd.Short)
		head("Usage")
		b.WriteString("  carrel                 open the screens\n  carrel VERB …          do one thing\n")
	} else {
		b.WriteString(cmd.Short + ".\n")
		if cmd.Long != "" {
			b.WriteString("\n" + strings.TrimSpace(cmd.Long) + "\n")
		}
		head("Usage")
		if cmd.Runnable() {
			b.WriteString("  " + cmd.UseLine() + "\n")
		}
	}
	for _, group := range cmd.Groups() {
		head(group.Title)
		for _, c := range cmd.Commands() {
			if c.GroupID == group.ID && c.IsAvailableCommand() {
				fmt.Fprintf(&b, "  %s %s\n", t.paint(accent, pad(c.Name(), 10)), c.Short)
			}
		}
	}
	if len(cmd.Groups()) == 0 {
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() {
				fmt.Fprintf(&b, "  %s %s\n", t.paint(accent, pad(c.CommandPath()+" "+after(c.Use), 30)), c.Short)
			}
		}
	}
	if flags := cmd.LocalFlags(); flags.HasAvailableFlags() && cmd.HasParent() {
		head("Options")
		flags.VisitAll(func(f *pflag.Flag) {
			if f.Hidden || f.Name == "help" {
				return
			}
			name := "    --" + f.Name
			if f.Shorthand != "" {
				name = "-" + f.Shorthand + ", --" + f.Name
			}
			value, text := pflag.UnquoteUsage(f)
			if value != "" && f.Value.Type() != "bool" {
				name += " " + value
			}
			if len(name) > 28 {
				fmt.Fprintf(&b, "  %s\n  %s %s\n", t.paint(accent, name), pad("", 28), text)
				return
			}
			fmt.Fprintf(&b, "  %s %s\n", t.paint(accent, pad(name, 28)), text)
		})
	}
	if cmd.Example != "" {
		head("Examples")
		b.WriteString(cmd.Example + "\n")
	}
	if !cmd.HasParent() {
		head("A first hour")
		b.WriteString("  carrel run welcome             a page from inside a container\n" +
			"  carrel catalog                 what else there is\n" +
			"  carrel run -p 9999 -B .:/data nginx-basic\n" +
			"                                 this folder, as a web page\n" +
			"\n" + t.paint(muted, "carrel VERB --help says more about a verb.") + "\n")
	}
	_ = a.print(t.text(b.String())) // nobody reads it any more: nothing to do
}

func pad(s string, n int) string {
	return s + strings.Repeat(" ", max(0, n-len(s)))
}

// after is what follows the name in a usage line.
func after(use string) string {
	_, rest, _ := strings.Cut(use, " ")
	return rest
}
