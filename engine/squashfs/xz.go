package squashfs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/ulikunitz/xz/lzma"
)

// xzDecompressor reads the .xz streams of one block which SquashFS writers make (https://tukaani.org/xz/xz-file-format.txt). The
// container is parsed here because the library that decodes LZMA2 has no branch filters (mksquashfs -Xbcj) and would
// allocate the dictionary that the stream names, however large; no block of ours is larger than 1 MiB.
//
//	stream header: fd '7zXZ' 00 | 00 check | crc32      block header: size/4-1 | flags | [sizes] | filters | padding | crc32
//	then the data, padding to 4 bytes, the check, and an index and a footer that are not needed here
type xzDecompressor struct{}

const (
	xzFilterLZMA2 = 0x21
	xzFilterX86   = 0x04 // and up to xzFilterSPARC the other branch filters
	xzFilterSPARC = 0x09
)

var errXZ = errors.New("xz: damaged block")

func (xzDecompressor) decompress(dst, src []byte) (int, error) {
	le := binary.LittleEndian
	if len(src) < 16 || !bytes.Equal(src[:7], []byte("\xfd7zXZ\x00\x00")) || crc32.ChecksumIEEE(src[6:8]) != le.Uint32(src[8:]) {
		return 0, errXZ
	}
	check := src[7]
	body := src[12:]
	size := (int(body[0]) + 1) * 4
	if body[0] == 0 || size > len(body) || crc32.ChecksumIEEE(body[:size-4]) != le.Uint32(body[size-4:]) {
		return 0, errXZ
	}
	flags, head := body[1], body[2:size-4]
	for _, bit := range []byte{0x40, 0x80} { // compressed and uncompressed size
		if flags&bit != 0 {
			_, n := binary.Uvarint(head)
			if n <= 0 {
				return 0, errXZ
			}
			head = head[n:]
		}
	}
	type branch struct {
		id    uint64
		start uint32
	}
	var branches []branch
	dict := -1
	for range flags&3 + 1 {
		id, n := binary.Uvarint(head)
		if n <= 0 {
			return 0, errXZ
		}
		head = head[n:]
		length, n := binary.Uvarint(head)
		if n <= 0 || length > uint64(len(head)-n) {
			return 0, errXZ
		}
		props := head[n : n+int(length)]
		head = head[n+int(length):]
		switch {
		case dict >= 0: // LZMA2 is the last filter of a chain
			return 0, errXZ
		case id == xzFilterLZMA2:
			if len(props) != 1 || props[0] > 40 {
				return 0, errXZ
			}
			dict = min(max(len(dst), lzma.MinDictCap), MaxBlockSize)
		case id >= xzFilterX86 && id <= xzFilterSPARC:
			b := branch{id: id}
			if len(props) == 4 {
				b.start = le.Uint32(props)
			} else if len(props) != 0 {
				return 0, errXZ
			}
			branches = append(branches, b)
		default:
			return 0, fmt.Errorf("xz: unknown filter %#x", id)
		}
	}
	if dict < 0 {
		return 0, errXZ
	}
	in := bytes.NewReader(body[size:])
	zr, err := lzma.Reader2Config{DictCap: dict}.NewReader2(in)
	if err != nil {
		return 0, fmt.Errorf("xz: %w", err)
	}
	n, err := readBlock(zr, dst)
	if err != nil {
		return 0, fmt.Errorf("xz: %w", err)
	}
	for i := len(branches) - 1; i >= 0; i-- {
		unbranch(branches[i].id, dst[:n], branches[i].start)
	}
	if check == 1 { // CRC32, which all SquashFS writers use because the kernel's decoder knows no other
		at := len(body) - in.Len()
		at = 12 + (at+3)&^3
		if at+4 > len(src) || crc32.ChecksumIEEE(dst[:n]) != le.Uint32(src[at:]) {
			return 0, errXZ
		}
	}
	return n, nil
}

