package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"carrel/engine"
)

func (a *app) pullCommand() *cobra.Command {
	var spec engine.PullSpec
	plain := false
	c := &cobra.Command{
		Use: "pull [OPTION …] [FILE] REFERENCE", Short: "Get an image from a registry or a web server", GroupID: groupImages,
		Long: `REFERENCE is
  docker://NAME:TAG               a container image, which becomes a SIF file
  oras://HOST/NAME:TAG            a SIF file that a registry keeps
  library://ENTITY/COLLECTION/NAME:TAG   one of a Sylabs library
  https://HOST/image.sif          one on a web server
FILE is NAME_TAG.sif unless said otherwise. The digest and the file are printed; with
NAME@DIGEST instead of NAME:TAG exactly this image is got again. A download that broke
off goes on where it was, but for one from a web server.`,
		Example: "  carrel pull docker://debian:12-slim\n  carrel pull --force tool.sif docker://ghcr.io/lab/tool:1.2\n  carrel pull oras://ghcr.io/lab/tool:1.2",
		Args:    between(1, 2, "REFERENCE"),
	}
	f := c.Flags()
	f.BoolVarP(&spec.Force, "force", "F", false, "replace FILE when it exists")
	f.StringVar(&spec.Platform, "platform", "", "for another computer, as `OS/ARCH` (linux/arm64)")
	a.noHTTPS(c, &plain)
	f.BoolVarP(&a.quiet, "quiet", "q", false, "show nothing but errors")
	f.BoolVar(&a.json, "json", false, "print what happens as JSON, a line each (carrel help json)")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		spec.Ref = args[len(args)-1]
		if len(args) == 2 {
			spec.Target = args[0]
		}
		a.speakHTTP(plain, spec.Ref)
		e, err := a.engine()
		if err != nil {
			return err
		}
		progress := a.show()
		got, err := e.Pull(cmd.Context(), spec, progress.sink)
		progress.close()
		if errors.Is(err, engine.ErrExists) && engine.Hint(err) == "" {
			return hinted(err, "add --force to replace it")
		}
		if err != nil {
			return err
		}
		if a.json {
			return a.stream.end("result", got)
		}
		name := got.Path
		if spec.Target == "" {
			name = got.Name
		}
		a.say("got %s (%s); run it: carrel run %s", tilde(got.Path, a.home()), bytes(got.Size), quote(name))
		return a.print(got.Digest + "  " + clean(name) + "\n")
	}
	return c
}

// noHTTPS adds the flag for registries without TLS, under the names that others have for it.
func (a *app) noHTTPS(c *cobra.Command, plain *bool) {
	c.Flags().BoolVar(plain, "no-https", false, "speak HTTP to the registry, if it has no HTTPS")
	c.Flags().BoolVar(plain, "insecure", false, "")
	_ = c.Flags().MarkHidden("insecure") // it exists: the line above made it
}

// speakHTTP lets the engine, which is not made yet, speak HTTP to the registry of a reference.
func (a *app) speakHTTP(plain bool, ref string) {
	if !plain {
		return
	}
	if _, rest, ok := strings.Cut(ref, "://"); ok {
		ref = rest
	}
	host, _, _ := strings.Cut(ref, "/")
	a.insecure = append(a.insecure, host)
}
