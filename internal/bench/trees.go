package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sylabs/sif/v2/pkg/sif"
)

// A treeInfo is the root folder that is packed, started and read.
type treeInfo struct {
	dir     string
	name    string
	jupyter bool
	numpy   bool
}

// tree is the root folder; it is made the first time, which may take minutes, and kept.
func (l *lab) tree(context.Context) (treeInfo, error) { return l.treeOnce() }

// makeTree takes the tree that is given, or one made by an earlier run, or has Carrel build one from its catalog: the notebook's, or
// in a quick run, which has no time for it, that of a small web page.
func (l *lab) makeTree(ctx context.Context) (treeInfo, error) {
	entry := "nginx-jupyter"
	from := entry
	if given := os.Getenv("CARREL_BENCH_JUPYTER"); given != "" {
		if st, err := os.Stat(given); err != nil {
			return treeInfo{}, err
		} else if st.IsDir() {
			dir, err := filepath.Abs(given)
			if err != nil {
				return treeInfo{}, err
			}
			return l.known(dir)
		}
		path, err := filepath.Abs(given)
		if err != nil {
			return treeInfo{}, err
		}
		from, entry = path, fmt.Sprintf("given-%d", l.me().uid)
	}
	dir := filepath.Join(l.keep, "tree-"+entry)
	if given := from != "nginx-jupyter"; !given {
		if t, err := l.known(dir); err == nil {
			return t, nil
		}
		if l.quick {
			from = "nginx-basic"
			dir = filepath.Join(l.keep, "tree-"+from)
			if t, err := l.known(dir); err == nil {
				return t, nil
			}
		}
	}
	if err := l.build(ctx, from, dir); err != nil {
		if from != "nginx-jupyter" {
			return treeInfo{}, err
		}
		l.say("nginx-jupyter could not be built, nginx-basic is taken: " + err.Error())
		dir = filepath.Join(l.keep, "tree-nginx-basic")
		if t, err := l.known(dir); err == nil {
			return t, nil
		}
		if err := l.build(ctx, "nginx-basic", dir); err != nil {
			return treeInfo{}, err
		}
	}
	return l.known(dir)
}

func (l *lab) build(ctx context.Context, from, dir string) error {
	l.say("making the tree " + dir + " from " + from + "; it is kept for later runs")
	o := l.call(l.me(), l.carrel, "build", "--quiet", "--force", "--notest", "--sandbox", dir, from).run(ctx)
	if o.Error != "" {
		return fmt.Errorf("build %s: %w", from, o.err())
	}
	return os.Chmod(dir, 0o755) // for the ordinary user
}

// known looks at a tree that is there.
func (l *lab) known(dir string) (treeInfo, error) {
	if _, err := os.Stat(filepath.Join(dir, "usr/bin")); err != nil {
		return treeInfo{}, err
	}
	t := treeInfo{dir: dir, name: filepath.Base(dir)}
	_, err := os.Stat(filepath.Join(dir, "usr/bin/jupyter-notebook"))
	t.jupyter = err == nil
	_, err = os.Stat(filepath.Join(dir, "usr/lib/python3/dist-packages/numpy"))
	t.numpy = err == nil
	var files, size int64
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		files++
		if !d.Type().IsRegular() {
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			return nil // of another user; packing will say so
		}
		defer f.Close()
		n, err := io.Copy(io.Discard, f) // so that nobody is the first to read it from the disk
		size += n
		return err
	})
	t.name = fmt.Sprintf("%s, %d MB in %d files", t.name, size/1e6, files)
	return t, err
}

// image is a SIF of the tree, whose runscript runs its arguments, made the first time: by Carrel with a compression, or "apptainer" for one made by Apptainer.
func (l *lab) image(ctx context.Context, kind string) (string, error) {
	if p := l.images[kind]; p != "" {
		return p, nil
	}
	t, err := l.tree(ctx)
	if err != nil {
		return "", err
	}
	path := filepath.Join(l.scratch, "image-"+kind+".sif")
	definition := filepath.Join(l.scratch, "image-"+kind+".def")
	text := "Bootstrap: localimage\nFrom: " + t.dir + "\n\n%runscript\n    exec \"$@\"\n"
	if err := os.WriteFile(definition, []byte(text), 0o644); err != nil {
		return "", err
	}
	c := l.call(l.me(), l.carrel, "build", "--quiet", "--compression", kind, path, definition)
	if kind == "apptainer" {
		if l.apptain == "" {
			return "", errors.New("missing: apptainer")
		}
		c = l.call(l.me(), l.apptain, "build", path, t.dir)
	}
	l.say("making " + path)
	if o := l.run(ctx, c); o.Error != "" {
		return "", fmt.Errorf("build %s: %w", filepath.Base(path), o.err())
	}
	l.images[kind] = path
	return path, os.Chmod(path, 0o755)
}

// partition tells where the file system of a SIF lies in it.
func partition(path string) (offset, size int64, err error) {
	f, err := sif.LoadContainerFromPath(path, sif.OptLoadWithFlag(os.O_RDONLY))
	if err != nil {
		return 0, 0, err
	}
	defer f.UnloadContainer()
	d, err := f.GetDescriptor(sif.WithPartitionType(sif.PartPrimSys))
	if err != nil {
		return 0, 0, err
	}
	return d.Offset(), d.Size(), nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// copyRange copies a part of a file to a new one.
func copyRange(from, to string, offset, size int64) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, io.NewSectionReader(in, offset, size))
	return errors.Join(err, out.Close())
}
