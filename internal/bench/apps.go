package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// manyApps is how many apps run while they are listed.
const manyApps = 50

// appQuestions ask what it costs to look after apps in the background: to list many of them, and to take what one writes.
func appQuestions(ctx context.Context, l *lab) ([]question, error) {
	t, err := l.tree(ctx)
	if err != nil {
		return nil, err
	}
	sif, err := l.image(ctx, "zstd")
	if err != nil {
		return nil, err
	}
	p := l.user()
	size := int64(1 << 30)
	if l.quick {
		size = 256 << 20
	}
	var logs []contender
	line := strings.Repeat("a line of a log ", 6)
	for _, text := range []string{line, "y"} {
		name := fmt.Sprintf("lines of %d bytes", len(text)+1)
		if text == "y" {
			name = "lines of 2 bytes"
		}
		write := []string{"sh", "-c", "yes '" + text + "' | head -c " + strconv.FormatInt(size, 10)}
		logs = append(logs,
			withOurs(l.logged("Carrel, in the background, "+name, p, size, append([]string{l.carrel, "run", "-d", "--no-wait", "--net", "host", "--name", "flood", sif}, write...),
				[]string{l.carrel, "wait", "flood"}, []string{l.carrel, "rm", "flood"})),
			withLess(l.logged("the same into a file, no container, "+name, p, size, []string{"sh", "-c", write[2] + " > " + filepath.Join(p.home, "flood")}, nil,
				[]string{"rm", filepath.Join(p.home, "flood")}), "no times, no bound"),
		)
	}
	podman := []string{"podman", "--root", filepath.Join(p.home, "podman")}
	podman = podman[:len(podman):len(podman)]
	logs = append(logs, withLess(l.logged("podman, in the background, lines of 97 bytes", p, size,
		append(append(podman, "run", "-d", "--cgroups=disabled", "--network=none", "--log-driver=k8s-file", "--name", "flood", "--rootfs", t.dir+":O"), "sh", "-c", "yes '"+line+"' | head -c "+strconv.FormatInt(size, 10)),
		append(podman, "wait", "flood"), append(podman, "rm", "flood")), "no bound"))
	return []question{
		{
			title: "List the apps that run, as " + p.name, unit: seconds, runs: 20,
			about: fmt.Sprintf("`carrel ps` while %d apps run in the background.", manyApps),
			contenders: []contender{
				withOurs(l.listing(p, sif, manyApps)),
				withLess(l.program("podman ps, of nothing", p, append(podman, "ps")...), "nothing runs"),
			},
		},
		{
			title: "Log of an app at full speed, as " + p.name, unit: megabytesPerSecond, runs: 3,
			about:      fmt.Sprintf("An app writes %d MiB to its standard output, from its start to its end.", size>>20),
			contenders: logs,
		},
	}, nil
}

// listing lists apps that sleep.
func (l *lab) listing(p person, sif string, apps int) contender {
	args := []string{l.carrel, "ps"}
	c := contender{name: fmt.Sprintf("Carrel, %d apps", apps), how: l.show(args), run: l.timed(p, args...)}
	c.prepare = func(ctx context.Context) error {
		l.later(func() error {
			return l.run(context.Background(), l.call(p, l.carrel, "stop", "--all", "--time", "0")).err()
		})
		for range apps {
			if o := l.run(ctx, l.call(p, l.carrel, "run", "-d", "--no-wait", "--net", "host", sif, "sleep", "600")); o.Error != "" {
				return o.err()
			}
		}
		return nil
	}
	return c
}

// logged is how quickly a program writes so many bytes; wait, where there is one, waits for its end.
func (l *lab) logged(name string, p person, size int64, start, wait, remove []string) contender {
	c := contender{name: name, how: l.show(start), missing: missing(start[0])}
	c.run = func(ctx context.Context) (m measure, err error) {
		defer func() { err = errors.Join(err, l.run(context.WithoutCancel(ctx), l.call(p, remove...)).err()) }()
		began := time.Now()
		if o := l.run(ctx, l.call(p, start...)); o.Error != "" {
			return measure{}, o.err()
		}
		if wait != nil {
			if o := l.run(ctx, l.call(p, wait...)); o.Error != "" {
				return measure{}, o.err()
			}
		}
		return measure{values: []float64{float64(size) / 1e6 / time.Since(began).Seconds()}}, nil
	}
	return c
}
