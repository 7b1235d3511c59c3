package launch

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// linkerEntry is a library that the dynamic linker knows.
type linkerEntry struct {
	name string // "libcuda.so.1"
	path string
}

// The cache of ld.so(8) as glibc writes it since 2.2 (elf/cache.c, sysdeps/generic/dl-cache.h), in the byte order of the
// machine. It may follow a list in an older format.
//
//	offset  0  char[20]  "glibc-ld.so.cache1.1"
//	       20  u32       number of entries
//	       24  u32       size of the strings
//	       28  u8[20]    flags, extensions, unused
//	       48            entries of 24 bytes:
//	                     i32 flags, u32 offset of the name, u32 offset of the path, u32 OS version, u64 hwcap
//	                     offsets count from the start of this header
const (
	cacheMagic  = "glibc-ld.so.cache1.1"
	cacheHeader = 48
	cacheEntry  = 24
)

// machine is the part of an entry's flags that tells the kind of processor (FLAG_REQUIRED_MASK).
const machineMask = 0xff00

var machines = map[string]uint32{"amd64": 0x0300, "arm64": 0x0a00}

var errLinkerCache = errors.New("not a linker cache")

// parseLinkerCache lists the libraries of a cache that are for a processor, in the cache's order: the linker takes the
// first of a name.
func parseLinkerCache(data []byte, goarch string) ([]linkerEntry, error) {
	at := bytes.Index(data, []byte(cacheMagic))
	if at < 0 || len(data)-at < cacheHeader {
		return nil, errLinkerCache
	}
	data = data[at:]
	order := binary.LittleEndian
	n := order.Uint32(data[20:])
	text := func(offset uint32) string {
		if uint64(offset) >= uint64(len(data)) {
			return ""
		}
		rest := data[offset:]
		if end := bytes.IndexByte(rest, 0); end >= 0 {
			return string(rest[:end])
		}
		return ""
	}
	if uint64(n) > uint64(len(data)-cacheHeader)/cacheEntry {
		return nil, errLinkerCache
	}
	var out []linkerEntry
	for i := range n {
		e := data[cacheHeader+cacheEntry*i:]
		if order.Uint32(e)&machineMask != machines[goarch] {
			continue
		}
		l := linkerEntry{name: text(order.Uint32(e[4:])), path: text(order.Uint32(e[8:]))}
		if l.name != "" && l.path != "" {
			out = append(out, l)
		}
	}
	return out, nil
}
