package engine

import "io/fs"

// CopyEntry copies the folder of a catalog entry into a folder of this computer, which is made; files that are there already
// are not replaced, and end it with an error (fs.ErrExist). Links are treated as a build treats them: see copyEntry.
func CopyEntry(folder string, files fs.FS) error { return copyEntry(folder, files, ".", 0) }
