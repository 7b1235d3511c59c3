package main

import (
	"strings"

	"github.com/charmbracelet/x/ansi"
	"github.com/spf13/cobra"

	"carrel/engine"
)

func (a *app) doctorCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "doctor [OPTION …]", Short: "Say what this computer can do, and what to ask an administrator for", GroupID: groupOther,
		Long: "The exit status is 1 when Carrel cannot run containers here.",
		Args: exactly(0, ""),
	}
	c.Flags().BoolVar(&a.json, "json", false, "print as JSON")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		e, err := a.engine()
		if err != nil {
			return err
		}
		checks := e.Doctor(cmd.Context())
		status := 0
		for _, c := range checks {
			if c.Status == engine.StatusBad {
				status = 1
			}
		}
		if a.json {
			err = a.printJSON(checks)
		} else {
			err = a.print(a.page.text(a.checks(checks)))
		}
		if err != nil {
			return err
		}
		return quietExit(status)
	}
	return c
}

func (a *app) checks(checks []engine.Check) string {
	t := a.page
	signs := map[engine.Status]string{engine.StatusOK: t.paint(good, "✓"), engine.StatusNote: t.paint(warn, "!"), engine.StatusBad: t.paint(bad, "✗")}
	widest := 0
	for _, c := range checks {
		widest = max(widest, ansi.StringWidth(c.Title))
	}
	var b strings.Builder
	for _, c := range checks {
		line := signs[c.Status] + " " + c.Title
		if c.Term != "" {
			line += strings.Repeat(" ", widest-ansi.StringWidth(c.Title)) + "  " + t.paint(muted, "("+c.Term+")")
		}
		b.WriteString(line + "\n")
		if c.Detail != "" && c.Status != engine.StatusOK {
			b.WriteString("    " + clean(c.Detail) + "\n")
		}
		if c.Advice != "" {
			b.WriteString("    " + c.Advice + "\n")
		}
		if c.Admin != "" {
			b.WriteString("    " + t.paint(muted, "as root:") + " " + clean(c.Admin) + "\n")
		}
	}
	return b.String()
}
