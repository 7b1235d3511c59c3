package squashfs

import (
	"encoding/binary"
	"hash/maphash"
)

// contentKey stands for contents in the search for equal ones. It is made of two hashes with seeds that every process
// draws anew, so that nobody can make files that are taken for one another; keys never leave the process.
type contentKey [2]uint64

type keyMaker [2]maphash.Seed

var keys = keyMaker{maphash.MakeSeed(), maphash.MakeSeed()}

func (m *keyMaker) of(b []byte) contentKey {
	return contentKey{maphash.Bytes(m[0], b), maphash.Bytes(m[1], b)}
}

func (k contentKey) append(b []byte) []byte {
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(b, k[0]), k[1])
}
