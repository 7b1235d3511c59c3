package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", GroupID: groupOther, Args: exactly(0, ""),
		RunE: func(*cobra.Command, []string) error {
			return a.print(fmt.Sprintf("carrel %s (%s/%s)\n", version(), runtime.GOOS, runtime.GOARCH))
		},
	}
}
