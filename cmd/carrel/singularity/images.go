package singularity

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"carrel/engine"
)

func (p *program) inspectVerb() verb {
	var all, asJSON, apps bool
	var deffile, environment, helpfile, labels, runscript, startscript, test bool
	app := ""
	return verb{
		name: "inspect", args: "[OPTION …] IMAGE", short: "Show what an image says of itself", low: 1, high: 1, interspersed: true,
		options: []option{
			{long: "all", value: &all, help: "everything, as JSON"},
			{long: "app", value: &app, help: "of an app (SCIF)", absent: "what an app says is in its folder: exec IMAGE cat /scif/apps/NAME/scif/labels.json"},
			{long: "deffile", short: "d", value: &deffile, help: "the definition file"},
			{long: "environment", short: "e", value: &environment, help: "the environment"},
			{long: "helpfile", short: "H", value: &helpfile, help: "the help"},
			{long: "json", short: "j", value: &asJSON, help: "as JSON"},
			{long: "labels", short: "l", value: &labels, help: "the labels, as without an option"},
			{long: "list-apps", value: &apps, help: "the apps"},
			{long: "runscript", short: "r", value: &runscript, help: "the runscript"},
			{long: "startscript", short: "s", value: &startscript, help: "the startscript"},
			{long: "test", short: "t", value: &test, help: "the test"},
		},
		run: func(ctx context.Context, args []string) error {
			e, err := p.c.Engine()
			if err != nil {
				return err
			}
			in, err := e.Inspect(ctx, args[0])
			if err != nil {
				return err
			}
			if !(deffile || environment || helpfile || runscript || startscript || test || apps) {
				labels = true
			}
			attributes := map[string]any{}
			var text strings.Builder
			show := func(wanted bool, name string, value any, plain string) {
				if wanted || all {
					attributes[name] = value
					text.WriteString(printable(plain))
					if plain != "" {
						text.WriteString("\n")
					}
				}
			}
			show(labels, "labels", in.Labels, pairs(in.Labels))
			show(runscript, "runscript", in.Runscript, in.Runscript)
			show(startscript, "startscript", in.Startscript, in.Startscript)
			show(test, "test", in.Test, in.Test)
			show(environment, "environment", in.Environment, files(in.Environment))
			show(helpfile, "helpfile", in.Help, in.Help)
			show(deffile, "deffile", in.Definition, in.Definition)
			show(apps, "apps", in.Apps, strings.Join(in.Apps, "\n"))
			if all || asJSON {
				return p.printJSON(map[string]any{"data": map[string]any{"attributes": attributes}, "type": "container"})
			}
			return p.print(text.String())
		},
	}
}

// pairs writes labels one a line.
func pairs(m map[string]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		b.WriteString(k + ": " + m[k] + "\n")
	}
	return b.String()
}

// files writes texts under the names of their files.
func files(m map[string]string) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		b.WriteString("=== " + k + " ===\n" + strings.TrimRight(m[k], "\n") + "\n\n")
	}
	return b.String()
}

func (p *program) runHelpVerb() verb {
	app := ""
	return verb{
		name: "run-help", args: "[OPTION …] IMAGE", short: "Show the help of an image", low: 1, high: 1, interspersed: true,
		options: []option{{long: "app", value: &app, absent: "what an app says is in its folder: exec IMAGE cat /scif/apps/NAME/scif/runscript.help"}},
		run: func(ctx context.Context, args []string) error {
			e, err := p.c.Engine()
			if err != nil {
				return err
			}
			in, err := e.Inspect(ctx, args[0])
			if err != nil {
				return err
			}
			if in.Help == "" {
				return p.print("No help sections were defined for this image\n")
			}
			return p.print(printable(in.Help) + "\n")
		},
	}
}

func (p *program) verifyVerb() verb {
	const noKeys = "who signed is not examined"
	asJSON, all, local, legacy := false, false, false, false
	return verb{
		name: "verify", args: "[OPTION …] IMAGE", short: "Compare an image with the digests that it carries", low: 1, high: 1, interspersed: true,
		differs: "the digests in signatures, and those that Carrel writes, are compared with what is in the file; who signed is not examined, so it is no proof of origin",
		options: []option{
			{long: "all", short: "a", value: &all, help: "without effect, because all parts are read anyway"},
			{long: "certificate", value: &noText, absent: noKeys},
			{long: "certificate-intermediates", value: &noText, absent: noKeys},
			{long: "certificate-roots", value: &noText, absent: noKeys},
			{long: "group-id", short: "g", value: &noText, absent: "all parts are read"},
			{long: "json", short: "j", value: &asJSON, help: "as JSON"},
			{long: "key", value: &noText, absent: noKeys},
			{long: "legacy-insecure", value: &legacy, help: "without effect", differs: noKeys},
			{long: "local", short: "l", value: &local, help: "without effect", differs: noKeys},
			{long: "ocsp-verify", value: &noSwitch, absent: noKeys},
			{long: "sif-id", short: "i", value: &noText, absent: "all parts are read"},
			{long: "url", short: "u", value: &noText, absent: noKeys},
		},
		run: func(ctx context.Context, args []string) error {
			e, err := p.c.Engine()
			if err != nil {
				return err
			}
			parts, err := e.Parts(ctx, args[0], true)
			if err != nil {
				return err
			}
			unchecked := 0
			for _, part := range parts.Parts {
				if part.Checked == "" && !strings.HasPrefix(part.Type, "Signature") {
					unchecked++
				}
			}
			if asJSON {
				if err := p.printJSON(parts); err != nil {
					return err
				}
			}
			if unchecked == len(parts.Parts) {
				return &hintError{fmt.Errorf("verify %s: it carries neither a signature nor digests", args[0]), "images that Carrel builds carry digests"}
			}
			if !asJSON {
				p.info("%s: %d of %d parts are as they were written; who wrote them was not examined", args[0], len(parts.Parts)-unchecked, len(parts.Parts))
			}
			return nil
		},
	}
}

