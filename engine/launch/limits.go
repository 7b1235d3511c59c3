package launch

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"carrel/engine/sandbox/plan"
)

// Limits are what a container may use at most; zero values are no limits.
type Limits struct {
	Memory            int64   `json:"memory,omitempty"`             // bytes
	MemoryReservation int64   `json:"memory_reservation,omitempty"` // bytes that reclaim spares
	MemorySwap        int64   `json:"memory_swap,omitempty"`        // bytes of memory and swap together; -1: any
	CPUs              float64 `json:"cpus,omitempty"`               // processors' worth of time
	CPUShares         int64   `json:"cpu_shares,omitempty"`         // relative, 1024 is usual
	CPUSet            string  `json:"cpu_set,omitempty"`            // "0-3,8": which processors
	MemSet            string  `json:"mem_set,omitempty"`            // which memory nodes
	PIDs              int64   `json:"pids,omitempty"`               // processes and threads
	IOWeight          int64   `json:"io_weight,omitempty"`          // relative, 10 to 1000
}

// Limiter is how limits are enforced on this computer. Close it when the container has ended.
type Limiter struct {
	// Cgroup is the group that the container has to be started in; nil where there is none to be had.
	Cgroup *os.File
	// Join are files of groups of version 1 that it has to enter instead; see plan.Plan.
	Join []string
	// Limits and CPUs stand in for them.
	Limits []plan.Limit
	CPUs   []int
	Held   []string // which limits hold, and by what means: sentences
	Notes  []string // what a person should know besides

	dirs []string // of the groups
}

// Close removes the groups. They are empty once the container has ended.
func (l *Limiter) Close() error {
	if l.Cgroup != nil {
		l.Cgroup.Close()
	}
	var errs []error
	for _, dir := range l.dirs {
		errs = append(errs, os.Remove(dir))
	}
	l.dirs = nil
	return errors.Join(errs...)
}

// words says what the limits are.
func (l Limits) words() string {
	var all []string
	if l.Memory > 0 {
		all = append(all, fmt.Sprintf("memory %d MiB", (l.Memory+1<<19)>>20))
	}
	if l.CPUs > 0 {
		all = append(all, fmt.Sprintf("processors %g", l.CPUs))
	}
	if l.CPUSet != "" {
		all = append(all, "processors number "+l.CPUSet)
	}
	if l.PIDs > 0 {
		all = append(all, fmt.Sprintf("processes %d", l.PIDs))
	}
	if len(all) == 0 {
		return "what was asked for"
	}
	return strings.Join(all, ", ")
}

// setting is one file of a group (Documentation/admin-guide/cgroup-v2.rst).
type setting struct{ controller, file, value string }

func (l Limits) settings() []setting {
	var out []setting
	add := func(on bool, controller, file, value string) {
		if on {
			out = append(out, setting{controller, file, value})
		}
	}
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	add(l.Memory > 0, "memory", "memory.max", number(l.Memory))
	add(l.MemoryReservation > 0, "memory", "memory.low", number(l.MemoryReservation))
	switch {
	case l.MemorySwap < 0:
		add(true, "memory", "memory.swap.max", "max")
	case l.MemorySwap > 0:
		// The files count swap by itself, the option counts both (as the OCI runtime specification, "Memory").
		add(true, "memory", "memory.swap.max", number(max(0, l.MemorySwap-l.Memory)))
	}
	const period = 100000 // microseconds
	add(l.CPUs > 0, "cpu", "cpu.max", fmt.Sprintf("%d %d", int64(math.Max(1000, l.CPUs*period)), period))
	// shares 2 to 262144 are weight 1 to 10000 (the OCI runtimes' conversion)
	add(l.CPUShares > 0, "cpu", "cpu.weight", number(1+(min(max(l.CPUShares, 2), 262144)-2)*9999/262142))
	add(l.CPUSet != "", "cpuset", "cpuset.cpus", l.CPUSet)
	add(l.MemSet != "", "cpuset", "cpuset.mems", l.MemSet)
	add(l.PIDs > 0, "pids", "pids.max", number(l.PIDs))
	add(l.IOWeight > 0, "io", "io.weight", "default "+number(min(max(l.IOWeight, 1), 10000)))
	return out
}

