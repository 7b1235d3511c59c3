package sif

import (
	"context"
	"errors"
	"fmt"
	"time"

	"carrel/internal/atomicfile"
)

// ErrNoObject says that an image has no object of an id.
var ErrNoObject = errors.New("it has no such object")

// NewObject is what Add puts into an image.
type NewObject struct {
	Type DataType
	Name string // at most 127 bytes
	// Group is 0 for none; Link is the id of an object, or of a group when LinkIsGroup, 0 for none.
	Group       uint32
	Link        uint32
	LinkIsGroup bool
	// Of partitions only.
	FS   FSType
	Role PartType
	Arch string // as Go names it

	Align int64 // bytes; 0: 4096 for partitions, 1 for others
	Time  time.Time
	// Write writes the object's bytes.
	Write WritePartition
	// BreakSignature permits the change to a signed image, whose signature will no longer verify.
	BreakSignature bool
}

// Add puts an object behind those there and returns it. After an error the image is as it was.
func (u *Update) Add(ctx context.Context, o NewObject) (Object, error) {
	return u.add(ctx, "add object to", o)
}

func (u *Update) add(ctx context.Context, op string, o NewObject) (Object, error) {
	added, err := u.append(ctx, o)
	if err != nil {
		err = &Error{Op: op, Path: u.image.Path, Err: err}
	}
	return added, err
}

func (u *Update) append(ctx context.Context, o NewObject) (added Object, err error) {
	if u.image.Signed() && !o.BreakSignature {
		return added, ErrSigned
	}
	if o.Role == PartPrimSys {
		if old, err := u.image.System(); err == nil {
			return added, fmt.Errorf("object %d is its system partition already", old.ID)
		}
	}
	index, err := u.freeSlot()
	if err != nil {
		return added, err
	}
	align := o.Align
	if align <= 0 {
		if align = 1; o.Type == TypePartition {
			align = partitionAlign
		}
	}
	end := u.dataEnd()
	d := descriptor{
		Type: o.Type, ID: uint32(index + 1), Offset: alignUp(end, align), Created: unixSeconds(o.Time), Modified: unixSeconds(o.Time), Link: o.Link,
	}
	if o.Group != 0 {
		d.Group = groupMask | o.Group
	}
	if o.LinkIsGroup {
		d.Link |= groupMask
	}
	if o.Type == TypePartition {
		d.setPartition(o.FS, o.Role, o.Arch)
	}
	if len(o.Name) >= len(d.Name) {
		return added, fmt.Errorf("a name of %d bytes", len(o.Name))
	}
	copy(d.Name[:], o.Name)

	d, err = u.writeData(ctx, d, end, o.Write)
	if err != nil {
		return added, errors.Join(err, u.device.Truncate(end))
	}
	if err := u.commit(index, d); err != nil {
		return added, errors.Join(err, u.revert(index, end))
	}
	d.Used = true
	added, err = newObject(index, d, d.Offset+d.Size)
	if err == nil && o.Role == PartPrimSys {
		err = u.setArch(o.Arch)
	}
	return added, errors.Join(err, u.reload())
}

// Remove takes an object out of the image and returns what it was; the error wraps ErrNoObject when there is none of that
// id. The file becomes shorter where the object was the last.
func (u *Update) Remove(ctx context.Context, id uint32, now time.Time) (Object, error) {
	for _, o := range u.image.Objects {
		if o.ID == id {
			return u.remove(ctx, "remove object from", o, now)
		}
	}
	return Object{}, &Error{"remove object from", u.image.Path, ErrNoObject, fmt.Sprintf("%d", id)}
}

func (u *Update) remove(ctx context.Context, op string, o Object, now time.Time) (Object, error) {
	err := func() error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if u.image.Signed() && o.Type != TypeSignature {
			return ErrSigned
		}
		at := u.image.h.TableOffset + int64(o.index)*descriptorSize
		if _, err := u.device.WriteAt([]byte{0}, at+4); err != nil {
			return err
		}
		if err := u.device.Sync(); err != nil {
			return err
		}
		if _, err := u.device.WriteAt(make([]byte, descriptorSize), at); err != nil {
			return err
		}
		if err := u.reload(); err != nil {
			return err
		}
		end := u.dataEnd()
		if err := u.writeHeader(len(u.image.Objects), end, unixSeconds(now)); err != nil {
			return err
		}
		if err := u.device.Sync(); err != nil {
			return err
		}
		if err := u.device.Truncate(end); err != nil {
			return err
		}
		return u.reload()
	}()
	if err != nil {
		return Object{}, &Error{Op: op, Path: u.image.Path, Err: err}
	}
	return o, nil
}

// SetPrimary makes a system partition the one that the image runs from. The one before becomes an ordinary one.
//
// It is a change of two descriptors: a crash between them leaves an image without a primary partition, which loses nothing.
func (u *Update) SetPrimary(id uint32) error {
	fail := func(err error, detail string) error {
		return &Error{"change", u.image.Path, err, detail}
	}
	if u.image.Signed() {
		return fail(ErrSigned, "")
	}
	var target *Object
	for i := range u.image.Objects {
		if o := &u.image.Objects[i]; o.ID == id {
			target = o
		}
	}
	switch {
	case target == nil:
		return fail(ErrNoObject, fmt.Sprintf("%d", id))
	case target.Type != TypePartition || target.Role != PartPrimSys && target.Role != PartSystem:
		return fail(ErrNoSystem, fmt.Sprintf("object %d is not a system partition", id))
	case target.Role == PartPrimSys:
		return nil
	}
	for _, o := range u.image.Objects {
		if o.Type == TypePartition && o.Role == PartPrimSys {
			if err := u.setRole(o, PartSystem); err != nil {
				return fail(err, "")
			}
		}
	}
	if err := u.setRole(*target, PartPrimSys); err != nil {
		return fail(err, "")
	}
	if err := u.setArch(target.Arch); err != nil {
		return fail(err, "")
	}
	return u.reload()
}

func (u *Update) setRole(o Object, role PartType) error {
	d := o.raw
	d.setPartition(o.FS, role, o.Arch)
	if _, err := u.device.WriteAt(d.encode(), u.image.h.TableOffset+int64(o.index)*descriptorSize); err != nil {
		return err
	}
	return u.device.Sync()
}

// setArch writes the processor of the system partition into the header.
func (u *Update) setArch(goarch string) error {
	if err := u.reload(); err != nil {
		return err
	}
	h := u.image.h
	h.Arch = archCode(goarch)
	if _, err := u.device.WriteAt(h.encode(), 0); err != nil {
		return err
	}
	return u.device.Sync()
}

// CreateEmpty writes an image without any object, for Add; what is at path is replaced.
func CreateEmpty(path string, now time.Time) error {
	f, err := atomicfile.Create(path, 0o755)
	if err != nil {
		return err
	}
	defer f.Close()
	h := newHeader(Contents{Arch: "unknown", Time: now})
	h.DescriptorsFree = h.DescriptorsTotal
	h.DataSize = 0
	if _, err := f.WriteAt(h.encode(), 0); err != nil {
		return &Error{Op: "write image", Path: path, Err: err}
	}
	if err := f.Truncate(h.DataOffset); err != nil {
		return &Error{Op: "write image", Path: path, Err: err}
	}
	return f.Commit()
}

// ArchName is Go's name of a processor by the number that it has in the format.
func ArchName(code int) (string, bool) {
	name, ok := archNames[fmt.Sprintf("%02d", code)]
	return name, ok
}
