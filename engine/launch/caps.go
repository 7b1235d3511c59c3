package launch

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// capabilityNames are those of capabilities(7) without CAP_, by number (linux/capability.h).
var capabilityNames = []string{
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE",
	"NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT",
	"SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE",
	"AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ",
	"PERFMON", "BPF", "CHECKPOINT_RESTORE",
}

// Capabilities turns names such as CAP_NET_RAW, net_raw or all, comma separated, into numbers.
func Capabilities(list string) ([]int, error) {
	var out []int
	for _, name := range strings.Split(list, ",") {
		name = strings.TrimPrefix(strings.ToUpper(strings.TrimSpace(name)), "CAP_")
		if name == "" {
			continue
		}
		if name == "ALL" {
			out = out[:0]
			for c := range unix.CAP_LAST_CAP + 1 {
				out = append(out, c)
			}
			return out, nil
		}
		n := -1
		for i, known := range capabilityNames {
			if known == name {
				n = i
			}
		}
		if n < 0 {
			return nil, fmt.Errorf("capability %s: there is none of that name (capabilities(7) lists them)", strconv.Quote(name))
		}
		out = append(out, n)
	}
	return out, nil
}