// Limit prepares limits: by a group of control groups version 2 below where this process is, if that is delegated to the
// caller; otherwise by resource limits, as far as these go, with a remark about each. name is the group's, made unique.
func Limit(l Limits, name string) (*Limiter, error) {
	if l.CPUSet != "" {
		if _, err := parseCPUs(l.CPUSet); err != nil {
			return nil, err
		}
	}
	want := l.settings()
	if len(want) == 0 {
		return &Limiter{}, nil
	}
	own, _ := os.ReadFile("/proc/self/cgroup") // a kernel without has none
	if dir := ownGroup(string(own)); dir != "" {
		delegate(dir, want)
		if out := makeGroup(dir, name, want); out != nil {
			out.Held = []string{"limits: " + l.words() + "; held by a control group, for all its processes together"}
			return out, nil
		}
	}
	if out := makeGroups1(l, name, string(own), "/sys/fs/cgroup"); out != nil {
		cpus, err := l.processors()
		if err != nil || l.CPUSet == "" {
			cpus = nil
		}
		out.CPUs = cpus
		out.Held = []string{"limits: " + l.words() + "; held by control groups (version 1), for all its processes together"}
		for _, s := range want {
			switch s.file {
			case "memory.max", "memory.swap.max", "pids.max", "cpu.max", "cpuset.cpus":
			default:
				out.Notes = append(out.Notes, s.file+" cannot be set")
			}
		}
		return out, nil
	}
	return l.substitute()
}

// ownGroup is the folder of this process's group of version 2, or "" (cgroups(7)).
func ownGroup(procSelfCgroup string) string {
	var st unix.Statfs_t
	if unix.Statfs("/sys/fs/cgroup", &st) != nil || st.Type != unix.CGROUP2_SUPER_MAGIC {
		return ""
	}
	for line := range strings.Lines(procSelfCgroup) {
		if p, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return filepath.Join("/sys/fs/cgroup", filepath.Clean("/"+p))
		}
	}
	return ""
}

// delegate makes a group usable that is this process's alone, as a scope of a user's systemd with Delegate=yes is: processes
// are in leaves only, and a group passes on what it says (cgroup-v2.rst, "No Internal Process Constraint"), so this process
// moves into a leaf of it. What is refused leaves all as it was: another way is found then.
func delegate(dir string, want []setting) {
	members, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil || strings.TrimSpace(string(members)) != strconv.Itoa(os.Getpid()) {
		return // the group of others, too
	}
	control := filepath.Join(dir, "cgroup.subtree_control")
	if enabled, err := os.ReadFile(control); err != nil || passesOn(string(enabled), want) {
		return
	}
	available, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil || !passesOn(string(available), want) || unix.Access(control, unix.W_OK) != nil {
		return
	}
	leaf := filepath.Join(dir, "supervisor")
	if err := os.Mkdir(leaf, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return
	}
	if os.WriteFile(filepath.Join(leaf, "cgroup.procs"), []byte("0"), 0o644) != nil {
		_ = os.Remove(leaf)
		return
	}
	for _, s := range want {
		_ = os.WriteFile(control, []byte("+"+s.controller), 0o644) // looked at again by who makes the group
	}
}

