package netns

import (
	"errors"
	"fmt"
	"os"
	"strconv"
)

// OpenToUsers lets a program without capabilities do in the current network namespace what only it can be hurt by: listen on
// every port, as the many images do that serve port 80, and send echo requests, as ping does (ip(7), icmp(7)). gid is the
// group, as the user namespace numbers it, that the program runs with. The caller needs CAP_NET_ADMIN over the namespace
// and a writable /proc/sys. A kernel without one of the settings is no error.
func OpenToUsers(gid uint32) error {
	group := strconv.FormatUint(uint64(gid), 10)
	return errors.Join(
		set("net/ipv4/ip_unprivileged_port_start", "0"),
		set("net/ipv4/ping_group_range", group+" "+group),
	)
}

func set(name, value string) error {
	err := os.WriteFile("/proc/sys/"+name, []byte(value), 0)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("set %s to %s: %w", name, value, err)
	}
	return nil
}
