package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"carrel/engine/ext"
	"carrel/engine/fuse"
	"carrel/engine/image"
	"carrel/engine/launch"
	"carrel/engine/squashfs"
	"carrel/engine/tree"
)

// How much of an image's decompressed data the server of one container keeps, in bytes: for requests that are smaller than a
// block. What was read as a whole is in the kernel's cache. While a program starts it comes back to blocks that many small
// files share.
const (
	startCache = 4 << 20
	imageCache = 2 << 20 // from settleTime on
)

// layers finds the trees that a container's root is made of: the folder, or the SquashFS partitions of the file.
func (e *Engine) layers(ctx context.Context, p *prepared, o *launch.Options) error {
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
	if e.c.User.UID != 0 && len(o.IDs.UID) == 1 && !fuseUsable() {
		return e.unpacked(ctx, p, o)
	}
	for _, part := range append([]image.Partition{system}, img.Overlays()...) {
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
	if part.FS == fsExt3 {
		return e.ext3Layer(p, o, part)
	}
	if part.FS != "squashfs" {
		return launch.Layer{}, &image.PartitionError{Path: p.image.Path, FS: part.FS}
	}
	// Layers of other writers may mark replaced folders by attributes; without layers nobody asks for any, unless what is
	// changed is kept, with its attributes.
	return e.squashLayer(p, o, p.image.Path, p.image.File(), part, len(p.image.Overlays()) == 0 && !p.keeps)
}

// squashLayer makes a SquashFS in a file mountable. The file stays open until the container has ended.
func (e *Engine) squashLayer(p *prepared, o *launch.Options, path string, f *os.File, part image.Partition, hideXattrs bool) (launch.Layer, error) {
	if e.c.User.UID == 0 && !o.IDs.Namespace && kernelHas("squashfs") {
		device, hold, err := launch.Loop(path, part.Offset, part.Size)
		if err == nil {
			p.closers = append(p.closers, func() { hold.Close() })
			return launch.Layer{Device: device}, nil
		}
		if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrPermission) && !errors.Is(err, errors.ErrUnsupported) {
			return launch.Layer{}, fmt.Errorf("mount %s: %w", path, err)
		}
	}
	r, err := squashfs.Open(io.NewSectionReader(f, part.Offset, part.Size), part.Size, squashfs.ReaderOptions{CacheBytes: startCache})
	if err != nil {
		return launch.Layer{}, &image.PartitionError{Path: path, FS: part.FS, Err: err}
	}
	opt := fuse.Options{HideXattrs: hideXattrs}
	if len(o.IDs.UID) == 1 {
		opt.OneOwner, opt.UID, opt.GID = true, uint32(o.IDs.UID[0].ContainerID), uint32(o.IDs.GID[0].ContainerID)
	}
	return launch.Layer{Files: r.FS(), Image: func(fd int) error {
		settle := time.AfterFunc(settleTime, func() {
			r.Trim(imageCache)
			debug.FreeOSMemory()
		})
		defer settle.Stop()
		return fuse.Serve(context.Background(), fd, r, opt)
	}}, nil
}

// fsExt3 is how partitions of images before 2.4 are called.
const fsExt3 = "ext3"

// ext3Layer makes an ext3 partition mountable. The kernel mounts it, for root, when it is the whole of an image and was
// unmounted cleanly, since a journal would have to be written to first. Otherwise it is read by package ext into a copy.
func (e *Engine) ext3Layer(p *prepared, o *launch.Options, part image.Partition) (launch.Layer, error) {
	if p.image.Kind == image.Ext3 && e.c.User.UID == 0 && !o.IDs.Namespace {
		if l, ok, err := e.ext3Device(p, part); ok || err != nil {
			return l, err
		}
	}
	source := tree.Source(p.image)
	if p.image.Kind != image.Ext3 {
		over, err := p.image.OverlayLayerOf(part)
		if err != nil {
			return launch.Layer{}, fmt.Errorf("open %s: %w", p.image.Path, err)
		}
		source = over
	}
	return e.copied(p, o, p.image.Path, part, source)
}

// ext3Device has the kernel mount it; ok tells whether it can.
func (e *Engine) ext3Device(p *prepared, part image.Partition) (l launch.Layer, ok bool, err error) {
	fs := ""
	for _, name := range []string{"ext3", "ext4"} {
		if fs == "" && kernelHas(name) {
			fs = name
		}
	}
	clean, err := ext.IsClean(io.NewSectionReader(p.image.File(), part.Offset, part.Size))
	if err != nil {
		return l, false, fmt.Errorf("open %s: %w", p.image.Path, err)
	}
	if fs == "" || !clean {
		return l, false, nil
	}
	device, hold, err := launch.Loop(p.image.Path, part.Offset, part.Size/sector*sector)
	if err != nil {
		return l, false, nil // a computer without loop devices
	}
	p.closers = append(p.closers, func() { hold.Close() })
	return launch.Layer{Device: device, FSType: fs}, true, nil
}

// sector is the unit of block devices, bytes.
const sector = 512

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
