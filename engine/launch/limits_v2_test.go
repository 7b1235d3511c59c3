package launch

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// kernel does for folders what the kernel does for control groups: a new group has the files of the controllers that its parent
// passes on, and only one without processes can be removed.
type kernel struct {
	t     *testing.T
	files map[string][]string // of groups, by what their parent passes on, or by a part of its path
}

func (k *kernel) tree(root, own string) *tree {
	return &tree{root: root, own: own, mkdir: k.mkdir, rmdir: k.rmdir}
}

func (k *kernel) mkdir(dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	passed, _ := os.ReadFile(filepath.Join(filepath.Dir(dir), "cgroup.subtree_control"))
	names := []string{"cgroup.procs", "cgroup.subtree_control", "cgroup.controllers"}
	for what, files := range k.files {
		if strings.Contains(string(passed), what) || strings.Contains(filepath.Dir(dir), "/"+what) {
			names = append(names, files...)
		}
	}
	for _, n := range names {
		k.put(filepath.Join(dir, n), "")
	}
	return nil
}

func (k *kernel) rmdir(dir string) error {
	if procs, err := os.ReadFile(filepath.Join(dir, "cgroup.procs")); err == nil && len(procs) > 0 {
		return os.ErrExist // EBUSY
	}
	return os.RemoveAll(dir)
}

func (k *kernel) put(file, text string) {
	k.t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		k.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		k.t.Fatal(err)
	}
}

func newKernel(t *testing.T) *kernel {
	return &kernel{t: t, files: map[string][]string{
		"memory": {"memory.max", "memory.low", "memory.swap.max", "memory.events"}, "cpu": {"cpu.max", "cpu.weight"}, "pids": {"pids.max"}, "io": {"io.weight"},
	}}
}

