package instance

import (
	"bytes"
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

// below picks the descendants of a process. Within a container everything descends from its init, which takes over
// orphans (pid_namespaces(7)).
func below(all []process, root int) []process {
	children := make(map[int][]process)
	for _, p := range all {
		children[p.parent] = append(children[p.parent], p)
	}
	var found []process
	queue := children[root]
	for len(queue) > 0 {
		p := queue[0]
		queue = append(queue[1:], children[p.pid]...)
		if p.pid != root {
			found = append(found, p)
		}
	}
	return found
}

// UsageOf tells what instances use, by their names; those that do not run here are missing. Processes are looked at once
// for all.
func UsageOf(instances ...Instance) (map[string]Usage, error) {
	all, err := allProcesses()
	if err != nil {
		return nil, err
	}
	usages := make(map[string]Usage)
	for _, in := range instances {
		if !in.State.Live() || in.Elsewhere != "" || in.Init == 0 {
			continue
		}
		var u Usage
		for _, p := range all {
			if p.pid == in.Init {
				u.CPU += p.cpu // of what it has reaped
			}
		}
		for _, p := range below(all, in.Init) {
			if p.state == 'Z' {
				u.CPU += p.cpu
				continue
			}
			u.CPU += p.cpu
			u.Memory += p.resident
			u.Processes++
		}
		usages[in.Name] = u
	}
	return usages, nil
}

// machine tells where a process number means something.
type machine struct {
	Host  string `json:"host"`
	Boot  string `json:"boot"`  // changes at each start of the machine
	Space string `json:"space"` // PID namespace, as /proc/self/ns/pid shows it
}

func thisMachine() machine {
	var m machine
	m.Host, _ = os.Hostname()
	if b, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		m.Boot = strings.TrimSpace(string(b))
	}
	m.Space, _ = os.Readlink("/proc/self/ns/pid")
	return m
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
