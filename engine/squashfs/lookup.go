package squashfs

import "hash/maphash"

// The tables of a Writer that grow with the number of files are indexes of 4 bytes a place into lists that are there anyway:
// maps of Go take several times as much.

// places is an open hash table of positions in a list, which it knows by their hashes alone.
type places struct {
	at    []uint32 // position+1, 0 for none; a power of two
	count int
}

// find goes through the positions that may be the wanted one, until is says so.
func (p *places) find(hash uint64, is func(i int) bool) (int, bool) {
	if len(p.at) == 0 {
		return 0, false
	}
	mask := uint64(len(p.at) - 1)
	for k := hash & mask; p.at[k] != 0; k = (k + 1) & mask {
		if i := int(p.at[k] - 1); is(i) {
			return i, true
		}
	}
	return 0, false
}

// put adds the position i; hashOf tells the hash of it, and of those before.
func (p *places) put(i int, hashOf func(i int) uint64) {
	if p.count++; p.count*4 > len(p.at)*3 {
		old := p.at
		p.at = make([]uint32, max(64, 2*len(old)))
		for _, v := range old {
			if v != 0 {
				p.set(v, hashOf(int(v-1)))
			}
		}
	}
	p.set(uint32(i+1), hashOf(i))
}

func (p *places) set(v uint32, hash uint64) {
	mask := uint64(len(p.at) - 1)
	k := hash & mask
	for p.at[k] != 0 {
		k = (k + 1) & mask
	}
	p.at[k] = v
}

// contentTable finds small files by their contents.
type contentTable struct {
	places places
	chunks [][]storedContent // of contentChunk each
	n      int
}

type storedContent struct {
	key   contentKey
	place fragmentPlace
}

const contentChunk = 1024

func (t *contentTable) entry(i int) *storedContent { return &t.chunks[i/contentChunk][i%contentChunk] }

func (t *contentTable) get(key contentKey) (fragmentPlace, bool) {
	i, ok := t.places.find(key[0], func(i int) bool { return t.entry(i).key == key })
	if !ok {
		return fragmentPlace{}, false
	}
	return t.entry(i).place, true
}

// put adds contents that are not there yet.
func (t *contentTable) put(key contentKey, place fragmentPlace) {
	if t.n%contentChunk == 0 {
		t.chunks = append(t.chunks, make([]storedContent, contentChunk))
	}
	*t.entry(t.n) = storedContent{key, place}
	t.places.put(t.n, func(i int) uint64 { return t.entry(i).key[0] })
	t.n++
}

// hashName is the hash of a name in a directory, with a seed that every process draws anew.
func hashName(name string) uint64 { return maphash.String(keys[0], name) }
