package sandbox

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// IDMap says which user and group ids a container has, and whose they are outside (user_namespaces(7)).
type IDMap struct {
	// Namespace is whether the container gets a user namespace of its own. Without one the rest is not used.
	Namespace bool
	// UID and GID map ids; a single entry of size 1 that maps the caller's own id needs no help, everything else is
	// written by newuidmap(1) and newgidmap(1).
	UID, GID []syscall.SysProcIDMap
}

// NoIDMap keeps the ids of the caller: for real root, and inside a user namespace that a caller made before.
func NoIDMap() IDMap { return IDMap{} }

// SingleID maps the caller's own id to one id inside.
func SingleID(uid, gid int) IDMap {
	return IDMap{
		Namespace: true,
		UID:       []syscall.SysProcIDMap{{ContainerID: uid, HostID: os.Getuid(), Size: 1}},
		GID:       []syscall.SysProcIDMap{{ContainerID: gid, HostID: os.Getgid(), Size: 1}},
	}
}

// OpMapIDs is the step (Error.Op) in which newuidmap(1) and newgidmap(1) give a container its ids.
const OpMapIDs = "map ids"

// ErrNoSubordinateIDs: the administrator gave this user no ranges in /etc/subuid and /etc/subgid, or the programs that
// apply them are not installed or cannot work.
var ErrNoSubordinateIDs = errors.New("no subordinate ids")

// RootWithRanges maps the caller to root and the caller's subordinate ids (subuid(5)) to the ids from 1 on. The error
// wraps ErrNoSubordinateIDs and says what is missing.
func RootWithRanges() (IDMap, error) {
	m := IDMap{
		Namespace: true,
		UID:       []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GID:       []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	if n, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err == nil && n == 1 && os.Getuid() != 0 {
		return m, fmt.Errorf("%w: this process may not gain rights (no_new_privs)", ErrNoSubordinateIDs)
	}
	for _, tool := range []string{"newuidmap", "newgidmap"} {
		path, err := exec.LookPath(tool)
		if err != nil {
			return m, fmt.Errorf("%w: the program %s is not installed", ErrNoSubordinateIDs, tool)
		}
		if !privileged(path) {
			return m, fmt.Errorf("%w: %s lost the right to set ids", ErrNoSubordinateIDs, path)
		}
	}
	name := ""
	if u, err := user.LookupId(strconv.Itoa(os.Getuid())); err == nil {
		name = u.Username
	}
	var err error
	if m.UID, err = addRanges(m.UID, "/etc/subuid", name, os.Getuid()); err != nil {
		return m, err
	}
	// subgid(5) is by user name or user id as well
	if m.GID, err = addRanges(m.GID, "/etc/subgid", name, os.Getuid()); err != nil {
		return m, err
	}
	return m, nil
}

// privileged tells whether a program has rights of its own: by its set-user-ID bit or by capabilities (capabilities(7)).
func privileged(path string) bool {
	st, err := os.Stat(path)
	if err != nil {
		return false
	}
	if st.Mode()&os.ModeSetuid != 0 {
		return true
	}
	n, err := unix.Getxattr(path, "security.capability", nil)
	return err == nil && n > 0
}

func addRanges(m []syscall.SysProcIDMap, file, name string, uid int) ([]syscall.SysProcIDMap, error) {
	f, err := os.Open(file)
	if err != nil {
		return m, fmt.Errorf("%w: %w", ErrNoSubordinateIDs, err)
	}
	defer f.Close()
	next := 1
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		owner, rest, _ := strings.Cut(strings.TrimSpace(sc.Text()), ":")
		if owner == "" || (owner != name && owner != strconv.Itoa(uid)) {
			continue
		}
		first, count, _ := strings.Cut(rest, ":")
		start, err1 := strconv.Atoi(first)
		size, err2 := strconv.Atoi(count)
		if err1 != nil || err2 != nil || size <= 0 {
			continue
		}
		m = append(m, syscall.SysProcIDMap{ContainerID: next, HostID: start, Size: size})
		next += size
	}
	if err := sc.Err(); err != nil {
		return m, fmt.Errorf("%w: read %s: %w", ErrNoSubordinateIDs, file, err)
	}
	if next < 65535 {
		return m, fmt.Errorf("%w: %s gives this user fewer than 65,536 ids", ErrNoSubordinateIDs, file)
	}
	return m, nil
}

// simple tells whether the kernel lets the caller write the map without help.
func (m IDMap) simple() bool {
	return len(m.UID) == 1 && m.UID[0].Size == 1 && len(m.GID) == 1 && m.GID[0].Size == 1
}

// apply writes the map of a process in a new user namespace by the set-uid helpers.
func (m IDMap) apply(ctx context.Context, pid int) error {
	for _, h := range []struct {
		tool string
		maps []syscall.SysProcIDMap
	}{{"newuidmap", m.UID}, {"newgidmap", m.GID}} {
		args := []string{strconv.Itoa(pid)}
		for _, r := range h.maps {
			args = append(args, strconv.Itoa(r.ContainerID), strconv.Itoa(r.HostID), strconv.Itoa(r.Size))
		}
		out, err := exec.CommandContext(ctx, h.tool, args...).CombinedOutput()
		if err != nil {
			return &Error{Op: OpMapIDs, Source: h.tool, Err: fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))}
		}
	}
	return nil
}

// Attr sets what a process needs to be started in a user namespace of this map: for programs that are started as "root"
// of such a namespace rather than as a container. It must be followed by Finish after the start.
func (m IDMap) attr(sys *syscall.SysProcAttr) {
	if !m.Namespace {
		return
	}
	sys.Cloneflags |= syscall.CLONE_NEWUSER
	if m.simple() {
		sys.UidMappings, sys.GidMappings = m.UID, m.GID
	}
	// A process whose id is not 0 loses its capabilities at execve(2) unless they are ambient (capabilities(7)).
	for c := range uintptr(maxCap() + 1) {
		sys.AmbientCaps = append(sys.AmbientCaps, c)
	}
}
