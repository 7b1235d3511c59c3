package singularity

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// verb is one command, or a group of them.
type verb struct {
	name, args   string // "exec", "IMAGE COMMAND [ARGUMENT …]"
	short        string
	low, high    int // how many arguments it takes; high < 0: any number
	options      []option
	differs      string // in what it is not Apptainer's
	legacy       string // since when Apptainer has it no more
	alias        string // another name
	interspersed bool   // flags may follow arguments, which then are no container's
	run          func(ctx context.Context, args []string) error
	below        []verb
}

// noServices is why there are no remote endpoints.
const noServices = "there are no services with accounts beside registries; another library is named in the settings: library = https://…"

// absentVerbs are those of Apptainer that are not there, by their full names.
var absentVerbs = map[string]string{
	"capability": "a container's capabilities count in its own user namespace only, so there is nothing to grant",
	"checkpoint": "checkpoints are not supported; the state worth keeping is in bound folders and in what --writable keeps",
	"completion": "`carrel completion` makes one for carrel, whose verbs are nearly the same",
	"config":     "there is no configuration of an administrator, and --fakeroot needs none",
	"delete":     "libraries (library://) are accounts of a service; images are deleted as files",
	"key":        "keys are not kept: `verify` reads those that Apptainer or gpg keep, or --key FILE",
	"keyserver":  "no key server is asked; `verify --key FILE` takes the key that you have got from its owner",
	"oci":        "it runs OCI bundles as root by runc; docker:// and oci: images are run by run, exec and shell",
	"plugin":     "there are no plugins",

	"remote add":    noServices,
	"remote remove": noServices,
	"remote status": noServices,
	"remote use":    noServices,

	"search": "it searches a library service; `carrel catalog` searches definition files",
	"sign":   "private keys are not handled; `apptainer sign` signs an image of Carrel's too, and `verify` tells whether such a signature is right",
}

// verbs are all commands in the order in which help lists them.
func (p *program) verbs() []verb {
	return []verb{
		p.actionVerb("run", "IMAGE [ARGUMENT …]", "Run what an image is made for"),
		p.actionVerb("exec", "IMAGE COMMAND [ARGUMENT …]", "Run a command inside an image"),
		p.actionVerb("shell", "IMAGE", "Open a shell inside an image"),
		p.actionVerb("test", "IMAGE [ARGUMENT …]", "Run an image's test"),
		p.buildVerb(), p.createVerb(), p.bootstrapVerb(), p.pullVerb(), p.pushVerb(),
		p.inspectVerb(), p.runHelpVerb(), p.verifyVerb(),
		{name: "instance", short: "Containers in the background", below: []verb{
			p.instanceStartVerb("start", "the startscript"), p.instanceStartVerb("run", "the runscript"), p.instanceListVerb(), p.instanceStatsVerb(), p.instanceStopVerb(),
		}},
		p.registryVerb(), p.remoteVerb(),
		{name: "cache", short: "What builds keep to be quick the next time", below: []verb{p.cacheListVerb(), p.cacheCleanVerb()}},
		{name: "overlay", short: "Files that keep changes", below: []verb{p.overlayCreateVerb()}},
		{name: "sif", alias: "siftool", short: "Look into SIF files, and change them", below: []verb{p.sifListVerb(), p.sifHeaderVerb(), p.sifInfoVerb(), p.sifDumpVerb(),
			p.sifNewVerb(), p.sifAddVerb(), p.sifDelVerb(), p.sifSetPrimVerb()}},
		{name: "version", short: "Print the version", differs: "the version is that of the program whose command line is understood; `help` tells Carrel's", run: func(context.Context, []string) error {
			_, version := p.compatible()
			return p.print(version + "\n")
		}},
	}
}

// command makes cobra's form of a verb, with its flags or without.
func (p *program) command(v verb, flags bool) *cobra.Command {
	c := &cobra.Command{Use: strings.TrimSpace(v.name + " " + v.args), Short: v.short, DisableFlagsInUseLine: true}
	if v.alias != "" {
		c.Aliases = []string{v.alias}
	}
	if v.differs != "" {
		c.Long = v.short + ".\n\nOther than Apptainer's: " + v.differs + "."
	}
	c.Flags().SetInterspersed(v.interspersed)
	if flags {
		register(c.Flags(), v.options)
	}
	for _, b := range v.below {
		c.AddCommand(p.command(b, flags))
	}
	c.Args = func(cmd *cobra.Command, args []string) error {
		if v.run == nil {
			if len(args) > 0 {
				return p.unknownVerb(v.name + " " + args[0])
			}
			return nil
		}
		switch {
		case len(args) < v.low:
			return usage("Usage: "+cmd.UseLine(), "%s: requires at least %d arg(s), only received %d", cmd.CommandPath(), v.low, len(args))
		case v.high >= 0 && len(args) > v.high:
			return usage("Usage: "+cmd.UseLine(), "%s: accepts at most %d arg(s), received %d", cmd.CommandPath(), v.high, len(args))
		}
		return nil
	}
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if v.run == nil {
			if err := cmd.Help(); err != nil {
				return err
			}
			return statusError(exitUsage)
		}
		p.flags, p.typed = cmd.Flags(), map[string]bool{}
		p.flags.Visit(func(f *pflag.Flag) { p.typed[f.Name] = true })
		if err := twins(cmd.Root().Flags(), p.globals(), p.lookup, p.warn); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		if err := twins(cmd.Flags(), v.options, p.lookup, p.warn); err != nil {
			return fmt.Errorf("%s: %w", cmd.Name(), err)
		}
		return v.run(cmd.Context(), args)
	}
	return c
}
