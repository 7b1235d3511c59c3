package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"carrel/engine"
	"carrel/internal/textfile"
)

func (a *app) buildCommand() *cobra.Command {
	var spec engine.BuildSpec
	var args, binds []string
	format, argFile := "", ""
	c := &cobra.Command{
		Use:     "build [OPTION …] [IMAGE] DEFINITION",
		Short:   "Build an image from a definition file, a folder with one, a catalog entry or a registry",
		GroupID: groupImages,
		Long: `IMAGE is the file to write. Without it the image is kept among Carrel's own, under
the name of what it was built from. A build that fails, or is stopped by Ctrl+C,
leaves no image behind, and an older one as it was.

An image that was built here of the same definition file is brought up to date;
when nothing has changed, nothing is done. Any other file is replaced with --force
only. All of definition files: docs/definition-files.md`,
		Example: "  carrel build nginx-basic.img Singularity\n  carrel build nginx-basic\n  carrel build alpine.sif docker://alpine\n  carrel build --sandbox folder/ image.sif\n  carrel build --format docker-archive app.tar app.sif",
		Args:    between(1, 2, "DEFINITION"),
	}
	f := c.Flags()
	f.BoolVarP(&spec.Force, "force", "F", false, "replace IMAGE when it exists")
	f.BoolVarP(&spec.Sandbox, "sandbox", "s", false, "write a folder instead of a file")
	f.StringVar(&format, "format", "", "`FORM`: sif, squashfs, sandbox, oci (a folder), oci-archive, docker-archive")
	f.BoolVarP(&spec.NoTest, "notest", "T", false, "do not run the %test section")
	f.StringArrayVar(&args, "build-arg", nil, "a `NAME=VALUE` for {{ NAME }} in the definition")
	f.StringVar(&argFile, "build-arg-file", "", "a `FILE` of lines NAME=VALUE, as with --build-arg")
	f.BoolVar(&spec.Resume, "resume", false, "go on with what the failed build of IMAGE left")
	f.BoolVar(&spec.NoCache, "no-cache", false, "run every section, also when nothing has changed")
	f.BoolVarP(&spec.Update, "update", "u", false, "build upon the folder IMAGE instead of the base")
	f.StringSliceVar(&spec.Sections, "section", nil, "carry out only these sections, as `NAME[,NAME…]`")
	f.StringArrayVarP(&binds, "bind", "B", nil, "show a folder or file to the sections, as `SRC[:DEST[:ro]]`")
	f.BoolVar(&spec.NV, "nv", false, "show NVIDIA's driver and devices to the sections")
	f.BoolVar(&spec.ROCm, "rocm", false, "show AMD's driver and devices to the sections")
	f.BoolVar(&spec.Reproducible, "reproducible", false, "the same bytes of the same inputs (see SOURCE_DATE_EPOCH)")
	f.BoolVar(&spec.Lock, "lock", false, "write what was used to DEFINITION.lock")
	f.BoolVar(&spec.Locked, "locked", false, "use what DEFINITION.lock names, or fail")
	f.StringVar(&spec.Compression, "compression", "zstd", "zstd, gzip (read by everything since 2010) or none, as `KIND`")
	f.IntVar(&spec.Level, "level", 0, "`LEVEL` of the compression, of zstd 1, 3, 6 or 10; 0 is its usual one")
	f.StringVar(&spec.LogFile, "log", "", "also keep the whole log in `FILE`")
	f.StringVar(&spec.Platform, "platform", "", "of images from registries, those for another computer, as `OS/ARCH` (linux/arm64)")
	f.BoolVarP(&a.verbose, "verbose", "v", false, "show the whole log")
	f.BoolVarP(&a.quiet, "quiet", "q", false, "show nothing but errors")
	f.BoolVar(&a.json, "json", false, "print what happens as JSON, a line each (carrel help json)")
	// Rootless building needs no switch here; scripts written for others pass it.
	f.BoolP("fakeroot", "f", false, "")
	_ = f.MarkHidden("fakeroot") // it exists: the line above made it
	c.RunE = func(cmd *cobra.Command, names []string) error {
		e, err := a.engine()
		if err != nil {
			return err
		}
		fromFile, err := readBuildArgs(cmd.Context(), argFile)
		if err != nil {
			return err
		}
		if spec.BuildArgs, err = parseBuildArgs(append(fromFile, args...)); err != nil {
			return err
		}
		s, err := a.settings()
		if err != nil {
			return err
		}
		if spec.Binds, err = parseBinds(binds, s); err != nil {
			return err
		}
		if err := engine.NoImageBinds(spec.Binds); err != nil {
			return usageOf(err)
		}
		if err := sourceDate(&spec, os.Getenv("SOURCE_DATE_EPOCH")); err != nil {
			return err
		}
		if err := checkSections(spec.Sections); err != nil {
			return err
		}
		switch spec.Compression {
		case "zstd", "gzip", "none":
		default:
			return usage("the kinds are zstd, gzip and none", "compression %q is not known", spec.Compression)
		}
		form := engine.Format(format)
		switch {
		case format != "" && !slices.Contains(engine.Formats, form):
			return usage("the forms are sif, squashfs, sandbox, oci, oci-archive and docker-archive", "format %q is not known", format)
		case format != "" && spec.Sandbox && form != engine.FormatSandbox:
			return usage("leave one of them out", "build: --sandbox and --format %s exclude each other", format)
		case form == engine.FormatOCI || form == engine.FormatOCIArchive || form == engine.FormatDockerArchive || form == engine.FormatSquashFS:
			if len(names) < 2 {
				return usage("usage: "+cmd.UseLine(), "build: --format %s needs the name of what to write", format)
			}
		}
		if oci := form == engine.FormatOCI || form == engine.FormatOCIArchive || form == engine.FormatDockerArchive; oci &&
			(cmd.Flags().Changed("compression") || cmd.Flags().Changed("level")) {
			return usage("leave out --compression and --level", "build: layers of --format %s are always gzip, of one level", format)
		}
		spec.Definition = names[len(names)-1]
		if len(names) == 2 {
			spec.Target = names[0]
		}
		if err := a.consent(cmd.Context(), spec.Definition); err != nil {
			return err
		}
		spec.ReplaceOwn = true
		progress := a.show()
		info, err := e.Convert(cmd.Context(), spec, form, progress.sink)
		progress.close()
		if err != nil {
			if errors.Is(err, engine.ErrExists) && engine.Hint(err) == "" {
				return hinted(err, "it was not built here of this definition, or has been changed since: add --force to replace it")
			}
			if be, ok := errors.AsType[*engine.BuildError](err); ok && be.Log != "" && engine.Hint(err) == "" {
				return hinted(err, "the whole log is in "+be.Log)
			}
			return err
		}
		if a.json {
			return a.stream.end("result", info)
		}
		var name string
		if len(names) == 1 {
			name = strings.TrimSuffix(info.Name, filepath.Ext(info.Name))
		} else {
			name = spec.Target
		}
		switch {
		case info.Unchanged:
			a.say("%s is up to date (%s); run it: carrel run %s", tilde(info.Path, a.home()), bytes(info.Size), quote(name))
		case form == engine.FormatOCI, form == engine.FormatOCIArchive, form == engine.FormatDockerArchive:
			a.say("built %s (%s)", tilde(info.Path, a.home()), bytes(info.Size))
		default:
			a.say("built %s (%s); run it: carrel run %s", tilde(info.Path, a.home()), bytes(info.Size), quote(name))
		}
		return nil
	}
	return c
}

