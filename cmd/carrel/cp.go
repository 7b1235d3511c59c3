package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"carrel/engine"
)

func (a *app) cpCommand() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use: "cp IMAGE:PATH DEST", Short: "Copy a file or folder out of an image", GroupID: groupImages,
		Long: `Into the folder DEST, or as DEST where there is none. A file that is there already
stays, and nothing is copied, unless --force is given; folders are merged. Nothing is
started, and nothing is written outside of DEST.

Contents, names, times and permissions are copied, and links stay links. Left out are
owners (all belongs to you), the set-user-id mark, extended attributes (ACLs and
capabilities, too), and devices and sockets, which are listed.`,
		Example: "  carrel cp jupyter.img:/opt/notebooks .\n  carrel cp docker://alpine:/etc/os-release release",
		Args:    between(2, 2, "IMAGE:PATH DEST"),
	}
	f := c.Flags()
	f.BoolVarP(&force, "force", "F", false, "replace files that are there")
	f.BoolVar(&a.json, "json", false, "print what was copied as JSON")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "show nothing but errors")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		image, at, ok := cutInside(args[0])
		if !ok {
			return usage("usage: carrel cp IMAGE:PATH DEST", "cp: %q names no path in an image", args[0])
		}
		e, err := a.engine()
		if err != nil {
			return err
		}
		copyOut := e.CopyOutNew
		if force {
			copyOut = e.CopyOut
		}
		done, err := copyOut(cmd.Context(), image, at, args[1])
		if errors.Is(err, engine.ErrExists) {
			return hinted(err, "nothing was copied: add --force to replace it, or name another place")
		}
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(done)
		}
		if !a.quiet {
			a.say("copied %s (%s) to %s", countFiles(done.Files), bytes(done.Bytes), tilde(done.Path, a.home()))
		}
		for _, p := range done.Skipped {
			a.say("left out, because it is a device or socket: %s", clean(p))
		}
		return nil
	}
	return c
}

// cutInside cuts IMAGE:PATH at the last colon that an absolute path follows, or at the last one where there is no such.
func cutInside(s string) (image, at string, ok bool) {
	i := strings.LastIndex(s, ":/")
	if i > 0 && strings.HasPrefix(s[i:], "://") { // of a scheme
		i = -1
	}
	if i < 0 {
		i = strings.LastIndex(s, ":")
	}
	if i <= 0 || i == len(s)-1 {
		return "", "", false
	}
	return s[:i], s[i+1:], true
}
