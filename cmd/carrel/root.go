package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The groups in which help lists the verbs.
const (
	groupUse    = "use"
	groupImages = "images"
	groupApps   = "apps"
	groupOther  = "other"
)

// rootCommand makes the command line. Of a call that starts a container only that verb is made, because such calls are waited
// for: the others would take as long as a tenth of the start.
func rootCommand(a *app, args ...string) *cobra.Command {
	cobra.EnableCommandSorting = false // they are listed in the order of the day: run first
	root := &cobra.Command{
		Use:           "carrel",
		Short:         "A private desk for every research app",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return unknownVerb(cmd, args[0])
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case a.accessible:
				return a.openPlain(cmd.Context())
			case a.screen.is && a.page.is && isTerminal(a.in):
				return a.openScreens(cmd.Context())
			case isTerminal(a.in) && isTerminal(a.out): // one that cannot draw
				return a.openPlain(cmd.Context())
			}
			return a.plainWelcome(cmd.Context())
		},
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true}, // there is one of our own
	}
	root.AddGroup(
		&cobra.Group{ID: groupUse, Title: "Run"},
		&cobra.Group{ID: groupApps, Title: "Apps in the background"},
		&cobra.Group{ID: groupImages, Title: "Images"},
		&cobra.Group{ID: groupOther, Title: "Besides"},
	)
	a.accessibleFlag(root)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage("see "+cmd.CommandPath()+" --help", "%s", flagText(err))
	})
	root.SetHelpFunc(a.help)
	root.SetHelpCommand(a.helpCommand(root))
	if len(args) > 0 {
		if make, ok := map[string]func() *cobra.Command{"run": a.runCommand, "exec": a.execCommand, "shell": a.shellCommand}[args[0]]; ok {
			verb := make()
			verb.DisableFlagsInUseLine = true
			root.AddCommand(verb)
			return root
		}
	}
	root.AddCommand(
		a.runCommand(), a.execCommand(), a.shellCommand(),
		a.psCommand(), a.logsCommand(), a.openCommand(), a.portCommand(), a.attachCommand(), a.statsCommand(), a.topCommand(),
		a.stopCommand(), a.restartCommand(), a.waitCommand(), a.renameCommand(),
		a.lsCommand(), a.buildCommand(), a.debugCommand(), a.inspectCommand(), a.cpCommand(), a.compactCommand(), a.pullCommand(), a.pushCommand(), a.shareCommand(), a.verifyCommand(), a.rmCommand(), a.lintCommand(), a.convertCommand(), a.newCommand(),
		a.loginCommand(), a.logoutCommand(),
		a.catalogCommand(), a.cacheCommand(), a.doctorCommand(), a.completionCommand(), a.versionCommand(), a.manCommand(),
	)
	for _, c := range root.Commands() {
		c.DisableFlagsInUseLine = true
	}
	a.completions(root)
	return root
}

// flagText is an error of the flag parser in the words of this program.
func flagText(err error) string {
	if wrong, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		f := wrong.GetFlag()
		why := errors.Unwrap(wrong).Error()
		if number, ok := errors.AsType[*strconv.NumError](err); ok {
			why = "not a number it can be"
			if errors.Is(number, strconv.ErrRange) {
				why = "out of range"
			}
		}
		switch f.Value.Type() {
		case "bool":
			why = "it is true or false"
		case "duration":
			why = "not a length of time, such as 90s"
		}
		return fmt.Sprintf("--%s %s: %s", f.Name, wrong.GetValue(), why)
	}
	text := err.Error()
	text = strings.Replace(text, "unknown shorthand flag: ", "unknown option: ", 1)
	text = strings.Replace(text, "unknown flag: ", "unknown option: ", 1)
	return strings.Replace(text, "flag needs an argument: ", "a value is missing after ", 1)
}

func unknownVerb(root *cobra.Command, name string) error {
	hint := "carrel --help lists the verbs"
	if root.SuggestionsMinimumDistance == 0 {
		root.SuggestionsMinimumDistance = 2
	}
	if near := root.SuggestionsFor(name); len(near) > 0 {
		hint = "did you mean carrel " + strings.Join(near, " or carrel ") + "?"
	} else if _, err := os.Stat(name); err == nil {
		hint = "to run it: carrel run " + name
	}
	return usage(hint, "there is no verb %q", name)
}

// exactly wants n arguments; names say which.
func exactly(n int, names string) cobra.PositionalArgs { return between(n, n, names) }

// between wants at least low and at most high arguments (high < 0: any number).
func between(low, high int, names string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < low:
			return usage(fmt.Sprintf("usage: %s", cmd.UseLine()), "%s: %s is missing", cmd.Name(), missing(names, len(args)))
		case high >= 0 && len(args) > high:
			return usage(fmt.Sprintf("usage: %s", cmd.UseLine()), "%s: %q is one argument too many", cmd.Name(), args[high])
		}
		return nil
	}
}

func missing(names string, have int) string {
	all := strings.Fields(names)
	return all[min(have, len(all)-1)]
}
