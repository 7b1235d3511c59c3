// Package ext reads ext2, ext3 and ext4 file systems without mounting them, and writes ext3 anew (Write): the images that Singularity made before
// version 2.4 are such a file system behind a launch line, and overlay images of Singularity and Apptainer are one too.
//
// A Reader gives its contents as an fs.FS and as a tree.Source. It never writes, and it replays a journal that was not
// applied only in memory. The file system is taken to be hostile: every number is checked, directories that contain
// themselves are errors, and what is held in memory is bounded.
//
// The layout is the one of the kernel's documentation (Documentation/filesystems/ext4: globals, dynamic). All numbers
// are little endian, those of the journal big endian.
//
//	byte 1024      superblock; blocks are 1, 2, 4 … 64 KiB long
//	next block     group descriptors, 32 or 64 bytes each: where a group's inode table is
//	inode          mode, owner, size, time, and 60 bytes that say where the content lies:
//	                 12 blocks, and blocks of numbers of blocks, one, two and three levels deep (ext2, ext3)
//	                 or the root of a tree of extents (ext4)
//	                 or the content itself (short links, inline data)
//	directory      records of inode number, length, length of the name, type, name; the index of large ones hides in
//	               records without an inode, so that reading them one after the other is always right
//
// Not read: file systems with compression, encryption or an external journal, and POSIX access control lists.
package ext
