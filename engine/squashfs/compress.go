package squashfs

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// A compressor turns blocks into what is stored; one goroutine uses it at a time.
type compressor interface {
	// compress appends the compressed src to dst[:0] and returns it, or returns nil when it is not smaller.
	compress(dst, src []byte) ([]byte, error)
}

// Default and extreme levels, on the scale of the reference implementations.
const (
	defaultZstdLevel = 3
	maxZstdLevel     = 22
	defaultGzipLevel = 9
	maxGzipLevel     = 9
)

func newCompressor(c Compression, level, blockSize int) (compressor, error) {
	switch c {
	case Zstd:
		return newZstdCompressor(level, blockSize)
	case Gzip:
		return newGzipCompressor(level)
	case None:
		return storeCompressor{}, nil
	}
	return nil, fmt.Errorf("squashfs: writing with %v is not supported: choose zstd, gzip or none", c)
}

// compressorMemory is about what one compressor holds, in bytes, as measured, so that the number of workers can be limited.
func compressorMemory(c Compression, level int) int64 {
	switch {
	case c == Gzip:
		return 2 << 20
	case c != Zstd:
		return 0
	}
	switch zstd.EncoderLevelFromZstd(level) {
	case zstd.SpeedBestCompression: // from level 10 on
		return 37 << 20
	case zstd.SpeedBetterCompression: // from level 6 on
		return 6 << 20
	}
	return 3 << 20
}

type storeCompressor struct{}

func (storeCompressor) compress(dst, src []byte) ([]byte, error) { return nil, nil }

type zstdCompressor struct{ enc *zstd.Encoder }

// newZstdCompressor: a frame is one segment without a checksum, as ZSTD_compressCCtx makes it. The kernel's decompressor
// gets a window of one block, so no larger one may be announced.
func newZstdCompressor(level, blockSize int) (compressor, error) {
	enc, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level)),
		zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(max(blockSize, metaBlockSize)),
		zstd.WithSingleSegment(true),
		zstd.WithEncoderCRC(false),
		zstd.WithLowerEncoderMem(true),
	)
	if err != nil {
		return nil, fmt.Errorf("zstd level %d: %w", level, err)
	}
	return &zstdCompressor{enc}, nil
}

func (c *zstdCompressor) compress(dst, src []byte) ([]byte, error) {
	out := c.enc.EncodeAll(src, dst[:0])
	if len(out) >= len(src) {
		return nil, nil
	}
	return out, nil
}

type gzipCompressor struct {
	zw  *zlib.Writer
	out bytes.Buffer
}

func newGzipCompressor(level int) (compressor, error) {
	c := &gzipCompressor{}
	zw, err := zlib.NewWriterLevel(&c.out, level)
	if err != nil {
		return nil, fmt.Errorf("gzip level %d: %w", level, err)
	}
	c.zw = zw
	return c, nil
}

func (c *gzipCompressor) compress(dst, src []byte) ([]byte, error) {
	c.out.Reset()
	c.zw.Reset(&c.out)
	if _, err := c.zw.Write(src); err != nil {
		return nil, fmt.Errorf("gzip: %w", err)
	}
	if err := c.zw.Close(); err != nil {
		return nil, fmt.Errorf("gzip: %w", err)
	}
	if c.out.Len() >= len(src) {
		return nil, nil
	}
	return append(dst[:0], c.out.Bytes()...), nil
}

// effectiveLevel is the lowest level that gives the same blocks: the encoder has four modes for the 22 levels of zstd.
func effectiveLevel(c Compression, level int) int {
	if c != Zstd {
		return level
	}
	switch zstd.EncoderLevelFromZstd(level) {
	case zstd.SpeedFastest:
		return 1
	case zstd.SpeedDefault:
		return 3
	case zstd.SpeedBetterCompression:
		return 6
	}
	return 10
}

// compressorOptions is the block behind the superblock that names the level, where it is not mksquashfs's default; readers
// do not need it, "unsquashfs -s" shows it.
func compressorOptions(c Compression, level int) []byte {
	le := binary.LittleEndian
	switch {
	case c == Zstd:
		return le.AppendUint32(nil, uint32(level)) // never the default, 15
	case c == Gzip && level != 9:
		b := le.AppendUint32(nil, uint32(level))
		b = le.AppendUint16(b, 15)   // window bits
		return le.AppendUint16(b, 0) // strategies: the default one
	}
	return nil
}
