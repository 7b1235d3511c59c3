package look

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

var (
	le = binary.LittleEndian
	be = binary.BigEndian
)

var errDatabase = errors.New("it is damaged, or of a form that is not known")

// Tags of a package's header (rpm, rpmtag.h) and types of their values.
const (
	tagName    = 1000
	tagVersion = 1001
	tagRelease = 1002
	tagEpoch   = 1003
	tagArch    = 1022

	typeInt32  = 4
	typeString = 6

	maxTags = 1024 // they have about a hundred
)

// rpmPackage reads a header as the databases hold it (rpm, header.c): two counts, an index of 16 bytes for each tag, and
// the values; all big endian.
func rpmPackage(b []byte) (Package, error) {
	if len(b) < 8 {
		return Package{}, errDatabase
	}
	tags, size := be.Uint32(b), be.Uint32(b[4:])
	if tags > maxTags || uint64(8+16*tags)+uint64(size) > uint64(len(b)) {
		return Package{}, errDatabase
	}
	data := b[8+16*tags:][:size]
	text := map[uint32]string{}
	epoch := uint32(0)
	for i := range tags {
		e := b[8+16*i:]
		tag, kind, offset := be.Uint32(e), be.Uint32(e[4:]), be.Uint32(e[8:])
		if offset >= uint32(len(data)) {
			continue
		}
		value := data[offset:]
		switch {
		case kind == typeString:
			if end := bytes.IndexByte(value, 0); end >= 0 && tag <= tagArch {
				text[tag] = string(value[:end])
			}
		case kind == typeInt32 && tag == tagEpoch && len(value) >= 4:
			epoch = be.Uint32(value)
		}
	}
	p := Package{Manager: "rpm", Name: text[tagName], Version: text[tagVersion], Arch: text[tagArch]}
	if r := text[tagRelease]; r != "" {
		p.Version += "-" + r
	}
	if epoch > 0 {
		p.Version = fmt.Sprintf("%d:%s", epoch, p.Version)
	}
	return p, nil
}

// addRPM adds the package of a header, except for imported keys, which are none.
func addRPM(list []Package, header []byte) []Package {
	p, err := rpmPackage(header)
	if err != nil || p.Name == "" || strings.HasPrefix(p.Name, "gpg-pubkey") {
		return list
	}
	return append(list, p)
}

// readRPMNdb reads the form of SUSE's rpm (rpm, lib/backend/ndb/rpmpkg.c): a head of 32 bytes, slots of 16 bytes each in
// pages of 4 KiB, and blobs in blocks of 16 bytes. Little endian.
func readRPMNdb(data []byte) ([]Package, error) {
	const (
		head, slot, block, page = 32, 16, 16, 4096
		magicHead               = 'R' | 'p'<<8 | 'm'<<16 | 'P'<<24
		magicSlot               = 'S' | 'l'<<8 | 'o'<<16 | 't'<<24
		magicBlob               = 'B' | 'l'<<8 | 'b'<<16 | 'S'<<24
	)
	if len(data) < head || le.Uint32(data) != magicHead {
		return nil, errDatabase
	}
	pages := int(le.Uint32(data[12:]))
	if pages < 1 || pages > len(data)/page {
		return nil, errDatabase
	}
	var list []Package
	for at := head; at+slot <= pages*page; at += slot {
		s := data[at:]
		index, place := le.Uint32(s[4:]), int64(le.Uint32(s[8:]))*block
		if le.Uint32(s) != magicSlot || index == 0 || place == 0 || place+16 > int64(len(data)) {
			continue
		}
		b := data[place:]
		size := int64(le.Uint32(b[12:]))
		if le.Uint32(b) != magicBlob || le.Uint32(b[4:]) != index || 16+size > int64(len(b)) {
			continue
		}
		list = addRPM(list, b[16:16+size])
	}
	return list, nil
}

// readRPMBerkeley reads a hash of Berkeley DB (dbinc/db_page.h), which rpm wrote until 2020: pages with a head of 26 bytes
// and, of keys and values in turn, offsets within the page. Headers are values that lie on overflow pages of their own.
func readRPMBerkeley(data []byte) ([]Package, error) {
	const (
		magicHash    = 0x061561
		pageHash     = 13 // P_HASH
		pageUnsorted = 2  // P_HASH_UNSORTED
		pageOverflow = 7
		itemInline   = 1
		itemOffPage  = 3
		headSize     = 26
	)
	if len(data) < 512 {
		return nil, errDatabase
	}
	var order binary.ByteOrder = le
	if be.Uint32(data[12:]) == magicHash {
		order = be
	} else if le.Uint32(data[12:]) != magicHash {
		return nil, errDatabase
	}
	size := int(order.Uint32(data[20:]))
	if size < 512 || size > 64<<10 || size&(size-1) != 0 || data[24] != 0 { // the last: encrypted
		return nil, errDatabase
	}
	page := func(n uint32) []byte {
		if at := int64(n) * int64(size); n > 0 && at+int64(size) <= int64(len(data)) {
			return data[at:][:size]
		}
		return nil
	}
	var list []Package
	left := len(data) / size // overflow pages belong to one value each
	for n := uint32(1); int64(n) < int64(len(data)/size); n++ {
		p := page(n)
		if p[25] != pageHash && p[25] != pageUnsorted {
			continue
		}
		entries := int(order.Uint16(p[20:]))
		if headSize+2*entries > size {
			continue
		}
		for i := 1; i < entries; i += 2 { // values
			at := int(order.Uint16(p[headSize+2*i:]))
			end := int(order.Uint16(p[headSize+2*(i-1):])) // items are laid out downwards
			switch {
			case at+12 > size:
			case p[at] == itemOffPage:
				length := int64(order.Uint32(p[at+8:]))
				if length > maxRecord {
					continue
				}
				header := make([]byte, 0, length)
				for next := order.Uint32(p[at+4:]); next != 0 && int64(len(header)) < length && left > 0; left-- {
					o := page(next)
					if o == nil || o[25] != pageOverflow {
						break
					}
					used := int(order.Uint16(o[22:])) // of an overflow page, the bytes in use
					if used == 0 || headSize+used > size {
						break
					}
					header = append(header, o[headSize:headSize+used]...)
					next = order.Uint32(o[16:])
				}
				list = addRPM(list, header)
			case p[at] == itemInline && end > at && end <= size:
				list = addRPM(list, p[at+1:end])
			}
		}
	}
	return list, nil
}
