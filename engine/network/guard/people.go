package guard

import (
	"bytes"
	"encoding/binary"
	"io/fs"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// Others tells whether other people use this machine at the moment: whether somebody with an account of a person has
// processes, has a session of the login manager, or is in the list of those who are logged in. root is the machine's
// file system, uid and name are whose question it is.
func Others(root fs.FS, uid uint32, name string) bool {
	subordinate := subordinates(root)
	another := func(n uint32) bool { return n != uid && isPerson(n) && !subordinate(n) }
	if entries, err := fs.ReadDir(root, "proc"); err == nil {
		for _, e := range entries {
			if c := e.Name()[0]; c < '0' || c > '9' {
				continue
			}
			info, err := e.Info()
			if err != nil {
				continue // it has ended
			}
			if st, ok := info.Sys().(*syscall.Stat_t); ok && another(st.Uid) {
				return true
			}
		}
	}
	// Where /proc shows everybody only their own (hidepid, proc(5)) these two still tell.
	if entries, err := fs.ReadDir(root, "run/systemd/users"); err == nil {
		for _, e := range entries {
			if n, err := strconv.ParseUint(e.Name(), 10, 32); err == nil && another(uint32(n)) {
				return true
			}
		}
	}
	data, _ := fs.ReadFile(root, "run/utmp")
	for _, who := range loggedIn(data, recordSize(runtime.GOARCH)) {
		if who != name && who != "root" {
			return true
		}
	}
	return false
}

// isPerson tells whether a user number is one that accounts of people have: not the system's, nobody's, or one of those
// that systemd gives to services for as long as they run (61184 to 65519).
func isPerson(uid uint32) bool {
	return uid >= firstPerson && (uid < 61184 || uid > 65535) && uid < 1<<31
}

// subordinates tells of the numbers that users have for their containers (subuid(5)): what runs under them belongs to
// somebody who has a number of their own.
func subordinates(root fs.FS) func(uint32) bool {
	type span struct{ first, size uint64 }
	var spans []span
	data, _ := fs.ReadFile(root, "etc/subuid")
	for line := range strings.Lines(string(data)) {
		fields := strings.Split(strings.TrimSpace(line), ":")
		if len(fields) != 3 {
			continue
		}
		first, err := strconv.ParseUint(fields[1], 10, 32)
		size, err2 := strconv.ParseUint(fields[2], 10, 32)
		if err == nil && err2 == nil {
			spans = append(spans, span{first, size})
		}
	}
	return func(uid uint32) bool {
		for _, s := range spans {
			if n := uint64(uid); n >= s.first && n < s.first+s.size {
				return true
			}
		}
		return false
	}
}

// recordSize is the size of such a record: on most machines its times are kept short (bits/utmp.h of glibc,
// __WORDSIZE_TIME64_COMPAT32).
func recordSize(arch string) int {
	if arch == "arm64" {
		return 400
	}
	return 384
}

// loggedIn lists the users in the file of those who are logged in (utmp(5)): records that begin with their type and
// hold the name at byte 44.
func loggedIn(data []byte, size int) []string {
	const userProcess, nameAt, nameSize = 7, 44, 32
	var names []string
	for ; len(data) >= size; data = data[size:] {
		if binary.NativeEndian.Uint16(data) != userProcess {
			continue
		}
		name, _, _ := bytes.Cut(data[nameAt:nameAt+nameSize], []byte{0})
		if len(name) > 0 {
			names = append(names, string(name))
		}
	}
	return names
}
