package squashfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// A decompressor is safe for use by several goroutines at a time.
type decompressor interface {
	// decompress fills dst, whose length is the most that src may expand to, and returns how many bytes it got. It may
	// use dst's capacity to work in.
	decompress(dst, src []byte) (int, error)
}

// ErrCompression says that an image is sound but compressed in a way that is not read here.
var ErrCompression = errors.New("the image is compressed with a method that is not supported")

var errTooLong = errors.New("block expands to more than its size")

func newDecompressor(c Compression) (decompressor, error) {
	switch c {
	case Gzip:
		return new(gzipDecompressor), nil
	case XZ:
		return xzDecompressor{}, nil
	case LZ4:
		return lz4Decompressor{}, nil
	case Zstd:
		return new(zstdDecompressor), nil
	case LZO, LZMA:
		return nil, fmt.Errorf("%w: %v", ErrCompression, c)
	}
	return nil, fmt.Errorf("%w: number %d", ErrCompression, uint16(c))
}

// blockBuffer makes a buffer to decompress n bytes to, with some room behind it.
func blockBuffer(n int) []byte { return make([]byte, n, n+64) }

type zstdDecompressor struct{ pool sync.Pool }

func (d *zstdDecompressor) decompress(dst, src []byte) (int, error) {
	dec, _ := d.pool.Get().(*zstd.Decoder)
	if dec == nil {
		var err error
		dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(8*MaxBlockSize), zstd.WithDecoderMaxWindow(8*MaxBlockSize), zstd.WithDecodeAllCapLimit(true))
		if err != nil {
			return 0, fmt.Errorf("zstd: %w", err)
		}
	}
	defer d.pool.Put(dec)
	// With room behind the end the decoder may copy in whole words, which is much of its speed; see blockBuffer.
	out, err := dec.DecodeAll(src, dst[:0])
	if err != nil {
		return 0, fmt.Errorf("zstd: %w", err)
	}
	if len(out) > len(dst) {
		return 0, fmt.Errorf("zstd: %w", errTooLong)
	}
	return len(out), nil
}

type gzipDecompressor struct{ pool sync.Pool }

type gzipState struct {
	src bytes.Reader
	zr  io.ReadCloser
}

func (d *gzipDecompressor) decompress(dst, src []byte) (int, error) {
	s, _ := d.pool.Get().(*gzipState)
	if s == nil {
		s = new(gzipState)
	}
	s.src.Reset(src)
	if s.zr == nil {
		zr, err := zlib.NewReader(&s.src)
		if err != nil {
			return 0, fmt.Errorf("gzip: %w", err)
		}
		s.zr = zr
	} else if err := s.zr.(zlib.Resetter).Reset(&s.src, nil); err != nil {
		return 0, fmt.Errorf("gzip: %w", err)
	}
	n, err := readBlock(s.zr, dst)
	if err != nil {
		return 0, fmt.Errorf("gzip: %w", err)
	}
	d.pool.Put(s)
	return n, nil
}

// readBlock reads all of r into dst; more than that is an error.
func readBlock(r io.Reader, dst []byte) (int, error) {
	n, err := io.ReadFull(r, dst)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		// ReadFull hides whether the stream or only dst's need of it ended early: ask again.
		var one [1]byte
		if _, err2 := r.Read(one[:]); err2 != io.EOF {
			return 0, io.ErrUnexpectedEOF
		}
		return n, nil
	}
	if err != nil {
		return 0, err
	}
	var one [1]byte
	for range 100 {
		m, err := r.Read(one[:])
		if m > 0 {
			return 0, errTooLong
		}
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return 0, err
		}
	}
	return 0, io.ErrNoProgress
}

type lz4Decompressor struct{}

func (lz4Decompressor) decompress(dst, src []byte) (int, error) {
	n, err := lz4.UncompressBlock(src, dst)
	if err != nil {
		return 0, fmt.Errorf("lz4: %w", err)
	}
	return n, nil
}
