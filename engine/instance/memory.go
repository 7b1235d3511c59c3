package instance

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

// lean makes the runtime small: a supervisor does little, for a long time.
func lean() {
	runtime.GOMAXPROCS(min(runtime.GOMAXPROCS(0), 2))
	debug.SetGCPercent(50)
}

// oomCount is how often the kernel has killed for want of memory: in this process's control group, and on the machine.
type oomCount struct{ group, machine int64 }

// countOOM reads the counts; 0 where the kernel does not tell.
func countOOM() oomCount {
	var c oomCount
	c.machine = counter("/proc/vmstat", "oom_kill") // since Linux 4.13, commit 8e675f7af507
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return c
	}
	for line := range strings.Lines(string(groups)) {
		// cgroups(7): hierarchy:controllers:path
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case len(parts) != 3:
		case parts[0] == "0" && parts[1] == "":
			c.group += counter(filepath.Join("/sys/fs/cgroup", parts[2], "memory.events"), "oom_kill")
		case parts[1] == "memory":
			c.group += counter(filepath.Join("/sys/fs/cgroup/memory", parts[2], "memory.oom_control"), "oom_kill")
		}
	}
	return c
}

// counter reads the number behind a word at the beginning of a line.
func counter(file, word string) int64 {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for sc := bufio.NewScanner(bytes.NewReader(data)); sc.Scan(); {
		if rest, ok := strings.CutPrefix(sc.Text(), word+" "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(rest), 10, 64)
			return n
		}
	}
	return 0
}
