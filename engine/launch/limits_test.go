package launch

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"carrel/engine/sandbox/plan"
)

func TestLimitSettings(t *testing.T) {
	for _, tc := range []struct {
		l    Limits
		want []setting
	}{
		{Limits{}, nil},
		{Limits{Memory: 1 << 20, MemorySwap: 3 << 20}, []setting{{"memory", "memory.max", "1048576"}, {"memory", "memory.swap.max", "2097152"}}},
		{Limits{MemorySwap: -1}, []setting{{"memory", "memory.swap.max", "max"}}},
		{Limits{CPUs: 1.5, PIDs: 20}, []setting{{"cpu", "cpu.max", "150000 100000"}, {"pids", "pids.max", "20"}}},
		{Limits{CPUShares: 2}, []setting{{"cpu", "cpu.weight", "1"}}},
		{Limits{CPUShares: 262144, CPUSet: "0-1", MemSet: "0"}, []setting{{"cpu", "cpu.weight", "10000"}, {"cpuset", "cpuset.cpus", "0-1"}, {"cpuset", "cpuset.mems", "0"}}},
		{Limits{IOWeight: 10}, []setting{{"io", "io.weight", "default 1"}}},
		{Limits{IOWeight: 500}, []setting{{"io", "io.weight", "default 4950"}}},
		{Limits{IOWeight: 1000}, []setting{{"io", "io.weight", "default 10000"}}},
	} {
		if got := tc.l.settings(); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%+v: got %v, want %v", tc.l, got, tc.want)
		}
	}
}

func TestParseCPUs(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want []int
	}{{"0", []int{0}}, {"0-2,5", []int{0, 1, 2, 5}}, {"", nil}, {"3-1", nil}, {"x", nil}, {"0-99999999", nil}, {"-1", nil}} {
		got, err := parseList("processors", tc.in)
		if !reflect.DeepEqual(got, tc.want) || (tc.want == nil && tc.in != "") != (err != nil) {
			t.Errorf("%q: %v, %v", tc.in, got, err)
		}
	}
	if _, err := Limit(Limits{CPUSet: "many"}, "x"); err == nil {
		t.Error("a bad list of processors is accepted")
	}
}

// TestLimitsWithoutGroups holds what happens where an administrator delegated nothing.
func TestLimitsWithoutGroups(t *testing.T) {
	l := &Limiter{}
	if err := (Limits{Memory: 64 << 20, PIDs: 500, CPUs: 0.5, IOWeight: 10}).substitute(l); err != nil {
		t.Fatal(err)
	}
	want := []plan.Limit{{Resource: unix.RLIMIT_DATA, Value: 64 << 20, Name: "memory"}, {Resource: unix.RLIMIT_NPROC, Value: 500, Name: "processes"}}
	if !reflect.DeepEqual(l.Limits, want) || len(l.CPUs) != 1 {
		t.Errorf("got %+v", l)
	}
	if all := strings.Join(l.Notes, "\n"); len(l.Notes) < 4 || !strings.Contains(all, "memory") || !strings.Contains(all, "weight of input and output 10: not held") || !strings.Contains(strings.Join(l.Held, ""), "memory 64 MiB, processors 0.5, processes 500; held by resource limits") {
		t.Errorf("held %q, notes %q", l.Held, l.Notes)
	}
	w := newWorld(t)
	o := w.options("until test \"$(ulimit -d)\" != unlimited; do :; done; ulimit -d; grep Cpus_allowed_list /proc/self/status | wc -l")
	o.Limits, o.CPUs = l.Limits, l.CPUs
	if r := start(t, o); r.out != "65536\n1\n" {
		t.Errorf("%+v", r)
	}
}

