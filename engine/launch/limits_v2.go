package launch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// tree is the tree of control groups version 2 (Documentation/admin-guide/cgroup-v2.rst).
type tree struct {
	root, own    string // where it is mounted; this process's group, or "" where version 2 is not there
	mkdir, rmdir func(dir string) error
}

// ownGroup is the folder of this process's group of version 2, or "" (cgroups(7)).
func ownGroup(procSelfCgroup, root string) string {
	for line := range strings.Lines(procSelfCgroup) {
		if p, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return filepath.Join(root, filepath.Clean("/"+p))
		}
	}
	return ""
}

// delegate makes a group usable that is this process's alone, as a scope of a user's systemd with Delegate=yes is: processes
// are in leaves only, and a group passes on what it says ("No Internal Process Constraint"), so this process moves into a leaf
// of it. What is refused leaves all as it was: another way is found then.
func (t *tree) delegate(want []setting) {
	members, err := os.ReadFile(filepath.Join(t.own, "cgroup.procs"))
	if err != nil || strings.TrimSpace(string(members)) != strconv.Itoa(os.Getpid()) {
		return // the group of others, too
	}
	control := filepath.Join(t.own, "cgroup.subtree_control")
	enabled, err := os.ReadFile(control)
	if err != nil {
		return
	}
	available, err := os.ReadFile(filepath.Join(t.own, "cgroup.controllers"))
	if err != nil || unix.Access(control, unix.W_OK) != nil {
		return
	}
	var more []string
	for _, s := range passed(string(available), want) {
		if len(passed(string(enabled), []setting{s})) == 0 && !slices.Contains(more, s.controller) {
			more = append(more, s.controller)
		}
	}
	if len(more) == 0 {
		return
	}
	leaf := filepath.Join(t.own, "supervisor")
	if err := t.mkdir(leaf); err != nil && !errors.Is(err, os.ErrExist) {
		return
	}
	if set(filepath.Join(leaf, "cgroup.procs"), "0") != nil {
		_ = t.rmdir(leaf)
		return
	}
	for _, c := range more {
		_ = set(control, "+"+c) // looked at again by who makes the group
	}
}

// set writes to a file of a group, which is there or is not: none is made.
func set(file, text string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// makeGroup makes a group beside or above that of this process, where the most of the controllers are passed on, in the
// nearest such place, and returns which limits it holds. A process may move only below a group whose cgroup.procs it may write
// ("Delegation Containment").
func (t *tree) makeGroup(out *Limiter, name string, want []setting) (held []string) {
	type place struct {
		dir  string
		want []setting
	}
	var places []place
	for dir := t.own; dir == t.root || strings.HasPrefix(dir, t.root+"/"); dir = filepath.Dir(dir) {
		if unix.Access(filepath.Join(dir, "cgroup.procs"), unix.W_OK) != nil {
			break
		}
		enabled, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
		if err != nil {
			break
		}
		if w := passed(string(enabled), want); len(w) > 0 {
			places = append(places, place{dir, w})
		}
	}
	slices.SortStableFunc(places, func(a, b place) int { return len(b.want) - len(a.want) })
	for _, p := range places {
		t.sweep(p.dir)
		group, err := t.newGroup(p.dir, name)
		if err != nil {
			continue
		}
		for _, s := range p.want {
			if err := set(filepath.Join(group, s.file), s.value); err != nil {
				out.Notes = append(out.Notes, fmt.Sprintf("the control group does not take the limit %s: %v", s.file, err))
				continue
			}
			held = append(held, s.file)
		}
		if len(held) > 0 {
			if out.Cgroup, err = os.Open(group); err == nil {
				out.remove = append(out.remove, func() error { return t.rmdir(group) })
				return held
			}
		}
		_ = t.rmdir(group)
		return nil
	}
	return nil
}

// groupPrefix begins the names of groups: carrel-NUMBER-NAME, with the number of the process that made it.
const groupPrefix = "carrel-"

// newGroup makes a group below another.
func (t *tree) newGroup(parent, name string) (string, error) {
	for n := 1; ; n++ {
		dir := filepath.Join(parent, fmt.Sprintf("%s%d-%s-%d", groupPrefix, os.Getpid(), name, n))
		if err := t.mkdir(dir); !errors.Is(err, os.ErrExist) || n > 1000 {
			return dir, err
		}
	}
}

// sweep removes the groups of processes that were killed before they could. One with processes in it stays: the kernel removes
// empty ones only.
func (t *tree) sweep(parent string) {
	dirs, _ := filepath.Glob(filepath.Join(parent, groupPrefix+"*"))
	for _, dir := range dirs {
		number, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), groupPrefix), "-")
		pid, err := strconv.Atoi(number)
		if err == nil && pid > 0 && unix.Kill(pid, 0) == unix.ESRCH {
			_ = t.rmdir(dir)
		}
	}
}

// passed are the settings of controllers that are in a list.
func passed(list string, want []setting) (out []setting) {
	have := strings.Fields(list)
	for _, s := range want {
		if slices.Contains(have, s.controller) {
			out = append(out, s)
		}
	}
	return out
}
