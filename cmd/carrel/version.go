package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// What the Makefile and scripts/release set: the version, its commit, and the commit's time (RFC 3339).
var buildVersion, buildCommit, buildDate string

func (a *app) versionCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "version [OPTION …]", Short: "Print the version, its commit and date", GroupID: groupOther, Args: exactly(0, ""),
	}
	c.Flags().BoolVar(&a.json, "json", false, "print as JSON")
	c.RunE = func(*cobra.Command, []string) error {
		commit, date := built()
		if a.json {
			return a.printJSON(map[string]string{
				"version": version(), "commit": commit, "date": date, "os": runtime.GOOS, "arch": runtime.GOARCH, "go": runtime.Version(),
			})
		}
		text := fmt.Sprintf("carrel %s (%s/%s)\n", version(), runtime.GOOS, runtime.GOARCH)
		if commit != "" {
			text += fmt.Sprintf("commit %.12s", commit)
			if date != "" {
				text += " of " + strings.ReplaceAll(date, "T", " ")
			}
			text += "\n"
		}
		return a.print(text)
	}
	return c
}

func version() string {
	if buildVersion != "" {
		return buildVersion
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "development"
}

// built is the commit this program was built from and its time, as far as the build says; empty otherwise.
func built() (commit, date string) {
	commit, date = buildCommit, buildDate
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				commit = cmp.Or(commit, s.Value)
			case "vcs.time":
				date = cmp.Or(date, s.Value)
			}
		}
	}
	return commit, date
}
