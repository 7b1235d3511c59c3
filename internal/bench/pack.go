package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
)

// zstd3 makes Apptainer pack as Carrel does by default.
const zstd3 = "-comp zstd -Xcompression-level 3"

// writesImage is a writing whose result is one file.
func writesImage(name string, args func(file string) []string) writing {
	return writing{
		args:  func(dir string) []string { return args(filepath.Join(dir, name)) },
		check: func(dir string) (string, error) { return sizeNote(filepath.Join(dir, name)) },
	}
}

// packQuestions ask how long it takes to make an image of a folder.
func packQuestions(ctx context.Context, l *lab) ([]question, error) {
	t, err := l.tree(ctx)
	if err != nil {
		return nil, err
	}
	p := l.me()
	image := func(name string, file string, args func(string) []string) contender {
		return l.writes(name, p, writesImage(file, args))
	}
	return []question{{
		title: "Folder to image, as " + p.name, unit: seconds, runs: 10,
		about: "From " + t.name + ", read from memory, to a file system that is new each time.",
		contenders: []contender{
			withOurs(image("Carrel, SIF (zstd 3)", "x.sif", func(out string) []string { return []string{l.carrel, "build", "--quiet", out, t.dir} })),
			l.squashfsWriter(t.dir),
			withLess(image("mksquashfs, zstd 3", "x.sqfs", func(out string) []string {
				return []string{"mksquashfs", t.dir, out, "-noappend", "-quiet", "-no-progress", "-comp", "zstd", "-Xcompression-level", "3"}
			}), "no SIF"),
			withLess(image("tar2sqfs, zstd 3", "x.sqfs", func(out string) []string {
				return []string{"sh", "-c", "command -v tar2sqfs >/dev/null && tar -C \"$1\" -c . | tar2sqfs -q -c zstd -X level=3 \"$2\"", "sh", t.dir, out}
			}), "no SIF").needs("tar2sqfs"),
			image("Apptainer, its default (gzip)", "x.sif", func(out string) []string { return []string{l.apptain, "build", out, t.dir} }),
			image("Apptainer, told to use zstd 3", "x.sif", func(out string) []string {
				return []string{l.apptain, "build", "--mksquashfs-args", zstd3, out, t.dir}
			}),
		},
	}}, nil
}

// needs makes a contender depend on a further program.
func (c contender) needs(program string) contender {
	if c.missing == "" {
		c.missing = missing(program)
	}
	return c
}

var nanoseconds = regexp.MustCompile(`\s([0-9.]+) ns/op`)

// squashfsWriter measures the package that writes SquashFS alone, by its own benchmark.
func (l *lab) squashfsWriter(tree string) contender {
	c := contender{
		name: "Carrel's SquashFS writer alone (zstd 3)", ours: true, missing: missing("go"),
		how: "go test -run '^$' -bench '^BenchmarkPack$/^zstd-3$/^carrel$' -benchtime 1x ./engine/squashfs",
	}
	program := l.name("squashfs") + ".test"
	c.prepare = func(ctx context.Context) error {
		b := l.call(l.me(), "go", "test", "-c", "-o", program, "./engine/squashfs")
		dir, err := os.Getwd()
		if err != nil {
			return err
		}
		b.Dir, b.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
		return b.run(ctx).err()
	}
	c.run = func(ctx context.Context) (measure, error) {
		dir, release, err := l.output(ctx)
		if err != nil {
			return measure{}, err
		}
		defer release()
		b := l.call(l.me(), program, "-test.run", "^$", "-test.bench", "^BenchmarkPack$/^zstd-3$/^carrel$", "-test.benchtime", "1x")
		b.Dir, b.Env = dir, append(b.Env, "TMPDIR="+dir, "CARREL_BENCH_TREE="+tree)
		o := b.run(ctx)
		if o.Error != "" {
			return measure{}, o.err()
		}
		found := nanoseconds.FindStringSubmatch(o.Out)
		if found == nil {
			return measure{}, fmt.Errorf("no figure in %q", shorten(o.Out, 200))
		}
		ns, err := strconv.ParseFloat(found[1], 64)
		return measure{values: []float64{ns / 1e9}, note: memoryNote(o.Memory)}, err
	}
	return c
}

// unpackQuestions ask how long it takes to make a folder of an image.
func unpackQuestions(ctx context.Context, l *lab) ([]question, error) {
	t, err := l.tree(ctx)
	if err != nil {
		return nil, err
	}
	sif, err := l.image(ctx, "zstd")
	if err != nil {
		return nil, err
	}
	offset, _, err := partition(sif)
	if err != nil {
		return nil, err
	}
	p := l.me()
	folderAs := func(p person, name string, args func(dir string) []string) contender {
		return l.writes(name, p, writing{args: func(dir string) []string { return args(filepath.Join(dir, "tree")) }})
	}
	folder := func(name string, args func(dir string) []string) contender { return folderAs(p, name, args) }
	who, less := p, ""
	if p.uid == 0 && !mayRaiseLimits() {
		who, less = l.user(), "as an ordinary user: it refuses to unpack for a root without CAP_SYS_RESOURCE"
	}
	apptainer := withLess(folderAs(who, "Apptainer", func(dir string) []string { return []string{l.apptain, "build", "--sandbox", dir, sif} }), less)
	return []question{{
		title: "Image to folder, as " + p.name, unit: seconds, runs: 10,
		about: "The SIF with zstd of " + t.name + ", to a file system that is new each time.",
		contenders: []contender{
			withOurs(folder("Carrel", func(dir string) []string { return []string{l.carrel, "build", "--quiet", "--sandbox", dir, sif} })),
			folder("unsquashfs", func(dir string) []string {
				return []string{"unsquashfs", "-quiet", "-no-progress", "-offset", strconv.FormatInt(offset, 10), "-dest", dir, sif}
			}),
			apptainer,
			withLess(folder("cp -a of the folder", func(dir string) []string { return []string{"cp", "-a", t.dir, dir} }), "no image"),
		},
	}}, nil
}
