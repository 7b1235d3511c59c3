package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func (a *app) lsCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "ls [OPTION …]", Short: "List the images on this computer", GroupID: groupImages,
		Args: exactly(0, ""),
	}
	c.Flags().BoolVar(&a.json, "json", false, "print as JSON")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		e, err := a.engine()
		if err != nil {
			return err
		}
		images, err := e.Images(cmd.Context())
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(images)
		}
		if len(images) == 0 {
			a.say("no images yet; carrel catalog shows what can be built")
			return nil
		}
		rows := [][]string{{"IMAGE", "SIZE", "MODIFIED", "LAST RUN", "TITLE"}}
		now := time.Now()
		for _, i := range images {
			name := clean(i.Name)
			if !i.InStore {
				name = clean(tilde(i.Path, a.home()))
			}
			title := clean(i.Title)
			if i.Problem != "" {
				title = strings.TrimSpace("! " + clean(i.Problem))
			}
			rows = append(rows, []string{name, bytes(i.Size), ago(i.ModTime, now), ago(i.LastRun, now), title})
		}
		return a.print(a.page.text(a.page.columns(rows, map[int]bool{1: true})))
	}
	return c
}