// makeGroup makes a group beside or above that of this process, in the nearest place that passes the controllers on. A
// process may move only below a group whose cgroup.procs it may write (cgroup-v2.rst, "Delegation Containment").
func makeGroup(own, name string, want []setting) *Limiter {
	for dir := own; strings.HasPrefix(dir, "/sys/fs/cgroup"); dir = filepath.Dir(dir) {
		if unix.Access(filepath.Join(dir, "cgroup.procs"), unix.W_OK) != nil {
			return nil
		}
		enabled, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
		if err != nil {
			return nil
		}
		if !passesOn(string(enabled), want) {
			continue
		}
		group, err := os.MkdirTemp(dir, "carrel-"+name+"-")
		if err != nil {
			continue
		}
		out := &Limiter{dirs: []string{group}}
		for _, s := range want {
			if err := os.WriteFile(filepath.Join(group, s.file), []byte(s.value), 0o644); err != nil {
				out.Notes = append(out.Notes, fmt.Sprintf("the limit %s cannot be set: %v", s.file, err))
			}
		}
		if out.Cgroup, err = os.Open(group); err != nil {
			os.Remove(group)
			return nil
		}
		return out
	}
	return nil
}

func passesOn(enabled string, want []setting) bool {
	have := strings.Fields(enabled)
	for _, s := range want {
		if !slices.Contains(have, s.controller) {
			return false
		}
	}
	return true
}

// substitute stands in for a group as well as resource limits can.
func (l Limits) substitute() (*Limiter, error) {
	out := &Limiter{Held: []string{"limits: " + l.words() + "; held by resource limits, since control groups are not delegated to you here"}}
	note := func(format string, args ...any) {
		out.Notes = append(out.Notes, fmt.Sprintf(format, args...))
	}
	if l.Memory > 0 {
		out.Limits = append(out.Limits, plan.Limit{Resource: unix.RLIMIT_DATA, Value: uint64(l.Memory), Name: "memory"})
		note("the memory limit holds for each process by itself, not for all together, and counts what it asked for (its data and heap) rather than what it uses: a program beyond it is refused more, which most of them end with")
	}
	if l.PIDs > 0 {
		out.Limits = append(out.Limits, plan.Limit{Resource: unix.RLIMIT_NPROC, Value: uint64(l.PIDs), Name: "processes"})
		note("the limit of processes counts all of yours in the container's user namespace")
		if os.Geteuid() == 0 {
			note("root's processes are not held to a number")
		}
	}
	cpus, err := l.processors()
	if err != nil {
		return nil, err
	}
	out.CPUs = cpus
	if l.CPUs > 0 {
		note("the container is held to %d of the processors, since a share of their time cannot be enforced", len(cpus))
	}
	for _, s := range l.settings() {
		switch s.file {
		case "memory.max", "pids.max", "cpu.max", "cpuset.cpus":
		default:
			note("%s cannot be set", s.file)
		}
	}
	return out, nil
}

// processors are those that a container is held to where no group does it: of those this process may use.
func (l Limits) processors() ([]int, error) {
	if l.CPUSet == "" && l.CPUs <= 0 {
		return nil, nil
	}
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("read processors: %w", err)
	}
	var out []int
	wanted, _ := parseCPUs(l.CPUSet) // Limit has checked it
	for c := range len(set) * 64 {
		if set.IsSet(c) && (l.CPUSet == "" || slices.Contains(wanted, c)) {
			out = append(out, c)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("processors %s: none of them is free for you here", l.CPUSet)
	}
	if n := int(math.Ceil(l.CPUs)); n > 0 && n < len(out) {
		out = out[:n]
	}
	return out, nil
}

// maxCPU bounds the numbers in a list of processors.
const maxCPU = 1 << 13

// parseCPUs reads a list such as "0-3,8" (cpuset(7), "List format").
func parseCPUs(list string) ([]int, error) {
	var out []int
	for _, part := range strings.Split(list, ",") {
		if part == "" {
			continue
		}
		low, high, ok := strings.Cut(part, "-")
		if !ok {
			high = low
		}
		a, err1 := strconv.Atoi(strings.TrimSpace(low))
		b, err2 := strconv.Atoi(strings.TrimSpace(high))
		if err1 != nil || err2 != nil || a < 0 || b < a || b >= maxCPU {
			return nil, fmt.Errorf("processors %q: %q is neither a number nor a range such as 0-3", list, part)
		}
		for c := a; c <= b; c++ {
			out = append(out, c)
		}
	}
	return out, nil
}
