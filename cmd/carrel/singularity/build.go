package singularity

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"carrel/engine"
	"carrel/engine/progress"
)

const launchLine = "#!/usr/bin/env run-singularity\n"

// sink shows what a build does: steps and remarks, with --verbose every line.
func (p *program) sink() engine.Sink {
	return func(ev engine.Event) {
		switch ev.Kind {
		case progress.Start:
			if ev.Text != "" {
				p.info("%s: %s", stepWords[ev.Step], ev.Text)
			} else {
				p.info("%s", stepWords[ev.Step])
			}
		case progress.Notice:
			p.warn("%s", ev.Text)
		case progress.Line:
			if !p.quiet && !p.silent {
				fmt.Fprintln(p.c.Err, printable(ev.Text))
			}
		}
	}
}

var stepWords = map[progress.Step]string{
	progress.StepRead: "Reading definition", progress.StepFetch: "Fetching base", progress.StepSetup: "Running setup scriptlet", progress.StepFiles: "Copying files",
	progress.StepInstall: "Running post scriptlet", progress.StepApps: "Installing apps", progress.StepPack: "Creating SIF file", progress.StepTest: "Running testscript",
	progress.StepPush: "Uploading",
}

// making is what build, bootstrap and pull can be asked for.
type making struct {
	spec                        engine.BuildSpec
	args, sections              []string
	binds, mounts               list
	argFile                     string
	access                      access
	noHTTPS, fakeroot, fixPerms bool
	noCleanup, disableCache     bool
	userns, writableTmpfs       bool
	warnUnused, ignored         bool
	tmpDir                      string
}

const archDiffers = "images are built for this computer's own architecture"

