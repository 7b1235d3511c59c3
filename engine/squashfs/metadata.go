package squashfs

import "encoding/binary"

// metaWriter builds a table of metadata blocks in memory, compressed as it grows.
type metaWriter struct {
	comp  compressor
	plain bool   // store uncompressed
	cur   []byte // the block being filled, less than 8 KiB
	out   []byte // the finished blocks with their headers
	tmp   []byte
	start []int64 // offset in out of every finished block and the one being filled, when wanted
	index bool    // whether start is kept
}

func newMetaWriter(comp compressor, index bool) *metaWriter {
	m := &metaWriter{comp: comp, index: index, cur: make([]byte, 0, metaBlockSize)}
	if index {
		m.start = append(m.start, 0)
	}
	return m
}

// ref is the place of the next byte.
func (m *metaWriter) ref() uint64 { return uint64(len(m.out))<<16 | uint64(len(m.cur)) }

func (m *metaWriter) write(p []byte) error {
	for len(p) > 0 {
		n := min(len(p), metaBlockSize-len(m.cur))
		m.cur = append(m.cur, p[:n]...)
		p = p[n:]
		if len(m.cur) == metaBlockSize {
			if err := m.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush ends the block being filled, so that the next byte begins a new one.
func (m *metaWriter) flush() error {
	if len(m.cur) == 0 {
		return nil
	}
	stored, header := m.cur, uint16(len(m.cur))|metaUncompressed
	if !m.plain {
		c, err := m.comp.compress(m.tmp, m.cur)
		if err != nil {
			return err
		}
		if c != nil {
			stored, header, m.tmp = c, uint16(len(c)), c
		}
	}
	m.out = binary.LittleEndian.AppendUint16(m.out, header)
	m.out = append(m.out, stored...)
	m.cur = m.cur[:0]
	if m.index {
		m.start = append(m.start, int64(len(m.out)))
	}
	return nil
}

// finishTable ends a table that is found through a list of its blocks: it returns the blocks followed by that list, for
// writing at the image offset base, and the offset of the list.
func (m *metaWriter) finishTable(base int64, head []byte) (all []byte, list int64, err error) {
	if err := m.flush(); err != nil {
		return nil, 0, err
	}
	starts := m.start[:len(m.start)-1] // the last one is where a further block would begin
	all, list = m.out, base+int64(len(m.out))
	all = append(all, head...)
	for _, s := range starts {
		all = binary.LittleEndian.AppendUint64(all, uint64(base+s))
	}
	return all, list, nil
}
