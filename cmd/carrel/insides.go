package main

import (
	"context"
	"fmt"
	"strings"

	"carrel/engine"
)

func (a *app) inspectFiles(ctx context.Context, e *engine.Engine, image, at string) error {
	list, err := e.Files(ctx, image, at)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(list)
	}
	var rows [][]string
	for _, f := range list {
		name, size := clean(f.Name), fmt.Sprint(f.Size)
		switch f.Type {
		case "dir":
			name, size = name+"/", "-"
		case "link":
			name, size = name+" -> "+clean(f.Link), "-"
		case "char", "block":
			size = fmt.Sprintf("%d,%d", f.Major, f.Minor)
		}
		rows = append(rows, []string{f.Mode, fmt.Sprintf("%d:%d", f.UID, f.GID), size, f.ModTime.Format("2006-01-02 15:04"), name})
	}
	return a.print(a.page.columns(rows, map[int]bool{2: true}))
}

func (a *app) inspectPackages(ctx context.Context, e *engine.Engine, image string) (err error) {
	found, err := e.Packages(ctx, image)
	if err != nil {
		return err
	}
	defer a.tellUnread(found.Unread, &err)
	if a.json {
		return a.printJSON(found)
	}
	var rows [][]string
	for _, p := range found.Packages {
		rows = append(rows, []string{p.Manager, clean(p.Name), clean(p.Version), clean(p.Path)})
	}
	for _, n := range found.Notes {
		a.say("%s", n)
	}
	if len(rows) == 0 {
		a.say("no package manager left records in %s", image)
		return nil
	}
	return a.print(a.page.columns(rows, nil))
}

// mostUnread is how many paths that may not be read are told one by one.
const mostUnread = 20

// tellUnread makes an answer that is without something one that did not succeed, and says without what.
func (a *app) tellUnread(unread engine.Unread, err *error) {
	if *err != nil || len(unread) == 0 {
		return
	}
	if len(unread) > 1 {
		for _, p := range unread[:min(len(unread), mostUnread)] {
			a.say("cannot be read: %s", clean(p))
		}
	}
	*err = unread.Err()
}

func (a *app) inspectSizes(ctx context.Context, e *engine.Engine, image, at string) (err error) {
	s, err := e.Sizes(ctx, image, at)
	if err != nil {
		return err
	}
	defer a.tellUnread(s.Unread, &err)
	if a.json {
		return a.printJSON(s)
	}
	rows := [][]string{{"SIZE", "", "FILES", "NAME"}}
	known := s.Total.Stored > 0
	if known {
		rows[0][1] = "IN THE IMAGE"
	}
	line := func(u engine.SpaceUsage, name string) {
		stored := ""
		if known {
			stored = bytes(u.Stored)
		}
		if u.Dir && !strings.HasSuffix(name, "/") {
			name += "/"
		}
		rows = append(rows, []string{bytes(u.Size), stored, fmt.Sprint(u.Files), clean(name)})
	}
	for _, u := range s.Entries {
		line(u, u.Name)
	}
	line(s.Total, s.Path)
	if !known { // a column of nothing
		for i, r := range rows {
			rows[i] = append(r[:1:1], r[2:]...)
		}
		return a.print(a.page.columns(rows, map[int]bool{0: true, 1: true}))
	}
	return a.print(a.page.columns(rows, map[int]bool{0: true, 1: true, 2: true}))
}

func (a *app) inspectDiff(ctx context.Context, e *engine.Engine, before, after string) (err error) {
	d, err := e.Diff(ctx, before, after)
	if err != nil {
		return err
	}
	defer a.tellUnread(d.Unread, &err)
	if a.json {
		return a.printJSON(d)
	}
	return a.printDifference(d, "no differences")
}

// inspectChanges tells what was changed in an image since it was built.
func (a *app) inspectChanges(ctx context.Context, e *engine.Engine, image string) error {
	c, err := e.Changes(ctx, image)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(c)
	}
	none := "nothing was changed since it was built"
	if c.Layers > 0 {
		none = "changes were kept, but all is as it was built"
	}
	return a.printDifference(c.Difference, none)
}

// printDifference lists software first, then files; none is said where there is neither.
func (a *app) printDifference(d engine.Difference, none string) error {
	var b strings.Builder
	var rows [][]string
	for _, p := range d.Packages {
		mark, version := "~", clean(p.Old)+" -> "+clean(p.New)
		switch {
		case p.Old == "":
			mark, version = "+", clean(p.New)
		case p.New == "":
			mark, version = "-", clean(p.Old)
		}
		rows = append(rows, []string{mark, p.Manager, clean(p.Name), version})
	}
	if len(rows) > 0 {
		b.WriteString(a.page.paint(strong, "Packages") + "\n" + a.page.columns(rows, nil))
	}
	rows = nil
	for _, c := range d.Files {
		rows = append(rows, changeRow(c))
	}
	if len(rows) > 0 {
		if b.Len() > 0 {
			b.WriteString("\n")
		}
		b.WriteString(a.page.paint(strong, "Files") + "\n" + a.page.columns(rows, map[int]bool{1: true}))
	}
	for _, n := range d.Notes {
		a.say("%s", n)
	}
	if b.Len() == 0 {
		b.WriteString(none + "\n")
	}
	return a.print(a.page.text(b.String()))
}

func changeRow(c engine.FileChange) []string {
	name := clean(c.Path)
	switch c.Kind {
	case "added", "removed":
		mark, size := "+", c.NewSize
		if c.Kind == "removed" {
			mark, size = "-", c.OldSize
		}
		if c.Files > 0 {
			name += "/ (" + countFiles(c.Files) + ")"
		}
		return []string{mark, bytes(size), name}
	}
	size := ""
	if c.OldSize != c.NewSize {
		size = fmt.Sprintf("%+d", c.NewSize-c.OldSize)
	}
	return []string{"~", size, name + " (" + strings.Join(c.What, ", ") + ")"}
}

// countFiles is a number of files in words.
func countFiles(n int64) string {
	if n == 1 {
		return "1 file"
	}
	return fmt.Sprintf("%d files", n)
}