func (p *program) buildVerb() verb {
	m := &making{}
	return verb{
		name: "build", args: "[OPTION …] IMAGE SPEC", short: "Build an image of a definition file, an image, a folder or a reference", low: 2, high: 2, interspersed: true,
		differs: "needs neither root nor fakeroot nor mksquashfs; SquashFS is compressed by zstd, level 3",
		options: []option{
			{long: "arch", value: &noText, env: []string{"BUILD_ARCH"}, absent: archDiffers},
			{long: "arch-variant", value: &noText, env: []string{"BUILD_ARCH_VARIANT"}, absent: archDiffers},
			m.access.authFileOption(),
			{long: "bind", short: "B", value: &m.binds, env: []string{"BIND", "BINDPATH"}, help: "a folder to show while sections run"},
			{long: "build-arg", value: &m.args, help: "NAME=VALUE for {{ NAME }}"},
			{long: "build-arg-file", value: &m.argFile, help: "a file of lines NAME=VALUE"},
			{long: "buildkit-host", value: &noText, env: []string{"BUILDKIT_HOST"}, absent: "there is no daemon: `carrel new` makes a definition file of a Dockerfile"},
			{long: "data", value: &noSwitch, env: []string{"DATA"}, absent: "`sif new` and `sif add` make a file with a partition of data"},
			{long: "disable-cache", value: &m.disableCache, env: []string{"DISABLE_CACHE"}, help: "run every section anew", differs: "bases and downloads are reused all the same"},
			{long: "docker-host", value: &noText, env: []string{"DOCKER_HOST"}, absent: noDaemon},
			{long: "docker-login", value: &m.access.dockerLogin, env: []string{"DOCKER_LOGIN"}, help: "ask for a name and password for the registry"},
			m.access.userOption(), m.access.passwordOption(),
			{long: "encrypt", short: "e", value: &noSwitch, absent: noCrypto},
			{long: "fakeroot", short: "f", value: &m.fakeroot, env: []string{"FAKEROOT"}, help: "without effect", differs: "builds always appear to be root's"},
			{long: "fix-perms", value: &m.fixPerms, env: []string{"FIXPERMS"}, help: "without effect", differs: "folders that their owner could not enter or change are no trouble in a SIF; in a sandbox they stay as they are"},
			{long: "force", short: "F", value: &m.spec.Force, env: []string{"FORCE"}, help: "replace an image"},
			{long: "ignore-fakeroot-command", value: &m.ignored, env: []string{"IGNORE_FAKEROOT_COMMAND"}, help: "without effect", differs: noHelpers, hidden: true},
			{long: "ignore-proot", value: &m.ignored, env: []string{"IGNORE_PROOT"}, help: "without effect", differs: "there is no proot that could be used", hidden: true},
			{long: "ignore-subuid", value: &m.ignored, env: []string{"IGNORE_SUBUID"}, help: "without effect", differs: noChoice, hidden: true},
			{long: "ignore-userns", value: &m.ignored, env: []string{"IGNORE_USERNS"}, help: "without effect", differs: noChoice, hidden: true},
			{long: "json", value: &noSwitch, env: []string{"JSON"}, absent: "definitions are text"},
			{long: "library", value: &m.access.library, env: []string{"LIBRARY"}, help: "address of the library for library:// references"},
			{long: "mksquashfs-args", value: &noText, env: []string{"MKSQUASHFS_ARGS"}, absent: "SquashFS is written by this program; `carrel build --compression --level` choose"},
			{long: "mount", value: &m.mounts, env: []string{"MOUNT"}, help: "the same as --bind, as type=bind,source=…,destination=…"},
			{long: "no-cleanup", value: &m.noCleanup, env: []string{"NO_CLEANUP"}, help: "without effect", differs: "the tree of a failed build is kept in the cache anyway: `carrel build --resume`"},
			{long: "no-https", value: &m.noHTTPS, env: []string{"NO_HTTPS", "NOHTTPS"}, help: "speak HTTP to the registry"},
			{long: "notest", short: "T", value: &m.spec.NoTest, env: []string{"NOTEST"}, help: "leave out the test"},
			{long: "nv", value: &m.spec.NV, env: []string{"NV"}, help: "show NVIDIA's driver and devices to the sections"},
			{long: "nvccli", value: &noSwitch, env: []string{"NVCCLI"}, absent: "builds see no devices"},
			{long: "passphrase", value: &noSwitch, absent: noCrypto},
			{long: "pem-path", value: &noText, env: []string{"ENCRYPTION_PEM_PATH"}, absent: noCrypto},
			{long: "remote", value: &noSwitch, absent: "there are no services that build: every user builds here", hidden: true},
			{long: "reproducible", value: &m.spec.Reproducible, env: []string{"REPRODUCIBLE"}, help: "the same bytes of the same inputs"},
			{long: "rocm", value: &m.spec.ROCm, env: []string{"ROCM"}, help: "show AMD's driver and devices to the sections"},
			{long: "sandbox", short: "s", value: &m.spec.Sandbox, env: []string{"SANDBOX"}, help: "build a folder"},
			{long: "section", value: &m.sections, env: []string{"SECTION"}, help: "only these sections"},
			{long: "tmpdir", value: &m.tmpDir, env: []string{"TMPDIR"}, help: "without effect", differs: noTemp, hidden: true},
			{long: "update", short: "u", value: &m.spec.Update, env: []string{"UPDATE"}, help: "build upon the folder that is there"},
			{long: "userns", value: &m.userns, env: []string{"USERNS"}, help: "without effect, because builds of users are so anyway"},
			{long: "warn-unused-build-args", value: &m.warnUnused, help: "without effect", differs: "an argument that the definition does not use is never fatal"},
			{long: "writable-tmpfs", value: &m.writableTmpfs, env: []string{"WRITABLE_TMPFS"}, help: "without effect, because tests may write anyway"},
		},
		run: func(ctx context.Context, args []string) error { return p.make(ctx, m, args[0], args[1]) },
	}
}

