package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// readQuestions ask how long programs inside take to read an image of which nothing was read yet, and again.
func readQuestions(ctx context.Context, l *lab) ([]question, error) {
	t, err := l.tree(ctx)
	if err != nil {
		return nil, err
	}
	sif, err := l.image(ctx, "zstd")
	if err != nil {
		return nil, err
	}
	module := "json, http.server"
	if t.numpy {
		module = "numpy"
	}
	python, find := "python3 -c 'import "+module+"'", "find /usr /etc /var/lib"
	steps := []string{python, python, find + " >/dev/null 2>&1", find + " >/dev/null 2>&1"}
	script := "now() { date +%s%N; }; cd /; now; " + strings.Join(steps, "; now; ") + "; now"
	p := l.user()
	hot := p
	inside := func(name string, args ...string) contender {
		return contender{name: name, missing: missing(args[0]), how: l.show(append(args, "…")), run: func(ctx context.Context) (measure, error) {
			return l.readInside(ctx, l.call(p, append(args[:len(args):len(args)], script)...))
		}}
	}
	shell := func(tree string) []string { return bubblewrapBinds(p, tree, "sh", "-c") }
	apptainer := contender{name: "Apptainer, same image", missing: "apptainer"}
	if l.apptain != "" {
		apptainer = inside("Apptainer, same image", l.apptain, "exec", sif, "sh", "-c")
		apptainer.missing = ""
	}
	return []question{{
		title: "Reading inside an image, as " + p.name, unit: seconds, runs: 10,
		about: "Timed inside, one after the other in one container, whose mount is new: what is read the first time and the second. All read the same image, but where a folder is said.",
		parts: []string{python + ", first", python + ", again", find + ", first", find + ", again"},
		contenders: []contender{
			withOurs(inside("Carrel's own FUSE server", l.carrel, "exec", sif, "sh", "-c")),
			{name: "Carrel, unpacked in its cache", ours: true, prepare: func(ctx context.Context) (err error) {
				hot, err = l.hotHome(ctx, p, sif)
				return err
			}, run: func(ctx context.Context) (measure, error) {
				return l.readInside(ctx, l.call(hot, l.carrel, "exec", sif, "sh", "-c", script))
			}},
			l.readMounted("squashfuse_ll, bubblewrap", p, sif, script, "squashfuse_ll", shell),
			l.readMounted("kernel's SquashFS (root mounts), bubblewrap", p, sif, script, "mount", shell),
			apptainer,
			withLess(inside("folder, bubblewrap", shell(t.dir)...), "a folder, no image"),
		},
	}}, nil
}

// readInside runs a script that writes five times, and gives what lies between them.
func (l *lab) readInside(ctx context.Context, c call) (measure, error) {
	o := l.run(ctx, c)
	words := strings.Fields(o.Out)
	if len(words) != 5 {
		return measure{}, errors.Join(fmt.Errorf("%d times instead of 5", len(words)), o.err())
	}
	var m measure
	before := int64(0)
	for i, w := range words {
		ns, err := strconv.ParseInt(w, 10, 64)
		if err != nil {
			return measure{}, err
		}
		if i > 0 {
			m.values = append(m.values, float64(ns-before)/1e9)
		}
		before = ns
	}
	return m, nil
}

// readMounted mounts the image anew by squashfuse_ll or the kernel for every run.
func (l *lab) readMounted(name string, p person, sif, script, how string, shell func(string) []string) contender {
	c := contender{name: name, missing: join(missing(how), missing("bwrap")), how: how + " … DIR; " + l.show(append(shell("DIR"), "…"))}
	if os.Getuid() != 0 && c.missing == "" {
		c.missing = "root, who mounts"
	}
	c.run = func(ctx context.Context) (m measure, err error) {
		offset, _, err := partition(sif)
		if err != nil {
			return measure{}, err
		}
		dir := l.name("mount")
		if err := os.Mkdir(dir, 0o755); err != nil {
			return measure{}, err
		}
		args := []string{"mount", "-t", "squashfs", "-o", fmt.Sprintf("loop,ro,offset=%d", offset), sif, dir}
		if how != "mount" {
			args = []string{how, "-o", fmt.Sprintf("allow_other,offset=%d", offset), sif, dir}
		}
		if o := l.call(l.me(), args...).run(ctx); o.Error != "" {
			return measure{}, o.err()
		}
		defer func() { err = errors.Join(err, unix.Unmount(dir, unix.MNT_DETACH)) }()
		return l.readInside(ctx, l.call(p, append(shell(dir), script)...))
	}
	return c
}
