package debian

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxParagraph bounds one paragraph of a control file in bytes; the longest of Debian's archive is under 100 KB, a
// Release file of a large archive under a megabyte.
const maxParagraph = 16 << 20

// controlReader reads paragraphs of "Field: value" lines (Debian Policy 5.1) from a stream.
type controlReader struct {
	r *bufio.Reader
	// comments tells that lines beginning with # are left out, as in apt's sources and in source packages.
	comments bool
	buf      []byte
	line     int
}

func newControlReader(r io.Reader) *controlReader {
	return &controlReader{r: bufio.NewReaderSize(r, 64<<10)}
}

// next returns the lines of the next paragraph, without the empty line that ends it. The bytes are valid until the
// next call. At the end of the stream it returns io.EOF.
func (c *controlReader) next() ([]byte, error) {
	c.buf = c.buf[:0]
	start := true
	for {
		part, err := c.r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			// A line longer than the buffer: take it piece by piece.
			if c.comments && start && len(part) > 0 && part[0] == '#' {
				return nil, fmt.Errorf("line %d: comment too long", c.line+1)
			}
			c.buf = append(c.buf, part...)
			start = false
			if len(c.buf) > maxParagraph {
				return nil, fmt.Errorf("line %d: paragraph over %d bytes", c.line, maxParagraph)
			}
			continue
		}
		if err != nil && err != io.EOF {
			return nil, err
		}
		if start && len(bytes.TrimSpace(part)) == 0 {
			c.line++
			if len(c.buf) > 0 {
				return c.buf, nil
			}
			if err == io.EOF {
				return nil, io.EOF
			}
			continue
		}
		if !(c.comments && start && part[0] == '#') {
			c.buf = append(c.buf, part...)
		}
		c.line++
		start = true
		if len(c.buf) > maxParagraph {
			return nil, fmt.Errorf("line %d: paragraph over %d bytes", c.line, maxParagraph)
		}
		if err == io.EOF {
			if len(c.buf) == 0 {
				return nil, io.EOF
			}
			return c.buf, nil
		}
	}
}

// eachField calls f for every field of a paragraph, in order; value is everything after the colon, with continuation
// lines and their line ends, without leading blanks and the last line end. It stops when f returns false.
func eachField(paragraph []byte, f func(name, value []byte) bool) error {
	for len(paragraph) > 0 {
		end := fieldEnd(paragraph)
		field := paragraph[:end]
		paragraph = paragraph[end:]
		colon := bytes.IndexByte(field, ':')
		if colon <= 0 || field[0] == ' ' || field[0] == '\t' || bytes.IndexByte(field[:colon], '\n') >= 0 {
			line, _, _ := bytes.Cut(field, []byte{'\n'})
			return fmt.Errorf("not a field: %.60q", line)
		}
		if !f(field[:colon], bytes.TrimRight(bytes.TrimLeft(field[colon+1:], " \t"), "\r\n")) {
			return nil
		}
	}
	return nil
}

// fieldEnd is the length of the first field with its continuation lines.
func fieldEnd(p []byte) int {
	pos := 0
	for {
		i := bytes.IndexByte(p[pos:], '\n')
		if i < 0 {
			return len(p)
		}
		pos += i + 1
		if pos >= len(p) || p[pos] != ' ' && p[pos] != '\t' {
			return pos
		}
	}
}

// field is one field of a paragraph.
type field struct{ name, value string }

// paragraph keeps the fields of a small control file in their order.
type paragraph []field

func parseParagraph(b []byte) (paragraph, error) {
	var p paragraph
	err := eachField(b, func(name, value []byte) bool {
		p = append(p, field{string(name), string(value)})
		return true
	})
	return p, err
}

// get returns a field's value by its name, whose case does not matter; "" when there is none.
func (p paragraph) get(name string) string {
	for _, f := range p {
		if strings.EqualFold(f.name, name) {
			return f.value
		}
	}
	return ""
}
