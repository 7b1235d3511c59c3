package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"carrel/catalog/propose"
	"carrel/engine"
	"carrel/engine/definition"
	"carrel/internal/atomicfile"
)

// newFlags are the options of new.
type newFlags struct {
	kind, title, command, out string
	port                      int
	yes, force, list          bool
}

func (a *app) newCommand() *cobra.Command {
	var o newFlags
	kinds := make([]string, 0, len(propose.Kinds))
	for _, k := range propose.Kinds {
		kinds = append(kinds, fmt.Sprintf("  %-11s %s", k.Kind, k.Text))
	}
	c := &cobra.Command{
		Use: "new [OPTION …] [FOLDER]", Short: "Write a definition file for what is in a folder", GroupID: groupImages,
		Long: `Carrel looks at FOLDER (the current one when it is left out): notebooks, scripts,
apps, pages, a Dockerfile, environment.yml, requirements.txt, install.R, apt.txt,
postBuild. It proposes what to run, asks where it cannot know, and writes FOLDER/Singularity,
which carrel build makes an image of. Nothing in the folder is executed for it.

Kinds:
` + strings.Join(kinds, "\n"),
		Example: "  carrel new\n  carrel new --kind page --title \"Our results\" site\n  carrel new --yes --out - analysis",
		Args:    between(0, 1, "FOLDER"),
	}
	f := c.Flags()
	f.StringVar(&o.kind, "kind", "", "`KIND` of app, where the folder does not say or holds several")
	f.StringVar(&o.title, "title", "", "`TITLE` of what it is")
	f.StringVar(&o.command, "command", "", "the `COMMAND` that starts it, in its folder")
	f.IntVar(&o.port, "port", 0, "`PORT` it listens on")
	f.StringVarP(&o.out, "out", "o", "", "`FILE` to write; - prints it")
	f.BoolVarP(&o.yes, "yes", "y", false, "take the first proposal, and ask nothing")
	f.BoolVarP(&o.force, "force", "F", false, "replace the file when it exists")
	f.BoolVar(&o.list, "list", false, "only list what could be run")
	f.BoolVar(&a.json, "json", false, "print the proposals as JSON, and write nothing")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		dir := "."
		if len(args) == 1 {
			dir = args[0]
		}
		return a.makeNew(cmd.Context(), dir, o)
	}
	return c
}

func (a *app) makeNew(ctx context.Context, dir string, o newFlags) error {
	full, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if st, err := os.Stat(full); err != nil || !st.IsDir() {
		return hinted(fmt.Errorf("look at %s: there is no such folder", dir), "give the folder that holds your files")
	}
	if o.port < 0 || o.port > 65535 {
		return usage("a port is a number from 1 to 65535", "port %d", o.port)
	}
	files, options := os.DirFS(full), propose.Options{Name: filepath.Base(full)}
	all, err := propose.Look(ctx, files, options)
	var broken *propose.FileError
	if errors.As(err, &broken) && (o.kind != "" || isTerminal(a.in) && !o.yes && !o.list && !a.json) { // a person can choose something else
		a.say("%s", lines(broken.Error()))
		err = nil
	}
	if err != nil {
		return err
	}
	if a.json {
		if all == nil {
			all = []propose.Spec{}
		}
		return a.printJSON(all)
	}
	if o.list {
		if len(all) == 0 {
			a.say("nothing in this folder says what to run; see the kinds in carrel new --help")
		}
		rows := [][]string{{"KIND", "WHAT", "SEEN"}}
		for _, s := range all {
			rows = append(rows, []string{string(s.Kind), clean(s.Description), clean(s.Why)})
		}
		return a.print(a.page.text(a.page.columns(rows, nil)))
	}
	asks := !o.yes && isTerminal(a.in) && isTerminal(a.err)
	var s propose.Spec
	switch {
	case o.kind != "":
		i := slices.IndexFunc(all, func(s propose.Spec) bool { return string(s.Kind) == o.kind })
		if i >= 0 {
			s = all[i]
		} else if s, err = propose.Default(ctx, propose.Kind(o.kind), files, options); err != nil {
			return usage("see the kinds in carrel new --help", "%v", err)
		}
	case asks:
		if s, err = a.chooseNew(ctx, all, files, options); err != nil {
			return err
		}
	case len(all) > 0:
		s = all[0]
	default:
		return hinted(fmt.Errorf("look at %s: nothing in it says what to run", dir), "say it with --kind; carrel new --help lists the kinds")
	}
	if o.title != "" {
		s.Title = o.title
	}
	if o.command != "" {
		s.Command = o.command
	}
	if o.port != 0 {
		s.Port = o.port
	}
	out := o.out
	if out == "" {
		out = filepath.Join(dir, "Singularity")
	}
	if out != "-" && !o.force {
		if _, err := os.Lstat(out); err == nil {
			if !asks || a.choose(out+" exists already. Replace it? [y/N]") != "y" {
				return hinted(fmt.Errorf("write %s: it exists already", out), "add --force to replace it, or write another one with --out FILE")
			}
		} else if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("write %s: %w", out, err)
		}
	}
	if asks && s.Text == "" {
		a.askNew(&s, o)
	}
	for _, r := range s.Remarks {
		a.say("%s", clean(r))
	}
	text := s.Definition()
	if out == "-" {
		return a.print(text)
	}
	if err := atomicfile.WriteFile(out, []byte(text), 0o644); err != nil {
		return fmt.Errorf("write %s: %w", out, err)
	}
	a.say("wrote %s", out)
	image := strings.ToLower(strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == '.' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return ' '
	}, s.Title)), "-"))
	if image == "" {
		image = "app"
	}
	image += ".sif"
	if !asks {
		a.say("build it: carrel build %s %s", quote(image), quote(out))
		return nil
	}
	return a.afterNew(ctx, s, out, image)
}

