package sif

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Image is an open image. Its fields are not changed after Open.
type Image struct {
	Path       string
	Size       int64 // of the file, bytes
	LaunchLine string
	Arch       string // of the system partition as Go names it, or "unknown"
	ID         string // UUID
	Created    time.Time
	Modified   time.Time
	// Objects are the descriptors in use, in the table's order.
	Objects []Object

	f *os.File
	h header
}

// Object is one data object.
type Object struct {
	ID          uint32
	Group       uint32 // 0 for none
	Link        uint32 // id of the object, or of the group when LinkIsGroup; 0 for none
	LinkIsGroup bool
	Type        DataType
	Name        string
	Offset      int64 // in the file, bytes
	Size        int64
	Created     time.Time

	// Of partitions only.
	FS   FSType
	Role PartType
	Arch string
	// Signer is the fingerprint of the key that a signature says it was made with, in hexadecimal; empty where it says none. Of
	// a signature the extra field holds the kind of digest (4 bytes) and the fingerprint (20).
	Signer string
	// Digest is the SHA-256 that an image written by this package carries of the object; nil in others.
	Digest []byte

	index int // in the table
	raw   descriptor
}

// end is the first byte after the object.
func (o *Object) end() int64 { return o.Offset + o.Size }

// Open reads the header and the descriptors of an image, in one read for those of the usual layout. It succeeds for
// every sound SIF, also one that cannot be run: System tells about that. The caller closes the image.
func Open(path string) (*Image, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	m, err := load(f, path)
	if err != nil {
		f.Close()
		return nil, err
	}
	return m, nil
}

// openFile opens for reading without waiting for the other end of a fifo (open(2)).
func openFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
}

func load(f *os.File, path string) (*Image, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &Error{"open", path, ErrNotSIF, "it is not a regular file"}
	}
	m, err := parse(f, info.Size())
	if err != nil {
		var e *Error
		if errors.As(err, &e) {
			e.Op, e.Path = "open", path
			return nil, e
		}
		return nil, &Error{Op: "open", Path: path, Err: err}
	}
	m.Path, m.f = path, f
	return m, nil
}

// frontSize is how far header and descriptors of the usual layout reach.
const frontSize = tableOffset + tableCapacity*descriptorSize

var fronts = sync.Pool{New: func() any { return new([frontSize]byte) }}

