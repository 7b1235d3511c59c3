package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"carrel/catalog"
	"carrel/catalog/shelf"
	"carrel/engine"
	"carrel/internal/remember"
	"carrel/tui/task"
)

// shelf is where added catalogs are kept.
func (a *app) shelf(s settings) *shelf.Shelf {
	git, _ := exec.LookPath("git") // without it, adding a repository says so
	return &shelf.Shelf{Dir: filepath.Join(s.dirs.Data, "catalogs"), Git: git, Env: os.Environ(), Cwd: s.user.Cwd, Home: s.dirs.Home,
		Say: func(text string) { a.say("%s", clean(text)) }}
}

// library is the catalog as the screens use it, with the person's consents.
func (a *app) library(s settings) task.Library {
	return task.Library{Load: a.readCatalog, Consents: remember.At(filepath.Join(s.dirs.State, "consents.json")), Shelf: a.shelf(s)}
}

// unseen is the error of building what somebody else wrote and nobody has agreed to.
func unseen(e *catalog.Entry) error {
	lines := e.Explain()
	if len(lines) == 0 && e.Err != nil {
		return e.Err
	}
	for i, line := range lines {
		lines[i] = clean(line)
	}
	return hinted(fmt.Errorf("build %s: nobody has looked at it yet\n%s", clean(e.ID()), strings.Join(lines, "\n")),
		"look at it: carrel catalog show --deffile "+quote(e.ID())+"; and let it be built: carrel catalog allow "+quote(e.ID()))
}

// consent asks a person at a terminal before something that somebody else wrote is built for the first time. Without one it
// is left to the build, which refuses (entries).
func (a *app) consent(ctx context.Context, name string) error {
	e, err := a.engine()
	if err != nil {
		return err
	}
	t, err := e.Resolve(ctx, name)
	if err != nil || t.Kind != engine.TargetCatalog {
		return nil // the build itself says what is wrong
	}
	entry, err := a.find(t.Name)
	if err != nil {
		return nil
	}
	s, err := a.settings()
	if err != nil {
		return err
	}
	l := a.library(s)
	lines := entry.Explain()
	if len(lines) == 0 || l.Allowed(entry) {
		return nil
	}
	if !isTerminal(a.in) || !isTerminal(a.err) {
		return unseen(entry)
	}
	for _, line := range lines {
		a.say("%s", clean(line))
	}
	for {
		switch a.choose("build it (y), show its definition (v), or leave it (Enter)?") {
		case "y", "yes":
			return l.Consents.Save(entry.Consent(), map[string]string{"entry": entry.ID(), "source": entry.Source.Name})
		case "v":
			fmt.Fprint(a.err, lines2(entry.Raw))
		default:
			return hinted(fmt.Errorf("build %s: left", clean(entry.ID())), "nothing was downloaded or run")
		}
	}
}

// lines2 is a text whose control characters, line ends apart, are made harmless.
func lines2(text string) string { return ending(lines(text)) }

// find is an entry of the catalog.
func (a *app) find(name string) (*catalog.Entry, error) {
	for _, load := range []func() (*catalog.Catalog, error){a.near, a.catalog} {
		c, err := load()
		if err != nil {
			return nil, err
		}
		if e, err := c.Find(name); err == nil {
			return e, nil
		}
	}
	c, err := a.catalog()
	if err != nil {
		return nil, err
	}
	return c.Find(name)
}

// readCatalog reads all sources: folders of the configuration, the built-in one, and what was added.
func (a *app) readCatalog(ctx context.Context) (*catalog.Catalog, error) {
	return a.loadCatalog(ctx, true)
}

func (a *app) loadCatalog(ctx context.Context, added bool) (*catalog.Catalog, error) {
	s, err := a.settings()
	if err != nil {
		return nil, err
	}
	var sources []catalog.Source
	for _, dir := range s.config.Catalogs {
		sources = append(sources, catalog.Dir(absolute(dir, s)))
	}
	// A catalog of somebody else's cannot take the place of what is built in.
	sources = append(sources, catalog.Internal())
	if added {
		more, err := a.shelf(s).Sources()
		if err != nil {
			a.say("%s", lines(err.Error()))
		}
		sources = append(sources, more...)
	}
	return catalog.Load(ctx, sources...)
}

