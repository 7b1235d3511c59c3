package singularity

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"carrel/engine"
)

// Exit statuses of our own, which are Apptainer's; otherwise it is the container's.
const (
	exitFatal = 255
	exitUsage = 1
)

// The names under which the program is this one.
const (
	nameSingularity = "singularity"
	nameApptainer   = "apptainer"
	nameRun         = "run-singularity" // what the first line of an image names
)

// Is tells whether the program was called under one of its names here; arg0 is the path it was called by.
func Is(arg0 string) bool {
	switch filepath.Base(arg0) {
	case nameSingularity, nameApptainer, nameRun:
		return true
	}
	return false
}

// Config is everything the command line is told about its surroundings.
type Config struct {
	Arg0    string
	Args    []string // without Arg0
	In      *os.File
	Out     *os.File
	Err     *os.File
	User    engine.User // whose Env are the variables that stand for flags
	Version string
	// Engine makes the engine; insecure are registries to speak HTTP to beside those of the configuration.
	Engine func(insecure ...string) (*engine.Engine, error)
	// Accounts is filled before Engine is called; nil where flags about accounts have no effect.
	Accounts *Accounts
	// Again is this call, where it may repeat an earlier launch; or nil.
	Again *engine.Again
	// Signals hands signals that this process gets to a function until the returned one is called. Signals that a terminal
	// sends to a whole group of processes are not handed over when terminal is set.
	Signals func(terminal bool, to func(os.Signal)) (restore func())
	// Alone tells, when it is not nil, that no container comes soon: signals are then this process's own.
	Alone func()
}

// program is one call.
type program struct {
	c                    *Config
	name                 string
	debug, quiet, silent bool
	verbose, noColor     bool
	version              bool

	flags *pflag.FlagSet  // of the verb
	typed map[string]bool // those of them that were given, not taken from variables
}

// Main carries out a command line and returns the exit status.
func Main(ctx context.Context, c Config) int {
	p := &program{c: &c, name: filepath.Base(c.Arg0)}
	args := c.Args
	if p.name == nameRun {
		// ./image.sif ARGUMENT…: the kernel put the image before what was typed.
		p.name, args = nameSingularity, append([]string{"run"}, args...)
	}
	root := p.root(args)
	root.SetArgs(args)
	root.SetIn(c.In)
	out := &page{to: c.Out}
	root.SetOut(out)
	root.SetErr(c.Err)
	return p.finish(cmp.Or(root.ExecuteContext(ctx), p.unwritten(out.err)))
}

// root is the command of all verbs. Flags are made only for those that args may be about: there are some hundred, and most
// calls start a container, which should not wait for them.
func (p *program) root(args []string) *cobra.Command {
	cobra.EnableCommandSorting = false
	root := &cobra.Command{
		Use: p.name, Short: "Containers as files, for research", SilenceErrors: true, SilenceUsage: true,
		Long: "The command line of Singularity and Apptainer, by Carrel " + p.c.Version + ". `" + p.name + " help VERB` tells what a verb takes;\ndocs/compatibility.md tells what differs.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return p.unknownVerb(args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if p.version {
				name, version := p.compatible()
				return p.print(name + " version " + version + "\n")
			}
			if err := cmd.Help(); err != nil {
				return err
			}
			return statusError(exitUsage)
		},
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		TraverseChildren:  true,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		var absent *absentError
		if errors.As(err, &absent) {
			return &usageError{absent, ""}
		}
		return usage("see `"+cmd.CommandPath()+" --help`", "%w", err)
	})
	register(root.Flags(), p.globals())
	for _, v := range p.verbs() {
		root.AddCommand(p.command(v, slices.Contains(args, v.name) || v.alias != "" && slices.Contains(args, v.alias)))
	}
	root.SetHelpCommand(&cobra.Command{Use: "help [VERB …]", Short: "Tell what a verb does", RunE: func(_ *cobra.Command, args []string) error {
		target, rest, err := root.Find(args)
		if err != nil || len(rest) > 0 {
			return p.unknownVerb(strings.Join(args, " "))
		}
		return target.Help()
	}})
	return root
}

// compatible is whom --version names, and which version: workflow programs compare it with the least that they work with, read the
// last word of the line as a number (Snakemake), or the first as the kind of program (cwltool). Of Singularity's two lines
// the older one is named, because what is new in the other, OCI-SIF, is not there.
func (p *program) compatible() (name, version string) {
	if p.name == nameApptainer {
		return nameApptainer, "1.4.5"
	}
	return "singularity-ce", "3.11.4"
}