// checkSections refuses sections that do not exist, of which nothing would be carried out.
func checkSections(names []string) error {
	for _, n := range names {
		if !slices.Contains(engine.Sections, n) {
			return usage("the sections are "+strings.Join(engine.Sections, ", "), "section %q is not known", n)
		}
	}
	return nil
}

// sourceDate takes the time for a reproducible image from the variable that build systems set for it
// (https://reproducible-builds.org/specs/source-date-epoch/).
func sourceDate(spec *engine.BuildSpec, value string) error {
	if value == "" {
		return nil
	}
	seconds, err := strconv.ParseInt(value, 10, 64)
	if err != nil || seconds < 0 {
		return usage("it is a number of seconds since 1970", "SOURCE_DATE_EPOCH %q", value)
	}
	spec.Reproducible, spec.Time = true, time.Unix(seconds, 0).UTC()
	return nil
}

func (a *app) home() string {
	s, err := a.settings()
	if err != nil {
		return ""
	}
	return s.dirs.Home
}

// readBuildArgs reads the lines of a file of build arguments; blank ones and comments count nothing.
func readBuildArgs(ctx context.Context, path string) ([]string, error) {
	if path == "" {
		return nil, nil
	}
	f, err := textfile.Open(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("build arguments: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("build arguments: %w", err)
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			lines = append(lines, line)
		}
	}
	return lines, nil
}

func parseBuildArgs(texts []string) (map[string]string, error) {
	out := map[string]string{}
	for _, t := range texts {
		k, v, ok := strings.Cut(t, "=")
		if !ok || k == "" {
			return nil, usage("write --build-arg NAME=VALUE", "build argument %q is not of the form NAME=VALUE", t)
		}
		out[k] = v
	}
	return out, nil
}
