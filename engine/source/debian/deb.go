package debian

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
)

// Limits of a package's control part, in bytes; the largest of Debian is under a megabyte.
const (
	maxControlMember = 16 << 20
	maxControlTotal  = 64 << 20
)

// decompress wraps a reader by the ending of a file's name: "xz", "gz", "zst" or "".
func decompress(r io.Reader, compression string) (io.ReadCloser, error) {
	switch compression {
	case "":
		return io.NopCloser(r), nil
	case "xz":
		x, err := xz.NewReader(bufio.NewReaderSize(r, 64<<10), 0)
		if err != nil {
			return nil, fmt.Errorf("decompress xz: %w", err)
		}
		return io.NopCloser(x), nil
	case "gz":
		return gzip.NewReader(r)
	case "zst":
		// One goroutine: packages are unpacked in parallel already.
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, fmt.Errorf("decompress zstd: %w", err)
		}
		return z.IOReadCloser(), nil
	}
	return nil, fmt.Errorf("decompress: unknown compression %q", compression)
}

// debReader reads a binary package, deb(5): an ar archive of debian-binary, control.tar and data.tar.
//
//	"!<arch>\n"
//	header of 60 bytes: name 16, mtime 12, uid 6, gid 6, mode 8, size 10, "`\n"
//	size bytes, and one more when size is odd
type debReader struct {
	r    *bufio.Reader
	rest io.Reader // what is left of the current member
	pad  bool
}

func newDebReader(r io.Reader) (*debReader, error) {
	d := &debReader{r: bufio.NewReaderSize(r, 64<<10)}
	magic := make([]byte, 8)
	if _, err := io.ReadFull(d.r, magic); err != nil || string(magic) != "!<arch>\n" {
		return nil, errors.New("not a Debian package")
	}
	name, body, err := d.next()
	if err != nil {
		return nil, err
	}
	version, err := io.ReadAll(io.LimitReader(body, 16))
	if err != nil || name != "debian-binary" || !bytes.HasPrefix(version, []byte("2.")) {
		return nil, errors.New("not a Debian package of format 2")
	}
	return d, nil
}

// next goes to the next member.
func (d *debReader) next() (name string, body io.Reader, err error) {
	if d.rest != nil {
		if _, err := io.Copy(io.Discard, d.rest); err != nil {
			return "", nil, err
		}
		if d.pad {
			if _, err := d.r.Discard(1); err != nil {
				return "", nil, io.ErrUnexpectedEOF
			}
		}
	}
	header := make([]byte, 60)
	if _, err := io.ReadFull(d.r, header); err != nil {
		return "", nil, err // io.EOF at the end
	}
	size, err := strconv.ParseInt(strings.TrimRight(string(header[48:58]), " "), 10, 64)
	if err != nil || size < 0 || string(header[58:]) != "`\n" {
		return "", nil, errors.New("damaged archive header")
	}
	d.rest, d.pad = &exactReader{r: d.r, left: size}, size%2 == 1
	return strings.TrimSuffix(strings.TrimRight(string(header[:16]), " "), "/"), d.rest, nil
}

// member finds the next member "control.tar.*" or "data.tar.*" and decompresses it. Members whose name begins with an
// underscore may stand in between (deb(5)).
func (d *debReader) member(stem string) (io.ReadCloser, error) {
	for {
		name, body, err := d.next()
		if err == io.EOF {
			return nil, fmt.Errorf("no %s: %w", stem, io.ErrUnexpectedEOF)
		}
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(name, "_") {
			continue
		}
		compression, ok := strings.CutPrefix(name, stem)
		if !ok {
			return nil, fmt.Errorf("%s where %s should be", name, stem)
		}
		return decompress(body, strings.TrimPrefix(compression, "."))
	}
}

// exactReader reads exactly left bytes: an earlier end is an error.
type exactReader struct {
	r    io.Reader
	left int64
}

func (e *exactReader) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n, err := e.r.Read(p[:min(int64(len(p)), e.left)])
	e.left -= int64(n)
	if err == io.EOF && e.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// controlMember is a file of a package's control part: a maintainer script, the list of md5sums, triggers …
type controlMember struct {
	mode    uint32
	data    []byte
	modTime time.Time
}

// readControl reads control.tar.
func readControl(r io.Reader) (map[string]controlMember, error) {
	members := map[string]controlMember{}
	archive := tar.NewReader(r)
	for total := int64(0); ; {
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		name := strings.TrimPrefix(h.Name, "./")
		if h.Typeflag == tar.TypeDir {
			continue
		}
		if h.Typeflag != tar.TypeReg || !validName(name) || name == "list" {
			return nil, fmt.Errorf("control member %.60q is not allowed", h.Name)
		}
		if total += h.Size; h.Size > maxControlMember || total > maxControlTotal {
			return nil, fmt.Errorf("control member %s is too long", name)
		}
		data, err := io.ReadAll(archive)
		if err != nil {
			return nil, err
		}
		members[name] = controlMember{mode: uint32(h.Mode & 0o777), data: data, modTime: h.ModTime}
	}
	if _, ok := members["control"]; !ok {
		return nil, errors.New("no control file")
	}
	return members, nil
}

// cleanName turns the name of a tar entry into a path below the root: "." or "usr/bin/x".
func cleanName(name string) (string, error) {
	if strings.ContainsAny(name, "\n\x00") {
		return "", errors.New("line end in a name")
	}
	var parts []string
	for part := range strings.SplitSeq(name, "/") {
		switch part {
		case "", ".":
		case "..":
			return "", errors.New("name leads out of the root")
		default:
			parts = append(parts, part)
		}
	}
	if len(parts) == 0 {
		return ".", nil
	}
	return strings.Join(parts, "/"), nil
}