// parse reads an image of size bytes from r. Errors are of type *Error, without path, or r's own.
func parse(r io.ReaderAt, size int64) (*Image, error) {
	buffer := fronts.Get().(*[frontSize]byte) // nothing of it is kept
	defer fronts.Put(buffer)
	front := buffer[:]
	n, err := r.ReadAt(front, 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	front = front[:n]
	if len(front) < 42 || string(front[32:42]) != magic {
		return nil, &Error{Err: ErrNotSIF}
	}
	if len(front) < headerSize {
		return nil, &Error{Err: ErrTruncated, Detail: "within its header"}
	}
	h := decodeHeader(front)
	if string(h.Version[:]) != version {
		return nil, &Error{Err: ErrNotSIF, Detail: fmt.Sprintf("format version %q is unknown", cString(h.Version[:]))}
	}
	table, err := readTable(r, front, h, size)
	if err != nil {
		return nil, err
	}
	m := &Image{
		Size:       size,
		LaunchLine: string(cString(h.Launch[:])),
		Arch:       archName(h.Arch[:]),
		ID:         uuidString(h.ID),
		Created:    time.Unix(h.Created, 0),
		Modified:   time.Unix(h.Modified, 0),
		h:          h,
	}
	for i := 0; i*descriptorSize < len(table); i++ {
		b := table[i*descriptorSize:]
		if b[4] == 0 {
			continue
		}
		o, err := newObject(i, decodeDescriptor(b), size)
		if err != nil {
			return nil, err
		}
		m.Objects = append(m.Objects, o)
	}
	return m, nil
}

// readTable returns the descriptor table, out of front where it lies there.
func readTable(r io.ReaderAt, front []byte, h header, size int64) ([]byte, error) {
	total := h.DescriptorsTotal
	if total < 0 || total > maxTable || h.TableOffset < headerSize || h.TableOffset > math.MaxInt64/2 {
		return nil, &Error{Err: ErrCorrupt, Detail: fmt.Sprintf("its header tells of %d descriptors at byte %d", total, h.TableOffset)}
	}
	end := h.TableOffset + total*descriptorSize
	if end > size {
		return nil, &Error{Err: ErrTruncated, Detail: fmt.Sprintf("its descriptors end at byte %d, the file has %d", end, size)}
	}
	if end <= int64(len(front)) {
		return front[h.TableOffset:end], nil
	}
	table := make([]byte, total*descriptorSize)
	if _, err := r.ReadAt(table, h.TableOffset); err != nil {
		return nil, err
	}
	return table, nil
}

func newObject(index int, d descriptor, fileSize int64) (Object, error) {
	o := Object{
		ID:          d.ID,
		Group:       groupNumber(d.Group),
		Link:        groupNumber(d.Link),
		LinkIsGroup: d.Link&groupMask == groupMask,
		Type:        d.Type,
		Name:        string(cString(d.Name[:])),
		Offset:      d.Offset,
		Size:        d.Size,
		Created:     time.Unix(d.Created, 0),
		Digest:      d.digest(),
		index:       index,
		raw:         d,
	}
	if d.Type == TypePartition {
		o.FS = FSType(littleUint32(d.Extra[0:]))
		o.Role = PartType(littleUint32(d.Extra[4:]))
		o.Arch = archName(d.Extra[8:11])
	}
	if signer := d.Extra[4:24]; o.Type == TypeSignature && !bytes.Equal(signer, make([]byte, len(signer))) {
		o.Signer = strings.ToUpper(hex.EncodeToString(signer))
	}
	if o.Offset < headerSize || o.Size < 0 || o.Size > math.MaxInt64-o.Offset {
		return o, &Error{Err: ErrCorrupt, Detail: fmt.Sprintf("object %d (%s) has %d bytes at byte %d", o.ID, o.Type, o.Size, o.Offset)}
	}
	if o.end() > fileSize {
		return o, &Error{Err: ErrTruncated, Detail: fmt.Sprintf("object %d (%s) ends at byte %d, the file has %d", o.ID, o.Type, o.end(), fileSize)}
	}
	return o, nil
}

// Close closes the file.
func (m *Image) Close() error { return m.f.Close() }

// File is the open file itself, for mounting a partition out of it. It stays the image's.
func (m *Image) File() *os.File { return m.f }

// System is the partition the image runs from. The error wraps ErrEncrypted, ErrOCISIF or ErrNoSystem.
func (m *Image) System() (Object, error) {
	oci := false
	for _, o := range m.Objects {
		if o.Type == TypePartition && o.Role == PartPrimSys {
			if o.FS == FSEncryptedSquash || o.FS == FSGocryptSquash {
				return o, &Error{Op: "open", Path: m.Path, Err: ErrEncrypted}
			}
			return o, nil
		}
		oci = oci || o.Type == TypeOCIRootIndex
	}
	if oci {
		return Object{}, &Error{Op: "open", Path: m.Path, Err: ErrOCISIF}
	}
	return Object{}, &Error{Op: "open", Path: m.Path, Err: ErrNoSystem}
}

// CheckArch returns an error wrapping ErrWrongArch when the image is known to be for another processor than goarch.
func (m *Image) CheckArch(goarch string) error {
	arch := m.Arch
	if o, err := m.System(); err == nil && o.Arch != "unknown" {
		arch = o.Arch
	}
	if arch == goarch || arch == "unknown" {
		return nil
	}
	return &Error{"open", m.Path, ErrWrongArch, fmt.Sprintf("it is for %s, this machine is %s", arch, goarch)}
}

// Overlays are the overlay partitions of the system partition's group, lowest first.
func (m *Image) Overlays() []Object {
	primary, err := m.System()
	if err != nil {
		return nil
	}
	var list []Object
	for _, o := range m.Objects {
		if o.Type == TypePartition && o.Role == PartOverlay && o.Group == primary.Group {
			list = append(list, o)
		}
	}
	return list
}

// Reader reads an object's bytes. It is valid until the image is closed.
func (m *Image) Reader(o Object) *io.SectionReader { return io.NewSectionReader(m.f, o.Offset, o.Size) }

// maxText bounds what is read into memory of a definition file or a JSON object.
const maxText = 16 << 20

// Definition is the text of the definition file in the image, nil when it has none.
func (m *Image) Definition() ([]byte, error) {
	return m.read(func(o *Object) bool { return o.Type == TypeDefinition })
}

// JSON is the JSON object called name, nil when there is none.
func (m *Image) JSON(name string) ([]byte, error) {
	return m.read(func(o *Object) bool { return o.Type == TypeJSON && o.Name == name })
}

// Signed tells whether the image holds a signature.
func (m *Image) Signed() bool {
	for _, o := range m.Objects {
		if o.Type == TypeSignature {
			return true
		}
	}
	return false
}

func (m *Image) read(match func(*Object) bool) ([]byte, error) {
	for i := range m.Objects {
		o := &m.Objects[i]
		if !match(o) {
			continue
		}
		if o.Size > maxText {
			return nil, &Error{"read", m.Path, ErrCorrupt, fmt.Sprintf("its %s has %d bytes", o.Type, o.Size)}
		}
		b := make([]byte, o.Size)
		if _, err := m.f.ReadAt(b, o.Offset); err != nil {
			return nil, &Error{Op: "read", Path: m.Path, Err: err}
		}
		return bytes.TrimRight(b, "\x00"), nil
	}
	return nil, nil
}
