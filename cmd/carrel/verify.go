package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) verifyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "verify IMAGE", Short: "Compare an image with the digests that it carries", GroupID: groupImages,
		Long: "Tells whether an image is as it was made, or was cut short, damaged or altered since.",
		Args: exactly(1, "IMAGE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := a.engine()
			if err != nil {
				return err
			}
			parts, vouched, err := e.Verify(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if vouched == 0 {
				return hinted(fmt.Errorf("verify %s: it carries neither a signature nor digests", args[0]), "images that Carrel builds carry digests")
			}
			a.say("%s is as it was made: %d of %d parts match their digests", args[0], vouched, parts)
			return nil
		},
	}
}