// shelfCommands are the verbs of catalog that add, update and remove.
func (a *app) shelfCommands() []*cobra.Command {
	var request shelf.Request
	add := &cobra.Command{
		Use: "add ADDRESS", Short: "Add a folder, a git repository, a packed folder or an index",
		Long: `ADDRESS is a folder; a git repository (https://host/owner/name, git@host:owner/name,
with #BRANCH, #TAG or @COMMIT at its end to follow or pin that); a packed folder
(https://host/name.tar.gz); or an index that carrel catalog index wrote.

Definition files are found at any depth: NAME/Singularity, Singularity.TAG, NAME.def,
and container.yaml as in shpc. Nothing of it is run; before an app of it is built for
the first time, Carrel shows what building it does.`,
		Example: "  carrel catalog add https://github.com/lab/recipes\n  carrel catalog add --name lab ~/recipes\n  carrel catalog add https://host/recipes.tar.gz",
		Args:    exactly(1, "ADDRESS"),
	}
	add.Flags().StringVar(&request.Name, "name", "", "`NAME` to call it; the address's last part otherwise")
	add.Flags().StringVar(&request.Ref, "ref", "", "the `BRANCH`, tag or commit of a repository")
	add.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := a.settings()
		if err != nil {
			return err
		}
		request.Address = args[0]
		sh := a.shelf(s)
		added, err := sh.Add(cmd.Context(), request)
		if err != nil {
			if errors.Is(err, shelf.ErrExists) {
				return hinted(err, "give it another name with --name, or bring it up to date: carrel catalog update")
			}
			return err
		}
		all, err := a.readCatalog(cmd.Context())
		if err != nil {
			return err
		}
		n, broken := 0, 0
		for _, e := range all.List() {
			if e.Source.Name == added.Name {
				n++
				if e.Err != nil {
					broken++
				}
			}
		}
		if a.json {
			return a.printJSON(struct {
				shelf.Added
				Apps   int `json:"apps"`
				Broken int `json:"broken"`
			}{added, n, broken})
		}
		text := fmt.Sprintf("added %s with %s", added.Name, apps(n))
		if broken > 0 {
			text += fmt.Sprintf(", of which %d cannot be used", broken)
		}
		a.say("%s; see them: carrel catalog search %s", text, added.Name)
		if n == 0 {
			a.say("it holds no definition files: files named Singularity, Singularity.TAG or NAME.def")
		}
		return nil
	}
	update := &cobra.Command{
		Use: "update [NAME …]", Short: "Bring added catalogs up to date, and say what changed", Args: between(0, -1, "NAME"),
		RunE: func(cmd *cobra.Command, names []string) error { return a.updateShelf(cmd.Context(), names) },
	}
	rm := &cobra.Command{
		Use: "rm NAME …", Short: "Remove added catalogs; images built from them stay", Args: between(1, -1, "NAME"),
		RunE: func(_ *cobra.Command, names []string) error {
			s, err := a.settings()
			if err != nil {
				return err
			}
			removed, err := []string{}, error(nil)
			for _, n := range names {
				if err = a.shelf(s).Remove(n); err != nil {
					if errors.Is(err, shelf.ErrNotFound) {
						err = hinted(err, "carrel catalog sources lists what was added")
					}
					break
				}
				removed = append(removed, n)
				if !a.json {
					a.say("removed %s", clean(n))
				}
			}
			if a.json {
				return errors.Join(err, a.printJSON(struct {
					Removed []string `json:"removed"`
				}{removed}))
			}
			return err
		},
	}
	sources := &cobra.Command{
		Use: "sources", Short: "List where the apps come from", Args: exactly(0, ""),
		RunE: func(*cobra.Command, []string) error { return a.listSources() },
	}
	index := &cobra.Command{
		Use: "index [FOLDER]", Short: "Print the index of a folder, to serve it as a catalog with any web server",
		Long:    "Save it as index.json in the folder, and put the folder on a web server; others add\nit by its address. Each file is in it with its digest, and checked when it is fetched.",
		Example: "  carrel catalog index recipes > recipes/index.json",
		Args:    between(0, 1, "FOLDER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			x, err := shelf.MakeIndex(cmd.Context(), dir)
			if err != nil {
				return err
			}
			data, err := json.MarshalIndent(x, "", " ")
			if err != nil {
				return err
			}
			return a.print(string(data) + "\n")
		},
	}
	allow := &cobra.Command{
		Use: "allow NAME …", Short: "Let an app of an added catalog be built without asking, as it is now", Args: between(1, -1, "NAME"),
		RunE: func(_ *cobra.Command, names []string) error {
			s, err := a.settings()
			if err != nil {
				return err
			}
			l := a.library(s)
			type allowed struct {
				Name    string   `json:"name"`
				Source  string   `json:"source"`
				Explain []string `json:"explain"`
			}
			out := []allowed{}
			for _, n := range names {
				e, err := a.find(n)
				if err != nil {
					return err
				}
				told := e.Explain()
				out = append(out, allowed{e.ID(), e.Source.Name, orNone(told)})
				if !a.json {
					for _, line := range told {
						a.say("%s", clean(line))
					}
				}
				if err := l.Consents.Save(e.Consent(), map[string]string{"entry": e.ID(), "source": e.Source.Name}); err != nil {
					return err
				}
				switch {
				case a.json:
				case len(told) == 0:
					a.say("%s needs no consent: it is not of an added catalog", clean(e.ID()))
				default:
					a.say("%s may be built now, as it is; when it changes you are asked again", clean(e.ID()))
				}
			}
			if a.json {
				return a.printJSON(out)
			}
			return nil
		},
	}
	return []*cobra.Command{add, update, rm, sources, index, allow}
}

