package instance

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"
)

// Process is one process of an instance.
type Process struct {
	PID     int           `json:"pid"`      // inside the container
	HostPID int           `json:"host_pid"` // on this computer
	State   string        `json:"state"`    // a letter of proc_pid_stat(5): R, S, D, T, Z …
	CPU     time.Duration `json:"cpu"`      // processor time used, in nanoseconds
	Memory  int64         `json:"memory"`   // bytes resident
	Command string        `json:"command"`  // its arguments; of one that has none left, its name in brackets
}

// Processes lists what runs in an instance, by number, without its init. One that does not run here has none.
func Processes(in Instance) ([]Process, error) {
	if !in.State.Live() || in.Elsewhere != "" || in.Init == 0 {
		return nil, nil
	}
	all, err := below(in.Init)
	if err != nil {
		return nil, fmt.Errorf("list processes of %s: %w", in.Name, err)
	}
	out := make([]Process, 0, len(all))
	for _, p := range all {
		inner := innerPID(p.pid)
		if inner == 0 {
			continue // just ended
		}
		out = append(out, Process{PID: inner, HostPID: p.pid, State: string(p.state), CPU: p.cpu, Memory: p.resident, Command: commandOf(p.pid)})
	}
	slices.SortFunc(out, func(a, b Process) int { return cmp.Compare(a.PID, b.PID) })
	return out, nil
}

// commandOf is the command line of a process (proc_pid_cmdline(5)).
func commandOf(pid int) string {
	dir := "/proc/" + strconv.Itoa(pid)
	text, _ := os.ReadFile(dir + "/cmdline") // of a process that has ended: nothing
	if text = bytes.TrimRight(text, "\x00"); len(text) > 0 {
		return string(bytes.ReplaceAll(text, []byte{0}, []byte{' '}))
	}
	name, _ := os.ReadFile(dir + "/comm")
	return "[" + string(bytes.TrimSpace(name)) + "]"
}
