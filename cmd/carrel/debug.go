package main

import (
	"os"

	"github.com/spf13/cobra"

	"carrel/engine"
)

func (a *app) debugCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "debug IMAGE [COMMAND …]", Short: "Open a shell in the container of a failed build, as it was", GroupID: groupImages,
		Long: `IMAGE is what was to be built. What is changed there stays: carrel build --resume
goes on with it, from the section that failed.`,
		Args: between(1, -1, "IMAGE"),
	}
	c.Flags().SetInterspersed(false) // what follows the image is the command
	c.RunE = func(cmd *cobra.Command, args []string) error {
		e, err := a.engine()
		if err != nil {
			return err
		}
		status, err := e.Debug(cmd.Context(), engine.DebugSpec{Target: args[0], Args: args[1:], Term: os.Getenv("TERM")}, engine.Stdio{In: a.in, Out: a.out, Err: a.err})
		if err != nil {
			return err
		}
		return quietExit(status)
	}
	return c
}
