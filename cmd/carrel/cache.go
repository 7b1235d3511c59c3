package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"carrel/engine"
	"carrel/internal/amount"
)

// cacheKinds explains what the cache holds.
var cacheKinds = []struct{ kind, text string }{
	{engine.CacheBases, "base systems that builds lie on"},
	{engine.CacheLayers, "what %post made, so that it need not run again"},
	{engine.CacheFailed, "containers of builds that failed (carrel debug)"},
	{engine.CacheDownloads, "what apt, pip, conda and others fetched"},
	{engine.CacheOCI, "layers of registries"},
	{engine.CacheDebian, "Debian packages and indexes"},
	{engine.CacheHot, "unpacked copies of images that were started lately"},
}

func (a *app) cacheCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "cache [OPTION …]", Short: "Show what the cache holds, and free it", GroupID: groupOther, Args: exactly(0, ""),
		Long: "Everything in it can be made or fetched again.",
	}
	c.Flags().BoolVar(&a.json, "json", false, "print as JSON")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		e, err := a.engine()
		if err != nil {
			return err
		}
		uses, err := e.Cache(cmd.Context())
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(uses)
		}
		rows := [][]string{{"KIND", "ITEMS", "SIZE", ""}}
		var sum int64
		for _, u := range uses {
			text := ""
			for _, k := range cacheKinds {
				if k.kind == u.Kind {
					text = k.text
				}
			}
			rows = append(rows, []string{u.Kind, fmt.Sprint(len(u.Items)), bytes(u.Size), text})
			sum += u.Size
		}
		rows = append(rows, []string{"together", "", bytes(sum), ""})
		return a.print(a.page.text(a.page.columns(rows, map[int]bool{1: true, 2: true}) + a.hotCopies(uses)))
	}
	c.AddCommand(a.cachePruneCommand())
	return c
}

// hotCopies tells of which images there are unpacked copies, those used last first, and how much of them is kept.
func (a *app) hotCopies(uses []engine.CacheUse) string {
	i := slices.IndexFunc(uses, func(u engine.CacheUse) bool { return u.Kind == engine.CacheHot })
	if i < 0 {
		return ""
	}
	hot := uses[i]
	if hot.Limit < 0 {
		return "\nNo unpacked copies are made (hot_limit).\n"
	}
	if len(hot.Items) == 0 {
		return ""
	}
	rows := [][]string{}
	for _, it := range slices.Backward(hot.Items) {
		rows = append(rows, []string{bytes(it.Size), it.Used.Format("2006-01-02 15:04"), clean(tilde(it.Name, a.home()))})
	}
	return "\n" + a.page.paint(strong, "Unpacked copies") + ", " + bytes(hot.Size) + " of at most " + bytes(hot.Limit) + " (hot_limit)\n" + a.page.columns(rows, map[int]bool{0: true})
}

func (a *app) cachePruneCommand() *cobra.Command {
	var size string
	var days int
	var dry bool
	c := &cobra.Command{
		Use: "prune [OPTION …] [KIND …]", Short: "Free the cache, or some kinds of what it holds", Args: between(0, -1, ""),
		Long: "What a build, a pull or an app uses just now stays, and so does, with --to or while\nsomething is fetched, what was fetched in the last ten minutes.",
	}
	c.Flags().StringVar(&size, "to", "", "keep the `GIGABYTES` used last, of all kinds together, such as 5 or 500M")
	c.Flags().IntVar(&days, "days", 0, "free only what was not used for so many `DAYS`")
	c.Flags().BoolVarP(&dry, "dry-run", "n", false, "free nothing, only tell how much it would be")
	c.RunE = func(cmd *cobra.Command, kinds []string) error {
		e, err := a.engine()
		if err != nil {
			return err
		}
		for _, k := range kinds {
			if !slices.ContainsFunc(cacheKinds, func(c struct{ kind, text string }) bool { return c.kind == k }) {
				var names []string
				for _, c := range cacheKinds {
					names = append(names, c.kind)
				}
				return usage("the kinds are "+strings.Join(names, ", "), "kind %q is not known", k)
			}
		}
		limited := cmd.Flags().Changed("to")
		spec := engine.PruneSpec{Kinds: kinds, Unused: time.Duration(days) * 24 * time.Hour, DryRun: dry}
		if limited {
			gigabytes, notNumber := strconv.ParseFloat(size, 64)
			if spec.Limit = int64(gigabytes * 1e9); notNumber != nil {
				if spec.Limit, err = amount.Bytes(size); err != nil {
					return usage("write gigabytes, such as --to 5, or --to 500M", "--to %s: no amount of bytes", size)
				}
			}
		}
		switch {
		case limited && (spec.Limit <= 0 || len(kinds) > 0 || days != 0):
			return usage("write --to GIGABYTES, or name kinds or --days", "--to %s", size)
		case days < 0:
			return usage("write --days NUMBER", "--days %d is no number of days", days)
		}
		p, err := e.PruneBy(cmd.Context(), spec)
		if err != nil {
			return err
		}
		if dry {
			a.say("%s in %d things would be freed, as far as nothing uses them", bytes(p.Size), p.Items)
			return nil
		}
		a.say("freed %s", bytes(p.Size))
		if p.InUse > 0 {
			a.say("%d things are in use and stay", p.InUse)
		}
		return nil
	}
	return c
}
