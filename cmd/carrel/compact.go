package main

import (
	"github.com/spf13/cobra"
)

func (a *app) compactCommand() *cobra.Command {
	return &cobra.Command{
		Use: "compact IMAGE", Short: "Merge what runs with --writable saved in an image", GroupID: groupImages,
		Long: `Each run with --writable that changed something adds a layer to the image. This
makes one of them all, without what was deleted. What else the image carries stays,
such as its definition and provenance; signatures, which fit no longer, do not.`,
		Args: exactly(1, "IMAGE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := a.engine()
			if err != nil {
				return err
			}
			done, err := e.Compact(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if done.Layers == 0 {
				a.say("%s has no layers to merge", args[0])
				return nil
			}
			a.say("%s is %s now, %s before", args[0], bytes(done.Size), bytes(done.Before))
			if done.Signatures > 0 {
				a.say("its signature does not fit what it holds now, and was left out: sign it again")
			}
			return nil
		},
	}
}
