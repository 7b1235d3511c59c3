// Package squashfs writes and reads SquashFS 4.0 images.
//
// The Writer is a tree.Sink: it takes entries in any order as a stream, compresses data blocks on all processors, and gives the
// same bytes for the same entries whatever the number of processors. The Reader opens images made by any writer
// (gzip, xz, lz4, zstd or uncompressed), as an fs.FS, by inode for a FUSE server, or as a tree.Source. The Reader takes
// nothing in an image for granted: a damaged or hostile one yields errors, and its caches are bounded in bytes.
//
// It mounts nothing and knows nothing of containers: that is for the packages above.
//
// The format follows the Linux kernel's reader (fs/squashfs, Documentation/filesystems/squashfs.rst) and the description
// at https://dr-emann.github.io/squashfs/. Everything is little endian:
//
//	superblock (96 bytes) | compressor options | data blocks and fragment blocks | inode table | directory table |
//	fragment table | export table | id table | xattr table
//
// Tables are sequences of metadata blocks: a 16 bit header (size, and bit 15 when stored uncompressed) and up to 8 KiB of content.
// A place in a table is a reference: the block's offset from the start of the table in the upper 48 bits, the offset
// within the uncompressed block in the lower 16.
package squashfs
