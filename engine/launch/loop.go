package launch

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// maxLoopTries is how often another free loop device is asked for when somebody else was quicker.
const maxLoopTries = 64

// sector is the unit of block devices, in bytes.
const sector = 512

// Loop makes a block device of a part of a file, read-only, for root (loop(4), LOOP_CONFIGURE, Linux 5.8). It frees itself
// when it is no longer mounted and the returned file, which the caller closes after the mount, is closed. The offset may be
// any: images of 2016 begin after a line of 31 bytes.
// errors.ErrUnsupported: the part does not fill whole sectors.
func Loop(image string, offset, size int64) (device string, hold *os.File, err error) {
	backing, err := os.Open(image)
	if err != nil {
		return "", nil, err
	}
	defer backing.Close()
	// A block device has whole sectors; the kernel leaves out a part of one at the end.
	st, err := backing.Stat()
	if err != nil {
		return "", nil, err
	}
	size = (size + sector - 1) / sector * sector
	if offset+size > st.Size() {
		return "", nil, fmt.Errorf("%s is not padded to whole sectors: %w", image, errors.ErrUnsupported)
	}
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return "", nil, err
	}
	defer control.Close()
	for range maxLoopTries {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return "", nil, fmt.Errorf("find a free loop device: %w", err)
		}
		device = fmt.Sprintf("/dev/loop%d", n)
		hold, err = os.OpenFile(device, os.O_RDONLY, 0)
		if err != nil {
			return "", nil, err
		}
		conf := unix.LoopConfig{
			Fd: uint32(backing.Fd()),
			Info: unix.LoopInfo64{
				Offset: uint64(offset), Sizelimit: uint64(size),
				Flags: unix.LO_FLAGS_READ_ONLY | unix.LO_FLAGS_AUTOCLEAR,
			},
		}
		err = unix.IoctlLoopConfigure(int(hold.Fd()), &conf)
		if err == nil {
			return device, hold, nil
		}
		hold.Close()
		if !errors.Is(err, unix.EBUSY) {
			return "", nil, fmt.Errorf("set up %s: %w", device, err)
		}
	}
	return "", nil, errors.New("no loop device is free")
}
