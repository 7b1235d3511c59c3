package launch

import (
	"errors"
	"fmt"
	"math"
	"os"
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

	remove []func() error // of the groups
}

// Close removes the groups. They are empty once the container has ended.
func (l *Limiter) Close() error {
	if l.Cgroup != nil {
		l.Cgroup.Close()
	}
	var errs []error
	for _, remove := range l.remove {
		errs = append(errs, remove())
	}
	l.remove = nil
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
	for _, o := range []struct {
		on   bool
		what string
	}{
		{l.MemoryReservation > 0, fmt.Sprintf("memory that is spared %d MiB", (l.MemoryReservation+1<<19)>>20)},
		{l.MemorySwap > 0, fmt.Sprintf("memory and swap %d MiB", (l.MemorySwap+1<<19)>>20)},
		{l.MemorySwap < 0, "any swap"},
		{l.CPUShares > 0, fmt.Sprintf("share of the processors %d", l.CPUShares)},
		{l.MemSet != "", "memory nodes " + l.MemSet},
		{l.IOWeight > 0, fmt.Sprintf("weight of input and output %d", l.IOWeight)},
	} {
		if o.on {
			all = append(all, o.what)
		}
	}
	return strings.Join(all, ", ")
}

// without leaves out those limits that are held: the names of their files of version 2.
func (l Limits) without(held []string) Limits {
	for _, file := range held {
		switch file {
		case "memory.max":
			l.Memory = 0
		case "memory.low":
			l.MemoryReservation = 0
		case "memory.swap.max":
			l.MemorySwap = 0
		case "cpu.max":
			l.CPUs = 0
		case "cpu.weight":
			l.CPUShares = 0
		case "cpuset.cpus":
			l.CPUSet = ""
		case "cpuset.mems":
			l.MemSet = ""
		case "pids.max":
			l.PIDs = 0
		case "io.weight":
			l.IOWeight = 0
		}
	}
	return l
}

// only leaves out all other limits.
func (l Limits) only(held []string) Limits {
	var others []string
	for _, s := range l.settings() {
		if !slices.Contains(held, s.file) {
			others = append(others, s.file)
		}
	}
	return l.without(others)
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
	// weight 10 to 1000 is weight 1 to 10000 (the OCI runtimes' conversion)
	add(l.IOWeight > 0, "io", "io.weight", "default "+number(1+(min(max(l.IOWeight, 10), 1000)-10)*9999/990))
	return out
}

// Limit prepares limits, each by the best that there is: a group of control groups version 2 below where this process is, if
// its controller is delegated to the caller; groups of version 1; or resource limits, as far as these go, with a remark about
// each. name is the group's, made unique.
func Limit(l Limits, name string) (*Limiter, error) {
	own, _ := os.ReadFile("/proc/self/cgroup") // a kernel without has none
	v2 := &tree{root: "/sys/fs/cgroup", mkdir: func(dir string) error { return os.Mkdir(dir, 0o755) }, rmdir: os.Remove}
	var st unix.Statfs_t
	if unix.Statfs(v2.root, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
		v2.own = ownGroup(string(own), v2.root)
	}
	return v2.limit(l, name, string(own))
}

func (t *tree) limit(l Limits, name, procSelfCgroup string) (*Limiter, error) {
	if _, err := parseList("processors", l.CPUSet); err != nil {
		return nil, err
	}
	if _, err := parseList("memory nodes", l.MemSet); err != nil {
		return nil, err
	}
	out := &Limiter{}
	if len(l.settings()) == 0 {
		return out, nil
	}
	tell := func(held []string, how string) {
		if len(held) > 0 {
			out.Held = append(out.Held, "limits: "+l.only(held).words()+"; held by "+how)
			l = l.without(held)
		}
	}
	if t.own != "" {
		want := l.settings()
		t.delegate(want)
		tell(t.makeGroup(out, name, want), "a control group, for all its processes together")
	}
	tell(makeGroups1(out, l, name, procSelfCgroup, t), "control groups (version 1), for all its processes together")
	if len(l.settings()) > 0 {
		if err := l.substitute(out); err != nil {
			_ = out.Close() // empty ones
			return nil, err
		}
	}
	return out, nil
}

// substitute stands in for groups as well as resource limits can.
func (l Limits) substitute(out *Limiter) error {
	var held []string
	note := func(format string, args ...any) {
		out.Notes = append(out.Notes, fmt.Sprintf(format, args...))
	}
	if l.Memory > 0 {
		held = append(held, "memory.max")
		out.Limits = append(out.Limits, plan.Limit{Resource: unix.RLIMIT_DATA, Value: uint64(l.Memory), Name: "memory"})
		note("the memory limit holds for each process by itself, not for all together, and counts what it asked for (its data and heap) rather than what it uses: a program beyond it is refused more, which most of them end with")
	}
	if l.PIDs > 0 {
		held = append(held, "pids.max")
		out.Limits = append(out.Limits, plan.Limit{Resource: unix.RLIMIT_NPROC, Value: uint64(l.PIDs), Name: "processes"})
		note("the limit of processes counts all of yours in the container's user namespace")
		if os.Geteuid() == 0 {
			note("root's processes are not held to a number")
		}
	}
	cpus, err := l.processors()
	if err != nil {
		return err
	}
	out.CPUs = cpus
	if l.CPUs > 0 {
		held = append(held, "cpu.max")
		note("the container is held to %d of the processors, since a share of their time cannot be enforced", len(cpus))
	}
	if l.CPUSet != "" {
		held = append(held, "cpuset.cpus")
	}
	if len(held) > 0 {
		out.Held = append(out.Held, "limits: "+l.only(held).words()+"; held by resource limits, since control groups for that are not delegated to you here")
	}
	if rest := l.without(held); len(rest.settings()) > 0 {
		note("%s: not held, since control groups for that are not delegated to you here", rest.words())
	}
	return nil
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
	wanted, _ := parseList("processors", l.CPUSet) // Limit has checked it
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

// parseList reads a list of things by number, such as "0-3,8" (cpuset(7), "List format").
func parseList(things, list string) ([]int, error) {
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
			return nil, fmt.Errorf("%s %q: %q is neither a number nor a range such as 0-3", things, list, part)
		}
		for c := a; c <= b; c++ {
			out = append(out, c)
		}
	}
	return out, nil
}
