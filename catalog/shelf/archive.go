package shelf

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// download unpacks the packed folder at an address into dir and returns the digest of what was downloaded.
func (s *Shelf) download(ctx context.Context, address, dir string) (string, error) {
	s.say("downloading %s", address)
	r, err := s.get(ctx, address, MaxSize)
	if err != nil {
		return "", err
	}
	defer r.Close()
	sum := sha256.New()
	in := io.TeeReader(r, sum)
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	u := unpacker{ctx: ctx, root: root, left: MaxSize}
	if p, _ := url.Parse(address); p != nil && strings.HasSuffix(strings.ToLower(p.Path), ".zip") {
		err = u.zip(in, dir)
	} else {
		err = u.tar(in)
	}
	if err == nil {
		_, err = io.Copy(io.Discard, in) // the digest is of the whole file
	}
	if err != nil {
		return "", err
	}
	if err := lift(dir); err != nil {
		return "", err
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil)), nil
}

// unpacker writes a copy's files below an open root, so that no name leads out of it.
type unpacker struct {
	ctx   context.Context
	root  *os.Root
	left  int64 // bytes that may still be written
	files int
}

// put writes a file. Names that are not plain are refused.
func (u *unpacker) put(name string, r io.Reader, executable bool) error {
	if err := u.ctx.Err(); err != nil {
		return err
	}
	name = path.Clean(strings.TrimPrefix(name, "./"))
	if !filepath.IsLocal(name) || name == "." || strings.ContainsRune(name, 0) {
		return fmt.Errorf("unpack: the name %q leads out of the folder", name)
	}
	if u.files++; u.files > MaxFiles {
		return fmt.Errorf("unpack: %w: over %d files", ErrTooLarge, MaxFiles)
	}
	if err := u.root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	perm := fs.FileMode(0o600)
	if executable {
		perm = 0o700
	}
	f, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, perm)
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	n, err := io.Copy(f, io.LimitReader(r, u.left+1))
	err = errors.Join(err, f.Close())
	if u.left -= n; u.left < 0 {
		return fmt.Errorf("unpack: %w: over %d MB", ErrTooLarge, int64(MaxSize)>>20)
	}
	return err
}

// tar unpacks a tar with any of the usual compressions, found out by its first bytes. Only files are taken: links and
// devices have no business in a folder of definition files.
func (u *unpacker) tar(in io.Reader) error {
	b := bufio.NewReaderSize(in, 64<<10)
	head, _ := b.Peek(6)
	var r io.Reader = b
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		if err != nil {
			return fmt.Errorf("unpack: %w", err)
		}
		r = z
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
		if err != nil {
			return fmt.Errorf("unpack: %w", err)
		}
		defer z.Close()
		r = z
	case bytes.HasPrefix(head, []byte{0xfd, '7', 'z', 'X', 'Z', 0}):
		z, err := xz.ReaderConfig{DictCap: 64 << 20}.NewReader(b)
		if err != nil {
			return fmt.Errorf("unpack: %w", err)
		}
		r = z
	}
	// Long names of a hostile archive count as well: an archive of nothing but headers ends at some point.
	t := tar.NewReader(&budget{r, 4 * MaxSize})
	for n := 0; ; n++ {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			if n == 0 {
				return errors.New("unpack: it is empty, or not a packed folder")
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("unpack: %w", err)
		}
		if n > 2*MaxFiles {
			return fmt.Errorf("unpack: %w: over %d entries", ErrTooLarge, 2*MaxFiles)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if err := u.put(h.Name, t, h.Mode&0o100 != 0); err != nil {
			return err
		}
	}
}

// budget is a reader with an end.
type budget struct {
	r    io.Reader
	left int64
}

func (b *budget) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, ErrTooLarge
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	return n, err
}

// zip unpacks a zip, whose table of contents is at its end, from a file that is removed again.
func (u *unpacker) zip(in io.Reader, dir string) error {
	f, err := os.CreateTemp(filepath.Dir(dir), "copy-*.zip")
	if err != nil {
		return err
	}
	defer f.Close()
	defer os.Remove(f.Name())
	size, err := io.Copy(f, in)
	if err != nil {
		return err
	}
	z, err := zip.NewReader(f, size)
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	for _, e := range z.File {
		if !e.Mode().IsRegular() {
			continue
		}
		r, err := e.Open()
		if err != nil {
			return fmt.Errorf("unpack %s: %w", e.Name, err)
		}
		err = u.put(e.Name, r, e.Mode()&0o100 != 0)
		if err = errors.Join(err, r.Close()); err != nil {
			return err
		}
	}
	return nil
}

// lift takes away a single outer folder, which most archives have.
func lift(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || !entries[0].IsDir() {
		return err
	}
	inner := filepath.Join(dir, entries[0].Name())
	aside := dir + ".lift"
	if err := os.Rename(inner, aside); err != nil {
		return err
	}
	if err := os.Remove(dir); err != nil {
		return err
	}
	return os.Rename(aside, dir)
}
