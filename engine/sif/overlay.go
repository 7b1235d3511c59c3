package sif

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"carrel/internal/filelock"
	"golang.org/x/sys/unix"
)

// Update changes an image in place. Every change is ordered so that the file is, at each moment and after a crash at
// any moment, either the image before it or the image after it:
//
//  1. the new partition's bytes, after the last byte any descriptor speaks of;   fsync
//  2. its descriptor, with "in use" still 0, and the header's counts;            fsync
//  3. the single byte "in use" := 1                                              fsync
//
// A crash before 3 leaves the old image, with bytes behind its end that no descriptor mentions and the next change
// writes over; 3 is one byte and cannot be half written. The header's counts are hints that no reader depends on.
type Update struct {
	image  *Image
	device resizable
	f      *os.File
}

// OpenForUpdate opens an image for changes and holds it locked against other Updates until Close; an error wraps
// ErrLocked when another program holds it.
func OpenForUpdate(path string) (*Update, error) {
	f, err := filelock.Open(path, os.O_RDWR, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, &Error{"change", path, ErrLocked, holder(path)}
	}
	if err != nil {
		return nil, err
	}
	m, err := load(f, path)
	if err != nil {
		f.Close()
		return nil, err
	}
	return &Update{image: m, device: f, f: f}, nil
}

// Close releases the lock and the file.
func (u *Update) Close() error { return u.f.Close() }

// Image describes the file as it is now. It is closed with the Update, and is stale after a change.
func (u *Update) Image() *Image { return u.image }

// Overlay is a partition to be laid over the image's system.
type Overlay struct {
	// Write writes a SquashFS, or what FS says.
	Write WritePartition
	FS    FSType // 0: SquashFS
	// Name is shown by listings; it may be empty.
	Name string
	Time time.Time
	// BreakSignature permits the change to a signed image, whose signature will no longer verify.
	BreakSignature bool
}

// Append adds an overlay partition on top of those there and returns it. After an error the image is as it was.
func (u *Update) Append(ctx context.Context, o Overlay) (Object, error) {
	primary, err := u.image.System()
	if err != nil {
		return Object{}, &Error{Op: "append overlay to", Path: u.image.Path, Err: errors.Unwrap(err)}
	}
	fs := o.FS
	if fs == 0 {
		fs = FSSquash
	}
	return u.add(ctx, "append overlay to", NewObject{
		Type: TypePartition, Name: o.Name, Group: primary.Group, FS: fs, Role: PartOverlay, Arch: u.image.Arch,
		Time: o.Time, Write: o.Write, BreakSignature: o.BreakSignature,
	})
}

// writeData is step 1: the partition's bytes, on the disk, and the descriptor that tells of them.
func (u *Update) writeData(ctx context.Context, d descriptor, end int64, write WritePartition) (descriptor, error) {
	var err error
	if d.Size, err = write(u.device, d.Offset); err != nil {
		return d, err
	}
	d.SizeWithPadding = d.Offset + d.Size - end
	sum, err := digestRange(ctx, u.device, d.Offset, d.Size)
	if err != nil {
		return d, err
	}
	d.setDigest(sum)
	if err := u.device.Truncate(d.Offset + d.Size); err != nil {
		return d, err
	}
	if err := u.device.Sync(); err != nil {
		return d, err
	}
	if ctx.Err() != nil {
		return d, context.Cause(ctx)
	}
	return d, nil
}

// revert undoes a commit that failed halfway. The data are cut off only when the descriptor surely does not speak of them.
func (u *Update) revert(index int, end int64) error {
	at := u.image.h.TableOffset + int64(index)*descriptorSize
	if _, err := u.device.WriteAt(make([]byte, descriptorSize), at); err != nil {
		return err
	}
	if _, err := u.device.WriteAt(u.image.h.encode(), 0); err != nil {
		return err
	}
	if err := u.device.Sync(); err != nil {
		return err
	}
	return u.device.Truncate(end)
}

// commit is steps 2 and 3 of the order that Update describes.
func (u *Update) commit(index int, d descriptor) error {
	at := u.image.h.TableOffset + int64(index)*descriptorSize
	if _, err := u.device.WriteAt(d.encode(), at); err != nil {
		return err
	}
	if err := u.writeHeader(len(u.image.Objects)+1, d.Offset+d.Size, d.Created); err != nil {
		return err
	}
	if err := u.device.Sync(); err != nil {
		return err
	}
	if _, err := u.device.WriteAt([]byte{1}, at+4); err != nil {
		return err
	}
	return u.device.Sync()
}

// RemoveLast takes the topmost overlay partition off the image and returns what it was.
func (u *Update) RemoveLast(ctx context.Context, now time.Time) (Object, error) {
	overlays := u.image.Overlays()
	if len(overlays) == 0 {
		return Object{}, &Error{Op: "remove overlay from", Path: u.image.Path, Err: ErrNoOverlay}
	}
	return u.remove(ctx, "remove overlay from", overlays[len(overlays)-1], now)
}

// writeHeader updates the header's counts for used descriptors and data up to end.
func (u *Update) writeHeader(used int, end, modified int64) error {
	h := u.image.h
	h.DescriptorsFree = h.DescriptorsTotal - int64(used)
	h.DataSize = end - h.DataOffset
	h.Modified = modified
	_, err := u.device.WriteAt(h.encode(), 0)
	return err
}

// freeSlot is the index of the first free descriptor above all used ones, so that the table's order stays the order
// of the overlays, and ids, which follow from the index, are not given twice.
func (u *Update) freeSlot() (int, error) {
	index := 0
	for _, o := range u.image.Objects {
		index = max(index, o.index+1)
	}
	if int64(index) >= u.image.h.DescriptorsTotal {
		return 0, ErrFull
	}
	return index, nil
}

// Room tells whether another object fits into the table; the error wraps ErrFull when none does.
func (u *Update) Room() error {
	if _, err := u.freeSlot(); err != nil {
		return &Error{Op: "append overlay to", Path: u.image.Path, Err: err}
	}
	return nil
}

// dataEnd is the first byte after everything a descriptor speaks of.
func (u *Update) dataEnd() int64 {
	end := u.image.h.DataOffset
	for i := range u.image.Objects {
		end = max(end, u.image.Objects[i].end())
	}
	return end
}

func (u *Update) reload() error {
	m, err := load(u.f, u.image.Path)
	if err == nil {
		u.image = m
	}
	return err
}

// holder names the process that has a file locked, as far as /proc/locks (proc_locks(5)) tells.
func holder(path string) string {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return ""
	}
	locks, err := os.Open("/proc/locks")
	if err != nil {
		return ""
	}
	defer locks.Close()
	want := fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
	for s := bufio.NewScanner(locks); s.Scan(); {
		fields := strings.Fields(s.Text()) // "1: FLOCK ADVISORY WRITE 1234 08:01:5678 0 EOF"
		if len(fields) < 6 || fields[1] != "FLOCK" || fields[5] != want {
			continue
		}
		if name, err := os.ReadFile("/proc/" + fields[4] + "/comm"); err == nil {
			return fmt.Sprintf("process %s (%s)", fields[4], strings.TrimSpace(string(name)))
		}
		return "process " + fields[4]
	}
	return ""
}