// cacheTypes are Apptainer's kinds of things in a cache, and which of Carrel's they are.
var cacheTypes = map[string][]string{
	"oci": {engine.CacheOCI}, "blob": {engine.CacheOCI}, "blobs": {engine.CacheOCI}, "oci-tmp": {engine.CacheBases}, "net": {engine.CacheDownloads},
	"library": {}, "shub": {}, "oras": {}, "all": {engine.CacheBases, engine.CacheLayers, engine.CacheFailed, engine.CacheDownloads, engine.CacheOCI, engine.CacheDebian},
}

func cacheKinds(types []string) ([]string, error) {
	if len(types) == 0 {
		types = []string{"all"}
	}
	var out []string
	for _, t := range types {
		kinds, ok := cacheTypes[t]
		if !ok {
			kinds = []string{t}
			if !slices.Contains(cacheTypes["all"], t) {
				return nil, usage("the types are oci, blob, net, all, and Carrel's own "+strings.Join(cacheTypes["all"], ", "), "type %q is not known", t)
			}
		}
		out = append(out, kinds...)
	}
	return out, nil
}

func (p *program) cacheListVerb() verb {
	var types []string
	verbose := false
	return verb{
		name: "list", args: "[OPTION …]", short: "Tell what the cache holds", interspersed: true, differs: "the kinds are those of Carrel's cache, which is in ~/.cache/carrel",
		options: []option{
			{long: "type", short: "T", value: &types, help: "kinds to list"},
			{long: "verbose", short: "v", value: &verbose, help: "every item"},
		},
		run: func(ctx context.Context, _ []string) error {
			kinds, err := cacheKinds(types)
			if err != nil {
				return err
			}
			e, err := p.c.Engine()
			if err != nil {
				return err
			}
			uses, err := e.Cache(ctx)
			if err != nil {
				return err
			}
			var b strings.Builder
			var total int64
			for _, u := range uses {
				if !slices.Contains(kinds, u.Kind) {
					continue
				}
				total += u.Size
				fmt.Fprintf(&b, "%-10s %5d  %s\n", u.Kind, len(u.Items), size(u.Size))
				for _, it := range u.Items {
					if verbose {
						fmt.Fprintf(&b, "  %s  %s  %s\n", it.Used.Format("2006-01-02 15:04:05"), size(it.Size), printable(it.Name))
					}
				}
			}
			return p.print(b.String() + "Total space used: " + size(total) + "\n")
		},
	}
}

func (p *program) cacheCleanVerb() verb {
	var types []string
	dry, force := false, false
	return verb{
		name: "clean", args: "[OPTION …]", short: "Empty the cache", interspersed: true,
		options: []option{
			{long: "days", short: "D", value: &noText, absent: "what was not used for long is freed first: `carrel` keeps the cache within a size"},
			{long: "dry-run", short: "n", value: &dry, help: "only tell what would be freed"},
			{long: "force", short: "f", value: &force, help: "without effect", differs: "it never asks: what is freed can be made again, and what a build uses stays"},
			{long: "type", short: "T", value: &types, help: "kinds to free"},
		},
		run: func(ctx context.Context, _ []string) error {
			kinds, err := cacheKinds(types)
			if err != nil {
				return err
			}
			e, err := p.c.Engine()
			if err != nil {
				return err
			}
			if dry {
				uses, err := e.Cache(ctx)
				if err != nil {
					return err
				}
				for _, u := range uses {
					if slices.Contains(kinds, u.Kind) && len(u.Items) > 0 {
						p.info("Would free %s: %d items, %s", u.Kind, len(u.Items), size(u.Size))
					}
				}
				return nil
			}
			if len(kinds) == 0 {
				return nil // kinds of which nothing is ever kept
			}
			freed, err := e.Prune(ctx, kinds...)
			if err != nil {
				return err
			}
			p.info("Freed %s (%d items)", size(freed.Size), freed.Items)
			return nil
		},
	}
}

