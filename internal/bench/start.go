package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// startQuestions ask how long it takes to run /bin/true, from a folder and from an image.
func startQuestions(ctx context.Context, l *lab) ([]question, error) {
	t, err := l.tree(ctx)
	if err != nil {
		return nil, err
	}
	sif, err := l.image(ctx, "zstd")
	if err != nil {
		return nil, err
	}
	squash, err := l.plainImage(sif)
	if err != nil {
		return nil, err
	}
	var out []question
	for _, p := range l.people {
		folder := question{
			title: "Start /bin/true from a folder, as " + p.name, unit: seconds, runs: 20,
			about: "From " + t.name + ". Carrel shows home, /tmp, /dev, /proc, /sys and the host's users and name servers inside, under a throw-away overlay, as Singularity does. A user's command is one that was started within the last minute, but for that of 'each for the first time'.",
			contenders: append([]contender{
				withOurs(l.program("Carrel", p, l.carrel, "exec", t.dir, "true")),
				l.firstStart(p, t.dir),
				withOurs(l.program("Carrel, called as singularity", p, l.dropIn, "exec", t.dir, "true")),
				l.bubblewrapSame(p, t.dir, "true"),
				withLess(l.program("bubblewrap --unshare-all", p, bubblewrap(t.dir, "true")...), "no binds, no overlay"),
			}, l.otherStarters(p, t.dir)...),
		}
		folder.contenders = append(folder.contenders, l.apptainer("Apptainer, folder", p, "exec", t.dir, "true"))
		if p.uid == 0 {
			folder.contenders = append(folder.contenders, withLess(l.program("chroot", p, "chroot", t.dir, "true"), "no namespaces"))
		}
		image := question{
			title: "Start /bin/true from an image, as " + p.name, unit: seconds, runs: 20,
			about: "A SIF with zstd, the same file for all; Charliecloud gets the SquashFS that is in it.",
			contenders: []contender{
				withOurs(l.program("Carrel", p, l.carrel, "exec", sif, "true")),
				withOurs(l.program("Carrel, called as singularity", p, l.dropIn, "exec", sif, "true")),
			},
		}
		if p.uid != 0 {
			image.contenders = append(image.contenders, l.hotStart(p, sif))
		}
		image.contenders = append(image.contenders,
			l.apptainer("Apptainer", p, "exec", sif, "true"),
			withLess(l.program("Charliecloud", p, "ch-run", squash, "--", "true"), "no overlay"),
			withLess(l.bubblewrapSame(p, t.dir, "true"), "of the unpacked folder, no image"),
		)
		out = append(out, folder, image)
	}
	return append(out, l.programQuestion(l.user())), nil
}

func withOurs(c contender) contender { c.ours = true; return c }

func withLess(c contender, less string) contender { c.less = less; return c }

// firstStart is a start that finds no memo of an earlier one (package again).
func (l *lab) firstStart(p person, image string) contender {
	args := []string{l.carrel, "exec", image, "true"}
	return contender{name: "Carrel, each for the first time", ours: true, how: l.show(args), run: func(ctx context.Context) (measure, error) {
		c := l.call(p, args...)
		c.Env = append(c.Env, "XDG_RUNTIME_DIR=/no/folder")
		o := l.run(ctx, c)
		return took(o.Took), o.err()
	}}
}

// apptainer is a contender that is one call of Apptainer.
func (l *lab) apptainer(name string, p person, args ...string) contender {
	if l.apptain == "" {
		return contender{name: name, missing: "apptainer"}
	}
	args = append([]string{l.apptain}, args...)
	return contender{name: name, how: l.show(args), run: l.timed(p, args...)}
}

// bubblewrap are the arguments of the shortest bubblewrap.
func bubblewrap(tree string, command ...string) []string {
	return append([]string{"bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", tree, "/", "--dev", "/dev", "--proc", "/proc"}, command...)
}

// bubblewrapBinds are the arguments of a bubblewrap that shows what Carrel shows, with the host's network.
func bubblewrapBinds(p person, tree string, command ...string) []string {
	return append([]string{
		"bwrap", "--unshare-user", "--unshare-pid", "--die-with-parent", "--ro-bind", tree, "/", "--dev-bind", "/dev", "/dev", "--proc", "/proc",
		"--ro-bind", "/sys", "/sys", "--bind", "/tmp", "/tmp", "--bind", "/var/tmp", "/var/tmp", "--bind", p.home, "/mnt",
		"--ro-bind", "/etc/resolv.conf", "/etc/resolv.conf", "--ro-bind", "/etc/passwd", "/etc/passwd", "--ro-bind", "/etc/group", "/etc/group",
	}, command...)
}

func (l *lab) bubblewrapSame(p person, tree string, command ...string) contender {
	return withLess(l.program("bubblewrap, same binds", p, bubblewrapBinds(p, tree, command...)...), "no overlay")
}

// otherStarters are the container programs that start a folder, besides bubblewrap and Apptainer.
func (l *lab) otherStarters(p person, tree string) []contender {
	unshare := []string{"unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--root", tree, "true"}
	if p.uid == 0 {
		unshare = []string{"unshare", "--mount", "--pid", "--fork", "--root", tree, "true"}
	}
	return []contender{
		withLess(l.program("unshare", p, unshare...), "no binds, no /proc"),
		withLess(l.program("Charliecloud, folder", p, "ch-run", tree, "--", "true"), "no pid namespace, no overlay"),
		l.bundle("crun", p, tree, "crun", "--cgroup-manager=disabled"),
		l.bundle("runc", p, tree, "runc"),
		l.program("podman, no network", p, "podman", "--root", filepath.Join(p.home, "podman"), "run", "--rm", "--cgroups=disabled", "--network=none", "--rootfs", tree+":O", "true"),
	}
}

