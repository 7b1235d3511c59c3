package main

import (
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) pushCommand() *cobra.Command {
	plain := false
	c := &cobra.Command{
		Use: "push [OPTION …] IMAGE REFERENCE", Short: "Put an image into a registry", GroupID: groupImages,
		Long: `REFERENCE is
  docker://HOST/NAME:TAG   a container image, for Docker, Podman, Kubernetes and others;
                           what it starts, its environment, ports and labels are kept
  oras://HOST/NAME:TAG     the SIF file as it is, for Carrel, Apptainer and Singularity
What the registry has already is not sent again. The reference by which exactly this
image is pulled is printed. Most registries want to know who you are: carrel login HOST`,
		Example: "  carrel push tool.sif docker://ghcr.io/lab/tool:1.2\n  carrel push tool.sif oras://ghcr.io/lab/tool:1.2-sif",
		Args:    exactly(2, "IMAGE REFERENCE"),
	}
	f := c.Flags()
	a.noHTTPS(c, &plain)
	f.BoolVarP(&a.quiet, "quiet", "q", false, "show nothing but errors")
	f.BoolVar(&a.json, "json", false, "print what happens as JSON, a line each (carrel help json)")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		a.speakHTTP(plain, args[1])
		e, err := a.engine()
		if err != nil {
			return err
		}
		progress := a.show()
		sent, err := e.Push(cmd.Context(), args[0], args[1], progress.sink)
		progress.close()
		if err != nil {
			return err
		}
		if a.json {
			return a.stream.end("result", sent)
		}
		a.say("sent %s of %s; to get it: carrel pull %s", bytes(sent.Uploaded), bytes(sent.Size), quote(args[1]))
		return a.print(exact(sent.Ref, sent.Digest) + "\n")
	}
	return c
}

// exact is the reference to an image by its digest instead of its tag.
func exact(ref, digest string) string {
	if i := strings.LastIndexByte(ref, ':'); i > strings.LastIndexByte(ref, '/') {
		ref = ref[:i]
	}
	return ref + "@" + digest
}