func (p *program) overlayCreateVerb() verb {
	var dirs []string
	amount, sparse, fakeroot := 64, false, false
	return verb{
		name: "create", args: "[OPTION …] FOLDER", short: "Make a folder that keeps changes (--overlay FOLDER)", low: 1, high: 1, interspersed: true,
		differs: "it makes a folder rather than an ext3 file: that needs no size, no root and no fuse2fs, and --overlay takes it alike; a SIF needs none, because --writable keeps changes in it",
		options: []option{
			{long: "create-dir", value: &dirs, help: "folders to make in it"},
			{long: "fakeroot", short: "f", value: &fakeroot, help: "without effect, because a folder works with and without --fakeroot"},
			{long: "size", short: "s", value: &amount, help: "without effect", differs: "a folder has no size"},
			{long: "sparse", short: "S", value: &sparse, help: "without effect", differs: "a folder has no size"},
		},
		run: func(_ context.Context, args []string) error {
			dir := absolute(args[0], p.c.User.Cwd)
			if st, err := os.Stat(dir); err == nil && !st.IsDir() {
				return &hintError{fmt.Errorf("overlay %s: %w", args[0], engine.ErrExists), "a SIF needs no overlay made for it: run it with --writable"}
			}
			made := []string{"upper", "work"}
			for _, d := range dirs {
				made = append(made, filepath.Join("upper", filepath.Clean("/"+d)))
			}
			for _, d := range made {
				if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
					return fmt.Errorf("overlay: %w", err)
				}
			}
			p.info("Created %s; use it: --overlay %s", args[0], args[0])
			return nil
		},
	}
}

// sifVerb is one that reads the parts of an image, the last argument.
func (p *program) sifVerb(v verb, run func(parts engine.Parts, args []string) error) verb {
	v.run = func(ctx context.Context, args []string) error {
		e, err := p.c.Engine()
		if err != nil {
			return err
		}
		parts, err := e.Parts(ctx, args[len(args)-1], false)
		if err != nil {
			return err
		}
		return run(parts, args)
	}
	return v
}

func (p *program) sifListVerb() verb {
	return p.sifVerb(verb{name: "list", args: "IMAGE", short: "List the parts of a SIF file", low: 1, high: 1}, func(parts engine.Parts, _ []string) error {
		line := strings.Repeat("-", 78) + "\n"
		var b strings.Builder
		fmt.Fprintf(&b, "%s%-5s|%-8s|%-8s|%-26s|%s\n%s", line, "ID", "GROUP", "LINK", "SIF POSITION (start-end)", "TYPE", line)
		for _, o := range parts.Parts {
			fmt.Fprintf(&b, "%-5d|%-8s|%-8s|%-26s|%s\n", o.ID, group(o), o.Link, fmt.Sprintf("%d-%d", o.Offset, o.Offset+o.Size), o.Type)
		}
		return p.print(b.String())
	})
}

func group(o engine.Part) string {
	if o.Group == 0 {
		return "NONE"
	}
	return fmt.Sprint(o.Group)
}

const sifTime = "2006-01-02 15:04:05 -0700 MST"

func (p *program) sifHeaderVerb() verb {
	return p.sifVerb(verb{name: "header", args: "IMAGE", short: "Show the head of a SIF file", low: 1, high: 1, differs: "without the sizes of the table of parts"}, func(s engine.Parts, _ []string) error {
		return p.print(fmt.Sprintf("Launch Script:        %s\nVersion:              01\nPrimary Architecture: %s\nID:                   %s\nCreated At:           %s\nModified At:          %s\n",
			printable(s.LaunchLine), s.Arch, s.ID, s.Created.UTC().Format(sifTime), s.Modified.UTC().Format(sifTime)))
	})
}

func (p *program) sifInfoVerb() verb {
	return p.sifVerb(verb{name: "info", args: "ID IMAGE", short: "Show one part of a SIF file", low: 2, high: 2}, func(s engine.Parts, args []string) error {
		for _, o := range s.Parts {
			if strconv.Itoa(int(o.ID)) != args[0] {
				continue
			}
			text := fmt.Sprintf("  Data Type:    %s\n  ID:           %d\n  Group ID:     %s\n  Linked ID:    %s\n  Offset:       %d\n  Size:         %d\n  Created At:   %s\n",
				o.Type, o.ID, group(o), o.Link, o.Offset, o.Size, o.Created.UTC().Format(sifTime))
			if o.Name != "" {
				text += "  Name:         " + printable(o.Name) + "\n"
			}
			return p.print(text)
		}
		return fmt.Errorf("part %s of %s: %w", args[0], s.Path, engine.ErrNotFound)
	})
}

func (p *program) sifDumpVerb() verb {
	return verb{name: "dump", args: "ID IMAGE", short: "Write one part of a SIF file to standard output", low: 2, high: 2, run: func(ctx context.Context, args []string) error {
		id, err := strconv.ParseUint(args[0], 10, 32)
		if err != nil {
			return usage("`sif list IMAGE` lists them", "%q is not the number of a part", args[0])
		}
		e, err := p.c.Engine()
		if err != nil {
			return err
		}
		return e.CopyPart(ctx, args[1], uint32(id), p.c.Out)
	}}
}
