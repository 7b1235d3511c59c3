package look

import "strings"

// readRPMSQLite reads the form of rpm since 4.16: the table Packages (hnum, blob) of an SQLite database.
func readRPMSQLite(data []byte) ([]Package, error) {
	db, err := openSQLite(data)
	if err != nil {
		return nil, err
	}
	root := uint32(0)
	err = db.rows(1, func(v []value) { // sqlite_schema: type, name, table, root page, sql
		if len(v) >= 4 && string(v[0].text) == "table" && strings.EqualFold(string(v[1].text), "Packages") {
			root = uint32(v[3].number)
		}
	})
	if err != nil {
		return nil, err
	}
	if root == 0 {
		return nil, errDatabase
	}
	var list []Package
	err = db.rows(root, func(v []value) {
		if len(v) >= 2 {
			list = addRPM(list, v[1].text)
		}
	})
	return list, err
}

// sqlite is a database file (https://www.sqlite.org/fileformat2.html); what is in a write-ahead log is not seen.
type sqlite struct {
	data   []byte
	page   int // bytes
	usable int // of a page, bytes
	left   int // pages that may still be read, so that hostile trees end
}

// value is a column of a row: a number, or the bytes of a text or blob.
type value struct {
	number int64
	text   []byte
}

func openSQLite(data []byte) (*sqlite, error) {
	if len(data) < 512 || string(data[:16]) != "SQLite format 3\x00" {
		return nil, errDatabase
	}
	page := int(be.Uint16(data[16:]))
	if page == 1 {
		page = 64 << 10
	}
	db := &sqlite{data: data, page: page, usable: page - int(data[20])}
	if page < 512 || page&(page-1) != 0 || db.usable < 480 {
		return nil, errDatabase
	}
	db.left = 4 * (len(data)/page + 1)
	return db, nil
}

// take returns a page, counting it.
func (db *sqlite) take(n uint32) []byte {
	at := (int64(n) - 1) * int64(db.page)
	if db.left--; n == 0 || db.left < 0 || at+int64(db.page) > int64(len(db.data)) {
		return nil
	}
	return db.data[at:][:db.page]
}

// rows calls do for every row of the table whose tree has its root at a page.
func (db *sqlite) rows(root uint32, do func([]value)) error {
	return db.tree(root, 0, do)
}

const (
	pageInterior = 5 // of a table
	pageLeaf     = 13
	maxTree      = 40 // levels
)

func (db *sqlite) tree(n uint32, depth int, do func([]value)) error {
	p := db.take(n)
	if p == nil || depth > maxTree {
		return errDatabase
	}
	head := 0
	if n == 1 { // the file's own head is on the first page
		head = 100
	}
	kind, cells, list := p[head], int(be.Uint16(p[head+3:])), head+8
	if kind == pageInterior {
		list += 4
	}
	if list+2*cells > len(p) || kind != pageInterior && kind != pageLeaf {
		return errDatabase
	}
	for i := range cells {
		at := int(be.Uint16(p[list+2*i:]))
		if at+4 > len(p) {
			return errDatabase
		}
		if kind == pageInterior {
			if err := db.tree(be.Uint32(p[at:]), depth+1, do); err != nil {
				return err
			}
			continue
		}
		row, err := db.row(p, at)
		if err != nil {
			return err
		}
		do(record(row))
	}
	if kind == pageInterior {
		return db.tree(be.Uint32(p[head+8:]), depth+1, do)
	}
	return nil
}

// row is the payload of a leaf's cell, put together from its overflow pages.
func (db *sqlite) row(p []byte, at int) ([]byte, error) {
	length, n := varint(p[at:])
	at += n
	_, n = varint(p[min(at, len(p)):])
	at += n
	if length > maxRecord {
		return nil, nil // no package has that much to say
	}
	// How much is on the leaf itself (file format, section 1.6).
	local, size := int(length), int(length)
	if most := db.usable - 35; size > most {
		least := (db.usable-12)*32/255 - 23
		if local = least + (size-least)%(db.usable-4); local > most {
			local = least
		}
	}
	if at+local > len(p) {
		return nil, errDatabase
	}
	if local == size {
		return p[at : at+size], nil
	}
	if at+local+4 > len(p) {
		return nil, errDatabase
	}
	out := append(make([]byte, 0, size), p[at:at+local]...)
	for next := be.Uint32(p[at+local:]); len(out) < size; {
		o := db.take(next)
		if o == nil {
			return nil, errDatabase
		}
		next = be.Uint32(o)
		out = append(out, o[4:4+min(db.usable-4, size-len(out))]...)
	}
	return out, nil
}

// record takes a row apart into its columns.
func record(b []byte) []value {
	head, n := varint(b)
	if head > uint64(len(b)) {
		return nil
	}
	types, body := b[min(n, int(head)):head], b[head:]
	var out []value
	for len(types) > 0 && len(out) < 64 {
		kind, n := varint(types)
		types = types[min(max(n, 1), len(types)):]
		var v value
		size := uint64(0)
		switch {
		case kind <= 4:
			size = kind
		case kind == 5:
			size = 6
		case kind == 6 || kind == 7:
			size = 8
		case kind >= 12:
			size = (kind - 12) / 2
		}
		if size > uint64(len(body)) {
			return out
		}
		switch {
		case kind >= 12:
			v.text = body[:size]
		case kind == 9:
			v.number = 1
		case kind <= 6:
			for i, c := range body[:size] {
				if i == 0 {
					v.number = int64(int8(c))
					continue
				}
				v.number = v.number<<8 | int64(c)
			}
		}
		body = body[size:]
		out = append(out, v)
	}
	return out
}

// varint reads a number of 1 to 9 bytes, 7 bits each, the most significant first; the ninth byte has all its bits.
func varint(b []byte) (v uint64, n int) {
	for n < len(b) && n < 9 {
		c := b[n]
		n++
		if n == 9 {
			return v<<8 | uint64(c), n
		}
		v = v<<7 | uint64(c&0x7f)
		if c < 0x80 {
			break
		}
	}
	return v, n
}
