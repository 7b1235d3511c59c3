package main

import (
	"context"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"carrel/engine"
)

// shells are those that completion is written for.
var shells = []string{"bash", "zsh", "fish"}

func (a *app) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "completion SHELL", Short: "Print what makes the Tab key of a shell complete names", GroupID: groupOther,
		Long: `SHELL is bash, zsh or fish. Verbs, options, apps, images and entries of the catalog are
completed. make install puts it where shells look for it; without that:`,
		Example: `  bash   echo 'source <(carrel completion bash)' >> ~/.bashrc
  zsh    carrel completion zsh > "${fpath[1]}/_carrel"
  fish   carrel completion fish > ~/.config/fish/completions/carrel.fish`,
		Args:      exactly(1, "SHELL"),
		ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(a.out, true)
			case "zsh":
				return root.GenZshCompletion(a.out)
			case "fish":
				return root.GenFishCompletion(a.out, true)
			}
			return usage("the shells are bash, zsh and fish", "shell %q is not known", args[0])
		},
	}
}

type completion = func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective)

// What can stand for an argument.
type things uint

const (
	running things = 1 << iota // apps
	ended                      // apps, and those of the history
	images                     // of Carrel's own
	recipes                    // of the catalog
	files                      // of this computer
	shelves                    // catalogs that were added
	logins                     // registries with a stored password
	kinds                      // of what is in the cache
)

// completions tells each verb what its arguments can be.
func (a *app) completions(root *cobra.Command) {
	first := func(what things) completion { return a.completeArg(what, 1) }
	every := func(what things) completion { return a.completeArg(what, -1) }
	image := images | recipes | files
	for verb, f := range map[string]completion{
		"run": first(image), "exec": first(image | running), "shell": first(image | running), "debug": first(image),
		"logs": first(running | ended), "open": first(running), "port": first(running), "attach": first(running), "top": first(running),
		"stats": every(running), "stop": every(running), "restart": every(running | ended), "wait": every(running | ended),
		"rename": first(running | ended), "rm": every(ended | images | files),
		"build": first(image), "inspect": first(image), "compact": first(images | files), "verify": first(images | files), "lint": every(files | recipes),
		"cp": first(images | files), "share": first(images | files), "push": first(images | files), "convert": first(files), "new": first(files),
		"logout": first(logins), "cache prune": every(kinds), "catalog show": first(recipes), "catalog allow": every(recipes),
		"catalog update": every(shelves), "catalog rm": every(shelves), "catalog add": first(files), "catalog index": first(files),
		"ps": every(0), "ls": every(0), "doctor": every(0), "version": every(0),
	} {
		if c, _, err := root.Find(strings.Fields(verb)); err == nil && c != root && c.ValidArgsFunction == nil {
			c.ValidArgsFunction = f
		}
	}
	for _, c := range root.Commands() {
		for name, f := range map[string]completion{
			"net":       fixed("host", "private", "none"),
			"leftovers": fixed("keep", "discard", "show"),
			"restart":   fixed("no", "on-failure", "always"),
			"guard":     fixed("on", "off", "auto"),
		} {
			if c.Flags().Lookup(name) != nil {
				_ = c.RegisterFlagCompletionFunc(name, f) // an error is a function that the verb has already
			}
		}
	}
}

func fixed(values ...string) completion {
	return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return values, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeArg completes the first most arguments (negative: all).
func (a *app) completeArg(what things, most int) completion {
	return func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if most >= 0 && len(args) >= most {
			if what&files != 0 && (cmd.Name() == "run" || cmd.Name() == "exec") {
				return nil, cobra.ShellCompDirectiveDefault // the app's own: often files
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		directive := cobra.ShellCompDirectiveNoFileComp
		if what&files != 0 {
			directive = cobra.ShellCompDirectiveDefault
		}
		if strings.ContainsAny(typed, "/~") {
			return nil, directive
		}
		var out []cobra.Completion
		for _, c := range a.names(cmd.Context(), what) {
			name, _, _ := strings.Cut(c, "\t")
			if strings.HasPrefix(name, typed) && !slices.Contains(args, name) {
				out = append(out, c)
			}
		}
		if what&files != 0 && len(out) > 0 {
			out = append(out, filesLike(typed)...) // a shell that is given names looks for no files
			directive = cobra.ShellCompDirectiveNoFileComp
		}
		return out, directive
	}
}

// filesLike are the files of the current folder that begin with what was typed.
func filesLike(typed string) []cobra.Completion {
	list, _ := os.ReadDir(".") // a folder that cannot be read completes nothing
	var out []cobra.Completion
	for _, e := range list {
		name := e.Name()
		if !strings.HasPrefix(name, typed) || strings.HasPrefix(name, ".") && typed == "" {
			continue
		}
		if e.IsDir() {
			name += "/"
		}
		out = append(out, name)
	}
	return out
}

// names lists things by their names, each once, with a word about it. What cannot be read completes nothing: a shell shows
// no errors.
func (a *app) names(ctx context.Context, what things) []cobra.Completion {
	var out []cobra.Completion
	have := map[string]bool{}
	add := func(name, about string) {
		if name = clean(name); name != "" && !have[name] {
			have[name] = true
			out = append(out, cobra.CompletionWithDesc(name, clean(about)))
		}
	}
	e, err := a.engine()
	if err != nil {
		return nil
	}
	if what&(running|ended) != 0 {
		list, _ := e.Instances(ctx)
		if what&ended != 0 {
			old, _ := e.History(ctx)
			list = append(list, old...)
		}
		for _, in := range list {
			if live := in.State.Live(); live && what&running != 0 || !live && what&ended != 0 {
				add(in.Name, stateText(in))
			}
		}
	}
	if what&images != 0 {
		list, _ := e.Images(ctx)
		for _, i := range list {
			if i.InStore {
				add(imageName(i), i.Title)
			}
		}
	}
	if what&logins != 0 {
		list, _ := e.Logins()
		for _, l := range list {
			add(l.Registry, l.User)
		}
	}
	if what&kinds != 0 {
		for _, k := range cacheKinds {
			add(k.kind, k.text)
		}
	}
	if what&shelves != 0 {
		if st, err := a.settings(); err == nil {
			list, _ := a.shelf(st).List()
			for _, c := range list {
				add(c.Name, c.Address)
			}
		}
	}
	if what&recipes != 0 {
		if all, err := a.catalog(); err == nil {
			for _, entry := range all.List() {
				add(entry.ID(), entry.Card.Title)
			}
		}
	}
	return out
}

// imageName is what a person types for an image of the store.
func imageName(i engine.ImageInfo) string {
	for _, ext := range []string{".sif", ".sqsh", ".img"} {
		if name, ok := strings.CutSuffix(i.Name, ext); ok {
			return name
		}
	}
	return i.Name
}
