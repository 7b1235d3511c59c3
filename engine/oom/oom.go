// Package oom finds out whether a container ended because memory ran out: the kernel tells nobody but its counters.
package oom

import (
	"bytes"
	"path"
	"slices"
	"strconv"
	"syscall"
)

// Watch begins to watch for want of memory in a container whose init, or process, has the given number here. When that has
// ended, the returned function says of its status, as a shell gives it, what the problem was and what to do about it; both are
// empty where it was another one.
func Watch(init int) func(status int) (problem, hint string) {
	groups := groupsOf(init)
	before := groups.count()
	return func(status int) (string, string) {
		if !groups.own && status != killed {
			return "", "" // whatever was killed, it was not the container
		}
		return outOfMemory(status, groups, before, groups.count())
	}
}

// killed is the status of a process that was killed.
const killed = 128 + int(syscall.SIGKILL)

// oomCount is how often the kernel has killed for want of memory: in the container's control groups, and on the machine.
type oomCount struct{ group, machine int64 }

// oomGroups are the control groups of a container. They are found as long as its init lives, and read when it has ended.
type oomGroups struct {
	files []string // with the counts
	own   bool     // nobody else is in them
}

// groupsOf finds the groups of a process.
func groupsOf(pid int) oomGroups {
	g := oomGroups{files: countFiles("/proc/"+strconv.Itoa(pid)+"/cgroup", groupRoot)}
	g.own = len(g.files) > 0 && !slices.Equal(g.files, countFiles("/proc/self/cgroup", groupRoot))
	return g
}

// groupRoot is where control groups are mounted.
const groupRoot = "/sys/fs/cgroup"

// countFiles finds them from a list of groups (cgroups(7): hierarchy:controllers:path).
func countFiles(list, root string) []string {
	groups, err := readFile(list)
	if err != nil {
		return nil
	}
	var files []string
	for line := range bytes.Lines(groups) {
		parts := bytes.SplitN(bytes.TrimSpace(line), []byte(":"), 3)
		switch {
		case len(parts) != 3:
		case string(parts[0]) == "0" && len(parts[1]) == 0:
			files = append(files, path.Join(root, string(parts[2]), "memory.events"))
		case string(parts[1]) == "memory":
			files = append(files, path.Join(root, "memory", string(parts[2]), "memory.oom_control"))
		}
	}
	return files
}

// count reads the counts as they are now.
func (g oomGroups) count() (c oomCount) {
	c.machine = counter("/proc/vmstat", "oom_kill") // since Linux 4.13, commit 8e675f7af507
	for _, f := range g.files {
		c.group += counter(f, "oom_kill")
	}
	return c
}

// readFile is os.ReadFile for files of the kernel: none of what that does for others, which takes three times as long.
func readFile(name string) ([]byte, error) {
	fd, err := syscall.Open(name, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer syscall.Close(fd)
	data := make([]byte, 0, 16<<10)
	for {
		n, err := syscall.Read(fd, data[len(data):cap(data)])
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return nil, err
		case n == 0:
			return data, nil
		default:
			data = slices.Grow(data[:len(data)+n], 1)
		}
	}
}

// counter reads the number behind a word at the beginning of a line.
func counter(file, word string) int64 {
	data, err := readFile(file)
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(data) {
		if rest, ok := bytes.CutPrefix(line, []byte(word+" ")); ok {
			n, _ := strconv.ParseInt(string(bytes.TrimSpace(rest)), 10, 64)
			return n
		}
	}
	return 0
}

// outOfMemory says whether a container ended with its status for want of memory, and what to do about it.
func outOfMemory(status int, groups oomGroups, before, now oomCount) (problem, hint string) {
	killed := status == killed
	switch {
	case killed && now.group != before.group:
		return "the kernel killed it because the memory it may use ran out", "give it more memory (--memory) or less data"
	case groups.own && now.group != before.group:
		return "the kernel killed a part of it because the memory it may use ran out", "give it more memory (--memory) or less data"
	case killed && now.machine != before.machine:
		return "it was killed while this computer ran out of memory", "close other programs, or give it less data"
	}
	return "", ""
}
