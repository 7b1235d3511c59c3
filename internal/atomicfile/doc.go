// Package atomicfile writes a file so that its path holds either what was there before or the complete new content,
// never a part of it, whatever interrupts the writing.
//
// The bytes go to a file without a name in the same folder (open(2), O_TMPFILE), which the kernel frees by itself when
// the process dies; where the file system has no such files, to a hidden file with a name, which Close removes. Commit
// gives it the target's name in one step (rename(2)).
package atomicfile
