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

// settings1 are the files of version 1 that stand for limits; memory.memsw.limit_in_bytes is missing in kernels without the
// accounting of swap.
func (l Limits) settings1() []setting {
	var out []setting
	if l.Memory > 0 {
		out = append(out, setting{"memory", "memory.limit_in_bytes", fmt.Sprint(l.Memory)})
		if swap := max(l.MemorySwap, l.Memory); l.MemorySwap >= 0 {
			out = append(out, setting{"memory", "memory.memsw.limit_in_bytes", fmt.Sprint(swap)})
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

// makeGroups1 makes a group below this process's in each hierarchy that has a limit; nil where one cannot be made.
func makeGroups1(l Limits, name, procSelfCgroup, root string) *Limiter {
	want := l.settings1()
	have := groups1(procSelfCgroup, root)
	out := &Limiter{}
	made := map[string]string{}
	fail := func() *Limiter {
		_ = out.Close() // empty ones
		return nil
	}
	for _, s := range want {
		group := made[s.controller]
		if group == "" {
			parent := have[s.controller]
			if parent == "" {
				return fail()
			}
			var err error
			if group, err = os.MkdirTemp(parent, "carrel-"+name+"-"); err != nil {
				return fail()
			}
			made[s.controller] = group
			out.dirs = append(out.dirs, group)
			out.Join = append(out.Join, filepath.Join(group, "cgroup.procs"))
			if unix.Access(out.Join[len(out.Join)-1], unix.W_OK) != nil {
				return fail()
			}
		}
		err := os.WriteFile(filepath.Join(group, s.file), []byte(s.value), 0o644)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fail()
		}
	}
	return out
}
