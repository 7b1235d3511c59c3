// Package ownfile gives back memory that shows this program's own file. A program of this size has a good part of its code
// mapped when it has started, most of which a process that then only waits never needs again; it counts as the process's
// memory all the same (proc_pid_smaps(5), Pss).
package ownfile

import (
	"bytes"
	"fmt"
	"os"
	"reflect"
	"strconv"

	"golang.org/x/sys/unix"
)

// Release unmaps the pages of this program's code and constants. They come back, from the page cache, when they are used
// (madvise(2), MADV_DONTNEED). An error is one of reading /proc/self/maps.
func Release() error {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return fmt.Errorf("release memory of the program: %w", err)
	}
	for _, r := range ranges(maps, reflect.ValueOf(Release).Pointer()) {
		// An error leaves the pages where they are, which is no worse than before.
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, r.start, r.end-r.start, unix.MADV_DONTNEED)
	}
	return nil
}

type span struct{ start, end uintptr }

// ranges are the mappings that are never written of the file that shows an address of code (proc_pid_maps(5)):
//
//	00400000-00d72000 r-xp 00000000 fe:00 1234    /usr/local/bin/carrel
func ranges(maps []byte, code uintptr) []span {
	var all []span
	var files []string
	own := ""
	for line := range bytes.Lines(maps) {
		f := bytes.Fields(line)
		if len(f) < 6 || len(f[1]) != 4 {
			continue
		}
		low, high, ok := bytes.Cut(f[0], []byte("-"))
		start, err1 := strconv.ParseUint(string(low), 16, 64)
		end, err2 := strconv.ParseUint(string(high), 16, 64)
		if !ok || err1 != nil || err2 != nil || f[1][1] == 'w' || f[1][3] != 'p' {
			continue
		}
		file := string(f[3]) + " " + string(f[4]) // device and inode: a path may have spaces, or be gone
		s := span{uintptr(start), uintptr(end)}
		if s.start <= code && code < s.end {
			own = file
		}
		all, files = append(all, s), append(files, file)
	}
	var out []span
	for i, s := range all {
		if files[i] == own {
			out = append(out, s)
		}
	}
	return out
}
