package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"carrel/cmd/carrel/topics"
)

// help prints what a command does. It fits on one screen.
func (a *app) help(cmd *cobra.Command, _ []string) {
	t := a.page
	var b strings.Builder
	head := func(s string) { fmt.Fprintf(&b, "\n%s\n", t.paint(strong, s)) }
	if !cmd.HasParent() {
		fmt.Fprintf(&b, "%s %s\n", t.paint(accent, t.text("◗ ")+t.paint(strong, "carrel")), cmd.Short)
		head("Usage")
		b.WriteString("  carrel                 open the screens\n  carrel --accessible    the same as questions and answers, for screen readers\n  carrel VERB …          do one thing\n  carrel help TOPIC      read about something\n")
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
	if cmd.HasParent() {
		first := true
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Hidden || f.Name == "help" {
				return
			}
			if first {
				head("Options")
				first = false
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
			"\n" + t.paint(muted, "carrel VERB --help says more about a verb, and carrel help TOPIC about\n"+topicNames()) + "\n")
	}
	a.unread = a.print(t.text(b.String()))
}

// helpCommand shows help about a verb or a topic.
func (a *app) helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "help [VERB|TOPIC]", Short: "Show this, what a verb does, or a topic", GroupID: groupOther,
		DisableFlagsInUseLine: true,
		Long:                  "The topics are\n" + topicNames() + ".",
		RunE: func(_ *cobra.Command, args []string) error {
			if target, rest, err := root.Find(args); err == nil && len(rest) == 0 {
				return target.Help()
			}
			if len(args) == 1 {
				if topic, ok := topics.Find(args[0]); ok {
					return a.print(a.page.text(a.page.paint(strong, topic.Title) + "\n\n" + topic.Text))
				}
			}
			return unknownTopic(root, strings.Join(args, " "))
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			var out []cobra.Completion
			if len(args) == 0 {
				for _, c := range root.Commands() {
					if c.IsAvailableCommand() {
						out = append(out, cobra.CompletionWithDesc(c.Name(), c.Short))
					}
				}
				for _, t := range topics.List() {
					out = append(out, cobra.CompletionWithDesc(t.Name, t.Title))
				}
			}
			return out, cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// unknownTopic says what there is help about.
func unknownTopic(root *cobra.Command, name string) error {
	hint := "carrel --help lists the verbs; the topics are " + strings.ReplaceAll(topicNames(), "\n", " ")
	for _, t := range topics.List() {
		if name != "" && strings.HasPrefix(t.Name, strings.ToLower(name)) {
			return usage("did you mean carrel help "+t.Name+"?", "there is no verb or topic %q", name)
		}
	}
	if root.SuggestionsMinimumDistance == 0 {
		root.SuggestionsMinimumDistance = 2
	}
	if near := root.SuggestionsFor(name); len(near) > 0 {
		hint = "did you mean carrel help " + strings.Join(near, " or carrel help ") + "?"
	}
	return usage(hint, "there is no verb or topic %q", name)
}

func topicNames() string {
	var names []string
	for _, t := range topics.List() {
		names = append(names, t.Name)
	}
	// Two lines, where one would be wider than a terminal.
	half := (len(names) + 1) / 2
	return strings.Join(names[:half], ", ") + ",\n" + strings.Join(names[half:], ", ")
}

func pad(s string, n int) string {
	return s + strings.Repeat(" ", max(0, n-len(s)))
}

// after is what follows the name in a usage line.
func after(use string) string {
	_, rest, _ := strings.Cut(use, " ")
	return rest
}