// TestGroupsOfVersion2 uses what is delegated of a tree of groups, limit by limit, and says which is held by what.
func TestGroupsOfVersion2(t *testing.T) {
	const mib = 1 << 20
	const byGroup = "; held by a control group, for all its processes together"
	const byLimits = "; held by resource limits, since control groups for that are not delegated to you here"
	for _, tc := range []struct {
		name  string
		above string // what the group above this process's passes on; the root passes on everything, and is another's
		own   string // and its own, which has no process of its own then
		l     Limits
		files map[string]string
		held  []string
		notes []string
		in    string
	}{
		{
			name: "all", above: "cpu io memory pids", l: Limits{Memory: 64 * mib, MemorySwap: 96 * mib, CPUs: 0.5, PIDs: 7, IOWeight: 1000},
			files: map[string]string{"memory.max": "67108864", "memory.swap.max": "33554432", "cpu.max": "50000 100000", "pids.max": "7", "io.weight": "default 10000"},
			held:  []string{"limits: memory 64 MiB, processors 0.5, processes 7, memory and swap 96 MiB, weight of input and output 1000" + byGroup},
			in:    "user/app",
		},
		{
			name: "without processors and io", above: "memory pids", l: Limits{Memory: 64 * mib, CPUs: 0.5, IOWeight: 10},
			files: map[string]string{"memory.max": "67108864"},
			held:  []string{"limits: memory 64 MiB" + byGroup, "limits: processors 0.5" + byLimits},
			notes: []string{"held to 1 of the processors", "weight of input and output 10: not held"},
			in:    "user/app",
		},
		{
			name: "the most of it", above: "pids", own: "memory pids", l: Limits{Memory: 64 * mib, PIDs: 9},
			files: map[string]string{"memory.max": "67108864", "pids.max": "9"}, held: []string{"limits: memory 64 MiB, processes 9" + byGroup}, in: "user/app/own",
		},
		{
			name: "a file that is missing", above: "memory", l: Limits{Memory: 64 * mib, MemorySwap: -1, MemoryReservation: mib},
			held:  []string{"limits: memory 64 MiB, memory that is spared 1 MiB" + byGroup},
			notes: []string{"does not take the limit memory.swap.max", "any swap: not held"},
			in:    "user/app",
		},
		{name: "nothing", l: Limits{Memory: 64 * mib}, held: []string{"limits: memory 64 MiB" + byLimits}, notes: []string{"each process by itself"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			k := newKernel(t)
			if tc.name == "a file that is missing" { // a kernel that does not count swap
				k.files["memory"] = []string{"memory.max", "memory.low"}
			}
			root := t.TempDir()
			k.put(filepath.Join(root, "user/app/cgroup.procs"), "1\n")
			k.put(filepath.Join(root, "user/app/cgroup.subtree_control"), tc.above)
			k.put(filepath.Join(root, "user/app/own/cgroup.procs"), "1\n")
			k.put(filepath.Join(root, "user/app/own/cgroup.subtree_control"), tc.own)
			l, err := k.tree(root, ownGroup("0::/user/app/own\n", root)).limit(tc.l, "name", "0::/user/app/own\n")
			if err != nil {
				t.Fatal(err)
			}
			if got, want := strings.Join(l.Held, "\n"), strings.Join(tc.held, "\n"); got != want {
				t.Errorf("held:\n%s\nwant:\n%s", got, want)
			}
			notes := strings.Join(l.Notes, "\n")
			if len(l.Notes) != len(tc.notes) {
				t.Errorf("notes %q", notes)
			}
			for _, n := range tc.notes {
				if !strings.Contains(notes, n) {
					t.Errorf("notes %q have no %q", notes, n)
				}
			}
			if (l.Cgroup != nil) != (tc.in != "") {
				t.Fatalf("the group is %v", l.Cgroup)
			}
			if l.Cgroup != nil {
				if got := filepath.Dir(l.Cgroup.Name()); got != filepath.Join(root, tc.in) {
					t.Errorf("it is in %s", got)
				}
				for f, want := range tc.files {
					if got, err := os.ReadFile(filepath.Join(l.Cgroup.Name(), f)); err != nil || string(got) != want {
						t.Errorf("%s: %q, %v; want %q", f, got, err, want)
					}
				}
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			if left, _ := filepath.Glob(filepath.Join(root, "*/*/carrel-*")); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// TestDelegated: a group of this process alone is made one that passes on what is there for it.
func TestDelegated(t *testing.T) {
	k := newKernel(t)
	root := t.TempDir()
	own := filepath.Join(root, "scope")
	for name, text := range map[string]string{"cgroup.procs": strconv.Itoa(os.Getpid()) + "\n", "cgroup.subtree_control": "", "cgroup.controllers": "memory pids"} {
		k.put(filepath.Join(own, name), text)
	}
	k.tree(root, own).delegate(Limits{PIDs: 5, CPUs: 1}.settings())
	if b, err := os.ReadFile(filepath.Join(own, "supervisor/cgroup.procs")); err != nil || string(b) != "0" {
		t.Errorf("this process is in %q, %v", b, err)
	}
	if b, _ := os.ReadFile(filepath.Join(own, "cgroup.subtree_control")); string(b) != "+pids" {
		t.Errorf("passed on: %q", b)
	}
}

// TestSweep: groups of processes that were killed go, and no others.
func TestSweep(t *testing.T) {
	k := newKernel(t)
	root := t.TempDir()
	const gone = 1<<31 - 1 // beyond every pid_max
	dirs := map[string]bool{
		fmt.Sprintf("carrel-%d-old-1", gone): false, fmt.Sprintf("carrel-%d-busy-1", gone): true, fmt.Sprintf("carrel-%d-mine-1", os.Getpid()): true,
		"carrel-name-123": true, "other": true,
	}
	for dir := range dirs {
		if err := k.mkdir(filepath.Join(root, dir)); err != nil {
			t.Fatal(err)
		}
	}
	k.put(filepath.Join(root, fmt.Sprintf("carrel-%d-busy-1", gone), "cgroup.procs"), "77\n")
	k.tree(root, root).sweep(root)
	for dir, stays := range dirs {
		if _, err := os.Stat(filepath.Join(root, dir)); (err == nil) != stays {
			t.Errorf("%s: %v", dir, err)
		}
	}
}