// globals are the flags before the verb.
func (p *program) globals() []option {
	return []option{
		{long: "build-config", value: &noSwitch, absent: "there is no configuration file to make one of"},
		{long: "config", short: "c", value: &noText, env: []string{"CONFIG_FILE"}, absent: "there is no configuration file of an administrator: containers have the rights of their user, and what a container sees is in its options"},
		{long: "debug", short: "d", value: &p.debug, env: []string{"DEBUG"}, help: "without effect", differs: "errors say what failed in any case"},
		{long: "nocolor", value: &p.noColor, env: []string{"NOCOLOR"}, help: "without effect", differs: "nothing is coloured"},
		{long: "quiet", short: "q", value: &p.quiet, env: []string{"QUIET"}, help: "no remarks"},
		{long: "silent", short: "s", value: &p.silent, env: []string{"SILENT"}, help: "nothing but errors"},
		{long: "verbose", short: "v", value: &p.verbose, env: []string{"VERBOSE"}, help: "the whole log of builds"},
		{long: "version", value: &p.version, help: "print the version"},
	}
}

func (p *program) unknownVerb(name string) error {
	if verb, ok := map[string]string{"caps": "capability", "keys": "key", "plugins": "plugin"}[name]; ok {
		name = verb // Apptainer's other names of these
	}
	if why, ok := absentVerbs[name]; ok {
		return &usageError{fmt.Errorf("%s %s is not there: %s", p.name, name, why), ""}
	}
	return usage("`"+p.name+" help` lists the verbs; an image is run by: "+p.name+" run IMAGE", "unknown command %q", name)
}

// engine makes the engine for an image that a verb works with.
func (p *program) engine(noHTTPS bool, names ...string) (*engine.Engine, error) {
	var insecure []string
	for _, n := range names {
		scheme, rest, ok := strings.Cut(n, "://")
		if noHTTPS && ok && (scheme == "docker" || scheme == "oras" || scheme == "library") {
			registry, _, _ := strings.Cut(rest, "/")
			insecure = append(insecure, registry)
		}
	}
	return p.c.Engine(insecure...)
}

func (p *program) lookup(name string) (string, bool) {
	for _, kv := range p.c.User.Env {
		if k, v, _ := strings.Cut(kv, "="); k == name {
			return v, true
		}
	}
	return "", false
}

func (p *program) print(text string) error {
	_, err := io.WriteString(p.c.Out, text)
	return p.unwritten(err)
}

// unwritten is what it means that something could not be written to standard output: nothing to tell of a reader that has
// gone away.
func (p *program) unwritten(err error) error {
	if errors.Is(err, syscall.EPIPE) {
		return statusError(exitFatal)
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("write to standard output: %w", e.Err)
	}
	return err
}

// page takes what cobra writes, which does not look whether it could.
type page struct {
	to  io.Writer
	err error
}

func (w *page) Write(b []byte) (int, error) {
	n, err := w.to.Write(b)
	w.err = cmp.Or(w.err, err)
	return n, err
}

// info, warn and fatal write remarks in the form that scripts of the field look for.
func (p *program) info(format string, args ...any) {
	if !p.quiet && !p.silent {
		fmt.Fprintln(p.c.Err, "INFO:    "+printable(fmt.Sprintf(format, args...)))
	}
}

func (p *program) warn(format string, args ...any) {
	if !p.silent {
		fmt.Fprintln(p.c.Err, "WARNING: "+printable(fmt.Sprintf(format, args...)))
	}
}

// printable keeps what cannot steer a terminal: texts may come from an image.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '?'
		}
		return r
	}, strings.TrimRight(s, "\n"))
}

// statusError ends the program with a status and without a word: the container said what there was to say.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// usageError is a command line that cannot be understood.
type usageError struct {
	err  error
	hint string
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// Hint says what to do about it.
func (e *usageError) Hint() string { return e.hint }

func usage(hint, format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...), hint}
}

// finish prints an error and returns the exit status.
func (p *program) finish(err error) int {
	if err == nil {
		return 0
	}
	var s statusError
	if errors.As(err, &s) {
		return int(s)
	}
	var u *usageError
	if errors.As(err, &u) {
		fmt.Fprintln(p.c.Err, "Error: "+printable(err.Error()))
		if h := engine.Hint(err); h != "" {
			fmt.Fprintln(p.c.Err, printable(h))
		}
		return exitUsage
	}
	fmt.Fprintln(p.c.Err, "FATAL:   "+printable(err.Error()))
	if h := engine.Hint(err); h != "" {
		fmt.Fprintln(p.c.Err, "         "+printable(h))
	}
	return exitFatal
}
