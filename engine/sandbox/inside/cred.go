package inside

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"carrel/engine/sandbox/plan"
)

// dropPrivileges makes the calling thread, from which the process is started, as weak as the plan wants it. The other
// threads of an init that stays give up their capabilities too; the bounding set and the filters matter only for what is
// started.
func dropPrivileges(p *plan.Process, stays bool, note func(string)) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return opError{op: "set no_new_privs", err: err}
	}
	chooseCPUs(p, note)
	var err error
	drop := p.DropCaps
	if p.SealMounts {
		drop = append(slices.Clone(drop), unix.CAP_SYS_PTRACE)
	}
	switch {
	case len(p.AddCaps) > 0 || len(drop) > 0:
		err = limitCaps(p.KeepCaps, p.AddCaps, drop)
	case !p.KeepCaps:
		err = dropCaps(stays)
	}
	if err != nil {
		return err
	}
	if p.FakeRoot {
		if err := install(fakeRootFilter()); err != nil {
			return opError{op: "install seccomp filter", err: err}
		}
	}
	if p.NoSync {
		if err := install(noSyncFilter()); err != nil {
			return opError{op: "install seccomp filter", err: err}
		}
	}
	if p.SealMounts {
		if err := install(sealFilter()); err != nil {
			return opError{op: "install seccomp filter", err: err}
		}
	}
	if p.OwnInput {
		if err := install(InputFilter()); err != nil {
			return opError{op: "install seccomp filter", err: err}
		}
	}
	if p.DenyList {
		if err := install(denyFilter()); err != nil {
			return opError{op: "install seccomp filter", err: err}
		}
	}
	if len(p.Filter) > 0 {
		if err := install(decodeFilter(p.Filter)); err != nil {
			return opError{op: "install seccomp filter", err: err}
		}
	}
	return nil
}

// dropCaps empties every capability set (capabilities(7)), of all threads or, what is much quicker, of this one: the
// others end when it becomes another program.
func dropCaps(allThreads bool) error {
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil && err != unix.EINVAL {
		return opError{op: "clear ambient capabilities", err: err}
	}
	for c := range lastCap() + 1 {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0)
		if err == unix.EINVAL {
			break // more than this kernel has
		}
		if err != nil && err != unix.EPERM { // EPERM: no CAP_SETPCAP, so nothing to drop it from
			return opError{op: "drop capability " + strconv.Itoa(c), err: err}
		}
	}
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	errno := unix.ENOTSUP
	if allThreads {
		_, _, errno = syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&hdr)), uintptr(unsafe.Pointer(&data[0])), 0)
	}
	if errno == unix.ENOTSUP { // a binary with cgo, as race-detecting tests are: this thread, which starts all processes
		_, _, errno = syscall.Syscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&hdr)), uintptr(unsafe.Pointer(&data[0])), 0)
	}
	if errno != 0 {
		return opError{op: "drop capabilities", err: errno}
	}
	return nil
}

// limitCaps leaves the process all capabilities or none, and besides those to add, without those to drop. They are made
// ambient, so that they last beyond execve(2) for a user other than root (capabilities(7)).
func limitCaps(all bool, add, drop []int) error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have [2]unix.CapUserData
	if err := unix.Capget(&hdr, &have[0]); err != nil {
		return opError{op: "read capabilities", err: err}
	}
	var keep [2]uint32
	if all {
		keep = [2]uint32{have[0].Permitted, have[1].Permitted}
	}
	for _, c := range add {
		keep[c/32] |= 1 << (c % 32) & have[c/32].Permitted
	}
	for _, c := range drop {
		keep[c/32] &^= 1 << (c % 32)
	}
	for c := range lastCap() + 1 {
		if keep[c/32]&(1<<(c%32)) != 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil && err != unix.EPERM && err != unix.EINVAL {
			return opError{op: "drop capability " + strconv.Itoa(c), err: err}
		}
	}
	var data [2]unix.CapUserData
	for i := range data {
		data[i] = unix.CapUserData{Effective: keep[i], Permitted: keep[i], Inheritable: keep[i]}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil && err != unix.EINVAL {
		return opError{op: "clear ambient capabilities", err: err}
	}
	if err := unix.Capset(&hdr, &data[0]); err != nil { // of this thread, which starts all processes
		return opError{op: "set capabilities", err: err}
	}
	for c := range lastCap() + 1 {
		if keep[c/32]&(1<<(c%32)) == 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uintptr(c), 0, 0); err != nil {
			return opError{op: "keep capability " + strconv.Itoa(c), err: err}
		}
	}
	return nil
}

// setLimits sets what a process may use at most: pid, or 0 for this one, which is then about to become something else,
// for a Go program needs more than a limit may leave it.
func setLimits(pid int, limits []plan.Limit, note func(string)) {
	for _, l := range limits {
		if err := unix.Prlimit(pid, l.Resource, &unix.Rlimit{Cur: l.Value, Max: l.Value}, nil); err != nil && err != unix.ESRCH {
			note("the limit of " + l.Name + " cannot be set: " + err.Error())
		}
	}
}

// chooseCPUs holds this thread, and what it starts, to the processors of the plan.
func chooseCPUs(p *plan.Process, note func(string)) {
	if len(p.CPUs) == 0 {
		return
	}
	var set unix.CPUSet
	for _, c := range p.CPUs {
		set.Set(c)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		note("the processors cannot be chosen: " + err.Error())
	}
}

// raiseCaps makes all permitted capabilities effective, after PR_SET_KEEPCAPS.
func raiseCaps() error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return opError{op: "read capabilities", err: err}
	}
	for i := range data {
		data[i].Effective = data[i].Permitted
	}
	if err := unix.Capset(&hdr, &data[0]); err != nil {
		return opError{op: "raise capabilities", err: err}
	}
	return nil
}

// lastCap is the highest capability of this kernel, or of this program's headers where the kernel does not tell.
func lastCap() int {
	if b, err := os.ReadFile("/proc/sys/kernel/cap_last_cap"); err == nil {
		if n, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil {
			return n
		}
	}
	return unix.CAP_LAST_CAP
}

// hide keeps the process, which shares init's user, from looking into init: not dumpable means not to be traced
// (ptrace(2), "access mode checking"). Of its program's file that is not the only protection; see package sandbox, spawnInit.
func hide() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
		return opError{op: "protect init", err: err}
	}
	return nil
}