func (a *app) updateShelf(ctx context.Context, names []string) error {
	s, err := a.settings()
	if err != nil {
		return err
	}
	sh := a.shelf(s)
	if len(names) == 0 {
		all, err := sh.List()
		if err != nil {
			return err
		}
		for _, c := range all {
			names = append(names, c.Name)
		}
		if len(names) == 0 {
			a.say("no catalogs were added; carrel catalog add ADDRESS adds one")
			return nil
		}
	}
	type updated struct {
		Name      string   `json:"name"`
		Commit    string   `json:"commit,omitempty"`
		New       []string `json:"new"`
		Gone      []string `json:"gone"`
		Different []string `json:"different"`
	}
	out := []updated{}
	var errs []error
	for _, n := range names {
		c, err := sh.Update(ctx, n)
		if err != nil {
			if errors.Is(err, shelf.ErrNotFound) {
				err = hinted(err, "carrel catalog sources lists what was added")
			}
			errs = append(errs, err)
			continue
		}
		out = append(out, updated{n, c.After.Commit, orNone(c.New), orNone(c.Gone), orNone(c.Different)})
		if a.json {
			continue
		}
		if c.Same() {
			a.say("%s has nothing new", clean(n))
			continue
		}
		var parts []string
		for _, p := range []struct {
			word  string
			names []string
		}{{"new", c.New}, {"changed", c.Different}, {"gone", c.Gone}} {
			if len(p.names) > 0 {
				shown := p.names[:min(6, len(p.names))]
				text := p.word + ": " + strings.Join(shown, ", ")
				if more := len(p.names) - len(shown); more > 0 {
					text += fmt.Sprintf(" and %d more", more)
				}
				parts = append(parts, text)
			}
		}
		a.say("%s: %s", clean(n), clean(strings.Join(parts, "; ")))
	}
	if a.json {
		errs = append(errs, a.printJSON(out))
	}
	return errors.Join(errs...)
}

func apps(n int) string {
	if n == 1 {
		return "1 app"
	}
	return fmt.Sprintf("%d apps", n)
}

func orNone(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}

func (a *app) listSources() error {
	s, err := a.settings()
	if err != nil {
		return err
	}
	all, err := a.readCatalog(context.Background())
	if err != nil {
		return err
	}
	added, err := a.shelf(s).List()
	if err != nil {
		a.say("%s", lines(err.Error()))
	}
	held := map[string]int{}
	for _, e := range all.List() {
		held[string(e.Source.Kind)+"\x00"+e.Source.Name]++
	}
	type row struct {
		Name    string       `json:"name"`
		Kind    catalog.Kind `json:"kind"`
		Apps    int          `json:"apps"`
		Address string       `json:"address,omitempty"`
		Commit  string       `json:"commit,omitempty"`
		Updated string       `json:"updated,omitempty"`
		Problem string       `json:"problem,omitempty"`
	}
	var out []row
	for _, src := range all.Sources {
		r := row{Name: src.Name, Kind: src.Kind, Address: src.Address, Commit: src.Commit, Apps: held[string(src.Kind)+"\x00"+src.Name]}
		for _, c := range added {
			if c.Name == src.Name {
				r.Updated = c.Updated.Local().Format("2006-01-02 15:04")
			}
		}
		for _, p := range all.Problems {
			if p.Source.Name == src.Name && p.Source.Kind == src.Kind {
				r.Problem = p.Err.Error()
			}
		}
		out = append(out, r)
	}
	if a.json {
		return a.printJSON(out)
	}
	rows := [][]string{{"NAME", "KIND", "APPS", "UPDATED", "FROM"}}
	for _, r := range out {
		from := r.Address
		if r.Problem != "" {
			from = "! " + r.Problem
		}
		rows = append(rows, []string{clean(r.Name), string(r.Kind), fmt.Sprint(r.Apps), r.Updated, clean(from)})
	}
	return a.print(a.page.text(a.page.columns(rows, map[int]bool{2: true})))
}