// chooseNew asks what is to be run.
func (a *app) chooseNew(ctx context.Context, all []propose.Spec, files fs.FS, o propose.Options) (propose.Spec, error) {
	a.say("What do you want to run?")
	n := 0
	var other []propose.Kind
	for _, s := range all {
		n++
		a.say("  %2d  %s (%s)", n, clean(s.Description), clean(s.Why))
	}
	if len(all) > 0 {
		a.say("      or something else:")
	}
	for _, k := range propose.Kinds {
		if !slices.ContainsFunc(all, func(s propose.Spec) bool { return s.Kind == k.Kind }) {
			n++
			other = append(other, k.Kind)
			a.say("  %2d  %s", n, k.Text)
		}
	}
	for {
		answer := a.choose("Number [1], q leaves:")
		if answer == "q" || answer == "n" {
			return propose.Spec{}, quietExit(exitFailure)
		}
		i, err := strconv.Atoi(answer)
		if answer == "" {
			i, err = 1, nil
		}
		switch {
		case err != nil || i < 1 || i > n:
			a.say("write a number from 1 to %d", n)
		case i <= len(all):
			return all[i-1], nil
		default:
			return propose.Default(ctx, other[i-1-len(all)], files, o)
		}
	}
}

// askNew asks for the values that the options did not give.
func (a *app) askNew(s *propose.Spec, o newFlags) {
	if o.title == "" {
		s.Title = a.answer("Its title", s.Title)
	}
	if o.command == "" {
		s.Command = a.answer("The command that starts it", s.Command)
	}
	if o.port == 0 && s.Port > 0 {
		for {
			text := a.answer("The port it listens on inside the container", strconv.Itoa(s.Port))
			if n, err := strconv.Atoi(text); err == nil && n > 0 && n < 65536 {
				s.Port = n
				break
			}
			a.say("write a number from 1 to 65535")
		}
	}
	if s.Folder != "" {
		q := "Share the folder when it starts, or put a copy of it into the image? s/c"
		usual := "s"
		if s.Include {
			usual = "c"
		}
		s.Include = strings.HasPrefix(strings.ToLower(a.answer(q, usual)), "c")
	}
}

// answer asks for a value; Enter takes the usual one.
func (a *app) answer(question, usual string) string {
	fmt.Fprintf(a.err, "%s [%s]: ", question, clean(usual))
	text, ok := a.readLine()
	if text = strings.TrimSpace(text); text == "" || !ok {
		return usual
	}
	return text
}

// afterNew offers what comes next.
func (a *app) afterNew(ctx context.Context, s propose.Spec, out, image string) error {
	for {
		switch a.choose("Build and start it now (b), see it (v), edit it (e), or leave it at that (Enter)?") {
		case "v":
			text, err := os.ReadFile(out)
			if err != nil {
				return err
			}
			fmt.Fprint(a.err, ending(lines(string(text))))
		case "e":
			if err := a.edit(ctx, out); err != nil {
				a.say("%s", lines(err.Error()))
			}
		case "b":
			return a.buildNew(ctx, s, out, image)
		default:
			a.say("build it: carrel build %s %s", quote(image), quote(out))
			return nil
		}
	}
}

// editor is the person's editor with its arguments, nil where there is none.
func editor(getenv func(string) string) []string {
	for _, v := range []string{getenv("VISUAL"), getenv("EDITOR"), "sensible-editor", "nano", "vi"} {
		parts := strings.Fields(v)
		if len(parts) == 0 {
			continue
		}
		if path, err := exec.LookPath(parts[0]); err == nil {
			return append([]string{path}, parts[1:]...)
		}
	}
	return nil
}

// pager is what files are read with, nil where there is nothing; what they hold does not steer the terminal.
func pager(getenv func(string) string) []string {
	for _, v := range []string{getenv("PAGER"), "less -R", "more"} {
		parts := strings.Fields(v)
		if len(parts) == 0 || parts[0] == "cat" { // it would be gone at once
			continue
		}
		if path, err := exec.LookPath(parts[0]); err == nil {
			return append([]string{path}, parts[1:]...)
		}
	}
	return nil
}

// edit opens the person's editor.
func (a *app) edit(ctx context.Context, file string) error {
	program := editor(os.Getenv)
	if program == nil {
		return hinted(errors.New("no editor was found"), "set EDITOR to the one you use")
	}
	cmd := exec.CommandContext(ctx, program[0], append(program[1:], file)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.in, a.out, a.err
	return cmd.Run()
}

// buildNew builds what was written and starts it.
func (a *app) buildNew(ctx context.Context, s propose.Spec, out, image string) error {
	e, err := a.engine()
	if err != nil {
		return err
	}
	if text, err := os.ReadFile(out); err == nil {
		if _, err := definition.ParseString(string(text), definition.Options{Name: out}); err != nil {
			return err
		}
	}
	progress := a.newSteps()
	info, err := e.Convert(ctx, engine.BuildSpec{Definition: out, Target: image, Compression: "zstd"}, "", progress.sink())
	progress.close()
	if err != nil {
		if errors.Is(err, engine.ErrExists) {
			return hinted(err, "build it under another name: carrel build NAME.sif "+quote(out))
		}
		return err
	}
	var ports, binds []string
	if s.Port > 0 {
		ports = []string{strconv.Itoa(s.Port)}
	}
	if !s.Include && s.Folder != "" {
		binds = []string{filepath.Dir(out) + ":" + s.Folder}
	}
	l := launchFlags{binds: binds, ports: ports}
	spec, err := a.complete(&l)
	if err != nil {
		return err
	}
	spec.Image, spec.Action = info.Path, engine.ActionRun
	return a.foreground(ctx, spec)
}
