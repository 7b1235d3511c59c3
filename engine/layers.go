package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"carrel/engine/fuse"
	"carrel/engine/image"
	"carrel/engine/launch"
	"carrel/engine/squashfs"
)

// imageCache is how much of an image's decompressed data the server of one container keeps, in bytes: for requests that
// are smaller than a block. What was read as a whole is in the kernel's cache.
const imageCache = 6 << 20

// layers finds the trees that a container's root is made of: the folder, or the SquashFS partitions of the file.
func (e *Engine) layers(_ context.Context, p *prepared, o *launch.Options) error {
	img := p.image
	if img.Kind == image.Sandbox {
		o.Layers = []launch.Layer{{Folder: img.Path}}
		return nil
	}
	if err := img.CheckArch(runtime.GOARCH); err != nil {
		return err
	}
	system, err := img.System()
	if err != nil {
		return err
	}
	if e.useHot(p, o) {
		return nil
	}
	for _, part := range append([]image.Partition{system}, img.Overlays()...) {
		if part.FS != "squashfs" {
			return fmt.Errorf("run %s: a partition is %s, which cannot be run; `carrel build NEW.sif %s` converts it", img.Path, part.FS, img.Path)
		}
		l, err := e.layer(p, o, part)
		if err != nil {
			return err
		}
		o.Layers = append(o.Layers, l)
	}
	return nil
}

// layer makes one partition mountable: by the kernel for root, where it can, otherwise by our own server.
func (e *Engine) layer(p *prepared, o *launch.Options, part image.Partition) (launch.Layer, error) {
	if e.c.User.UID == 0 && !o.IDs.Namespace && kernelHas("squashfs") {
		device, hold, err := launch.Loop(p.image.Path, part.Offset, part.Size)
		if err == nil {
			p.closers = append(p.closers, func() { hold.Close() })
			return launch.Layer{Device: device}, nil
		}
		if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrPermission) && !errors.Is(err, errors.ErrUnsupported) {
			return launch.Layer{}, fmt.Errorf("mount %s: %w", p.image.Path, err)
		}
	}
	f := p.image.File()
	r, err := squashfs.Open(io.NewSectionReader(f, part.Offset, part.Size), part.Size, squashfs.ReaderOptions{CacheBytes: imageCache})
	if err != nil {
		return launch.Layer{}, fmt.Errorf("open %s: %w", p.image.Path, err)
	}
	uid, gid := uint32(o.Host.UID), uint32(o.Host.GID)
	if o.Root {
		uid, gid = 0, 0
	}
	// Layers of other writers may mark replaced folders by attributes; without layers nobody asks for any.
	opt := fuse.Options{OneOwner: len(o.IDs.UID) == 1, UID: uid, GID: gid, HideXattrs: len(p.image.Overlays()) == 0}
	return launch.Layer{Image: func(fd int) error { return fuse.Serve(context.Background(), fd, r, opt) }}, nil
}

// kernelHas tells whether the running kernel knows a file system by now (proc_filesystems(5)); one that is a module not yet
// loaded counts as unknown, and our own server takes its place.
func kernelHas(name string) bool {
	data, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 0 && fields[len(fields)-1] == name {
			return true
		}
	}
	return false
}