// bundle is a runtime that starts an OCI bundle, whose description it writes itself.
func (l *lab) bundle(name string, p person, tree, program string, options ...string) contender {
	c := contender{name: name, missing: missing(program), less: "no overlay"}
	if c.missing != "" {
		return c
	}
	dir := ""
	c.prepare = func(ctx context.Context) (err error) {
		dir, err = l.makeBundle(ctx, p, tree, program)
		return err
	}
	state := filepath.Join(p.home, program)
	c.how = program + " run --bundle … true"
	number := 0
	c.run = func(ctx context.Context) (measure, error) {
		number++
		args := append([]string{program, "--root", state}, options...)
		args = append(args, "run", "--bundle", dir, fmt.Sprintf("carrel-bench-%d-%d", os.Getpid(), number))
		return l.timed(p, args...)(ctx)
	}
	return c
}

func (l *lab) makeBundle(ctx context.Context, p person, tree, program string) (string, error) {
	dir := filepath.Join(p.home, "bundle-"+program)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	if err := os.Chown(dir, p.uid, p.gid); err != nil {
		return "", err
	}
	args := []string{program, "spec"}
	if p.uid != 0 {
		args = append(args, "--rootless")
	}
	c := l.call(p, args...)
	c.Dir = dir
	if o := c.run(ctx); o.Error != "" {
		return "", o.err()
	}
	file := filepath.Join(dir, "config.json")
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	var spec map[string]any
	if err := json.Unmarshal(text, &spec); err != nil {
		return "", err
	}
	spec["root"] = map[string]any{"path": tree, "readonly": true}
	process, ok := spec["process"].(map[string]any)
	if !ok {
		return "", fmt.Errorf("%s spec: no process", program)
	}
	process["terminal"], process["args"] = false, []string{"true"}
	delete(process, "rlimits") // a machine may withhold the right to raise them
	if linux, ok := spec["linux"].(map[string]any); ok {
		withoutCgroups(spec, linux)
		if p.uid != 0 {
			linux["uidMappings"] = []map[string]int{{"containerID": 0, "hostID": p.uid, "size": 1}}
			linux["gidMappings"] = []map[string]int{{"containerID": 0, "hostID": p.gid, "size": 1}}
		}
	}
	if text, err = json.Marshal(spec); err != nil {
		return "", err
	}
	return dir, os.WriteFile(file, text, 0o644)
}

// withoutCgroups takes out of the description of a bundle what needs control groups, which many machines do not give in the form
// that a runtime wants.
func withoutCgroups(spec, linux map[string]any) {
	drop := func(in map[string]any, list string) {
		items, ok := in[list].([]any)
		if !ok {
			return
		}
		in[list] = slices.DeleteFunc(items, func(item any) bool {
			m, ok := item.(map[string]any)
			return ok && (m["type"] == "cgroup" || m["type"] == "cgroup2")
		})
	}
	drop(spec, "mounts")
	drop(linux, "namespaces")
	delete(linux, "resources")
}

// plainImage is the SquashFS of a SIF as a file of its own.
func (l *lab) plainImage(sif string) (string, error) {
	path := sif + ".sqfs"
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	offset, size, err := partition(sif)
	if err != nil {
		return "", err
	}
	return path, copyRange(sif, path, offset, size)
}

// hotHome is a home of an ordinary user in whose cache an image is unpacked, as it is some seconds after its first start.
func (l *lab) hotHome(ctx context.Context, p person, sif string) (person, error) {
	if dir := l.images["hot "+sif]; dir != "" {
		p.home = dir
		return p, nil
	}
	dir, err := l.home(p)
	if err != nil {
		return p, err
	}
	p.home = dir
	if err := os.Remove(filepath.Join(dir, configFile)); err != nil {
		return p, err
	}
	l.say("waiting until Carrel has unpacked " + filepath.Base(sif) + " in its cache")
	name := "bench" + strconv.Itoa(os.Getpid())
	if o := l.call(p, l.carrel, "run", "-d", "--no-wait", "--name", name, sif, "sleep", "600").run(ctx); o.Error != "" {
		return p, o.err()
	}
	so := until(ctx, 3*time.Minute, func() bool {
		found, err := filepath.Glob(filepath.Join(dir, ".cache/carrel/hot/*/used"))
		return err == nil && len(found) > 0
	})
	o := l.call(p, l.carrel, "stop", name).run(context.WithoutCancel(ctx))
	switch {
	case !so:
		return p, fmt.Errorf("no unpacked copy of %s was made", filepath.Base(sif))
	case o.Error != "":
		return p, o.err()
	}
	l.images["hot "+sif] = dir
	return p, nil
}

// hotStart starts an image that is unpacked in the cache.
func (l *lab) hotStart(p person, sif string) contender {
	var run func(context.Context) (measure, error)
	c := contender{name: "Carrel, once it has unpacked it in its cache", ours: true, how: l.show([]string{l.carrel, "exec", sif, "true"})}
	c.prepare = func(ctx context.Context) error {
		hot, err := l.hotHome(ctx, p, sif)
		run = l.timed(hot, l.carrel, "exec", sif, "true")
		return err
	}
	c.run = func(ctx context.Context) (measure, error) { return run(ctx) }
	return c
}
