package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// memoryQuestions ask what a program keeps in memory beside an app that runs.
func memoryQuestions(ctx context.Context, l *lab) ([]question, error) {
	t, err := l.tree(ctx)
	if err != nil {
		return nil, err
	}
	sif, err := l.image(ctx, "zstd")
	if err != nil {
		return nil, err
	}
	p := l.user()
	app := []string{"sleep", "600"}
	name := "bench" + strconv.Itoa(os.Getpid())
	podman := []string{"podman", "--root", filepath.Join(p.home, "podman")}
	apptainer := contender{name: "Apptainer, instance", missing: "apptainer"}
	if l.apptain != "" {
		apptainer = l.beside("Apptainer, instance", p, []string{l.apptain, "instance", "run", sif, name, "sleep", "600"}, []string{l.apptain, "instance", "stop", name})
	}
	return []question{{
		title: "Memory beside a running app, as " + p.name, unit: megabytes, runs: 3,
		about: "The proportional share (PSS) of all processes but the app's own, which is sleep, two seconds after its start.",
		contenders: []contender{
			withOurs(l.beside("Carrel, in the background", p, append([]string{l.carrel, "run", "-d", "--no-wait", "--name", name, sif}, app...), []string{l.carrel, "stop", "--time", "1s", name})),
			withOurs(l.beside("Carrel, in the background, own network", p, append([]string{l.carrel, "run", "-d", "--no-wait", "--net", "private", "--name", name, sif}, app...), []string{l.carrel, "stop", "--time", "1s", name})),
			apptainer,
			withLess(l.beside("bubblewrap, folder", p, bubblewrapBinds(p, t.dir, app...), nil), "no image, no log, nobody who looks after it"),
			l.beside("podman, folder", p, append(append(podman[:len(podman):len(podman)], "run", "-d", "--cgroups=disabled", "--network=none", "--name", name, "--rootfs", t.dir+":O"), app...),
				append(podman[:len(podman):len(podman)], "rm", "-f", "-t", "1", name)),
		},
	}}, nil
}

// beside starts an app and adds up what was started with it. Without stop, the program stays in the foreground.
func (l *lab) beside(name string, p person, start, stop []string) contender {
	c := contender{name: name, how: l.show(start)}
	if start[0] != l.apptain {
		c.missing = missing(start[0])
	}
	c.run = func(ctx context.Context) (m measure, err error) {
		before, err := processesOf(p.uid)
		if err != nil {
			return measure{}, err
		}
		if stop != nil {
			if o := l.run(ctx, l.call(p, start...)); o.Error != "" {
				return measure{}, o.err()
			}
			defer func() { err = errors.Join(err, l.run(context.WithoutCancel(ctx), l.call(p, stop...)).err()) }()
		} else {
			r, err := l.start(ctx, l.call(p, start...))
			if err != nil {
				return measure{}, err
			}
			defer r.end()
		}
		select {
		case <-ctx.Done():
			return measure{}, ctx.Err()
		case <-time.After(2 * time.Second):
		}
		after, err := processesOf(p.uid)
		if err != nil {
			return measure{}, err
		}
		var sum int64
		var names []string
		for pid, name := range after {
			if before[pid] != "" || name == "sleep" {
				continue
			}
			pss, err := share(pid)
			if err != nil {
				continue // it has ended meanwhile
			}
			sum += pss
			names = append(names, name)
		}
		if len(names) == 0 {
			return measure{}, errors.New("nothing was started")
		}
		return measure{values: []float64{float64(sum) / 1e6}, note: fmt.Sprintf("%d processes", len(names))}, nil
	}
	return c
}

// processesOf are the processes of a user, with their names.
func processesOf(uid int) (map[int]string, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	out := map[int]string{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		name, err := os.ReadFile("/proc/" + e.Name() + "/comm")
		if err != nil {
			continue // it has ended
		}
		if owner(e) == uid {
			out[pid] = strings.TrimSpace(string(name))
		}
	}
	return out, nil
}

// owner is whose process an entry of /proc is. The folder of a process that cannot be dumped belongs to root, so its status is asked.
func owner(e fs.DirEntry) int {
	v := strings.Fields(field("/proc/"+e.Name()+"/status", "Uid", ":"))
	if len(v) == 0 {
		return -1
	}
	uid, err := strconv.Atoi(v[0])
	if err != nil {
		return -1
	}
	return uid
}

// share is the proportional share of memory of a process in bytes (proc(5), smaps_rollup).
func share(pid int) (int64, error) {
	v := field("/proc/"+strconv.Itoa(pid)+"/smaps_rollup", "Pss", ":")
	if v == "" {
		return 0, syscall.ESRCH
	}
	kb, err := strconv.ParseInt(strings.TrimSuffix(v, " kB"), 10, 64)
	return kb << 10, err
}
