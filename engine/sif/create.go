package sif

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"runtime"
	"slices"
	"time"

	"carrel/internal/atomicfile"
)

// Target is where a partition's bytes go: the image file itself. It may be written in any order at offsets from the
// one given upwards, and read back.
type Target interface {
	io.ReaderAt
	io.WriterAt
}

// WritePartition writes a file system into w beginning at offset and returns its length in bytes.
type WritePartition func(w Target, offset int64) (size int64, err error)

// Names of the JSON objects Apptainer writes.
const (
	MetadataName  = "inspect-metadata.json"
	OCIConfigName = "oci-config.json"
)

// Contents is what goes into a new image.
type Contents struct {
	// Definition is the text of the definition file the image was built from; no object is written when it is empty.
	Definition []byte
	// Metadata is the inspect-metadata.json object, OCIConfig the oci-config.json one; nil for none.
	Metadata  []byte
	OCIConfig []byte
	// JSON holds further JSON objects by name.
	JSON map[string][]byte
	// Arch is the processor as Go names it ("amd64"); empty for the one this program runs on.
	Arch string
	// System writes the SquashFS of the system partition.
	System WritePartition
	// Time goes into the header and all descriptors. With Deterministic the image's id is zero instead of random, so
	// that the same contents and time give the same bytes.
	Time          time.Time
	Deterministic bool
}

// Create writes an image to path, with mode 0755, replacing what is there only when everything succeeded; until then,
// and after an error, path is untouched and nothing is left beside it.
func Create(ctx context.Context, path string, c Contents) error {
	f, err := atomicfile.Create(path, 0o755)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := write(ctx, f.File, c); err != nil {
		return &Error{Op: "write image", Path: path, Err: err}
	}
	if err := ctx.Err(); err != nil {
		return &Error{Op: "write image", Path: path, Err: context.Cause(ctx)}
	}
	return f.Commit()
}

// resizable is the part of an open file that changing an image needs.
type resizable interface {
	Target
	Truncate(size int64) error
	Sync() error
}

func write(ctx context.Context, f resizable, c Contents) error {
	if c.System == nil {
		return fmt.Errorf("%w given", ErrNoSystem)
	}
	if c.Arch == "" {
		c.Arch = runtime.GOARCH
	}
	h := newHeader(c)
	var table []descriptor
	end := h.DataOffset
	add := func(d descriptor) {
		d.Used, d.ID, d.Group = true, uint32(len(table)+1), defaultGroup
		d.SizeWithPadding = d.Offset + d.Size - end
		d.Created, d.Modified = h.Created, h.Created
		end = d.Offset + d.Size
		table = append(table, d)
	}

	for _, o := range c.dataObjects() {
		if len(table) >= tableCapacity-1 {
			return fmt.Errorf("%w: %d objects", ErrFull, len(table)+1)
		}
		d := descriptor{Type: o.kind, Offset: end, Size: int64(len(o.data))}
		copy(d.Name[:], o.name)
		d.setDigest(sha256.Sum256(o.data))
		if _, err := f.WriteAt(o.data, end); err != nil {
			return err
		}
		add(d)
	}

	d := descriptor{Type: TypePartition, Offset: alignUp(end, partitionAlign)}
	d.setPartition(FSSquash, PartPrimSys, c.Arch)
	var err error
	early := startWriteback(f)
	d.Size, err = c.System(early, d.Offset)
	early.wait()
	if err != nil {
		return err
	}
	flushed := make(chan error, 1) // the disk works while the processor does
	go func() { flushed <- f.Sync() }()
	sum, err := digestRange(ctx, f, d.Offset, d.Size)
	if err := errors.Join(err, <-flushed); err != nil {
		return err
	}
	d.setDigest(sum)
	add(d)

	h.DescriptorsFree -= int64(len(table))
	h.DataSize = end - h.DataOffset
	if err := f.Truncate(end); err != nil {
		return err
	}
	encoded := make([]byte, 0, h.TableSize)
	for i := range table {
		encoded = append(encoded, table[i].encode()...)
	}
	encoded = encoded[:h.TableSize] // the free descriptors are zero
	if _, err := f.WriteAt(encoded, h.TableOffset); err != nil {
		return err
	}
	_, err = f.WriteAt(h.encode(), 0)
	return err
}

type dataObject struct {
	kind DataType
	name string
	data []byte
}

// dataObjects lists what comes before the system partition, in Apptainer's order: the definition, then the JSON
// objects by name.
func (c *Contents) dataObjects() []dataObject {
	var list []dataObject
	for name, data := range c.JSON {
		list = append(list, dataObject{TypeJSON, name, data})
	}
	if c.Metadata != nil {
		list = append(list, dataObject{TypeJSON, MetadataName, c.Metadata})
	}
	if c.OCIConfig != nil {
		list = append(list, dataObject{TypeJSON, OCIConfigName, c.OCIConfig})
	}
	slices.SortFunc(list, func(a, b dataObject) int {
		switch {
		case a.name < b.name:
			return -1
		case a.name > b.name:
			return 1
		}
		return 0
	})
	if len(c.Definition) > 0 {
		list = slices.Insert(list, 0, dataObject{kind: TypeDefinition, data: c.Definition})
	}
	return list
}

func newHeader(c Contents) header {
	h := header{
		Arch:             archCode(c.Arch),
		Created:          unixSeconds(c.Time),
		Modified:         unixSeconds(c.Time),
		DescriptorsFree:  tableCapacity,
		DescriptorsTotal: tableCapacity,
		TableOffset:      tableOffset,
		TableSize:        tableCapacity * descriptorSize,
		DataOffset:       tableOffset + tableCapacity*descriptorSize,
	}
	copy(h.Launch[:], LaunchLine)
	copy(h.Magic[:], magic)
	copy(h.Version[:], version)
	if !c.Deterministic {
		rand.Read(h.ID[:])
		h.ID[6] = h.ID[6]&0x0f | 0x40 // a random UUID, version 4 (RFC 9562, section 5.4)
		h.ID[8] = h.ID[8]&0x3f | 0x80
	}
	return h
}

// digestRange is the SHA-256 of size bytes at offset.
func digestRange(ctx context.Context, r io.ReaderAt, offset, size int64) (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	if err := hashRange(ctx, h, r, offset, size); err != nil {
		return sum, err
	}
	h.Sum(sum[:0])
	return sum, nil
}

func hashRange(ctx context.Context, h hash.Hash, r io.ReaderAt, offset, size int64) error {
	buf := make([]byte, 1<<20)
	for size > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		b := buf[:min(int64(len(buf)), size)]
		n, err := r.ReadAt(b, offset)
		h.Write(b[:n])
		offset, size = offset+int64(n), size-int64(n)
		if n < len(b) && err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// uuidString is the usual text form of an id.
func uuidString(id [16]byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

func groupNumber(g uint32) uint32 { return g &^ groupMask }

func littleUint32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }
