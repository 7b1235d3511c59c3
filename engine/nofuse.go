package engine

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"carrel/engine/launch"
)

// fuseUsable tells whether this process may open /dev/fuse, and that it is what it is called (a container engine may have put
// /dev/null there): character device 10, 229 (Documentation/admin-guide/devices.txt).
func fuseUsable() bool {
	var st unix.Stat_t
	return unix.Stat("/dev/fuse", &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(10, 229) &&
		unix.Access("/dev/fuse", unix.R_OK|unix.W_OK) == nil
}

// unpackError is an image that could be neither mounted nor unpacked.
type unpackError struct {
	path string
	err  error
}

func (e *unpackError) Error() string {
	return fmt.Sprintf("open %s: this computer has no /dev/fuse for you, and the image could not be unpacked: %v", e.path, e.err)
}

func (e *unpackError) Unwrap() error { return e.err }

// Hint says what an administrator, and what anybody, can do.
func (e *unpackError) Hint() string {
	return "an administrator can allow it: modprobe fuse && chmod 666 /dev/fuse; or unpack it once where there is room: carrel build --sandbox FOLDER " + quote(e.path)
}

// unpacked puts an unpacked copy of the image in the place of its layers, where nothing can be mounted: the copy that later
// starts use elsewhere, made now. The caller waits for it once.
func (e *Engine) unpacked(ctx context.Context, p *prepared, o *launch.Options) error {
	key, err := hotKey(p.image.Path)
	if err != nil {
		return &unpackError{p.image.Path, err}
	}
	limit := e.hotLimit()
	if limit < 0 {
		return &unpackError{p.image.Path, errors.New("no unpacked images may be kept")}
	}
	if err := runHeater(ctx, heatOrder{Image: p.image.Path, Dir: e.hotDir(), Key: key, Limit: limit}); err != nil {
		return &unpackError{p.image.Path, err}
	}
	if !e.useHot(p, o) {
		return &unpackError{p.image.Path, errTooLarge}
	}
	p.note("this computer has no /dev/fuse for you, so the image was unpacked; the next start will be quick")
	return nil
}
