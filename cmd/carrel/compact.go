package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) compactCommand() *cobra.Command {
	return &cobra.Command{
		Use: "compact IMAGE", Short: "Merge what runs with --writable saved in an image", GroupID: groupImages,
		Long: "Each run with --writable that changed something adds a layer to the image. This makes one of them all.",
		Args: exactly(1, "IMAGE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := a.engine()
			if err != nil {
				return err
			}
			size, before, err := e.Compact(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if size == before {
				a.say(args[0] + " has no layers to merge")
				return nil
			}
			a.say(fmt.Sprintf("%s is %s now, %s before", args[0], bytes(size), bytes(before)))
			return nil
		},
	}
}
