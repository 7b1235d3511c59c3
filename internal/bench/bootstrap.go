package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

const goarch = runtime.GOARCH

const baseDefinition = "Bootstrap: debootstrap\nOSVersion: bookworm\n"

// bootstrapQuestions ask how long it takes to make a Debian system from packages, and what of it is paid a second time.
func bootstrapQuestions(ctx context.Context, l *lab) ([]question, error) {
	p := l.me()
	dir := l.name("definitions")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	definition := filepath.Join(dir, "Singularity")
	if err := os.WriteFile(definition, []byte(baseDefinition), 0o644); err != nil {
		return nil, err
	}
	image := func(cache func(string) string) writing {
		w := writesImage("x.sif", func(out string) []string { return []string{l.carrel, "build", "--quiet", out, definition} })
		w.env = func(dir string) []string { return []string{"XDG_CACHE_HOME=" + cache(dir)} }
		return w
	}
	inOutput := func(dir string) string { return filepath.Join(dir, "cache") }
	warm := image(inOutput)
	packages := filepath.Join(dir, "packages")
	warm.setup = func(ctx context.Context, dir string) error {
		if err := os.MkdirAll(filepath.Join(dir, "cache/carrel"), 0o755); err != nil {
			return err
		}
		return l.call(p, "cp", "-a", packages+"/carrel/debian", filepath.Join(dir, "cache/carrel/debian")).run(ctx).err()
	}
	first := withOurs(l.writes("Carrel, packages in the cache", p, warm))
	first.prepare = func(ctx context.Context) error {
		c := l.call(p, l.carrel, "build", "--quiet", filepath.Join(dir, "warm.sif"), definition)
		c.Env = append(c.Env, "XDG_CACHE_HOME="+packages)
		return c.run(ctx).err()
	}
	return []question{
		{
			title: "Debian base system, as " + p.name, unit: seconds, runs: 3,
			about: "The smallest set of packages of bookworm, from the mirror that this computer uses; Carrel's ends in a SIF, the others' in a folder.",
			contenders: []contender{
				first,
				withOurs(l.writes("Carrel, nothing in the cache", p, image(inOutput))),
				withLess(l.writes("mmdebstrap", p, writing{args: func(dir string) []string {
					return []string{"mmdebstrap", "--quiet", "--variant=minbase", "bookworm", filepath.Join(dir, "root")}
				}}), "fetches each time, no image file"),
				withLess(l.writes("debootstrap", p, writing{args: func(dir string) []string {
					return []string{"debootstrap", "--variant=minbase", "bookworm", filepath.Join(dir, "root")}
				}}), "fetches each time, no image file"),
			},
		},
		{
			title: "Build again, as " + p.name, unit: seconds, runs: 5,
			about: "A definition of a Debian system with a %post, of which the base and the result of %post are in the cache.",
			contenders: []contender{
				withOurs(l.again("nothing changed", p, dir, func(int) string { return "" })),
				l.again("%labels changed", p, dir, func(n int) string { return fmt.Sprintf("\n%%labels\n    number %d\n", n) }),
				l.again("%post changed", p, dir, func(n int) string { return fmt.Sprintf("\n%%post\n    echo %d > /etc/number\n", n) }),
			},
		},
	}, nil
}

// again builds a definition of which the first build is done; more is what is added to it for each build.
func (l *lab) again(name string, p person, dir string, more func(number int) string) contender {
	file := filepath.Join(l.name("again"), "Singularity")
	target := filepath.Join(filepath.Dir(file), "x.sif")
	build := l.call(p, l.carrel, "build", "--quiet", "--force", target, file)
	build.Env = append(build.Env, "XDG_CACHE_HOME="+filepath.Join(dir, "packages"))
	number := 0
	write := func() error {
		number++
		return os.WriteFile(file, []byte(baseDefinition+"\n%post\n    echo made > /etc/made\n"+more(number)), 0o644)
	}
	return contender{
		name: "Carrel, " + name, ours: true, how: "carrel build --force x.sif Singularity",
		prepare: func(ctx context.Context) error {
			if err := os.Mkdir(filepath.Dir(file), 0o755); err != nil {
				return err
			}
			if err := write(); err != nil {
				return err
			}
			return build.run(ctx).err()
		},
		run: func(ctx context.Context) (measure, error) {
			if err := write(); err != nil {
				return measure{}, err
			}
			o := build.run(ctx)
			return took(o.Took), o.err()
		},
	}
}
