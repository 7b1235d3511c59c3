package sif

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"
)

const (
	headerSize     = 128
	descriptorSize = 585
	tableOffset    = 4096
	tableCapacity  = 48
	partitionAlign = 4096
	maxTable       = 1 << 16 // descriptors accepted in a foreign file (38 MB)

	magic   = "SIF_MAGIC\x00"
	version = "01\x00"

	groupMask    = 0xf0000000
	defaultGroup = groupMask | 1
)

// LaunchLine is the first line of an image, by which the kernel runs it as a program.
const LaunchLine = "#!/usr/bin/env run-singularity\n"

// DataType is the kind of a data object.
type DataType int32

// The data types of SIF version 01 (pkg/sif/sif.go of the reference library).
const (
	TypeDefinition DataType = 0x4001 + iota
	TypeEnvironment
	TypeLabels
	TypePartition
	TypeSignature
	TypeJSON
	TypeGeneric
	TypeCryptoMessage
	TypeSBOM
	TypeOCIRootIndex
	TypeOCIBlob
)

func (t DataType) String() string {
	names := [...]string{"definition file", "environment", "labels", "partition", "signature", "JSON", "data",
		"crypto message", "SBOM", "OCI index", "OCI blob"}
	if i := int(t) - int(TypeDefinition); i >= 0 && i < len(names) {
		return names[i]
	}
	return fmt.Sprintf("type %#x", int32(t))
}

// FSType is the file system of a partition.
type FSType int32

// The file systems a partition may hold.
const (
	FSSquash FSType = 1 + iota
	FSExt3
	FSArchive
	FSRaw
	FSEncryptedSquash
	FSGocryptSquash
)

func (t FSType) String() string {
	names := [...]string{"squashfs", "ext3", "archive", "raw", "encrypted squashfs", "gocryptfs squashfs"}
	if t >= 1 && int(t) <= len(names) {
		return names[t-1]
	}
	return fmt.Sprintf("file system %d", int32(t))
}

// PartType is the role of a partition.
type PartType int32

// The roles a partition may have. An image runs from its one PartPrimSys.
const (
	PartSystem PartType = 1 + iota
	PartPrimSys
	PartData
	PartOverlay
)

func (t PartType) String() string {
	names := [...]string{"system", "primary system", "data", "overlay"}
	if t >= 1 && int(t) <= len(names) {
		return names[t-1]
	}
	return fmt.Sprintf("role %d", int32(t))
}

// archCodes maps Go's names of architectures to the two digits of the format (pkg/sif/arch.go).
var archCodes = map[string]string{
	"386": "01", "amd64": "02", "arm": "03", "arm64": "04", "ppc64": "05", "ppc64le": "06", "mips": "07",
	"mipsle": "08", "mips64": "09", "mips64le": "10", "s390x": "11", "riscv64": "12", "loong64": "13",
}

var archNames = func() map[string]string {
	names := make(map[string]string, len(archCodes))
	for name, code := range archCodes {
		names[code] = name
	}
	return names
}()

// archCode is the three bytes of an architecture, "00\0" for one the format has no number for.
func archCode(goarch string) [3]byte {
	code, ok := archCodes[goarch]
	if !ok {
		code = "00"
	}
	return [3]byte{code[0], code[1], 0}
}

// archName is Go's name of an architecture code, "unknown" where there is none.
func archName(code []byte) string {
	if name, ok := archNames[string(cString(code))]; ok {
		return name
	}
	return "unknown"
}

type header struct {
	Launch           [32]byte
	Magic            [10]byte
	Version          [3]byte
	Arch             [3]byte
	ID               [16]byte
	Created          int64
	Modified         int64
	DescriptorsFree  int64
	DescriptorsTotal int64
	TableOffset      int64
	TableSize        int64
	DataOffset       int64
	DataSize         int64
}

func (h *header) encode() []byte {
	var b bytes.Buffer
	binary.Write(&b, binary.LittleEndian, h) // a bytes.Buffer never fails
	return b.Bytes()
}

func decodeHeader(b []byte) (h header) {
	binary.Decode(b[:headerSize], binary.LittleEndian, &h) // the length is the header's
	return h
}

type descriptor struct {
	Type            DataType
	Used            bool
	ID              uint32
	Group           uint32
	Link            uint32
	Offset          int64
	Size            int64
	SizeWithPadding int64
	Created         int64
	Modified        int64
	UID             int64
	GID             int64
	Name            [128]byte
	Extra           [384]byte
}

func (d *descriptor) encode() []byte {
	var b bytes.Buffer
	binary.Write(&b, binary.LittleEndian, d)
	return b.Bytes()
}

func decodeDescriptor(b []byte) (d descriptor) {
	b = b[:descriptorSize]
	le := binary.LittleEndian
	d.Type = DataType(le.Uint32(b))
	d.Used = b[4] != 0
	d.ID, d.Group, d.Link = le.Uint32(b[5:]), le.Uint32(b[9:]), le.Uint32(b[13:])
	for i, field := range []*int64{&d.Offset, &d.Size, &d.SizeWithPadding, &d.Created, &d.Modified, &d.UID, &d.GID} {
		*field = int64(le.Uint64(b[17+8*i:]))
	}
	copy(d.Name[:], b[73:])
	copy(d.Extra[:], b[201:])
	return d
}

// setPartition fills the extra field of a partition.
func (d *descriptor) setPartition(fs FSType, role PartType, goarch string) {
	binary.LittleEndian.PutUint32(d.Extra[0:], uint32(fs))
	binary.LittleEndian.PutUint32(d.Extra[4:], uint32(role))
	code := archCode(goarch)
	copy(d.Extra[8:11], code[:])
}

const (
	digestMark   = "carrel-sha256:1\n"
	digestOffset = 384 - len(digestMark) - sha256.Size
)

func (d *descriptor) setDigest(sum [sha256.Size]byte) {
	copy(d.Extra[digestOffset:], digestMark)
	copy(d.Extra[digestOffset+len(digestMark):], sum[:])
}

func (d *descriptor) digest() []byte {
	rest, ok := bytes.CutPrefix(d.Extra[digestOffset:], []byte(digestMark))
	if !ok {
		return nil
	}
	return rest
}

// cString is the part before the first NUL.
func cString(b []byte) []byte {
	before, _, _ := bytes.Cut(b, []byte{0})
	return before
}

func alignUp(n, to int64) int64 { return (n + to - 1) / to * to }

// unixSeconds is the form of times in the format; the zero time stays Go's, as the reference library's deterministic
// mode writes it.
func unixSeconds(t time.Time) int64 { return t.Unix() }
