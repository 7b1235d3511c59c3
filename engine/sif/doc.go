// Package sif creates, opens, extends and verifies Singularity Image Format files, version 01, the single-file images
// of Singularity, SingularityCE and Apptainer.
//
// A file begins with a header, then a table of descriptors of fixed size, then the data objects. All numbers are
// little endian.
//
//	      0  header, 128 bytes
//	   4096  descriptor table, 48 × 585 bytes            (where it lies is said in the header)
//	  32176  data: definition file, JSON, …               (unaligned)
//	     4k  system partition: SquashFS                   (aligned to 4096)
//	     4k  overlay partitions, one after the other      (aligned to 4096)
//
//	header                               descriptor
//	off len                              off len
//	  0  32 launch line, NUL padded        0   4 data type
//	 32  10 "SIF_MAGIC\0"                  4   1 in use
//	 42   3 "01\0"                         5   4 id, from 1
//	 45   3 architecture, "02\0" = amd64   9   4 group | 0xf0000000
//	 48  16 UUID                          13   4 linked id, or group | 0xf0000000
//	 64   8 created, Unix seconds         17   8 offset in the file
//	 72   8 modified                      25   8 size
//	 80   8 descriptors free              33   8 size with the padding before it
//	 88   8 descriptors in total          41   8 created       49  8 modified
//	 96   8 table offset                  57   8 uid           65  8 gid
//	104   8 table size                    73 128 name, NUL padded
//	112   8 data offset                  201 384 extra: of a partition, file system (4), kind (4), architecture (3)
//	120   8 data size
//
// The layout, the order of objects and their names are those of github.com/sylabs/sif (pkg/sif) and of Apptainer's
// internal/pkg/build/assemblers/sif.go. The writing is done here because that library can only copy a finished
// partition into the image, where this package lets the SquashFS writer work in its final place.
//
// One thing is added: the last 48 bytes of a descriptor's extra field, unused and zero in files of others, hold
// "carrel-sha256:1\n" and the SHA-256 digest of the object, so that Verify can tell an altered object in an image that
// nobody signed.
//
// The package knows partitions as ranges of bytes; what is in them is for engine/squashfs and engine/image.
package sif