// make builds target of what source names.
func (p *program) make(ctx context.Context, m *making, target, source string) error {
	s := m.spec
	s.Definition, s.Target, s.NoCache, s.BuildArgs = source, absolute(target, p.c.User.Cwd), m.disableCache, map[string]string{}
	if len(m.sections) > 0 && m.sections[0] != "all" {
		s.Sections = m.sections
	}
	for _, n := range s.Sections {
		if !slices.Contains(engine.Sections, n) {
			return usage("the sections are "+strings.Join(engine.Sections, ", "), "section %q is not known", n)
		}
	}
	var err error
	if s.Binds, err = parseBinds(m.binds, m.mounts, p.c.User.Cwd); err != nil {
		return err
	}
	if err := engine.NoImageBinds(s.Binds); err != nil {
		return badBind(err)
	}
	args := m.args
	if m.argFile != "" {
		data, err := os.ReadFile(absolute(m.argFile, p.c.User.Cwd))
		if err != nil {
			return fmt.Errorf("build arguments: %w", err)
		}
		var lines []string
		for line := range strings.Lines(string(data)) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				lines = append(lines, line)
			}
		}
		args = append(lines, args...)
	}
	for _, a := range args {
		k, v, ok := strings.Cut(a, "=")
		if !ok || k == "" {
			return usage("write --build-arg NAME=VALUE", "build argument %q is not of the form NAME=VALUE", a)
		}
		s.BuildArgs[k] = v
	}
	if isPlaceholder(s.Target) {
		s.Force = true
	}
	if err := p.apply(&m.access); err != nil {
		return err
	}
	e, err := p.engine(m.noHTTPS, source)
	if err != nil {
		return err
	}
	info, err := e.Build(ctx, s, p.sink())
	if errors.Is(err, engine.ErrExists) {
		return &hintError{err, "add --force to replace it"}
	}
	if err != nil {
		return err
	}
	p.info("Build complete: %s", info.Path)
	return nil
}

// hintError adds what to do about an error.
type hintError struct {
	err  error
	hint string
}

func (e *hintError) Error() string { return e.err.Error() }
func (e *hintError) Unwrap() error { return e.err }

// Hint says what to do about it.
func (e *hintError) Hint() string { return e.hint }

// createVerb is that of 2016, when an image had to be made before it could be filled.
func (p *program) createVerb() verb {
	force, size := false, 0
	return verb{
		name: "create", args: "[OPTION …] IMAGE", short: "Make an empty image for bootstrap to fill, as Singularity 2 did", low: 1, high: 1, interspersed: true,
		legacy: "2.4", differs: "an image has no size of its own any more: the file is a placeholder until bootstrap fills it",
		options: []option{
			{long: "size", short: "s", value: &size, help: "without effect", differs: "an image is as large as what is in it"},
			{long: "force", short: "F", value: &force, help: "replace a file"},
		},
		run: func(_ context.Context, args []string) error {
			name := absolute(args[0], p.c.User.Cwd)
			flag := os.O_CREATE | os.O_EXCL | os.O_WRONLY
			if force {
				flag = os.O_CREATE | os.O_TRUNC | os.O_WRONLY
			}
			f, err := os.OpenFile(name, flag, 0o755)
			if errors.Is(err, os.ErrExist) {
				return &hintError{fmt.Errorf("create %s: %w", args[0], engine.ErrExists), "add -F to replace it"}
			}
			if err != nil {
				return err
			}
			_, err = f.WriteString(launchLine)
			if err = errors.Join(err, f.Close()); err != nil {
				return err
			}
			p.info("Created %s; fill it: %s bootstrap %s DEFINITION", args[0], p.name, args[0])
			return nil
		},
	}
}

// isPlaceholder tells whether a file is what create makes.
func isPlaceholder(name string) bool {
	st, err := os.Lstat(name)
	if err != nil || !st.Mode().IsRegular() || st.Size() != int64(len(launchLine)) {
		return false
	}
	data, err := os.ReadFile(name)
	return err == nil && string(data) == launchLine
}

func (p *program) bootstrapVerb() verb {
	m := &making{}
	return verb{
		name: "bootstrap", args: "[OPTION …] IMAGE DEFINITION", short: "Build an image, as Singularity 2 did", low: 2, high: 2, interspersed: true, legacy: "2.4",
		differs: "the image is built anew, rather than changed, and need not be created before",
		options: []option{
			{long: "force", short: "f", value: &m.spec.Force, help: "replace an image that is not a placeholder"},
			{long: "notest", short: "T", value: &m.spec.NoTest, help: "leave out the test"},
		},
		run: func(ctx context.Context, args []string) error { return p.make(ctx, m, args[0], args[1]) },
	}
}