// TestLimitsByGroup uses a group of its own where this computer delegates one.
func TestLimitsByGroup(t *testing.T) {
	l, err := Limit(Limits{PIDs: 50}, "test")
	if err != nil {
		t.Fatal(err)
	}
	if l.Cgroup == nil && l.Join == nil {
		t.Skip("missing: a delegated control group (version 2, or 1 for root)")
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	w := newWorld(t)
	o := w.options("cat /sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)/pids.max")
	if l.Join != nil {
		o = w.options("cat /sys/fs/cgroup/pids$(sed -n 's/^[0-9]*:pids://p' /proc/self/cgroup)/pids.max")
	}
	o.Cgroup, o.Groups = l.Cgroup, l.Join
	if !strings.Contains(strings.Join(l.Held, ""), "processes 50; held by") {
		t.Errorf("held %q", l.Held)
	}
	if r := start(t, o); r.out != "50\n" {
		t.Errorf("%+v", r)
	}
}

// TestGroupsOfVersion1 finds, makes and removes groups in hierarchies that are folders here: what the kernel does with them
// is TestLimitsByGroup's.
func TestGroupsOfVersion1(t *testing.T) {
	root := t.TempDir()
	list := "9:name=systemd:/\n4:memory:/user/me\n3:cpu,cpuacct:/\n2:pids:/\n0::/\n"
	for _, dir := range []string{"memory/user/me", "cpu,cpuacct", "pids"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, dir, "cgroup.procs"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]string{
		"memory": filepath.Join(root, "memory/user/me"), "cpu": filepath.Join(root, "cpu,cpuacct"), "cpuacct": filepath.Join(root, "cpu,cpuacct"),
		"pids": filepath.Join(root, "pids"),
	}
	if got := groups1(list, root); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	// A group without files cannot be entered: it is not used, and nothing is left.
	plain := &tree{root: root, mkdir: func(dir string) error { return os.Mkdir(dir, 0o755) }, rmdir: os.Remove}
	l := &Limiter{}
	if held := makeGroups1(l, Limits{PIDs: 5}, "x", list, plain); held != nil || l.Join != nil {
		t.Errorf("held %v by %+v", held, l)
	}
	if left, err := filepath.Glob(filepath.Join(root, "pids", "carrel-*")); len(left) != 0 || err != nil {
		t.Errorf("left %v, %v", left, err)
	}
	if held := makeGroups1(l, Limits{Memory: 1 << 20}, "x", "0::/\n", plain); held != nil {
		t.Errorf("without any group: %v", held)
	}
	// Of three, one has a hierarchy that takes limits: the others are held otherwise.
	k := &kernel{t: t, files: map[string][]string{"memory": {"memory.limit_in_bytes"}, "pids": {}}}
	l, err := k.tree(root, "").limit(Limits{Memory: 1 << 20, MemorySwap: 2 << 20, PIDs: 5, CPUSet: "0"}, "x", list)
	if err != nil {
		t.Fatal(err)
	}
	if held := strings.Join(l.Held, "\n"); held != "limits: memory 1 MiB; held by control groups (version 1), for all its processes together\n"+
		"limits: processors number 0, processes 5; held by resource limits, since control groups for that are not delegated to you here" {
		t.Errorf("held %q", held)
	}
	if len(l.Join) != 1 || len(l.CPUs) != 1 || !strings.Contains(strings.Join(l.Notes, "\n"), "memory and swap 2 MiB: not held") {
		t.Errorf("%+v", l)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	got := Limits{Memory: 1 << 30, CPUs: 0.5, PIDs: 7}.settings1()
	if want := []setting{{"memory", "memory.limit_in_bytes", "1073741824"}, {"memory", "memory.memsw.limit_in_bytes", "1073741824"}, {"cpu", "cpu.cfs_period_us", "100000"}, {"cpu", "cpu.cfs_quota_us", "50000"}, {"pids", "pids.max", "7"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestCapabilities(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want []int
	}{
		{"", nil}, {"CAP_NET_RAW", []int{unix.CAP_NET_RAW}}, {"net_raw, cap_sys_admin", []int{unix.CAP_NET_RAW, unix.CAP_SYS_ADMIN}},
		{"CAP_CHECKPOINT_RESTORE", []int{unix.CAP_CHECKPOINT_RESTORE}},
	} {
		got, err := Capabilities(tc.in)
		if err != nil || !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%q: %v, %v", tc.in, got, err)
		}
	}
	if got, err := Capabilities("all"); err != nil || len(got) != unix.CAP_LAST_CAP+1 {
		t.Errorf("all: %v, %v", got, err)
	}
	if _, err := Capabilities("CAP_FLY"); err == nil {
		t.Error("CAP_FLY is accepted")
	}
}

func TestCapabilitiesInside(t *testing.T) {
	w := newWorld(t)
	o := w.options("grep CapEff /proc/self/status")
	o.NoPrivs = true
	o.AddCaps = []int{unix.CAP_NET_RAW}
	if r := start(t, o); r.out != "CapEff:\t0000000000002000\n" {
		t.Errorf("one added: %+v", r)
	}
	o = w.options("grep CapBnd /proc/self/status")
	o.Root = true
	if o.IDs.Namespace {
		o.IDs.UID[0].ContainerID, o.IDs.GID[0].ContainerID = 0, 0
	}
	for c := range unix.CAP_LAST_CAP + 1 {
		if c != unix.CAP_CHOWN {
			o.DropCaps = append(o.DropCaps, c)
		}
	}
	if r := start(t, o); r.out != "CapBnd:\t0000000000000001\n" {
		t.Errorf("all dropped but one: %+v", r)
	}
}