// unbranch undoes a branch filter: relative addresses in machine code were made absolute before compression. The conversions
// are those that section 5.3.2 of the .xz format names.
func unbranch(id uint64, b []byte, start uint32) {
	le, be := binary.LittleEndian, binary.BigEndian
	switch id {
	case xzFilterX86:
		unbranchX86(b, start)
	case 0x05: // PowerPC, big endian: b, bl with the absolute bit clear and the link bit set
		for i := 0; i+4 <= len(b); i += 4 {
			if v := be.Uint32(b[i:]); v&0xfc000003 == 0x48000001 {
				be.PutUint32(b[i:], 0x48000001|(v&0x03fffffc-(start+uint32(i)))&0x03fffffc)
			}
		}
	case 0x06:
		unbranchIA64(b, start)
	case 0x07: // ARM: bl
		for i := 0; i+4 <= len(b); i += 4 {
			if b[i+3] == 0xeb {
				v := le.Uint32(b[i:])
				dest := v&0x00ffffff<<2 - (start + uint32(i) + 8)
				le.PutUint32(b[i:], 0xeb000000|dest>>2&0x00ffffff)
			}
		}
	case 0x08: // ARM Thumb: bl, a pair of half words
		for i := 0; i+4 <= len(b); i += 2 {
			hi, lo := uint32(le.Uint16(b[i:])), uint32(le.Uint16(b[i+2:]))
			if hi&0xf800 == 0xf000 && lo&0xf800 == 0xf800 {
				dest := ((hi&0x7ff)<<11|lo&0x7ff)<<1 - (start + uint32(i) + 4)
				dest >>= 1
				le.PutUint16(b[i:], uint16(0xf000|dest>>11&0x7ff))
				le.PutUint16(b[i+2:], uint16(0xf800|dest&0x7ff))
				i += 2
			}
		}
	case xzFilterSPARC: // call with a displacement that fits in 23 bits
		for i := 0; i+4 <= len(b); i += 4 {
			v := be.Uint32(b[i:])
			if v>>22 == 0x100 || v>>22 == 0x1ff {
				dest := v<<2 - (start + uint32(i))
				dest >>= 2
				dest = (0-dest>>22&1)<<22&0x3fffffff | 0x40000000 | dest&0x3fffff
				be.PutUint32(b[i:], dest)
			}
		}
	}
}

// unbranchX86 handles call (e8) and jmp (e9) with 32 bit displacements whose top byte is 00 or ff. mask remembers, as the
// encoder does, at which of the bytes before an opcode another one was seen.
func unbranchX86(b []byte, start uint32) {
	allowed := [8]bool{true, true, true, false, true, false, false, false}
	bitNumber := [8]uint32{0, 1, 2, 2, 3, 3, 3, 3}
	extreme := func(c byte) bool { return c == 0 || c == 0xff }
	if len(b) < 5 {
		return
	}
	prev, mask := -1, uint32(0)
	for i := 0; i < len(b)-4; i++ {
		if b[i]&0xfe != 0xe8 {
			continue
		}
		if gap := i - prev; gap > 3 {
			mask = 0
		} else {
			mask = mask << (gap - 1) & 7
			if mask != 0 {
				if !allowed[mask] || extreme(b[i+4-int(bitNumber[mask])]) {
					prev = i
					mask = mask<<1 | 1
					continue
				}
			}
		}
		prev = i
		if !extreme(b[i+4]) {
			mask = mask<<1 | 1
			continue
		}
		src := binary.LittleEndian.Uint32(b[i+1:])
		var dest uint32
		for {
			dest = src - (start + uint32(i) + 5)
			if mask == 0 {
				break
			}
			shift := bitNumber[mask] * 8
			if !extreme(byte(dest >> (24 - shift))) {
				break
			}
			src = dest ^ (1<<(32-shift) - 1)
		}
		dest &= 0x01ffffff
		dest |= 0 - dest&0x01000000
		binary.LittleEndian.PutUint32(b[i+1:], dest)
		i += 4
	}
}

// unbranchIA64 handles the branch slots of bundles of 16 bytes; which slots may branch depends on the template.
func unbranchIA64(b []byte, start uint32) {
	slots := [32]byte{16: 4, 17: 4, 18: 6, 19: 6, 22: 7, 23: 7, 24: 4, 25: 4, 28: 4, 29: 4}
	for i := 0; i+16 <= len(b); i += 16 {
		mask := slots[b[i]&0x1f]
		for slot := range 3 {
			if mask>>slot&1 == 0 {
				continue
			}
			bit := 5 + 41*slot
			at, shift := i+bit/8, bit%8
			var v uint64
			for j := range 6 {
				v |= uint64(b[at+j]) << (8 * j)
			}
			norm := v >> shift
			if norm>>37&0xf != 0x5 || norm>>9&0x7 != 0 {
				continue
			}
			addr := uint32(norm>>13&0xfffff) | uint32(norm>>36&1)<<20
			dest := (addr<<4 - (start + uint32(i))) >> 4
			norm &^= uint64(0x8fffff) << 13
			norm |= uint64(dest&0xfffff)<<13 | uint64(dest&0x100000)<<(36-20)
			v = v&(1<<shift-1) | norm<<shift
			for j := range 6 {
				b[at+j] = byte(v >> (8 * j))
			}
		}
	}
}
