package launch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Control groups of version 1 have a hierarchy for each controller (Documentation/admin-guide/cgroup-v1). Where version 2 is
// not what controls the memory, as on machines of the hybrid kind, root can use them, and so can a user to whom the groups
// of a job were given.

// settings1 are the files of version 1 that stand for limits.
func (l Limits) settings1() []setting {
	var out []setting
	if l.Memory > 0 {
		out = append(out, setting{"memory", "memory.limit_in_bytes", fmt.Sprint(l.Memory)})
		if swap := max(l.MemorySwap, l.Memory); l.MemorySwap >= 0 {
			out = append(out, setting{"memory", swapFile, fmt.Sprint(swap)})
		}
	}
	if l.CPUs > 0 {
		const period = 100000 // microseconds
		out = append(out, setting{"cpu", "cpu.cfs_period_us", fmt.Sprint(period)}, setting{"cpu", "cpu.cfs_quota_us", fmt.Sprint(int64(max(1000, l.CPUs*period)))})
	}
	if l.PIDs > 0 {
		out = append(out, setting{"pids", "pids.max", fmt.Sprint(l.PIDs)})
	}
	return out
}

// swapFile is missing in kernels that do not count swap.
const swapFile = "memory.memsw.limit_in_bytes"

// groups1 finds where a process's groups of version 1 are, by controller, from its list of groups and the usual places of
// their mounts.
func groups1(procSelfCgroup, root string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(procSelfCgroup) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 || parts[1] == "" || strings.HasPrefix(parts[1], "name=") {
			continue
		}
		for c := range strings.SplitSeq(parts[1], ",") {
			for _, mount := range []string{c, parts[1]} {
				dir := filepath.Join(root, mount, filepath.Clean("/"+parts[2]))
				if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); err == nil {
					out[c] = dir
					break
				}
			}
		}
	}
	return out
}

// files2 are the names in version 2 of what a controller of version 1 holds.
var files2 = map[string][]string{"memory": {"memory.max", "memory.swap.max"}, "cpu": {"cpu.max"}, "pids": {"pids.max"}}

// makeGroups1 makes a group below this process's in each hierarchy that has a limit, and returns which limits these hold, by
// their names in version 2.
func makeGroups1(out *Limiter, l Limits, name, procSelfCgroup string, t *tree) (held []string) {
	have := groups1(procSelfCgroup, t.root)
	want := map[string][]setting{}
	for _, s := range l.settings1() {
		want[s.controller] = append(want[s.controller], s)
	}
	for _, controller := range []string{"memory", "cpu", "pids"} {
		parent := have[controller]
		if parent == "" || len(want[controller]) == 0 {
			continue
		}
		t.sweep(parent)
		group, err := t.newGroup(parent, name)
		if err != nil {
			continue
		}
		join := filepath.Join(group, "cgroup.procs")
		err = unix.Access(join, unix.W_OK)
		noSwap := false
		for _, s := range want[controller] {
			if werr := set(filepath.Join(group, s.file), s.value); errors.Is(werr, os.ErrNotExist) && s.file == swapFile {
				noSwap = true
			} else if werr != nil && err == nil {
				err = werr
			}
		}
		if err != nil {
			_ = t.rmdir(group)
			continue
		}
		out.Join = append(out.Join, join)
		out.remove = append(out.remove, func() error { return t.rmdir(group) })
		for _, file := range files2[controller] {
			if file != "memory.swap.max" || l.MemorySwap != 0 && !noSwap {
				held = append(held, file)
			}
		}
	}
	return held
}
