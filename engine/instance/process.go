package instance

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// process is what /proc/PID/stat tells (proc_pid_stat(5)).
type process struct {
	pid, parent int
	state       byte
	start       uint64        // field 22: clock ticks since boot
	cpu         time.Duration // its own and that of the children it has waited for
	resident    int64         // bytes
}

// clockTick is the kernel's USER_HZ, 100 a second on every architecture that Go runs on (time(7)).
const clockTick = time.Second / 100

// readProcess reads one process.
func readProcess(pid int) (process, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return process{}, err
	}
	return parseStat(data)
}

func parseStat(data []byte) (process, error) {
	// The second field is the program's name in parentheses, and may hold anything.
	open, end := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
	if open < 1 || end < open {
		return process{}, fmt.Errorf("read process: unknown form %q", data)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data[:open])))
	fields := bytes.Fields(data[end+1:])
	if err != nil || len(fields) < 22 || len(fields[0]) == 0 {
		return process{}, fmt.Errorf("read process: unknown form %q", data)
	}
	number := func(field int) int64 { // as proc_pid_stat(5) counts them; fields[0] is field 3
		n, _ := strconv.ParseInt(string(fields[field-3]), 10, 64)
		return n
	}
	return process{
		pid: pid, parent: int(number(4)), state: fields[0][0], start: uint64(number(22)),
		cpu:      time.Duration(number(14)+number(15)+number(16)+number(17)) * clockTick,
		resident: number(24) * int64(os.Getpagesize()),
	}, nil
}

// alive tells whether the process of that number and start time exists and is more than a zombie.
func alive(pid int, start uint64) bool {
	if pid <= 0 {
		return false
	}
	p, err := readProcess(pid)
	return err == nil && p.start == start && p.state != 'Z' && p.state != 'X'
}

// allProcesses reads every process that can be seen.
func allProcesses() ([]process, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	all := make([]process, 0, len(names))
	for _, n := range names {
		pid, err := strconv.Atoi(n)
		if err != nil {
			continue
		}
		if p, err := readProcess(pid); err == nil { // else it has ended
			all = append(all, p)
		}
	}
	return all, nil
}

// below reads the descendants of a process. Within a container everything descends from its init, which takes over
// orphans (pid_namespaces(7)). Only these are looked at where the kernel lists children, so that it costs the same on a
// machine with many users.
func below(root int) ([]process, error) {
	found, err := family(root)
	if err == nil {
		return found, nil
	}
	all, err := allProcesses()
	if err != nil {
		return nil, err
	}
	return descend(root, func(pid int) (children []int) {
		for _, p := range all {
			if p.parent == pid {
				children = append(children, p.pid)
			}
		}
		return children
	}), nil
}

// errNoLists: the kernel was built without CONFIG_PROC_CHILDREN.
var errNoLists = errors.New("the kernel lists no children")

// family is below by the kernel's lists of children (proc_tid_children(5)).
func family(root int) ([]process, error) {
	own := "/proc/" + strconv.Itoa(root) + "/task/" + strconv.Itoa(root)
	if _, err := os.Stat(own + "/children"); err != nil {
		if _, err := os.Stat(own); err != nil {
			return nil, nil // ended
		}
		return nil, errNoLists
	}
	return descend(root, func(pid int) (children []int) {
		tasks := "/proc/" + strconv.Itoa(pid) + "/task/"
		threads, _ := os.ReadDir(tasks) // ended meanwhile
		for _, t := range threads {
			list, _ := os.ReadFile(tasks + t.Name() + "/children")
			for word := range strings.FieldsSeq(string(list)) {
				if child, err := strconv.Atoi(word); err == nil {
					children = append(children, child)
				}
			}
		}
		return children
	}), nil
}

// descend reads the processes below root, each once.
func descend(root int, children func(int) []int) []process {
	var found []process
	seen := map[int]bool{root: true}
	for queue := children(root); len(queue) > 0; {
		pid := queue[0]
		queue = queue[1:]
		if seen[pid] {
			continue
		}
		seen[pid] = true
		if p, err := readProcess(pid); err == nil { // else it has ended
			found = append(found, p)
		}
		queue = append(queue, children(pid)...)
	}
	return found
}

// UsageOf tells what instances use, by their names; those that do not run here are missing.
func UsageOf(instances ...Instance) (map[string]Usage, error) {
	usages := make(map[string]Usage)
	for _, in := range instances {
		if !in.State.Live() || in.Elsewhere != "" || in.Init == 0 {
			continue
		}
		init, err := readProcess(in.Init)
		if err != nil {
			continue // just ended
		}
		all, err := below(in.Init)
		if err != nil {
			return nil, fmt.Errorf("measure %s: %w", in.Name, err)
		}
		u := Usage{CPU: init.cpu} // of what it has reaped
		u.Read, u.Written = traffic(in.Init)
		for _, p := range all {
			read, written := traffic(p.pid)
			u.Read, u.Written = u.Read+read, u.Written+written
			u.CPU += p.cpu
			if p.state != 'Z' {
				u.Memory += p.resident
				u.Processes++
			}
		}
		usages[in.Name] = u
	}
	return usages, nil
}

// traffic is what a process, and what it has reaped, have read and written (proc_pid_io(5)); nothing where that cannot be seen.
func traffic(pid int) (read, written int64) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/io")
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ": ")
		n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		switch {
		case err != nil:
		case name == "rchar":
			read = n
		case name == "wchar":
			written = n
		}
	}
	return read, written
}

// signalProcess signals a process that is known by number and start time, and no other.
func signalProcess(pid int, start uint64, sig unix.Signal) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return ErrNotRunning
	}
	defer unix.Close(fd)
	if !alive(pid, start) { // asked after the descriptor was made: it is of this process or of a later one
		return ErrNotRunning
	}
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil {
		if err == unix.ESRCH {
			return ErrNotRunning
		}
		return fmt.Errorf("signal process %d: %w", pid, err)
	}
	return nil
}
